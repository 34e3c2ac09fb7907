"""How good a predicted frame is. Pure functions of pictures and flows; each returns a value **per frame**, ``(B,)``.

Averaging, everywhere in this project: a clip's figure is the mean over its predicted frames, a folder's figure is the
mean of its clips' figures. PSNR is averaged in dB, never computed from a pooled error.
"""

from vfi_pipeline.metrics.folds import Folds, fold_statistics
from vfi_pipeline.metrics.psnr import interpolation_error, psnr, to_bytes
from vfi_pipeline.metrics.ssim import luma, ssim, ssim_matlab, ssim_uniform
from vfi_pipeline.metrics.temporal import warp_error

__all__ = [
    "Folds", "fold_statistics", "interpolation_error", "luma", "psnr", "ssim", "ssim_matlab", "ssim_uniform",
    "to_bytes", "warp_error",
]  # fmt: skip
