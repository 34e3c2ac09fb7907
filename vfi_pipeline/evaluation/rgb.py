"""Frames as RGB, in bytes or unrounded, and back: all figures are computed on these.

How subsampled chroma becomes RGB changes figures by hundredths of a dB, by tenths above 40 dB (docs/evaluation.md):

- ``nearest``: each chroma sample is repeated. ffmpeg's default for 8 bit (``ffmpeg -i film.mp4 %05d.png``), PyAV's and
  OpenCV's; the figures of this project unless it is said otherwise.
- ``bicubic``: chroma is interpolated and its siting respected, as players do; ffmpeg's
  ``-vf scale=flags=bicubic+accurate_rnd+full_chroma_int:in_h_chr_pos=0:in_v_chr_pos=128`` for chroma sited left.
  (With ``-sws_flags`` alone ffmpeg takes all chroma for sited in the middle.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vfi_pipeline.media import ffmpeg
from vfi_pipeline.media.frames import Colour, Frame, pixel_format

CHROMA = ("nearest", "bicubic")

PORTION = 64
"""Frames per call of ffmpeg, so that their bytes do not double a long clip's memory."""

SITES = {"left": (0, 128), "center": (128, 128), "topleft": (0, 0), "top": (128, 0), "bottomleft": (0, 256),
         "bottom": (128, 256)}  # fmt: skip
"""Where a chroma sample of 4:2:0 lies, as swscale counts: (x, y) from the first luma sample in 1/256 px."""


def to_rgb(frames: Sequence[Frame], chroma: str = "nearest") -> np.ndarray:
    """Frames of one format as (N, H, W, 3) uint8; alpha is dropped, grey repeated, deeper samples rounded.

    Args:
        chroma: one of ``CHROMA``; means nothing to RGB and grey.

    Raises:
        ValueError: if there is no such ``chroma``.
        UserError: if ffmpeg fails.
    """
    if chroma not in CHROMA:
        raise ValueError(f"chroma is one of {', '.join(CHROMA)}, got {chroma!r}.")
    if not frames:
        return np.empty((0, 0, 0, 3), np.uint8)
    first = frames[0]
    if has_full_rgb(first):
        # Not by ffmpeg, which does not round 16 bits to 8 but cuts them.
        return np.stack([np.stack([_rounded(plane, first.format.peak) for plane in _rgb(f)], -1) for f in frames])
    source = tagged(ffmpeg.raw_input(first.format.name, first.width, first.height, 25).video, first.colour)
    spec = raw_rgb(source, first.colour, chroma)
    portions = [
        from_bytes(
            ffmpeg.run(spec, "converting frames to RGB", stdin=plane_bytes(frames[k : k + PORTION])).stdout,
            (first.width, first.height),
        )
        for k in range(0, len(frames), PORTION)
    ]
    return np.concatenate(portions)


def has_full_rgb(frame: Frame) -> bool:
    """Whether the format is RGB or full-range grey, whose conversion to RGB is exact."""
    return frame.format.is_rgb or (len(frame.format.planes) == 1 and frame.colour.range != "tv")


def unrounded_rgb(frames: Sequence[Frame]) -> np.ndarray:
    """Frames of RGB or full-range grey as (N, H, W, 3) float32 in codes 0..255, with all their bits.

    Bytes come back exact from 16 bits: they are divided by 257.
    """
    scale = np.float32(frames[0].format.peak / 255)
    return np.stack([np.stack([plane.astype(np.float32) / scale for plane in _rgb(f)], -1) for f in frames])


def rgb_frame(picture: np.ndarray) -> Frame:
    """A picture (H, W, 3) as a frame: uint8 as ``gbrp``, float codes 0..255 as ``gbrp16le``.

    255 divides 65535, so a picture of bytes is exact in both. 16 bits are for predictions that must not be rounded to
    8: the frames that are made of such frames keep 1/257 of a code.
    """
    if picture.dtype == np.uint8:
        form = pixel_format("gbrp")
    else:
        form, picture = pixel_format("gbrp16le"), np.rint(picture.astype(np.float64) * 257).astype("<u2")
    height, width = picture.shape[:2]
    planes = tuple(np.ascontiguousarray(picture[..., k]) for k in (1, 2, 0))
    return Frame(planes, form, width, height, colour=Colour(matrix="gbr", range="pc"))


def tagged(stream: Any, colour: Colour) -> Any:
    """Raw frames carry no tags: without these, every matrix would be taken for BT.601 and every range for limited."""
    tags = {"colorspace": colour.matrix, "range": colour.range}
    tags = {key: value for key, value in tags.items() if value}
    return stream.filter("setparams", **tags) if tags else stream


def raw_rgb(stream: Any, colour: Colour, chroma: str) -> Any:
    """The output node that writes ``stream`` as raw ``rgb24``, its chroma as ``to_rgb`` says."""
    if chroma == "bicubic":
        x, y = SITES.get(colour.chroma_location or "left", SITES["left"])
        flags = "bicubic+accurate_rnd+full_chroma_int"
        stream = stream.filter("scale", flags=flags, in_h_chr_pos=x, in_v_chr_pos=y)
    return stream.output("pipe:1", f="rawvideo", pix_fmt="rgb24", fps_mode="passthrough")


def plane_bytes(frames: Sequence[Frame]) -> bytes:
    """The frames' planes one after another, as ffmpeg's ``rawvideo`` has them."""
    return b"".join(plane.tobytes() for frame in frames for plane in frame.planes)


def from_bytes(data: bytes, size: tuple[int, int]) -> np.ndarray:
    """Raw ``rgb24`` of (width, height) pictures as (N, H, W, 3) uint8."""
    return np.frombuffer(data, np.uint8).reshape(-1, size[1], size[0], 3)


def _rgb(frame: Frame) -> list[np.ndarray]:
    """The planes R, G, B; grey three times."""
    planes = {plane.kind: array for plane, array in zip(frame.format.planes, frame.planes)}
    return [planes.get(kind, planes.get("y", frame.planes[0])) for kind in "rgb"]


def _rounded(plane: np.ndarray, peak: int) -> np.ndarray:
    if peak == 255:
        return plane
    return np.rint(plane.astype(np.float32) * np.float32(255 / peak)).astype(np.uint8)
