"""One size and one format for pictures that have different ones.

The rule. The animation has the size of the first picture (``size=`` names another). Its pixels are grey if all pictures
are, else RGB; with alpha if one has it; of 16 bit if one has more than 8. A picture of another size is scaled until it
covers the canvas and what hangs over is cut off evenly on both sides, as long as at least ``LEAST_KEPT`` of it stays to
be seen; beyond that there is no rule, and the user says by ``fit_size=`` what is to happen. A picture of the right size
is not touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.media.frames import Colour, Frame, PixelFormat, pixel_format

LEAST_KEPT = 0.7
"""Share of a picture that has to stay when it is cropped without being asked (16:9 beside 4:3 keeps 0.75)."""


@dataclass(frozen=True)
class Placed:
    """A picture on the canvas, and where its points went: ``x -> scale * (x + 0.5) + offset - 0.5``, (x, y)."""

    frame: Frame
    scale: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)

    def moved(self, points: Tensor) -> Tensor:
        """(N, 2) pixel coordinates of the file's upright picture -> of the canvas."""
        return points.new_tensor(self.scale) * (points + 0.5) + points.new_tensor(self.offset) - 0.5


class Described(Protocol):
    """Anything that says of a picture what its samples are: a frame, or what was kept of one."""

    @property
    def format(self) -> PixelFormat: ...

    @property
    def colour(self) -> Colour: ...


def common_format(frames: Sequence[Described]) -> PixelFormat:
    """The smallest format that holds all of ``frames`` without loss."""
    formats = [frame.format for frame in frames]
    alpha = any(form.has_alpha for form in formats)
    base = "gbrap" if alpha else "gbrp" if any(form.is_rgb for form in formats) else "gray"
    return pixel_format(base + ("16le" if max(form.depth for form in formats) > 8 else ""))


def common_colour(frames: Sequence[Described], form: PixelFormat) -> Colour:
    """The tags that all share; full range."""
    first = frames[0].colour
    same = all((f.colour.primaries, f.colour.transfer) == (first.primaries, first.transfer) for f in frames)
    tags = Colour(primaries=first.primaries, transfer=first.transfer) if same else Colour()
    return replace(tags, matrix="gbr" if form.is_rgb else None, range="pc")


