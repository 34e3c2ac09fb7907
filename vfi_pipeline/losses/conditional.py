"""What a conditional GAN of pictures minimises (Wang et al. 2018; Lim and Ye 2017): hinge losses, feature matching."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Judged = Sequence[Sequence[Tensor]]
"""Of each discriminator its layers' outputs, the scores last."""


def discriminator_hinge(real: Judged, made: Judged) -> Tensor:
    """``mean max(0, 1 - D(real)) + mean max(0, 1 + D(made))``, a mean over the discriminators. A scalar; 0 where real
    pictures score at least 1 and made ones at most -1."""
    terms = [F.relu(1 - r[-1]).mean() + F.relu(1 + m[-1]).mean() for r, m in zip(real, made)]
    return torch.stack(terms).mean()


def generator_hinge(made: Judged) -> Tensor:
    """``-mean D(made)``, a mean over the discriminators."""
    return torch.stack([-each[-1].mean() for each in made]).mean()


def feature_matching(real: Judged, made: Judged) -> Tensor:
    """Mean absolute difference of the discriminators' layers but the scores, a mean over layers. A scalar; 0 for equal
    pictures. ``real`` is a target: no gradient flows into it."""
    terms = [(r.detach() - m).abs().mean() for one, other in zip(real, made) for r, m in zip(one[:-1], other[:-1])]
    return torch.stack(terms).mean()
