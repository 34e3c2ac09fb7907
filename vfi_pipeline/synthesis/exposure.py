"""Motion blur: a frame that is exposed for a while is the mean of what it shows meanwhile.

The shutter is open for ``length`` seconds of the source, half of them before the frame's own moment and half after it,
so that what moves stays in time with the sound. An exposure is cut where pairs of key frames meet; in each pair, so
many moments are averaged that nothing moves by more than ``STEP`` from one to the next, and no more than ``MOST`` for a
whole exposure. It never reaches over a cut or before the film's first frame: what lies beyond is left out. The last
frame stays.

Code values are averaged, as ffmpeg's ``tmix`` and ``minterpolate`` average them, and not light; colours are weighted by
their opacity.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

import torch
from torch import Tensor

from vfi_pipeline.media.timeline import Slot, SourceTimes
from vfi_pipeline.models.motion import IntermediateMotion
from vfi_pipeline.synthesis import compose
from vfi_pipeline.synthesis.windows import KeyWindow

STEP = 1.0
"""Pixels from one averaged moment to the next, at most, as far as ``MOST`` allows: edges do not show as copies."""

MOST = 64
"""Moments averaged for one frame, at most (at least one of each pair): beyond 64 px of movement the steps grow."""


@dataclass(frozen=True)
class Part:
    """The part of an exposure in one pair: from ``begin`` to ``end`` of it, both in [0, 1]; ``share`` of the whole."""

    begin: Fraction
    end: Fraction
    share: Fraction

    def times(self, motion: IntermediateMotion, width: int, height: int) -> list[float]:
        """The moments to average, the middles of equal parts; ``motion``: any of the pair's, on frames of that size."""
        return self.moments(float(longest_move(motion, width, height)))

    def moments(self, longest_px: float) -> list[float]:
        """``times``, where nothing in the pair moves by more than this."""
        length = self.end - self.begin
        count = max(1, min(ceil(longest_px * float(length) / STEP), ceil(MOST * self.share)))
        return [float(self.begin + length * Fraction(2 * k + 1, 2 * count)) for k in range(count)]


def longest_move(motion: IntermediateMotion, width: int, height: int) -> Tensor:
    """How far the content of a pair of frames of that size moves at most, px, (); it stays on its device."""
    flow = (motion.flow_to_last - motion.flow_to_first)[0].float()
    h, w = flow.shape[-2:]
    return torch.hypot(flow[0] * (width / w), flow[1] * (height / h)).max()


class Mean:
    """A weighted mean of frames of one layout, summed where they lie."""

    def __init__(self, layout: compose.Layout) -> None:
        self._layout = layout
        self._sums: list[Tensor] = []
        self._weight = 0.0

    def add(self, values: Sequence[Tensor], weight: float) -> None:
        """Adds a frame; ``values``: see ``compose.to_tensors``."""
        self._add(compose.weighted_by_opacity(list(values), self._layout), weight, weight)

    def merge(self, other: Mean) -> None:
        """Adds all that ``other`` has; it is not to be used any more."""
        self._add(other._sums, 1.0, other._weight)

    def _add(self, groups: list[Tensor], factor: float, weight: float) -> None:
        if not self._sums:
            self._sums = [group * factor for group in groups]
        else:
            for total, group in zip(self._sums, groups):
                total.add_(group, alpha=factor)
        self._weight += weight

    def codes(self) -> list[Tensor]:
        """The mean, rounded; see ``compose.rounded``."""
        values = compose.unweighted_by_opacity([total / self._weight for total in self._sums], self._layout)
        return compose.rounded(values, self._layout)


@dataclass(frozen=True)
class Exposure:
    """An output frame that shows all from ``begin`` to ``end``, source seconds, around its ``moment``."""

    slot: Slot
    moment: Fraction
    begin: Fraction
    end: Fraction


def exposures(slots: Iterable[Slot], times: SourceTimes, length: Fraction) -> Iterator[Exposure]:
    """The exposures of the slots, in order; ``length`` in source seconds."""
    for slot in slots:
        here = times.time(slot.source)
        moment = here + (slot.t * (times.time(slot.source + 1) - here) if slot.t else 0)
        yield Exposure(slot, moment, moment - length / 2, moment + length / 2)


def part_in(window: KeyWindow, one: Exposure) -> Part | None:
    """What of an exposure lies in the window's pair; None if nothing does. At the film's end, the last key stays."""
    first, last = window.first, window.last
    if last is None:
        begin, end = max(one.begin, first.time), one.end
        if begin >= end and not (one.begin == one.end == begin):
            return None
        return Part(Fraction(0), Fraction(0), (end - begin) / (one.end - one.begin))
    begin, end = max(one.begin, first.time), min(one.end, last.time)
    if begin >= end:
        return None
    span = last.time - first.time
    return Part((begin - first.time) / span, (end - first.time) / span, (end - begin) / (one.end - one.begin))


def begins_before(window: KeyWindow, one: Exposure) -> bool:
    """Whether an exposure has begun when the window's pair ends."""
    return window.last is None or one.begin < window.last.time


def is_over(window: KeyWindow, one: Exposure) -> bool:
    """Whether an exposure ends in the window's pair: there, or because the film or the shot does."""
    last = window.last
    return last is None or one.end <= last.time or (last.starts_shot and one.moment < last.time)


def is_of_an_earlier_shot(window: KeyWindow, one: Exposure) -> bool:
    """Whether the parts of an exposure before this window are of another shot than its moment."""
    return window.first.starts_shot and one.moment >= window.first.time
