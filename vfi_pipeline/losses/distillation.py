"""Learning displacements from a teacher that sees the true frame (privileged distillation; Huang et al. 2022, RIFE)."""

from __future__ import annotations

import torch
from torch import Tensor


def distillation(
    student: Tensor, teacher: Tensor, student_error: Tensor, teacher_error: Tensor, margin: float = 0.01
) -> Tensor:
    """Mean over all pixels of the distance between both displacements, 0 where the teacher's frame is no better.

    A teacher is followed where ``student_error > teacher_error + margin`` (the mask of RIFE's released code): it is not
    asked where it is wrong itself. No gradient reaches the teacher or the errors.

    Args:
        student, teacher: (..., 2, h, w) displacements, px.
        student_error, teacher_error: (..., 1, h, w) of the frames that both make, in [0, 1].

    Returns:
        A scalar, px. Exactly 0 for equal displacements.
    """
    followed = student_error.detach() > teacher_error.detach() + margin
    smooth = 1e-3  # px, of the distance's foot, as in ``photometric.charbonnier``
    distance = ((student - teacher.detach()).square().sum(dim=-3, keepdim=True) + smooth**2).sqrt() - smooth
    return torch.where(followed, distance, 0.0).mean()
