"""Samples of all data sets: triplets of one motion, or unrelated pairs, in ``geometry``'s conventions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vfi_pipeline.errors import BAD_INPUT, UserError


class Triplet(NamedTuple):
    """Two frames of one motion, and the true frames between them. A batch and, without the B, one sample.

    Attributes:
        first: (B, 3, H, W) the frame at t = 0.
        targets: (B, T, 3, H, W) the true frames at ``t``; T may be 0.
        last: (B, 3, H, W) the frame at t = 1.
        t: (B, T) times of ``targets``, each in [0, 1].
        velocity: (B, 2, H, W) of the content, pixels per unit t, (dx, dy): a point at x at t = 0.5 moves to
            x + velocity dt. That is *minus* the velocity that a pull-back displacement follows (``geometry``:
            content moves by minus the displacement). NaN where it is unknown; None if it is unknown in all samples.
        around: (B, 2, 3, H, W) the frame before ``first`` and the frame after ``last``; None where the data give none.
        spans: (B, 2) durations from the frame before to ``first`` and from ``last`` to the frame after, in units of the
            pair's own.
    """

    first: Tensor
    targets: Tensor
    last: Tensor
    t: Tensor
    velocity: Tensor | None = None
    around: Tensor | None = None
    spans: Tensor | None = None

    @classmethod
    def of(cls, frames: Tensor, times: Tensor, velocity: Tensor | None = None, around: bool = False) -> Triplet:
        """From frames (..., N, 3, H, W) in order of time and their times (..., N): 0 of the first frame, 1 of the last.

        Args:
            around: whether the outermost frames lie before the first and after the last.
        """
        begin, end = (1, -2) if around else (0, -1)
        parts = [frames[..., begin, :, :, :], frames[..., begin + 1 : end, :, :, :], frames[..., end, :, :, :]]
        first, targets, last = (part.contiguous() for part in parts)
        inner = times[..., begin + 1 : end].contiguous()
        if not around:
            return cls(first, targets, last, inner, velocity)
        spans = torch.stack((-times[..., 0], times[..., -1] - 1), dim=-1)
        outer = torch.stack((frames[..., 0, :, :, :], frames[..., -1, :, :, :]), dim=-4)
        return cls(first, targets, last, inner, velocity, outer, spans)

    def in_order(self) -> tuple[Tensor, Tensor]:
        """One sample's frames (N, 3, H, W), those around it included, and their times (N,): what ``of`` takes."""
        ends = self.t.new_tensor([0.0]), self.t.new_tensor([1.0])
        frames, times = [self.first[None], self.targets, self.last[None]], [ends[0], self.t, ends[1]]
        if self.around is not None and self.spans is not None:
            frames = [self.around[:1], *frames, self.around[1:]]
            times = [-self.spans[:1], *times, 1 + self.spans[1:]]
        return torch.cat(frames), torch.cat(times)

    def masked_velocity(self) -> tuple[Tensor, Tensor]:
        """Velocity, 0 where it is unknown, and a mask (B, 1, H, W), 0 there and 1 elsewhere. Neither holds a NaN."""
        if self.velocity is None:
            mask = self.first.new_zeros((*self.first.shape[:-3], 1, *self.first.shape[-2:]))
            return mask.repeat_interleave(2, dim=-3), mask
        finite = torch.isfinite(self.velocity).all(dim=-3, keepdim=True)
        return torch.where(finite, self.velocity, 0.0), finite.to(self.velocity.dtype)


class Unpaired(NamedTuple):
    """Independent draws from two sets: (B, C, H, W) each; ``source[i]`` and ``target[i]`` are not related."""

    source: Tensor
    target: Tensor


def collate(samples: Sequence[Triplet] | Sequence[Unpaired]) -> Triplet | Unpaired:
    """Stacks samples into a batch. Works as a DataLoader's ``collate_fn``.

    Samples with and without a velocity mix: the missing ones become NaN.

    Raises:
        UserError: if the pictures differ in size.
        ValueError: if the samples differ in shape otherwise, say because one holds more target frames.
    """
    kinds = {type(sample) for sample in samples}
    if len(kinds) != 1:
        raise ValueError(f"A batch needs samples of one kind, got {sorted(kind.__name__ for kind in kinds)}.")
    shapes = {tuple(tuple(part.shape) for part in sample[:4]) for sample in samples}
    if len(shapes) != 1:
        sizes = sorted({f"{sample[0].shape[-1]}x{sample[0].shape[-2]}" for sample in samples})
        if len(sizes) > 1:
            raise UserError(
                f"The pictures of one batch differ in size: {', '.join(sizes[:4])}.",
                "data.size=64, to which all are cut and resized (data.crop= for films), or data.batch_size=1.",
                BAD_INPUT,
            )
        raise ValueError(f"A batch needs samples of one shape, got {sorted(shapes)}.")
    triplets = [sample for sample in samples if isinstance(sample, Triplet)]
    if not triplets:
        source, target = (torch.stack(parts) for parts in zip(*samples))
        return Unpaired(source, target)
    first, targets, last, t = (torch.stack(parts) for parts in list(zip(*triplets))[:4])
    velocity = _stacked([triplet.velocity for triplet in triplets])
    around = [(triplet.around, triplet.spans) for triplet in triplets if triplet.around is not None]
    if not around:
        return Triplet(first, targets, last, t, velocity)
    if len(around) < len(triplets):
        raise ValueError("A batch needs the frames around all of its samples, or around none.")
    outer, spans = (torch.stack(parts) for parts in zip(*around))
    return Triplet(first, targets, last, t, velocity, outer, spans)


def _stacked(parts: Sequence[Tensor | None]) -> Tensor | None:
    """NaN for the missing ones; None if all are missing."""
    like = next((part for part in parts if part is not None), None)
    if like is None:
        return None
    missing = torch.full_like(like, float("nan"))
    return torch.stack([missing if part is None else part for part in parts])
