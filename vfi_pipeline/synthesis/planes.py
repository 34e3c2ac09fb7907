"""Frames as tensors, and tensors as frames: planes of one size are the channels of one tensor, where the device is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from vfi_pipeline.media.frames import Frame, PixelFormat, pixel_format

# Where a chroma sample lies among the sub_x x sub_y luma pixels that it serves: 0 = on the first, 0.5 = in the middle,
# 1 = on the last; (x, y). Untagged video is 'left', as MPEG-2, H.264 and HEVC say and as ffmpeg assumes.
SITING = {
    "left": (0.0, 0.5),
    "center": (0.5, 0.5),
    "topleft": (0.0, 0.0),
    "top": (0.5, 0.0),
    "bottomleft": (0.0, 1.0),
    "bottom": (0.5, 1.0),
}


@dataclass(frozen=True)
class Group:
    """Planes of one size, handled as the channels of one tensor.

    Sample (row i, column j) lies at luma position ``(offset_x + sub_x * j, offset_y + sub_y * i)``.
    """

    planes: tuple[int, ...]
    sub: tuple[int, int]
    offset: tuple[float, float]


@dataclass(frozen=True)
class Layout:
    """How a pixel format's planes are grouped. ``alpha`` is the alpha plane's channel in group 0, or None."""

    format: PixelFormat
    width: int
    height: int
    groups: tuple[Group, ...]
    alpha: int | None

    def plane_size(self, group: Group) -> tuple[int, int]:
        """(height, width) of the group's planes."""
        return self.format.plane_size(group.planes[0], self.width, self.height)


@lru_cache
def layout_of_format(name: str, width: int, height: int, siting: str = "left") -> Layout:
    """The layout of pixel format ``name`` in a size; ``siting`` is one of ``SITING``."""
    fmt = pixel_format(name)
    sizes: dict[tuple[int, int], list[int]] = {}
    for index, plane in enumerate(fmt.planes):
        sizes.setdefault((plane.sub_x, plane.sub_y), []).append(index)
    place = SITING.get(siting, SITING["left"])
    groups = tuple(
        Group(tuple(members), sub, (place[0] * (sub[0] - 1), place[1] * (sub[1] - 1))) for sub, members in sizes.items()
    )
    full = [fmt.planes[index].kind for index in groups[0].planes]
    return Layout(fmt, width, height, groups, full.index("a") if "a" in full else None)


def layout_of(frame: Frame, size: tuple[int, int] | None = None) -> Layout:
    """The layout of ``frame``'s format and chroma siting, of its own size or of another (width, height)."""
    width, height = size or (frame.width, frame.height)
    return layout_of_format(frame.format.name, width, height, frame.colour.chroma_location or "left")


def to_codes(frame: Frame, device: str | torch.device = "cpu") -> list[Tensor]:
    """The frame's planes as they are, one (1, C, h, w) tensor per group of its layout: uint8, or int16 that holds the
    bits of the unsigned 16."""
    device = torch.device(device)
    loaded = []
    for group in layout_of(frame).groups:
        planes = [frame.planes[index] for index in group.planes]
        if _has_pinned_memory(device):
            codes = _pinned(planes)
        else:
            together = np.stack(planes)[None]
            codes = torch.from_numpy(together if together.itemsize == 1 else together.view(np.int16))
        loaded.append(to_device(codes, device))
    return loaded


def _pinned(planes: Sequence[np.ndarray]) -> Tensor:
    """Planes of one size as the channels of one tensor (1, C, h, w) in page-locked memory: uint8 or int16."""
    kind = torch.uint8 if planes[0].itemsize == 1 else torch.int16
    codes = torch.empty(1, len(planes), *planes[0].shape, dtype=kind, pin_memory=True)
    samples = codes.numpy().view(planes[0].dtype)
    for channel, plane in enumerate(planes):
        samples[0, channel] = plane
    return codes


