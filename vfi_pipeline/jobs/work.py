"""``vfi work JOB``: a worker. Takes orders from a job's folder, makes segments, and ends when the job does.

    python -m vfi_pipeline.jobs.work film_60fps.mkv.vfi-work     joins the job, from any machine that has the folder
    python -m vfi_pipeline.jobs.work film_60fps.mkv.vfi-work device=cuda:1

Executors start workers so; a person may start more. A worker writes into a folder of its own and nowhere else.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vfi_pipeline.errors import DONE, ENVIRONMENT, INTERRUPTED, UserError
from vfi_pipeline.jobs.environment import environment
from vfi_pipeline.jobs.frame_maker import FrameMaker
from vfi_pipeline.jobs.interrupts import Interrupted, interruptible
from vfi_pipeline.jobs.journal import differences
from vfi_pipeline.jobs.method import ModelChoice, choose_model, instantiate, resolve_device
from vfi_pipeline.jobs.option_kinds import DEVICE
from vfi_pipeline.jobs.plan import Segment
from vfi_pipeline.jobs.prepare import fingerprint
from vfi_pipeline.jobs.session import (
    ENDED,
    FAILED,
    FINISHED,
    IDLE,
    NAME,
    REFUSED,
    STARTING,
    WORKING,
    Job,
    Order,
    Problem,
    Session,
    State,
    write,
)
from vfi_pipeline.jobs.space import device_error, environment_error, is_memory_error
from vfi_pipeline.jobs.typed_json import encode
from vfi_pipeline.media.encoding import with_threads
from vfi_pipeline.media.threads import start_thread
from vfi_pipeline.media.writer import FrameWriter, open_writer, segment_name
from vfi_pipeline.threads import yield_idle_cores

if TYPE_CHECKING:
    from vfi_pipeline.synthesis.stream import Statistics

log = logging.getLogger("vfi_pipeline.jobs.work")  # it is run as __main__

Build = Callable[[dict[str, Any]], Any]

STOPPING_S = 8.0
"""A worker that was told to stop and computes on for longer ends on the spot."""

UNSHARED = ("input.mtime",)
"""Facts that file servers tell differently of one file; its size and content are compared."""


class _Dropped(BaseException):
    """The segment is not wanted any more: another worker has finished it."""


@dataclass(frozen=True)
class _Words:
    """The command line: the job's folder, and what executors add."""

    place: Path
    name: str
    device: str | None = None
    parent: int | None = None

    @classmethod
    def read(cls, argv: Sequence[str]) -> _Words:
        """
        Raises:
            UserError: if that is no call of a worker.
        """
        places = [word for word in argv if "=" not in word or os.path.exists(word)]
        given = dict(word.split("=", 1) for word in argv if word not in places)
        unknown = given.keys() - {"name", "device", "parent"}
        name = given.get("name", re_named(f"{socket.gethostname()}-{os.getpid()}"))
        parent = given.get("parent", "0")
        if len(places) != 1 or places[0].startswith("-") or unknown or not NAME.fullmatch(name) or not parent.isdigit():
            raise UserError(
                f"work takes a job's folder, not {' '.join(argv) or 'nothing'}.",
                "vfi work film_60fps.mkv.vfi-work, and device=cuda:1 if it is to be a certain one.",
            )
        device = given.get("device")
        return cls(Path(places[0]), name, device and DEVICE.read("device", device), int(parent) or None)


def re_named(text: str) -> str:
    """``text`` as a worker may be called."""
    return ("w" + "".join(c if c.isascii() and (c.isalnum() or c in ".-") else "_" for c in text))[:80]


class Desk:
    """The worker's side of the session: tells its state, hears orders, and notices when nobody is there any more."""

    def __init__(self, session: Session, words: _Words, job: Job) -> None:
        self._session, self._job, self._parent = session, job, words.parent
        self.name = words.name
        try:
            session.desk(self.name).mkdir()
        except FileExistsError:
            raise UserError(f"There is a worker {self.name} already.", "another name=.") from None
        device = words.device or job.options.device
        self._state = State(who=f"pid {os.getpid()} on {socket.gethostname()}, {device}")
        self._order = Order()
        self._changed = threading.Condition()
        self._over = ""
        write(session.desk(self.name) / "state.json", self._state)
        start_thread(self._watch)

    @property
    def folder(self) -> Path:
        """Where the worker puts its segments."""
        return self._session.desk(self.name)

    def say(self, **changes: Any) -> None:
        """Changes the state; the head reads it within the moment."""
        with self._changed:
            self._state = replace(self._state, **changes)
            if "phase" in changes:
                self._changed.notify_all()

    def wrote(self, made: bool) -> None:
        """One more frame of the segment is finished.

        Raises:
            _Dropped: if it is not wanted any more.
        """
        if self._order.serial != self._state.serial or self._over:
            raise _Dropped
        self.say(frames=self._state.frames + 1, made=self._state.made + made)

    def next_order(self) -> Order:
        """Waits for an order beyond the one that was obeyed last."""
        with self._changed:
            while self._order.serial <= self._state.serial and not self._order.stop:
                self._changed.wait(self._job.poll_s)
            return self._order

    def last_words(self, **changes: Any) -> None:
        """Tells the state for good; a folder that is gone hears nothing."""
        self.say(**changes)
        try:
            self._write_state()
        except OSError as error:
            log.debug("nobody hears the end: %s", error)

    def _write_state(self) -> None:
        with self._changed:
            self._state = replace(self._state, beat=self._state.beat + 1)
            write(self.folder / "state.json", self._state)

    def _watch(self) -> None:
        heard, since = self._session.head(), time.monotonic()
        while not self._over:
            phase = self._state.phase
            try:
                self._write_state()
            except FileNotFoundError:
                return self._end("the job is over")
            except OSError as error:
                log.warning("the state cannot be told: %s", error)
            if (count := self._session.head()) is not None and count != heard:
                heard, since = count, time.monotonic()
            if time.monotonic() - since > self._job.patience_s:
                return self._end("the head of the job is gone")
            if self._parent is not None and os.getppid() != self._parent:
                return self._end("who started this worker is gone")
            order = self._session.order(self.name)
            if order is not None and order.serial > self._order.serial:
                with self._changed:
                    self._order = order
                    self._changed.notify_all()
                if order.stop:
                    return self._end("the job has no more work")
            with self._changed:
                if self._state.phase == phase:
                    self._changed.wait(self._job.poll_s)

    def _end(self, why: str) -> None:
        """Asks the main thread to stop, and stops the process if it does not."""
        if self._state.phase in (REFUSED, ENDED):
            return
        log.info("%s: %s.", self.name, why)
        self._over = why
        if not (self._order.stop and self._state.phase not in (STARTING, WORKING)):  # else it goes by itself
            os.kill(os.getpid(), signal.SIGTERM)
        deadline = time.monotonic() + STOPPING_S
        while time.monotonic() < deadline:
            time.sleep(0.1)
        os._exit(INTERRUPTED)


