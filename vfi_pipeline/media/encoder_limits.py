"""What values an encoder takes for quality and preset, asked before any picture is made.

ffmpeg's own listing of an encoder (``ffmpeg -h encoder=...``) tells the ranges and names of its options, so an encoder
that nobody here has heard of is checked as well. Where the listing says ``FLT_MAX`` or any text, because ffmpeg hands
the value on unseen, ``_QUALITY`` and ``_PRESETS`` hold what the encoder's library takes.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from vfi_pipeline.errors import USAGE, UserError
from vfi_pipeline.media import ffmpeg, rate_control

_SPEEDS = "ultrafast superfast veryfast faster fast medium slow slower veryslow placebo".split()
_PRESETS = {name: (*_SPEEDS, *map(str, range(10))) for name in ("libx264", "libx264rgb", "libx265")}
_PRESET_OPTIONS = ("preset", "cpu-used", "speed")


def preset_option(encoder: str) -> str | None:
    """The encoder's option that trades time for size; None if it has none."""
    options = ffmpeg.encoder_options(encoder)
    if encoder.startswith("prores_ks"):
        return "profile"
    return next((name for name in _PRESET_OPTIONS if name in options), None)


def check_quality(encoder: str, called: str, crf: float, example: float | None, others: Sequence[str]) -> None:
    """UserError unless ``encoder`` takes ``crf``.

    Args:
        called: the codec as the user names it.
        example: a value that is known to look well.
        others: codecs that have a crf and fit the output, to be proposed to one that has none.
    """
    scale = rate_control.quality_scale(encoder)
    if scale is None:
        remedy = "leave crf= out"
        if preset := presets(encoder):
            remedy += f", and say preset={preset[len(preset) // 2]} (one of {', '.join(preset)})"
        elif others:
            remedy += f", or codec={others[0]}"
        raise UserError(f"codec={called} has no crf.", f"{remedy}.", USAGE)
    low, high = scale.low, scale.high
    usual = example if example is not None else 18 if scale.usual is None else scale.usual
    value = f"crf={min(max(usual, low), high):g}"
    if not low <= crf <= high:
        raise UserError(
            f"crf={crf:g} is beyond what codec={called} takes: {low:g} to {high:g}, lower is better and larger.",
            f"{value}.",
            USAGE,
        )
    if scale.whole and crf != int(crf):
        raise UserError(
            f"codec={called} takes whole numbers for crf ({low:g} to {high:g}), not {crf:g}.",
            f"crf={int(crf)} or crf={int(crf) + 1}." if crf < high else f"{value}.",
            USAGE,
        )


def check_preset(encoder: str, called: str, preset: str) -> None:
    """UserError unless ``encoder`` takes ``preset``; says which it takes, the nearest first."""
    name = preset_option(encoder)
    if name is None:
        raise UserError(f"codec={called} has no presets.", "leave preset= out.", USAGE)
    names = presets(encoder)
    option = ffmpeg.encoder_options(encoder)[name]
    numbered = option.kind == "int" and not encoder.startswith("prores_ks")
    if preset in names or (not names and not numbered):
        return
    if numbered and _is_whole(preset) and option.low <= int(preset) <= option.high:
        return
    problem = f"There is no preset={preset} of codec={called}."
    if numbered and not names:
        low, high = int(option.low), int(option.high)
        example = _PACE.get(encoder, min(max(low, 4), high))
        raise UserError(problem, f"preset={example} (a number from {low} to {high}: higher is faster).", USAGE)
    near = difflib.get_close_matches(preset.lower(), names, n=1, cutoff=0.6)
    listed = ", ".join(word for word in names if not word.isdecimal() or encoder.startswith("prores_ks"))
    raise UserError(problem, f"preset={near[0]} (one of {listed})." if near else f"preset= one of {listed}.", USAGE)


_PACE = {"libsvtav1": 7, "libaom-av1": 6, "libvpx-vp9": 4}
"""Numbered presets that ``media.encoders`` takes by itself."""


def presets(encoder: str) -> tuple[str, ...]:
    """The names of ``encoder``'s presets, as it lists them; empty where they are numbers or not known."""
    if encoder in _PRESETS:
        return _PRESETS[encoder]
    name = preset_option(encoder)
    choices = ffmpeg.encoder_options(encoder)[name].choices if name else ()
    return tuple(choice for choice in choices if choice != "auto")


def _is_whole(text: str) -> bool:
    return text.removeprefix("-").isdecimal() and text.isascii() and len(text) < 6


def written(pix_fmt: str, supported: Sequence[str]) -> str:
    """``pix_fmt`` as ffmpeg's listing spells it: ``yuv420p10`` is ``yuv420p10le``, as for ffmpeg itself."""
    plain = pix_fmt.strip().lower()
    return next((name for name in (pix_fmt, plain, f"{plain}le") if name in supported), pix_fmt)


def unknown_format(pix_fmt: str, what: str, names: Sequence[str]) -> UserError:
    """The error for a pixel format that ``what`` cannot store: the nearest first, then all."""
    near = difflib.get_close_matches(pix_fmt.lower(), names, n=1, cutoff=0.75)
    listed = ", ".join(names)
    remedy = f"pix_fmt={near[0]} (one of {listed})." if near else f"pix_fmt= one of {listed}."
    return UserError(f"{what} cannot store pix_fmt={pix_fmt}.", remedy if names else "leave pix_fmt= out.", USAGE)