def _has_pinned_memory(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.is_available()


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the host's on the device. The host goes on meanwhile, and so does what the device computes: the copy
    has a stream of its own, for which only what is launched from now on waits."""
    if not _has_pinned_memory(device):
        return tensor.to(device)
    pinned = tensor.pin_memory()  # only from there is a copy made while the host goes on
    stream, computing = _upload_stream(device), torch.cuda.current_stream(device)
    with torch.cuda.stream(stream):
        there = pinned.to(device, non_blocking=True)
    computing.wait_stream(stream)
    there.record_stream(computing)  # not to be given away while it is read
    return there


@lru_cache(maxsize=8)
def _upload_stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)


def as_values(codes: Tensor) -> Tensor:
    """``to_codes``' samples as float32; values stay values."""
    if codes.is_floating_point():
        return codes
    return codes.float() if codes.dtype == torch.uint8 else (codes.to(torch.int32) & 0xFFFF).float()


def to_tensors(frame: Frame, device: str | torch.device = "cpu") -> list[Tensor]:
    """The frame's planes as code values in float32, one (1, C, h, w) tensor per group of its layout."""
    if torch.device(device).type != "cpu":
        return [as_values(codes) for codes in to_codes(frame, device)]
    loaded = []
    for group in layout_of(frame).groups:
        height, width = frame.planes[group.planes[0]].shape
        out = torch.empty(1, len(group.planes), height, width)
        for channel, index in enumerate(group.planes):
            plane = frame.planes[index]
            # torch warns of read-only memory; decoders may hand some out. It is only read here.
            out[0, channel] = torch.from_numpy(plane if plane.flags.writeable else plane.copy())
        loaded.append(out)
    return loaded


def to_frame(groups: list[Tensor], layout: Layout, like: Frame, time: Fraction, row: int = 0) -> Frame:
    """Sample ``row`` of the batch, ``rounded``, as a frame with ``like``'s colour tags, at ``time``."""
    return Arriving(rounded([tensor[row : row + 1] for tensor in groups], layout), layout, like, time).frame()


class _Download:
    """Tensors on their way from the device. The copies run beside what the device computes next."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._tensors = list(tensors)
        self._copied: torch.cuda.Event | None = None
        if tensors[0].is_cuda and torch.cuda.is_available():
            stream = _download_stream(tensors[0].device)
            stream.wait_stream(torch.cuda.current_stream(tensors[0].device))
            with torch.cuda.stream(stream):
                self._tensors = [
                    torch.empty(x.shape, dtype=x.dtype, pin_memory=True).copy_(x, non_blocking=True) for x in tensors
                ]
                self._copied = torch.cuda.Event()
                self._copied.record(stream)
            for x in tensors:
                x.record_stream(stream)  # not to be given away before it is copied

    def tensors(self) -> list[Tensor]:
        """The tensors on the host, waited for."""
        if self._copied is not None:
            self._copied.synchronize()
        return [x.cpu() for x in self._tensors]


class ArrivingNumber:
    """A number () on its way from the device."""

    def __init__(self, number: Tensor) -> None:
        self._download = _Download([number])

    def value(self) -> float:
        """The number, waited for."""
        return float(self._download.tensors()[0])


class Arriving:
    """A frame on its way from the device.

    Args:
        groups: per group of ``layout`` (1, C, h, w), see ``rounded``.
        like, time: whose colour tags the frame takes, and when it is shown.
        finish: what is done to it on the host.
    """

    def __init__(
        self,
        groups: Sequence[Tensor],
        layout: Layout,
        like: Frame,
        time: Fraction,
        finish: Callable[[Frame], Frame] | None = None,
    ) -> None:
        self._layout, self._like, self._time, self._finish = layout, like, time, finish
        self._download = _Download(groups)

    def frame(self) -> Frame:
        """The frame, waited for."""
        layout = self._layout
        planes: list[np.ndarray] = [np.empty(0)] * len(layout.format.planes)
        for group, codes in zip(layout.groups, self._download.tensors()):
            samples = codes[0].numpy().view(layout.format.dtype)
            for channel, index in enumerate(group.planes):
                planes[index] = samples[channel]
        frame = Frame(tuple(planes), layout.format, layout.width, layout.height, self._time, self._like.colour)
        return frame if self._finish is None else self._finish(frame)


@lru_cache(maxsize=8)
def _download_stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)


def rounded(groups: Sequence[Tensor], layout: Layout) -> list[Tensor]:
    """Code values rounded, halves upwards, where they lie: the bytes of the format's own samples, no more of them.

    Returns:
        Per group (B, C, h, w), uint8 up to 8 bit, else int16 that holds the bits of the unsigned 16.
    """
    if layout.format.depth <= 8:
        return [(tensor + 0.5).to(torch.uint8) for tensor in groups]
    return [(tensor + 0.5).to(torch.int32).to(torch.int16) for tensor in groups]
