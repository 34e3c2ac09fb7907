"""Disks that fill up, folders that refuse, inputs that vanish, programs that are killed, memory that runs out: a clear
error, a journal that tells the truth, and the same command completes the work.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import clips
import pytest

from vfi_pipeline.jobs import local
from vfi_pipeline.jobs.journal import Journal, work_folder
from vfi_pipeline.media import ffmpeg

ROOT = Path(__file__).resolve().parents[2]
JOB = ("input=a.mkv", "multi=2", "segment=0.2", "codec=ffv1")  # 25 fps: 5 source and 10 output frames a segment


@pytest.fixture
def clip(tmp_path):
    return clips.make_clip(tmp_path / "a.mkv", frames=25, audio=("eng",))


def content(path: Path) -> list[str]:
    return clips.describe(path)["md5"]


def journal(target: Path) -> Journal:
    """The journal of ``target``, read as the program reads it: an error if it is damaged."""
    return Journal.load(work_folder(target) / "journal.json")


# ----------------------------------------------------------------------------------------------------------- the disk


@pytest.fixture
def small_disk(tmp_path):
    """``small_disk("300k")`` mounts a file system of that size; one more call resizes it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = False

    def size(text: str) -> Path:
        nonlocal mounted
        how = f"remount,size={text}" if mounted else f"size={text}"
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", how, "tmpfs", str(folder)], capture_output=True)
        if done.returncode:
            pytest.skip(f"no right to mount a small file system: {done.stderr.decode().strip()}")
        mounted = True
        return folder

    yield size
    if mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("room", ["4k", "12k", "40k", "56k", "100k", "140k"])
def test_a_disk_that_fills_up(command, tmp_path, clip, small_disk, room):
    disk = small_disk(room)
    job = (*JOB, "output=disk/b.mkv", "check_space=off")
    full = command(*job)
    assert full.code == 4, full.err
    assert "is full" in full.err or "No space left" in full.err
    assert "\n  Try: free some space" in full.err
    left = os.listdir(disk)
    assert left in ([], ["b.mkv.vfi-work"])
    if left:
        assert journal(disk / "b.mkv").done  # kept only where there is something to go on from

    small_disk("8m")
    assert command(*job).code == 0
    assert command(*JOB, "output=whole.mkv").code == 0
    assert content(disk / "b.mkv") == content(tmp_path / "whole.mkv")
    assert sorted(os.listdir(disk)) == ["b.mkv"]


def test_a_disk_without_room_for_the_lock(command, tmp_path, clip, small_disk):
    disk = small_disk("16k")
    with (disk / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space"):
        while True:
            filler.write(bytes(1024))
    full = command(*JOB, "output=disk/b.mkv", "check_space=off")
    assert full.code == 4 and "No space left on device" in full.err
    assert os.listdir(disk) == ["filler"]
    (disk / "filler").unlink()
    small_disk("8m")
    assert command(*JOB, "output=disk/b.mkv").code == 0


def test_a_small_disk_is_noticed_before_the_start(command, tmp_path, clip, small_disk):
    disk = small_disk("40k")
    told = command(*JOB, "output=disk/b.mkv")
    assert told.code == 4 and "are needed" in told.err and "check_space=off" in told.err
    assert os.listdir(disk) == []


def test_a_limit_on_file_size(process, command, tmp_path):
    """As a quota does, without any rights: ffmpeg and we may write 60 kB to a file."""
    clips.make_clip(tmp_path / "a.mkv", frames=25, content="noise")
    job = ("input=a.mkv", "multi=2", "segment=0.2", "codec=ffv1", "output=b.mkv", "check_space=off", "model=blend")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    full = subprocess.run(
        [sys.executable, str(ROOT / "interpolate.py"), *job], cwd=tmp_path, capture_output=True, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, limit[1])),
    )  # fmt: skip
    assert full.returncode == 4 and "Traceback" not in full.stderr, full.stderr
    assert not (tmp_path / "b.mkv").exists()
    assert command(*job).code == 0
    assert len(content(tmp_path / "b.mkv")) == 50


