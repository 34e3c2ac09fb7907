"""A small feature network with random weights and the layers of VGG-16 that DFI wants: quick, and nobody's weights."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class TinyNetwork(nn.Module):
    """``network(image, upto=layer)`` -> {layer: features}, at half, a quarter and an eighth of the size."""

    name, source, layers = "vgg", "random", ("conv3_1", "conv4_1", "conv5_1")

    def __init__(self, channels: int = 12) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        widths = (3, channels, channels, channels)
        self.kernels = nn.ParameterList(
            nn.Parameter(torch.randn(b, a, 3, 3, generator=generator) * (2 / (9 * a)) ** 0.5, requires_grad=False)
            for a, b in zip(widths, widths[1:])
        )

    def forward(self, image, upto=None):
        x = image.expand(-1, 3, -1, -1) if image.shape[1] == 1 else image[:, :3]
        found = {}
        for layer, kernel in zip(self.layers, self.kernels):
            # Leaky, so that a random network loses nothing of the picture.
            x = F.avg_pool2d(F.leaky_relu(F.conv2d(x if found else x - 0.5, kernel.to(x), padding=1), 0.2), 2)
            found[layer] = x
            if layer == upto:
                break
        return found
