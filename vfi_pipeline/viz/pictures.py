"""Fields as colours (velocity as a colour wheel, Jacobian determinant as a map), and frames as files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.geometry import jacobian_determinant

if TYPE_CHECKING:
    from PIL import Image


def colour_wheel(flow: Tensor, full: float | None = None) -> Tensor:
    """A flow as colours: direction is hue (right red, down green-yellow side, left cyan), length is saturation.

    Args:
        flow: (B, 2, H, W), pixels.
        full: length of full saturation, px; None: each picture's longest.

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
    as_image(picture).save(path)
    return path


def save_animation(path: Path, frames: Tensor, fps: float = 12.0, min_side: int = 96) -> Path:
    """(T, C, H, W) in [0, 1] as a GIF that plays forward and backward, its sides at least ``min_side`` px."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scale = max(1, math.ceil(min_side / min(frames.shape[-2:])))
    frames = F.interpolate(rgb(frames).float(), scale_factor=scale, mode="nearest")
    pictures = [as_image(frame) for frame in frames]
    loop = [*pictures, *pictures[-2:0:-1]]
    loop[0].save(path, save_all=True, append_images=loop[1:], duration=round(1000 / fps), loop=0)
    return path


def as_image(picture: Tensor) -> Image.Image:
    """(3, H, W) in [0, 1] as a picture, rounded."""
    from PIL import Image

    values = (picture.detach().float().clamp(0, 1) * 255).round().to("cpu", torch.uint8)
    return Image.fromarray(values.permute(1, 2, 0).contiguous().numpy())
