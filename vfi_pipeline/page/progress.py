"""How far a job is: from its journal (what is safe) and its log (what is under way). Pure but for reading both."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from vfi_pipeline.jobs.journal import Journal, work_folder
from vfi_pipeline.jobs.values import clock_text
from vfi_pipeline.page.queue import DONE, WAITING, WORKING, Job

TAIL = 20_000
"""Bytes of a log that are looked at."""

# The last such place of a line counts: the film's name stands before it.
_LINE = re.compile(r"^.*: (?P<done>\d+)/(?P<total>\d+) frames(?P<rest>[^\n]*)$")
_LEFT = re.compile(r", (?P<hours>\d+):(?P<minutes>\d\d):(?P<seconds>\d\d) left$")


@dataclass(frozen=True)
class HowFar:
    """Of a job's output frames; ``total`` is 0 and ``left_s`` None where that is not known yet.

    ``safe``: frames in finished segments, which no interruption takes away.
    """

    done: int = 0
    total: int = 0
    safe: int = 0
    left_s: float | None = None
    doing: str = ""

    @property
    def share(self) -> float:
        """0 .. 1."""
        return min(1.0, self.done / self.total) if self.total else 0.0


def how_far(job: Job, log: str, now: float) -> HowFar:
    """How far ``job`` is, given the end of its log."""
    safe, total = journalled(job)
    total = total or job.frames
    if job.state == DONE:
        return HowFar(total, total, total, 0.0)
    if job.state != WORKING:
        return HowFar(safe, total, safe)
    reached, left, doing = last_progress(log)
    done = max(safe, reached)
    if left is None and done > safe and now > job.started:
        left = (total - done) * (now - job.started) / done if total else None
    if total and done >= total:
        doing, left = "joining and checking", None
    return HowFar(min(done, total) if total else done, total, safe, left, doing)


def journalled(job: Job) -> tuple[int, int]:
    """(frames in finished segments, frames of the output) by the job's journal; zeros where there is none."""
    try:
        journal = Journal.load(work_folder(Path(job.target)) / "journal.json")
        return sum(done.frames for done in journal.done.values()), int(journal.fingerprint.get("frames", 0))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return 0, 0


def last_progress(log: str) -> tuple[int, float | None, str]:
    """(frames done, seconds left or None, what goes on before the next frame) by the last progress line of a log."""
    for line in reversed(log.splitlines()):
        if match := _LINE.search(line):
            rest = match["rest"]
            left = _LEFT.search(rest)
            seconds = None
            if left:
                seconds = 3600.0 * int(left["hours"]) + 60 * int(left["minutes"]) + int(left["seconds"])
                rest = rest[: left.start()]
            doing = rest.removeprefix(", ") if rest.startswith(", ") else ""
            return int(match["done"]), seconds, doing
    return 0, None, ""


def tail(path: Path, most: int = TAIL) -> str:
    """The end of a log, beginning with a whole line; empty if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - most))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return text if len(text.encode()) < most else text.partition("\n")[2]


def error_of(log: str) -> str:
    """The error that a command ended with: its two lines, as far as they are there."""
    lines = log.rstrip().splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("error: ")]
    if starts:
        return "\n".join(line.removeprefix("error: ").strip() for line in lines[starts[-1] : starts[-1] + 2])
    return "\n".join(lines[-1:])


def state_text(job: Job, far: HowFar) -> str:
    """What the job does, in a few words."""
    if job.state == WORKING:
        if job.stopping:
            return "stopping"
        parts = [f"{100 * far.share:.0f} %"] if far.total else ["starting"]
        if far.total:
            parts.append(f"{far.done} of {far.total} frames")
        if far.doing:
            parts.append(far.doing)
        if far.left_s is not None:
            parts.append(f"{clock_text(far.left_s)} left")
        return ", ".join(parts)
    if job.state == WAITING:
        return f"waiting, {far.safe} of {far.total} frames are done" if far.safe else "waiting"
    if job.state == DONE:
        took = job.ended - job.started
        return f"done in {clock_text(took)}" if took >= 0.5 else "done"
    return f"{job.state}, {far.safe} of {far.total} frames are kept" if far.safe else job.state


def result_of(report: Path, target: str) -> str:
    """The file that a finished job made, by its report; ``target`` where that cannot be read."""
    try:
        films = json.loads(report.read_text(encoding="utf-8"))["films"]
        return str(films[0]["output"] or target)
    except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError):
        return target
