"""``style=`` and its options: what was typed, what it means for the job, and the stylist that comes of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.jobs import values
from vfi_pipeline.jobs.fingerprint import content_hash
from vfi_pipeline.jobs.option_fields import Group, Kind, declared, names, option, read_fields
from vfi_pipeline.jobs.option_kinds import real, whether, whole
from vfi_pipeline.models.shipped import kind_of, locate, shipped

if TYPE_CHECKING:
    from vfi_pipeline.synthesis.style import StyleSettings

STYLE = Group(
    "A FILM IN A STYLE",
    "docs/style.md",
    ("The motion, and so the frames between, are the film's own. preview= is further up.",),
)
STYLE_FILE = Kind(lambda option, text: text, ("mosaic", "brushwork"), file=True)


def _distances(option: str, text: str) -> tuple[int, ...]:
    """``[1,2,4]`` or ``1,2,4`` in ascending order; ``0`` or ``off``: frames are independent."""
    plain = text.strip().lower().strip("[]")
    if plain in ("0", "off", "none", ""):
        return ()
    parts = [part.strip() for part in plain.split(",")]
    fits = all(re.fullmatch(r"[0-9]{1,3}", part) and 1 <= int(part) <= 250 for part in parts)
    if not fits or len(set(map(int, parts))) != len(parts):
        raise UserError(
            f"{option}={text} is no list of how many frames back to look.",
            f"{option}=[1,2,4], {option}=1 for the frame before alone, or {option}=off.",
        )
    return tuple(sorted(int(part) for part in parts))


def _png(option: str, text: str) -> str:
    if not text.lower().endswith(".png"):
        raise UserError(f"{option}={text} is not a PNG's name.", f"{option}={Path(text).stem or 'live'}.png.")
    return text


@dataclass(frozen=True)
class StyleOptions:
    """What was typed of a style; see ``StyleChoice`` for what comes of it."""

    style: str | None = option(
        STYLE_FILE, STYLE, "mosaic", "every source frame painted by a trained style: mosaic, brushwork, or FILE of"
        " train.py experiment=style; style=FILE.jpg optimises frame by frame for any picture: slow; `make features`"
        " once", details="See [style.md](style.md).", concerns="films",
    )  # fmt: skip
    style_strength: float = option(
        real(0, 1, "0.5"),
        STYLE,
        "0.5",
        "how far from the film's frames to the painted ones",
        default="1",
        concerns="films",
    )
    keep_colour: bool = option(
        whether("keep", "paint"), STYLE, "keep", "paint brightness only", name="style_colour", default="paint",
        concerns="films",
    )  # fmt: skip
    style_size: int | None = option(
        whole(32, 16384, "640"), STYLE, "640", "longest side at which frames are painted: size of the strokes",
        unset="the film's own; for a picture 384", concerns="films",
    )  # fmt: skip
    passes: int = option(
        whole(1, 100, "10"), STYLE, "10", "for a picture: so often forth and back over the film", default="1",
        concerns="films",
    )  # fmt: skip
    long_term: tuple[int, ...] = option(
        Kind(_distances, ("off",)), STYLE, "[1,2,4]", "for a picture: frames back that each frame is held to; off: each"
        " alone", default="[1,2,4]", concerns="films",
    )  # fmt: skip
    style_iterations: int | None = option(
        whole(1, 10_000, "30"), STYLE, "30", "for a picture: of the optimiser, for each frame and pass",
        unset="60 for one pass, 15 for each of several", concerns="films",
    )  # fmt: skip
    style_weight: float = option(
        real(0, 1e6, "10"), STYLE, "10", "for a picture: how much the style counts", default="40", concerns="films"
    )
    content_weight: float = option(
        real(0, 1e6, "2"),
        STYLE,
        "2",
        "for a picture: how much the film's content counts",
        default="1",
        concerns="films",
    )
    temporal_weight: float = option(
        real(0, 1e6, "50"), STYLE, "50", "for a picture: how much staying alike over time counts", default="100",
        concerns="films",
    )  # fmt: skip
    # In the help as PictureOptions has it.
    preview: str | None = option(Kind(_png, file=True), STYLE, "FILE.png", "the frame painted last")


NAMES = names(tuple(declared(StyleOptions).values()))

OPTIMISED_ONLY = ("passes", "long_term", "style_iterations", "style_weight", "content_weight", "temporal_weight")
"""Options of the optimisation: a trained network has its weights already."""


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
        style, content, temporal, smoothness: weights of the losses; the last is of the total variation.
    """

    source: Path
    weights: str | None
    strength: float = StyleOptions.style_strength
    keep_colour: bool = StyleOptions.keep_colour
    size: int | None = None
    preview: Path | None = None
    passes: int = StyleOptions.passes
    long_term: tuple[int, ...] = StyleOptions.long_term
    iterations: int = 60
    style: float = StyleOptions.style_weight
    content: float = StyleOptions.content_weight
    temporal: float = StyleOptions.temporal_weight
    smoothness: float = 40.0

    def facts(self) -> dict[str, str]:
        """All that changes the pictures, for the fingerprint."""
        facts: dict[str, object] = {"strength": self.strength, "keep_colour": self.keep_colour, "size": self.size}
        if self.weights is None:
            facts |= {
                "passes": self.passes, "long_term": self.long_term, "iterations": self.iterations,
                "style_weight": self.style, "content_weight": self.content, "temporal_weight": self.temporal,
                "smoothness_weight": self.smoothness,
            }  # fmt: skip
        return {"style": content_hash(self.source), **{f"style.{key}": str(value) for key, value in facts.items()}}

    def describe(self) -> str:
        """The style in a few words, for the plan."""
        how = "a trained network" if self.weights else f"optimised, {self.passes} x {self.iterations} iterations"
        return f"{self.source.name}, {how}" + ("" if self.size is None else f", at {self.size} px")

    def settings(self) -> StyleSettings:
        """How painted frames are shown."""
        from vfi_pipeline.synthesis.style import StyleSettings

        return StyleSettings(self.strength, self.keep_colour, self.size, self.preview)


