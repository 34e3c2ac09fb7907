"""The bench of large jobs, on a small one: what it measures is right, and the section says it."""

from __future__ import annotations

from fractions import Fraction

import clips
import pytest

from benchmarks import large
from vfi_pipeline.errors import UserError


@pytest.mark.slow
def test_a_short_film_has_its_count_its_times_and_its_sound_in_step(tmp_path):
    facts = large.long_film(tmp_path, 12, "hold")
    assert facts["frames"] == facts["planned_frames"] == 720
    assert facts["most_off_its_time_ms"] < 0.1
    for errors in (facts["tone_after_flash_ms_source"], facts["tone_after_flash_ms_result"]):
        assert len(errors) == 3 and max(map(abs, errors)) < 1000 / 60
    assert facts["peak_mb"] > 50 and facts["processor_s"] > 0
    text = large.section({"long": facts, "huge": []}, "make bench-large")
    assert "720 / 720" in text and "make bench-large" in text


def test_sound_that_is_late_shows_as_late(tmp_path):
    """The measure itself: the same film with its sound moved by 80 ms."""
    film = large.marked_film(tmp_path / "a.mp4", 6)
    moved = tmp_path / "late.mp4"
    url = large.ffmpeg.file_url
    words = [*clips.ALWAYS, "-i", url(film), "-itsoffset", "0.08", "-i", url(film), "-map", "0:v", "-map", "1:a"]
    large.ffmpeg.run([*words, "-c", "copy", url(moved)], "moving the sound")
    before, after = large.sync_errors(film, 6), large.sync_errors(moved, 6)
    assert all(abs(b - a - 0.08) < 0.002 for a, b in zip(before, after))


def test_a_film_without_marks_is_told(tmp_path):
    film = clips.make_clip(tmp_path / "a.mkv", frames=75, content="grey", audio=("eng",))
    with pytest.raises(UserError, match="has no flash at 1.0 s"):
        large.sync_errors(film, 3)


def test_the_peak_leaves_out_a_single_look():
    measured = large.Measured("x", 1.0, 1.0, [100.0, 700.0, 1040.0, 701.0, 720.0, 719.0])
    assert measured.peak_mb == 720.0 and measured.mean_mb(0, 0.2) == 100.0
    assert large.marks(7200) == (Fraction(1), Fraction(3600), Fraction(7199))