# ------------------------------------------------------------------------------------------------------ the folder


def test_a_file_system_that_is_read_only(command, tmp_path, clip, small_disk):
    """Not even root may write there."""
    disk = small_disk("8m")
    (disk / "a.mkv").write_bytes(clip.read_bytes())
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    told = command("input=disk/a.mkv", "multi=2")
    assert told.code == 4 and "may be written" in told.err and "Try: output=" in told.err
    told = command("input=disk/a.mkv", "multi=2", "output=disk/new/")
    assert told.code == 4 and "cannot be made" in told.err
    assert os.listdir(disk) == ["a.mkv"]
    assert command("input=disk/a.mkv", "multi=2", "output=b.mkv").code == 0


# --------------------------------------------------------------------------------------------------------- the input


def at_segment(monkeypatch, number: int, happening) -> None:
    """``happening()`` just before segment ``number`` is written."""
    real = local.open_writer

    def open_writer(path, *args, **kwargs):
        if path.name.startswith(f"segment_{number:05d}"):
            happening()
        return real(path, *args, **kwargs)

    monkeypatch.setattr(local, "open_writer", open_writer)


@pytest.mark.parametrize("number", [1, 4])
def test_an_input_that_vanishes_half_way_and_comes_back(command, tmp_path, clip, monkeypatch, number):
    assert command(*JOB, "output=whole.mkv").code == 0
    at_segment(monkeypatch, number, lambda: clip.rename(tmp_path / "elsewhere"))
    gone = command(*JOB, "output=b.mkv")
    assert gone.code == 3 and "a.mkv is gone" in gone.err and "put it back" in gone.err
    assert not (tmp_path / "b.mkv").exists()
    assert len(journal(tmp_path / "b.mkv").done) >= number
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)

    (tmp_path / "elsewhere").rename(clip)
    assert command(*JOB, "output=b.mkv").code == 0
    assert content(tmp_path / "b.mkv") == content(tmp_path / "whole.mkv")


def test_an_input_that_is_changed_half_way(command, tmp_path, clip, monkeypatch):
    other = clips.make_clip(tmp_path / "other.mkv", frames=25, content="noise", audio=("eng",))
    at_segment(monkeypatch, 2, lambda: other.replace(clip))
    changed = command(*JOB, "output=b.mkv")
    assert changed.code == 3 and "was changed while" in changed.err and "input.content" in changed.err
    assert not (tmp_path / "b.mkv").exists()
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert command(*JOB, "output=b.mkv").code == 2  # the segments are of another film
    assert command(*JOB, "output=b.mkv", "resume=false").code == 0
    assert content(tmp_path / "b.mkv")[::2] == content(clip)


# ------------------------------------------------------------------------------------------------------------ ffmpeg


@pytest.mark.parametrize("doing", ["joining", "checking"])
def test_ffmpeg_killed_while_it_joins_or_checks(command, tmp_path, clip, monkeypatch, doing):
    real = ffmpeg.open_process

    def killing(spec, what, **options):
        started = real(spec, what, **options)
        if what.startswith(doing):
            os.kill(started.pid, signal.SIGKILL)
        return started

    monkeypatch.setattr(ffmpeg, "open_process", killing)
    killed = command(*JOB, "output=b.mkv")
    assert killed.code == 4 and "SIGKILL" in killed.err
    assert not (tmp_path / "b.mkv").exists()
    assert len(journal(tmp_path / "b.mkv").done) == 5
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert command(*JOB, "output=b.mkv").code == 0
    assert len(content(tmp_path / "b.mkv")) == 50


# -------------------------------------------------------------------------------------------------------------- memory


