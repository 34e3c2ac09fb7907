"""The timeline, against cases worked by hand and against a slow, obvious model of the rule."""

from __future__ import annotations

from fractions import Fraction as F
from itertools import accumulate
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfi_pipeline.media.timeline import SourceTimes, Timeline

RATES = [F(10), F(24000, 1001), F(24), F(25), F(30000, 1001), F(50), F(60000, 1001), F(60), F(120), F(37, 3)]


def even(count: int, rate: F, first: int = 0) -> SourceTimes:
    base = F(1, rate.numerator)
    step = rate.denominator
    return SourceTimes(tuple(first + k * step for k in range(count)), base, 1 / rate)


@st.composite
def films(draw) -> SourceTimes:
    """Variable frame rate: any start, gaps of 1 to 300 ticks, any usual time base."""
    gaps = draw(st.lists(st.integers(1, 300), min_size=0, max_size=30))
    base = draw(st.sampled_from([F(1, 1000), F(1, 90000), F(1001, 30000), F(1, 12800), F(1, 100)]))
    last = draw(st.integers(1, 300))
    return SourceTimes(tuple(accumulate(gaps, initial=draw(st.integers(-500, 500)))), base, last * base)


rates = st.one_of(st.sampled_from(RATES), st.fractions(min_value=F(1, 3), max_value=300, max_denominator=1001))


def test_doubling_three_frames_by_hand():
    timeline = Timeline(even(3, F(25)), F(50))
    assert [(s.index, s.time, s.source, s.t) for s in timeline.slots()] == [
        (0, F(0), 0, F(0)),
        (1, F(1, 50), 0, F(1, 2)),
        (2, F(2, 50), 1, F(0)),
        (3, F(3, 50), 1, F(1, 2)),
        (4, F(4, 50), 2, F(0)),
        (5, F(5, 50), 2, F(0)),  # the last frame is held for its own duration
    ]
    assert timeline.duration == F(3, 25)


def test_film_rate_to_sixty_samples_t_directly():
    timeline = Timeline(even(24, F(24000, 1001)), F(60))
    assert timeline.count == 61  # 1.001 s x 60 = 60.06, and a frame that has started is shown
    # Frame 2 lies at 2/60 s = 0.8 of the way from frame 0 to frame 1, less the 1/1001 of film rate.
    assert timeline.slot(2).t == F(2, 60) * F(24000, 1001) == F(800, 1001)
    assert (timeline.slot(1).source, timeline.slot(3).source) == (0, 1)


def test_lower_rate_takes_only_what_it_needs():
    timeline = Timeline(even(30, F(30)), F(25))
    assert timeline.count == 25
    assert [(s.source, s.t) for s in timeline.slots(0, 6)] == [
        (0, 0), (1, F(1, 5)), (2, F(2, 5)), (3, F(3, 5)), (4, F(4, 5)), (6, 0),
    ]  # fmt: skip


def test_variable_rate_keeps_even_motion():
    # 0, 0.1, 0.4 s; the last one stays 0.1 s: at 10 fps the long gap is crossed in three steps.
    timeline = Timeline(SourceTimes((0, 100, 400), F(1, 1000), F(1, 10)), F(10))
    assert [(s.source, s.t) for s in timeline.slots()] == [(0, 0), (1, 0), (1, F(1, 3)), (1, F(2, 3)), (2, 0)]


def test_slow_motion_lasts_longer_at_the_same_rate():
    timeline = Timeline(even(10, F(25)), F(25), slowdown=F(4))
    assert timeline.count == 40 and timeline.duration == 4 * F(10, 25)
    assert [(s.time, s.source, s.t) for s in timeline.slots(3, 6)] == [
        (F(3, 25), 0, F(3, 4)), (F(4, 25), 1, 0), (F(5, 25), 1, F(1, 4)),
    ]  # fmt: skip


def test_trim_starts_between_frames_and_stops_before_the_end():
    timeline = Timeline(even(10, F(10), first=5), F(20), begin=F(13, 20), end=F(17, 20))
    assert timeline.count == 4
    assert [(s.time, s.source, s.t) for s in timeline.slots()] == [
        (F(13, 20), 1, F(1, 2)), (F(14, 20), 2, 0), (F(15, 20), 2, F(1, 2)), (F(16, 20), 3, 0),
    ]  # fmt: skip
    assert timeline.sources(0, 1) == (1, 2)
    assert timeline.sources(0, 4) == (1, 3)


@pytest.mark.parametrize("rate", [F(60), F(1), F(1, 7)])
def test_one_frame_is_held_for_its_duration(rate):
    timeline = Timeline(SourceTimes((7,), F(1, 10), F(1, 2)), rate)
    assert timeline.count == max(1, ceil(rate / 2))
    assert all(s.source == 0 and s.t == 0 for s in timeline.slots())


def test_millisecond_clock_is_seen_through_and_frames_are_copied():
    times = SourceTimes(tuple(23 + round(k * 1000 / 24) for k in range(240)), F(1, 1000), F(42, 1000))
    timeline = Timeline(times.even_at(F(24)), F(48))
    assert timeline.count == 480
    assert [s.t for s in timeline.slots()][:-1] == [F(n % 2, 2) for n in range(479)]
    assert timeline.begin == F(23, 1000)


