"""Segments: every output frame in exactly one, the same ones each time, none too long."""

from __future__ import annotations

from fractions import Fraction as F
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from vfi_pipeline.jobs.plan import LENGTH, most_frames, segments_of
from vfi_pipeline.media.timeline import SourceTimes, Timeline

SMALL = 640 * 360


def film(gaps, rate, **options):
    times = SourceTimes(tuple(accumulate(gaps, initial=0)), F(1, 1000), F(40, 1000))
    return Timeline(times, rate, **options)


@given(
    gaps=st.lists(st.integers(1, 3000), max_size=80), rate=st.sampled_from([F(1, 2), F(24000, 1001), F(60), F(240)]),
    length=st.sampled_from([F(1, 10), F(1), F(5), F(20)]), slowdown=st.sampled_from([F(1), F(8)]),
)  # fmt: skip
def test_segments_tile_the_output(gaps, rate, length, slowdown):
    timeline = film(gaps, rate, slowdown=slowdown)
    segments = segments_of(timeline, length, SMALL)
    assert [s.number for s in segments] == list(range(len(segments)))
    assert segments[0].start == 0 and segments[-1].stop == timeline.count
    assert all(a.stop == b.start for a, b in zip(segments, segments[1:]))
    for segment in segments:
        assert segment.frames > 0
        slots = list(timeline.slots(segment.start, segment.stop))
        assert segment.first == min(s.source for s in slots)
        assert segment.last == max(s.source + bool(s.t) for s in slots)
    for segment in segments[1:]:  # a segment starts with a frame of its own: no pair is solved twice
        assert timeline.slot(segment.start - 1).source < segment.first


def test_twenty_seconds_of_film_rate_by_hand():
    times = SourceTimes(range(24 * 65), F(1, 24), F(1, 24))
    segments = segments_of(Timeline(times, F(60)), F(20), SMALL)
    assert [(s.start, s.stop) for s in segments] == [(0, 1200), (1200, 2400), (2400, 3900)]  # 5 s join the last
    assert [(s.first, s.last) for s in segments] == [(0, 480), (480, 960), (960, 1559)]


def test_slow_motion_gets_shorter_segments():
    times = SourceTimes(range(24 * 60), F(1, 24), F(1, 24))
    segments = segments_of(Timeline(times, F(24), slowdown=F(10)), F(20), SMALL)
    assert max(s.frames for s in segments) <= 1.6 * LENGTH.most_frames


def test_context_stays_within_the_film():
    times = SourceTimes(range(240), F(1, 24), F(1, 24))
    first, *_, last = (s.within(6, 3, 0, 239) for s in segments_of(Timeline(times, F(48)), F(2), SMALL))
    assert (first.first, first.last) == (0, 48 + 3)
    assert last.last == 239 and last.first == 192 - 6


def test_large_pictures_get_shorter_segments():
    times = SourceTimes(range(24 * 60), F(1, 24), F(1, 24))
    uhd = segments_of(Timeline(times, F(60)), F(20), 3840 * 2160)
    assert max(s.frames for s in uhd) <= 1.6 * 75
    sizes = (640, 360), (1920, 1080), (3840, 2160), (7680, 4320)
    assert [most_frames(w * h) for w, h in sizes] == [1200, 300, 75, 60]