class Worker:
    """Makes segments as its desk hears orders."""

    def __init__(self, job: Job, desk: Desk, words: _Words, build: Build) -> None:
        self._desk = desk
        self._plan = job.plan
        self._options = replace(job.options, device=words.device or job.options.device)
        self._segments = {segment.number: segment for segment in job.plan.segments}
        self._encoding = with_threads(job.plan.encoding, job.encoder_threads)
        model_choice = choose_model(job.model, job.configuration, {}, self._options, build)
        self._model_choice: ModelChoice = replace(model_choice, memory_level=job.memory_level)
        self._job = job
        self._maker: FrameMaker | None = None

    def refuse_mismatch(self) -> None:
        """UserError if this machine would make other frames: naming what is not as at the head."""
        resolve_device(self._options.device)
        own = {**fingerprint(self._plan, self._job.film, self._options, self._model_choice), **environment()}
        wrong = differences(_shared(self._job.facts), _shared(own))
        if wrong:
            raise UserError(
                f"{socket.gethostname()} would make other frames than the head of the job: {'; '.join(wrong)}.",
                "the same version, weights, ffmpeg and input on all machines.",
                ENVIRONMENT,
            )

    def run(self) -> int:
        """Until there is no more to do."""
        self._desk.say(phase=IDLE)
        while not (order := self._desk.next_order()).stop:
            segment = None if order.segment is None else self._segments[order.segment]
            self._desk.say(
                phase=IDLE if segment is None else WORKING, serial=order.serial, frames=0, made=0, problem=None
            )
            if segment is not None:
                try:
                    self._make(segment)
                except _Dropped:
                    self._desk.say(phase=IDLE)
                except Exception as error:
                    log.exception("segment %d", segment.number)
                    self._desk.say(phase=FAILED, problem=self._problem(error))
        return DONE

    def _make(self, segment: Segment) -> None:
        if self._maker is None:
            self._maker = FrameMaker(self._plan, self._options, self._model_choice)
        statistics: list[Statistics] = []

        def open_segment(segment: Segment) -> FrameWriter:
            path = self._desk.folder / segment_name(self._encoding, segment.number)
            return open_writer(path, self._plan.spec, self._encoding, first=segment.start)

        self._maker.run([segment], open_segment, lambda _, __, facts: statistics.append(facts), self._desk.wrote)
        self._desk.say(phase=FINISHED, statistics=encode(statistics[0]))

    def _problem(self, error: Exception) -> Problem:
        explanation = error if isinstance(error, UserError) else device_error(error)
        if explanation is None and isinstance(error, OSError):
            explanation = environment_error(error, self._plan.target, self._job.film)
        if explanation is None:
            explanation = UserError(f"{type(error).__name__}: {error}".partition("\n")[0], "please report this bug.", 1)
        return Problem(explanation.args[0], explanation.args[1], explanation.code, is_memory_error(error))


def _shared(facts: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in facts.items() if key not in UNSHARED}


def main(argv: Sequence[str] | None = None, build: Build = instantiate) -> int:
    """The command; returns its exit code. ``build`` makes the model of its configuration."""
    yield_idle_cores()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("vfi_pipeline").setLevel(logging.INFO)
    desk: Desk | None = None
    try:
        with interruptible():
            words = _Words.read(sys.argv[1:] if argv is None else argv)
            session = Session.find(words.place)
            job = session.job()
            desk = Desk(session, words, job)
            worker = Worker(job, desk, words, build)
            worker.refuse_mismatch()
            return worker.run()
    except UserError as error:
        if desk is not None:
            desk.last_words(phase=REFUSED, problem=Problem(error.args[0], error.args[1], error.code))
        sys.stderr.write(f"error: {error}\n")
        return error.code
    except Interrupted:
        if desk is not None:
            desk.last_words(phase=ENDED)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
