"""Velocity fields that a fit starts from: zero, a learned flow, turns and zooms, points, and random fields."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.animation.objective import oriented_gradients
from vfi_pipeline.animation.protocol import Points
from vfi_pipeline.animation.sizes import guide_image, resize_image
from vfi_pipeline.estimation.window import Window
from vfi_pipeline.geometry import constant, outside, pixel_grid, resize_flow, sample
from vfi_pipeline.models.motion import MotionModel


@dataclass(frozen=True)
class Starts:
    """Numbers of starting fields, beside zero, the learned flow and the points' affine motion.

    More starts take more time and help pictures that differ by a large motion; ``optimiser.QUALITY`` has three choices.

    Attributes:
        similarities: the best turns, zooms and shifts of the whole picture.
        random: smooth random fields.
        random_share: standard deviation of the random fields, as a share of the longer side.
    """

    similarities: int = 3
    random: int = 1
    random_share: float = 0.05


@dataclass(frozen=True)
class SimilaritySearch:
    """The turns, zooms and shifts to compare: those of a hand-held camera between two pictures of one thing.

    Attributes:
        span: longest side of the pictures compared, px.
        angles: degrees.
        zooms: factors.
        longest_shift: as a share of each side; with little overlap the correlation is a matter of chance.
    """

    span: int = 32
    angles: tuple[float, ...] = (0, -15, 15, -30, 30, -45, 45)
    zooms: tuple[float, ...] = (1.0, 0.75, 1.33, 0.55, 1.8)
    longest_shift: float = 1 / 3


def starting_fields(
    first: Tensor, last: Tensor, starts: Starts, learned: Tensor | None = None, points: Points | None = None
) -> list[Tensor]:
    """Velocities (1, 2, h, w) on the grid of the pictures (1, C, h, w); the first one is zero.

    Args:
        learned: velocity (1, 2, h', w') of a motion model, see ``learned_velocity``.
        points: in px of these pictures.
    """
    height, width = first.shape[-2:]
    fields = [torch.zeros(1, 2, height, width, device=first.device)]
    if points is not None:
        fields.append(affine_field(*points, height, width))
    if learned is not None:
        fields.append(resize_flow(learned, height, width))
    fields += similarities(first, last, starts.similarities)
    for _ in range(starts.random):
        coarse = starts.random_share * max(height, width) * torch.randn(1, 2, 3, 3).to(first)
        fields.append(F.interpolate(coarse, (height, width), mode="bicubic", align_corners=True))
    return fields


@torch.no_grad()
def learned_velocity(model: MotionModel, first: Tensor, last: Tensor) -> Tensor:
    """The velocity half-way that a motion model estimates for two pictures (1, C, H, W): (1, 2, h, w), its own grid."""
    guide_first, guide_last = (guide_image(picture, model.guide_span) for picture in (first, last))
    (half,) = model.motion(Window.of(guide_first, guide_last)).at([0.5])
    # Each displacement covers half of the time, that to the first frame against the motion.
    return (half.flow_to_last - half.flow_to_first).to(first)


def similarities(
    first: Tensor, last: Tensor, count: int, search: SimilaritySearch = SimilaritySearch()
) -> list[Tensor]:
    """The ``count`` best turns and zooms about the centre, each with the shift that matches most, as velocities.

    All shifts are compared at once: a correlation of the oriented gradients (Fourier transform).
    """
    if not count:
        return []
    height, width = last.shape[-2:]
    share = search.span / max(height, width)
    small = [resize_image(p, max(4, round(height * share)), max(4, round(width * share))) for p in (first, last)]
    h, w = small[0].shape[-2:]
    grid, centre = pixel_grid(h, w, like=first), constant(((w - 1) / 2, (h - 1) / 2), first)
    target = torch.fft.rfft2(oriented_gradients(small[1]), s=(2 * h, 2 * w))
    rows, columns = (torch.fft.fftfreq(2 * n, device=first.device).abs() * 2 * n for n in (h, w))
    allowed = (rows <= h * search.longest_shift)[:, None] & (columns <= w * search.longest_shift)
    scored = []
    for degrees in search.angles:
        for zoom in search.zooms:
            turn = math.radians(degrees)
            # The exponential of this turns and zooms the content about the centre.
            generator = first.new_tensor([[math.log(zoom), -turn], [turn, math.log(zoom)]])
            source = torch.einsum("ij,bjhw->bihw", torch.matrix_exp(-generator), grid - centre) + centre
            inside = (outside(source - grid).amax(dim=1, keepdim=True) == 0).to(first)
            turned = oriented_gradients(sample(small[0], source)) * inside
            correlation = torch.fft.irfft2((target * torch.fft.rfft2(turned, s=(2 * h, 2 * w)).conj()).sum(dim=1)[0])
            correlation = correlation.masked_fill(~allowed, -math.inf)
            peak = int(correlation.argmax())
            dy, dx = (peak // (2 * w) + h) % (2 * h) - h, (peak % (2 * w) + w) % (2 * w) - w
            score = float(correlation.flatten()[peak]) / float((turned.square().sum() + 1e-6).sqrt())
            scored.append((score, generator, first.new_tensor([dx, dy])))
    scored.sort(key=lambda item: -item[0])
    scale = width / w
    return [
        affine_velocity(torch.matrix_exp(generator), shift * scale, centre * scale, height, width)
        for _, generator, shift in scored[:count]
    ]


def affine_field(source: Tensor, target: Tensor, height: int, width: int) -> Tensor:
    """The velocity (1, 2, height, width) whose flow takes points to points as well as an affine map can.

    Fewer than three points, or points that only a mirrored or flat map could join: their mean shift.

    Args:
        source, target: (N, 2) each, px.
    """
    shift = (target - source).mean(dim=0)
    centre = source.mean(dim=0)
    forward = torch.eye(2).to(source)
    if len(source) >= 3:
        offset, aim = source - centre, target - target.mean(dim=0)
        # One per cent of the identity: points in a line say nothing about the other direction.
        ridge = 1e-2 * offset.square().sum().clamp(min=1e-6) * torch.eye(2).to(source)
        forward = torch.linalg.solve(offset.T @ offset + ridge, offset.T @ aim + ridge).T
        if float(torch.linalg.det(forward)) < 0.05:
            forward = torch.eye(2).to(source)
    return affine_velocity(forward, shift, centre.view(1, 2, 1, 1), height, width)


def affine_velocity(forward: Tensor, shift: Tensor, centre: Tensor, height: int, width: int) -> Tensor:
    """The stationary velocity that takes ``x`` to ``forward (x - centre) + centre + shift`` in unit time.

    The logarithm of the affine matrix: repeated square roots (Denman and Beavers 1976) until it is near the identity,
    then one term of the series.
    """
    root = torch.eye(3, dtype=torch.float64)
    root[:2, :2], root[:2, 2] = forward, shift
    halvings = 12
    for _ in range(halvings):
        y, z = root, torch.eye(3, dtype=torch.float64)
        for _ in range(12):
            y, z = (y + torch.linalg.inv(z)) / 2, (z + torch.linalg.inv(y)) / 2
        root = y
    generator = ((root - torch.eye(3, dtype=torch.float64)) * 2**halvings).to(shift)
    grid = pixel_grid(height, width, like=shift) - centre
    return torch.einsum("ij,bjhw->bihw", generator[:2, :2], grid) + generator[:2, 2].view(1, 2, 1, 1)
