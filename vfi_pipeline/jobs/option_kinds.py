"""Kinds of options: how each text becomes a value, and which words a shell suggests. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction

from vfi_pipeline.errors import UserError
from vfi_pipeline.jobs import values
from vfi_pipeline.jobs.option_fields import Kind
from vfi_pipeline.media.ffmpeg import HWACCELS

NAME_FIELDS = ("stem", "fps", "multi", "slowmo", "at", "model", "ext", "folder", "source_ext")
"""What a template of names may hold in braces."""


def one_of(*choices: str) -> Kind[str]:
    """One of a few words."""
    return Kind(lambda option, text: values.choice(option, text, choices), choices)


def whether(choice: str, other: str) -> Kind[bool]:
    """One of two words; True is the first."""
    return Kind(lambda option, text: values.choice(option, text, (other, choice)) == choice, (other, choice))


def real(low: float, high: float, example: str) -> Kind[float]:
    """A number between two, both included; ``example`` is what the remedy proposes."""
    return Kind(lambda option, text: values.real(option, text, low, high, example))


def whole(low: int, high: int, example: str) -> Kind[int]:
    """A whole number between two, both included; ``example`` is what the remedy proposes."""
    return Kind(lambda option, text: values.whole(option, text, low, high, example))


def several(part: Callable[[str, str], Fraction]) -> Kind[tuple[Fraction, ...]]:
    """A list of values that ``part`` reads."""
    return Kind(lambda option, text: tuple(part(option, each) for each in values.listed(option, text)))


def _template(option: str, text: str) -> str:
    names = re.findall(r"\{([^{}]*)\}", text)
    wrong = [name for name in names if name not in NAME_FIELDS]
    rest = re.sub(r"\{[^{}]*\}", "", text)
    if wrong or "{" in rest or "}" in rest or "/" in text or "\0" in text:
        raise UserError(
            f"{option}={text} is not a name template.",
            f"{option}={{stem}}_{{fps}}fps.{{ext}} (fields: {', '.join(NAME_FIELDS)}; folders go into output=).",
        )
    return text


def _deinterlace(option: str, text: str) -> str:
    if text.strip().lower() in ("auto", "film"):
        return text.strip().lower()
    try:
        return "on" if values.switch(option, text) else "off"
    except UserError:
        raise UserError(
            f"{option}={text} is not known.",
            f"{option}=auto (looks), on (one picture per field), film (inverse telecine) or off.",
        ) from None


def _hwaccel(option: str, text: str) -> str:
    plain = text.strip().lower()
    if plain in ("false", "no", "none", "cpu", "software"):
        plain = "off"
    return values.choice(option, {"nvdec": "cuda", "cuvid": "cuda", "quicksync": "qsv"}.get(plain, plain), DECODERS)


DECODERS = ("off", *HWACCELS)


def _overlay(option: str, text: str) -> bool:
    if text.strip().lower() == "auto":
        return True
    try:
        return values.switch(option, text)
    except UserError:
        raise UserError(
            f"{option}={text} is not known.",
            f"{option}=auto (what stays over a moving picture is left alone) or {option}=off.",
        ) from None


def _audio(option: str, text: str) -> str:
    plain = text.strip().lower()
    if plain not in ("keep", "drop", "stretch", "silence"):
        slow = f"in slow motion {option}=stretch or {option}=silence"
        raise UserError(f"{option}={text} is not known.", f"{option}=keep or {option}=drop ({slow}).")
    return plain


def _shutter(option: str, text: str) -> Fraction | None:
    if text.strip().lower() in ("off", "false", "no", "none", "0"):
        return None
    return values.angle(option, text)


def _gap(option: str, text: str) -> Fraction | None:
    if text.strip().lower() in ("off", "false", "no", "none", "inf"):
        return None
    try:
        return values.moment(option, text)
    except UserError:
        raise UserError(
            f"{option}={text} is neither a time nor off.", f"{option}=0.5 (seconds) or {option}=off."
        ) from None


def _device(option: str, text: str) -> str:
    if not _names_device(text):
        raise UserError(
            f"{option}={text} is not known.",
            f"{option}=auto, {option}=cpu, {option}=cuda, {option}=cuda:1, {option}=mps or {option}=xpu.",
        )
    return text


def _devices(option: str, text: str) -> tuple[str, ...]:
    remedy = f"{option}=all, or {option}=[cuda:0,cuda:1]."
    if text.strip().lower() == "all":
        return ("all",)
    devices = tuple(values.listed(option, text, remedy))
    if alone := [device for device in devices if device.lower() in ("all", "auto")]:
        raise UserError(f"{option}={text}: {alone[0]} is no device of a list.", remedy)
    if not all(_names_device(device) for device in devices):
        raise UserError(f"{option}={text} is not known.", remedy)
    if len({device.partition(":")[0] for device in devices}) > 1:
        raise UserError(f"{option}={text} are devices of several kinds, which do not make the same frames.", remedy)
    return devices


def _names_device(text: str) -> bool:
    return re.fullmatch(r"auto|cpu|mps|(cuda|xpu)(:\d{1,3})?", text) is not None


def _settings(option: str, text: str) -> tuple[tuple[str, str], ...]:
    remedy = f"{option}=[partition=gpu,timeout_min=240]."
    parts = [part.partition("=") for part in values.listed(option, text, remedy)]
    if not all(re.fullmatch(r"[a-z_]+", key) and value for key, _, value in parts):
        raise UserError(f"{option}={text} is no list of settings.", remedy)
    return tuple((key, value) for key, _, value in parts)


def _segment(option: str, text: str) -> Fraction:
    length = values.moment(option, text)
    if length <= 0:
        raise UserError(f"{option}={text} is not a length of time: more than 0 seconds.", f"{option}=20 (seconds).")
    return length


def _duration(option: str, text: str) -> Fraction:
    length = values.moment(option, text)
    if not 0 < length <= 86_400:
        raise UserError(f"{option}={text} is not a length of time.", f"{option}=2 (seconds).")
    return length


def _part_of_durations(option: str, text: str) -> Fraction:
    length = values.moment(option, text)
    if not 0 < length <= 86_400:
        raise UserError(f"{option}= holds {text}, which is not a length of time.", f"{option}=[2,1.5] (seconds).")
    return length


def _strength(option: str, text: str) -> tuple[Fraction, Fraction]:
    parts = [values.number(option, part) for part in values.listed(option, text)]
    if len(parts) > 2 or (len(parts) == 2 and parts[0] == parts[1]) or parts[-1] == 0 == parts[0]:
        raise UserError(f"{option}={text} leads nowhere.", f"{option}=1.5, or {option}=[-0.5,1.5] (from and to).")
    return (parts[0], parts[1]) if len(parts) == 2 else (Fraction(0), parts[0])


def _size(option: str, text: str) -> str:
    plain = text.strip().lower()
    if plain in ("first", "largest", "smallest") or re.fullmatch(r"[1-9]\d{0,5}x[1-9]\d{0,5}", plain):
        return plain
    raise UserError(
        f"{option}={text} is not a size.", f"{option}=1280x720, {option}=first, {option}=largest or {option}=smallest."
    )


def _picture_name(option: str, text: str) -> str:
    if not text.lower().endswith((".png", ".jpg", ".jpeg", ".webp")):
        raise UserError(f"{option}={text} is not a picture's name.", f"{option}={text.rstrip('/.') or option}.png.")
    return text


def _text(option: str, text: str) -> str:
    return text


TEXT = Kind(_text)
FILE = Kind(_text, file=True)
CODEC = Kind(_text, ("h264", "hevc", "av1", "vp9", "prores", "ffv1"))
SWITCH = Kind(values.switch, ("true", "false"), switch=True)
RATE = Kind(values.rate)
FACTOR = Kind(values.factor)
MOMENT = Kind(values.moment)
MOMENTS = Kind(values.moments)
TEMPLATE = Kind(_template)
AUDIO = Kind(_audio, ("keep", "drop", "stretch", "silence"))
OVERLAY = Kind(_overlay, ("auto", "off"), switch=True)
SHUTTER = Kind(_shutter, ("off",))
DEINTERLACE = Kind(_deinterlace, ("auto", "on", "film", "off"), switch=True)
HWACCEL = Kind(_hwaccel, DECODERS)
GAP = Kind(_gap, ("off",))
DEVICE = Kind(_device, ("auto", "cpu", "cuda", "mps", "xpu"))
DEVICES = Kind(_devices, ("all",))
SETTINGS = Kind(_settings)
SEGMENT = Kind(_segment)
DURATION = Kind(_duration)
DURATIONS = several(_part_of_durations)
PLACES = several(values.number)
STRENGTH = Kind(_strength)
FILM_SIZE = Kind(values.size, ("first", "largest", "smallest"))
SIZE = Kind(_size, FILM_SIZE.words)
PICTURE_NAME = Kind(_picture_name, file=True)
