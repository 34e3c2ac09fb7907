"""The guided filter (He, Sun and Tang 2013): smooths a picture except at the edges of its guide."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def guided_filter(picture: Tensor, guide: Tensor, radius: int, epsilon: float) -> Tensor:
    """``out = mean(a) guide + mean(b)``, where ``a guide + b`` fits ``picture`` best in every window.

    Args:
        picture: (B, C, H, W).
        guide: (B, 1, H, W), grey. A picture that is linear in its guide comes back as ``epsilon`` falls to 0.
        radius: of the windows, px: (2 radius + 1)^2 pixels, fewer at the borders.
        epsilon: variance of the guide in a window below which the filter smooths.

    Raises:
        ValueError: if the guide has another size or several channels.
    """
    if guide.shape[-2:] != picture.shape[-2:] or guide.shape[1] != 1:
        raise ValueError(
            f"A guide is (B, 1, H, W) of the picture's size, got {tuple(guide.shape)} for {tuple(picture.shape)}."
        )

    def mean(x: Tensor) -> Tensor:
        window = min(2 * radius + 1, 2 * min(x.shape[-2:]) - 1)
        # At the borders, windows hold the pixels inside the picture only.
        return F.avg_pool2d(x, window, stride=1, padding=window // 2, count_include_pad=False)

    mean_guide, mean_picture = mean(guide), mean(picture)
    variance = mean(guide.square()) - mean_guide.square()
    covariance = mean(guide * picture) - mean_guide * mean_picture
    slope = covariance / (variance + epsilon)
    offset = mean_picture - slope * mean_guide
    return mean(slope) * guide + mean(offset)
