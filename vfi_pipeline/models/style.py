"""Style transfer by a trained network: a frame, and the stylised frame before it, to the stylised frame.

    x(i) = net(p(i), m * warp(x(i-1), w), m)     w: flow from frame i to i-1, m: confidence in it

(Ruder et al. 2016 and 2018; the network is Johnson's with instance normalisation, see ``nets.style``.)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.estimation.visibility import motion_boundary, visible
from vfi_pipeline.geometry import warp
from vfi_pipeline.models.checkpoint import config_of, load_model
from vfi_pipeline.models.shipped import locate
from vfi_pipeline.nets.style import StyleNet


class StyleTransfer(nn.Module):
    """The trainable network of one style.

    Args:
        widths, blocks: of ``nets.style.StyleNet``.
    """

    channels = 3

    def __init__(self, widths: Sequence[int] = (16, 32, 64), blocks: int = 5) -> None:
        super().__init__()
        self.net = StyleNet(widths, blocks)

    def config(self) -> dict[str, Any]:
        """See ``TrainableModel``."""
        return {"kind": "style", **self.net.settings}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> StyleTransfer:
        """The model that ``config`` described, with fresh weights."""
        return cls(**{key: value for key, value in config.items() if key != "kind"})

    def forward(self, image: Tensor, earlier: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """See ``StyleNet.forward``."""
        return self.net(image, earlier, mask)


def style_transfer(init_from: str | None = None, **settings: Any) -> StyleTransfer:
    """The trainable model, fresh or from weights by name or file, which may be of another style.

    Raises:
        UserError: if the weights are missing, damaged, or of another kind or size.
    """
    model = StyleTransfer(**settings)
    if init_from is None:
        return model
    trained = load_style(init_from)
    if trained.config() != model.config():
        raise UserError(
            f"{init_from} holds a network of other widths.", "Choose its net.widths and net.blocks, or train anew."
        )
    model.load_state_dict(trained.state_dict())
    return model


def temporal_confidence(backward: Tensor, forward: Tensor) -> Tensor:
    """Ruder's ``c``, (B, 1, H, W): 1 where the earlier frame shows the point too, away from motion boundaries, else 0.

    Args:
        backward: (B, 2, H, W) px, from this frame's grid to the earlier frame.
        forward: (B, 2, H, W) px, from the earlier frame's grid to this one.
    """
    return visible(backward, forward) * (1 - motion_boundary(backward))


def advected(earlier: Tensor, backward: Tensor, forward: Tensor) -> tuple[Tensor, Tensor]:
    """The earlier frame (B, C, H, W) warped to this one, and its ``temporal_confidence``; flows as there."""
    return warp(earlier, backward), temporal_confidence(backward, forward)


def load_style(weights: str | Path, device: str | torch.device = "cpu") -> StyleTransfer:
    """A style network by shipped name or from a file that ``train.py experiment=style`` exported.

    Raises:
        UserError: if the weights are missing, damaged, or of another kind of model.
    """
    path, digest = locate(weights, "style")
    model, _ = load_model(path, digest)
    if not isinstance(model, StyleTransfer):
        kind = config_of(model)["kind"]
        raise UserError(f"style={weights} holds a {kind} model, not a style.", f"weights={weights}.", BAD_INPUT)
    return model.to(device).to(memory_format=torch.channels_last)
