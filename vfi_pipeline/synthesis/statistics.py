"""What happened while a stream ran."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction

from vfi_pipeline.models.motion import MotionReport, PendingReport

MOST_PENDING = 512
"""Pairs whose figures wait on a device: some 20 s of film, a few kilobytes."""

LEAST_CERTAIN = 16
"""Pairs that are remembered for the little confidence in their motion..."""

NEIGHBOURS = 8
"""...of longer films one in so many source frames: those beside it are doubtful for the same reason."""


@dataclass
class Statistics:
    """Readable while the stream runs and after.

    Attributes:
        source_frames: frames read, the detectors' context included.
        copied: output frames at a source frame's own time: that frame, bit for bit.
        held: output frames between source frames that show the one before: at cuts, in gaps, between equal ones.
        made: output frames that were composed.
        pairs: pairs whose motion was solved.
        nfe: velocity evaluations, summed over the pairs.
        min_det: smallest Jacobian determinant seen.
        folded: share of the area with a determinant of 0 or less, mean over the pairs.
        confidence: confidence in the motion, mean over the pairs.
        uncertain: (source index of the pair's first frame, mean confidence in its motion), in order, of the
            ``LEAST_CERTAIN`` pairs with the least, of pairs whose motion is estimated; see ``NEIGHBOURS``.
        cuts: source index of the first frame of each new shot; ``cut_times`` its presentation time, seconds.
        duplicates: source indices of repeats that were re-timed.
        seconds: time of each stage: read, detect, guide, motion, compose; threads add up.
    """

    source_frames: int = 0
    copied: int = 0
    held: int = 0
    made: int = 0
    pairs: int = 0
    nfe: int = 0
    min_det: float = 1.0
    folded: float = 0.0
    confidence: float = 1.0
    uncertain: list[tuple[int, float]] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    cut_times: list[Fraction] = field(default_factory=list)
    duplicates: list[int] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)
    _reported: tuple[int, MotionReport] | None = field(default=None, repr=False, compare=False)
    _pending: dict[int, PendingReport] = field(default_factory=dict, repr=False, compare=False)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Adds the wall time of the block to ``seconds[stage]``; from any thread."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            elapsed = time.perf_counter() - begin
            with self._lock:
                self.seconds[stage] = self.seconds.get(stage, 0.0) + elapsed

    @property
    def last_pair(self) -> int:
        """The pair that was entered last, by its first frame's index; -1 if none was."""
        if self._pending:
            return next(reversed(self._pending))
        return -1 if self._reported is None else self._reported[0]

    def record(self, pair: int, report: MotionReport | PendingReport) -> None:
        """Enters what is known of a pair (named by its first frame's index): its report covers all times asked so far.

        Pairs come in order; a pair may come again with more times. Figures that lie on a device count from the next
        ``settle`` on, of many pairs at once.
        """
        if isinstance(report, PendingReport):
            self._pending[pair] = report
            if len(self._pending) > MOST_PENDING:
                self.settle()
            return
        if self._reported is None or self._reported[0] != pair:
            share = self.pairs / (self.pairs + 1)  # means over the pairs, kept running
            self.folded, self.confidence = self.folded * share, self.confidence * share
            self.pairs += 1
            self._reported = pair, MotionReport(0, 1.0, 0.0, 0.0)
        before = self._reported[1]
        self.min_det = min(self.min_det, report.min_det)
        self.nfe += report.nfe - before.nfe
        self.folded += (report.folded - before.folded) / self.pairs
        self.confidence += (report.confidence - before.confidence) / self.pairs
        self._reported = pair, report
        if report.nfe:
            self._remember(pair, report.confidence)

    def _remember(self, pair: int, confidence: float) -> None:
        """Enters a pair among the least certain ones, if it is one of them."""
        known = {**dict(self.uncertain), pair: confidence}
        if len(known) > LEAST_CERTAIN:
            least: dict[int, float] = {}
            for other, value in known.items():
                least[other // NEIGHBOURS] = min(value, least.get(other // NEIGHBOURS, value))
            beside = [other for other, value in known.items() if value > least[other // NEIGHBOURS]]
            del known[max(beside or known, key=lambda other: known[other])]
        self.uncertain = sorted(known.items())

    def settle(self) -> None:
        """Reads what still lies on the device: the one time that it is waited for."""
        pending, self._pending = self._pending, {}
        for pair, report in zip(pending, PendingReport.read(list(pending.values()))):
            self.record(pair, report)
