"""The protection mask: what is white stays as it is in the nearer source frame (HUD, logo, burnt-in subtitles)."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.media.frames import Frame
from vfi_pipeline.media.scaling import Scaling
from vfi_pipeline.synthesis.planes import Layout, to_device
from vfi_pipeline.synthesis.resize import mask_on


class Mask:
    """How much of each point is protected, 0 .. 1, for pictures of any size: the mask covers the frame."""

    def __init__(self, values: np.ndarray) -> None:
        """``values``: (h, w) in [0, 1], any h, w; 1 = protected."""
        self.values = np.clip(values, 0, 1).astype(np.float32)
        self._uploaded: dict[tuple[Layout, Scaling | None, torch.device], list[Tensor]] = {}
        self._scaled: dict[Scaling, Mask] = {}
        self._fitted: dict[tuple[int, ...], tuple[np.ndarray, tuple[slice, slice]]] = {}

    def on_canvas(self, scaling: Scaling | None) -> Mask:
        """The mask of source pictures as one of scaled ones; nothing is protected of bars."""
        if scaling is None:
            return self
        if scaling not in self._scaled:
            x, y, width, height = scaling.place
            whole = np.zeros(scaling.canvas[::-1], np.float32)
            whole[y : y + height, x : x + width] = mask_on(self.values, scaling)
            self._scaled[scaling] = Mask(whole)
        return self._scaled[scaling]

    def on_device(self, layout: Layout, scaling: Scaling | None, device: torch.device) -> list[Tensor]:
        """The mask on each group's samples of the made picture, (1, 1, h, w), uploaded once."""
        key = layout, scaling, device
        if key not in self._uploaded:
            placed = self if scaling is None else Mask(mask_on(self.values, scaling))
            weights = []
            for group in layout.groups:
                part, box = placed.on(layout.plane_size(group))
                whole = np.zeros(layout.plane_size(group), np.float32)
                whole[box] = part
                weights.append(to_device(torch.from_numpy(whole)[None, None], device))
            self._uploaded[key] = weights
        return self._uploaded[key]

    def on(self, shape: tuple[int, ...]) -> tuple[np.ndarray, tuple[slice, slice]]:
        """The mask on a plane of ``shape`` (h, w): (the part that is not zero, where that part lies)."""
        if shape not in self._fitted:
            h, w = shape
            shrinks = self.values.shape[0] >= h and self.values.shape[1] >= w
            weight = cv2.resize(self.values, (w, h), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
            rows, columns = np.flatnonzero(weight.any(axis=1)), np.flatnonzero(weight.any(axis=0))
            box = (
                slice(int(rows[0]), int(rows[-1]) + 1) if len(rows) else slice(0, 0),
                slice(int(columns[0]), int(columns[-1]) + 1) if len(columns) else slice(0, 0),
            )
            self._fitted[shape] = (np.clip(weight[box], 0, 1), box)
        return self._fitted[shape]


def read_mask(path: Path) -> Mask:
    """Reads a picture as a mask; protection is its brightness times its opacity.

    Raises:
        UserError: if the file is not there or not a picture.
    """
    try:
        data = np.fromfile(path, np.uint8)  # cv2.imread fails on some names; the bytes have none
    except OSError as error:
        raise UserError(f"The mask {path} cannot be read: {error.strerror}.", "mask=image.png (PNG or JPEG)") from None
    picture = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if picture is None:
        raise UserError(f"The mask {path} is not a picture.", "mask=image.png (PNG or JPEG)", BAD_INPUT)
    peak = {"uint8": 255, "uint16": 65535}.get(picture.dtype.name, 1.0)
    values = picture.astype(np.float32) / peak
    if values.ndim == 2:
        values = values[..., None]
    colours, rest = (values[..., :1], values[..., 1:]) if values.shape[2] < 3 else (values[..., :3], values[..., 3:])
    # White has one value in every channel; the mean of the others is as good a brightness as any.
    return Mask(colours.mean(axis=2) * (rest[..., 0] if rest.shape[2] else 1))


def keep(made: Frame, source: Frame, mask: Mask) -> Frame:
    """``made`` with the masked part taken from ``source``: ``mask * source + (1 - mask) * made`` in every plane.

    Where the mask is 1 the source's samples are exact.
    """
    planes = []
    for ours, theirs in zip(made.planes, source.planes):
        weight, box = mask.on(ours.shape)
        mixed = ours.copy()
        base = ours[box].astype(np.float32)
        mixed[box] = (base + weight * (theirs[box] - base) + 0.5).astype(ours.dtype)
        planes.append(mixed)
    return Frame(tuple(planes), made.format, made.width, made.height, made.time, made.colour)
