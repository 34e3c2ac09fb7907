"""The head of a job with several workers: gives out segments, takes in what they made, and enters it in the journal.

``Head`` is a ``jobs.segment_task.MakeFrames``; what comes after it (joining, checking, publishing) is the same
as for one process. Which worker makes what, ``Scheduler`` says; who starts workers, an ``Executor``; how they are
spoken to, ``Session``.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from vfi_pipeline.errors import ENVIRONMENT, UserError
from vfi_pipeline.jobs.environment import environment
from vfi_pipeline.jobs.executor import Executor
from vfi_pipeline.jobs.journal import remove
from vfi_pipeline.jobs.options import Options
from vfi_pipeline.jobs.plan import Segment
from vfi_pipeline.jobs.scheduler import Limits, Scheduler
from vfi_pipeline.jobs.segment_task import SegmentTask
from vfi_pipeline.jobs.session import ENDED, FAILED, FINISHED, REFUSED, STARTING, WORKING, Job, Order, Session, State
from vfi_pipeline.jobs.sources import Film
from vfi_pipeline.jobs.typed_json import decode
from vfi_pipeline.media.codecs import default_threads
from vfi_pipeline.media.writer import segment_name

log = logging.getLogger(__name__)

APPEARS_S = 60.0
"""How long a segment that a worker has finished may take to be seen here: network shares are slow to tell."""

ENDING_S = 5.0
"""How long workers may take to end by themselves when the job is over."""


def worker_processors() -> int:
    """Processors that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


@dataclass
class _WorkerRecord:
    """What the head knows of a worker: when its count last changed, and the last order to it."""

    beat: int
    seen: float
    state: State
    order: Order = Order()
    gone: bool = False
    over: bool = False  # and does not come back


