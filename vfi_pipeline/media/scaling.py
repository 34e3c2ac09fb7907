"""A film in another size: which part of a source picture lies where on the result's. Pure.

Sizes that are typed are those that are seen: of upright pictures with square pixels. ``2x`` multiplies both sides
and leaves the pixels' shape. A picture of another shape is cropped (scaled to cover, what hangs over cut off evenly),
padded (scaled to fit, bars around) or stretched.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.media.frames import pixel_format

if TYPE_CHECKING:  # pictures are resized without a file, and without PyAV
    from vfi_pipeline.media.info import VideoInfo

Size = tuple[int, int]
Box = tuple[Fraction, Fraction, Fraction, Fraction]

LEAST_KEPT = Fraction(7, 10)
"""Share of a picture that has to stay when it is cropped without being asked (16:9 beside 4:3 keeps 0.75)."""

LARGEST = 32767
"""Pixels along a side, of which no encoder takes more."""


@dataclass(frozen=True)
class Scaling:
    """How source pictures lie on the result's, as stored.

    Attributes:
        source: (width, height) of the source's pictures.
        canvas: (width, height) of the result's.
        place: (x, y, width, height) of the picture on the canvas, whole chroma samples; bars are around it.
        window: (x, y, width, height) of the part of the source that is shown there, luma pixels, edges at integers.
        sample_aspect: of the result.
    """

    source: Size
    canvas: Size
    place: tuple[int, int, int, int]
    window: Box
    sample_aspect: Fraction = Fraction(1)

    @property
    def padded(self) -> bool:
        return self.place != (0, 0, *self.canvas)

    @property
    def to_source(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """((scale, offset) in x, in y): pixel X of the placed picture shows source pixel ``scale * X + offset``."""
        x, y, width, height = self.window
        across, down = width / self.place[2], height / self.place[3]
        return (float(across), float(across / 2 - Fraction(1, 2) + x)), (
            float(down),
            float(down / 2 - Fraction(1, 2) + y),
        )


def scaling_of(size: Size | Fraction, fit: str | None, video: VideoInfo) -> Scaling | None:
    """The scaling that ``size`` (width and height, or a factor) asks for; None if nothing changes.

    Raises:
        UserError: if a picture of another shape would lose much, and nobody said what is to happen; if two views in a
            picture would not stay in their halves; if the result would have no or too many pixels.
    """
    steps = pixel_format(video.working_format).planes
    step = max(plane.sub_x for plane in steps), max(plane.sub_y for plane in steps)
    source = video.width, video.height
    if isinstance(size, Fraction):
        canvas = tuple(max(s, _nearest(side * size, s)) for side, s in zip(source, step))
        _refuse_extreme(canvas)
        return _plain(source, (canvas[0], canvas[1]), video.sample_aspect)
    turned = video.rotation % 180 == 90
    wide, high = (size[1], size[0]) if turned else size
    _refuse_extreme((wide, high))
    shown = video.width * video.sample_aspect, Fraction(video.height)
    across, down = wide / shown[0], high / shown[1]
    kept = min(across, down) / max(across, down)
    if fit is None and kept < LEAST_KEPT:
        raise UserError(
            f"The pictures are seen as {_seen(shown, turned)} and size={size[0]}x{size[1]} has another shape: cut to "
            f"it, only {float(100 * kept):.0f} % of them would be seen.",
            "fit_size=crop (cut them all the same), fit_size=pad (bars) or fit_size=stretch.",
        )
    if video.stereo is not None and kept < 1 and fit != "stretch":
        raise UserError(
            "Each picture holds two views, which crop and pad would cut apart.", "fit_size=stretch, or size=0.5x."
        )
    if fit == "pad" and kept < 1:
        factor = min(across, down)
        inner = [min(full, max(s, _nearest(side * factor, s))) for side, s, full in zip(shown, step, (wide, high))]
        inner = [full if full - side < s else side for side, full, s in zip(inner, (wide, high), step)]
        left, top = ((full - side) // 2 // s * s for full, side, s in zip((wide, high), inner, step))
        whole = Fraction(0), Fraction(0), Fraction(source[0]), Fraction(source[1])
        return Scaling(source, (wide, high), (left, top, inner[0], inner[1]), whole)
    if fit == "stretch" or kept == 1:
        return _plain(source, (wide, high), Fraction(1), video.sample_aspect)
    factor = max(across, down)
    width, height = wide / (factor * video.sample_aspect), high / factor
    window = (source[0] - width) / 2, (source[1] - height) / 2, width, height
    return Scaling(source, (wide, high), (0, 0, wide, high), window)


def _plain(source: Size, canvas: Size, aspect: Fraction, before: Fraction | None = None) -> Scaling | None:
    if source == canvas and before in (None, aspect):
        return None
    whole = Fraction(0), Fraction(0), Fraction(source[0]), Fraction(source[1])
    return Scaling(source, canvas, (0, 0, *canvas), whole, aspect)


def _nearest(length: Fraction, step: int) -> int:
    """The multiple of ``step`` that is nearest to ``length``, halves upwards."""
    return int((length / step + Fraction(1, 2)) // 1) * step


def _refuse_extreme(canvas: tuple[int, ...]) -> None:
    if min(canvas) < 1 or max(canvas) > LARGEST:
        raise UserError(
            f"Pictures of {canvas[0]}x{canvas[1]} cannot be stored: sides are at most {LARGEST} pixels.",
            "size=1280x720, or a smaller factor, size=2x.",
            BAD_INPUT,
        )


def _seen(shown: tuple[Fraction, Fraction], turned: bool) -> str:
    sides = [str(round(side)) for side in shown]
    return "x".join(reversed(sides) if turned else sides)
