"""Time stamps that ask for days of film."""

from __future__ import annotations

from fractions import Fraction as F
from pathlib import Path
from types import SimpleNamespace

import pytest

from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.jobs.plan import timeline_of
from vfi_pipeline.media.timeline import SourceTimes

INFO = SimpleNamespace(path=Path("a.mkv"), start=F(10), video=SimpleNamespace(rate=F(25)))
STRAY = SourceTimes([10_000, 10_040, 10_080, 8_010_000, 8_010_040], F(1, 1000), F(1, 25))  # 8000 s after the third


def options(start=None, end=None):
    return SimpleNamespace(fps=F(60), multi=None, slowmo=None, start=start, end=end)


def test_a_picture_that_stays_for_hours_is_refused_with_the_way_round_it():
    with pytest.raises(UserError, match=r"from 0\.080 s to 8000\.000 s \(2:13:20\)") as caught:
        timeline_of(options(), INFO, STRAY)
    assert caught.value.code == BAD_INPUT
    assert caught.value.args[1] == "end=0.120 for what comes before, start=8000.000 for the rest."


def test_either_side_of_it_is_a_film():
    before = timeline_of(options(end=F("0.12")), INFO, STRAY)
    after = timeline_of(options(start=F(8000)), INFO, STRAY)
    assert before.count == 8 and after.count == 5
    assert timeline_of(options(start=F(7000)), INFO, STRAY).count > 60_000  # a still that was asked for


def test_a_still_of_an_hour_is_a_still():
    hour = SourceTimes([0, 3_600_000, 3_600_040], F(1, 1000), F(1, 25))
    assert timeline_of(options(), INFO, hour).count == 216_005


LONE = SourceTimes([*range(10_000, 11_000, 40), 50_000], F(1, 1000), F(1, 25))  # 39 s later one more
FIRST = SourceTimes([10_000, *range(50_000, 51_000, 40)], F(1, 1000), F(1, 25))


def test_one_picture_far_from_an_even_film_is_refused_and_both_remedies_work():
    for times, lone, ways in (
        (LONE, "last", {"end": (F("1.000"), 60), "end ": (F("40.040"), 2403)}),
        (FIRST, "first", {"start": (F("40.000"), 60), "start ": (F("0.000"), 2460)}),
    ):
        with pytest.raises(UserError, match=f"its {lone} picture is stamped") as caught:
            timeline_of(options(), INFO, times)
        for name, (moment, count) in ways.items():
            assert f"{name.strip()}={float(moment):.3f}" in caught.value.args[1]
            assert timeline_of(options(**{name.strip(): moment}), INFO, times).count == count


def test_a_pause_of_a_recording_is_no_mistake():
    uneven = SourceTimes([0, 40, 300, 320, 2_000, 42_000], F(1, 1000), F(1, 25))
    short = SourceTimes([*range(0, 1000, 40), 9_000], F(1, 1000), F(1, 25))
    for times in (uneven, short):
        timeline_of(options(), SimpleNamespace(**{**vars(INFO), "start": F(0)}), times)
