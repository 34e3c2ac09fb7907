"""Where a film's time code starts at another rate, or behind a cut (SMPTE ST 12-1). Pure."""

from __future__ import annotations

import re
from fractions import Fraction

_TEXT = re.compile(r"(\d{2}):(\d{2}):(\d{2})([:;.])(\d{2,3})")


def timecode_at(text: str, old: Fraction, new: Fraction, elapsed: Fraction = Fraction(0)) -> str | None:
    """The time code of the moment that ``text`` names, ``elapsed`` seconds of the source later, at another rate.

    Hours, minutes and seconds stay; frames are counted at the new rate. With drop frame (``;``) the time code tells the
    time of day, which stays: in drop frame where the new rate knows it (multiples of 30000/1001), else without.

    Returns:
        None if ``text`` is no time code.
    """
    match = _TEXT.fullmatch(text.strip())
    if match is None:
        return None
    hours, minutes, seconds, sign, frames = match.groups()
    drops = sign != ":" and _drops(old) > 0
    per_second = round(old)
    label = (int(hours) * 60 + int(minutes)) * 60 + int(seconds)
    if drops:
        total = int(hours) * 60 + int(minutes)
        count = label * per_second + int(frames) - _drops(old) * (total - total // 10)
        moment = count / old + elapsed
        if _drops(new):
            return _dropped(round(moment * new), new)
        return _plain(round(moment * round(new)), round(new))
    moment = label + Fraction(int(frames), per_second) + elapsed * old / per_second
    return _plain(round(moment * round(new)), round(new))


def _drops(rate: Fraction) -> int:
    """Numbers left out at the start of a minute: 2 at 30000/1001, 4 at twice that; 0 at rates without drop frame."""
    times = rate / Fraction(30000, 1001)
    return 2 * int(times) if times.denominator == 1 else 0


def _plain(count: int, per_second: int) -> str:
    return _written(count, per_second, ":")


def _dropped(count: int, rate: Fraction) -> str:
    drops, per_second = _drops(rate), round(rate)
    minute = 60 * per_second - drops
    ten = 10 * minute + drops  # the tenth minute leaves nothing out
    tens, rest = divmod(count, ten)
    count += 9 * drops * tens
    if rest >= 60 * per_second:
        count += drops * ((rest - drops) // minute)
    return _written(count, per_second, ";")


def _written(count: int, per_second: int, sign: str) -> str:
    seconds, frames = divmod(count, per_second)
    width = 3 if per_second > 100 else 2
    return f"{seconds // 3600 % 24:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{sign}{frames:0{width}d}"
