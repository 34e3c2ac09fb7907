"""Film shown in fields: even again, whatever the clock; everything else stays."""

from __future__ import annotations

from fractions import Fraction as F
from itertools import accumulate, cycle, islice

import pytest

from vfi_pipeline.media.cadence import find_cadence
from vfi_pipeline.media.timeline import SourceTimes

NTSC = F(60000, 1001)


def shown(fields, field_rate=NTSC, base=F(1, 1000), first=F(23, 1000)) -> SourceTimes:
    """Frames that stay for so many fields each, stamped by a clock that rounds."""
    starts = [0, *accumulate(fields)]
    return SourceTimes([round((first + n / field_rate) / base) for n in starts], base, F(33, 1000))


def pattern(fields, count):
    return list(islice(cycle(fields), count))


@pytest.mark.parametrize("base", [F(1, 1000), F(1, 90000), F(1, 12800)])
@pytest.mark.parametrize(
    ("fields", "field_rate", "rate", "name"),
    [
        ([2, 3], NTSC, F(24000, 1001), "2:3"),
        ([3, 2], F(60), F(24), "2:3"),
        ([2, 3, 3, 2], NTSC, F(24000, 1001), "2:3"),
        ([2, 2, 2, 4], NTSC, F(24000, 1001), "2:4"),
        ([2, 2, 3, 2, 3], NTSC, F(25000, 1001), "2:3"),
        ([2] * 11 + [3], F(50), F(24), "2:3"),
    ],
)
def test_pulldown_is_even_film(fields, field_rate, rate, name, base):
    found = find_cadence(shown(pattern(fields, 71), field_rate, base))
    assert found is not None and (found.rate, found.fields, found.whole) == (rate, name, True)
    times = found.times
    assert {times.time(k + 1) - times.time(k) for k in range(71)} == {1 / rate}
    assert times.last_duration == 1 / rate and times.span == 72 / rate


@pytest.mark.parametrize(
    "times",
    [
        shown([2] * 60),
        SourceTimes([round(k * 1000 / 24) for k in range(100)], F(1, 1000), F(42, 1000)),
        shown([2, 2, 2, 2, 4] * 10),  # frames of a display left out
        shown([1, 2] * 30),
        SourceTimes([0, 33, 67, 101, 132, 233, 275, 316, 358, 400, 442], F(1, 1000), F(42, 1000)),
        SourceTimes([0, 3, 6, 10, 13, 16, 20, 23, 26, 30], F(1, 100), F(3, 100)),
        shown([2, 3, 2]),
    ],
    ids=["even", "film", "dropped", "doubled", "phone", "gif", "short"],
)
def test_other_times_are_left_alone(times):
    assert find_cadence(times) is None


def test_a_cut_of_the_cadence_and_video_in_between(tmp_path):
    broken = find_cadence(shown(pattern([2, 3], 60) + pattern([3, 2], 61)))
    assert broken is not None and broken.rate == F(24000, 1001)

    mixed = shown(pattern([2, 3], 60) + [2] * 30 + pattern([3, 2], 60))
    found = find_cadence(mixed)
    assert found is not None and found.rate == F(24000, 1001) and not found.whole
    steps = [found.times.time(k + 1) - found.times.time(k) for k in range(150)]
    assert set(steps[:59]) == {F(1001, 24000)} == set(steps[91:])
    assert set(steps[62:88]) == {F(1001, 30000)}
    assert all(abs(found.times.time(k) - mixed.time(k)) <= F(1, 59) for k in range(151))


def test_a_last_frame_that_is_held_stays():
    times = shown(pattern([2, 3], 47))
    held = SourceTimes(times.pts, times.time_base, F(3))
    found = find_cadence(held)
    assert found is not None and found.times.last_duration == 3
