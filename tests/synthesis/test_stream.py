"""From source frames to output frames: one solve a pair, nothing mixed at cuts, repeats re-timed, bounded reading."""

import weakref
from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vfi_pipeline.errors import UserError
from vfi_pipeline.media.frames import Frame, pixel_format
from vfi_pipeline.media.timeline import Slot, SourceTimes, Timeline
from vfi_pipeline.models.blend import Blend, CrossFade
from vfi_pipeline.models.hold import Hold
from vfi_pipeline.models.motion import IntermediateMotion, MotionReport
from vfi_pipeline.synthesis import stream
from vfi_pipeline.synthesis.mask import Mask

PLAIN = stream.Options(scene=False)


def grey(level, time=Fraction(0), name="gray16le", size=(8, 6)):
    fmt = pixel_format(name)
    planes = tuple(np.full(fmt.plane_size(k, *size), level, fmt.dtype) for k in range(len(fmt.planes)))
    return Frame(planes, fmt, *size, time)


def film(levels, rate=24, **options):
    """Frames of one level each, so that an output's level tells what it was mixed of."""
    return [grey(level, Fraction(k, rate), **options) for k, level in enumerate(levels)]


def timeline(count, rate=24, target=60):
    times = SourceTimes(range(count), Fraction(1, rate), Fraction(1, rate))
    return times, Timeline(times, Fraction(target))


def run(frames, slots, model=None, options=PLAIN, **more):
    return list(stream.interpolate(enumerate(frames), slots, model or Blend(), options, **more))


def level(output):
    plane = output.frame.planes[0]
    assert (plane == plane[0, 0]).all()
    return int(plane[0, 0])


class Spy(Blend):
    """A cross-fade that writes down what it is asked, in order of the frames: windows may be solved side by side."""

    guide_span = 4

    def __init__(self):
        self.windows, self.times = {}, []

    @property
    def calls(self):
        """The levels of (before, first, last, after) of every window."""
        return [self.windows[index] for index in sorted(self.windows)]

    @property
    def pairs(self):
        return [call[1:3] for call in self.calls]

    def motion(self, window):
        frames = (window.before, window.first, window.last, window.after)
        assert all(frame.guide(4).shape == (1, 3, 3, 4) for frame in frames if frame is not None)
        levels = [None if f is None else round(float(f.guide(4).mean()) * 65535) for f in frames]
        assert window.first.index not in self.windows, "solved twice"
        self.windows[window.first.index] = tuple(levels)
        return self.Pair(self.times)

    class Pair(CrossFade):
        def __init__(self, times):
            self.times, self.asked = times, 0

        def at(self, times):
            self.times.append(list(times))
            self.asked += len(times)
            return super().at(times)

        def report(self):
            return MotionReport(nfe=10 * self.asked, min_det=0.5, folded=0.25, confidence=0.75)


@given(rate=st.fractions(min_value=5, max_value=150, max_denominator=1001), count=st.integers(1, 7))
def test_every_slot_gets_its_frame_in_order_and_the_mix_that_its_time_says(rate, count):
    times, line = timeline(count, target=rate)
    levels = [1000 * k * k for k in range(count)]
    outputs = run(film(levels), line.slots())
    assert [o.slot for o in outputs] == list(line.slots())
    for output in outputs:
        _, time, source, t = output.slot
        low, high = levels[source], levels[min(source + 1, count - 1)]
        assert abs(level(output) - (low + float(t) * (high - low))) <= 0.51
        assert output.frame.time == time and output.made == bool(t)


def test_source_frames_pass_through_untouched():
    rng = np.random.default_rng(0)
    fmt = pixel_format("yuv420p10le")
    frames = [
        Frame(tuple(rng.integers(0, 1024, fmt.plane_size(k, 13, 7)).astype("<u2") for k in range(3)), fmt, 13, 7)
        for _ in range(4)
    ]
    for output in run(frames, timeline(4, target=48)[1].slots()):
        if not output.slot.t:
            assert all(p is q for p, q in zip(output.frame.planes, frames[output.slot.source].planes))