@pytest.fixture
def starving(monkeypatch):
    """``starving(fits)``: memory runs out unless ``fits(model_choice)``. Gives the levels that were tried."""
    steps: list[int] = []

    def starve(fits, error=MemoryError("Unable to allocate 1.2 GiB")):
        real = local.interpolate_segments

        def run(task):
            steps.append(task.model_choice.memory_level)
            if not fits(task.model_choice):
                real(replace(task, segments=task.segments[:1]))  # what is done before stays
                raise error
            real(task)

        monkeypatch.setattr(local, "interpolate_segments", run)
        return steps

    return starve


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 1.2 GiB for an array"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:119] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        RuntimeError("can't start new thread"),
    ],
    ids=["numpy", "torch", "cuda", "threads"],
)
def test_a_job_steps_down_when_memory_runs_out_and_completes(command, tmp_path, clip, starving, caplog, error):
    assert command(*JOB, "output=whole.mkv").code == 0
    steps = starving(lambda model_choice: model_choice.memory_level >= 1, error)
    made = command(*JOB, "output=b.mkv")
    assert made.code == 0 and steps == [0, 1]
    assert "memory ran out" in caplog.text and "short queues" in caplog.text
    assert content(tmp_path / "b.mkv") == content(tmp_path / "whole.mkv")  # a shorter queue changes no picture


def test_the_motion_is_estimated_in_smaller_pictures_at_last(command, tmp_path, clip, starving, monkeypatch):
    from vfi_pipeline.models import flow

    spans = []
    real = flow.load_flow

    def recording(*args, guide_span, **kwargs):
        spans.append(guide_span)
        return real(*args, guide_span=guide_span, **kwargs)

    monkeypatch.setattr(flow, "load_flow", recording)
    steps = starving(lambda model_choice: model_choice.memory_level >= 3)
    made = command(*JOB, "output=b.mkv", "model=flow")
    assert made.code == 0 and steps == [0, 1, 2, 3]
    assert spans == [512, 512, 256, 128]
    assert len(content(tmp_path / "b.mkv")) == 50


def test_memory_that_is_never_enough(command, tmp_path, clip, starving, monkeypatch):
    steps = starving(lambda model_choice: False)
    told = command(*JOB, "output=b.mkv")
    assert told.code == 4 and "memory" in told.err and "scale=0.5" in told.err
    assert steps == [0, 1, 2, 3]
    assert len(journal(tmp_path / "b.mkv").done) == 4
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert command(*JOB, "output=b.mkv").code == 0
    assert len(content(tmp_path / "b.mkv")) == 50


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="Linux tells a process its address space")
def test_a_process_that_gets_no_more_memory(process, command, tmp_path):
    """The real thing: the address space is limited once the first segment is done."""
    clips.make_clip(tmp_path / "a.mkv", frames=50, size=(640, 480), content="grey")
    job = ("input=a.mkv", "multi=4", "segment=0.2", "codec=ffv1", "output=b.mkv", "model=blend")
    child = process(*job)
    path = work_folder(tmp_path / "b.mkv") / "journal.json"
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and child.poll() is None:
        try:
            if json.loads(path.read_text())["segments"]:
                break
        except (OSError, ValueError):
            pass
        time.sleep(0.01)
    taken = int(Path(f"/proc/{child.pid}/statm").read_text().split()[0]) * resource.getpagesize()
    hard = resource.prlimit(child.pid, resource.RLIMIT_AS)[1]
    resource.prlimit(child.pid, resource.RLIMIT_AS, (taken - (64 << 20), hard))
    _, err = child.communicate(timeout=300)
    assert "Traceback" not in err, err
    assert child.returncode in (0, 4)  # it may get by with what it has
    if child.returncode:
        assert "error: " in err and "\n  Try: " in err
        assert not (tmp_path / "b.mkv").exists()
        assert journal(tmp_path / "b.mkv").done
        assert command(*job).code == 0
    assert len(content(tmp_path / "b.mkv")) == 200
