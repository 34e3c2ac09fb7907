"""What pictures look like to a feature network: content, style, total variation (Gatys 2016; Johnson 2016).

Pure functions of features, ``{layer: (B, C, h, w)}`` as ``nets.features`` gives them. Distances are relative to the
target's own size, so that weights mean the same for every layer and network: 0 for equal features, 1 for features that
are all zero. They are not LPIPS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

FeatureNetwork = Callable[..., Mapping[str, Tensor]]
"""``network(image, upto=layer)`` -> ``{layer: tensor}``; see ``nets.features.Features``."""

CONTENT_LAYERS = ("conv3_3",)
STYLE_LAYERS = ("conv1_2", "conv2_2", "conv3_3", "conv4_1")
"""Of VGG-16: those of Johnson et al. (2016), but for the last, Gatys et al.'s (2016): a third less work."""

STYLE_POOLING = "avg"
"""Of VGG-16 where style counts (Gatys et al. 2016): with ``max``, which passes on single pixels, the descent finds
grain that only VGG-16 takes for the style. Style distance by SqueezeNet, which took no part, of four training films'
first frames (160 px, 60 iterations): mosaic .258 (max), .238 (avg); brushwork .458, .383."""

STYLE_SIZES = 2
"""At which a picture's style is compared: the frame and its half, so that larger shapes count, too. Of three other
training films' first frames (as above; 1 size, 2, 3): style distance by EfficientNet-Lite0 and SqueezeNet, mosaic .478
and .414, .493 and .381, .543 and .436; brushwork .554 and .444, .513 and .403, .518 and .404; content distance, mosaic
2.75, 2.40, 2.11; brushwork 2.11, 1.80, 1.59."""


def gram(features: Tensor) -> Tensor:
    """``G = F F' / (h w)``: the mean over pixels of the products of channels, (B, C, C).

    Args:
        features: (B, C, h, w). A map that is constant, ``c``, has ``c c'``; a circular shift changes nothing.
    """
    flat = features.flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[-1]


def content_distance(prediction: Mapping[str, Tensor], target: Mapping[str, Tensor], layers: Sequence[str]) -> Tensor:
    """Mean over layers and samples of ``|F(prediction) - F(target)|^2 / |F(target)|^2``. A scalar."""
    return torch.stack([_relative(prediction[layer], target[layer]) for layer in layers]).mean()


def style_distance(prediction: Mapping[str, Tensor], grams: Mapping[str, Tensor]) -> Tensor:
    """Mean over layers and samples of ``|G(prediction) - G|^2 / |G|^2``. A scalar.

    0 if ``grams`` are the picture's own.

    Args:
        grams: layer -> (1 or B, C, C), see ``gram``; the layers named here count.
    """
    return torch.stack([_relative(gram(prediction[layer]), target) for layer, target in grams.items()]).mean()


def total_variation(image: Tensor) -> Tensor:
    """Mean squared difference of neighbours, summed over both axes. (B, C, H, W) -> a scalar.

    A ramp that rises by ``a`` a pixel along one axis has ``a**2``.
    """
    along = [torch.diff(image, dim=axis).square() for axis in (-1, -2)]
    return sum((step.mean() for step in along if step.numel()), image.new_zeros(()))


def temporal_distance(prediction: Tensor, expected: Tensor, confidence: Tensor) -> Tensor:
    """``1/D sum c (x - w)^2`` (Ruder et al. 2016): D counts all values, also where ``c`` is 0. A scalar.

    Args:
        prediction, expected: (B, C, H, W); the latter is an earlier frame, warped.
        confidence: (B, 1, H, W) in [0, 1].
    """
    return (confidence * (prediction - expected).square()).mean()


def upto(network: object, layers: Sequence[str]) -> str | None:
    """The last of ``layers`` in the network's order."""
    order = list(getattr(network, "layers", ()))
    return max(layers, key=order.index) if order else None


