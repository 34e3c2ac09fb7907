"""Pictures, displacements and points at other sizes: the levels of a pyramid, and the guides of motion models."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.animation.protocol import Points
from vfi_pipeline.geometry import resize_flow, warp

Size = tuple[int, int]
"""(height, width), px."""


def working_size(size: Sequence[int], span: int | None) -> Size:
    """``size`` (height, width) with a longest side of at most ``span`` px; None: unchanged."""
    height, width = size
    scale = 1.0 if span is None else min(1.0, span / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def pyramid(height: int, width: int, smallest_side: int) -> list[Size]:
    """Sizes from coarse to fine, each half the next, the smaller side at least ``smallest_side`` where it can be."""
    sizes = [(height, width)]
    while min(sizes[-1]) >= 2 * smallest_side:
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
    return sizes[::-1]


def resize_image(image: Tensor, height: int, width: int) -> Tensor:
    """A picture (B, C, h, w) of the same area at another size, antialiased."""
    if image.shape[-2:] == (height, width):
        return image
    return F.interpolate(image, (height, width), mode="bilinear", align_corners=False, antialias=True)


def resize_points(points: Points | None, size: Sequence[int], target: Sequence[int]) -> Points | None:
    """Where points of a picture of ``size`` lie when it has the size ``target``."""
    if points is None:
        return None
    scale = points[0].new_tensor([target[1] / size[1], target[0] / size[0]])
    return (points[0] + 0.5) * scale - 0.5, (points[1] + 0.5) * scale - 0.5


def guide_image(picture: Tensor, span: int | None) -> Tensor:
    """``picture`` (1, C, H, W) as a motion model sees it: RGB, its longest side at most ``span``, over mid grey.

    A ``span`` of None belongs to a model that reads no guides: one black pixel.
    """
    if span is None:
        return picture.new_zeros(1, 3, 1, 1)
    picture = resize_image(picture, *working_size(picture.shape[-2:], span))
    if picture.shape[1] == 4:
        return picture[:, :3] + 0.5 * (1 - picture[:, 3:])
    return picture.expand(-1, 3, -1, -1).contiguous()


def warp_resized(picture: Tensor, flow: Tensor) -> Tensor:
    """``picture`` (1, C, H, W) warped by a displacement on a grid of any size.

    A displacement of 0 returns the picture bit for bit, where an interpolated lookup would be equal to rounding only.
    """
    if not bool(flow.any()):
        return picture
    return warp(picture, resize_flow(flow.to(picture), *picture.shape[-2:]))
