"""Which worker makes which segment. Pure: events and the time come in, assignments go out.

A segment is *due*, *leased* to one or two workers, or *done*. The segment of a worker that fails or is lost is due
again, for another worker where there is one. Once nothing is due, an idle worker gets a copy of a segment that another
is expected to take longer for than the copy would; the first to finish counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Limits:
    """How much goes wrong before a job ends.

    Attributes:
        failures: of one segment, by an error.
        losses: workers that were lost with one segment: killed by what it asks of a machine, most likely.
        copies: of a segment that are worked on at a time.
        margin: a copy is made if the first is expected to take so many times as long as the copy.
        stall_s: a lease without a new frame for so long is a straggler, whatever was expected.
    """

    failures: int = 3
    losses: int = 8
    copies: int = 2
    margin: float = 1.25
    stall_s: float = 120.0


@dataclass
class Lease:
    """A segment that a worker makes; ``frames`` of it are finished. Times in seconds of the caller's clock."""

    segment: int
    since: float
    moved: float
    frames: int = 0


@dataclass
class _Worker:
    """A worker that is there; ``frames`` made in ``seconds`` by the leases it has finished."""

    lease: Lease | None = None
    frames: int = 0
    seconds: float = 0.0


@dataclass
class _Trouble:
    failures: list[str] = field(default_factory=list)
    losses: int = 0
    workers: set[str] = field(default_factory=set)


