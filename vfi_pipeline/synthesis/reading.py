"""The motion field and the sources read where samples lie: what ``synthesis.compose`` is put together from."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.geometry import constant, pixel_grid, sample
from vfi_pipeline.media.scaling import Scaling
from vfi_pipeline.synthesis.planes import Group, Layout
from vfi_pipeline.synthesis.resize import pulled

WEIGHT = 4
"""Channel of the moved frames' blend weight in the motion field: behind two displacements in luma pixels. Where there
is a confidence, it follows."""


@dataclass(frozen=True)
class Shortcuts:
    """What a CPU leaves out or does another way; the planes are the same to float rounding.

    Attributes:
        band_px: luma pixels worked on at a time by each thread: about 20 floats for each are held. Smaller bands are
            no faster in a thread of one core.
        regions: correct borders and what lies beside overlays only where the motion reaches them.
        opencv: read sources by ``cv2.remap``, where it is exact.
        remap_side_px: sides of pictures that it takes: OpenCV counts their pixels in 16 bits.
        cover_cell_px: cells in which it is noted what lies near an overlay.
    """

    band_px: int = 240 * 1280
    regions: bool = True
    opencv: bool = True
    remap_side_px: int = 32767
    cover_cell_px: int = 16


SHORTCUTS = Shortcuts()


def upsample(field: Tensor, rows: slice, layout: Layout) -> Tensor:
    """``field`` on the luma pixels of ``rows``, to be written to. Its grid and the frame cover the same area.

    Moves are from the band's own pixels: the y parts (channels 1 and 3) have ``rows.start`` added to them. Bilinear
    with half-pixel centres, first down the columns, while the rows are still short, then along the rows.
    """
    batch, channels, h, w = field.shape
    if h != layout.height:
        low, high, share = _row_weights(h, layout.height, field.device)
        field = torch.lerp(field.index_select(2, low[rows]), field.index_select(2, high[rows]), share[rows])
    else:
        field = field[:, :, rows].clone()
    if rows.start and channels >= WEIGHT:
        field[:, 1:4:2] += rows.start
    if w == layout.width:
        return field
    count = rows.stop - rows.start
    if w == 1:
        return field.repeat(1, 1, 1, layout.width)
    if field.device.type == "cpu":
        wide = scratch("field", (batch, channels, count, layout.width))
        short, size = field.reshape(-1, w).numpy(), (layout.width, batch * channels * count)
        cv2.resize(short, size, dst=wide.view(size[::-1]).numpy(), interpolation=cv2.INTER_LINEAR)  # half-pixel centres
        return wide
    lines = field.reshape(1, -1, w)
    return F.interpolate(lines, layout.width, mode="linear", align_corners=False).view(batch, channels, count, -1)


@lru_cache(maxsize=8)
def _row_weights(cells: int, pixels: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """For every pixel row: the cell row above its centre, the one below, and the share of the latter."""
    with torch.inference_mode(False):
        # On the host: Apple's devices have no float64.
        centres = torch.arange(pixels, dtype=torch.float64) + 0.5
        at = (centres * (cells / pixels) - 0.5).clamp(0, cells - 1)
        low = at.floor().long()
        weights = low, (low + 1).clamp(max=cells - 1), (at - low).float()[:, None]
        above, below, share = (each.to(device) for each in weights)
        return above, below, share


def at_samples(field: Tensor, group: Group) -> Tensor:
    """The luma field at the group's samples: between two luma pixels, their mean; beyond the last, the last."""
    for dim, sub, offset in ((2, group.sub[1], group.offset[1]), (3, group.sub[0], group.offset[0])):
        if sub == 1:
            continue
        count, size = -(-field.shape[dim] // sub), field.shape[dim]
        low, share = int(offset), offset - int(offset)
        missing = count * sub - size
        if missing:
            field = torch.cat((field, *[field.narrow(dim, size - 1, 1)] * missing), dim)
        every = [slice(None)] * 4
        every[dim] = slice(low, None, sub)
        at = field[tuple(every)]
        if share:
            every[dim] = slice(low + 1, None, sub)
            at = torch.lerp(at, field[tuple(every)], share)
        field = at
    return field


def pull(
    first: Tensor, last: Tensor, field: Tensor, group: Group, scaling: Scaling | None, shortcuts: Shortcuts = SHORTCUTS
) -> tuple[Tensor, Tensor]:
    """Both sources where the field's channels 0, 1 and 2, 3 say: luma pixels, from the sample at the same place in the
    field. The field may have fewer rows than the sources, see ``upsample``."""
    if scaling is not None:
        from_first, from_last = (pulled(source, field[:, k : k + 2], group.sub, group.offset, scaling)
                      for source, k in ((first, 0), (last, 2)))  # fmt: skip
        return from_first, from_last
    moves = field[:, :4].unflatten(1, (2, 2))
    if group.sub != (1, 1):
        moves = moves * constant((1 / group.sub[0], 1 / group.sub[1]), moves).view(1, 1, 2, 1, 1)
    if field.device.type == "cpu" and _remap_fits(first.shape[-2], first.shape[-1], shortcuts):
        return _remapped(first, moves[:, 0], 0), _remapped(last, moves[:, 1], 1)
    position = pixels(*field.shape[-2:], field.device)[:, None] + moves
    return sample(first, position[:, 0]), sample(last, position[:, 1])


def _remapped(source: Tensor, move: Tensor, place: int) -> Tensor:
    """``geometry.sample`` at a move from each pixel, on a CPU, by OpenCV, without a pass to add up positions.

    The result lives in the scratch memory of that ``place``.
    """
    batch, channels = len(move), source.shape[1]
    out = scratch(f"pulled {place}", (batch, channels, *move.shape[-2:]))
    for k in range(batch):
        x, y = move[k].numpy()
        for plane, made in zip(source[k if len(source) > 1 else 0].numpy(), out[k].numpy()):
            cv2.remap(plane, x, y, cv2.INTER_LINEAR | cv2.WARP_RELATIVE_MAP, dst=made, borderMode=cv2.BORDER_REPLICATE)
    return out


_kept = threading.local()


def scratch(what: str, shape: tuple[int, ...]) -> Tensor:
    """Memory for one band, kept from call to call in each thread: what is freed goes back to the system, and to get it
    again page by page took longer than the work. Its content is whatever it was."""
    kept: dict[str, Tensor] = _kept.__dict__
    size = math.prod(shape)
    if what not in kept or len(kept[what]) < size:
        with torch.inference_mode(False):
            kept[what] = torch.empty(size)
    return kept[what][:size].view(shape)


def _remap_fits(height: int, width: int, shortcuts: Shortcuts) -> bool:
    return shortcuts.opencv and max(height, width) <= shortcuts.remap_side_px and remap_is_exact()


@lru_cache(maxsize=1)
def remap_is_exact() -> bool:
    """Whether this OpenCV interpolates where it is told: before 5.0, positions were rounded to 1/32 px."""
    ramp = np.tile(np.arange(64, dtype=np.float32), (64, 1))
    x = ramp[:, :32] + np.float32(0.51)
    made = cv2.remap(ramp, x, np.ascontiguousarray(ramp.T[:, :32]), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return bool(np.abs(made - x).max() < 1e-4)


@lru_cache(maxsize=8)
def pixels(height: int, width: int, device: torch.device) -> Tensor:
    """``geometry.pixel_grid``, of any size made once."""
    with torch.inference_mode(False):
        return pixel_grid(height, width, like=torch.empty(0, device=device))
