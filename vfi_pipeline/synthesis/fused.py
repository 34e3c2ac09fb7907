"""Composition in one pass over the output, for CUDA devices: a Triton kernel for the rule of ``synthesis.compose``.

For every sample of a plane it reads the motion between the cells of its grid and both sources at their places, lets a
source yield where it leaves the frame or pulls from under an overlay, blends, divides by the opacity, and rounds to the
format's own samples; in another size it reads the sources by the cubic filter of ``synthesis.resize``.
``compose.planes`` is the reference, and serves other devices; both differ by one code value at most. (Both round
positions to float32: of 14 and 16 bits, where neighbours differ by the whole range and moves are hundreds of pixels
long, a few samples in ten thousand differ by two or three.)
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from vfi_pipeline.models.replay import on_device

BLOCK = 256
"""Samples of a plane that one program makes."""


@triton.jit
def _cell(pixel, cells, pixels):
    """The cell before a pixel's centre, the one behind it, and the share of the latter (half-pixel centres)."""
    # Whole numbers, so that the share is rounded once: ``(pixel + 1 / 2) cells / pixels - 1 / 2`` is numerator / whole.
    whole = 2 * pixels
    numerator = tl.minimum(tl.maximum((2 * pixel + 1) * cells - pixels, 0), (cells - 1) * whole)
    low = numerator // whole
    return low, tl.minimum(low + 1, cells - 1), (numerator - low * whole) * 1.0 / whole


@triton.jit
def _mixed(a, b, share):
    return a + share * (b - a)


@triton.jit
def _lerp(a, b, share):
    """``torch.lerp``."""
    return tl.where(share < 0.5, a + share * (b - a), b - (b - a) * (1.0 - share))


@triton.jit
def _between(field, top, bottom, left, right, down, across, width, scale):
    """A channel of the motion field between four cells, times ``scale``; in the order of ``reading.upsample``."""
    before = _lerp(tl.load(field + top * width + left) * scale, tl.load(field + bottom * width + left) * scale, down)
    after = _lerp(tl.load(field + top * width + right) * scale, tl.load(field + bottom * width + right) * scale, down)
    return before * (1.0 - across) + after * across


@triton.jit
def _inside(x, y, width, height):
    """1 in the frame, falling to 0 within one pixel outside (``geometry.inside``)."""
    beyond = tl.maximum(tl.maximum(-x, x - (width - 1)), tl.maximum(-y, y - (height - 1)))
    return 1.0 - tl.minimum(tl.maximum(beyond, 0.0), 1.0)


@triton.jit
def _visible(weight, in_first, in_last):
    """``geometry.visible_weight``."""
    only_first, only_last = in_first * (1.0 - in_last), in_last * (1.0 - in_first)
    return weight + only_first - weight * (only_first + only_last)


@triton.jit
def _code(plane, at, mask, KIND: tl.constexpr):
    """A sample as float32. KIND 0: uint8; 1: int16 that holds the bits of the unsigned 16; 2: float32."""
    code = tl.load(plane + at, mask=mask, other=0)
    if KIND == 2:
        return code
    code = code.to(tl.int32)
    if KIND == 1:
        code = code & 0xFFFF
    return code.to(tl.float32)


@triton.jit
def _linear(plane, x, y, width, height, mask, KIND: tl.constexpr):
    """Bilinear, border replicated (``geometry.sample``)."""
    x = tl.minimum(tl.maximum(x, 0.0), width - 1.0)
    y = tl.minimum(tl.maximum(y, 0.0), height - 1.0)
    left, top = tl.floor(x).to(tl.int32), tl.floor(y).to(tl.int32)
    right, bottom = tl.minimum(left + 1, width - 1), tl.minimum(top + 1, height - 1)
    across, down = x - left.to(tl.float32), y - top.to(tl.float32)
    upper = _mixed(_code(plane, top * width + left, mask, KIND), _code(plane, top * width + right, mask, KIND), across)
    lower = _mixed(
        _code(plane, bottom * width + left, mask, KIND), _code(plane, bottom * width + right, mask, KIND), across
    )
    return _mixed(upper, lower, down)


@triton.jit
def _keys(distance):
    """Keys' kernel (1981), a = -0.75, at distances of 0 to 2."""
    near = (1.25 * distance - 2.25) * distance * distance + 1.0
    far = ((-0.75 * distance + 3.75) * distance - 6.0) * distance + 3.0
    return tl.where(distance <= 1.0, near, far)


