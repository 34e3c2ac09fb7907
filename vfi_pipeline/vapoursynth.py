"""``from vfi_pipeline import vapoursynth``: see ``vfi_pipeline.adapters.vapoursynth``."""

from vfi_pipeline.adapters.vapoursynth import interpolate

__all__ = ["interpolate"]
