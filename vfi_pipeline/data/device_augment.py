"""``data.augment`` on a batch, wherever its tensors lie: crops by index arithmetic, and the changes of colour.

Random values come from the host (``Augmentation.drawn``): nothing here waits for a device.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.data.augment import Photometry, blurred, ends_at

# Of the JPEG standard (ITU-T T.81, tables K.1 and K.2), for quality 50.
_LUMA = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51,
    87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
_CHROMA = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99,
    99, 99, 99, *[99] * 32,
)  # fmt: skip


def read_crops(
    pixels: Tensor, offsets: Tensor, sizes: Tensor, affines: Tensor, crop: int, row_length: int | None = None
) -> Tensor:
    """Crops of many frames that lie in one flat buffer, read bilinearly; places outside a frame show its border.

    Args:
        pixels: (P, 3) uint8, the frames row by row, one after the other.
        offsets: (B, N) int64, where in ``pixels`` each of the N frames of a motion begins.
        sizes: (B, 2) int64, height and width of these frames.
        affines: (B, 2, 3) float32, from a pixel (x, y, 1) of the crop to a place (x, y) in the frame.
        crop: side of the crops, px.
        row_length: pixels from one row of a frame to the next in ``pixels``; None: the frame's width.

    Returns:
        (B, N, 3, crop, crop) float32 in [0, 1].
    """
    line = torch.arange(crop, device=pixels.device, dtype=torch.float32)
    columns, rows = line.view(1, 1, crop), line.view(1, crop, 1)
    a = affines[:, :, :, None, None]
    height, width = (sizes[:, k].view(-1, 1, 1) for k in (0, 1))
    x = (a[:, 0, 0] * columns + a[:, 0, 1] * rows + a[:, 0, 2]).clamp(min=0).minimum(width - 1.0)
    y = (a[:, 1, 0] * columns + a[:, 1, 1] * rows + a[:, 1, 2]).clamp(min=0).minimum(height - 1.0)
    x0, y0 = x.floor().long(), y.floor().long()
    x1, y1 = (x0 + 1).minimum(width - 1), (y0 + 1).minimum(height - 1)
    across, down = ((p - p0).view(-1, 1, crop, crop, 1) for p, p0 in ((x, x0), (y, y0)))
    begin = offsets.view(*offsets.shape, 1, 1)
    length = width if row_length is None else row_length

    def look(rows: Tensor, columns: Tensor) -> Tensor:
        return pixels[begin + (rows * length + columns)[:, None]].float()

    above = torch.lerp(look(y0, x0), look(y0, x1), across)
    below = torch.lerp(look(y1, x0), look(y1, x1), across)
    return (torch.lerp(above, below, down) / 255).permute(0, 1, 4, 2, 3)


def photometric(pictures: Tensor, times: np.ndarray, changes: Sequence[Photometry]) -> Tensor:
    """``Photometry.applied`` to each motion of a batch.

    The noise has the same law, but other values, on another device; JPEG is ``jpeg``.

    Args:
        pictures: (B, N, 3, H, W) in [0, 1].
        times: (B, N) of the frames, on the host.
        changes: one for each motion.
    """
    device = pictures.device

    def upload(rows: Sequence[Sequence[float]] | Sequence[float], dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.tensor(rows, dtype=dtype).to(device, non_blocking=True)

    coloured = [row for row, change in enumerate(changes) if change.recolours()]
    if coloured:
        rows = upload(coloured, torch.long)
        gamma = upload([changes[row].gamma for row in coloured]).view(-1, 1, 1, 1, 1)
        gain = upload([changes[row].gain for row in coloured]).view(-1, 1, 3, 1, 1)
        order = upload([changes[row].order for row in coloured], torch.long).view(-1, 1, 3, 1, 1)
        some = pictures[rows]
        some = some.gather(2, order.expand_as(some)).clamp(min=1e-4) ** gamma * gain
        pictures = pictures.index_copy(0, rows, some.clamp_(0, 1))
    for row, change in enumerate(changes):
        if change.blur:
            pictures[row] = blurred(pictures[row], change.blur)
    if any(change.drift for change in changes):
        drift = np.array([[change.drift] for change in changes])
        light = upload((1 + drift * (times - 0.5)).tolist())
        pictures = pictures * light.view(*light.shape, 1, 1, 1)
    frames = pictures.flatten(0, 1).contiguous()
    ends = [
        (row * pictures.shape[1] + place, end)
        for row, change in enumerate(changes)
        for place, end in zip(ends_at(times[row]), change.ends)
    ]
    generator = torch.Generator(device)
    for row, end in ends:
        if end.noise:
            generator.manual_seed(end.seed)
            draws = torch.randn(frames.shape[1:], generator=generator, device=device)
            frames[row] += end.noise * draws
    compressed = [(row, end.quality) for row, end in ends if end.quality is not None]
    if compressed:
        rows = upload([row for row, _ in compressed], torch.long)
        qualities = upload([float(quality) for _, quality in compressed])
        frames = frames.index_copy(0, rows, jpeg(frames[rows].clamp(0, 1), qualities))
    return frames.clamp_(0, 1).view_as(pictures)


def jpeg(pictures: Tensor, quality: Tensor) -> Tensor:
    """What JPEG leaves of pictures: 8 x 8 cosine transforms quantised by the standard's tables, chroma at half size.

    Args:
        pictures: (B, 3, H, W) in [0, 1].
        quality: (B,) 1 to 100, as libjpeg scales its tables.

    Returns:
        (B, 3, H, W) in [0, 1], multiples of 1/255.
    """
    height, width = pictures.shape[-2:]
    codes = F.pad(pictures * 255, (0, -width % 16, 0, -height % 16), mode="replicate").round()
    r, g, b = codes.unbind(1)
    luma = 0.299 * r + 0.587 * g + 0.114 * b
    blue, red = 0.564334 * (b - luma), 0.713267 * (r - luma)
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality).view(-1, 1, 1, 1, 1)
    luma = _quantised(luma - 128, _LUMA, scale) + 128
    chroma = torch.stack((blue, red), dim=1)
    half = F.avg_pool2d(chroma, 2)
    half = torch.stack([_quantised(plane, _CHROMA, scale) for plane in half.unbind(1)], dim=1)
    blue, red = F.interpolate(half, scale_factor=2, mode="bilinear", align_corners=False).unbind(1)
    colours = (luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue)
    return torch.stack(colours, dim=1)[..., :height, :width].round().clamp(0, 255) / 255


def _quantised(plane: Tensor, table: Sequence[int], scale: Tensor) -> Tensor:
    """(B, H, W), H and W multiples of 8, after the quantisation of its blocks by ``table`` at ``scale`` per cent."""
    batch, height, width = plane.shape
    k = torch.arange(8, device=plane.device, dtype=plane.dtype)
    basis = torch.cos((2 * k + 1) * k.view(-1, 1) * (torch.pi / 16)) / 2
    basis = torch.cat((basis[:1] * 0.5**0.5, basis[1:]))
    steps = torch.tensor(table, dtype=plane.dtype, device=plane.device).view(1, 1, 1, 8, 8)
    steps = ((steps * scale + 50) / 100).floor().clamp(1, 255)
    blocks = plane.view(batch, height // 8, 8, width // 8, 8).transpose(2, 3)
    kept = (basis @ blocks @ basis.T / steps).round() * steps
    return (basis.T @ kept @ basis).transpose(2, 3).reshape(batch, height, width)
