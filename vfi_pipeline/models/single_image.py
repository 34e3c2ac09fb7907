"""One picture's own generator (Vinker et al. 2020, "Deep Single Image Manipulation"): primitive to picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.models.checkpoint import config_of, load_model
from vfi_pipeline.models.shipped import locate
from vfi_pipeline.nets.conditional_gan import Generator


class SingleImageGenerator(nn.Module):
    """The trainable model: a primitive (a drawing or a map of areas) to the picture that it stands for.

    Args:
        widths, blocks: of ``nets.conditional_gan.Generator``.
        colours: of the primitive, RGB bytes, set when the picture is read; ``draw`` replaces other colours by the
            nearest of them.
        guide_span: longest side, px, of the picture in training; ``draw`` reduces larger primitives to it.
    """

    channels = 3

    def __init__(
        self, widths: Sequence[int] = (24, 48, 96), blocks: int = 5, colours: Sequence[Sequence[int]] = (),
        guide_span: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.net = Generator(widths, blocks)
        self.colours = [[int(v) for v in colour] for colour in colours]
        self.guide_span = guide_span

    def config(self) -> dict[str, Any]:
        """See ``TrainableModel``."""
        return {
            "kind": "single_image", **self.net.settings, "colours": self.colours, "guide_span": self.guide_span,
        }  # fmt: skip

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SingleImageGenerator:
        """The model that ``config`` described, with fresh weights."""
        return cls(**{key: value for key, value in config.items() if key != "kind"})

    def forward(self, primitive: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in (0, 1) of primitives (B, 3, H, W), without the changes that ``draw`` makes."""
        return self.net(primitive)

    @torch.no_grad()
    def draw(self, primitive: Tensor) -> Tensor:
        """The picture of a primitive (1, C, H, W) in [0, 1], of the same size; C is 1, 3 or 4.

        The network sees the primitive reduced to ``guide_span`` and in its own ``colours``.
        """
        height, width = primitive.shape[-2:]
        rgb = primitive.expand(-1, 3, -1, -1) if primitive.shape[1] == 1 else primitive[:, :3]
        scale = 1.0 if self.guide_span is None else self.guide_span / max(height, width)
        size = (max(8, round(height * scale)), max(8, round(width * scale)))
        if size != (height, width):
            rgb = F.interpolate(rgb, size, mode="bilinear", antialias=True, align_corners=False)
        picture = self.net(nearest_colour(rgb, self.colours))
        if size != (height, width):
            picture = F.interpolate(
                picture, (height, width), mode="bicubic", antialias=True, align_corners=False
            ).clamp(0, 1)
        if primitive.shape[1] == 1:
            picture = picture.mean(dim=1, keepdim=True)
        return torch.cat((picture * primitive[:, 3:], primitive[:, 3:]), dim=1) if primitive.shape[1] == 4 else picture


def nearest_colour(primitive: Tensor, colours: Sequence[Sequence[int]]) -> Tensor:
    """``primitive`` (1, 3, H, W) with each pixel replaced by the nearest of ``colours``, RGB bytes; unchanged without
    colours."""
    if not colours:
        return primitive
    table = primitive.new_tensor(colours) / 255
    # Rounded to bytes as in a file, so that a value between two colours goes to the same one from either source.
    flat = ((primitive[0].clamp(0, 1) * 255 + 0.5).floor() / 255).flatten(1).T
    number = torch.cdist(flat, table).argmin(dim=1)
    return table[number].T.view_as(primitive)


def load_single_image(weights: str | Path, device: str | torch.device = "cpu") -> SingleImageGenerator:
    """A generator from a file that ``train.py experiment=single_image`` exported.

    Raises:
        UserError: if the weights are missing, damaged, or of another kind of model.
    """
    path, digest = locate(weights)
    model, _ = load_model(path, digest)
    if not isinstance(model, SingleImageGenerator):
        kind = config_of(model)["kind"]
        raise UserError(
            f"weights={weights} holds a {kind} model, no picture's generator.",
            "weights that train.py experiment=single_image exported.",
            BAD_INPUT,
        )
    return model.to(device)
