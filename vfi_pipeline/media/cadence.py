"""Film that is shown in fields: 2:3 pulldown by flags and similar patterns, seen in the time stamps. Pure and exact.

A display of F fields per second shows film of another rate by giving its frames n or n + 1 fields in turn: 2 and 3 for
24 frames in 60 fields, 2 and now and then 3 for 24 in 50 or 25 in 60. A stream that repeats fields by flags (MPEG-2's
repeat_first_field, H.264's pic_struct) is stamped accordingly: 0, 3, 5, 8, 10 fields. The film itself was even.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

from vfi_pipeline.media.timeline import SourceTimes

FIELD_RATES = tuple(Fraction(rate) for rate in (Fraction(60000, 1001), 60, 50, Fraction(120000, 1001), 120, 100))
"""Fields, or frames of a display, per second."""

MOST_FRAMES = 25
"""Film frames after which a pattern repeats, at most: 24 frames in 50 fields and 24 in 60000/1001 do so sooner."""

LEAST_FRAMES = 8
"""Frames that a pattern must explain: fewer may be chance."""

LONGEST_FIELDS = 6
"""A frame that stays for more fields is held for another reason."""


@dataclass(frozen=True)
class Cadence:
    """What explains a film's time stamps.

    Attributes:
        rate: the film's frames per second.
        fields: how many fields of the display its frames last, as ``2:3``.
        times: the film's own times.
        whole: every frame belongs to it; otherwise parts of the film do, and the rest keeps its time stamps.
    """

    rate: Fraction
    fields: str
    times: SourceTimes
    whole: bool


def find_cadence(times: SourceTimes) -> Cadence | None:
    """The display cadence of ``times``; None if they are even, or vary in another way.

    The time stamps have to lie on one grid of fields to within one tick of the clock. One pattern for the whole film is
    looked for first; then, as pulldown to 60 fields is cut and mixed with video, stretches of 2:3.
    """
    if len(times) < LEAST_FRAMES:
        return None
    for field_rate in FIELD_RATES:
        fields = _on_grid(times, field_rate)
        if fields is None:
            continue
        whole = _whole(times, fields, field_rate)
        return whole or _stretches(times, fields, field_rate)
    return None


def _on_grid(times: SourceTimes, field_rate: Fraction) -> list[int] | None:
    """Fields from the first frame to each; None if they are not whole fields apart, or are frames of a display."""
    step = 1 / (field_rate * times.time_base)  # ticks per field
    if step < 4:
        return None
    first = times.pts[0]
    fields = [round((p - first) / step) for p in times.pts]
    # As in timeline.is_even: the errors of stamps that were rounded lie within one tick of each other.
    errors = [(p - first) * step.denominator - n * step.numerator for p, n in zip(times.pts, fields)]
    if max(errors) - min(errors) > step.denominator:
        return None
    lengths = {b - a for a, b in zip(fields, fields[1:])}
    # Frames of a display that were left out (1 and 2, or 2 and 4 fields) are no cadence.
    return fields if min(lengths) >= 2 and len(lengths) > 1 else None


def _whole(times: SourceTimes, fields: Sequence[int], field_rate: Fraction) -> Cadence | None:
    lengths = {b - a for a, b in zip(fields, fields[1:])}
    least, most = min(lengths), max(lengths)
    if most > LONGEST_FIELDS or most - least > 2:
        return None
    count = len(fields) - 1
    mean = Fraction(fields[-1], count)
    for period in range(2, MOST_FRAMES + 1):
        total = round(mean * period)
        if total % period == 0 or count < 2 * period or abs(Fraction(total, period) - mean) * count > 2:
            continue
        each = Fraction(total, period)
        # 2:3:3:2 and 2:2:2:4 wander further from even times than 2:3 does.
        errors = [n * each.denominator - k * each.numerator for k, n in enumerate(fields)]
        if max(errors) - min(errors) <= Fraction(3, 2) * each.denominator and _repeats(fields, period):
            rate = field_rate / each
            pattern = ":".join(map(str, sorted(lengths)))
            return Cadence(rate, pattern, _film_times(times, rate, field_rate), True)
    return None


def _repeats(fields: Sequence[int], period: int) -> bool:
    """Whether nearly all frames last as long as the one a period before."""
    lengths = [b - a for a, b in zip(fields, fields[1:])]
    same = sum(a == b for a, b in zip(lengths, lengths[period:]))
    return same >= 0.9 * (len(lengths) - period)


def _film_times(times: SourceTimes, rate: Fraction, field_rate: Fraction) -> SourceTimes:
    """Even times; the last frame lasts one frame if its own duration is that of some fields."""
    even = times.spaced(rate)
    own = times.last_duration
    last = 1 / rate if own <= 4 / field_rate else own
    return SourceTimes(even.pts, even.time_base, last)


def _stretches(times: SourceTimes, fields: Sequence[int], field_rate: Fraction) -> Cadence | None:
    """Film in 2:3 among other things: those stretches even, all else where it is."""
    halves: list[int] = [2 * n for n in fields]  # in half fields, where film frames lie
    lengths = [b - a for a, b in zip(fields, fields[1:])]
    film = start = 0
    for stop in _stretch_ends(fields):
        low, high = start, stop
        while high - low > 2 and lengths[low] == lengths[low + 1]:  # video on either side fits for a frame or two
            low += 1
        while high - low > 2 and lengths[high - 2] == lengths[high - 3]:
            high -= 1
        if high - low > LEAST_FRAMES and {2, 3} == set(lengths[low : high - 1]):
            halves[low:high] = [2 * fields[low] + 5 * k for k in range(high - low)]
            film += high - low
        start = stop - 1 if stop < len(fields) else stop
    if not film:
        return None
    half = 1 / (2 * field_rate)
    first, base = times.first, half
    # One base on which both the first time and half fields are whole.
    base = Fraction(1, lcm(first.denominator, half.denominator))
    scale, origin = int(half / base), int(first / base)
    pts = [origin + scale * n for n in halves]
    rate = field_rate * Fraction(2, 5) if 2 * film > len(fields) else field_rate / 2
    return Cadence(rate, "2:3", SourceTimes(pts, base, times.last_duration), False)


def _stretch_ends(fields: Sequence[int]) -> list[int]:
    """Where stretches end (exclusive) that lie within one field of an even 2.5 fields per frame; they share a frame."""
    ends, start, low, high = [], 0, 0, 0
    for k in range(1, len(fields)):
        error = 2 * (fields[k] - fields[start]) - 5 * (k - start)
        low, high = min(low, error), max(high, error)
        if high - low > 2:
            ends.append(k)
            start, low, high = k - 1, 0, 0
            error = 2 * (fields[k] - fields[start]) - 5
            low, high = min(0, error), max(0, error)
    return [*ends, len(fields)]
