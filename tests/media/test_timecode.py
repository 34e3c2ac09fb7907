"""Time codes at another rate, by hand."""

from __future__ import annotations

from fractions import Fraction as F

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfi_pipeline.media.timecode import timecode_at

NTSC, FILM = F(30000, 1001), F(24000, 1001)


@pytest.mark.parametrize(
    ("text", "old", "new", "elapsed", "expected"),
    [
        ("01:02:03:10", F(25), F(50), 0, "01:02:03:20"),
        ("01:02:03:10", FILM, 2 * FILM, 0, "01:02:03:20"),
        ("01:02:03:10", F(25), F(60), 0, "01:02:03:24"),
        ("01:02:03:20", F(50), F(25), 0, "01:02:03:10"),
        ("10:00:00:00", F(25), F(25), F(5, 2), "10:00:02:12"),
        ("23:59:59:24", F(25), F(50), 1, "00:00:00:48"),
        ("00:00:00:00", F(25), F(120), F(1, 2), "00:00:00:060"),
        ("01:00:00;00", NTSC, 2 * NTSC, 0, "01:00:00;00"),
        ("00:01:00;02", NTSC, 2 * NTSC, 0, "00:01:00;04"),  # the first frame of a minute that drops two
        ("00:09:59;29", NTSC, NTSC, F(1001, 30000), "00:10:00;00"),
        ("00:00:59;29", NTSC, NTSC, F(1001, 30000), "00:01:00;02"),
        ("00:01:00;02", NTSC, F(60), 0, "00:01:00:04"),  # 1800 frames of 1001/30000 s are 60.06 s
        ("nonsense", F(25), F(50), 0, None),
    ],
)
def test_time_codes_by_hand(text, old, new, elapsed, expected):
    assert timecode_at(text, old, new, F(elapsed)) == expected


@given(frames=st.integers(0, 24 * 3600 * 25 - 1), rate=st.sampled_from([F(24), F(25), F(30), FILM, F(50)]))
def test_a_plain_time_code_stays_at_its_own_rate(frames, rate):
    per_second = round(rate)
    seconds, rest = divmod(frames % (24 * 3600 * per_second), per_second)
    text = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}:{rest:02d}"
    assert timecode_at(text, rate, rate) == text


@given(minutes=st.integers(0, 24 * 60 - 1), second=st.integers(0, 59), frame=st.integers(2, 29))
def test_drop_frame_there_and_back(minutes, second, frame):
    text = f"{minutes // 60:02d}:{minutes % 60:02d}:{second:02d};{frame:02d}"
    double = timecode_at(text, NTSC, 2 * NTSC)
    assert double is not None and timecode_at(double, 2 * NTSC, NTSC) == text
