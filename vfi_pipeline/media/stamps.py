"""Time stamps that are wrong, found and mended in the order of display. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from statistics import median_low
from typing import NamedTuple

AHEAD = 12
"""Frames at most that are wrong one after another where the clock comes back afterwards. More are another recording."""

PILED = 3
"""So many frames that are shown at once, or a tick or two apart, are no film."""

LONG_S = 2
"""A pause, in seconds, behind which frames that pile up until the end are put down to a wrong time stamp."""


class Mended(NamedTuple):
    """One frame whose time stamp was wrong: its number, the stamp and what it became, in ticks."""

    frame: int
    stamp: int
    tick: int


def mended_ticks(
    stamps: Iterable[int | None], step: Fraction, decoding: Sequence[int] = (), long: int | None = None
) -> tuple[list[int], list[Mended]]:
    """Increasing ticks for frames in the decoder's order, one per frame; and those whose stamps were wrong.

    Args:
        stamps: their time stamps in ticks, None where missing.
        step: one nominal frame in ticks.
        decoding: decoding times of the packets; where stamps are missing and there is one of these per frame, they
            are the times (sorted).
        long: ``LONG_S`` in ticks; None: 50 frames.

    A missing stamp is one ``step`` after the frame before. One that lies far off while the next ones go on where the
    clock was is wrong, and lies evenly between its neighbours; so do several in a row, up to ``AHEAD``. Frames that
    pile up behind a long pause until the end follow each other by one ``step``, without the pause. Where one in ten
    goes back (decoding times written as times of display), the stamps are sorted first. Any other stamp at or before
    the frame before is a reset clock: it and what follows is shifted to go on one ``step`` after.
    """
    stamps = list(stamps)
    if None in stamps and len(set(decoding)) == len(stamps):
        return sorted(decoding), []
    if _is_shuffled(stamps):
        stamps = sorted(stamp for stamp in stamps if stamp is not None)
    given, mended = _mended(stamps, step, Fraction(50) * step if long is None else Fraction(long))
    ticks: list[int] = []
    shift, exact = 0, Fraction(0)
    for stamp in given:
        following = exact + step
        if stamp is None:
            exact = following if ticks else Fraction(0)
        else:
            if ticks and stamp + shift <= ticks[-1]:
                shift = round(following) - round(stamp)
            exact = Fraction(stamp + shift)
        tick = round(exact)
        ticks.append(max(tick, ticks[-1] + 1) if ticks else tick)
    return ticks, [Mended(k, stamp, ticks[k]) for k, stamp in mended]


def _is_shuffled(stamps: Sequence[int | None]) -> bool:
    """Whether no stamp is missing and one in ten is before its predecessor."""
    stated = [stamp for stamp in stamps if stamp is not None]
    back = sum(b < a for a, b in zip(stated, stated[1:]))
    return len(stated) == len(stamps) and back >= 4 and back * 10 >= len(stamps)


def _mended(
    stamps: Sequence[int | None], step: Fraction, long: Fraction
) -> tuple[list[Fraction | int | None], list[tuple[int, int]]]:
    """The stamps with wrong ones replaced, and (frame, wrong stamp) of those."""
    ticks: list[Fraction | int | None] = list(stamps)
    wrong: list[tuple[int, int]] = []
    pile = pile_start(stamps, _close(step))
    k = 0
    while k < len(ticks):
        stamp = stamps[k]
        if stamp is None:
            k += 1
            continue
        before = ticks[k - 1] if k else None
        stop, values = _wrong_run(stamps, k, before, step, long, pile)
        for place, value in zip(range(k, stop), values):
            own = stamps[place]
            if own is not None:
                wrong.append((place, own))
            ticks[place] = value
        k = max(stop, k + 1)
    return ticks, wrong


def _wrong_run(
    stamps: Sequence[int | None],
    k: int,
    before: Fraction | int | None,
    step: Fraction,
    long: Fraction,
    pile: int | None,
) -> tuple[int, list[Fraction]]:
    """Where a run of wrong stamps that begins at ``k`` ends, and what they should be; ``(k, [])`` if none begins."""
    stamp = stamps[k]
    assert stamp is not None
    for stop in range(k + 1, min(len(stamps), k + AHEAD + 1)):
        after = stamps[stop]
        if after is None:
            break
        frames = stop - k + 1
        if before is None:
            # The first frame: what follows goes on evenly, and it is nowhere near.
            second = stamps[stop + 1] if stop + 1 < len(stamps) else None
            if stop == k + 1 and second is not None and step / 2 <= second - after <= 2 * step and stamp >= after:
                return stop, [after - step]
            break
        high, low = stamp - before > 3 * step / 2 and after < stamp, stamp <= before
        if (high or low) and after > before and frames * step / 2 <= after - before <= frames * step * 5 / 2:
            gap = (after - before) / Fraction(frames)
            return stop, [before + gap * (n + 1) for n in range(stop - k)]
    if before is not None and stamp - before > long and k == pile:
        return len(stamps), [before + step * (n + 1) for n in range(len(stamps) - k)]
    return k, []


def _close(step: Fraction) -> int:
    """Ticks between frames of a pile at most: none where a frame lasts few ticks itself."""
    return 2 if step >= 8 else 0


def pile_start(stamps: Sequence[int | None], close: int) -> int | None:
    """The frame from which on all follow within ``close`` ticks until the end; None if there is no such pile."""
    k, after = len(stamps), None
    while k > 0:
        stamp = stamps[k - 1]
        if stamp is None or (after is not None and abs(after - stamp) > close):
            break
        k, after = k - 1, stamp
    return k if len(stamps) - k >= PILED else None


def is_suspicious(decoding_order: Sequence[int], step: Fraction, jump: Fraction, long: Fraction) -> bool:
    """Whether packets' stamps, in decoding order, cannot all be right: then the film is decoded for its times.

    B-frames come after frames that are shown later, all by about as much. One that is later than that by far, a clock
    that goes back by more than ``jump`` (ticks), several frames with one time stamp, frames that pile up at the end are
    signs of something else.
    """
    late: list[int] = []
    latest = None
    for tick in decoding_order:
        if latest is None or tick > latest:
            latest = tick
            late.append(0)
        else:
            late.append(latest - tick)
    if not late:
        return False
    usual, worst = median_low(late), max(late)
    if worst > jump or worst > 2 * usual + 4 * step:
        return True
    if len(late) - len(set(decoding_order)) >= max(PILED, len(late) // 50):
        return True
    ordered = sorted(decoding_order)
    pile = pile_start(ordered, _close(step))
    return pile is not None and pile > 0 and ordered[pile] - ordered[pile - 1] > long
