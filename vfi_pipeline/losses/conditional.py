"""What a conditional GAN of pictures minimises (Wang et al. 2018; Lim and Ye 2017): hinge losses, feature matching."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.losses.perceptual import FeatureNetwork, content_distance, upto

Outputs = Sequence[Sequence[Tensor]]
"""Of each discriminator its layers' outputs, the scores last."""


def discriminator_hinge(real: Outputs, fake: Outputs) -> Tensor:
    """``mean max(0, 1 - D(real)) + mean max(0, 1 + D(fake))``, a mean over the discriminators. A scalar; 0 where real
    pictures score at least 1 and generated ones at most -1."""
    terms = [F.relu(1 - r[-1]).mean() + F.relu(1 + m[-1]).mean() for r, m in zip(real, fake)]
    return torch.stack(terms).mean()


def generator_hinge(fake: Outputs) -> Tensor:
    """``-mean D(fake)``, a mean over the discriminators."""
    return torch.stack([-each[-1].mean() for each in fake]).mean()


def feature_matching(real: Outputs, fake: Outputs) -> Tensor:
    """Mean absolute difference of the discriminators' layers but the scores, a mean over layers. A scalar; 0 for equal
    pictures. ``real`` is a target: no gradient flows into it."""
    terms = [
        (r.detach() - m).abs().mean()
        for real_layers, fake_layers in zip(real, fake)
        for r, m in zip(real_layers[:-1], fake_layers[:-1])
    ]
    return torch.stack(terms).mean()


@dataclass(frozen=True)
class ConditionalObjective:
    """What a generator of one picture minimises, as means.

    Attributes:
        reconstruction: weight of the mean absolute difference.
        perceptual: of the relative distance in a feature network's ``layers``.
        matching, adversarial: of feature matching and the hinge loss.
    """

    reconstruction: float = 10.0
    perceptual: float = 2.0
    matching: float = 5.0
    adversarial: float = 0.5
    layers: tuple[str, ...] = ("conv1_2", "conv2_2", "conv3_1")

    def __call__(
        self,
        prediction: Tensor,
        picture: Tensor,
        discriminate: Callable[[Tensor], Outputs],
        network: FeatureNetwork | None = None,
    ) -> dict[str, Tensor]:
        """The unweighted terms by name, and ``total``.

        Args:
            prediction, picture: (B, 3, H, W).
            discriminate: picture -> the discriminators' layers for it, beside the primitive.
            network: see ``nets.features``; None leaves the perceptual term out.
        """
        with torch.no_grad():
            real = discriminate(picture)
        fake = discriminate(prediction)
        terms = {
            "reconstruction": (prediction - picture).abs().mean(),
            "matching": feature_matching(real, fake),
            "adversarial": generator_hinge(fake),
        }
        if network is not None and self.perceptual:
            last = upto(network, self.layers)
            with torch.no_grad():
                target_features = network(picture, upto=last)
            terms["perceptual"] = content_distance(network(prediction, upto=last), target_features, self.layers)
        total = torch.stack([getattr(self, name) * value for name, value in terms.items()]).sum()
        return {**terms, "total": total}
