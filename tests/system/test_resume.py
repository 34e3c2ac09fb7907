"""Jobs that are stopped, killed, starved or started twice, and what the same command makes of it."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import time
from pathlib import Path

import clips
import pytest

from vfi_pipeline.errors import UserError
from vfi_pipeline.jobs import local
from vfi_pipeline.jobs.journal import work_folder
from vfi_pipeline.jobs.lock import Lock
from vfi_pipeline.media import reader

JOB = ("input=a.mkv", "multi=2", "output=b.mkv", "segment=0.2")  # 25 fps: 5 source and 10 output frames a segment


@pytest.fixture
def clip(tmp_path):
    return clips.make_clip(tmp_path / "a.mkv", frames=25, audio=("eng",))


def content(path: Path) -> list[str]:
    return clips.describe(path)["md5"]


def work(tmp_path: Path) -> Path:
    return work_folder(tmp_path / "b.mkv")


def fail_in_segment(monkeypatch, number: int, error: BaseException) -> None:
    """The writer of segment ``number`` fails at its third frame, once."""
    real = local.open_writer

    def open_writer(path, *args, **kwargs):
        writer = real(path, *args, **kwargs)
        if path.name.startswith(f"segment_{number:05d}"):
            write = writer.write

            def failing(frame):
                if writer.frames == 2:
                    raise error
                write(frame)

            writer.write = failing
        return writer

    monkeypatch.setattr(local, "open_writer", open_writer)


@pytest.mark.parametrize("codec", ["ffv1", "h264"])
def test_a_resumed_job_equals_one_in_one_go(command, tmp_path, clip, monkeypatch, codec):
    whole = (*JOB[:2], "output=whole.mkv", JOB[3], f"codec={codec}")
    assert command(*whole).code == 0

    fail_in_segment(monkeypatch, 2, OSError(errno.ENOSPC, "No space left on device"))
    stopped = command(*JOB, f"codec={codec}")
    assert stopped.code == 4 and "full" in stopped.err
    assert not (tmp_path / "b.mkv").exists()
    assert sorted(json.loads((work(tmp_path) / "journal.json").read_text())["segments"]) == ["0", "1"]
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)

    told = command("status", "output=b.mkv")
    assert "2 of 5 segments done, 20 of 50 frames" in told.out and "input=a.mkv" in told.out
    assert "segments  5; 2 done, 3 left" in command(*JOB, f"codec={codec}", "dry_run=true").out

    resumed = command(*JOB, f"codec={codec}")
    assert resumed.code == 0
    assert content(tmp_path / "b.mkv") == content(tmp_path / "whole.mkv")
    assert clips.describe(tmp_path / "b.mkv")["pts"] == clips.describe(tmp_path / "whole.mkv")["pts"]
    assert not work(tmp_path).exists()
    assert "done" in command("status", "output=b.mkv").out


def test_segments_that_are_done_are_not_made_again(command, tmp_path, clip, monkeypatch):
    fail_in_segment(monkeypatch, 3, UserError("enough", "again.", 4))
    command(*JOB)
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    opened = []
    real = local.open_writer
    monkeypatch.setattr(local, "open_writer", lambda path, *a, **k: (opened.append(path.name), real(path, *a, **k))[1])
    assert command(*JOB).code == 0
    assert [name[:13] for name in opened] == ["segment_00003", "segment_00004"]


def test_a_damaged_segment_is_made_again(command, tmp_path, clip, monkeypatch):
    assert command(*JOB[:2], "output=whole.mkv", JOB[3]).code == 0
    real = local.joining.assemble

    def fail(*arguments, trial=None):
        if trial is None:
            raise UserError("no", "no.", 4)
        real(*arguments, trial=trial)  # the trial before the work, which finds no fault

    monkeypatch.setattr(local.joining, "assemble", fail)
    assert command(*JOB).code == 4
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    segments = sorted(work(tmp_path).glob("segment_*"))
    assert len(segments) == 5
    with segments[1].open("r+b") as file:  # as a power cut leaves a file that was not flushed
        file.truncate(100)
    segments[3].unlink()
    assert command(*JOB).code == 0
    assert content(tmp_path / "b.mkv") == content(tmp_path / "whole.mkv")


def test_changed_settings_or_input_are_refused_until_told_to_start_anew(command, tmp_path, clip, monkeypatch):
    job = (*JOB, "codec=ffv1")
    fail_in_segment(monkeypatch, 2, UserError("enough", "again.", 4))
    command(*job)
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    other = command(*job, "cut=blend")
    assert other.code == 2 and "cut: hold -> blend" in other.err and "resume=false" in other.err
    assert len(list(work(tmp_path).glob("segment_*"))) == 2

    clips.make_clip(tmp_path / "new.mkv", frames=25, content="noise", audio=("eng",)).replace(tmp_path / "a.mkv")
    other = command(*job)
    assert other.code == 2 and "input.content" in other.err
    assert command(*job, "resume=false").code == 0
    assert content(tmp_path / "b.mkv")[::2] == content(tmp_path / "a.mkv")


@pytest.mark.parametrize("older", ["0.7.0", None])
def test_work_of_an_older_version_is_not_continued_silently(command, tmp_path, clip, monkeypatch, older):
    fail_in_segment(monkeypatch, 2, OSError(errno.ENOSPC, "No space left on device"))
    assert command(*JOB).code == 4
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    path = work(tmp_path) / "journal.json"
    document = json.loads(path.read_text())
    facts = {key: value for key, value in document["fingerprint"].items() if not key.startswith("code.")}
    assert len(facts) < len(document["fingerprint"])
    path.write_text(json.dumps({**document, "fingerprint": {**facts, **({"tool": older} if older else {})}}))

    refused = command(*JOB)
    assert refused.code == 2 and "2 finished segments made by " in refused.err and "resume=false" in refused.err
    assert older is None or f"finish with version {older}." in refused.err
    assert len(list(work(tmp_path).glob("segment_*"))) == 2
    assert command(*JOB, "resume=false").code == 0


def test_ffmpeg_killed_under_us(command, tmp_path, clip, monkeypatch):
    real = local.open_writer

    def open_writer(path, *args, **kwargs):
        writer = real(path, *args, **kwargs)
        if path.name.startswith("segment_00001"):
            os.kill(writer.pid, signal.SIGKILL)
        return writer

    monkeypatch.setattr(local, "open_writer", open_writer)
    killed = command(*JOB)
    assert killed.code == 4 and "SIGKILL" in killed.err
    assert not (tmp_path / "b.mkv").exists()
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert command(*JOB).code == 0
    assert len(content(tmp_path / "b.mkv")) == 50


def test_an_input_that_vanishes_half_way(command, tmp_path, clip, monkeypatch):
    def vanish(*args, **kwargs):
        (tmp_path / "a.mkv").rename(tmp_path / "gone")
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "a.mkv")

    monkeypatch.setattr(reader, "read_numbered", vanish)
    result = command(*JOB)
    assert result.code == 3 and "is gone" in result.err and not (tmp_path / "b.mkv").exists()


def test_the_same_job_twice_at_once_is_refused(command, tmp_path, clip):
    with Lock(work(tmp_path)):
        refused = command(*JOB)
        assert refused.code == 4 and f"pid {os.getpid()}" in refused.err
    assert command(*JOB).code == 0


def test_a_read_only_folder(command, tmp_path, clip):
    (tmp_path / "locked").mkdir(mode=0o555)
    if os.access(tmp_path / "locked", os.W_OK):
        pytest.skip("root may write anywhere")
    result = command("input=a.mkv", "multi=2", "output=locked/")
    assert result.code == 4 and "may be written" in result.err


# --------------------------------------------------------------------------------------------- processes of our own


def wait_for_segment(child, folder: Path, number: int = 1) -> None:
    """Until ``number`` segments are in the journal, or the whole job is done."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and child.poll() is None:
        try:
            if len(json.loads((folder / "journal.json").read_text())["segments"]) >= number:
                return
        except (OSError, ValueError):
            pass
        time.sleep(0.005)
    if child.poll() == 0:
        return
    pytest.fail(f"no segment was finished in time: {child.communicate()}")


