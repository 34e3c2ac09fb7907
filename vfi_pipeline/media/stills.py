"""Single pictures as RGB or grey, upright: what an animation starts from, and what its key frames have to equal.

PNG, TIFF and their kin keep every bit (16 too). JPEG and lossy WebP are stored as YUV; their RGB is what libjpeg and
libwebp make of it, which is what image viewers, Pillow and browsers show.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.media import facts, images
from vfi_pipeline.media.frames import Colour, Frame, pixel_format


def read_still(path: Path, max_pixels: int) -> Frame:
    """The picture, upright by its EXIF orientation; ``gray``, ``gbrp`` or ``gbrap`` of 8 to 16 bit, full range.

    Raises:
        UserError: if it cannot be read or is too large.
    """
    kind = images.demuxer(path)
    if kind != "jpeg_pipe":
        try:
            frame = images.read_picture(path, max_pixels)
        except UserError:
            if kind is None or images.declared_size(path) is None:
                raise
            return _by_pillow(path, max_pixels)  # a float or palette of some sort that ffmpeg's door does not take
        if frame.format.is_rgb or len(frame.format.planes) == 1:
            return frame
    return _by_pillow(path, max_pixels)


def _by_pillow(path: Path, max_pixels: int) -> Frame:
    size = images.declared_size(path)
    if size is None:
        raise _unreadable(path, "its header makes no sense")
    facts.check_size(path, *size, max_pixels)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = io.BytesIO(path.read_bytes())
            with Image.open(data) as picture:
                if picture.mode[0] in "IF":
                    raise _unreadable(path, f"its samples are of the kind {picture.mode}")
                upright = ImageOps.exif_transpose(picture)
                alpha = "A" in upright.getbands() or "transparency" in upright.info
                grey = upright.mode == "L" and not alpha
                samples = np.asarray(upright.convert("L" if grey else "RGBA" if alpha else "RGB"))
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _unreadable(path, str(error) or type(error).__name__) from error
    form = pixel_format("gray" if grey else "gbrap" if alpha else "gbrp")
    order = {"y": 0, "r": 0, "g": 1, "b": 2, "a": 3}
    planes = tuple(np.ascontiguousarray(samples if grey else samples[..., order[plane.kind]]) for plane in form.planes)
    height, width = samples.shape[:2]
    return Frame(planes, form, width, height, colour=Colour(matrix=None if grey else "gbr", range="pc"))


def _unreadable(path: Path, why: str) -> UserError:
    return UserError(
        f"{path} cannot be read as a picture ({why}).", "copy it again, or save it as 8 or 16 bit PNG.", BAD_INPUT
    )
