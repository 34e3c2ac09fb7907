"""The U-Net of the Warping Neural ODE (Nazarovs et al. 2022, Fig. 4a), of any size, normalised per sample."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NORMS = ("group", "instance", "none")


@dataclass(frozen=True)
class UNetShape:
    """What a U-Net looks like.

    Attributes:
        widths: channels of the encoder at 1/2, 1/4, ... of the picture; their number is the depth.
        decoder: channels of the decoder from the coarsest level up, as many as ``widths``; None mirrors the encoder.
        final: channels of the last convolutions at full size.
        norm: ``group``, ``instance`` or ``none``. Batch normalisation is not offered: it would make one picture's
            motion depend on the others in its batch.
        slope: of the leaky ReLU.
        head: factor on the last layer's initial weights; 0.01 starts a velocity field near zero, a map near identity.
    """

    widths: tuple[int, ...] = (16, 32, 64, 64)
    decoder: tuple[int, ...] | None = None
    final: int = 16
    norm: str = "group"
    slope: float = 0.2
    head: float = 0.01

    def __post_init__(self) -> None:
        # Hydra and JSON give lists.
        object.__setattr__(self, "widths", tuple(self.widths))
        object.__setattr__(self, "decoder", None if self.decoder is None else tuple(self.decoder))
        if not self.widths:
            raise ValueError("A U-Net needs at least one width.")
        if self.decoder is not None and len(self.decoder) != len(self.widths):
            raise ValueError(f"A U-Net's decoder needs one width per level, got {self.decoder} for {self.widths}.")
        if self.norm not in NORMS:
            raise ValueError(f"No normalisation {self.norm!r}. Use one of {', '.join(NORMS)}.")


class UNet(nn.Module):
    """(B, inputs, H, W) -> (B, outputs, H, W), any H and W (padded inside to what the depth needs).

    Each level halves the picture by a strided convolution; the way up is by nearest neighbours, joined with the
    encoder's features and, at full size, with the input itself.
    """

    def __init__(self, inputs: int, outputs: int, shape: UNetShape) -> None:
        super().__init__()
        widths = shape.widths
        up = shape.decoder or (*widths[-2::-1], shape.final)
        self.stride = 2 ** len(widths)
        self.down = nn.ModuleList(
            _block(i, o, shape, stride=2) for i, o in zip((inputs, *widths[:-1]), widths, strict=True)
        )
        # What the decoder meets at each level: its own output, enlarged, beside the encoder's features of that size.
        skips = (*widths[-2::-1], inputs)
        before = (widths[-1], *(u + s for u, s in zip(up[:-1], skips[:-1], strict=True)))
        self.up = nn.ModuleList(_block(i, o, shape) for i, o in zip(before, up, strict=True))
        self.final = _block(up[-1] + skips[-1], shape.final, shape)
        self.head = nn.Conv2d(shape.final, outputs, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                assert module.bias is not None
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        with torch.no_grad():
            self.head.weight.mul_(shape.head)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        below, right = -height % self.stride, -width % self.stride
        x = F.pad(x, (0, right, 0, below), mode="replicate") if below or right else x
        features = [x]
        for block in self.down:
            features.append(block(features[-1]))
        out = features.pop()
        for block in self.up:
            out = F.interpolate(block(out), scale_factor=2, mode="nearest")
            out = torch.cat((out, features.pop()), dim=1)
        return self.head(self.final(out))[..., :height, :width]


def _block(inputs: int, outputs: int, shape: UNetShape, stride: int = 1) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, 3, stride, padding=1)]
    if shape.norm == "group":
        layers.append(nn.GroupNorm(max(g for g in (8, 4, 2, 1) if outputs % g == 0), outputs))
    elif shape.norm == "instance":
        layers.append(nn.InstanceNorm2d(outputs, affine=True))
    return nn.Sequential(*layers, nn.LeakyReLU(shape.slope))