class Head:
    """Makes the frames of a job by workers; see ``jobs.segment_task``."""

    def __init__(
        self,
        executor: Callable[[], Executor],
        film: Film,
        facts: dict[str, str],
        folder: Path,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            executor: opens the executor: only a job that has work left needs one.
            facts: the fingerprint of the job.
            folder: the work folder, locked.
        """
        self._open_executor, self._film, self._facts, self._folder = executor, film, facts, folder
        self._limits, self._clock = limits or Limits(), clock

    def __call__(self, task: SegmentTask) -> None:
        executor = self._open_executor()
        try:
            session = Session.create(self._folder, job_of(task, self._film, self._facts, executor))
            watch = _Watch(self._folder, session, executor, task, self._limits, self._clock)
            try:
                watch.run()
            finally:
                watch.end()
        finally:
            executor.stop()
            for left in self._folder.glob("session-*"):
                remove(left)


def job_of(task: SegmentTask, film: Film, facts: Mapping[str, str], executor: Executor) -> Job:
    """The job as its workers read it.

    Args:
        facts: the fingerprint of the job.
    """
    plan, model_choice = task.plan, task.model_choice
    height = plan.encoding.stored_size(plan.spec)[1]
    return Job(
        plan=plan,
        film=film,
        options=for_workers(task.options, facts["device"]),
        model=model_choice.name,
        configuration=dict(model_choice.configuration),
        memory_level=model_choice.memory_level,
        facts={**facts, **environment()},
        poll_s=executor.poll_s,
        patience_s=executor.patience_s,
        encoder_threads=default_threads(plan.encoding.encoder, worker_processors(), height),
    )


def for_workers(options: Options, device: str) -> Options:
    """The options of a job as each of its workers has them; files by their whole names."""
    weights = options.weights
    return replace(
        options,
        executor="local", workers=None, devices=None, address=None, slurm=None,
        device=device,
        mask=options.mask and os.path.abspath(options.mask),
        weights=os.path.abspath(weights) if weights and os.path.isfile(weights) else weights,
    )  # fmt: skip


class _Watch:
    """One run of the head, until every segment is done."""

    def __init__(
        self,
        folder: Path,
        session: Session,
        executor: Executor,
        task: SegmentTask,
        limits: Limits,
        clock: Callable[[], float],
    ) -> None:
        self._folder, self._session, self._executor, self._plan = folder, session, executor, task.plan
        self._segments = {segment.number: segment for segment in task.segments}
        self._finished, self._progress, self._clock = task.finished, task.progress, clock
        self._scheduler = Scheduler({segment.number: segment.frames for segment in task.segments}, limits)
        self._workers: dict[str, _WorkerRecord] = {}
        self._started: set[str] = set()  # by us, and not ended
        self._ours: set[str] = set()  # ever started by us; others are guests
        self._serial = self._names = self._beats = self._fruitless = 0
        self._before, self._frames_made = task.progress.done, task.progress.made
        self._last_words = ""
        self._refused: dict[str, UserError] = {}
        self._failure: UserError | None = None

    def run(self) -> None:
        """
        Raises:
            UserError: if a segment cannot be made, or no worker can be had.
            MemoryError: if a worker has not enough memory.
        """
        while not self._scheduler.complete:
            self._beats += 1
            self._session.beat(self._beats)
            ended = self._executor.ended()
            for name, state in self._session.states():  # what they said before they ended, too
                self._hear(name, state)
            self._replace(ended)
            self._forget_silent()
            self._give_up_if_hopeless()
            for name, segment in self._scheduler.assign(self._clock()):
                self._tell(name, segment)
            self._show()
            if not self._scheduler.complete:
                time.sleep(self._executor.poll_s)

    def end(self) -> None:
        """Tells the workers that there is no more to do, and waits a little for them to end."""
        try:
            for name in {*self._workers, *self._started}:
                self._serial += 1
                self._session.tell(name, Order(self._serial, None, stop=True))
        except OSError as error:
            log.debug("workers were not told to stop: %s", error)
        deadline = self._clock() + ENDING_S
        while self._started and self._clock() < deadline:
            self._started -= self._executor.ended().keys()
            time.sleep(0.05)

    # ------------------------------------------------------------------------------------------------ who is there

    def _replace(self, ended: dict[str, str]) -> None:
        """Starts others in place of workers that have ended, or say nothing.

        Raises:
            UserError: if that has been no use for long, or all were refused.
        """
        for name, words in ended.items():
            self._started.discard(name)
            if name in self._refused:
                continue
            self._last_words = words
            self._fruitless += 1
            if name in self._workers:
                self._lose(name, words, over=True)
            else:
                log.warning("worker %s ended before it began: %s", name, words)
        # One that says nothing may be there and hang: another takes its place.
        silent = {name for name, record in self._workers.items() if record.gone}
        running = len(self._started - silent)
        room = self._executor.workers - running - len(self._refused.keys() & self._ours)
        left = len(self._segments) - len(self._scheduler.done)
        fresh = [self._new_name() for _ in range(min(room, left - running))]
        most = 3 + 2 * self._executor.workers
        if self._fruitless >= most:
            raise UserError(
                f"{most} workers in a row ended before they had finished a segment. The last one said: "
                f"{self._last_words}.",
                "see to that, then the same command again: the segments made so far are kept.",
                ENVIRONMENT,
            )
        if fresh:
            self._executor.start(self._session.folder, fresh)
            self._started |= set(fresh)
            self._ours |= set(fresh)
        if self._refused and not running and not fresh and not self._present():
            raise next(iter(self._refused.values()))

    def _new_name(self) -> str:
        self._names += 1
        return f"worker-{self._names}"

    def _present(self) -> list[str]:
        return [name for name, record in self._workers.items() if not record.gone]

    def _hear(self, name: str, state: State) -> None:
        """Takes in what a worker says; one that nobody here has started is as welcome."""
        now = self._clock()
        record = self._workers.get(name)
        if record is None:
            record = self._workers[name] = _WorkerRecord(-1, now, State())
        if state.beat == record.beat:
            return
        record.beat, record.seen, before, record.state = state.beat, now, record.state, state
        if record.over or state.phase == STARTING:
            return
        if state.phase == REFUSED:
            self._refuse(name, state)
            return
        if state.phase == ENDED:
            self._lose(name, "it was stopped", over=True)
            return
        if before.phase == STARTING:
            log.info("worker %s is there: %s.", name, state.who)
            record.gone = False
            self._scheduler.joined(name)
        elif record.gone:  # silent for a while, and back
            record.gone = False
            self._scheduler.joined(name)
            self._tell(name, None)
        lease = self._scheduler.lease(name)
        if lease is None or state.serial != record.order.serial or record.order.segment != lease.segment:
            return
        if state.phase == WORKING:
            self._scheduler.progressed(name, state.frames, now)
        elif state.phase == FINISHED:
            self._take(name, self._segments[lease.segment], state)
        elif state.phase == FAILED and state.problem is not None:
            if state.problem.memory:
                raise MemoryError(state.problem.problem)
            where = f"segment {lease.segment} on {state.who}"
            log.warning("%s failed: %s", where, state.problem.problem)
            self._failure = state.problem.error(where)
            self._scheduler.failed(name, state.problem.problem)

    def _refuse(self, name: str, state: State) -> None:
        problem = state.problem
        if problem is None or name in self._refused:
            return
        self._refused[name] = problem.error()
        self._workers[name].gone = self._workers[name].over = True
        self._scheduler.left(name)
        log.warning("worker %s is refused: %s", name, problem.problem)

    def _lose(self, name: str, why: str, over: bool = False) -> None:
        record = self._workers[name]
        record.over = record.over or over
        if record.gone:
            return
        record.gone = True
        lease = self._scheduler.lease(name)
        what = "" if lease is None else f"; segment {lease.segment} is made again"
        log.warning("worker %s (%s) is lost: %s%s.", name, record.state.who, why, what)
        self._scheduler.left(name)

    def _forget_silent(self) -> None:
        now = self._clock()
        for name, record in self._workers.items():
            if not record.gone and now - record.seen > self._executor.patience_s:
                self._last_words = f"it has said nothing for {self._executor.patience_s:.0f} s"
                self._fruitless += name in self._ours
                self._lose(name, self._last_words)

    # ---------------------------------------------------------------------------------------------------- segments

    def _tell(self, name: str, segment: int | None) -> None:
        self._serial += 1
        self._workers[name].order = Order(self._serial, segment)
        self._session.tell(name, self._workers[name].order)

    def _take(self, name: str, segment: Segment, state: State) -> None:
        """A finished segment: into place and into the journal, unless another worker was faster."""
        from vfi_pipeline.synthesis.statistics import Statistics  # loads torch

        file = segment_name(self._plan.encoding, segment.number)
        file_of_worker, place = self._session.desk(name) / file, self._folder / file
        if not self._appears(file_of_worker):
            why = f"{file_of_worker} cannot be seen here, though worker {name} has finished it"
            self._failure = UserError(f"{why}.", "one folder that all machines share.", ENVIRONMENT)
            self._scheduler.failed(name, why)
            return
        first, void = self._scheduler.finished(name, self._clock())
        if not first:
            remove(file_of_worker)
            return
        if place.exists():
            remove(place)
        os.replace(file_of_worker, place)
        self._finished(segment, segment.frames, decode(Statistics, state.statistics))
        self._fruitless = 0
        self._before += segment.frames
        self._frames_made += state.made
        for other in void:
            self._tell(other, None)

    def _appears(self, path: Path) -> bool:
        deadline = self._clock() + APPEARS_S
        while not path.exists():
            if self._clock() > deadline:
                return False
            os.listdir(path.parent)  # asks a file server again
            time.sleep(self._executor.poll_s)
        return True

    def _give_up_if_hopeless(self) -> None:
        hopeless = self._scheduler.hopeless
        if hopeless is None:
            return
        segment, why = hopeless
        if why and self._failure is not None:
            raise self._failure
        raise UserError(
            f"Segment {segment} ended every worker that made it ({self._last_words}).",
            "more memory for each, or fewer workers on a machine; then the same command again.",
            ENVIRONMENT,
        )

    def _show(self) -> None:
        working = [k.state for n, k in self._workers.items() if not k.gone and self._scheduler.lease(n) is not None]
        made_frames = self._frames_made + sum(state.made for state in working)
        count = len(self._scheduler.workers)
        text = f"{count} worker{'s' * (count != 1)}" if count else "waiting for workers"
        self._progress.at(self._before + self._scheduler.under_way, made_frames, text)