def relatives(tmp_path: Path) -> list[str]:
    """Processes other than this one that were told of ``tmp_path``."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(tmp_path) in words and int(entry.parent.name) != os.getpid():
            found.append(words)
    return found


LONG = ("input=a.mkv", "multi=2", "output=b.mkv", "segment=0.5", "codec=ffv1")


@pytest.fixture
def long_clip(tmp_path):
    """12 s: 24 segments."""
    return clips.make_clip(tmp_path / "a.mkv", frames=300, size=(160, 120), audio=("eng",))


def test_killed_without_mercy_and_started_again(process, command, tmp_path, long_clip):
    child = process(*LONG)
    wait_for_segment(child, work(tmp_path), 2)
    child.kill()
    child.wait()
    time.sleep(0.2)
    assert relatives(tmp_path) == []  # ffmpeg goes with its parent
    assert not (tmp_path / "b.mkv").exists()
    assert command(*LONG).code == 0
    assert command(*LONG[:2], "output=whole.mkv", *LONG[3:]).code == 0
    assert content(tmp_path / "b.mkv") == content(tmp_path / "whole.mkv")


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_stopped_on_request(process, command, tmp_path, long_clip, number):
    child = process(*LONG)
    wait_for_segment(child, work(tmp_path))
    child.send_signal(number)
    begin = time.monotonic()
    _, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert time.monotonic() - begin < 5 or os.getloadavg()[0] > 2 * (os.cpu_count() or 1)
    assert "interpolate.py input=a.mkv multi=2 output=b.mkv" in err and "Traceback" not in err
    assert relatives(tmp_path) == []
    assert not (tmp_path / "b.mkv").exists()
    assert not [path for path in work(tmp_path).iterdir() if path.suffix == ".part"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_twenty_kills_at_random_moments(process, command, tmp_path):
    clips.make_clip(tmp_path / "a.mkv", frames=600, size=(160, 120), audio=("eng",))
    job = (*LONG[:3], "segment=0.25", "codec=ffv1")  # 96 segments
    assert command(*job[:2], "output=whole.mkv", *job[3:]).code == 0
    whole, whole_pts = content(tmp_path / "whole.mkv"), clips.describe(tmp_path / "whole.mkv")["pts"]

    def check_result():
        assert content(tmp_path / "b.mkv") == whole
        assert clips.describe(tmp_path / "b.mkv")["pts"] == whole_pts

    dice = random.Random(0)
    kills = 0
    while kills < 20:
        done = len(list(work(tmp_path).glob("segment_*"))) if work(tmp_path).exists() else 0
        child = process(*job)
        if kills % 4 == 3:
            time.sleep(dice.uniform(0, 3))  # also while it starts
        else:
            wait_for_segment(child, work(tmp_path), done + dice.randint(1, 3))
            time.sleep(dice.uniform(0, 0.05))
        child.send_signal(dice.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT]))
        child.communicate(timeout=60)
        if child.returncode == 0:  # a fast machine finishes before twenty: checked, and begun anew
            check_result()
            (tmp_path / "b.mkv").unlink()
            continue
        kills += 1
        assert not (tmp_path / "b.mkv").exists()
    assert command(*job).code == 0
    check_result()
