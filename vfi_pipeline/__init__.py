"""Raise the frame rate of films with warping neural ODEs. Start at ``docs/architecture.md``.

    import vfi_pipeline
    vfi_pipeline.interpolate("film.mkv", fps=60)                    # film_60fps.mkv beside it
    for time, rgb in vfi_pipeline.frames("film.mkv", fps=60): ...   # (Fraction, uint8 of shape (height, width, 3))

Importing the package loads nothing else: what is named below comes when it is first asked for (docs/python.md).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vfi_pipeline.adapters.python import FilmFrame, frames, interpolate
    from vfi_pipeline.errors import UserError

__version__ = "0.11.0"

__all__ = ["FilmFrame", "UserError", "__version__", "frames", "interpolate"]

_LAZY = {
    "FilmFrame": "vfi_pipeline.adapters.python",
    "UserError": "vfi_pipeline.errors",
    "frames": "vfi_pipeline.adapters.python",
    "interpolate": "vfi_pipeline.adapters.python",
}
"""Name -> the module that has it."""

_MODULES = ("comfyui", "vapoursynth")
"""Adapters of other programs, each ``vfi_pipeline.<name>``."""


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"vfi_pipeline.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
