"""Which source pair, and which t between its frames, gives each output frame. Pure and exact: no floats, no files.

The rule for counts and times, all in source seconds (``begin`` and ``end`` are the trim, else the whole film):

- The film covers ``[first pts, last pts + last frame's duration)``; the last frame is held for its own duration.
- Output frame n shows the source at ``begin + n / (rate * slowdown)`` and is presented at ``begin + n / rate``.
- There are as many output frames as start before the end: ``count = ceil((end - begin) * slowdown * rate)``, at least
  one. An end that lies within a quarter of an output frame *and* one tick of the source's clock behind an output frame
  is put down to the clock's rounding, and adds no frame.
- ``t = (time - time(k)) / (time(k + 1) - time(k))`` of the pair around it, exactly; ``t == 0`` copies frame k.

So ``multi=m`` of N frames at a constant rate gives N x m frames and keeps the duration, not (N - 1) x m + 1.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, lcm
from typing import NamedTuple


@dataclass(frozen=True)
class SourceTimes:
    """When each source frame is shown: ``pts[k] * time_base`` seconds, strictly increasing.

    ``last_duration`` is how long the last frame stays, in seconds; more than zero.
    """

    pts: Sequence[int]
    time_base: Fraction
    last_duration: Fraction

    def __post_init__(self) -> None:
        if not self.pts:
            raise ValueError("A film needs at least one frame.")
        if self.last_duration <= 0 or self.time_base <= 0:
            raise ValueError(f"Durations are positive, got {self.last_duration} s and time base {self.time_base}.")
        if any(b <= a for a, b in zip(self.pts, self.pts[1:])):
            raise ValueError("Presentation times must increase from frame to frame.")

    def __len__(self) -> int:
        return len(self.pts)

    def time(self, k: int) -> Fraction:
        """Presentation time of frame ``k``, seconds."""
        return self.pts[k] * self.time_base

    @property
    def first(self) -> Fraction:
        """Presentation time of the first frame, seconds."""
        return self.time(0)

    @property
    def end(self) -> Fraction:
        """The time at which the last frame's own duration is over, seconds."""
        return self.time(-1) + self.last_duration

    @property
    def span(self) -> Fraction:
        """Duration of the film, seconds: from the first frame to the end of the last."""
        return self.end - self.first

    def shown_at(self, time: Fraction) -> int:
        """The frame on the screen at ``time``: the last one that starts at or before it, else frame 0."""
        ticks = time / self.time_base
        return max(0, bisect_right(self.pts, ticks.numerator // ticks.denominator) - 1)

    def starting_at(self, time: Fraction) -> int:
        """The first frame that starts at or after ``time``; ``len(self)`` if none does."""
        ticks = time / self.time_base
        return bisect_left(self.pts, -(-ticks.numerator // ticks.denominator))

    def gaps(self, longest: Fraction | None) -> tuple[int, ...]:
        """The frames whose next one comes later than ``longest`` seconds; none if that is None."""
        if longest is None:
            return ()
        most = longest / self.time_base
        ticks = most.numerator // most.denominator
        return tuple(k for k, (here, after) in enumerate(zip(self.pts, self.pts[1:])) if after - here > ticks)

    def even_at(self, rate: Fraction) -> SourceTimes:
        """The same film with exact times ``first + k / rate``, if its clock was too coarse for them; else ``self``.

        Matroska and FLV round 1/24 s to whole milliseconds, GIF to hundredths. Left as they are, such times would
        put no output frame exactly on a source frame, and none would be copied. A film counts as even if every time
        stamp is explained by ``rate`` to within one tick of its clock. The last frame keeps its own duration, unless
        that is one frame, rounded.
        """
        return self.spaced(rate) if is_even(self.pts, rate * self.time_base) else self

    def spaced(self, rate: Fraction) -> SourceTimes:
        """As many frames from the same first time on, ``1 / rate`` apart; the last one's own duration stays."""
        base = Fraction(1, lcm(self.first.denominator, rate.numerator))
        origin, gap = self.first / base, 1 / (rate * base)
        assert origin.denominator == gap.denominator == 1
        own, usual = self.last_duration, 1 / rate
        last = usual if abs(own - usual) <= max(self.time_base, usual / 100) else own
        return SourceTimes(range(int(origin), int(origin) + len(self.pts) * int(gap), int(gap)), base, last)


COARSE_TICKS = 8
"""Ticks per frame below which a clock that fits the rate counts frames: there a tick more is a frame left out."""


def is_even(pts: Sequence[int], frames_per_tick: Fraction) -> bool:
    """Whether all ``pts`` are ``pts[0] + k / frames_per_tick``, rounded down or to the nearest.

    Where a frame lasts whole ticks, and few of them (AVI counts frames), nothing is rounded and the times are exact.
    """
    step = 1 / frames_per_tick
    # max - min over k of pts[k] - k * step, in units of 1/step.denominator ticks: integers only.
    errors = [p * step.denominator - k * step.numerator for k, p in enumerate(pts)]
    exact = step.denominator == 1 and step < COARSE_TICKS
    return max(errors) - min(errors) <= (0 if exact else step.denominator)


def outlying_stamps(pts: Sequence[int], frames_per_tick: Fraction) -> tuple[int, ...] | None:
    """The frames, one in a hundred at most, that keep ``pts`` from being even; None if more do, or two in a row.

    Neither the first nor the last frame is among them: a film may begin or end with a pause.
    """
    step = 1 / frames_per_tick
    errors = [p * step.denominator - k * step.numerator for k, p in enumerate(pts)]
    middle = sorted(errors)[len(errors) // 2]
    off = tuple(k for k, error in enumerate(errors) if abs(error - middle) > step.denominator)
    if not off or len(off) > max(1, len(pts) // 100) or off[0] == 0 or off[-1] == len(pts) - 1:
        return None
    if any(b - a == 1 for a, b in zip(off, off[1:])):
        return None
    rest = [error for k, error in enumerate(errors) if k not in set(off)]
    return off if max(rest) - min(rest) <= step.denominator else None


class Slot(NamedTuple):
    """One output frame: number ``index``, presented at ``time``, made of frames ``source`` and ``source + 1`` at ``t``.

    ``t`` is in [0, 1); 0 means: copy frame ``source``. ``time`` is in seconds, on the source's clock at the first slot.
    """

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody misses
    time: Fraction
    source: int
    t: Fraction


class Timeline:
    """The output frames of a film, computed when asked for; see the module's docstring for the rule."""

    apart = False
    """Whether the frames are pictures by themselves, which follow no rate."""

    def __init__(
        self,
        times: SourceTimes,
        rate: Fraction,
        slowdown: Fraction = Fraction(1),
        begin: Fraction | None = None,
        end: Fraction | None = None,
    ) -> None:
        """
        Args:
            times: the source.
            rate: output frames per second.
            slowdown: 4 makes the film last four times as long.
            begin, end: the part to keep, in the source's own times; None keeps that side. Clipped to the film.

        Raises:
            ValueError: if ``rate`` or ``slowdown`` is not positive, or nothing lies between ``begin`` and ``end``.
        """
        if rate <= 0 or slowdown <= 0:
            raise ValueError(f"Rate and slowdown must be positive, got {rate} and {slowdown}.")
        self.times, self.rate, self.slowdown = times, Fraction(rate), Fraction(slowdown)
        self.begin = times.first if begin is None else max(times.first, Fraction(begin))
        self.end = times.end if end is None else min(times.end, Fraction(end))
        if self.end <= self.begin:
            raise ValueError(f"Nothing lies between {float(self.begin):g} s and {float(self.end):g} s.")
        step = 1 / (self.rate * self.slowdown)  # source seconds between output frames
        slack = min(times.time_base, step / 4)
        self.count = max(1, ceil((self.end - self.begin - slack) / step))
        # Everything as integers in units of 1/scale seconds: 432,000 slots take a second, not a minute.
        scale = lcm(times.time_base.denominator, step.denominator, self.begin.denominator)
        self._tick = int(times.time_base * scale)
        self._step = int(step * scale)
        self._begin = int(self.begin * scale)

    def __len__(self) -> int:
        return self.count

    @property
    def duration(self) -> Fraction:
        """Length of the output in seconds: ``count / rate``."""
        return self.count / self.rate

    def slots(self, start: int = 0, stop: int | None = None) -> Iterator[Slot]:
        """The output frames ``start .. stop - 1``, in order, lazily."""
        stop = self.count if stop is None else min(stop, self.count)
        if start >= stop:
            return
        pts, tick = self.times.pts, self._tick
        last = len(pts) - 1
        at = self._begin + start * self._step
        k = max(0, bisect_right(pts, at // tick) - 1)
        for index in range(start, stop):
            at = self._begin + index * self._step
            while k < last and pts[k + 1] * tick <= at:
                k += 1
            into = at - pts[k] * tick
            t = Fraction(into, (pts[k + 1] - pts[k]) * tick) if into and k < last else Fraction(0)
            yield Slot(index, self.begin + index / self.rate, k, t)

    def slot(self, index: int) -> Slot:
        """Output frame ``index``."""
        return next(self.slots(index, index + 1))

    @property
    def sources_shown(self) -> tuple[int, int]:
        """(first, last) source frame of the whole timeline, both inclusive: what the trim leaves out is not read."""
        return self.sources(0, self.count)

    def first_slot_at(self, k: int) -> int:
        """The first output frame that shows source time ``times.time(k)`` or later; at most ``count``."""
        if k >= len(self.times.pts):
            return self.count
        ahead = self.times.pts[k] * self._tick - self._begin
        return min(self.count, max(0, -(-ahead // self._step)))

    def sources(self, start: int, stop: int) -> tuple[int, int]:
        """(first, last) source frame that output frames ``start .. stop - 1`` need, both inclusive."""
        head, tail = self.slot(start), self.slot(stop - 1)
        return head.source, tail.source + (1 if tail.t else 0)


class Moments(Timeline):
    """Single frames of a film: one output frame for each of the moments asked for, in their order.

    The presentation times of the slots mean nothing; they count on at ``rate``.
    """

    apart = True

    def __init__(self, times: SourceTimes, rate: Fraction, moments: Sequence[Fraction]) -> None:
        """
        Args:
            moments: in the source's own times. Before the first frame the first one is shown.

        Raises:
            ValueError: if there is none, or one lies at or behind the film's end.
        """
        if not moments or max(moments) >= times.end:
            raise ValueError(f"Moments lie before the film's end, {float(times.end):g} s.")
        super().__init__(times, rate)
        self.moments = tuple(Fraction(moment) for moment in moments)
        self.count = len(self.moments)

    def slots(self, start: int = 0, stop: int | None = None) -> Iterator[Slot]:
        times = self.times
        for index in range(start, self.count if stop is None else min(stop, self.count)):
            moment = max(times.first, self.moments[index])
            k = times.shown_at(moment)
            t = Fraction(0) if k == len(times) - 1 else (moment - times.time(k)) / (times.time(k + 1) - times.time(k))
            yield Slot(index, self.begin + index / self.rate, k, t)

    @property
    def sources_shown(self) -> tuple[int, int]:
        return 0, len(self.times) - 1
