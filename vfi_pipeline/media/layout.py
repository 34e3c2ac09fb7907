"""Lossless re-layout of decoded pictures: every pixel format that a decoder yields, as planes of a working format.

Nothing here computes with colours: samples are moved, shifted down from the top bits of a word, or byte-swapped. Bits
that are packed tighter than a byte (``rgb565``, ``monob``) are spread over 0..255 as ffmpeg does, which is one to one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import av
import numpy as np

from vfi_pipeline.media.frames import PixelFormat, pixel_format

Planes = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Layout:
    """How frames of ``source`` (ffmpeg's name) become planes of ``working``; ``full_range`` if ``source`` says pc."""

    source: str
    working: PixelFormat
    planes: Callable[[av.VideoFrame], Planes]
    full_range: bool = False


def is_transparent(frame: av.VideoFrame) -> bool:
    """Whether a ``pal8`` frame uses a colour of its palette that is not opaque; False for other formats."""
    if frame.format.name != "pal8":
        return False
    indices, palette = _palette(frame)
    return bool((palette[np.unique(indices), 3] < 255).any())


@lru_cache
def layout(source: str, transparent: bool = False) -> Layout:
    """The layout for ffmpeg's pixel format ``source``.

    Args:
        transparent: ``pal8`` only: whether the palette's alpha counts.

    Raises:
        ValueError: if it is none that we read: float, Bayer, XYZ and hardware formats.
    """
    name, full_range = source, source.startswith("yuvj")
    if full_range:
        name = "yuv" + source.removeprefix("yuvj")
    if name == "pal8":
        return _palette_layout(transparent)
    if name in ("monow", "monob"):
        return Layout(source, pixel_format("gray"), lambda frame: (_bits(frame, name == "monow"),), True)
    if name in _BITFIELDS:
        return _bitfield_layout(name)
    big = name.endswith("be")
    little = name.removesuffix("be") + "le" if big else name
    if little in _SEMI_PLANAR:
        return _semi_planar_layout(source, little, big)
    if little in _PACKED:
        return _packed_layout(source, little, big)
    try:
        form = pixel_format(little)
    except ValueError:
        raise ValueError(f"pictures of the format {source} are not supported") from None
    return Layout(source, form, _planar(form, big), full_range)


def _samples(frame: av.VideoFrame, index: int, dtype: np.dtype | str) -> np.ndarray:
    """Plane ``index`` as it lies in memory: (rows, samples per row, padding included), not copied."""
    plane: Any = frame.planes[index]  # it has the buffer protocol, which PyAV's stubs do not say
    dtype = np.dtype(dtype)
    assert plane.line_size > 0, "a picture stored bottom-up"
    return np.frombuffer(plane, dtype).reshape(plane.height, plane.line_size // dtype.itemsize)


def _own(view: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """A contiguous copy, so that the decoder's padded buffers are given back at once."""
    return view.astype(dtype, order="C", copy=True)


# ----------------------------------------------------------------------------------------------------- planar


def _planar(form: PixelFormat, big: bool) -> Callable[[av.VideoFrame], Planes]:
    stored = form.dtype.newbyteorder(">") if big else form.dtype

    def planes(frame: av.VideoFrame) -> Planes:
        sizes = (form.plane_size(k, frame.width, frame.height) for k in range(len(form.planes)))
        return tuple(_own(_samples(frame, k, stored)[:h, :w], form.dtype) for k, (h, w) in enumerate(sizes))

    return planes


# ------------------------------------------------------------------------------------------------ semi-planar

# name -> (working format, V first, bits to shift down: the samples sit in the top bits of 16)
_SEMI_PLANAR: dict[str, tuple[str, bool, int]] = {
    "nv12": ("yuv420p", False, 0),
    "nv21": ("yuv420p", True, 0),
    "nv16": ("yuv422p", False, 0),
    "nv20le": ("yuv422p10le", False, 0),
    "nv24": ("yuv444p", False, 0),
    "nv42": ("yuv444p", True, 0),
    **{
        f"p{sub}{bits % 100:02d}le": (f"yuv{kind}p{bits}le", False, 16 - bits)
        for sub, kind in (("0", "420"), ("2", "422"), ("4", "444"))
        for bits in (10, 12, 16)
    },
}


def _semi_planar_layout(source: str, little: str, big: bool) -> Layout:
    working, v_first, shift = _SEMI_PLANAR[little]
    form = pixel_format(working)
    stored = form.dtype.newbyteorder(">") if big else form.dtype

    def planes(frame: av.VideoFrame) -> Planes:
        (h, w), (ch, cw) = (form.plane_size(k, frame.width, frame.height) for k in (0, 1))
        luma, pairs = _samples(frame, 0, stored)[:h, :w], _samples(frame, 1, stored)[:ch, : 2 * cw]
        u, v = pairs[:, int(v_first) :: 2], pairs[:, 1 - int(v_first) :: 2]
        return tuple(_own(part >> shift if shift else part, form.dtype) for part in (luma, u, v))

    return Layout(source, form, planes)


# ----------------------------------------------------------------------------------------------------- packed


@dataclass(frozen=True)
class _Packed:
    """Where each plane's samples lie in a row: first at ``offset``, then every ``step`` samples; one pair per plane."""

    working: str
    places: tuple[tuple[int, int], ...]
    shift: int = 0


def _pixels(working: str, order: str, shift: int = 0) -> _Packed:
    """One sample per letter of ``order`` and pixel; letters that the working format has not are padding."""
    kinds = [plane.kind for plane in pixel_format(working).planes]
    return _Packed(working, tuple((order.index(kind), len(order)) for kind in kinds), shift)


_PACKED: dict[str, _Packed] = {
    "rgb24": _pixels("gbrp", "rgb"),
    "bgr24": _pixels("gbrp", "bgr"),
    "rgb0": _pixels("gbrp", "rgb0"),
    "bgr0": _pixels("gbrp", "bgr0"),
    "0rgb": _pixels("gbrp", "0rgb"),
    "0bgr": _pixels("gbrp", "0bgr"),
    "rgba": _pixels("gbrap", "rgba"),
    "bgra": _pixels("gbrap", "bgra"),
    "argb": _pixels("gbrap", "argb"),
    "abgr": _pixels("gbrap", "abgr"),
    "rgb48le": _pixels("gbrp16le", "rgb"),
    "bgr48le": _pixels("gbrp16le", "bgr"),
    "rgba64le": _pixels("gbrap16le", "rgba"),
    "bgra64le": _pixels("gbrap16le", "bgra"),
    # Grey with alpha has no planar format of its own: the grey goes into G, B and R.
    "ya8": _Packed("gbrap", ((0, 2), (0, 2), (0, 2), (1, 2))),
    "ya16le": _Packed("gbrap16le", ((0, 2), (0, 2), (0, 2), (1, 2))),
    "yuyv422": _Packed("yuv422p", ((0, 2), (1, 4), (3, 4))),
    "uyvy422": _Packed("yuv422p", ((1, 2), (0, 4), (2, 4))),
    "yvyu422": _Packed("yuv422p", ((0, 2), (3, 4), (1, 4))),
    "y210le": _Packed("yuv422p10le", ((0, 2), (1, 4), (3, 4)), 6),
    "y212le": _Packed("yuv422p12le", ((0, 2), (1, 4), (3, 4)), 4),
    "y216le": _Packed("yuv422p16le", ((0, 2), (1, 4), (3, 4))),
    "vyu444": _pixels("yuv444p", "vyu"),
    "vuyx": _pixels("yuv444p", "vuyx"),
    "vuya": _pixels("yuva444p", "vuya"),
    "uyva": _pixels("yuva444p", "uyva"),
    "ayuv": _pixels("yuva444p", "ayuv"),
    "ayuv64le": _pixels("yuva444p16le", "ayuv"),
    "xv36le": _pixels("yuv444p12le", "uyvx", 4),
    "xv48le": _pixels("yuv444p16le", "uyvx"),
}


def _packed_layout(source: str, little: str, big: bool) -> Layout:
    packed = _PACKED[little]
    form = pixel_format(packed.working)
    stored = form.dtype.newbyteorder(">") if big else form.dtype

    def planes(frame: av.VideoFrame) -> Planes:
        rows = _samples(frame, 0, stored)[: frame.height]
        planes_read: list[np.ndarray] = []
        for k, (offset, step) in enumerate(packed.places):
            repeated = packed.places.index((offset, step))
            if repeated < k:
                planes_read.append(planes_read[repeated])
                continue
            width = form.plane_size(k, frame.width, frame.height)[1]
            part = rows[:, offset::step][:, :width]
            planes_read.append(_own(part >> packed.shift if packed.shift else part, form.dtype))
        return tuple(planes_read)

    return Layout(source, form, planes)


# --------------------------------------------------------------------------------------- fields of bits in a word

# name -> (working format, word, {plane: (lowest bit, bits)})
_BITFIELDS: dict[str, tuple[str, str, dict[str, tuple[int, int]]]] = {
    "x2rgb10le": ("gbrp10le", "<u4", {"r": (20, 10), "g": (10, 10), "b": (0, 10)}),
    "x2bgr10le": ("gbrp10le", "<u4", {"b": (20, 10), "g": (10, 10), "r": (0, 10)}),
    "xv30le": ("yuv444p10le", "<u4", {"u": (0, 10), "y": (10, 10), "v": (20, 10)}),
    "rgb8": ("gbrp", "u1", {"r": (5, 3), "g": (2, 3), "b": (0, 2)}),
    "bgr8": ("gbrp", "u1", {"b": (6, 2), "g": (3, 3), "r": (0, 3)}),
    **{
        f"{order}{bits}{end}": (
            "gbrp",
            f"{sign}u2",
            {order[0]: (low[0], width[0]), "g": (low[1], width[1]), order[2]: (0, width[2])},
        )
        for order in ("rgb", "bgr")
        for bits, low, width in (
            (565, (11, 5), (5, 6, 5)),
            (555, (10, 5), (5, 5, 5)),
            (444, (8, 4), (4, 4, 4)),
        )
        for end, sign in (("le", "<"), ("be", ">"))
    },
}


def _bitfield_layout(name: str) -> Layout:
    working, stored, fields = _BITFIELDS[name]
    form = pixel_format(working)

    def planes(frame: av.VideoFrame) -> Planes:
        words = _samples(frame, 0, stored)[: frame.height, : frame.width].astype(np.uint32)
        planes_read = []
        for plane in form.planes:
            low, bits = fields[plane.kind]
            value = (words >> low) & ((1 << bits) - 1)
            top = (1 << bits) - 1
            planes_read.append(_own(value if top == form.peak else (value * form.peak + top // 2) // top, form.dtype))
        return tuple(planes_read)

    return Layout(name, form, planes)


def _bits(frame: av.VideoFrame, zero_is_white: bool) -> np.ndarray:
    rows = np.unpackbits(_samples(frame, 0, "u1")[: frame.height], axis=1)[:, : frame.width]
    return _own((rows ^ int(zero_is_white)) * np.uint8(255), np.dtype(np.uint8))


# ---------------------------------------------------------------------------------------------------- palette


def _palette(frame: av.VideoFrame) -> tuple[np.ndarray, np.ndarray]:
    """(h, w) indices and (256, 4) colours in the order B, G, R, A (a little-endian word 0xAARRGGBB)."""
    indices = _samples(frame, 0, "u1")[: frame.height, : frame.width]
    colours: Any = frame.planes[1]
    words = np.frombuffer(colours, "=u4", 256)
    return indices, np.stack([(words >> shift) & 255 for shift in (0, 8, 16, 24)], axis=1).astype(np.uint8)


def _palette_layout(transparent: bool) -> Layout:
    def planes(frame: av.VideoFrame) -> Planes:
        indices, palette = _palette(frame)
        channels = (1, 0, 2, 3) if transparent else (1, 0, 2)  # G, B, R, A
        return tuple(palette[:, channel][indices] for channel in channels)

    return Layout("pal8", pixel_format("gbrap" if transparent else "gbrp"), planes)
