"""Single pictures as RGB or grey, upright: the one reader of pictures, for animation, training and evaluation.

The rule: PNG, TIFF and other lossless formats keep every bit (16 too). JPEG and lossy WebP are stored as YUV; their RGB
is what libjpeg and libwebp make of it, which is what image viewers, Pillow and browsers show. Floats count from 0 to 1
and become 16 bit; anything beyond is refused, since its meaning is unknown. Where RGB is asked for (``as_channels``),
grey is repeated and what is see-through lies over mid grey. A picture that is damaged anywhere is refused: half of one
is none.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import av
import numpy as np

from vfi_pipeline.errors import UserError
from vfi_pipeline.media import images
from vfi_pipeline.media.frames import Frame, oriented
from vfi_pipeline.media.opening import MAX_PIXELS

BACKDROP = 0.5
"""What lies behind a see-through picture where its opacity cannot be kept."""

LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def read_still(path: Path, max_pixels: int = MAX_PIXELS) -> Frame:
    """The picture, upright by its EXIF orientation; ``gray``, ``gbrp`` or ``gbrap`` of 8 to 16 bit, full range.

    Raises:
        UserError: if it cannot be read, is damaged, or is too large.
    """
    kind = images.demuxer(path)
    if kind == "png_pipe":
        _check_png(path)
    if kind != "jpeg_pipe":
        try:
            frame = images.read_picture(path, max_pixels)
        except UserError:
            # ``media.layout`` has no planes for floats.
            frame_of_floats = _floats(path, max_pixels) if kind not in (None, images.BY_PILLOW) else None
            if frame_of_floats is None and (kind is None or images.declared_size(path) is None):
                raise
            return frame_of_floats or images.read_by_pillow(path, max_pixels)
        if frame.format.is_rgb or len(frame.format.planes) == 1:
            return frame
    return images.read_by_pillow(path, max_pixels)


def samples(frame: Frame) -> np.ndarray:
    """(h, w, C) float32 in [0, 1] of a picture: grey, RGB, or RGB premultiplied by alpha, and alpha."""
    order = [kind for kind in "yrgba" if any(plane.kind == kind for plane in frame.format.planes)]
    planes = {plane.kind: array for plane, array in zip(frame.format.planes, frame.planes)}
    stack = np.stack([planes[kind] for kind in order], axis=-1).astype(np.float32) / np.float32(frame.format.peak)
    if frame.format.has_alpha:
        stack[..., :3] *= stack[..., 3:]
    return stack


def as_channels(picture: np.ndarray, channels: int) -> np.ndarray:
    """``samples`` as grey (1), RGB (3) or premultiplied RGB and alpha (4): (h, w, channels) float32, by the rule above.

    Raises:
        ValueError: for another number of channels.
    """
    if channels not in (1, 3, 4):
        raise ValueError(f"A picture has 1 channel (grey), 3 (RGB) or 4 (RGB and alpha), not {channels}.")
    has = picture.shape[-1]
    if has == channels:
        return picture
    if channels == 4:
        return np.concatenate((as_channels(picture, 3), np.ones_like(picture[..., :1])), axis=-1)
    rgb = np.repeat(picture, 3, axis=-1) if has == 1 else picture[..., :3]
    if has == 4:
        rgb = rgb + np.float32(BACKDROP) * (1 - picture[..., 3:])
    return rgb if channels == 3 else (rgb @ LUMA)[..., None]


def read_rgb8(path: Path) -> np.ndarray:
    """The picture as (h, w, 3) uint8 RGB, rounded. Errors as ``read_still``."""
    frame = read_still(path)
    if frame.format.depth == 8 and not frame.format.has_alpha:
        planes = {plane.kind: array for plane, array in zip(frame.format.planes, frame.planes)}
        return np.stack([planes["y" if "y" in planes else kind] for kind in "rgb"], axis=-1)
    return np.round(255 * as_channels(samples(frame), 3)).astype(np.uint8)


def _check_png(path: Path) -> None:
    """UserError over a PNG with a wrong checksum, out of which decoders make what they can."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as picture:
                picture.verify()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        if isinstance(error, Image.DecompressionBombError):
            return  # how large is too large is decided elsewhere
        raise images.unreadable(path, str(error) or type(error).__name__) from error


def _floats(path: Path, max_pixels: int) -> Frame | None:
    """A picture of floats, as ffmpeg decodes it; None if it is none."""
    try:
        with images.open_picture(path, max_pixels) as container:
            decoded = images.decode_picture(path, container, max_pixels)
            if "f32" not in decoded.format.name and "f16" not in decoded.format.name:
                return None
            rotation, mirrored = images.picture_orientation(path, decoded)
            array = decoded.to_ndarray()
    except (UserError, ValueError, av.error.FFmpegError):
        return None
    return oriented(images.sixteen_bit(path, array), rotation, mirrored)
