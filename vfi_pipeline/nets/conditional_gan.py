"""A conditional generator and its discriminators, small pix2pixHD's (Wang et al. 2018), for a single picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Generator(nn.Module):
    """Primitive -> picture, of any size: down by 4, residual blocks, up again.

    Args:
        widths: channels at full, half and quarter size.
        blocks: residual blocks at quarter size.
    """

    def __init__(self, widths: Sequence[int] = (24, 48, 96), blocks: int = 5) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {"widths": list(widths), "blocks": blocks}
        full, half, quarter = widths
        self.look = _layer(3, full, 7)
        self.down = nn.ModuleList([_layer(full, half, 3, 2), _layer(half, quarter, 3, 2)])
        self.blocks = nn.ModuleList([_Residual(quarter) for _ in range(blocks)])
        self.up = nn.ModuleList([_layer(quarter + half, half, 3), _layer(half + full, full, 3)])
        self.draw = nn.Conv2d(full, 3, 5, padding=2, padding_mode="replicate")

    def forward(self, primitive: Tensor) -> Tensor:
        """(B, 3, H, W) in (0, 1) from (B, 3, H, W) in [0, 1]."""
        height, width = primitive.shape[-2:]
        padded = F.pad(primitive, (0, -width % 4, 0, -height % 4), mode="replicate")
        levels = [self.look(2 * padded - 1)]
        for down in self.down:
            levels.append(down(levels[-1]))
        x = levels.pop()
        for block in self.blocks:
            x = block(x)
        for up in self.up:
            skipped = levels.pop()
            x = up(torch.cat((F.interpolate(x, skipped.shape[-2:], mode="nearest"), skipped), dim=1))
        return torch.sigmoid(self.draw(x))[..., :height, :width]


class Discriminator(nn.Module):
    """Judges patches of (primitive, picture), at two sizes.

    Args:
        width: channels of the first layer; twice as many in each that follows.
        depth: layers; all but the first halve.
    """

    def __init__(self, width: int = 32, depth: int = 3, sizes: int = 2) -> None:
        super().__init__()
        self.judges = nn.ModuleList([_Judge(width, depth) for _ in range(sizes)])

    def forward(self, primitive: Tensor, picture: Tensor) -> list[list[Tensor]]:
        """For each size its layers' outputs, the scores (B, 1, h, w) last."""
        scaled, outputs = 2 * torch.cat((primitive, picture), dim=1) - 1, []
        for judge in self.judges:
            outputs.append(judge(scaled))
            scaled = F.avg_pool2d(scaled, 2, ceil_mode=True)
        return outputs


class _Judge(nn.Module):
    """The first layer looks at full size, where blur differs from detail. Without normalisation, and with variances
    that do not shrink from layer to layer (He et al. 2015): there are few steps, and one picture."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        layers, channels = [nn.Conv2d(6, width, 3, padding=1)], width
        for _ in range(depth - 1):
            out = min(2 * channels, 128)
            layers.append(nn.Conv2d(channels, out, 4, 2, 1))
            channels = out
        for layer in layers:
            nn.init.kaiming_normal_(layer.weight, 0.2)
        self.layers = nn.ModuleList(layers)
        self.score = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, x: Tensor) -> list[Tensor]:
        outputs = []
        for number, layer in enumerate(self.layers):
            # Of a picture whose sides are used up, the last pixels stay.
            x = F.pad(x, (0, 1, 0, 1), mode="replicate") if number and min(x.shape[-2:]) < 2 else x
            x = F.leaky_relu(layer(x), 0.2)
            outputs.append(x)
        return [*outputs, self.score(x)]


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = _layer(width, width, 3), _layer(width, width, 3, active=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.first(x))


def _layer(channels: int, out: int, kernel: int, stride: int = 1, active: bool = True) -> nn.Sequential:
    parts: list[nn.Module] = [
        nn.Conv2d(channels, out, kernel, stride, kernel // 2, padding_mode="replicate"),
        nn.GroupNorm(8 if out % 8 == 0 else 1, out),
    ]
    return nn.Sequential(*parts, *([nn.ReLU()] if active else []))
