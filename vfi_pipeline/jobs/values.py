"""What users type, as exact values: rates, times, switches, choices. Every error names the option and what fits."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable
from fractions import Fraction

from vfi_pipeline.errors import UserError

_NUMBER = r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+"
_SIGNED = r"[+-]?(?:[0-9]{1,12}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})(?:e-?[0-9]{1,2})?"
_NTSC = 1001


def rate(option: str, text: str) -> Fraction:
    """A rate as a Fraction: ``60``, ``60000/1001``, ``12.5``; 59.94, 29.97, 23.976 and 23.98 mean n * 1000/1001.

    A decimal means the broadcast rate n * 1000/1001 if that is what it was rounded from (to the digits given).
    """
    text = text.strip().lower().removesuffix("fps").strip()
    value = _fraction(text)
    if value is None or not 0 < value <= 10_000:
        raise UserError(f"{option}={text} is not a frame rate.", f"{option}=60, {option}=59.94 or {option}=60000/1001.")
    digits = len(text.partition(".")[2]) if "/" not in text else 0
    if digits >= 2:
        whole = round(value * _NTSC / 1000)
        broadcast = Fraction(whole * 1000, _NTSC)
        if whole >= 10 and abs(value - broadcast) <= Fraction(1, 2 * 10 ** min(digits, 3)):
            return broadcast
    return value


def factor(option: str, text: str) -> Fraction:
    """A positive factor as a Fraction: ``2``, ``2.5``, ``5/2``, ``2.5x``."""
    value = _fraction(text.strip().lower().removesuffix("x"))
    if value is None or not 0 < value <= 1000:
        raise UserError(f"{option}={text} is not a factor.", f"{option}=2, {option}=2.5 or {option}=5/2.")
    return value


def size(option: str, text: str) -> tuple[int, int] | Fraction:
    """The size of a film's pictures: ``1280x720`` as (width, height), or a factor as a Fraction: ``2x``, ``0.5x``."""
    plain = text.strip().lower()
    if match := re.fullmatch(r"([1-9]\d{0,5})\s*[x:*\u00d7]\s*([1-9]\d{0,5})", plain, flags=re.ASCII):
        return int(match[1]), int(match[2])
    if plain.endswith("x") and (value := _fraction(plain[:-1])) is not None and 0 < value <= 100:
        return value
    raise UserError(
        f"{option}={text} is not the size of a film.", f"{option}=1280x720, or a factor: {option}=2x, {option}=0.5x."
    )


def moment(option: str, text: str) -> Fraction:
    """A time in seconds as a Fraction: ``90``, ``90.5``, ``90s``, ``1:30.5``, ``1:02:03``, ``500ms``."""
    plain = text.strip().lower()
    if plain.endswith("ms") and (value := _fraction(plain[:-2])) is not None:
        return value / 1000
    parts = plain.removesuffix("s").split(":")
    values = [_fraction(part) for part in parts]
    if len(parts) > 3 or any(value is None for value in values) or any(v >= 60 for v in values[1:] if v is not None):
        raise UserError(f"{option}={text} is not a time.", f"{option}=90.5 (seconds) or {option}=0:01:30.5.")
    total = Fraction(0)
    for value in values:
        total = total * 60 + (value or 0)
    return total


def moments(option: str, text: str) -> tuple[Fraction, ...]:
    """Times in seconds: ``12.48``, ``0:01:30.5``, ``100/3``, or a list, ``[1.5,2.25]``."""
    inner = text.strip()
    parts = [part.strip() for part in inner.removeprefix("[").removesuffix("]").split(",")]
    if inner.startswith("[") != inner.endswith("]") or not all(parts) or len(parts) > 10_000:
        example = f"{option}=12.48 or {option}=[1.5,2.25]."
        raise UserError(f"{option}={text} is not a time, nor a list of times.", example)
    return tuple(moment(option, part) for part in parts)


def moments_text(moments: Iterable[Fraction]) -> str:
    """Moments as people write them: ``12.48``, or ``[1.5,2.25]``."""
    parts = [f"{float(moment):.6f}".rstrip("0").rstrip(".") for moment in moments]
    return parts[0] if len(parts) == 1 else "[" + ",".join(parts) + "]"


def angle(option: str, text: str) -> Fraction:
    """A shutter's angle in degrees: ``180``, ``172.8``, ``180deg``; 360 is the whole time from frame to frame."""
    value = _fraction(text.strip().lower().removesuffix("deg").removesuffix("\u00b0"))
    if value is None or not 0 < value <= 360:
        raise UserError(
            f"{option}={text} is not an angle of a shutter: more than 0 and up to 360 degrees.",
            f"{option}=180 (open for half the time from frame to frame), or leave it out.",
        )
    return value