def test_the_last_frames_own_duration_counts():
    ms = SourceTimes(tuple(round(k * 1000 / 24) for k in range(24)), F(1, 1000), F(2042, 1000))
    assert Timeline(ms.even_at(F(24)), F(48)).count == 144
    gif = SourceTimes((0, 10, 20, 30), F(1, 100), F(5, 100))  # shorter than the others
    assert gif.even_at(F(10)).span == F(35, 100)


def test_a_clock_that_counts_frames_tells_of_one_that_is_missing():
    times = SourceTimes((0, 1, 2, 4, 5), F(1, 25), F(1, 25))
    assert times.even_at(F(25)) is times


def test_truly_variable_times_stay_as_they_are():
    times = SourceTimes((0, 33, 67, 170, 203), F(1, 1000), F(33, 1000))
    assert times.even_at(F(30)) is times


def test_a_long_film_does_not_drift():
    timeline = Timeline(even(172_800, F(24000, 1001)), F(60))
    last = timeline.slot(timeline.count - 1)
    assert timeline.count == ceil(172_800 * F(1001, 24000) * 60) == 432_432
    assert last.time == F(432_431, 60)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [({"rate": F(0)}, "positive"), ({"rate": F(5), "slowdown": F(0)}, "positive"),
     ({"rate": F(5), "begin": F(99)}, "Nothing lies"), ({"rate": F(5), "begin": F(1, 9), "end": F(1, 9)}, "Nothing")],
)  # fmt: skip
def test_impossible_timelines_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        Timeline(even(5, F(10)), **kwargs)


def test_times_that_do_not_increase_are_refused():
    with pytest.raises(ValueError, match="increase"):
        SourceTimes((0, 1, 1), F(1, 10), F(1, 10))


@given(film=films(), rate=rates, slowdown=st.sampled_from([F(1), F(2), F(5, 2), F(10), F(1, 2)]))
def test_every_slot_shows_its_own_moment(film, rate, slowdown):
    timeline = Timeline(film, rate, slowdown)
    slots = list(timeline.slots())
    assert [s.index for s in slots] == list(range(timeline.count))
    for s in slots:
        moment = film.first + s.index / (rate * slowdown)
        assert s.time == film.first + s.index / rate
        assert 0 <= s.t < 1
        if s.source == len(film) - 1:
            assert s.t == 0 and moment >= film.time(s.source)
        else:
            gap = film.time(s.source + 1) - film.time(s.source)
            assert film.time(s.source) + s.t * gap == moment


@given(film=films(), rate=rates)
def test_length_is_the_film_s_to_within_one_frame(film, rate):
    timeline = Timeline(film, rate)
    slack = min(film.time_base, 1 / rate / 4)
    assert timeline.count >= 1
    assert timeline.duration >= film.span - slack
    assert timeline.count == 1 or timeline.duration - 1 / rate < film.span


@given(film=films(), rate=rates, data=st.data())
def test_any_part_equals_the_same_part_of_the_whole(film, rate, data):
    timeline = Timeline(film, rate)
    start = data.draw(st.integers(0, timeline.count))
    stop = data.draw(st.integers(start, timeline.count))
    whole = list(timeline.slots())
    assert list(timeline.slots(start, stop)) == whole[start:stop]
    k = data.draw(st.integers(0, len(film) - 1))
    first = timeline.first_slot_at(k)
    assert first == sum(film.first + s.index / rate < film.time(k) for s in whole)
    if start < stop:
        low, high = timeline.sources(start, stop)
        used = {s.source for s in whole[start:stop]} | {s.source + 1 for s in whole[start:stop] if s.t}
        assert (low, high) == (min(used), max(used))


@given(rate=st.sampled_from(RATES), multi=st.integers(1, 9), count=st.integers(1, 60), first=st.integers(-99, 99))
def test_whole_factors_give_n_times_m_frames_and_copy_every_source_frame(rate, multi, count, first):
    timeline = Timeline(even(count, rate, first), rate * multi)
    assert timeline.count == count * multi
    assert [s.source for s in timeline.slots() if s.index % multi == 0] == list(range(count))
    assert all(s.t == 0 for s in timeline.slots() if s.index % multi == 0)


@given(
    rate=st.sampled_from(RATES), count=st.integers(1, 400), phase=st.fractions(0, 1, max_denominator=50),
    down=st.booleans(), multi=st.integers(1, 4), base=st.sampled_from([F(1, 1000), F(1, 100)]),
)  # fmt: skip
def test_a_coarse_clock_costs_neither_frames_nor_copies(rate, count, phase, down, multi, base):
    if 1 / rate <= 2 * base:
        return
    exact = [phase + k / rate / base for k in range(count)]
    ticks = tuple(int(x // 1) if down else round(x) for x in exact)
    times = SourceTimes(ticks, base, round(1 / rate / base) * base).even_at(rate)
    timeline = Timeline(times, rate * multi)
    assert timeline.count == count * multi
    assert sum(s.t == 0 for s in timeline.slots()) == count + multi - 1
    assert all(abs(times.time(k) - ticks[k] * base) <= base for k in range(count))


@given(film=films(), rate=rates, cut=st.fractions(0, 1, max_denominator=64))
def test_two_trims_side_by_side_cover_the_film(film, rate, cut):
    middle = film.first + cut * film.span
    if not film.first < middle < film.end:
        return
    left, right = Timeline(film, rate, end=middle), Timeline(film, rate, begin=middle)
    assert left.begin == film.first and right.begin == middle
    assert right.slot(0).source == max(k for k in range(len(film)) if film.time(k) <= middle)
