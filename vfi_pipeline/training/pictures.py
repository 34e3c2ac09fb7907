"""Panels for the log: frames side by side, velocity as a colour wheel, Jacobian determinant as a map, animations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from vfi_pipeline.geometry import jacobian_determinant
from vfi_pipeline.training.look import Look

HEADINGS = ("first", "made", "true", "last", "velocity", "jacobian")


def colour_wheel(flow: Tensor, full: float | None = None) -> Tensor:
    """A flow as colours: direction is hue (right red, down green-yellow side, left cyan), length is saturation.

    Args:
        flow: (B, 2, H, W), pixels.
        full: length of full saturation, px; None takes each picture's longest.

    Returns:
        (B, 3, H, W) in [0, 1]; white where nothing moves.
    """
    length = flow.norm(dim=1)
    longest = length.flatten(1).amax(dim=1).view(-1, 1, 1) if full is None else torch.full_like(length[:, :1, :1], full)
    saturation = (length / longest.clamp(min=1e-6)).clamp(max=1)
    hue = torch.atan2(flow[:, 1], flow[:, 0]) / (2 * math.pi) % 1
    # HSV to RGB at value 1: each channel falls by the saturation times its distance on the hue circle.
    channels = [(1 - saturation * _dip(hue, shift)) for shift in (0.0, 1 / 3, 2 / 3)]
    return torch.stack(channels, dim=1)


def _dip(hue: Tensor, shift: float) -> Tensor:
    distance = (hue - shift).abs()
    distance = torch.minimum(distance, 1 - distance) * 6
    return (distance - 1).clamp(0, 1)


def jacobian_map(flow: Tensor) -> Tensor:
    """det of x -> x + u(x) as colours: blue shrinks (det < 1), white keeps, orange stretches (det > 1), black folds.

    (B, 2, H, W) -> (B, 3, H, W) in [0, 1]; one octave of area is full colour.
    """
    det = jacobian_determinant(flow)
    octave = torch.log2(det.clamp(min=1e-3)).clamp(-1, 1)
    stretch, shrink = octave.clamp(min=0), (-octave).clamp(min=0)
    colours = torch.cat((1 - shrink, 1 - 0.5 * stretch - 0.5 * shrink, 1 - stretch), dim=1)
    colours = torch.where(det <= 0, torch.zeros_like(colours), colours)
    return F.pad(colours, (0, 1, 0, 1), mode="replicate")


def panel(look: Look, rows: int = 4, height: int = 64) -> Tensor:
    """One picture (3, H', W'): a row for each sample with ``HEADINGS``; a black tile where no truth is known."""
    count = min(rows, look.first.shape[0])
    flow = look.motion.flow[:count, 0]
    # What moves is shown, not what is pulled: content moves by minus the displacement.
    tiles = [look.first, look.made, look.true, look.last]
    shown = [rgb(tile[:count]) if tile is not None else torch.zeros_like(rgb(look.first[:count])) for tile in tiles]
    shown += [colour_wheel(-flow), jacobian_map(flow)]
    size = look.first.shape[-2:]
    scale = max(1, round(height / size[0])) if size[0] < height else 1
    enlarged = [F.interpolate(_fit(tile, size), scale_factor=scale, mode="nearest") for tile in shown]
    framed = [F.pad(tile, (1, 1, 1, 1), value=0.5) for tile in enlarged]
    return torch.cat([torch.cat(list(row), dim=2) for row in zip(*framed)], dim=1).clamp(0, 1)


def rgb(image: Tensor) -> Tensor:
    """(B, C, H, W) of 1, 3 or 4 channels as 3: grey repeated, alpha over white."""
    if image.shape[1] == 1:
        return image.expand(-1, 3, -1, -1)
    if image.shape[1] == 4:
        return image[:, :3] * image[:, 3:] + (1 - image[:, 3:])
    return image


def save_picture(path: Path, picture: Tensor) -> Path:
    """(3, H, W) in [0, 1] as PNG, rounded."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _image(picture).save(path)
    return path


def save_animation(path: Path, frames: Tensor, fps: float = 12.0, least: int = 96) -> Path:
    """(T, C, H, W) in [0, 1] as a GIF that runs forth and back, enlarged to at least ``least`` px."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scale = max(1, math.ceil(least / min(frames.shape[-2:])))
    frames = F.interpolate(rgb(frames).float(), scale_factor=scale, mode="nearest")
    pictures: Sequence[Image.Image] = [_image(frame) for frame in frames]
    loop = [*pictures, *pictures[-2:0:-1]]
    loop[0].save(path, save_all=True, append_images=loop[1:], duration=round(1000 / fps), loop=0)
    return path


def _image(picture: Tensor) -> Image.Image:
    values = (picture.detach().float().clamp(0, 1) * 255).round().to("cpu", torch.uint8)
    return Image.fromarray(values.permute(1, 2, 0).contiguous().numpy())


def _fit(tile: Tensor, size: Sequence[int]) -> Tensor:
    tile = tile.detach().float()
    return tile if tuple(tile.shape[-2:]) == tuple(size) else F.interpolate(tile, tuple(size), mode="nearest")