def switch(option: str, text: str) -> bool:
    """``on/off``, ``true/false``, ``yes/no``, ``1/0``."""
    plain = text.strip().lower()
    if plain in ("on", "true", "yes", "y", "1"):
        return True
    if plain in ("off", "false", "no", "n", "0"):
        return False
    raise UserError(f"{option}={text} is neither on nor off.", f"{option}=on or {option}=off.")


def choice(option: str, text: str, choices: Iterable[str]) -> str:
    """One of ``choices``."""
    choices = tuple(choices)
    plain = text.strip().lower()
    if plain not in choices:
        raise UserError(f"{option}={text} is not known.", " or ".join(f"{option}={name}" for name in choices) + ".")
    return plain


def real(option: str, text: str, low: float, high: float, example: str) -> float:
    """A finite number between ``low`` and ``high``, both included; ``example`` is what the remedy proposes."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        which = f"from {low:g} to {high:g}" if math.isfinite(high) else f"of {low:g} or more"
        raise UserError(f"{option}={text} is not a number {which}.", f"{option}={example}.")
    return value


def whole(option: str, text: str, low: int, high: int, example: str = "1") -> int:
    """A whole number between ``low`` and ``high``, both included; ``example`` is what the remedy proposes."""
    try:
        value = int(text.strip().replace("_", ""))
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise UserError(f"{option}={text} is not a whole number from {low} to {high}.", f"{option}={example}.")
    return value


def number(option: str, text: str) -> Fraction:
    """A number as typed, exactly, with its sign: ``0.37``, ``-1/3``, ``1e-6``."""
    plain = text.strip().lower()
    parts = plain.split("/")
    if len(parts) <= 2 and all(re.fullmatch(_SIGNED, part) for part in parts):
        value = Fraction(parts[0])
        divisor = Fraction(parts[1]) if len(parts) == 2 else Fraction(1)
        if divisor and abs(value / divisor) <= 1_000_000:
            return value / divisor
    raise UserError(f"{option}={text} is not a number.", f"{option}=0.5, {option}=1/3 or a list, {option}=[0.25,0.75].")


def listed(option: str, text: str, remedy: str | None = None) -> list[str]:
    """The parts of ``[a,b]`` or ``a,b``; a plain value is a list of one. ``remedy``: None for a list of numbers."""
    remedy = remedy or f"{option}=[0.25,0.75]."
    inner = text.strip()
    if inner.startswith("[") != inner.endswith("]"):
        raise UserError(f"{option}={text} lacks a bracket.", remedy)
    parts = [part.strip() for part in inner.strip("[]").split(",")]
    if not all(parts) or len(parts) > 100_000:
        raise UserError(f"{option}={text} is not a list.", remedy)
    return parts


def unknown(name: str, choices: Iterable[str], kind: str = "option", program: str = "interpolate.py") -> UserError:
    """The error for a name nobody knows: says which known one is near, if any is."""
    choices = sorted(choices)
    near = nearest(name, choices)
    if near:
        return UserError(f"There is no {kind} {name!r}.", f"{near[0]} (python {program} --help lists them all).")
    listed = f"one of {', '.join(choices)}." if len(choices) <= 20 else f"python {program} --help lists all of them."
    return UserError(f"There is no {kind} {name!r}.", listed)


def nearest(name: str, choices: Iterable[str]) -> list[str]:
    """Those of ``choices`` that ``name`` may be a slip of, the nearest first; none where nothing is near."""
    choices = sorted(choices)
    plain = name.lower().lstrip("-").replace("-", "_")
    if len(plain) < 3:
        return []
    near = difflib.get_close_matches(plain, choices, n=1, cutoff=0.75)
    near = near or [other for other in choices if sorted(other) == sorted(plain)]
    return near or [other for other in choices if _begins(plain, other) or _begins(other, plain)]


def _begins(short: str, name: str) -> bool:
    """Whether ``name`` begins with ``short``, which is long enough to mean something."""
    return len(short) > 3 and name.startswith(short)


def counted(count: int, noun: str) -> str:
    """``1 frame``, ``2 frames``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def rate_text(value: Fraction) -> str:
    """A rate as people write it: 60, 59.94, 23.976, 12.5."""
    return f"{float(value):.3f}".rstrip("0").rstrip(".")


def clock_text(seconds: float) -> str:
    """A length of time as h:mm:ss."""
    seconds = max(0, int(seconds + 0.5))
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def size_text(count: float) -> str:
    """A number of bytes as people read it: 3.4 GB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit in ("bytes", "kB") else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def _fraction(text: str) -> Fraction | None:
    """A plain decimal or a ratio of two; None if it is neither (no signs, no exponents, no huge digit strings)."""
    match = re.fullmatch(rf"\s*({_NUMBER})\s*(?:/\s*({_NUMBER})\s*)?", text, flags=re.ASCII)
    if not match or len(text) > 40:
        return None
    above, below = Fraction(match[1]), Fraction(match[2] or "1")
    return above / below if below else None
