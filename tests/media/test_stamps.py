"""Wrong time stamps, by hand: in the order of display, 10 ticks a frame."""

from __future__ import annotations

from fractions import Fraction

import pytest

from vfi_pipeline.media.stamps import is_suspicious, mended_ticks

STEP = Fraction(10)


@pytest.mark.parametrize(
    ("stamps", "ticks"),
    [
        ([0, 10, 25, 30], [0, 10, 25, 30]),
        ([None, None, None], [0, 10, 20]),
        ([5, None, 25, None], [5, 15, 25, 35]),
        ([100, 110, 0, 10, 20], [100, 110, 120, 130, 140]),  # the clock was reset
        ([0, 10, 10, 20], [0, 10, 15, 20]),  # twice the same time
        ([0, 10, 9000, 30, 40], [0, 10, 20, 30, 40]),
        ([0, 10, -9000, 30, 40], [0, 10, 20, 30, 40]),
        ([0, 10, 9000, 9010, 40, 50], [0, 10, 20, 30, 40, 50]),  # two in a row
        ([0, 10, 33, 30, 40], [0, 10, 20, 30, 40]),  # just behind the next one
        ([9000, 10, 20, 30], [0, 10, 20, 30]),  # the first
        ([0, 10, 20, 9000, 9000, 9001, 9001], [0, 10, 20, 30, 40, 50, 60]),  # pushed up behind one
        ([0, 10, 20, 9000, 9010, 9020], [0, 10, 20, 9000, 9010, 9020]),  # a pause is a pause
        ([0, 10, 20, 9000], [0, 10, 20, 9000]),
        ([0, 20, 10, 40, 30, 60, 50, 80, 70], [0, 10, 20, 30, 40, 50, 60, 70, 80]),  # times of decoding
    ],
)
def test_ticks_by_hand(stamps, ticks):
    assert mended_ticks(stamps, STEP)[0] == ticks


def test_decoding_times_stand_in_and_thirds_are_not_rounded_twice():
    assert mended_ticks([None, None, None], STEP, decoding=[7, 3, 5])[0] == [3, 5, 7]
    assert mended_ticks([None] * 4, Fraction(10, 3))[0] == [0, 3, 7, 10]


def test_what_was_wrong_is_told():
    _, mended = mended_ticks([0, 10, 9000, 30], STEP)
    assert mended == [(2, 9000, 20)]
    assert mended_ticks([100, 110, 0, 10, 20], STEP)[1] == []


@pytest.mark.parametrize(
    ("order", "suspicious"),
    [
        (range(0, 1000, 10), False),
        ([0, 30, 10, 20, 60, 40, 50, 90, 70, 80] * 1, False),  # B-frames
        ([*range(0, 500, 10), 530, 510, 520, *range(540, 900, 10)], False),  # B-frames once
        ([*range(0, 500, 10), 530, *range(510, 900, 10)], False),
        ([*range(0, 500, 10), 600, *range(510, 900, 10)], True),
        ([*range(0, 500, 10), 9000, *range(510, 900, 10)], True),
        ([*range(0, 500, 10), *range(0, 500, 10)], True),
        ([*range(0, 500, 10), 9000, 9000, 9000], True),
        ([*range(0, 500, 10), 9000, 9010, 9020], False),
        ([0, 500, 1000, 1500], False),
    ],
)
def test_packets_that_cannot_all_be_right(order, suspicious):
    assert is_suspicious(list(order), STEP, Fraction(500), Fraction(2000)) == suspicious