class FeatureDistance(nn.Module):
    """``objective.perceptual`` by features: the content distance between predicted and true frames.

    Unlike LPIPS it needs no weights of its own; the two are not comparable.

    Args:
        network: see ``nets.features``.
        layers: that are compared.
    """

    def __init__(self, network: nn.Module, layers: Sequence[str] = ("conv1_2", "conv2_2", "conv3_3")) -> None:
        super().__init__()
        self.network, self.layers = network, tuple(layers)

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """A scalar. Frames (N, C, H, W) in [0, 1], C as the network takes them."""
        last = upto(self.network, self.layers)
        with torch.no_grad():
            target_features = self.network(target, upto=last)
        return content_distance(self.network(prediction, upto=last), target_features, self.layers)


def _halved(picture: Tensor, sizes: int) -> list[Tensor]:
    """The picture (B, C, H, W), its half, its quarter ...: ``sizes`` of them, by means over 2 x 2 px."""
    pictures = [picture]
    for _ in range(sizes - 1):
        pictures.append(functional.avg_pool2d(pictures[-1], 2, ceil_mode=True, count_include_pad=False))
    return pictures


def _relative(prediction: Tensor, target: Tensor) -> Tensor:
    miss, size = (x.flatten(1).square().sum(dim=1) for x in (prediction - target, target))
    return (miss / size.clamp(min=1e-12)).mean()


class StyleTarget(NamedTuple):
    """What a style is: the Gram matrices of a picture, and of that picture halved once, twice ...

    Attributes:
        grams: for each size, layer -> (1, C, C).
    """

    grams: tuple[dict[str, Tensor], ...]

    @classmethod
    @torch.no_grad()
    def of(
        cls, network: FeatureNetwork, picture: Tensor, layers: Sequence[str] = STYLE_LAYERS, sizes: int = 1
    ) -> StyleTarget:
        """Of a picture (1, 3, H, W) in [0, 1], at ``sizes`` sizes."""
        last = upto(network, layers)
        found = (network(smaller, upto=last) for smaller in _halved(picture, sizes))
        return cls(tuple({layer: gram(features[layer]) for layer in layers} for features in found))

    def distance(self, network: FeatureNetwork, prediction: Tensor, features: Mapping[str, Tensor]) -> Tensor:
        """Mean over the sizes of the style distance of ``prediction`` (B, 3, H, W) with these features. A scalar."""
        distances = [style_distance(features, self.grams[0])]
        for smaller, grams in zip(_halved(prediction, len(self.grams))[1:], self.grams[1:]):
            distances.append(style_distance(network(smaller, upto=upto(network, tuple(grams))), grams))
        return torch.stack(distances).mean()


@dataclass(frozen=True)
class StyleObjective:
    """``alpha content + beta style + gamma temporal + delta tv``; every term is a mean (Johnson 2016; Ruder 2016).

    Attributes:
        content, style, temporal, total_variation: the weights.
        content_layers: that are compared with the picture's own.
    """

    content: float = 1.0
    style: float = 40.0
    temporal: float = 100.0
    total_variation: float = 40.0
    content_layers: tuple[str, ...] = CONTENT_LAYERS

    def __call__(
        self,
        network: FeatureNetwork,
        prediction: Tensor,
        content: Mapping[str, Tensor],
        target: StyleTarget,
        expected: Tensor | None = None,
        confidence: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """The unweighted terms by name, and ``total``.

        Args:
            network: the feature network.
            prediction: (B, 3, H, W) the stylised picture.
            content: the picture's own features, at least ``content_layers``.
            target: the style.
            expected, confidence: see ``temporal_distance``; None leaves that term out.
        """
        features = network(prediction, upto=upto(network, (*target.grams[0], *self.content_layers)))
        terms = {
            "content": content_distance(features, content, self.content_layers),
            "style": target.distance(network, prediction, features),
            "tv": total_variation(prediction),
        }
        total = self.content * terms["content"] + self.style * terms["style"] + self.total_variation * terms["tv"]
        if expected is not None and confidence is not None:
            terms["temporal"] = temporal_distance(prediction, expected, confidence)
            total = total + self.temporal * terms["temporal"]
        return {**terms, "total": total}

    @torch.no_grad()
    def content_of(self, network: FeatureNetwork, picture: Tensor) -> Mapping[str, Tensor]:
        """The features of a picture that its stylised version should keep."""
        return network(picture, upto=upto(network, self.content_layers))
