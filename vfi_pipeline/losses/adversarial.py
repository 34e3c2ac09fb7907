"""WGAN-GP (Gulrajani et al. 2017): what critic and generator minimise, and the gradient penalty."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Critic = Callable[[Tensor], Tensor]
"""Images (B, C, H, W) to scores, the first axis B; further axes (a patch map) are averaged."""


def generator_loss(critic: Critic, fake: Tensor) -> Tensor:
    """``-mean D(fake)``."""
    return -critic(fake).mean()


def critic_loss(
    critic: Critic, real: Tensor, fake: Tensor, mix: Tensor | None = None, penalty: float = 10.0
) -> dict[str, Tensor]:
    """``mean D(fake) - mean D(real) + penalty * E[(|grad D(u)| - 1)^2]``, ``u = mix * real + (1 - mix) * fake``.

    Args:
        real, fake: (B, C, H, W), the same size; ``fake`` is detached here.
        mix: (B,) in [0, 1]; None draws it uniformly.
        penalty: the weight lambda of the gradient penalty.

    Returns:
        ``wasserstein`` (the critic's estimate of the distance, ``mean D(real) - mean D(fake)``), ``gradient_penalty``,
        ``gradient_norm`` (mean over the batch, near 1 when the critic is about 1-Lipschitz), ``total`` to minimise.
    """
    fake = fake.detach()
    distance = critic(real).mean() - critic(fake).mean()
    norm = gradient_norm(critic, real, fake, mix)
    excess = ((norm - 1) ** 2).mean()
    return {
        "wasserstein": distance,
        "gradient_penalty": excess,
        "gradient_norm": norm.mean(),
        "total": penalty * excess - distance,
    }


def gradient_penalty(critic: Critic, real: Tensor, fake: Tensor, mix: Tensor | None = None) -> Tensor:
    """``E[(|grad D(u)|_2 - 1)^2]`` at random points between real and made samples: a scalar, in the graph."""
    return ((gradient_norm(critic, real, fake, mix) - 1) ** 2).mean()


def gradient_norm(critic: Critic, real: Tensor, fake: Tensor, mix: Tensor | None = None) -> Tensor:
    """(B,) Euclidean norm over all pixels and channels of the critic's gradient, kept in the graph.

    Raises:
        ValueError: if the two batches differ in shape: the points between them would not exist.
    """
    if real.shape != fake.shape:
        raise ValueError(
            f"The gradient penalty mixes real and made samples one by one, got {tuple(real.shape)} "
            f"and {tuple(fake.shape)}."
        )
    if mix is None:
        mix = torch.rand(real.shape[0], device=real.device, dtype=real.dtype)
    mix = mix.to(real).view(-1, *[1] * (real.dim() - 1))
    point = (mix * real + (1 - mix) * fake).detach().requires_grad_(True)
    with torch.enable_grad():
        # The mean over a sample's own score map first, so that each sample's gradient is that of its own score.
        score = critic(point).reshape(point.shape[0], -1).mean(dim=1).sum()
        (slope,) = torch.autograd.grad(score, point, create_graph=True)
    # 1e-12 under the root: its derivative at an exactly flat critic would be infinite.
    return (slope.flatten(1).square().sum(dim=1) + 1e-12).sqrt()