def test_one_solve_per_pair_for_all_its_times_and_none_where_nothing_is_made():
    spy, facts = Spy(), stream.Statistics()
    slots = [Slot(0, Fraction(0), 0, Fraction(0)), *(Slot(k, Fraction(k), 1, Fraction(k, 21)) for k in range(1, 21))]
    run(film([100, 200, 300, 400]), slots, spy, statistics=facts)
    assert spy.calls == [(100, 200, 300, 400)]
    assert sum(spy.times, []) == pytest.approx([k / 21 for k in range(1, 21)])
    assert max(map(len, spy.times)) <= PLAIN.times_per_solve
    assert (facts.pairs, facts.nfe, facts.min_det, facts.folded, facts.confidence) == (1, 200, 0.5, 0.25, 0.75)
    assert (facts.made, facts.copied) == (20, 1)


def test_every_pair_is_seen_with_the_frames_around_it():
    spy = Spy()
    run(film([100, 200, 300, 400]), timeline(4, target=48)[1].slots(), spy)
    assert spy.calls == [(None, 100, 200, 300), (100, 200, 300, 400), (200, 300, 400, None)]


@pytest.mark.parametrize("at_cut", ["hold", "blend"])
def test_no_motion_crosses_a_cut_and_hold_mixes_nothing(at_cut):
    spy, facts = Spy(), stream.Statistics()
    options = stream.Options(cuts=(2, 40), at_cut=at_cut)
    outputs = run(film([0, 100, 60000, 60100]), timeline(4)[1].slots(), spy, options, statistics=facts)
    between = [level(o) for o in outputs if 1 < o.slot.source + o.slot.t < 2]
    assert len(between) == 2
    assert between == [100, 100] if at_cut == "hold" else all(100 < v < 60000 for v in between)
    assert spy.calls == [(None, 0, 100, None), (None, 60000, 60100, None)]
    assert facts.cuts == [2] and facts.cut_times == [Fraction(2, 24)]


