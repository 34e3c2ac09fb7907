"""What a picture is while it is inside ``media`` and ``synthesis``: the file's own planes, and a time.

Planes stay integers in the file's own format (Y, U, V at their own resolutions, or G, B, R, A), so that a source
frame can pass through the whole pipeline without losing a bit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

import numpy as np


@dataclass(frozen=True)
class Plane:
    """One plane of a pixel format.

    ``kind`` is one of ``y u v r g b a``; grey pictures have the single plane ``y``. A plane has
    ``ceil(width / sub_x) x ceil(height / sub_y)`` samples.
    """

    kind: str
    sub_x: int = 1
    sub_y: int = 1


@dataclass(frozen=True)
class PixelFormat:
    """A planar working format, named as ffmpeg names it (``yuv420p10le``, ``gbrp``, ``gbrap16le``, ``gray``...).

    Planes are in ffmpeg's memory order (``gbrp`` is g, b, r). Samples are uint8 up to 8 bit, else uint16
    (little-endian, value range ``0 .. 2**depth - 1``).
    """

    name: str
    depth: int
    planes: tuple[Plane, ...]

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.uint8 if self.depth <= 8 else "<u2")

    @property
    def peak(self) -> int:
        """The largest code value, ``2**depth - 1``."""
        return (1 << self.depth) - 1

    @property
    def is_rgb(self) -> bool:
        return any(plane.kind == "g" for plane in self.planes)

    @property
    def has_alpha(self) -> bool:
        return any(plane.kind == "a" for plane in self.planes)

    def plane_size(self, index: int, width: int, height: int) -> tuple[int, int]:
        """(height, width) of plane ``index`` in a picture of the given size."""
        plane = self.planes[index]
        return -(-height // plane.sub_y), -(-width // plane.sub_x)


_SUBSAMPLING = {"420": (2, 2), "422": (2, 1), "444": (1, 1), "440": (1, 2), "411": (4, 1), "410": (4, 4)}


@lru_cache
def pixel_format(name: str) -> PixelFormat:
    """The working format called ``name``; ValueError if it is not a planar format of 8 to 16 bit that we work in.

    Known: gray, yuvXXXp, yuvaXXXp, gbrp, gbrap, each with an optional depth suffix ``9/10/12/14/16`` + ``le``.
    """
    base, depth = name, 8
    for bits in (9, 10, 12, 14, 16):
        if name.endswith(f"{bits}le"):
            base, depth = name.removesuffix(f"{bits}le"), bits
    if base == "gray":
        return PixelFormat(name, depth, (Plane("y"),))
    if base in ("gbrp", "gbrap"):
        kinds = "gbr" + ("a" if base == "gbrap" else "")
        return PixelFormat(name, depth, tuple(Plane(kind) for kind in kinds))
    for prefix in ("yuva", "yuv"):
        sub = base.removeprefix(prefix).removesuffix("p")
        if base == f"{prefix}{sub}p" and sub in _SUBSAMPLING:
            sx, sy = _SUBSAMPLING[sub]
            alpha = (Plane("a"),) if prefix == "yuva" else ()
            return PixelFormat(name, depth, (Plane("y"), Plane("u", sx, sy), Plane("v", sx, sy), *alpha))
    raise ValueError(f"{name} is not a planar working format. Convert it with media.reader first.")


@dataclass(frozen=True)
class Colour:
    """The stream's colour tags as ffmpeg names them; ``None`` is untagged, and untagged stays untagged."""

    matrix: str | None = None  # bt709, smpte170m, bt470bg, bt2020nc, gbr...
    primaries: str | None = None
    transfer: str | None = None  # bt709, smpte2084 (PQ), arib-std-b67 (HLG)...
    range: str | None = None  # tv, pc
    chroma_location: str | None = None  # left (MPEG-2, H.264 default), center (JPEG, MPEG-1), topleft (BT.2020)


