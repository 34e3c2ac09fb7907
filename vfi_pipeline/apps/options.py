"""The options of ``interpolate.py`` that turn pictures into an animation, as typed, checked values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from vfi_pipeline.errors import UserError
from vfi_pipeline.jobs import values
from vfi_pipeline.jobs.style import NAMES as STYLE

# Options that only make sense for pictures: any of them on the command line says that the input is not a film.
ASKING = (
    "duration", "durations", "frames", "t", "loop", "hold_first", "hold_last", "easing", "extrapolate", "strength",
    "direction", "size", "fit_size", "points", "sheet", "preview", "save_maps", "maps",
)  # fmt: skip
# Settings of model=morph that the command takes without ``model.`` in front.
SHORT = ("mult", "add", "warp", "add_first", "steps")
# Options of films, which pictures have no use for.
FILMS_ONLY = (
    *STYLE, "multi", "slowmo", "audio", "input_fps", "start", "end", "stream", "scene", "scene_threshold", "cuts",
    "cut", "dedup", "mask", "deinterlace", "allow_damaged", "max_gap",
)  # fmt: skip
PAIR_MODELS = ("fit", "morph")
"""Models that solve pictures and not films."""

DEFAULT_NAME = "{stem}_animated.{ext}"
FITS = ("crop", "pad", "stretch")

_NUMBER = r"[+-]?(?:[0-9]{1,12}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})(?:e-?[0-9]{1,2})?"


@dataclass(frozen=True)
class PictureOptions:
    """What was asked of the pictures. Times in seconds; ``t`` counts gaps: 0 the first picture, 1 the second...

    Exactly one of ``duration``, ``durations``, ``frames`` and ``places`` (the values of ``t=``) is set.
    """

    duration: Fraction | None
    durations: tuple[Fraction, ...] | None
    frames: int | None
    places: tuple[Fraction, ...] | None
    loop: bool = False
    hold_first: Fraction = Fraction(0)
    hold_last: Fraction = Fraction(0)
    smooth: bool = False
    extrapolate: bool = False
    strength: tuple[Fraction, Fraction] = (Fraction(0), Fraction(1))
    backward: bool = False
    size: str = "first"
    fit_size: str | None = None
    points: str | None = None
    sheet: str | None = None
    preview: str | None = None
    save_maps: bool = False
    maps: str | None = None
    seed: int = 0


def asks_for_pictures(given: Mapping[str, str], model: str | None) -> bool:
    """Whether the options typed (not the defaults) are about pictures rather than about a film."""
    typed = {name for name, text in given.items() if str(text) not in ("", "null")}
    if "style" in typed:
        typed.discard("preview")  # which styles have as well
    return model in PAIR_MODELS or bool(typed & {*ASKING, *SHORT})


def model_settings(given: Mapping[str, str]) -> dict[str, str]:
    """``mult=`` and its kin as ``model.mult``."""
    return {f"model.{name}": given[name] for name in SHORT if str(given.get(name) or "null") != "null"}


def as_film_options(texts: Mapping[str, object], typed: Mapping[str, str]) -> dict[str, object]:
    """The same texts for ``jobs.options``, where every film has a rate and a name: 30 fps unless told.

    Raises:
        UserError: if an option was typed that has no meaning for pictures.
    """
    out_of_place = [name for name in FILMS_ONLY if str(typed.get(name) or "null") != "null"]
    asking = [name for name in ASKING if name in typed]
    if out_of_place:
        reason = f"{asking[0]}= animates pictures" if asking else "this model animates pictures"
        raise UserError(f"{out_of_place[0]}= is for films, and {reason}.", f"leave out {out_of_place[0]}=.")
    given = {key for key, value in texts.items() if value is not None and str(value) not in ("", "null")}
    filled: dict[str, object] = {"fps": "30", "name": DEFAULT_NAME}
    return {**texts, **{key: value for key, value in filled.items() if key not in given}}


def read_picture_options(given: Mapping[str, object]) -> PictureOptions:
    """Check and convert what was typed; ``None``, ``""`` and ``null`` mean: not given.

    Raises:
        UserError: naming the option, what is wrong and what would fit.
    """
    texts = {key: str(value) for key, value in given.items() if value is not None and str(value) not in ("", "null")}
    timing = [name for name in ("duration", "durations", "frames", "t") if name in texts]
    if len(timing) > 1:
        raise UserError(
            f"{timing[0]}= and {timing[1]}= were both given; one decides the timing.", f"{timing[0]}= alone."
        )
    if not timing:
        raise UserError(
            "How long? Pictures have no duration of their own.", "duration=2 (seconds), or t=0.5 for a frame."
        )
    if "t" in texts:
        for name in ("hold_first", "hold_last", "strength"):
            if name in texts:
                raise UserError(f"{name}= has no meaning beside t=, which names each frame.", f"leave out {name}=.")
    duration = values.moment("duration", texts["duration"]) if "duration" in texts else None
    if duration is not None and not 0 < duration <= 86_400:
        raise UserError(f"duration={texts['duration']} is not a length of time.", "duration=2 (seconds).")
    durations = (
        tuple(_positive(part) for part in listed("durations", texts["durations"])) if "durations" in texts else None
    )
    switched = {
        name: values.switch(name, texts[name]) for name in ("loop", "extrapolate", "save_maps") if name in texts
    }
    return PictureOptions(
        duration=duration,
        durations=durations,
        frames=values.whole("frames", texts["frames"], 1, 1_000_000) if "frames" in texts else None,
        places=tuple(number("t", part) for part in listed("t", texts["t"])) if "t" in texts else None,
        loop=switched.get("loop", False),
        hold_first=values.moment("hold_first", texts.get("hold_first", "0")),
        hold_last=values.moment("hold_last", texts.get("hold_last", "0")),
        smooth=values.choice("easing", texts.get("easing", "linear"), ("linear", "smooth")) == "smooth",
        extrapolate=switched.get("extrapolate", False),
        strength=_strength(texts.get("strength", "1")),
        backward=values.choice("direction", texts.get("direction", "forward"), ("forward", "backward")) == "backward",
        size=_size(texts.get("size", "first")),
        fit_size=values.choice("fit_size", texts["fit_size"], FITS) if "fit_size" in texts else None,
        points=texts.get("points"),
        sheet=_picture_name("sheet", texts.get("sheet")),
        preview=_picture_name("preview", texts.get("preview")),
        save_maps=switched.get("save_maps", False),
        maps=texts.get("maps"),
        seed=values.whole("seed", texts.get("seed", "0"), 0, 2**31 - 1),
    )  # fmt: skip


def number(option: str, text: str) -> Fraction:
    """A number as typed, exactly, with its sign: ``0.37``, ``-1/3``, ``1e-6``."""
    plain = text.strip().lower()
    parts = plain.split("/")
    if len(parts) <= 2 and all(re.fullmatch(_NUMBER, part) for part in parts):
        value = Fraction(parts[0])
        divisor = Fraction(parts[1]) if len(parts) == 2 else Fraction(1)
        if divisor and abs(value / divisor) <= 1_000_000:
            return value / divisor
    raise UserError(f"{option}={text} is not a number.", f"{option}=0.5, {option}=1/3 or a list, {option}=[0.25,0.75].")


def listed(option: str, text: str) -> list[str]:
    """The parts of ``[a,b]`` or ``a,b``; a plain value is a list of one."""
    inner = text.strip()
    if inner.startswith("[") != inner.endswith("]"):
        raise UserError(f"{option}={text} lacks a bracket.", f"{option}=[0.25,0.75].")
    parts = [part.strip() for part in inner.strip("[]").split(",")]
    if not all(parts) or len(parts) > 100_000:
        raise UserError(f"{option}={text} is not a list.", f"{option}=[0.25,0.75].")
    return parts


def _positive(text: str) -> Fraction:
    length = values.moment("durations", text)
    if not 0 < length <= 86_400:
        raise UserError(f"durations= holds {text}, which is not a length of time.", "durations=[2,1.5] (seconds).")
    return length


def _strength(text: str) -> tuple[Fraction, Fraction]:
    parts = [number("strength", part) for part in listed("strength", text)]
    if len(parts) > 2 or (len(parts) == 2 and parts[0] == parts[1]) or parts[-1] == 0 == parts[0]:
        raise UserError(f"strength={text} leads nowhere.", "strength=1.5, or from and to: strength=[-0.5,1.5].")
    return (parts[0], parts[1]) if len(parts) == 2 else (Fraction(0), parts[0])


def _size(text: str) -> str:
    plain = text.strip().lower()
    found = re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,5})", plain)
    if plain in ("first", "largest", "smallest") or found:
        return plain
    raise UserError(f"size={text} is not a size.", "size=1280x720, size=first, size=largest or size=smallest.")


def _picture_name(option: str, text: str | None) -> str | None:
    if text is not None and not text.lower().endswith((".png", ".jpg", ".jpeg", ".webp")):
        raise UserError(f"{option}={text} is not a picture's name.", f"{option}={text.rstrip('/.') or option}.png.")
    return text
