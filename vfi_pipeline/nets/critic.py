"""The critic of the Warping Neural ODE (Fig. 4b): strided 4x4 convolutions, one score a picture."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

NORMS = ("none", "instance", "group")


class Critic(nn.Module):
    """(B, channels, H, W) -> (B, 1).

    ``len(widths)`` convolutions of stride 2 and a last one of stride 1, all 4x4, leaky ReLU between. The paper's is
    (64, 128, 256) for 32 px and (64, 64, 128, 256) for 64 px. A larger picture gives a map of scores,
    whose mean counts.

    Args:
        channels: of a picture.
        widths: channels of the strided convolutions.
        norm: ``none`` (the paper's for WGAN), ``instance`` or ``group``. Never batch normalisation: the gradient
            penalty is defined sample by sample.
        slope: of the leaky ReLU.
    """

    def __init__(
        self, channels: int = 3, widths: Sequence[int] = (64, 128, 256), norm: str = "none", slope: float = 0.2
    ) -> None:
        super().__init__()
        if norm not in NORMS:
            raise ValueError(f"No normalisation {norm!r} for a critic. Use one of {', '.join(NORMS)}.")
        layers: list[nn.Module] = []
        for index, (inputs, outputs) in enumerate(zip((channels, *widths[:-1]), widths, strict=True)):
            layers.append(nn.Conv2d(inputs, outputs, 4, stride=2, padding=1))
            if norm == "instance" and index:
                layers.append(nn.InstanceNorm2d(outputs, affine=True))
            elif norm == "group" and index:
                layers.append(nn.GroupNorm(max(g for g in (8, 4, 2, 1) if outputs % g == 0), outputs))
            layers.append(nn.LeakyReLU(slope))
        self.body = nn.Sequential(*layers)
        self.score = nn.Conv2d(widths[-1], 1, 4)
        self.span = 4 * 2 ** len(widths)

    def forward(self, image: Tensor) -> Tensor:
        if min(image.shape[-2:]) < self.span:
            raise ValueError(
                f"A critic of {len(self.body) // 2} strided layers needs pictures of {self.span} px or more, got "
                f"{tuple(image.shape[-2:])}. Take fewer widths (critic.widths) or larger pictures."
            )
        return self.score(self.body(image)).mean(dim=(2, 3))