@dataclass(frozen=True)
class Frame:
    """One picture: planes of shape ``(h, w)`` in ``format``'s order, its size, colour tags and presentation time.

    ``time`` is the source presentation time in seconds, exact (``pts * time_base``). The arrays are never written
    to after the frame is made, so that frames may be shared between threads.
    """

    planes: tuple[np.ndarray, ...]
    format: PixelFormat
    width: int
    height: int
    time: Fraction = Fraction(0)
    colour: Colour = Colour()

    def __post_init__(self) -> None:
        for index, plane in enumerate(self.planes):
            assert plane.shape == self.format.plane_size(index, self.width, self.height), (plane.shape, self.format)
            assert plane.dtype == self.format.dtype, (plane.dtype, self.format)


# ---------------------------------------------------------------------------------------------------- orientation

# Where a chroma sample sits in its group of luma samples, as (x, y) from its top left corner, 0 or 1/2 or 1.
_SITES = {"left": (0, 1), "center": (1, 1), "topleft": (0, 0), "top": (1, 0), "bottomleft": (0, 2), "bottom": (1, 2)}


def oriented_format(
    form: PixelFormat, colour: Colour, rotation: int, mirrored: bool = False
) -> tuple[PixelFormat, Colour]:
    """The format and colour tags of ``oriented`` pictures.

    A quarter turn swaps the two subsampling factors: 4:2:0, 4:4:4 and RGB stay what they are, 4:2:2 becomes 4:4:0 and
    back, sample for sample. Where ffmpeg has no name for that (4:1:1; 4:2:2 of 9, 14 or 16 bit or with alpha) chroma is
    repeated to 4:4:4. Chroma sited to the left keeps a name where there is one; to the right it becomes ``center``.
    """
    if rotation % 360 in (90, 270):
        sub = next(((p.sub_x, p.sub_y) for p in form.planes if p.kind == "u"), (1, 1))
        kind = {(2, 1): "440", (1, 2): "422"}.get(sub, "444")
        if sub[0] != sub[1]:
            prefix = "yuva" if form.has_alpha else "yuv"
            suffix = f"{form.depth}le" if form.depth > 8 else ""
            plain = form.depth in (8, 10, 12) and not form.has_alpha
            form = pixel_format(f"{prefix}{kind if plain else '444'}p{suffix}")
    site = _SITES.get(colour.chroma_location or "")
    if site is None:
        return form, colour
    x, y = site
    x = 2 - x if mirrored else x
    for _ in range(rotation % 360 // 90):
        x, y = 2 - y, x
    name = next((name for name, place in _SITES.items() if place == (x, y)), "center")
    return form, replace(colour, chroma_location=name)


def oriented(frame: Frame, rotation: int, mirrored: bool = False) -> Frame:
    """``frame`` as it is to be seen: flipped left to right if ``mirrored``, then turned clockwise by ``rotation``.

    Samples are moved, never mixed; see ``oriented_format`` for the format. For outputs that cannot carry a display
    matrix. With odd sizes, subsampled chroma ends up to one luma sample off, which no format could say better.

    Raises:
        ValueError: if ``rotation`` is not a multiple of 90.
    """
    if rotation % 90:
        raise ValueError(f"Pictures turn by multiples of 90 degrees, got {rotation}.")
    turns = rotation // 90 % 4
    if not turns and not mirrored:
        return frame
    form, colour = oriented_format(frame.format, frame.colour, rotation, mirrored)
    width, height = (frame.height, frame.width) if turns % 2 else (frame.width, frame.height)
    planes = []
    for index, plane in enumerate(frame.planes):
        turned = np.rot90(plane[:, ::-1] if mirrored else plane, -turns)
        h, w = form.plane_size(index, width, height)
        if turned.shape != (h, w):
            turned = turned.repeat(-(-h // turned.shape[0]), axis=0).repeat(-(-w // turned.shape[1]), axis=1)[:h, :w]
        planes.append(np.ascontiguousarray(turned))
    return replace(frame, planes=tuple(planes), format=form, width=width, height=height, colour=colour)
