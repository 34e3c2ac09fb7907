"""A teacher that sees the true frame between a pair: beside the model in training, and no part of what is exported."""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfi_pipeline.errors import UserError
from vfi_pipeline.estimation.lucas_kanade import LucasKanade, align
from vfi_pipeline.geometry import constant, synthesise
from vfi_pipeline.losses import charbonnier, distillation, laplacian_pyramid, weighted
from vfi_pipeline.models.prediction import Motion


class Teacher(Protocol):
    """Corrects a model's maps by the true frame; see ``nets.teacher.PrivilegedTeacher`` for arguments and result."""

    def __call__(
        self, first: Tensor, last: Tensor, target: Tensor, flow_to_first: Tensor, flow_to_last: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]: ...


class LucasKanadeTeacher(nn.Module):
    """The model's own displacements after Lucas-Kanade steps from each frame to the true one. It has no weights."""

    def __init__(self, settings: LucasKanade = LucasKanade(steps=((2, 2), (1, 2)))) -> None:
        super().__init__()
        self.settings = settings

    def forward(
        self, first: Tensor, last: Tensor, target: Tensor, flow_to_first: Tensor, flow_to_last: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        sources, flows = torch.cat((first, last)), torch.cat((flow_to_first, flow_to_last))
        aligned = align(flows, sources, torch.cat((target, target)), self.settings)
        to_first, to_last = aligned.chunk(2)
        return to_first, to_last, weight


class Distillation(nn.Module):
    """The terms by which a teacher learns, and by which the model learns from it.

    Args:
        teacher: see ``Teacher``; gets the model's maps without their gradients.
        weight: of ``losses.distillation`` in the sum.
        margin: see there.
        reconstruction: weight of the teacher's own loss (Charbonnier and Laplacian pyramid of its frame); a teacher
            without weights has none.
    """

    def __init__(
        self, teacher: nn.Module, weight: float = 0.05, margin: float = 0.01, reconstruction: float = 1.0
    ) -> None:
        super().__init__()
        self.teacher = teacher
        self.weight, self.margin, self.reconstruction = weight, margin, reconstruction
        self._learns = any(True for _ in teacher.parameters())

    def forward(self, motion: Motion, first: Tensor, last: Tensor, target: Tensor) -> dict[str, Tensor]:
        """The unweighted terms ``distillation`` (px) and, of a teacher that learns, ``teacher``; ``total``.

        Args:
            motion: of the model, at the times of ``target``.
            first, last: (B, 3, H, W).
            target: (B, T, 3, H, W).

        Raises:
            UserError: if there is no frame to see, or the model makes its frames from one side.
        """
        if motion.flow_to_last is None or motion.blend_weight is None:
            raise UserError("training.teacher needs a model that blends both frames by maps.", "net=flow.")
        if not target.shape[1]:
            raise UserError(
                "training.teacher sees the true frame between, and the data hold none.",
                "training.teacher=null, or data with frames between.",
            )
        count, size = target.shape[1], motion.flow.shape[-2:]
        student = motion.flow.flatten(0, 1).float(), motion.flow_to_last.flatten(0, 1).float()
        true = target.flatten(0, 1)
        firsts, lasts = first.repeat_interleave(count, 0), last.repeat_interleave(count, 0)
        weight = motion.blend_weight.flatten(0, 1).detach().float()
        with torch.set_grad_enabled(self._learns and torch.is_grad_enabled()):
            *flows, weight = self.teacher(firsts, lasts, true, student[0].detach(), student[1].detach(), weight)
            frame = synthesise(firsts, lasts, flows[0], flows[1], weight).frame
        own_error, error = (
            F.interpolate((made.detach() - true).abs().mean(dim=1, keepdim=True), size, mode="area")
            for made in (motion.frame.flatten(0, 1), frame)
        )
        px = constant((first.shape[-1] / size[1], first.shape[-2] / size[0]), student[0])
        known, better = torch.stack(student) * px, torch.stack(flows) * px
        terms = {"distillation": distillation(known, better, own_error, error, self.margin)}
        if self._learns:
            terms["teacher"] = charbonnier(frame, true) + laplacian_pyramid(frame, true)
        return weighted(terms, {"distillation": self.weight, "teacher": self.reconstruction})
