"""Composition in one pass over the output, for CUDA devices: a Triton kernel for the rule of ``synthesis.compose``.

For every sample of a plane it reads the motion between the cells of its grid, both sources at their places, hands over
at the frame's border, blends, and rounds to the format's own samples. ``compose.planes`` is the reference, and serves
other devices, planes with alpha, overlays and other sizes; both differ by one code value at most.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 256
"""Samples of a plane that one program makes."""


@triton.jit
def _cell(pixel, cells, pixels):
    """The cell before a pixel's centre, the one behind it, and the share of the latter (half-pixel centres)."""
    at = (pixel + 0.5) * (cells * 1.0 / pixels) - 0.5
    at = tl.minimum(tl.maximum(at, 0.0), cells - 1.0)
    low = tl.floor(at).to(tl.int32)
    return low, tl.minimum(low + 1, cells - 1), at - low.to(tl.float32)


@triton.jit
def _mixed(a, b, share):
    return a + share * (b - a)


@triton.jit
def _between(field, top, bottom, left, right, down, across, width):
    """A channel of the motion field between four cells."""
    upper = _mixed(tl.load(field + top * width + left), tl.load(field + top * width + right), across)
    lower = _mixed(tl.load(field + bottom * width + left), tl.load(field + bottom * width + right), across)
    return _mixed(upper, lower, down)


@triton.jit
def _inside(x, y, width, height):
    """1 in the frame, falling to 0 within one pixel outside (``geometry.inside``)."""
    beyond = tl.maximum(tl.maximum(-x, x - (width - 1)), tl.maximum(-y, y - (height - 1)))
    return 1.0 - tl.minimum(tl.maximum(beyond, 0.0), 1.0)


@triton.jit
def _code(plane, at, mask, WIDE: tl.constexpr):
    code = tl.load(plane + at, mask=mask, other=0).to(tl.int32)
    if WIDE:  # the bits of unsigned 16
        code = code & 0xFFFF
    return code.to(tl.float32)


@triton.jit
def _pulled(plane, x, y, width, height, mask, WIDE: tl.constexpr):
    """Bilinear, border replicated (``geometry.sample``)."""
    x = tl.minimum(tl.maximum(x, 0.0), width - 1.0)
    y = tl.minimum(tl.maximum(y, 0.0), height - 1.0)
    left, top = tl.floor(x).to(tl.int32), tl.floor(y).to(tl.int32)
    right, bottom = tl.minimum(left + 1, width - 1), tl.minimum(top + 1, height - 1)
    across, down = x - left.to(tl.float32), y - top.to(tl.float32)
    upper = _mixed(_code(plane, top * width + left, mask, WIDE), _code(plane, top * width + right, mask, WIDE), across)
    lower = _mixed(
        _code(plane, bottom * width + left, mask, WIDE), _code(plane, bottom * width + right, mask, WIDE), across
    )
    return _mixed(upper, lower, down)


@triton.jit
def _kernel(
    first, last, field, out,
    width, height, luma_width, luma_height, cells_x, cells_y, source_step, share_x, share_y,
    CHANNELS: tl.constexpr, FIELDS: tl.constexpr, SUB_X: tl.constexpr, SUB_Y: tl.constexpr, LOW_X: tl.constexpr,
    LOW_Y: tl.constexpr, TAPS_X: tl.constexpr, TAPS_Y: tl.constexpr, WIDE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    here = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    sample = tl.program_id(1)
    size = width * height
    valid = here < size
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
            ux = _between(field, top, bottom, left, right, down, across, cells_x) * to_luma_x
            uy = _between(field + area, top, bottom, left, right, down, across, cells_x) * to_luma_y
            vx = _between(field + 2 * area, top, bottom, left, right, down, across, cells_x) * to_luma_x
            vy = _between(field + 3 * area, top, bottom, left, right, down, across, cells_x) * to_luma_y
            w = _between(field + 4 * area, top, bottom, left, right, down, across, cells_x)
            p = _inside(luma_x + ux, luma_y + uy, luma_width, luma_height)
            q = _inside(luma_x + vx, luma_y + vy, luma_width, luma_height)
            only_first, only_last = p * (1.0 - q), q * (1.0 - p)
            first_x += part * ux
            first_y += part * uy
            last_x += part * vx
            last_y += part * vy
            plain += part * w
            weight += part * (w + only_first - w * (only_first + only_last))
            if FIELDS > 5:
                sure += part * _between(field + 5 * area, top, bottom, left, right, down, across, cells_x)

    x, y = column * 1.0, row * 1.0
    sample = sample.to(tl.int64)  # a batch of large frames has more samples than 32 bits count
    for channel in tl.static_range(CHANNELS):
        a = first + (sample * source_step + channel) * size
        b = last + (sample * source_step + channel) * size
        from_first = _pulled(a, x + first_x / SUB_X, y + first_y / SUB_Y, width, height, valid, WIDE)
        from_last = _pulled(b, x + last_x / SUB_X, y + last_y / SUB_Y, width, height, valid, WIDE)
        made = _mixed(from_last, from_first, weight)
        if FIELDS > 5:
            made = _mixed(_mixed(_code(b, here, valid, WIDE), _code(a, here, valid, WIDE), plain), made, sure)
        code = (made + 0.5).to(tl.int32)
        if WIDE:
            tl.store(out + (sample * CHANNELS + channel) * size + here, code.to(tl.int16), mask=valid)
        else:
            tl.store(out + (sample * CHANNELS + channel) * size + here, code.to(tl.uint8), mask=valid)


def composed(
    first: Tensor,
    last: Tensor,
    field: Tensor,
    luma: tuple[int, int],
    sub: tuple[int, int],
    offset: tuple[float, float],
    block: int = BLOCK,
) -> Tensor:
    """The planes of one group, rounded.

    Args:
        first, last: (1 or B, C, h, w) code values, uint8, or int16 that holds the bits of the unsigned 16.
        field: (B, 5 or 6, cells_y, cells_x) float32: both displacements in cells, blend weight, confidence.
        luma: (height, width) of the frame.
        sub, offset: (x, y) luma pixels per sample, and where the first sample lies; see ``compose.Group``.
        block: samples that one program makes, a power of 2.

    Returns:
        (B, C, h, w) in the type of ``first``.
    """
    batch, fields, cells_y, cells_x = field.shape
    count, channels, height, width = first.shape
    out = first.new_empty(batch, channels, height, width)
    low = int(offset[0]), int(offset[1])
    share = offset[0] - low[0], offset[1] - low[1]
    _kernel[(triton.cdiv(width * height, block), batch)](
        first, last, field, out,
        width, height, luma[1], luma[0], cells_x, cells_y, channels if count > 1 else 0, share[0], share[1],
        CHANNELS=channels, FIELDS=fields, SUB_X=sub[0], SUB_Y=sub[1], LOW_X=low[0], LOW_Y=low[1],
        TAPS_X=2 if share[0] else 1, TAPS_Y=2 if share[1] else 1, WIDE=first.element_size() > 1, BLOCK=block,
    )  # fmt: skip
    return out


@lru_cache(maxsize=8)
def works_on(device: torch.device) -> bool:
    """Whether the kernel can be compiled and run there, tried once on a tiny frame."""
    plane = torch.zeros(1, 1, 4, 4, dtype=torch.uint8, device=device)
    field = torch.zeros(1, 6, 2, 2, device=device)
    try:
        composed(plane, plane, field, (4, 4), (1, 1), (0.0, 0.0))
        return True
    except Exception:  # a driver or compiler that is not there: whatever it is, the plain expression serves
        return False
