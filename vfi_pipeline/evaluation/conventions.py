"""The published conventions of the standard sets: measures, formats and numbers of pictures.

A figure of a paper can only be set beside one that was computed the same way. docs/evaluation.md has the sources.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from vfi_pipeline.metrics import interpolation_error, psnr, ssim_matlab, ssim_uniform

CEILING = 100.0
"""PSNR of an exact picture, dB, so that means are finite."""


@dataclass(frozen=True)
class Column:
    """One figure of a picture.

    Attributes:
        title: its heading; it begins with PSNR, SSIM or IE.
        measure: (made, truth) -> (1,); both (1, 3, H, W), uint8 or float in [0, 1], compared as they are.
        rounded: whether made pictures are rounded to 8 bits first; the truth never is.
    """

    title: str
    measure: Callable[[Tensor, Tensor], Tensor]
    rounded: bool = True

    def of(self, picture: Tensor, truth: Tensor) -> float:
        """The figure of one picture, PSNR at most ``CEILING``."""
        value = self.measure(picture, truth).item()
        return min(value, CEILING) if self.title.startswith("PSNR") else value

    def text(self, value: float) -> str:
        """``value`` as papers print it: SSIM with four places, PSNR with two, IE with three."""
        places = {"SSIM": 4, "PSNR": 2}.get(self.title[:4], 3)
        return f"{value:.{places}f}"


@dataclass(frozen=True)
class Convention:
    """How papers measure on one set, or on one part of it.

    Attributes:
        columns: the figures, the first two first in importance.
        source: where that is written: methods, and the file of their code.
        pictures: how many are made in the whole set (of each part).
        size: (width, height) of its pictures; None: they differ.
        note: what else one has to know.
    """

    columns: tuple[Column, ...]
    source: str
    pictures: int
    size: tuple[int, int] | None = None
    note: str = ""

    @property
    def unrounded(self) -> bool:
        """Whether a figure needs unrounded pictures."""
        return not all(column.rounded for column in self.columns)


_psnr = partial(psnr, rounded=False)  # columns round, or do not, before they measure
_psnr_cain = partial(psnr, rounded=False, offset=1e-8)
_ssim = partial(ssim_matlab, rounded=False)
_ssim_uniform = partial(ssim_uniform, rounded=False)
_error = partial(interpolation_error, rounded=False)

PSNR, SSIM = Column("PSNR", _psnr), Column("SSIM", _ssim)
UNROUNDED = (Column("PSNR unrounded", _psnr, rounded=False), Column("SSIM unrounded", _ssim, rounded=False))

UCF101 = Convention(
    (PSNR, SSIM, *UNROUNDED),
    "RIFE, EMA-VFI (benchmark/UCF101.py); unrounded: UPR-Net (tools/benchmark_ucf101.py)",
    pictures=379,
    size=(256, 256),
)
VIMEO90K = Convention(
    (PSNR, SSIM, *UNROUNDED),
    "RIFE (benchmark/Vimeo90K.py: PSNR, SSIM unrounded); unrounded: EMA-VFI, UPR-Net",
    pictures=3782,
    size=(448, 256),
)
SEPTUPLETS = Convention(
    VIMEO90K.columns,
    "as for the triplets of Vimeo90K",
    pictures=7824,
    size=(448, 256),
    note="The middle frame of each septuplet is made from its two neighbours.",
)
MIDDLEBURY = Convention(
    (Column("IE", _error), PSNR, SSIM, Column("SSIM 7x7", _ssim_uniform)),
    "IE: RIFE, EMA-VFI (benchmark/MiddleBury*.py); PSNR and SSIM 7x7: SoftSplat (benchmark_middlebury.py)",
    pictures=12,
    note="IE is the mean absolute difference in codes, not the root of the mean square of Middlebury's own site.",
)
SNU_FILM = Convention(
    (*UNROUNDED, Column("PSNR rounded", _psnr_cain), Column("SSIM rounded", _ssim)),
    "unrounded: EMA-VFI (benchmark/SNU_FILM.py), UPR-Net; rounded: CAIN (utils.py)",
    pictures=310,
    note="CAIN adds 1e-8 to the mean square error: an exact picture has 80 dB there.",
)
XIPH = Convention(
    (PSNR, Column("SSIM 7x7", _ssim_uniform)),
    "SoftSplat (benchmark_xiph.py), EMA-VFI (benchmark/Xiph.py)",
    pictures=392,
    size=(2048, 1080),
    note="2K: both frames and the truth averaged over 2 x 2 pixels and rounded; 4K: the middle 2048 x 1080 of each.",
)
X4K_4K = Convention(
    (PSNR, SSIM, *UNROUNDED),
    "EMA-VFI (benchmark/XTest_8X.py), M2M; unrounded, 4K: UPR-Net (tools/benchmark_8x_4k1000fps.py)",
    pictures=105,
    size=(4096, 2160),
    note="Frames 0 and 32 are given, frames 4, 8 .. 28 are made.",
)
X4K_2K = Convention(
    X4K_4K.columns,
    X4K_4K.source,
    pictures=105,
    size=(2048, 1080),
    note="Frames 0 and 32 are given, frames 4, 8 .. 28 are made; all averaged over 2 x 2 pixels, not rounded.",
)
