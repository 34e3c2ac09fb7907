"""The feed-forward style network: Johnson et al. 2016 with instance normalisation (Ulyanov et al. 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class StyleNet(nn.Module):
    """Picture -> stylised picture, of any size; with the frame before it, stylised and moved, consistent over time.

    Every convolution is followed by an instance normalisation, and borders are replicated: the output is the same for
    ``a x + b`` and ``x``, a > 0, but for the normalisation's epsilon. The earlier frame has a convolution of its own,
    which is added after the first normalisation: without an earlier frame it adds nothing.

    Args:
        widths: channels at full, half and quarter size.
        blocks: residual blocks at quarter size.
    """

    def __init__(self, widths: Sequence[int] = (16, 32, 64), blocks: int = 5) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {"widths": list(widths), "blocks": blocks}
        full, half, quarter = widths
        self.look = _Convolution(3, full, 9)
        # Of (earlier frame minus 1/2, mask); without a bias, zeros give zeros.
        self.earlier = nn.Conv2d(4, full, 5, bias=False)
        self.down = nn.ModuleList([_Convolution(full, half, 3, 2), _Convolution(half, quarter, 3, 2)])
        self.blocks = nn.ModuleList([_Residual(quarter) for _ in range(blocks)])
        self.up = nn.ModuleList([_Convolution(quarter, half, 3), _Convolution(half, full, 3)])
        self.paint = nn.Conv2d(full, 3, 9)

    def forward(self, image: Tensor, earlier: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """(B, 3, H, W) in (0, 1).

        Args:
            image: (B, 3, H, W), RGB in [0, 1]; any size.
            earlier: (B, 3, H, W) the frame before it, stylised and warped to this one; None if there is none.
            mask: (B, 1, H, W) in [0, 1], how far ``earlier`` can be trusted at each pixel.
        """
        height, width = image.shape[-2:]
        image = _to_multiple(image, 4)
        x = F.relu(self.look(image))
        if earlier is not None and mask is not None:
            trusted = torch.cat(((earlier - 0.5) * mask, mask), dim=1)
            x = x + self.earlier(_padded(_to_multiple(trusted, 4), 2))
        for down in self.down:
            x = F.relu(down(x))
        for block in self.blocks:
            x = block(x)
        for up in self.up:
            x = F.relu(up(F.interpolate(x, scale_factor=2.0, mode="nearest")))
        return torch.sigmoid(self.paint(_padded(x, 4)))[..., :height, :width]


class _Convolution(nn.Module):
    """Convolution with replicated borders, then instance normalisation with a learned scale and shift."""

    def __init__(self, channels: int, width: int, size: int, stride: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, width, size, stride, bias=False)  # the normalisation would remove it
        self.scale = nn.Parameter(torch.ones(1, width, 1, 1))
        self.shift = nn.Parameter(torch.zeros(1, width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.convolution(_padded(x, self.convolution.kernel_size[0] // 2))
        return instance_normalised(x) * self.scale + self.shift


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = _Convolution(channels, channels, 3), _Convolution(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.first(x)))


def instance_normalised(x: Tensor, epsilon: float = 1e-7) -> Tensor:
    """Each channel of each sample with mean 0 and variance 1; a constant channel becomes 0. (B, C, h, w).

    ``epsilon`` is small beside the variance of any visible texture in [0, 1]: an 8-bit step is 1.5e-5.
    """
    variance, mean = torch.var_mean(x, dim=(-2, -1), unbiased=False, keepdim=True)
    return (x - mean) * (variance + epsilon).rsqrt()


def _padded(x: Tensor, border: int) -> Tensor:
    return F.pad(x, (border, border, border, border), mode="replicate")


def _to_multiple(x: Tensor, multiple: int) -> Tensor:
    rows, columns = (-n % multiple for n in x.shape[-2:])
    return F.pad(x, (0, columns, 0, rows), mode="replicate") if rows or columns else x