@triton.jit
def _cubic(plane, x, y, width, height, mask, KIND: tl.constexpr):
    """By 4 x 4 samples, border replicated (``geometry.sample(cubic=True)``)."""
    left, top = tl.floor(x), tl.floor(y)
    total = x * 0.0
    for j in range(4):  # not unrolled: with opacity, ptxas took two minutes for what that makes
        row = tl.minimum(tl.maximum(top.to(tl.int32) + (j - 1), 0), height - 1)
        line = x * 0.0
        for i in range(4):
            column = tl.minimum(tl.maximum(left.to(tl.int32) + (i - 1), 0), width - 1)
            line += _keys(tl.abs(x - left - (i - 1))) * _code(plane, row * width + column, mask, KIND)
        total += _keys(tl.abs(y - top - (j - 1))) * line
    return total


@triton.jit
def _channel(
    first, last, first_x, first_y, last_x, last_y, here_x, here_y, here, weight, plain, sure, width, height, valid,
    KIND: tl.constexpr, SCALED: tl.constexpr, UNSURE: tl.constexpr,
):  # fmt: skip
    """One channel of the made frame: both sources at their places, mixed; where that is not sure, the unmoved ones."""
    if SCALED:
        from_first = _cubic(first, first_x, first_y, width, height, valid, KIND)
        from_last = _cubic(last, last_x, last_y, width, height, valid, KIND)
    else:
        from_first = _linear(first, first_x, first_y, width, height, valid, KIND)
        from_last = _linear(last, last_x, last_y, width, height, valid, KIND)
    made = _mixed(from_last, from_first, weight)
    if UNSURE:
        if SCALED:
            first_here = _cubic(first, here_x, here_y, width, height, valid, KIND)
            last_here = _cubic(last, here_x, here_y, width, height, valid, KIND)
        else:
            first_here, last_here = _code(first, here, valid, KIND), _code(last, here, valid, KIND)
        made = _mixed(_mixed(last_here, first_here, plain), made, sure)
    return made


