"""An attribute as a direction in feature space: the difference of two sets' means (Upchurch et al. 2017, eq. 1 to 3).

w = mean over the K targets nearest to x of phi  -  mean over the K sources nearest to x of phi
z = phi(x) + strength w |phi(x)| / |w|
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from vfi_pipeline.editing.inversion import features_of
from vfi_pipeline.losses.perceptual import FeatureNetwork

BATCH = 16
"""Pictures whose features are computed together."""


def nearest(query: Tensor, bank: Tensor, count: int) -> Tensor:
    """Indices (min(count, N),) of the rows of ``bank`` (N, F) nearest to ``query`` (F,) by Euclidean distance, nearest
    first; of equal ones the earlier."""
    distances = (bank.float() - query.float()).square().sum(dim=1)
    return torch.sort(distances, stable=True).indices[:count]


def difference(targets: Mapping[str, Tensor], sources: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``targets - sources``, layer by layer: zero where both sets are equal."""
    return {layer: targets[layer] - sources[layer] for layer in targets}


def relative(attribute: Mapping[str, Tensor], features: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The attribute scaled to the length of the picture's features, ``w |phi(x)| / |w|``, layer by layer; zero stays
    zero.

    A strength then means the same for any sets and layers: 0.4 moves the features by 0.4 of their own length. The mean
    difference of two sets of faces is about a fifth of that length.
    """
    scaled = {}
    for layer, direction in attribute.items():
        length = direction.norm()
        # The difference of equal sets is rounding, which must not be scaled up.
        floor = 1e-5 * features[layer].norm()
        scaled[layer] = direction * (features[layer].norm() / length) if length > floor else torch.zeros_like(direction)
    return scaled


def add_attribute(
    features: Mapping[str, Tensor], attribute: Mapping[str, Tensor], strength: float
) -> dict[str, Tensor]:
    """``phi + strength w``, layer by layer."""
    return {layer: features[layer] + strength * attribute[layer] for layer in attribute}


class PictureSet:
    """Aligned pictures of one kind, searched by the features of the last layer.

    Args:
        network: the feature network.
        pictures: (N, 3, h, w) in [0, 1], or uint8; all of the size of the pictures that they are compared with.
        layers: of the attribute; ``nearest`` compares the last of them.
        device: of the features' computation.
        progress: is called with the share of the set that is done, in [0, 1].
    """

    def __init__(
        self, network: FeatureNetwork, pictures: Tensor, layers: Sequence[str], device: str | torch.device = "cpu",
        progress: Callable[[float], None] = lambda share: None,
    ) -> None:  # fmt: skip
        if not len(pictures):
            raise ValueError("A set of pictures is empty.")
        self.network, self.pictures, self.layers, self.device = network, pictures, tuple(layers), device
        features = []
        for start, batch in self._batches(range(len(pictures))):
            last = features_of(network, batch, self.layers[-1:])[self.layers[-1]]
            features.append(last.flatten(1).half().cpu())  # half the memory; a search needs no more
            progress(min(1.0, (start + BATCH) / len(pictures)))
        self.bank = torch.cat(features)

    def __len__(self) -> int:
        return len(self.pictures)

    def nearest(self, features: Mapping[str, Tensor], count: int) -> list[int]:
        """The pictures nearest to one whose features are ``features``, nearest first."""
        return nearest(features[self.layers[-1]][0].flatten().cpu(), self.bank, count).tolist()

    def mean(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """Layer -> (1, c, h, w), the mean features of the pictures with these indices."""
        total: dict[str, Tensor] = {}
        for _, batch in self._batches(indices):
            for layer, value in features_of(self.network, batch, self.layers).items():
                summed = value.sum(dim=0, keepdim=True)
                total[layer] = total[layer] + summed if layer in total else summed
        return {layer: value / len(indices) for layer, value in total.items()}

    def _batches(self, indices: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        for start in range(0, len(indices), BATCH):
            batch = self.pictures[list(indices[start : start + BATCH])].to(self.device)
            yield start, batch.float() / 255 if batch.dtype == torch.uint8 else batch


def attribute_of(
    features: Mapping[str, Tensor], sources: PictureSet, targets: PictureSet, neighbours: int
) -> dict[str, Tensor]:
    """The attribute vector w for a picture with these features, from the same number of neighbours in both sets."""
    count = min(neighbours, len(sources), len(targets))
    means = [each.mean(each.nearest(features, count)) for each in (targets, sources)]
    return difference(means[0], means[1])
