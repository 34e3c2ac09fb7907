"""Single pictures as RGB or grey, upright: what an animation starts from, and what its key frames have to equal.

PNG, TIFF and their kin keep every bit (16 too). JPEG and lossy WebP are stored as YUV; their RGB is what libjpeg and
libwebp make of it, which is what image viewers, Pillow and browsers show.
"""

from __future__ import annotations

from pathlib import Path

from vfi_pipeline.errors import UserError
from vfi_pipeline.media import images
from vfi_pipeline.media.frames import Frame


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
            # A float or palette of some sort that ffmpeg's door does not take.
            return images.read_by_pillow(path, max_pixels)
        if frame.format.is_rgb or len(frame.format.planes) == 1:
            return frame
    return images.read_by_pillow(path, max_pixels)
