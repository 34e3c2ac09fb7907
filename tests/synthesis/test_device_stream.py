"""A stream on a device: what is launched before anything is waited for, how much that may be, and what is uploaded."""

from collections import Counter
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from fake_device import fake_cuda
from films import panning

from vfi_pipeline.media.frames import Colour, Frame, pixel_format
from vfi_pipeline.media.scaling import Scaling
from vfi_pipeline.media.timeline import Slot, SourceTimes
from vfi_pipeline.models.flow import FlowModel
from vfi_pipeline.models.flow_interpolator import FlowInterpolator
from vfi_pipeline.models.motion import MotionReport, PendingReport, settled
from vfi_pipeline.synthesis import compose, render
from vfi_pipeline.synthesis.guide import device_guide, guide
from vfi_pipeline.synthesis.mask import Mask
from vfi_pipeline.synthesis.options import Options
from vfi_pipeline.synthesis.statistics import MOST_PENDING, Statistics
from vfi_pipeline.synthesis.stream import interpolate
from vfi_pipeline.synthesis.style import NetworkPainter, StyleSettings, Stylist

TINY = {
    "widths": (8, 8, 8), "hidden": (6, 6, 6), "context_channels": (4, 4), "radii": (0, 1, 3), "match": (4, 4, 4),
    "stem": 4, "depth": (1, 1, 1), "refinement": {"hidden": 6, "context_channels": 4},
}  # fmt: skip


def frame(name="yuv420p", width=64, height=48, seed=0, time=0):
    layout = pixel_format(name)
    random = np.random.default_rng(seed)
    planes = tuple(
        random.integers(0, layout.peak + 1, layout.plane_size(k, width, height)).astype(layout.dtype)
        for k in range(len(layout.planes))
    )
    return Frame(planes, layout, width, height, Fraction(time, 25), Colour())


def pan(count):
    """Frames whose content moves to the left by 3 px each."""
    luma = panning(count, speed=3, height=48, width=64)[..., 1]
    grey = np.full((24, 32), 128, np.uint8)
    like = frame()
    return [(k, replace(like, planes=(luma[k].copy(), grey, grey), time=Fraction(k, 25))) for k in range(count)]


class Slow:
    """Stands in for ``compose.Arriving``: a device that has finished nothing until it is waited for."""

    events: list = []

    def __init__(self, groups, layout, like, time, finish=None):
        assert {codes.device.type for codes in groups} == {"cuda"} and groups[0].dtype == torch.uint8
        self.like = like
        Slow.events.append("launched")

    def frame(self):
        Slow.events.append("waited")
        return self.like


