"""Pixel grids, and small constants that are created once per device."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

CACHED_PIXELS = 2**17
"""Grids of at most this many pixels are cached: creating one costs as many operations as warping a small picture."""


def pixel_grid(height: int, width: int, *, like: Tensor) -> Tensor:
    """Coordinates of the pixel centres, ``(1, 2, height, width)``, channels (x, y), dtype and device of ``like``.

    ``grid[0, :, r, c] == (c, r)``. Small ones are shared: not to be changed in place.
    """
    make = _cached_grid if height * width <= CACHED_PIXELS else _new_grid
    return make(height, width, like.dtype, like.device)


def _new_grid(height: int, width: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    y, x = torch.meshgrid(
        torch.arange(height, dtype=dtype, device=device),
        torch.arange(width, dtype=dtype, device=device),
        indexing="ij",
    )
    return torch.stack((x, y))[None]


@lru_cache(maxsize=32)
def _cached_grid(height: int, width: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # the first caller may be in inference mode, later ones may need gradients
        return _new_grid(height, width, dtype, device)


@lru_cache(maxsize=256)
def _constant(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.tensor(values, dtype=dtype, device=device).view(1, -1, 1, 1)


def constant(values: tuple[float, ...], like: Tensor) -> Tensor:
    """One value per channel, ``(1, C, 1, 1)``, dtype and device of ``like``. Shared: not to be changed in place.

    ``Tensor.new_tensor`` copies from the host at every call, which stalls a GPU and cannot be captured in a CUDA graph.
    """
    return _constant(values, like.dtype, like.device)


def filled(values: tuple[float, ...], like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """The values as one tensor (N,) on the device of ``like``, of its type or another. Shared: not to be changed in
    place.

    Unlike ``constant``, which copies them when it first sees them, nothing comes from the host: for values that may be
    new with every pair.
    """
    return _filled(values, dtype or like.dtype, like.device)


@lru_cache(maxsize=256)
def _filled(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        if device.type == "cpu":
            return torch.tensor(values, dtype=dtype)
        return torch.cat([torch.full((1,), value, dtype=dtype, device=device) for value in values])
