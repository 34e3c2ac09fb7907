"""``style=`` and its options: what was typed, what it means for the job, and the stylist that comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.jobs import values
from vfi_pipeline.jobs.fingerprint import content_hash
from vfi_pipeline.models.shipped import kind_of, locate, shipped

if TYPE_CHECKING:
    from vfi_pipeline.synthesis.style import StyleSettings

NAMES = (
    "style", "style_strength", "style_colour", "style_size", "passes", "long_term", "style_iterations", "style_weight",
    "content_weight", "temporal_weight",
)  # fmt: skip
"""The options here, but for ``preview``, which pictures have as well."""

OPTIMISED_ONLY = ("passes", "long_term", "style_iterations", "style_weight", "content_weight", "temporal_weight")
"""Options of the optimisation: a trained network has its weights already."""

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True)
class StyleChoice:
    """A style and how it is applied; defaults are those of ``style=picture.jpg``.

    Attributes:
        source: the weights or the picture.
        weights: shipped name or file as typed, for a trained network; None for a picture.
        size: longest side, px, at which frames are painted; None is the film's own.
        passes: over the film; 1 goes once through it and lets each frame converge.
        long_term: how many frames back the earlier frames lie that each frame is held to.
        iterations: of the optimiser, for a frame and pass.
        style, content, temporal: weights of the three losses.
    """

    source: Path
    weights: str | None
    strength: float = 1.0
    keep_colour: bool = False
    size: int | None = None
    preview: Path | None = None
    passes: int = 1
    long_term: tuple[int, ...] = (1, 2, 4)
    iterations: int = 60
    style: float = 5.0
    content: float = 1.0
    temporal: float = 100.0

    def facts(self) -> dict[str, str]:
        """All that changes the pictures, for the fingerprint."""
        told: dict[str, object] = {"strength": self.strength, "keep_colour": self.keep_colour, "size": self.size}
        if self.weights is None:
            told |= {
                "passes": self.passes, "long_term": self.long_term, "iterations": self.iterations,
                "style_weight": self.style, "content_weight": self.content, "temporal_weight": self.temporal,
            }  # fmt: skip
        return {"style": content_hash(self.source), **{f"style.{key}": str(value) for key, value in told.items()}}

    def describe(self) -> str:
        """The style in a few words, for the plan."""
        how = "a trained network" if self.weights else f"optimised, {self.passes} x {self.iterations} iterations"
        return f"{self.source.name}, {how}" + ("" if self.size is None else f", at {self.size} px")

    def settings(self) -> StyleSettings:
        """How painted frames are shown."""
        from vfi_pipeline.synthesis.style import StyleSettings

        return StyleSettings(self.strength, self.keep_colour, self.size, self.preview)


def read_style(texts: Mapping[str, str]) -> StyleChoice | None:
    """What was asked for, checked; None if no style was.

    Args:
        texts: the options that were given, as typed.

    Raises:
        UserError: naming the option, what is wrong and what would fit.
    """
    given = [name for name in NAMES if name in texts]
    if "style" not in texts:
        if given:
            raise UserError(f"{given[0]}= is about a style, and there is none.", "style=mosaic, or style=picture.jpg.")
        return None
    style = texts["style"]
    trained = style in shipped() or Path(style).suffix.lower() not in PICTURES
    if trained:
        source, _ = locate(style, "style")
        kind = kind_of(style, "style")
        if kind != "style":
            raise UserError(
                f"style={style} holds {'a model of motion, not' if kind else 'neither a picture nor'} a style.",
                "a picture, or weights that train.py experiment=style exported.",
                BAD_INPUT,
            )
        wrong = [name for name in OPTIMISED_ONLY if name in texts]
        if wrong:
            raise UserError(
                f"{wrong[0]}= is for style=picture.jpg; a trained style has its weights already.",
                f"leave out {wrong[0]}=.",
            )
    else:
        source = Path(style)
        if not source.is_file():
            raise UserError(f"style={style} does not exist.", "check the name.", BAD_INPUT)
    default = StyleChoice(source, None)
    passes = values.whole("passes", texts.get("passes", str(default.passes)), 1, 100)
    preview = texts.get("preview")
    if preview is not None and not preview.lower().endswith(".png"):
        raise UserError(f"preview={preview} is not a PNG's name.", f"preview={Path(preview).stem or 'live'}.png.")
    if preview is not None and not Path(preview).absolute().parent.is_dir():
        raise UserError(f"preview={preview} lies in a folder that does not exist.", f"preview={Path(preview).name}.")
    if preview is not None and Path(preview).exists() and Path(preview).samefile(source):
        raise UserError(f"preview={preview} is the style's own picture.", "preview=live.png.")

    def weight(name: str, usual: float) -> float:
        return values.real(name, texts.get(name, f"{usual:g}"), 0, 1e6)

    size = values.whole("style_size", texts["style_size"], 32, 16384) if "style_size" in texts else None
    return StyleChoice(
        source=source.absolute(),
        weights=style if trained else None,
        strength=values.real("style_strength", texts.get("style_strength", "1"), 0, 1),
        keep_colour=values.choice("style_colour", texts.get("style_colour", "paint"), ("paint", "keep")) == "keep",
        size=size if trained or size is not None else OPTIMISED_SIZE,
        preview=None if preview is None else Path(preview),
        passes=passes,
        long_term=_distances(texts.get("long_term", "[1,2,4]")),
        iterations=values.whole(
            "style_iterations", texts.get("style_iterations", str(60 if passes == 1 else 15)), 1, 10_000
        ),
        style=weight("style_weight", default.style),
        content=weight("content_weight", default.content),
        temporal=weight("temporal_weight", default.temporal),
    )


OPTIMISED_SIZE = 384
"""Longest side, px, at which frames are optimised unless told: each pixel costs the feature network's work often."""


def _distances(text: str) -> tuple[int, ...]:
    """``[1,2,4]`` or ``1,2,4`` in ascending order; ``0`` or ``off``: frames are independent."""
    plain = text.strip().lower().strip("[]")
    if plain in ("0", "off", "none", ""):
        return ()
    parts = [part.strip() for part in plain.split(",")]
    if not all(part.isdigit() and 1 <= int(part) <= 250 for part in parts) or len(set(parts)) != len(parts):
        raise UserError(
            f"long_term={text} is no list of how many frames back to look.",
            "long_term=[1,2,4], long_term=1 for the frame before alone, or long_term=off.",
        )
    return tuple(sorted(int(part) for part in parts))