@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")
@pytest.mark.parametrize("ahead, room, most", [(6, 1 << 27, 6), (6, 3 * 64 * 48 * 3 // 2, 3), (0, 1 << 27, 0)])
def test_outputs_are_launched_ahead_within_their_memory_and_the_device_is_never_asked(monkeypatch, ahead, room, most):
    Slow.events = []
    uploads = []
    real = compose.to_codes
    monkeypatch.setattr(compose, "to_codes", lambda frame, device: uploads.append(frame.time) or real(frame, device))
    monkeypatch.setattr(compose, "Arriving", Slow)
    monkeypatch.setattr(FlowInterpolator, "to", lambda self, *_, **__: self)
    monkeypatch.setattr(Statistics, "settle", lambda self: None)
    pending = []
    monkeypatch.setattr(Statistics, "record", lambda self, pair, report: pending.append((pair, type(report))))
    frames = pan(7)
    slots = [Slot(n, Fraction(n, 50), n // 2, Fraction(n % 2, 2)) for n in range(13)]
    options = Options(device="cuda", prefetch=ahead, prefetch_bytes=room, batch=2, overlay=True, dedup=False)

    with fake_cuda() as watch:
        with torch.device("cuda"):
            model = FlowModel(FlowInterpolator(**TINY), device="cuda")
        with watch:
            made = list(interpolate(iter(frames), slots, model, options))

    assert [output.made for output in made] == [bool(n % 2) for n in range(13)]
    assert [fault for fault in watch.faults if "reads" in fault] == []
    assert sorted(uploads) == sorted(set(uploads))  # each frame once
    assert {kind for _, kind in pending} == {PendingReport}
    under_way = highest = 0
    for event in Slow.events:
        under_way += 1 if event == "launched" else -1
        highest = max(highest, under_way)
    # Made frames alternate with copies, which wait for nothing; a window's own frame is launched with it.
    assert most // 2 <= highest <= most + 1 and under_way == 0


def logo_over(frames):
    """The same film with letters that stay, in the lower left corner."""
    shown = []
    for index, picture in frames:
        luma = picture.planes[0].copy()
        for k, x in enumerate(range(24, 88, 8)):
            luma[76:90, x : x + 3] = 235
            luma[76 + 4 * (k % 3) : 80 + 4 * (k % 3), x : x + 6] = 16
        shown.append((index, replace(picture, planes=(luma, *picture.planes[1:]))))
    return shown


def wide_pan(count, name="yuv420p"):
    """Frames of 160 x 120 whose content moves to the left by 3 px each."""
    luma = panning(count, speed=3, height=120, width=160)[..., 1]
    like = frame(name, 160, 120)
    planes = [np.full_like(plane, 128) for plane in like.planes[1:]]
    return [(k, replace(like, planes=(luma[k].copy(), *planes), time=Fraction(k, 25))) for k in range(count)]


BARS = Scaling((160, 120), (128, 72), (16, 0, 96, 72), tuple(map(Fraction, (0, 0, 160, 120))))
CASES = {
    "alpha": ("yuva420p", {}),
    "smaller, with bars": ("yuv420p", {"scaling": BARS}),
    "mask": ("yuv420p", {"mask": Mask(np.eye(12, dtype=np.float32))}),
    "overlay": ("yuv420p", {"overlay": True}),
    "all": ("yuva420p", {"overlay": True, "scaling": BARS, "mask": Mask(np.eye(12, dtype=np.float32))}),
}


@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")
@pytest.mark.parametrize("case", CASES)
def test_whatever_is_done_to_frames_is_done_without_asking_the_device(monkeypatch, case):
    name, settings = CASES[case]
    Slow.events, uploads = [], []
    real, covers = compose.to_codes, []
    monkeypatch.setattr(compose, "to_codes", lambda frame, device: uploads.append(frame.time) or real(frame, device))
    monkeypatch.setattr(compose, "Arriving", Slow)
    monkeypatch.setattr(FlowInterpolator, "to", lambda self, *_, **__: self)
    monkeypatch.setattr(Statistics, "settle", lambda self: None)
    composed = compose.composed
    monkeypatch.setattr(compose, "composed", lambda *a: covers.append(len(a) > 4 and a[4] is not None) or composed(*a))
    frames = logo_over(wide_pan(9, name)) if settings.get("overlay") else wide_pan(9, name)
    slots = [Slot(n, Fraction(n, 50), n // 2, Fraction(n % 2, 2)) for n in range(17)]
    options = Options(device="cuda", batch=2, prefetch=4, dedup=False, scene=False, **{"overlay": False, **settings})

    with fake_cuda() as watch:
        with torch.device("cuda"):
            model = FlowModel(FlowInterpolator(**TINY), device="cuda")
        with watch:
            made = list(interpolate(iter(frames), slots, model, options))

    assert [output.made for output in made] == [bool(n % 2) for n in range(17)]
    assert [fault for fault in watch.faults if "reads" in fault] == []
    assert sorted(uploads) == sorted(set(uploads))  # each frame once
    assert any(covers) == bool(settings.get("overlay"))
    assert most_under_way(Slow.events) <= 4 + 2  # as asked for, the one that is waited for, a window's own


class Late:
    """Stands in for ``compose.ArrivingNumber``: the device has computed it when it is asked for: 7 px."""

    def __init__(self, number):
        assert (number.device.type, number.shape) == ("cuda", ())
        Slow.events.append("asked")

    def value(self):
        Slow.events.append("read")
        return 7.0


@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")
@pytest.mark.parametrize("case", ["plain", *CASES])
def test_motion_blur_is_summed_on_the_device_and_nothing_waits_inside_a_pair(monkeypatch, case):
    name, settings = CASES.get(case, ("yuv420p", {}))
    Slow.events, uploads = [], []
    real, composed, count = compose.to_codes, compose.composed, []
    monkeypatch.setattr(compose, "to_codes", lambda frame, device: uploads.append(frame.time) or real(frame, device))
    monkeypatch.setattr(compose, "composed", lambda *a: count.append(1) or composed(*a))
    monkeypatch.setattr(compose, "Arriving", Slow)
    monkeypatch.setattr(compose, "ArrivingNumber", Late)
    monkeypatch.setattr(FlowInterpolator, "to", lambda self, *_, **__: self)
    monkeypatch.setattr(Statistics, "settle", lambda self: None)
    frames = logo_over(wide_pan(9, name)) if settings.get("overlay") else wide_pan(9, name)
    slots = [Slot(n, Fraction(n, 25), n, Fraction(0)) for n in range(9)]
    settings = {"overlay": False, "exposure_s": Fraction(1, 50), **settings}
    if "mask" in settings:
        settings["mask"] = Mask(settings["mask"].values)  # with nothing uploaded yet
    options = Options(device="cuda", batch=2, prefetch=4, dedup=False, scene=False, **settings)
    times = SourceTimes(range(9), Fraction(1, 25), Fraction(1, 25))

    with fake_cuda() as watch:
        with torch.device("cuda"):
            model = FlowModel(FlowInterpolator(**TINY), device="cuda")
        with watch:
            made = list(interpolate(iter(frames), slots, model, options, times))

    assert [output.made for output in made] == 9 * [True]
    assert [fault for fault in watch.faults if "reads" in fault] == []
    assert sorted(uploads) == sorted(set(uploads)) and len(uploads) == 9  # each frame once
    assert Slow.events.count("launched") == Slow.events.count("waited") == 9  # one download for each output
    assert len(count) >= 2 * 16  # two moments in every part
    # Two parts lie in each of eight pairs. What is asked of one is read when two more pairs have been begun.
    asked = read = 0
    for event in Slow.events:
        asked, read = asked + (event == "asked"), read + (event == "read")
        if event == "read":
            assert asked >= min(16, 2 * ((read - 1) // 2 + 3))
    assert asked == read == 16


@pytest.mark.parametrize("case", ["plain", "alpha", "mask", "overlay"])
def test_motion_blur_made_the_devices_way_is_the_cpus(monkeypatch, case):
    name, settings = CASES.get(case, ("yuv420p", {}))
    frames = logo_over(wide_pan(6, name)) if settings.get("overlay") else wide_pan(6, name)
    slots = [Slot(n, Fraction(n, 25), n, Fraction(0)) for n in range(6)]
    options = Options(scene=False, **{"overlay": False, "exposure_s": Fraction(1, 30), **settings})
    times = SourceTimes(range(6), Fraction(1, 25), Fraction(1, 25))
    torch.manual_seed(2)
    model = FlowModel(FlowInterpolator(**TINY))

    def blurred():
        return [output.frame for output in interpolate(iter(frames), slots, model, options, times)]

    host = blurred()
    made = render.PairRenderer.__init__

    def as_on_device(self, *arguments):
        made(self, *arguments)
        self._on_device = True

    monkeypatch.setattr(render.PairRenderer, "__init__", as_on_device)

    for one, other in zip(host, blurred(), strict=True):
        assert one.time == other.time
        for a, b in zip(one.planes, other.planes):
            assert np.abs(a.astype(int) - b).max() <= 1


def most_under_way(events):
    under_way = highest = 0
    for event in events:
        under_way += 1 if event == "launched" else -1
        highest = max(highest, under_way)
    assert under_way == 0
    return highest


class Cramped(FlowModel):
    """A device whose memory holds one pair."""

    def prepare_pairs(self, pairs):
        if len(pairs) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        super().prepare_pairs(pairs)


@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")
def test_a_batch_that_does_not_fit_is_halved_whatever_is_done_to_frames(monkeypatch, caplog):
    name, settings = CASES["all"]
    settings = settings | {"mask": Mask(settings["mask"].values)}  # with nothing uploaded yet
    monkeypatch.setattr(compose, "Arriving", Slow)
    monkeypatch.setattr(FlowInterpolator, "to", lambda self, *_, **__: self)
    monkeypatch.setattr(Statistics, "settle", lambda self: None)
    slots = [Slot(n, Fraction(n, 50), n // 2, Fraction(n % 2, 2)) for n in range(9)]
    room = 3 * 128 * 72 * 5 // 2  # of three made frames
    options = Options(device="cuda", batch=4, dedup=False, scene=False, prefetch_bytes=room, **settings)
    Slow.events = []

    with fake_cuda() as watch:
        with torch.device("cuda"):
            model = Cramped(FlowInterpolator(**TINY), device="cuda")
        with watch, caplog.at_level("WARNING"):
            made = list(interpolate(iter(wide_pan(5, name)), slots, model, options))

    assert [output.made for output in made] == [bool(n % 2) for n in range(9)]
    assert [line for line in caplog.messages if "pairs at once" in line] == [
        f"The device's memory does not hold {2 * n} pairs at once: {n} from now on." for n in (2, 1)
    ]
    assert 1 <= most_under_way(Slow.events) <= 3 + 2


@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")
@pytest.mark.parametrize("size", [None, 32])
def test_with_a_style_the_films_own_frames_are_uploaded_once_for_guide_and_painter(monkeypatch, size):
    uploads, seen = [], []
    real = compose.to_codes
    monkeypatch.setattr(compose, "to_codes", lambda frame, device: uploads.append(frame.time) or real(frame, device))
    monkeypatch.setattr(compose, "Arriving", Slow)
    monkeypatch.setattr(FlowInterpolator, "to", lambda self, *_, **__: self)
    monkeypatch.setattr(Statistics, "settle", lambda self: None)
    frames = pan(5)
    whole = {picture.time for _, picture in frames}

    class Style(Stylist):
        """Shows the painter's picture to the test, and the film's own frames to the stream."""

        def shown(self, index, frame, before=None, flows=None, values=None):
            image = self.seen(frame, values())
            seen.append((frame.time, image.device.type, tuple(image.shape)))
            return replace(frame, time=frame.time + 100)

    style = Style(None, StyleSettings(size=size), device="cuda")
    slots = [Slot(n, Fraction(n, 50), n // 2, Fraction(n % 2, 2)) for n in range(9)]
    options = Options(device="cuda", style=style, batch=2, prefetch=4, overlay=False, scene=False)

    with fake_cuda() as watch:
        with torch.device("cuda"):
            model = FlowModel(FlowInterpolator(**TINY), device="cuda")
        with watch:
            list(interpolate(iter(frames), slots, model, options))

    assert [fault for fault in watch.faults if "reads" in fault] == []
    assert sorted(time for time in uploads if time < 100) == sorted(whole)  # the film's own
    assert sorted(time - 100 for time in uploads if time >= 100) == sorted(whole)  # what was painted of each
    assert {time for time, *_ in seen} == whole
    assert {facts[1:] for facts in seen} == {("cuda", (1, 3, 48, 64) if size is None else (1, 3, 24, 32))}


STYLES = {
    "plain": ("yuv420p", {}, {}),
    "half, in a smaller size": ("yuv420p10le", {"strength": 0.5, "size": 32}, {}),
    "alpha, its own colours": ("yuva420p", {"keep_colour": True}, {}),
    "added, beside a mask": ("gbrp", {"adds": True}, {"mask": Mask(np.eye(12, dtype=np.float32))}),
    "in another size": ("yuv420p", {}, {"scaling": BARS}),
    "with motion blur": ("yuv420p", {}, {"exposure_s": Fraction(1, 50)}),
}


def halfway(image, expected, confidence):
    """A network of a style, in a word: half the negative, half what was painted before."""
    return 1 - image if expected is None else 0.5 * (1 - image) + 0.5 * torch.lerp(image, expected, confidence)


@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")
@pytest.mark.parametrize("case", STYLES)
def test_what_is_painted_on_a_device_stays_there(monkeypatch, case):
    name, how, settings = STYLES[case]
    Slow.events, uploads = [], []
    real = compose.to_codes
    monkeypatch.setattr(compose, "to_codes", lambda frame, device: uploads.append(frame.time) or real(frame, device))
    monkeypatch.setattr(compose, "Arriving", Wide if "10" in name else Slow)
    monkeypatch.setattr(compose, "ArrivingNumber", Late)
    monkeypatch.setattr(FlowInterpolator, "to", lambda self, *_, **__: self)
    monkeypatch.setattr(Statistics, "settle", lambda self: None)
    style = Stylist(NetworkPainter(halfway, settle=1), StyleSettings(**how), device="cuda")
    like = frame(name, 160, 120)
    frames = [(k, replace(frame(name, 160, 120, k), time=Fraction(k, 25), colour=like.colour)) for k in range(7)]
    slots = [Slot(n, Fraction(n, 50), n // 2, Fraction(n % 2, 2)) for n in range(13)]
    options = Options(device="cuda", style=style, batch=2, prefetch=4, overlay=False, scene=False, **settings)
    times = SourceTimes(range(7), Fraction(1, 25), Fraction(1, 25))

    with fake_cuda() as watch:
        with torch.device("cuda"):
            model = FlowModel(FlowInterpolator(**TINY), device="cuda")
        with watch:
            made = list(interpolate(iter(frames), slots, model, options, times))

    assert len(made) == 13
    assert [fault for fault in watch.faults if "reads" in fault] == []
    # Between host and device there are only the film's frames, each once, the mask, and what is made once for a size.
    assert sorted(uploads) == [picture.time for _, picture in frames]
    mixing = [fault for fault in watch.faults if "mixes" in fault and ", planes.py" not in fault]
    assert [fault for fault in mixing if ", style.py" in fault or ", render.py" in fault] == []
    for_sizes = (", grid.py", ", warp.py")
    assert max(Counter(fault for fault in mixing if not any(name in fault for name in for_sizes)).values()) < 7
    # Source frames in a style come back to be shown, as made ones do.
    assert Slow.events.count("launched") == Slow.events.count("waited") == 13


class Wide(Slow):
    """For frames of more than 8 bits."""

    def __init__(self, groups, layout, like, time, finish=None):
        assert {(codes.device.type, codes.dtype) for codes in groups} == {("cuda", torch.int16)}
        self.like = like
        Slow.events.append("launched")


@pytest.mark.parametrize("name", ["yuv420p", "yuv422p10le", "yuva444p16le", "gray", "gray12le", "gbrp", "gbrap12le"])
@pytest.mark.parametrize(
    "how", [{}, {"strength": 0.3}, {"keep_colour": True}, {"size": 32}, {"adds": True}, {"strength": 0.0}]
)
def test_what_is_painted_on_a_device_is_what_is_painted_on_a_cpu(name, how):
    pictures = [frame(name, seed=1), frame(name, seed=2)]
    flow = torch.full((1, 2, 12, 16), 1.5)
    here, there = (Stylist(NetworkPainter(halfway), StyleSettings(**how)) for _ in range(2))
    layout = compose.layout_of(pictures[0])
    for k, picture in enumerate(pictures):
        before = {} if not k else {"before": 0, "flows": lambda: (flow, -flow)}
        host = here.shown(k, picture, **before)
        codes = there.shown(k, picture, **before, values=lambda picture=picture: compose.to_tensors(picture))
        back = compose.Arriving(codes, layout, picture, picture.time).frame()
        tolerance = 3 if how.get("size") else 0  # the smaller picture is another one: the device makes its own
        peak = picture.format.peak / 255
        for a, b in zip(host.planes, back.planes, strict=True):
            assert np.abs(a.astype(int) - b).max() <= tolerance * max(1, peak)


def test_a_painter_sees_the_same_of_planes_that_lie_on_a_device():
    for name in ("yuv420p", "yuv422p10le", "gbrp", "gray"):
        picture = frame(name)
        for size in (None, 32):
            style = Stylist(None, StyleSettings(size=size))
            there = style.seen(picture, compose.to_tensors(picture))
            assert (there - style.seen(picture)).abs().max() < 2.1 / 255


@pytest.mark.parametrize("name", ["yuv420p", "yuv422p10le", "yuv444p12le", "yuv411p", "gray", "gray16le", "gbrp"])
@pytest.mark.parametrize(
    "size, span", [((64, 48), 64), ((64, 48), 37), ((90, 61), 50), ((33, 200), 120), ((16, 8), 16)]
)
def test_the_guide_that_a_device_makes_is_the_hosts(name, size, span):
    picture = frame(name, *size)
    values = [compose.as_values(codes) for codes in compose.to_codes(picture)]

    made = device_guide(picture, values, span)

    known = guide(picture, span)
    assert made.shape == known.shape and (made - known).abs().max() < 2.1 / 255  # Y, U and V are rounded there


@pytest.mark.parametrize("opacity", ["any", "none and all", "all"])
@pytest.mark.parametrize("name", ["yuva420p", "yuva422p10le", "yuva444p16le", "gbrap", "gbrap12le"])
@pytest.mark.parametrize("size, span", [((64, 48), 64), ((64, 48), 37), ((90, 61), 50)])
def test_the_guide_of_what_is_visible_is_the_hosts(name, size, span, opacity):
    picture = frame(name, *size)
    *colours, alpha = picture.planes
    if opacity != "any":
        alpha = np.full_like(alpha, picture.format.peak)
        alpha[: size[1] // 3] = picture.format.peak if opacity == "all" else 0
    picture = replace(picture, planes=(*colours, alpha))

    made = device_guide(picture, compose.to_tensors(picture), span)

    known = guide(picture, span)
    assert made.shape == known.shape and (made - known).abs().max() < 2.1 / 255


@pytest.mark.parametrize("name", ["yuv420p", "yuv420p10le", "gray16le", "gbrp", "yuva444p16le"])
def test_codes_are_the_planes_and_come_back_as_they_went(name):
    picture = frame(name)
    codes = compose.to_codes(picture)

    back = compose.Arriving(codes, compose.layout_of(picture), picture, Fraction(1, 3)).frame()

    assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(picture.planes, back.planes))
    assert back.time == Fraction(1, 3)
    assert all(torch.equal(compose.as_values(c), t) for c, t in zip(codes, compose.to_tensors(picture)))


def test_pending_reports_are_read_together_and_count_as_if_they_had_come_at_once():
    reports = [
        PendingReport(8 * (k + 1), torch.tensor([[0.5 - k, 0.1 * k], [0.7, 0.3]]), torch.tensor(0.25 * k))
        for k in range(3)
    ]
    pairs = [4, 4, 7]
    late, early = Statistics(), Statistics()
    for pair, report in zip(pairs, reports):
        late.record(pair, report)
        early.record(pair, settled(report))

    assert (late.pairs, late.last_pair) == (0, 7)
    late.settle()

    def facts(held):
        return held.pairs, held.nfe, held.min_det, held.folded, held.confidence, held.last_pair

    # Of a pair's reports the last one covers all times: a minimum of an earlier one is in it.
    assert facts(late) == pytest.approx(facts(early))
    assert settled(reports[1]) == MotionReport(16, -0.5, pytest.approx(0.2), 0.25)


def test_a_long_film_does_not_keep_its_reports():
    facts = Statistics()
    for pair in range(3 * MOST_PENDING):
        facts.record(pair, PendingReport(1, torch.ones(2, 2), torch.tensor(1.0)))
        assert len(facts._pending) <= MOST_PENDING
    assert facts.pairs > MOST_PENDING
