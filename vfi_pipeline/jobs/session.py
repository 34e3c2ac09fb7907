"""What the head of a job and its workers tell one another: small files in a folder that all of them reach.

``session-1f2e3d4c/`` in the work folder holds

- ``job.json``: the plan, the film, the options, the model and the fingerprint, from the head, once;
- ``head.json``: a count that goes up for as long as the head lives;
- ``orders/NAME.json``: what the worker NAME is to do, from the head;
- ``workers/NAME/``: its ``state.json``, whose count goes up for as long as it lives, and the segments that it has made.

Each file has one writer and is renamed into place whole. Counts are watched by the reader's own clock: the machines'
need not agree. Nothing here is the truth about the film; the journal is.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.jobs.journal import SUFFIX, remove, write_durably
from vfi_pipeline.jobs.options import Options
from vfi_pipeline.jobs.plan import Plan
from vfi_pipeline.jobs.sources import Film
from vfi_pipeline.jobs.typed_json import decode, encode

T = TypeVar("T")

PREFIX = "session-"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
"""Of a worker: it becomes the name of a folder."""


@dataclass(frozen=True)
class Job:
    """Everything that decides what the segments hold, as a worker gets it.

    Attributes:
        model, configuration, memory_level: of the ``ModelChoice``.
        facts: the fingerprint that the worker's own must equal.
        poll_s: how often either side looks at the folder.
        patience_s: a count that stands still for so long is of someone dead.
        encoder_threads: of the encoder, where its pictures depend on it; 0 leaves it to the encoder.
    """

    plan: Plan
    film: Film
    options: Options
    model: str
    configuration: dict[str, Any]
    memory_level: int
    facts: dict[str, str]
    poll_s: float
    patience_s: float
    encoder_threads: int = 0


@dataclass(frozen=True)
class Order:
    """What a worker is to do; each has a higher ``serial`` than the one before. No segment: wait."""

    serial: int = 0
    segment: int | None = None
    stop: bool = False


@dataclass(frozen=True)
class Problem:
    """A ``UserError`` in a file. ``memory``: what is wanted is memory."""

    problem: str
    remedy: str
    code: int
    memory: bool = False

    def error(self, where: str = "") -> UserError:
        """The error; ``where`` stands in brackets behind the problem."""
        return UserError(f"{self.problem.rstrip('.')}{f' ({where})' if where else ''}.", self.remedy, self.code)


STARTING, IDLE, WORKING, FINISHED, FAILED, REFUSED, ENDED = (
    "starting", "idle", "working", "finished", "failed", "refused", "ended",
)  # fmt: skip


@dataclass(frozen=True)
class State:
    """What a worker is doing: of the order ``serial``, or what came of it.

    Attributes:
        who: for people: process, machine and device.
        frames, made: output frames of the segment that are finished, and how many of them were interpolated.
        statistics: of a finished segment.
        problem: why it failed or was refused.
    """

    beat: int = 0
    phase: str = STARTING
    who: str = ""
    serial: int = 0
    frames: int = 0
    made: int = 0
    statistics: dict[str, Any] = field(default_factory=dict)
    problem: Problem | None = None


class Session:
    """The folder, as both sides see it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def create(cls, work_folder: Path, job: Job) -> Session:
        """A new one in the work folder, with nothing else of its kind beside it."""
        for old in work_folder.glob(f"{PREFIX}*"):
            remove(old)
        session = cls(work_folder / f"{PREFIX}{secrets.token_hex(4)}")
        for folder in (session.folder, session.folder / "orders", session.folder / "workers", session.logs):
            folder.mkdir()
        session.beat(0)
        write_durably(session.folder / "job.json", json.dumps(encode(job)).encode())
        return session

    @classmethod
    def find(cls, place: Path) -> Session:
        """The session of a work folder, of a film's output, or of the session's own folder.

        Raises:
            UserError: if there is none.
        """
        if (place / "job.json").is_file():
            return cls(place.absolute())
        for folder in (place, place.with_name(place.name + SUFFIX)):
            sessions = sorted(folder.glob(f"{PREFIX}*/job.json"))
            if sessions:
                return cls(sessions[-1].parent.absolute())
        raise UserError(
            f"{place} is no job that waits for workers.",
            "the folder NAME.vfi-work beside the output of a job at work with executor=, devices=, or workers=2 and "
            "more.",
            BAD_INPUT,
        )

    @property
    def logs(self) -> Path:
        """Where executors keep what workers say."""
        return self.folder / "logs"

    def job(self) -> Job:
        """What is to be done.

        Raises:
            UserError: if that cannot be read.
        """
        path = self.folder / "job.json"
        try:
            return decode(Job, json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(
                f"{path} cannot be read ({error}).",
                "one version of this program on all machines; start the job anew.",
                BAD_INPUT,
            ) from error

    def beat(self, count: int) -> None:
        """The head lives."""
        write(self.folder / "head.json", count)

    def head(self) -> int | None:
        """The head's count; None if it cannot be read."""
        return read(int, self.folder / "head.json")

    def tell(self, worker: str, order: Order) -> None:
        """An order to ``worker``."""
        write(self.folder / "orders" / f"{worker}.json", order)

    def order(self, worker: str) -> Order | None:
        """The last order to ``worker``, if there is one."""
        return read(Order, self.folder / "orders" / f"{worker}.json")

    def desk(self, worker: str) -> Path:
        """The folder of a worker."""
        return self.folder / "workers" / worker

    def states(self) -> Iterator[tuple[str, State]]:
        """All workers that are or were there, and what each said last."""
        try:
            names = sorted(entry.name for entry in os.scandir(self.folder / "workers"))
        except OSError:
            return
        for name in names:
            if NAME.fullmatch(name) and (state := read(State, self.desk(name) / "state.json")) is not None:
                yield name, state

    def discard(self) -> None:
        """Removes the folder. A worker that finds it gone ends."""
        remove(self.folder)


def write(path: Path, value: Any) -> None:
    """Writes ``value`` beside ``path`` and renames it into place; not flushed: a restart begins a new session."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(json.dumps(encode(value)), encoding="ascii")
    os.replace(beside, path)


def read(kind: type[T], path: Path) -> T | None:
    """The value in a file; None if there is none now: on a network share that may pass."""
    try:
        return decode(kind, json.loads(path.read_text(encoding="ascii")))
    except (OSError, ValueError, RecursionError):
        return None