def canvas_size(size: str, sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """(width, height) of the animation. ``size``: ``first``, ``largest``, ``smallest`` (by area) or ``640x360``."""
    if size in ("largest", "smallest"):
        pick = max if size == "largest" else min
        return pick(sizes, key=lambda wh: wh[0] * wh[1])
    if size == "first":
        return sizes[0]
    width, height = size.split("x")
    return int(width), int(height)


def check_overlap(name: str, size: tuple[int, int], canvas: tuple[int, int], fit_size: str | None) -> None:
    """UserError if cropping would lose too much of a picture, and nobody said what to do."""
    kept = kept_share(size, canvas)
    if fit_size is None and kept < LEAST_KEPT:
        raise UserError(
            f"{name} is {size[0]}x{size[1]} and the animation {canvas[0]}x{canvas[1]}: cut to that shape, only "
            f"{100 * kept:.0f} % of it would be seen, and no rule says what to do.",
            "fit_size=crop (cut it all the same), fit_size=pad (bars) or fit_size=stretch.",
            BAD_INPUT,
        )


def kept_share(size: tuple[int, int], canvas: tuple[int, int]) -> float:
    """Share of a picture's area that stays when it is scaled to cover the canvas and cropped."""
    across, down = canvas[0] / size[0], canvas[1] / size[1]
    return min(across, down) / max(across, down)


def promoted(frame: Frame, form: PixelFormat, colour: Colour) -> Frame:
    """``frame`` in a format that holds it: grey repeated, opaque alpha added, 8 bit times 257."""
    if frame.format == form:
        return replace(frame, colour=colour)
    had = {plane.kind: array for plane, array in zip(frame.format.planes, frame.planes)}
    planes = []
    for plane in form.planes:
        if plane.kind == "a" and "a" not in had:
            planes.append(np.full((frame.height, frame.width), form.peak, form.dtype))
            continue
        samples = had[plane.kind] if plane.kind in had else had["y"]
        if frame.format.depth != form.depth:
            wide = samples.astype(np.uint64) * form.peak * 2 + frame.format.peak
            samples = (wide // (2 * frame.format.peak)).astype(form.dtype)
        planes.append(samples)
    return replace(frame, planes=tuple(planes), format=form, colour=colour)


def placed(frame: Frame, canvas: tuple[int, int], fit_size: str | None) -> Placed:
    """``frame`` on the canvas (width, height), by the rule above; untouched if it has that size."""
    if (frame.width, frame.height) == canvas:
        return Placed(frame)
    picture = tensor_of(frame)
    across, down = canvas[0] / frame.width, canvas[1] / frame.height
    if fit_size == "stretch":
        resized, scale, offset = _resized(picture, *canvas), (across, down), (0.0, 0.0)
        return Placed(frame_of(resized, frame), scale, offset)
    factor = min(across, down) if fit_size == "pad" else max(across, down)
    width, height = (max(1, round(side * factor)) for side in (frame.width, frame.height))
    resized = _resized(picture, width, height)
    left, top = (canvas[0] - width) // 2, (canvas[1] - height) // 2  # negative where it hangs over
    bars = (left, canvas[0] - width - left, top, canvas[1] - height - top)
    # Bars are black, or see-through where there is alpha (premultiplied: all zero).
    resized = F.pad(resized, bars)
    return Placed(frame_of(resized, frame), (width / frame.width, height / frame.height), (float(left), float(top)))


def _resized(picture: Tensor, width: int, height: int) -> Tensor:
    if picture.shape[-2:] == (height, width):
        return picture
    resized = F.interpolate(picture, (height, width), mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)
    if resized.shape[1] == 4:  # bicubic weights overshoot: no colour may be brighter than its opacity
        resized = torch.cat((torch.minimum(resized[:, :3], resized[:, 3:]), resized[:, 3:]), dim=1)
    return resized


# ------------------------------------------------------------------------------------------------ frames and tensors

_ORDER = {"y": 0, "r": 0, "g": 1, "b": 2, "a": 3}


def tensor_of(frame: Frame) -> Tensor:
    """(1, C, H, W) float32 in [0, 1]: grey, RGB, or RGB premultiplied by alpha, and alpha."""
    form = frame.format
    picture = torch.empty(1, len(form.planes), frame.height, frame.width)
    for plane, samples in zip(form.planes, frame.planes):
        picture[0, _ORDER[plane.kind]] = torch.from_numpy(samples.astype(np.float32)) / form.peak
    if form.has_alpha:
        picture[:, :3] *= picture[:, 3:]
    return picture


def frame_of(picture: Tensor, like: Frame, time: Fraction = Fraction(0)) -> Frame:
    """The picture as a frame with ``like``'s format and tags, rounded; its own size.

    Where nothing is visible, colours are black. ``frame_of(tensor_of(frame), frame)`` gives every opaque sample back.
    """
    form = like.format
    picture = picture.detach().float().cpu()
    if form.has_alpha:
        alpha = picture[:, 3:]
        colours = torch.where(alpha > 0.25 / form.peak, picture[:, :3] / alpha.clamp(min=0.25 / form.peak), 0.0)
        picture = torch.cat((colours, alpha), dim=1)
    codes = (picture[0].clamp(0, 1) * form.peak + 0.5).to(torch.int32).numpy()
    planes = tuple(np.ascontiguousarray(codes[_ORDER[plane.kind]], dtype=form.dtype) for plane in form.planes)
    return Frame(planes, form, picture.shape[-1], picture.shape[-2], time, like.colour)