@triton.jit
def _kernel(
    first, last, field, cover_first, cover_last, out,
    width, height, luma_width, luma_height, source_width, source_height, full_width, full_height, cells_x, cells_y,
    source_step, share_x, share_y, offset_x, offset_y, scale_x, scale_y, shift_x, shift_y, peak,
    CHANNELS: tl.constexpr, FIELDS: tl.constexpr, SUB_X: tl.constexpr, SUB_Y: tl.constexpr, LOW_X: tl.constexpr,
    LOW_Y: tl.constexpr, TAPS_X: tl.constexpr, TAPS_Y: tl.constexpr, KIND: tl.constexpr, WIDE: tl.constexpr,
    SCALED: tl.constexpr, COVERED: tl.constexpr, WEIGHTED: tl.constexpr, ALPHA: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    here = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    sample = tl.program_id(1)
    valid = here < width * height
    row, column = here // width, here % width
    area = cells_x * cells_y
    field += sample * FIELDS * area
    to_luma_x, to_luma_y = luma_width * 1.0 / cells_x, luma_height * 1.0 / cells_y

    first_x = column * 0.0
    first_y, last_x, last_y = first_x, first_x, first_x
    weight, plain, sure = first_x, first_x, first_x
    for tap_y in tl.static_range(TAPS_Y):
        luma_y = tl.minimum(row * SUB_Y + LOW_Y + tap_y, luma_height - 1)
        part_y = share_y if tap_y else 1.0 - share_y
        top, bottom, down = _cell(luma_y, cells_y, luma_height)
        for tap_x in tl.static_range(TAPS_X):
            luma_x = tl.minimum(column * SUB_X + LOW_X + tap_x, luma_width - 1)
            part = part_y * (share_x if tap_x else 1.0 - share_x)
            left, right, across = _cell(luma_x, cells_x, luma_width)
            ux = _between(field, top, bottom, left, right, down, across, cells_x, to_luma_x)
            uy = _between(field + area, top, bottom, left, right, down, across, cells_x, to_luma_y)
            vx = _between(field + 2 * area, top, bottom, left, right, down, across, cells_x, to_luma_x)
            vy = _between(field + 3 * area, top, bottom, left, right, down, across, cells_x, to_luma_y)
            w = _between(field + 4 * area, top, bottom, left, right, down, across, cells_x, 1.0)
            at_first_x, at_first_y, at_last_x, at_last_y = luma_x + ux, luma_y + uy, luma_x + vx, luma_y + vy
            at_x, at_y = luma_x * 1.0, luma_y * 1.0
            if SCALED:
                at_first_x, at_first_y = at_first_x * scale_x + shift_x, at_first_y * scale_y + shift_y
                at_last_x, at_last_y = at_last_x * scale_x + shift_x, at_last_y * scale_y + shift_y
                at_x, at_y = at_x * scale_x + shift_x, at_y * scale_y + shift_y
            in_first = _inside(at_first_x, at_first_y, full_width, full_height)
            in_last = _inside(at_last_x, at_last_y, full_width, full_height)
            moved, unmoved = _visible(w, in_first, in_last), w
            certain = w * 0.0 + 1.0
            if FIELDS > 5:
                certain = _between(field + 5 * area, top, bottom, left, right, down, across, cells_x, 1.0)
            if COVERED:
                seen_first = _bare(cover_first, at_first_x, at_first_y, full_width, full_height, valid)
                seen_last = _bare(cover_last, at_last_x, at_last_y, full_width, full_height, valid)
                moved = _visible(moved, seen_first, seen_last)
                certain *= tl.maximum(seen_first, seen_last)
                bare_first = _bare(cover_first, at_x, at_y, full_width, full_height, valid)
                bare_last = _bare(cover_last, at_x, at_y, full_width, full_height, valid)
                unmoved = _visible(unmoved, bare_first, bare_last)
            first_x += part * ux
            first_y += part * uy
            last_x += part * vx
            last_y += part * vy
            weight += part * moved
            plain += part * unmoved
            sure += part * certain

    x, y = column * 1.0, row * 1.0
    first_x, first_y = x + first_x / SUB_X, y + first_y / SUB_Y
    last_x, last_y = x + last_x / SUB_X, y + last_y / SUB_Y
    if SCALED:  # between samples whose first lies at the offset, on both grids
        first_x, first_y = (
            _on_source(first_x, SUB_X, offset_x, scale_x, shift_x),
            _on_source(first_y, SUB_Y, offset_y, scale_y, shift_y),
        )
        last_x, last_y = (
            _on_source(last_x, SUB_X, offset_x, scale_x, shift_x),
            _on_source(last_y, SUB_Y, offset_y, scale_y, shift_y),
        )
        x, y = _on_source(x, SUB_X, offset_x, scale_x, shift_x), _on_source(y, SUB_Y, offset_y, scale_y, shift_y)

    sample = sample.to(tl.int64)  # a batch of large frames has more samples than 32 bits count
    size = source_width * source_height
    first += sample * source_step * size
    last += sample * source_step * size
    out += sample * CHANNELS * width * height
    opacity = x * 0.0
    if WEIGHTED:
        opacity = _channel(
            first + CHANNELS * size, last + CHANNELS * size, first_x, first_y, last_x, last_y, x, y, here, weight,
            plain, sure, source_width, source_height, valid, KIND, SCALED, FIELDS > 5,
        )  # fmt: skip
    for channel in tl.static_range(CHANNELS):
        plain_channel = channel + CHANNELS + 1 if WEIGHTED else channel
        made = _channel(
            first + plain_channel * size, last + plain_channel * size, first_x, first_y, last_x, last_y, x, y, here,
            weight, plain, sure, source_width, source_height, valid, KIND, SCALED, FIELDS > 5,
        )  # fmt: skip
        if WEIGHTED:
            if channel != ALPHA:
                seen = _channel(
                    first + channel * size, last + channel * size, first_x, first_y, last_x, last_y, x, y, here,
                    weight, plain, sure, source_width, source_height, valid, KIND, SCALED, FIELDS > 5,
                )  # fmt: skip
                made = tl.where(opacity * peak >= 0.5, seen / tl.maximum(opacity, 0.5 / peak), made)
        if SCALED:  # cubic weights overshoot
            made = tl.minimum(tl.maximum(made, 0.0), peak)
        code = (made + 0.5).to(tl.int32)
        if WIDE:
            tl.store(out + channel * width * height + here, code.to(tl.int16), mask=valid)
        else:
            tl.store(out + channel * width * height + here, code.to(tl.uint8), mask=valid)


@triton.jit
def _on_source(at, SUB: tl.constexpr, offset, scale, shift):
    """A place among a plane's samples in the made picture -> among the source's (``resize.pulled``)."""
    return ((at * SUB + offset) * scale + shift - offset) / SUB


@triton.jit
def _bare(cover, x, y, width, height, mask):
    """1 where less of the frame is covered than ``compose.COVERS``, else 0."""
    return (_linear(cover, x, y, width, height, mask, 2) < 1.0 / 256).to(tl.float32)


class Plane(NamedTuple):
    """Where the samples of a group of planes lie.

    Attributes:
        luma: (height, width) of the made frame.
        sub, offset: (x, y) luma pixels per sample, and where the first sample lies; see ``compose.Group``.
        size: (height, width) of the made planes.
        wide: samples of 16 bits, not of 8.
        peak: the largest code value.
        weighted: sources hold what ``opacity.weighted`` makes: 2 C + 1 channels for C.
        alpha: the channel of those C that is the opacity itself, or None.
    """

    luma: tuple[int, int]
    sub: tuple[int, int]
    offset: tuple[float, float]
    size: tuple[int, int]
    wide: bool
    peak: int
    weighted: bool = False
    alpha: int | None = None


class Source(NamedTuple):
    """Where the made picture's luma pixels lie on a source of another size: ``scale * X + shift``, (x, y).

    ``luma`` is the source's (height, width).
    """

    luma: tuple[int, int]
    scale: tuple[float, float]
    shift: tuple[float, float]


def composed(
    first: Tensor,
    last: Tensor,
    field: Tensor,
    plane: Plane,
    covered: tuple[Tensor, Tensor] | None = None,
    source: Source | None = None,
    block: int = BLOCK,
) -> Tensor:
    """The planes of one group, rounded.

    Args:
        first, last: (1 or B, C, h, w) code values: uint8, int16 that holds the bits of the unsigned 16, or float32.
        field: (B, 5 or 6, cells_y, cells_x) float32: both displacements in cells, blend weight, confidence. The grid
            covers the made frame. 6 where something is ``covered``.
        covered: of the first and of the last frame, (1, 1, luma height, luma width) float32, see ``compose.planes``.
        source: None where the sources have the made frame's size.
        block: samples that one program makes, a power of 2.

    Returns:
        (B, C, height, width), uint8 or int16.
    """
    batch, fields, cells_y, cells_x = field.shape
    count, channels, source_height, source_width = first.shape
    assert fields == 6 or covered is None
    out_channels = (channels - 1) // 2 if plane.weighted else channels
    height, width = plane.size
    out = first.new_empty(batch, out_channels, height, width, dtype=torch.int16 if plane.wide else torch.uint8)
    low = int(plane.offset[0]), int(plane.offset[1])
    share = plane.offset[0] - low[0], plane.offset[1] - low[1]
    lies = source or Source(plane.luma, (1.0, 1.0), (0.0, 0.0))
    covers = covered or (field, field)  # not read
    with on_device(first.device):
        _kernel[(triton.cdiv(width * height, block), batch)](
            first, last, field, *covers, out,
            width, height, plane.luma[1], plane.luma[0], source_width, source_height, lies.luma[1], lies.luma[0],
            cells_x, cells_y, channels if count > 1 else 0, *share, *plane.offset, *lies.scale, *lies.shift, plane.peak,
            CHANNELS=out_channels, FIELDS=fields, SUB_X=plane.sub[0], SUB_Y=plane.sub[1], LOW_X=low[0], LOW_Y=low[1],
            TAPS_X=2 if share[0] else 1, TAPS_Y=2 if share[1] else 1,
            KIND={torch.uint8: 0, torch.int16: 1, torch.float32: 2}[first.dtype], WIDE=plane.wide,
            SCALED=source is not None, COVERED=covered is not None, WEIGHTED=plane.weighted,
            ALPHA=-1 if plane.alpha is None else plane.alpha, BLOCK=block,
        )  # fmt: skip
    return out


@lru_cache(maxsize=8)
def works_on(device: torch.device) -> bool:
    """Whether the kernel can be compiled and run there, tried once on a tiny frame."""
    codes = torch.zeros(1, 1, 4, 4, dtype=torch.uint8, device=device)
    field = torch.zeros(1, 6, 2, 2, device=device)
    try:
        composed(codes, codes, field, Plane((4, 4), (1, 1), (0.0, 0.0), (4, 4), False, 255))
        return True
    except Exception:  # a driver or compiler that is not there: whatever it is, the plain expression serves
        return False
