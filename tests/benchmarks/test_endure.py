"""The bench of kills, odd and broken files, on small ones: what it measures is right, and its sections say it."""

from __future__ import annotations

import sys

import clips
import pytest

from benchmarks import endure
from vfi_pipeline.errors import UserError


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_job_that_is_killed_ends_as_one_that_is_not(tmp_path):
    facts = endure.kills(tmp_path, count=4, seconds=6)
    assert sum(facts["kills"].values()) == 4 and facts["while_starting"] >= 1
    assert facts["frames"] == 300 and facts["segments"] == 24 and facts["finished_segments_lost"] == 0
    text = endure.kills_section(facts, "make endure ONLY=kills")
    assert "stopped 4 times" in text and "300 frames" in text and "Finished segments lost: 0" in text


def test_another_result_is_told_from_the_right_one(tmp_path):
    for name, frames in (("a.mkv", 4), ("b.mkv", 4), ("c.mkv", 5)):
        clips.make_clip(tmp_path / name, frames=frames, audio=("eng",))
    whole = endure.content_of(tmp_path / "a.mkv")
    endure.compare(tmp_path / "b.mkv", whole)
    with pytest.raises(UserError, match="not that of a job in one go"):
        endure.compare(tmp_path / "c.mkv", whole)


@pytest.mark.slow
def test_odd_files_are_told_as_the_command_tells_them(tmp_path):
    (tmp_path / "odd").mkdir()
    (tmp_path / "work").mkdir()
    clips.make_clip(tmp_path / "odd" / "a.mkv", frames=3)
    (tmp_path / "odd" / "b.mp4").touch()
    (tmp_path / "odd" / "README.md").touch()
    good, bad = endure.odd(tmp_path / "work", tmp_path / "odd")
    assert (good["file"], good["code"]) == ("a.mkv", 0) and good["told"].startswith("3 -> 6 frames, 0.120 s, verified")
    assert bad["code"] == 3 and bad["told"].startswith("b.mp4 is empty (0 bytes). Try: ")
    text = endure.odd_section([good, bad], "make endure ONLY=odd")
    assert "1 verified, 1 refused" in text and "| `b.mp4` | 3 | b.mp4 is empty" in text and str(tmp_path) not in text


@pytest.mark.slow
def test_a_few_broken_files_are_counted(tmp_path):
    facts = endure.fuzz(tmp_path, cases=30)
    assert facts["cases"] == 30 == sum(facts["codes"].values()) and not facts["wrong"]
    text = endure.fuzz_section(facts, "make endure ONLY=fuzz")
    assert "30 broken MP4" in text and "were refused with code 3" in text


def test_a_part_that_is_not_there_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["endure", "--only", "kills,other"])
    with pytest.raises(SystemExit):
        endure.main()
    assert "other is none of kills, fuzz, odd, long" in capsys.readouterr().err
