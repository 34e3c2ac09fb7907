"""The jobs of the page as files: each job's command line and state, written beside and renamed into place.

``.vfi-queue/jobs/0007.json`` says what is to be done and how far it has come, ``0007.log`` what the command told,
``0007.report.json`` its figures. The frames themselves are in the journal beside the output, which is the truth of the
work: a job that was cut off in any way is put back, and the same command goes on.
"""

from __future__ import annotations

import json
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from vfi_pipeline.errors import ENVIRONMENT, UserError
from vfi_pipeline.jobs.journal import remove_folder, work_folder, write_durably
from vfi_pipeline.jobs.lock import Lock, lock_holder

log = logging.getLogger(__name__)

WAITING, WORKING, STOPPED, DONE, FAILED = "waiting", "working", "stopped", "done", "failed"
STATES = (WAITING, WORKING, STOPPED, DONE, FAILED)


@dataclass(frozen=True)
class Job:
    """One command line and what has become of it.

    Attributes:
        number: its place in the queue, and its file's name.
        title: what is shown of it; a stranger's text.
        words: what is typed after the program.
        target: the output.
        state: one of ``STATES``.
        frames: of the output, as planned; 0 where that is not known.
        stopping: a working job was asked to stop.
        pid: of the command, while it works.
        started, ended: seconds since 1970 of the last run.
        problem: of a failed job, the two lines of the command's error.
    """

    number: int
    title: str
    words: tuple[str, ...]
    target: str
    state: str = WAITING
    frames: int = 0
    stopping: bool = False
    pid: int = 0
    started: float = 0.0
    ended: float = 0.0
    problem: str = ""

    @classmethod
    def read(cls, path: Path) -> Job:
        """A job from its file; ValueError, TypeError or KeyError if it is damaged."""
        document = json.loads(path.read_text(encoding="utf-8"))
        names = {field.name for field in fields(cls)}
        job = cls(**{name: value for name, value in document.items() if name in names})
        words = tuple(job.words)
        texts = (job.title, job.target, job.state, job.problem, *words)
        if not all(isinstance(text, str) for text in texts) or job.state not in STATES or type(job.number) is not int:
            raise ValueError(f"{path.name} is no job")
        return replace(job, words=words)


class Queue:
    """The jobs of a folder, for one server at a time; safe to use from several threads."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        """Takes the folder, making it if it is missing.

        Raises:
            UserError: if another server has it, or it cannot be written.
        """
        self.folder = folder / "jobs"
        try:
            folder.mkdir(exist_ok=True)
            os.chmod(folder, 0o700)  # logs and uploads under way are no one else's business
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise UserError(
                f"The page keeps its queue in {folder}, which cannot be written ({error.strerror}).",
                "--root with a folder that can be written, first.",
                ENVIRONMENT,
            ) from error
        if holder := lock_holder(folder):
            raise UserError(
                f"Another page works on the queue of {folder.parent} ({holder}).",
                "use that one, stop it, or start with another --root first.",
                ENVIRONMENT,
            )
        self._lock, self._clock = Lock(folder), clock
        self._guard = threading.RLock()
        self._jobs: dict[int, Job] = {}
        self._broken = 0
        for path in sorted(self.folder.glob("*.json")):
            if not re.fullmatch(r"\d{4,9}", path.stem):
                continue
            try:
                job = Job.read(path)
                if job.number != int(path.stem):
                    raise ValueError("its number is another")
            except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
                log.warning("%s is damaged and passed over (%s).", path, error)
                self._broken = max(self._broken, int(path.stem))
                continue
            self._jobs[job.number] = job

    def close(self) -> None:
        """Lets another server have the folder."""
        self._lock.release()

    # ------------------------------------------------------------------------------------------------ looking

    def jobs(self) -> list[Job]:
        """All jobs, in the order in which they were added."""
        with self._guard:
            return [self._jobs[number] for number in sorted(self._jobs)]

    def get(self, number: int) -> Job:
        """
        Raises:
            UserError: if there is no such job (any more).
        """
        with self._guard:
            job = self._jobs.get(number)
        if job is None:
            raise UserError(f"There is no job {number} in the queue.", "reload the page: it may have been removed.")
        return job

    def next(self) -> Job | None:
        """The job to do now: the first that waits."""
        return next((job for job in self.jobs() if job.state == WAITING), None)

    def file(self, number: int, kind: str) -> Path:
        """A file of the job: ``json``, ``log``, ``report.json``, ``cuts.json``, ``alive``."""
        return self.folder / f"{number:04d}.{kind}"

    # ------------------------------------------------------------------------------------------------ changing

    def add(
        self,
        title: str,
        make_words: Callable[[int], Sequence[str]],
        target: str,
        frames: int = 0,
    ) -> Job:
        """A new job at the end. ``make_words`` gets its number, after which its files are named.

        Raises:
            UserError: if the output is already that of a job that is not over.
        """
        with self._guard:
            for job in self._jobs.values():
                if job.target == target and job.state not in (DONE, FAILED):
                    raise UserError(
                        f"Job {job.number} makes {Path(target).name} already.",
                        "see the queue below; another format or rate gives another name.",
                    )
            number = max([0, self._broken, *self._jobs]) + 1
            return self._save(Job(number, title, tuple(make_words(number)), target, frames=frames))

    def change(self, number: int, **changes: object) -> Job:
        """The job with other fields, on the disk before this returns."""
        with self._guard:
            return self._save(replace(self.get(number), **changes))  # type: ignore[arg-type]

    def started(self, number: int, pid: int) -> Job:
        """The job's command runs."""
        return self.change(number, state=WORKING, pid=pid, started=self._clock(), ended=0.0, problem="", stopping=False)

    def ended(self, number: int, state: str, problem: str = "") -> Job:
        """The job's command does not run any more. Waiting again: it was cut off."""
        return self.change(number, state=state, pid=0, ended=self._clock(), problem=problem, stopping=False)

    def stop(self, number: int) -> Job:
        """A waiting job is stopped; a working one is marked, for the runner to stop it."""
        with self._guard:
            job = self.get(number)
            if job.state == WAITING:
                return self.change(number, state=STOPPED)
            return self.change(number, stopping=True) if job.state == WORKING else job

    def go_on(self, number: int) -> Job:
        """A stopped or failed job waits again."""
        with self._guard:
            job = self.get(number)
            if job.state in (STOPPED, FAILED):
                return self.change(number, state=WAITING, problem="")
            return job

    def remove(self, number: int) -> None:
        """Forgets a job that does not work, and removes its unfinished segments. Finished films stay.

        Raises:
            UserError: if it works.
        """
        with self._guard:
            job = self.get(number)
            if job.state == WORKING:
                raise UserError(f"Job {number} is at work.", "stop it first.")
            self.file(number, "json").unlink(missing_ok=True)
            del self._jobs[number]
            for path in self.folder.glob(f"{number:04d}.*"):
                path.unlink(missing_ok=True)
            folder = work_folder(Path(job.target))
            others = any(other.target == job.target for other in self._jobs.values())
            if job.state != DONE and not others and (folder / "journal.json").is_file() and not lock_holder(folder):
                remove_folder(folder)

    def _save(self, job: Job) -> Job:
        # Surrogates, which stand for broken bytes of names, are written as escapes and come back.
        write_durably(self.file(job.number, "json"), json.dumps(asdict(job), indent=1).encode() + b"\n")
        self._jobs[job.number] = job
        return job
