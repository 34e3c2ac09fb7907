"""What pixel formats hold, and which of an encoder's comes nearest to the source's."""

from __future__ import annotations

from dataclasses import dataclass

from vfi_pipeline.media.frames import pixel_format


@dataclass(frozen=True)
class Shape:
    """What a pixel format can hold; ``family`` is yuv, rgb or gray."""

    family: str
    depth: int
    sub: tuple[int, int] = (1, 1)
    alpha: bool = False


_PACKED = {
    "rgb24": Shape("rgb", 8), "bgr24": Shape("rgb", 8), "bgr0": Shape("rgb", 8), "rgb0": Shape("rgb", 8),
    "0rgb": Shape("rgb", 8), "0bgr": Shape("rgb", 8), "rgba": Shape("rgb", 8, alpha=True),
    "bgra": Shape("rgb", 8, alpha=True), "argb": Shape("rgb", 8, alpha=True), "abgr": Shape("rgb", 8, alpha=True),
    "rgb48be": Shape("rgb", 16), "rgb48le": Shape("rgb", 16), "rgba64be": Shape("rgb", 16, alpha=True),
    "rgba64le": Shape("rgb", 16, alpha=True), "x2rgb10le": Shape("rgb", 10), "gbrp10msble": Shape("rgb", 10),
    "nv12": Shape("yuv", 8, (2, 2)), "nv21": Shape("yuv", 8, (2, 2)), "nv16": Shape("yuv", 8, (2, 1)),
    "p010le": Shape("yuv", 10, (2, 2)), "p012le": Shape("yuv", 12, (2, 2)), "p016le": Shape("yuv", 16, (2, 2)),
    "p210le": Shape("yuv", 10, (2, 1)), "p212le": Shape("yuv", 12, (2, 1)), "p216le": Shape("yuv", 16, (2, 1)),
    "yuv444p10msble": Shape("yuv", 10), "yuv444p12msble": Shape("yuv", 12),
    "gray16be": Shape("gray", 16), "ya8": Shape("gray", 8, alpha=True),
}  # fmt: skip


def shape(name: str) -> Shape:
    """What pixel format ``name`` can hold; ValueError for one that is not known here (palettes, floats, hardware)."""
    if name in _PACKED:
        return _PACKED[name]
    plain = pixel_format(name.replace("yuvj", "yuv"))
    if plain.is_rgb:
        return Shape("rgb", plain.depth, alpha=plain.has_alpha)
    if len(plain.planes) == 1:
        return Shape("gray", plain.depth)
    return Shape("yuv", plain.depth, (plain.planes[1].sub_x, plain.planes[1].sub_y), plain.has_alpha)


def shape_or_none(name: str) -> Shape | None:
    """``shape``, or None for a format that is not known."""
    try:
        return shape(name)
    except ValueError:
        return None


def known_formats(names: tuple[str, ...]) -> dict[str, Shape]:
    """Those of ``names`` whose shape is known."""
    shapes = {}
    for name in names:
        try:
            shapes[name] = shape(name)
        except ValueError:
            continue
    return shapes


def nearest_format(wanted: Shape, names: tuple[str, ...]) -> str | None:
    """The format among ``names`` that loses least of ``wanted``, then wastes least; None if none is known."""

    def cost(item: tuple[str, Shape]) -> tuple[float, ...]:
        name, have = item
        colour_lost = wanted.family != "gray" and have.family == "gray"
        converted = wanted.family != have.family and not (wanted.family == "gray" and have.family == "yuv")
        chroma_lost = max(have.sub[0] / wanted.sub[0], 1) * max(have.sub[1] / wanted.sub[1], 1)
        chroma_spent = max(wanted.sub[0] / have.sub[0], 1) * max(wanted.sub[1] / have.sub[1], 1)
        if wanted.family == "gray":  # a grey film in YUV: the smallest chroma that players take
            chroma_lost, chroma_spent = 1, (1 if have.sub == (2, 2) else 2)
        gray_kept_gray = wanted.family == "gray" and have.family == "yuv"
        return (
            colour_lost,
            converted,
            wanted.alpha and not have.alpha,
            max(wanted.depth - have.depth, 0),
            chroma_lost,
            gray_kept_gray,
            have.alpha and not wanted.alpha,
            max(have.depth - wanted.depth, 0),
            chroma_spent,
            name.startswith("yuvj"),
        )

    shapes = known_formats(names)
    return min(shapes.items(), key=cost)[0] if shapes else None


def needs_even(name: str) -> tuple[bool, bool]:
    """Whether H.264 and H.265 need an even width and height in pixel format ``name``."""
    sub = shape(name).sub
    return sub[0] > 1, sub[1] > 1