def test_found_cuts_hold_as_given_ones_do():
    rng = np.random.default_rng(0)
    fmt = pixel_format("gray")
    scenes = [np.kron(rng.integers(0, 256, (14, 24)), np.ones((8, 8))).astype(np.uint8) for _ in range(3)]
    frames = [Frame((np.roll(scenes[k // 5], k, 1),), fmt, 192, 112) for k in range(15)]
    facts = stream.Statistics()
    outputs = run(frames, timeline(15, target=48)[1].slots(), Blend(), stream.Options(), statistics=facts)
    assert facts.cuts == [5, 10]
    for output in outputs:
        if output.slot.source in (4, 9) and output.slot.t:
            assert np.array_equal(output.frame.planes[0], frames[output.slot.source].planes[0])


def test_dedup_spreads_the_motion_over_the_repeats_and_keeps_every_slot():
    facts = stream.Statistics()
    times, line = timeline(9, target=24)
    levels = [0, 0, 1200, 1200, 2400, 2400, 2400, 4200, 4200]  # on twos, once on threes
    options = stream.Options(scene=False, dedup=True, dedup_threshold=0.1)
    outputs = run(film(levels), line.slots(), Blend(), options, times=times, statistics=facts)
    assert [o.slot for o in outputs] == list(line.slots())
    assert [level(o) for o in outputs] == [0, 600, 1200, 1800, 2400, 3000, 3600, 4200, 4200]
    assert facts.duplicates == [1, 3, 5, 6]


def test_dedup_uses_the_times_of_the_frames():
    times = SourceTimes([0, 1, 4, 5], Fraction(1, 24), Fraction(1, 24))  # a repeat that stays for three ticks
    slots = [Slot(0, Fraction(0), 1, Fraction(0)), Slot(1, Fraction(0), 1, Fraction(1, 3))]
    outputs = run(film([0, 0, 2000, 4000]), slots, Blend(), stream.Options(scene=False, dedup=True), times=times)
    assert [level(o) for o in outputs] == [500, 1000]


@pytest.mark.parametrize("cuts", [(), (12,)])
def test_a_long_hold_is_held_and_so_is_one_before_a_cut(cuts):
    levels = [0] * 10 + [3000] * 2 + [6000] * 2 + [9000]
    times, line = timeline(len(levels), target=48)
    options = stream.Options(cuts=cuts, dedup=True, dedup_threshold=0.1, dedup_max_span_s=0.2)
    outputs = run(film(levels), line.slots(), Blend(), options, times=times)
    got = {o.slot.source + o.slot.t: level(o) for o in outputs}
    assert all(got[Fraction(k, 2)] == 0 for k in range(19))
    assert got[Fraction(19, 2)] == 1500  # the last of the hold leads on at the native pace
    assert got[Fraction(11)] == (3000 if cuts else 4500)
    assert got[Fraction(23, 2)] == (3000 if cuts else 5250)


def test_a_hole_in_the_time_stamps_is_held_and_no_window_looks_across_it():
    times = SourceTimes([0, 1, 2, 14, 15], Fraction(1, 10), Fraction(1, 10))
    line, levels, facts = Timeline(times, Fraction(20)), [0, 1000, 2000, 14000, 15000], stream.Statistics()
    model = Spy()
    options = stream.Options(scene=False, max_gap_s=Fraction(1))
    outputs = run(film(levels), line.slots(), model, options, times=times, statistics=facts)

    assert [level(o) for o in outputs] == [0, 500, 1000, 1500] + 24 * [2000] + [14000, 14500, 15000, 15000]
    assert facts.held == 23 and facts.made == 3
    assert model.calls == [(None, 0, 1000, 2000), (0, 1000, 2000, None), (None, 14000, 15000, None)]

    filled = run(film(levels), line.slots(), Blend(), PLAIN, times=times)
    assert [level(o) for o in filled] == [500 * k for k in range(31)] + [15000]


def test_repeats_count_in_the_length_of_a_hole():
    times = SourceTimes([0, 1, 2, 11], Fraction(1, 10), Fraction(1, 10))  # 0.9 s from the repeat, 1.0 s from its first
    line = Timeline(times, Fraction(10))
    options = stream.Options(scene=False, dedup=True, max_gap_s=Fraction(19, 20), dedup_max_span_s=5)
    outputs = run(film([0, 3000, 3000, 23000]), line.slots(), Blend(), options, times=times)

    assert level(outputs[6]) == 13000


def test_dedup_does_not_span_two_shots_that_look_alike():
    levels = [0, 0, 0, 0, 5000]
    times, line = timeline(5, target=48)
    outputs = run(film(levels), line.slots(), Blend(), stream.Options(cuts=(2,), dedup=True), times=times)
    assert [level(o) for o in outputs if o.slot.source < 2] == [0, 0, 0, 0]


def test_equal_frames_give_that_frame_whatever_the_model_says():
    class Wild(Spy):
        def motion(self, window):
            raise AssertionError("nothing to estimate")

    facts = stream.Statistics()
    outputs = run(film([700, 700]), timeline(2)[1].slots(), Wild(), statistics=facts)
    assert {level(o) for o in outputs} == {700} and not any(o.made for o in outputs)
    assert facts.held == len(outputs) - facts.copied > 0


def test_the_mask_keeps_the_nearer_source_frame():
    mask = np.zeros((6, 8), np.float32)
    mask[:, :4] = 1
    options = stream.Options(scene=False, mask=Mask(mask))
    slots = [Slot(0, Fraction(0), 0, Fraction(1, 4)), Slot(1, Fraction(0), 0, Fraction(3, 4))]
    early, late = run(film([0, 40000]), slots, Blend(), options)
    assert [int(o.frame.planes[0][3, 1]) for o in (early, late)] == [0, 40000]
    assert [int(o.frame.planes[0][3, 6]) for o in (early, late)] == [10000, 30000]


def test_hold_shows_source_frames_only():
    outputs = run(film([5, 900, 20]), timeline(3)[1].slots(), Hold())
    assert [level(o) for o in outputs] == [5, 5, 5, 900, 900, 20, 20, 20]


@pytest.mark.parametrize(
    "options", [PLAIN, stream.Options(), stream.Options(dedup=True)], ids=["plain", "scene", "scene and dedup"]
)
def test_reading_ahead_is_bounded_and_so_is_what_is_alive(options):
    ahead, alive = [], set()

    def frames():
        for k in range(120):
            plane = np.full((6, 8), 300 * (k // 2), "<u2")
            alive.add(k)
            weakref.finalize(plane, alive.discard, k)
            ahead.append(k)
            yield k, Frame((plane,), pixel_format("gray16le"), 8, 6, Fraction(k, 24))

    times, line = timeline(120, target=48)
    for output in stream.interpolate(frames(), line.slots(), Blend(), options, times):
        assert ahead[-1] - output.slot.source <= stream.CONTEXT_AFTER
        assert len(alive) <= stream.CONTEXT_AFTER + 4


def test_a_segment_with_context_equals_the_whole_film():
    levels = [0, 0, 900, 900, 1800, 2700, 2700, 3600, 3600, 4500, 5400, 6300]
    times, line = timeline(12)
    options = stream.Options(cuts=(5,), dedup=True, dedup_threshold=0.05)
    frames = list(enumerate(film(levels)))
    whole = [level(o) for o in stream.interpolate(frames, line.slots(), Blend(), options, times)]
    for cut in (7, 13, 20):
        parts = []
        for start, stop in ((0, cut), (cut, len(line))):
            low, high = line.sources(start, stop)
            inside = [f for f in frames if low - stream.CONTEXT_BEFORE <= f[0] <= high + stream.CONTEXT_AFTER]
            parts += [level(o) for o in stream.interpolate(inside, line.slots(start, stop), Blend(), options, times)]
        assert parts == whole


@pytest.mark.parametrize("prefetch", [0, 1, 30])
def test_what_was_begun_before_the_film_breaks_still_comes(prefetch):
    frames, slots, facts = film([0, 300, 600]), timeline(6, target=72)[1].slots(), stream.Statistics()
    taken = []
    with pytest.raises(UserError, match="breaks off after frame 2"):
        options = replace(PLAIN, prefetch=prefetch)
        for output in stream.interpolate(enumerate(frames), slots, Blend(), options, statistics=facts):
            taken.append(level(output))
            assert facts.made + facts.copied == len(taken)
    assert taken == [0, 100, 200, 300, 400, 500, 600] and (facts.made, facts.copied) == (4, 3)


class Tilted(Blend):
    """Moves the pixels by a way that differs from place to place and from t to t."""

    def motion(self, window):
        return self

    def at(self, times):
        way = torch.linspace(-3, 3, 2 * 5 * 7).view(1, 2, 5, 7)
        return [IntermediateMotion(t, t * way, (t - 1) * way, torch.full((1, 1, 5, 7), 1 - t)) for t in times]

    def report(self):
        return MotionReport(1, 1.0, 0.0)


@pytest.mark.parametrize("held, ahead", [(1 << 27, 16), (250, 2), (50, 0)])
def test_no_more_is_begun_ahead_than_may_be_held(held, ahead):
    read, options = [], replace(PLAIN, prefetch_bytes=held)

    def frames():
        for frame in enumerate(film([0] * 40)):  # 96 bytes each
            read.append(frame[0])
            yield frame

    outputs = stream.interpolate(frames(), timeline(40, target=24)[1].slots(), Blend(), options)
    for number in range(20):
        next(outputs)
        assert read[-1] <= number + ahead + 3  # the window behind the outputs
    assert read[-1] >= 19 + ahead
    outputs.close()


def test_beginning_ahead_changes_no_bit_and_gives_the_threads_back():
    rng, fmt = np.random.default_rng(0), pixel_format("yuv420p")
    planes = [[rng.integers(0, 256, fmt.plane_size(k, 64, 48), np.uint8) for k in range(3)] for _ in range(6)]
    frames = [Frame(tuple(p), fmt, 64, 48, Fraction(k, 24)) for k, p in enumerate(planes)]
    threads = cv2.getNumThreads()

    slots = list(timeline(6, target=180)[1].slots())
    made = [run(frames, slots, Tilted(), replace(PLAIN, prefetch=prefetch)) for prefetch in (0, 1, 8)]

    for other in made[1:]:
        assert [o.slot for o in other] == [o.slot for o in made[0]]
        for one, two in zip(made[0], other):
            assert all(np.array_equal(p, q) for p, q in zip(one.frame.planes, two.frame.planes))
    assert cv2.getNumThreads() == threads
    half = stream.interpolate(enumerate(frames), timeline(6)[1].slots(), Blend(), PLAIN)
    next(half)
    half.close()
    assert cv2.getNumThreads() == threads


def test_a_film_that_breaks_off_says_so():
    with pytest.raises(UserError, match="breaks off after frame 2"):
        run(film([0, 1, 2]), timeline(6)[1].slots())
    with pytest.raises(UserError, match="breaks off before its first frame"):
        run([], timeline(2)[1].slots())


def test_a_picture_that_changes_its_size_is_refused_with_the_time():
    frames = [*film([0, 1]), grey(2, Fraction(2, 24), size=(10, 6))]
    with pytest.raises(UserError, match="changes from 8x6 gray16le to 10x6 gray16le at frame 2") as error:
        run(frames, timeline(3)[1].slots())
    assert "0.083" in str(error.value)


def test_no_slots_need_no_frames():
    assert run([], []) == []


def test_the_guide_follows_the_models_span():
    spans = []

    class Small(Spy):
        def motion(self, window):
            spans.append(tuple(window.first.guide(self.guide_span).shape))
            return CrossFade()

    run(film([0, 1]), timeline(2)[1].slots(), Small())
    assert spans == [(1, 3, 3, 4)] and torch.is_inference_mode_enabled() is False


def test_the_model_sees_the_frames_around_a_pair_but_not_across_cuts_holes_and_repeats():
    asked = {}

    class Looks(Blend):
        guide_span = 64

        def motion(self, window):
            asked[window.first.index] = window
            return super().motion(window)

    levels = [0, 200, 400, 3000, 3200, 3400, 3400, 3600, 3800]
    times = SourceTimes((0, 1, 2, 3, 4, 6, 7, 8, 40), Fraction(1, 24), Fraction(1, 24))
    line = Timeline(times, Fraction(48))
    options = stream.Options(cuts=(3,), max_gap_s=Fraction(1))
    frames = [(k, grey(level, times.time(k))) for k, level in enumerate(levels)]
    list(stream.interpolate(frames, line.slots(), Looks(), options, times))

    windows = [asked[index] for index in sorted(asked)]
    around = [(w.before is not None, w.after is not None) for w in windows]
    # pairs:      0-1            1-2 (cut behind)  3-4 (cut before)  4-5 (repeat behind)  6-7 (repeat, hole)
    assert around == [(False, True), (True, False), (False, True), (True, False), (False, False)]
    assert (windows[2].span_after, windows[3].span_before) == (2.0, 0.5)
    # One observation of each frame, so that what one window has computed serves the next.
    assert windows[1].before is windows[0].first and windows[2].after is windows[3].last


def test_two_windows_compute_what_they_share_once_even_side_by_side():
    computed = []

    class Shares(Blend):
        guide_span = 8

        def motion(self, window):
            for first, last in window.pairs():
                first.recall(("pair", last.index), lambda pair=(first.index, last.index): computed.append(pair))
            return super().motion(window)

    run(film([100 * k for k in range(12)]), timeline(12, target=48)[1].slots(), Shares())
    assert sorted(computed) == [(k, k + 1) for k in range(11)]