def read_style(texts: Mapping[str, str]) -> StyleChoice | None:
    """What was asked for, checked; None if no style was, or one of strength 0.

    Args:
        texts: the options that were given, as typed.

    Raises:
        UserError: naming the option, what is wrong and what would fit.
    """
    given = [name for name in NAMES if name in texts]
    if "style" not in texts:
        if given:
            remedy = "style=mosaic, or style=picture.jpg" + (
                " (of pictures: duration=2)." if given == ["preview"] else "."
            )
            raise UserError(f"{given[0]}= is about a style, and there is none.", remedy)
        return None
    from vfi_pipeline.media.images import SUFFIXES  # with av and numpy, which the help does without

    style = texts["style"]
    trained = style in shipped() or Path(style).suffix.lower() not in SUFFIXES
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
    if not trained and "at" in texts:
        first = values.moments("at", texts["at"])[0]
        raise UserError(
            "at= makes single frames, and the style of a picture is optimised over a film.",
            f"start={float(first):g} end={float(first + 1):g} multi=1 in place of at=, or style=mosaic.",
        )
    asked = read_fields(StyleOptions, texts)
    if not asked.style_strength:
        return None  # the film itself: nothing is painted for it
    preview = None if asked.preview is None else Path(asked.preview)
    if preview is not None and not preview.absolute().parent.is_dir():
        raise UserError(f"preview={preview} lies in a folder that does not exist.", f"preview={preview.name}.")
    if preview is not None and preview.exists() and preview.samefile(source):
        raise UserError(f"preview={preview} is the style's own picture.", "preview=live.png.")
    return StyleChoice(
        source=source.absolute(),
        weights=style if trained else None,
        strength=asked.style_strength,
        keep_colour=asked.keep_colour,
        size=asked.style_size if trained or asked.style_size is not None else OPTIMISED_SIZE,
        preview=preview,
        passes=asked.passes,
        long_term=asked.long_term,
        iterations=asked.style_iterations or (60 if asked.passes == 1 else 15),
        style=asked.style_weight,
        content=asked.content_weight,
        temporal=asked.temporal_weight,
    )


OPTIMISED_SIZE = 384
"""Longest side, px, at which frames are optimised unless told: each pixel costs the feature network's work often."""
