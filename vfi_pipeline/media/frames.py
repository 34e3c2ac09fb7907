"""What a picture is while it is inside ``media`` and ``synthesis``: the file's own planes, and a time.

Planes stay integers in the file's own format (Y, U, V at their own resolutions, or G, B, R, A), so that a source
frame can pass through the whole pipeline without losing a bit.
"""

from __future__ import annotations

from dataclasses import dataclass
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
