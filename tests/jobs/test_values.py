"""Rates, factors, times and switches as users type them."""

from __future__ import annotations

from fractions import Fraction as F

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfi_pipeline.errors import UserError
from vfi_pipeline.jobs import values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("60", F(60)), ("60.0", F(60)), ("59.94", F(60000, 1001)), ("59.940", F(60000, 1001)),
        ("29.97", F(30000, 1001)),
        ("23.976", F(24000, 1001)), ("23.98", F(24000, 1001)), ("47.952", F(48000, 1001)), ("119.88", F(120000, 1001)),
        ("60000/1001", F(60000, 1001)), ("24000 / 1001", F(24000, 1001)), ("12.5", F(25, 2)), ("29.5", F(59, 2)),
        ("60fps", F(60)), ("23.97", F(2397, 100)), ("0.5", F(1, 2)), ("25.00", F(25)), ("9.9", F(99, 10)),
    ],
)  # fmt: skip
def test_rates_are_exact(text, value):
    assert values.rate("fps", text) == value


@pytest.mark.parametrize(
    "text", ["", "fast", "0", "-24", "1/0", "nan", "inf", "1e9", "99999", "60;ls", "60/1/1", "٦٠", "9" * 400]
)
def test_no_rate_is_refused_in_one_line(text):
    with pytest.raises(UserError, match="is not a frame rate"):
        values.rate("fps", text)


@given(st.sampled_from([24, 30, 48, 60, 72, 120, 240]), st.integers(2, 6))
def test_a_rounded_broadcast_rate_means_the_broadcast_rate(whole, digits):
    exact = F(whole * 1000, 1001)
    assert values.rate("fps", f"{float(exact):.{digits}f}") == exact


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", F(90)), ("90.5", F(181, 2)), ("1:30", F(90)), ("0:01:30.25", F(361, 4)), ("90s", F(90)), ("250ms", F(1, 4)),
     ("100:00:00", F(360_000)), ("1/3", F(1, 3))],
)  # fmt: skip
def test_times(text, seconds):
    assert values.moment("start", text) == seconds


@pytest.mark.parametrize("text", ["soon", "-1", "1:75", "1:2:3:4", "", "1::2"])
def test_no_time_is_refused(text):
    with pytest.raises(UserError, match="is not a time"):
        values.moment("start", text)


def test_factors_and_switches():
    assert values.factor("multi", "2.5x") == F(5, 2)
    assert values.switch("scene", "OFF") is False and values.switch("scene", "yes") is True
    with pytest.raises(UserError, match="neither on nor off"):
        values.switch("scene", "maybe")
    with pytest.raises(UserError, match="is not a factor"):
        values.factor("multi", "-2")


def test_an_unknown_name_is_told_its_neighbour():
    assert "overwrite" in str(values.unknown("overwite", ["overwrite", "output", "fps"]))
    assert "fps, multi" in str(values.unknown("zzz", ["multi", "fps"]))


@pytest.mark.parametrize(
    ("rate", "text"), [(F(60), "60"), (F(60000, 1001), "59.94"), (F(24000, 1001), "23.976"), (F(25, 2), "12.5")]
)
def test_rates_are_written_as_people_write_them(rate, text):
    assert values.rate_text(rate) == text
    assert values.rate("fps", text) == rate
