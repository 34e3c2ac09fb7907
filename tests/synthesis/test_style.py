"""Films in a style: what is shown at source times and between, what goes on over segments, and what stands still."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from painted import from_rgb
from photo_shots import frame, shot

from vfi_pipeline.media.frames import Frame, pixel_format
from vfi_pipeline.media.scaling import Scaling
from vfi_pipeline.media.timeline import SourceTimes, Timeline
from vfi_pipeline.models.blend import Blend
from vfi_pipeline.models.motion import IntermediateMotion, MotionReport
from vfi_pipeline.synthesis import stream
from vfi_pipeline.synthesis.mask import Mask
from vfi_pipeline.synthesis.rgb import to_rgb
from vfi_pipeline.synthesis.style import NetworkPainter, StyleSettings, Stylist, read_picture, write_picture


class Inverting:
    """A painter whose pictures are known: the negative, halfway to the earlier frame where that is trusted."""

    looks_back = True

    def __init__(self):
        self.seen, self.trust = [], []

    def paint(self, index, image, expected, confidence):
        self.seen.append(index)
        self.trust.append(None if confidence is None else float(confidence.mean()))
        if expected is None:
            return 1 - image
        return torch.lerp(1 - image, expected, 0.5 * confidence)


class Still(Blend):
    """A model that has looked and found that nothing moves."""

    guide_span = 64

    def motion(self, window):
        window.first.guide(64)
        return self

    def at(self, times):
        zero, one = torch.zeros(1, 2, 1, 1), torch.ones(1, 1, 1, 1)
        return [IntermediateMotion(t, zero, zero, (1 - t) * one) for t in times]

    def report(self):
        return MotionReport(1, 1.0, 0.0)


def film(name="yuv420p", count=6, photo="coffee"):
    pictures = [frame(rgb[:48, :64], name) for rgb in shot(photo, count)]
    return [Frame(f.planes, f.format, f.width, f.height, Fraction(k, 24)) for k, f in enumerate(pictures)]


def outputs(frames, style, model=None, target=48, start=0, stop=None, before=2, **options):
    times = SourceTimes(range(len(frames)), Fraction(1, 24), Fraction(1, 24))
    timeline = Timeline(times, Fraction(target))
    settings = stream.Options(scene=False, style=style, **options)
    slots = list(timeline.slots(start, timeline.count if stop is None else stop))
    first = max(0, slots[0].source - before)
    numbered = list(enumerate(frames))[first:]
    return list(stream.interpolate(numbered, slots, model or Blend(), settings, times))


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one.planes, other.planes))


@pytest.mark.parametrize("name", ["yuv420p", "gray"])
def test_source_times_show_the_painted_frame_and_between_lies_their_mean(name):
    frames = film(name)
    made = outputs(frames, Stylist(Inverting()))
    painted = [from_rgb((1 - to_rgb(f)).half().float(), f) for f in frames]
    for k, want in enumerate(painted):
        assert same(made[2 * k].frame, want) and not made[2 * k].made and made[2 * k].frame.time == Fraction(k, 24)
    between = (painted[0].planes[0].astype(float) + painted[1].planes[0]) / 2
    assert np.abs(made[1].frame.planes[0] - between).max() <= 0.5 and made[1].made


@pytest.mark.parametrize("exposure", [None, Fraction(1, 48), Fraction(1, 12)])
@pytest.mark.parametrize("size", [None, (96, 54), (40, 48)])
def test_another_size_and_motion_blur_are_those_of_the_painted_film(exposure, size):
    frames = film()
    scaling = size and Scaling((64, 48), size, (0, 0, *size), (Fraction(0), Fraction(0), Fraction(64), Fraction(48)))
    settings = {"target": 12 if exposure else 48, "exposure_s": exposure, "scaling": scaling}
    painted = [from_rgb((1 - to_rgb(f)).half().float(), f) for f in frames]
    made, wanted = outputs(frames, Stylist(Inverting()), **settings), outputs(painted, None, **settings)
    assert all(same(one.frame, other.frame) for one, other in zip(made, wanted, strict=True))


@pytest.mark.parametrize("exposure", [None, Fraction(1, 48)])
def test_frames_that_nothing_is_made_of_lead_to_the_next_all_the_same(exposure):
    painter = Inverting()
    outputs(film(count=12), Stylist(painter), Still(), target=6, exposure_s=exposure)
    assert painter.seen == list(range(len(painter.seen))) and len(painter.seen) >= 9
    assert painter.trust == [None] + [1] * (len(painter.seen) - 1)


def test_what_the_mask_protects_is_not_painted_in_another_size_or_motion_blur():
    frames, values = film(), np.zeros((48, 64))
    values[:, :32] = 1
    double = Scaling((64, 48), (128, 96), (0, 0, 128, 96), (Fraction(0), Fraction(0), Fraction(64), Fraction(48)))
    for settings in ({"scaling": double}, {"exposure_s": Fraction(1, 48)}):
        made = outputs(frames, Stylist(Inverting()), mask=Mask(values), **settings)
        plain = outputs(frames, None, mask=Mask(values), **settings)
        middle = made[4].frame.planes[0].shape[1] // 2
        for one, other in zip(made, plain, strict=True):
            left, right = slice(0, middle - 4), slice(middle + 4, None)
            assert np.array_equal(one.frame.planes[0][:, left], other.frame.planes[0][:, left])
            assert not np.array_equal(one.frame.planes[0][:, right], other.frame.planes[0][:, right])


def test_each_frame_is_painted_once_in_order():
    painter = Inverting()
    outputs(film(), Stylist(painter), target=240)
    assert painter.seen == [0, 1, 2, 3, 4, 5]


def test_a_model_of_motion_shows_the_painter_the_frame_before_and_one_without_does_not():
    looking, blind = Inverting(), Inverting()
    outputs(film(), Stylist(looking), Still())
    outputs(film(), Stylist(blind), Blend())
    assert looking.trust == [None, 1, 1, 1, 1, 1] and blind.trust == [None] * 6


def test_a_cut_begins_the_style_anew():
    painter = Inverting()
    outputs(film(count=3) + film(count=3, photo="chelsea"), Stylist(painter), Still(), cuts=(3,))
    assert painter.trust == [None, 1, 1, None, 1, 1]


def test_a_picture_that_stays_is_painted_once():
    frames = film(count=2)
    frames = [frames[0], *(Frame(frames[1].planes, frames[1].format, 64, 48, Fraction(k, 24)) for k in range(1, 5))]
    painter = Inverting()
    made = outputs(frames, Stylist(painter), Still())
    assert painter.seen == [0, 1]
    assert all(same(output.frame, made[2].frame) for output in made[2:])


def test_strength_zero_is_the_film_itself_and_paints_nothing():
    painter = Inverting()
    for output, plain in zip(outputs(film(), Stylist(painter, StyleSettings(strength=0.0))), outputs(film(), None)):
        assert same(output.frame, plain.frame)
    assert painter.seen == []


def test_half_the_strength_lies_halfway():
    frames = film()
    made = outputs(frames, Stylist(Inverting(), StyleSettings(strength=0.5)))
    full = outputs(frames, Stylist(Inverting()))
    middle = (frames[2].planes[0].astype(float) + full[4].frame.planes[0]) / 2
    assert np.abs(made[4].frame.planes[0] - middle).max() <= 0.5


def test_colours_that_are_kept_are_the_sources_own():
    frames = film()
    made = outputs(frames, Stylist(Inverting(), StyleSettings(keep_colour=True)))
    assert all(np.array_equal(a, b) for a, b in zip(made[4].frame.planes[1:], frames[2].planes[1:]))
    assert not np.array_equal(made[4].frame.planes[0], frames[2].planes[0])


def test_what_the_mask_protects_is_not_painted():
    frames, values = film(), np.zeros((48, 64))
    values[:, :32] = 1
    made = outputs(frames, Stylist(Inverting()), mask=Mask(values))
    source, shown = frames[2].planes[0], made[4].frame.planes[0]
    assert np.array_equal(shown[:, :31], source[:, :31]) and not np.array_equal(shown[:, 33:], source[:, 33:])


@pytest.mark.parametrize("name", ["yuva444p10le", "gbrap", "yuv422p10le", "gray16le", "yuv410p"])
@pytest.mark.parametrize("size", [(33, 27), (2, 2)])
def test_every_format_and_size_keeps_its_own(name, size):
    form, random = pixel_format(name), np.random.default_rng(1)
    frames = []
    for k in range(3):
        planes = tuple(
            random.integers(0, form.peak + 1, form.plane_size(p, *size)).astype(form.dtype)
            for p in range(len(form.planes))
        )
        frames.append(Frame(planes, form, *size, Fraction(k, 24)))
    made = outputs(frames, Stylist(Inverting()))
    assert {(o.frame.format.name, o.frame.width, o.frame.height) for o in made} == {(name, *size)}
    if form.has_alpha:
        assert np.array_equal(made[2].frame.planes[-1], frames[1].planes[-1])


def test_a_smaller_working_size_still_gives_frames_of_the_films_size():
    painter = Inverting()
    shapes = []
    painter_paint = painter.paint
    painter.paint = lambda index, image, *rest: (
        shapes.append(tuple(image.shape[-2:])) or painter_paint(index, image, *rest)
    )
    made = outputs(film(), Stylist(painter, StyleSettings(size=32)), Still())
    assert set(shapes) == {(24, 32)} and made[0].frame.planes[0].shape == (48, 64)


def test_segments_go_on_where_the_one_before_ended_whoever_makes_them(tmp_path):
    frames = film(count=8)
    whole = outputs(frames, Stylist(Inverting()), Still())
    parts = []
    for number, (start, stop) in enumerate(((0, 6), (6, 11), (11, 16))):
        style = Stylist(Inverting(), memory=tmp_path / "style")  # a process of its own
        style.segment_begins(number)
        parts += outputs(frames, style, Still(), start=start, stop=stop)
        style.segment_ends(number)
    assert all(same(one.frame, other.frame) for one, other in zip(parts, whole, strict=True))


def test_segments_of_a_slower_film_go_on_over_the_frames_between(tmp_path):
    frames = film(count=16)
    whole = outputs(frames, Stylist(Inverting()), Still(), target=6)
    parts = []
    for number, (start, stop) in enumerate(((0, 1), (1, 3), (3, 4))):
        style = Stylist(Inverting(), memory=tmp_path / "style")
        style.segment_begins(number)
        parts += outputs(frames, style, Still(), target=6, start=start, stop=stop, before=stream.CONTEXT_BEFORE)
        style.segment_ends(number)
    assert all(same(one.frame, other.frame) for one, other in zip(parts, whole, strict=True))


def test_moments_apart_do_not_depend_on_each_other(tmp_path):
    frames = film()
    together, apart = Stylist(Inverting(), memory=tmp_path, apart=True), []
    for number, start in enumerate((7, 1, 2)):
        together.segment_begins(number)
        (made,) = outputs(frames, together, Still(), start=start, stop=start + 1)
        together.segment_ends(number)
        (alone,) = outputs(frames, Stylist(Inverting()), Still(), start=start, stop=start + 1)
        apart.append(same(made.frame, alone.frame))
    assert apart == [True] * 3 and not list(tmp_path.iterdir())


def test_a_segment_that_ends_in_a_picture_that_stays_is_remembered(tmp_path):
    frames = film(count=3)
    frames += [Frame(frames[2].planes, frames[2].format, 64, 48, Fraction(k, 24)) for k in range(3, 6)]
    whole = outputs(frames, Stylist(Inverting()), Still())
    first, second = (Stylist(Inverting(), memory=tmp_path) for _ in range(2))
    parts = outputs(frames, first, Still(), stop=8)
    first.segment_ends(0)
    second.segment_begins(1)
    parts += outputs(frames, second, Still(), start=8)
    assert all(same(one.frame, other.frame) for one, other in zip(parts, whole, strict=True))
    assert second.painter.seen == []


def test_a_damaged_memory_is_told_and_the_style_begins_anew(tmp_path, caplog):
    (tmp_path / "segment_00000.safetensors").write_bytes(b"nothing")
    style = Stylist(Inverting(), memory=tmp_path)
    style.segment_begins(1)
    assert "damaged" in caplog.text


def test_a_shots_first_frame_is_painted_after_itself_until_it_stands():
    calls = []

    def network(image, earlier, mask):
        calls.append(None if earlier is None else float(mask.mean()))
        return 1 - image if earlier is None else torch.lerp(1 - image, earlier, 0.5)

    NetworkPainter(network, settle=3).paint(0, torch.rand(1, 3, 4, 4), None, None)
    assert calls == [None, 1, 1, 1]
    NetworkPainter(network).paint(1, torch.rand(1, 3, 4, 4), torch.rand(1, 3, 4, 4), torch.full((1, 1, 4, 4), 0.5))
    NetworkPainter(network, looks_back=False).paint(1, torch.rand(1, 3, 4, 4), None, None)
    assert calls[4:] == [0.5, None]


def test_the_preview_is_the_latest_painted_frame(tmp_path):
    frames = film(count=3)
    outputs(frames, Stylist(Inverting(), StyleSettings(preview=tmp_path / "live.png")))
    assert (read_picture(tmp_path / "live.png") - (1 - to_rgb(frames[2]))).abs().max() < 0.6 / 255
    assert [path.name for path in tmp_path.iterdir()] == ["live.png"]


def test_pictures_are_read_as_they_were_written(tmp_path):
    picture = torch.randint(0, 256, (1, 3, 5, 7)) / 255
    write_picture(tmp_path / "a.png", picture)
    assert torch.allclose(read_picture(tmp_path / "a.png"), picture, atol=1e-6)
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:30])
    assert read_picture(tmp_path / "b.png") is None and read_picture(tmp_path / "c.png") is None
