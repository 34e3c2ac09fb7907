"""How good a made frame is. Pure functions of pictures and flows; every one returns a value **per frame**, ``(B,)``.

Averaging, everywhere in this project: a clip's figure is the mean of its made frames' values, a folder's figure is the
mean of its clips' figures. PSNR is averaged in dB, never computed from a pooled error.
"""

from vfi_pipeline.metrics.folds import Folds, fold_statistics
from vfi_pipeline.metrics.psnr import psnr, to_bytes
from vfi_pipeline.metrics.ssim import luma, ssim
from vfi_pipeline.metrics.temporal import warp_error

__all__ = ["Folds", "fold_statistics", "luma", "psnr", "ssim", "to_bytes", "warp_error"]
