"""LPIPS (Zhang et al. 2018) where its backbone is installed. The one door to the package ``lpips``."""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from vfi_pipeline.errors import ENVIRONMENT, UserError

log = logging.getLogger(__name__)

MIN_SIDE_PX = 32  # of a smaller picture the deepest layer of a backbone has no pixel left

# The wheel of lpips holds its linear heads only; the backbones are torchvision's, under these names in torch's hub.
BACKBONES = {
    "alex": "alexnet-owt-7be5be79.pth",
    "vgg": "vgg16-397923af.pth",
    "squeeze": "squeezenet1_1-b8a52dc0.pth",
}


def backbone_file(net: str = "alex") -> Path:
    """Where torch keeps, or would keep, the ImageNet weights of the backbone."""
    if net not in BACKBONES:
        raise ValueError(f"No LPIPS backbone {net!r}. Use one of {', '.join(BACKBONES)}.")
    return Path(torch.hub.get_dir()) / "checkpoints" / BACKBONES[net]


class Perceptual(nn.Module):
    """LPIPS between made and true frames, averaged; its weights are fixed and never trained.

    Raises:
        UserError: if the backbone's weights are not on this machine (nothing is downloaded by surprise).
    """

    def __init__(self, net: str = "alex") -> None:
        super().__init__()
        file = backbone_file(net)
        if not file.is_file():
            raise UserError(
                f"LPIPS needs the ImageNet weights of {net}, which are not on this machine ({file}).",
                f"download https://download.pytorch.org/models/{file.name} into that folder, or leave LPIPS out "
                "(lpips=false, objective.perceptual=0).",
                ENVIRONMENT,
            )
        import lpips

        try:
            self.network = lpips.LPIPS(net=net, pnet_rand=False, verbose=False).eval().requires_grad_(False)
        except Exception as error:  # what damaged bytes bring about in the unpickler has no common class
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise UserError(
                f"{file} does not hold the ImageNet weights of {net} ({first[:120]}).",
                f"download https://download.pytorch.org/models/{file.name} again, or leave LPIPS out "
                "(lpips=false, objective.perceptual=0).",
                ENVIRONMENT,
            ) from error
        self.net = net

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Mean distance, a scalar. Frames (N, 3, H, W) in [0, 1]; grey ones (N, 1, H, W) are repeated."""
        return self.each(prediction, target).mean()

    def each(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Distance per frame, (N,)."""
        if prediction.shape[1] == 1:
            prediction, target = prediction.expand(-1, 3, -1, -1), target.expand(-1, 3, -1, -1)
        return self.network(prediction[:, :3].float(), target[:, :3].float(), normalize=True).flatten()

    def train(self, mode: bool = True) -> Perceptual:
        return super().train(False)  # a yardstick never trains: dropout stays off


@lru_cache(maxsize=4)
def perceptual_or_none(net: str = "alex") -> Perceptual | None:
    """LPIPS, or None and one warning that tells how to get it."""
    try:
        return Perceptual(net)
    except UserError as error:
        log.warning("%s", error)
    return None
