"""One picture's own generator (Vinker et al. 2020, "Deep Single Image Manipulation"): primitive to picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.models.checkpoint import load_model
from vfi_pipeline.models.shipped import locate
from vfi_pipeline.nets.conditional_gan import Generator


class SingleImageGenerator(nn.Module):
    """The trainable whole.

    Args:
        widths, blocks: of ``nets.conditional_gan.Generator``.
        colours: of the primitive, RGB bytes, set once the picture is known: others are taken for the nearest.
        guide_span: longest side, px, that it learned its picture at; larger primitives are drawn at that size.
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
        """(B, 3, H, W) in (0, 1) of primitives (B, 3, H, W) as they are."""
        return self.net(primitive)

    @torch.no_grad()
    def drawn(self, primitive: Tensor) -> Tensor:
        """The picture of a primitive (1, C, H, W) in [0, 1] of any size, at its size: shrunk to ``guide_span``, its
        colours taken for those that were learned, drawn."""
        height, width = primitive.shape[-2:]
        rgb = primitive.expand(-1, 3, -1, -1) if primitive.shape[1] == 1 else primitive[:, :3]
        share = 1.0 if self.guide_span is None else self.guide_span / max(height, width)
        size = (max(8, round(height * share)), max(8, round(width * share)))
        if size != (height, width):
            rgb = F.interpolate(rgb, size, mode="bilinear", antialias=True, align_corners=False)
        made = self.net(nearest_colour(rgb, self.colours))
        if size != (height, width):
            made = F.interpolate(made, (height, width), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
        if primitive.shape[1] == 1:
            made = made.mean(dim=1, keepdim=True)
        return torch.cat((made * primitive[:, 3:], primitive[:, 3:]), dim=1) if primitive.shape[1] == 4 else made


def nearest_colour(primitive: Tensor, colours: Sequence[Sequence[int]]) -> Tensor:
    """(1, 3, H, W) with every pixel the nearest of ``colours``, RGB bytes; as it is where there are none."""
    if not colours:
        return primitive
    table = primitive.new_tensor(colours) / 255
    # In whole bytes, as a file holds them: what lies between two colours goes to the same one, whatever it came from.
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
        kind = model.config()["kind"]
        raise UserError(
            f"weights={weights} holds a {kind} model, no picture's generator.",
            "weights that train.py experiment=single_image exported.",
            BAD_INPUT,
        )
    return model.to(device)