class Scheduler:
    """The state of a job's segments and workers."""

    def __init__(self, frames: Mapping[int, int], limits: Limits | None = None) -> None:
        """``frames``: segment -> output frames, of all that are to be made."""
        self.frames = dict(frames)
        self.limits = limits or Limits()
        self.done: set[int] = set()
        self._due = sorted(self.frames)
        self._workers: dict[str, _Worker] = {}
        self._trouble: dict[int, _Trouble] = {}
        self._frames_made, self._seconds_made = 0, 0.0

    # ------------------------------------------------------------------------------------------------------ what is

    @property
    def complete(self) -> bool:
        """Whether every segment is done."""
        return len(self.done) == len(self.frames)

    @property
    def due(self) -> tuple[int, ...]:
        """The segments that nobody works on, in the order in which they are given out."""
        return tuple(self._due)

    @property
    def workers(self) -> tuple[str, ...]:
        """Those that are there, in the order in which they came."""
        return tuple(self._workers)

    @property
    def under_way(self) -> int:
        """Finished frames of segments that are not done; of two copies those of the one that is further."""
        furthest: dict[int, int] = {}
        for worker in self._workers.values():
            if worker.lease is not None:
                furthest[worker.lease.segment] = max(worker.lease.frames, furthest.get(worker.lease.segment, 0))
        return sum(furthest.values())

    @property
    def hopeless(self) -> tuple[int, str] | None:
        """A segment that has failed too often, and its last error (``""`` if its workers were lost without a word)."""
        for segment, trouble in sorted(self._trouble.items()):
            if segment in self.done:
                continue
            if len(trouble.failures) >= self.limits.failures or trouble.losses >= self.limits.losses:
                return segment, trouble.failures[-1] if trouble.failures else ""
        return None

    def lease(self, worker: str) -> Lease | None:
        """What ``worker`` works on."""
        record = self._workers.get(worker)
        return record.lease if record else None

    # --------------------------------------------------------------------------------------------------- what happens

    def joined(self, worker: str) -> None:
        """``worker`` is there and idle; nothing if it was known already."""
        self._workers.setdefault(worker, _Worker())

    def left(self, worker: str) -> None:
        """``worker`` is lost. What it worked on is due again, unless someone else works on it too."""
        record = self._workers.pop(worker, None)
        if record is not None and record.lease is not None:
            trouble = self._trouble.setdefault(record.lease.segment, _Trouble())
            trouble.losses += 1
            trouble.workers.add(worker)
            self._give_back(record.lease.segment)

    def progressed(self, worker: str, frames: int, now: float) -> None:
        """``frames`` of its lease are finished."""
        lease = self.lease(worker)
        if lease is not None and frames > lease.frames:
            lease.frames, lease.moved = frames, now

    def finished(self, worker: str, now: float) -> tuple[bool, tuple[str, ...]]:
        """``worker`` has finished its lease.

        Returns:
            Whether it was the first to finish that segment, and the workers whose copy of it is void: they are idle.
        """
        record = self._workers[worker]
        lease, record.lease = record.lease, None
        assert lease is not None, worker
        elapsed = max(1e-6, now - lease.since)
        record.frames += self.frames[lease.segment]
        record.seconds += elapsed
        self._frames_made += self.frames[lease.segment]
        self._seconds_made += elapsed
        if lease.segment in self.done:
            return False, ()
        self.done.add(lease.segment)
        if lease.segment in self._due:  # given back in the meantime
            self._due.remove(lease.segment)
        void = self._holders(lease.segment)
        for name in void:
            self._workers[name].lease = None
        return True, void

    def failed(self, worker: str, why: str) -> None:
        """``worker`` could not make its segment, and is idle."""
        record = self._workers[worker]
        lease, record.lease = record.lease, None
        assert lease is not None, worker
        trouble = self._trouble.setdefault(lease.segment, _Trouble())
        trouble.failures.append(why)
        trouble.workers.add(worker)
        self._give_back(lease.segment)

    def assign(self, now: float) -> list[tuple[str, int]]:
        """Gives segments to idle workers: (worker, segment), each of them leased from now on."""
        given = []
        for name, worker in self._workers.items():
            if worker.lease is None:
                segment = self._next(name, now)
                if segment is not None:
                    worker.lease = Lease(segment, now, now)
                    given.append((name, segment))
        return given

    # ------------------------------------------------------------------------------------------------------- choices

    def _next(self, name: str, now: float) -> int | None:
        others = len(self._workers) > 1
        for segment in self._due:
            # Another worker tells a fault of the film from one of a machine. Who is alone tries again.
            if others and self._had_trouble(name, segment) and not self._all_had_trouble(segment):
                continue
            self._due.remove(segment)
            return segment
        return None if self._due else self._straggler(name, now)

    def _straggler(self, name: str, now: float) -> int | None:
        """The segment that is expected to be finished last, if a copy by ``name`` would be there before it."""
        worst, latest = None, 0.0
        for other in self._workers.values():
            lease = other.lease
            if lease is None or len(self._holders(lease.segment)) >= self.limits.copies:
                continue
            if self._had_trouble(name, lease.segment):
                continue
            if now - lease.moved > self.limits.stall_s:
                return lease.segment
            remaining = self._remaining(other, lease, now)
            if remaining > max(
                latest, self.limits.margin * self.frames[lease.segment] * self._pace(self._workers[name])
            ):
                worst, latest = lease.segment, remaining
        return worst

    def _remaining(self, worker: _Worker, lease: Lease, now: float) -> float:
        """Seconds until the lease is finished, by its own pace; before its first frame, by that of the others."""
        elapsed = now - lease.since
        if lease.frames:
            pace = elapsed / lease.frames
            return pace * (self.frames[lease.segment] - lease.frames) + max(0.0, now - lease.moved - pace)
        expected = self.frames[lease.segment] * self._pace(worker)
        return expected if elapsed <= expected or math.isinf(expected) else elapsed

    def _pace(self, worker: _Worker) -> float:
        """Seconds a frame: the worker's own, else the mean of all, else infinite."""
        if worker.frames:
            return worker.seconds / worker.frames
        return self._seconds_made / self._frames_made if self._frames_made else math.inf

    def _holders(self, segment: int) -> tuple[str, ...]:
        return tuple(n for n, worker in self._workers.items() if worker.lease and worker.lease.segment == segment)

    def _had_trouble(self, name: str, segment: int) -> bool:
        return segment in self._trouble and name in self._trouble[segment].workers

    def _all_had_trouble(self, segment: int) -> bool:
        return all(self._had_trouble(name, segment) for name in self._workers)

    def _give_back(self, segment: int) -> None:
        if segment not in self.done and segment not in self._due and not self._holders(segment):
            self._due.insert(0, segment)
