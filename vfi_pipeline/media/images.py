"""Image sequences as a source: a folder or a glob of pictures in natural order, or a single picture.

Pictures are decoded by the same decoders as video (JPEG stays YUV, 16 bit stays 16 bit) and turned upright by their
EXIF orientation, which no output could carry. All must have one size and pixel format; each is shown for 1/rate s.
"""

from __future__ import annotations

import glob
import re
import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import IO, TypeVar

import av
import av.error
import numpy as np
from PIL import Image, UnidentifiedImageError

from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.media import facts
from vfi_pipeline.media.decoding import decode_packets, decoder_for
from vfi_pipeline.media.frames import Frame, oriented, oriented_format, pixel_format
from vfi_pipeline.media.info import SourceInfo, VideoInfo
from vfi_pipeline.media.layout import Layout, is_transparent, layout
from vfi_pipeline.media.opening import check_file, open_media

T = TypeVar("T")

SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".webp", ".bmp", ".dpx")
    + (".ppm", ".pgm", ".pnm", ".tga", ".jp2", ".j2k", ".sgi", ".qoi")
)
"""Names that count as pictures in a folder; which format a picture has is told by its first bytes."""

NUMBERED = re.compile(r"%(0\d+|\d*)d")
"""The number in a name that stands for a sequence: ``shot_%04d.png``."""


def find(path: Path) -> tuple[Path, ...]:
    """The pictures that ``path`` stands for, in natural order; empty if it is not about pictures.

    A folder stands for all pictures directly in it, a name with ``*``, ``?`` or ``[`` that is no existing file for
    those that match, a picture for itself. Hidden files are left out.

    Raises:
        UserError: for a folder without pictures and a glob that matches nothing.
    """
    if path.is_dir():
        found = [child for child in path.iterdir() if _is_picture_name(child) and child.is_file()]
        if not found:
            raise UserError(
                f"{path} is a folder without pictures.", "name a video, or a folder of PNG or JPEG files.", BAD_INPUT
            )
        return tuple(sorted(found, key=natural_key))
    if not path.exists() and any(mark in str(path) for mark in "*?["):
        found = [Path(name) for name in glob.glob(str(path)) if _is_picture_name(Path(name))]
        if not found:
            raise UserError(f"{path} matches no pictures.", "check the pattern, and quote it for the shell.", BAD_INPUT)
        return tuple(sorted(found, key=natural_key))
    if path.is_file() and demuxer(path):
        return (path,)
    return ()


def natural_key(path: Path) -> tuple[object, ...]:
    """Sorts ``img2`` before ``img10``; names that differ in case or leading zeros only keep a fixed order."""
    parts = re.split(r"(\d+)", path.name.casefold())
    numbers = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts if part)
    return (*numbers, (2, 0, path.name))


def _is_picture_name(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def demuxer(path: Path) -> str | None:
    """ffmpeg's demuxer for a picture, by its first bytes; None for anything else, animations (APNG, GIF) included."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
            if head.startswith(b"\x89PNG\r\n\x1a\n"):
                return None if _is_animated_png(file) else "png_pipe"
    except OSError:
        return None
    for start, name in (
        (b"\xff\xd8\xff", "jpeg_pipe"), (b"II*\0", "tiff_pipe"), (b"MM\0*", "tiff_pipe"), (b"SDPX", "dpx_pipe"),
        (b"XPDS", "dpx_pipe"), (b"qoif", "qoi_pipe"), (b"\x01\xda", "sgi_pipe"), (b"P5", "pgm_pipe"),
        (b"P6", "ppm_pipe"), (b"P4", "pbm_pipe"), (b"\0\0\0\x0cjP  ", "j2k_pipe"), (b"\xff\x4f\xff\x51", "j2k_pipe"),
    ):  # fmt: skip
        if head.startswith(start):
            return name
    if head.startswith(b"BM") and head[14:18] in (b"(\0\0\0", b"\x0c\0\0\0", b"l\0\0\0", b"|\0\0\0", b"@\0\0\0"):
        return "bmp_pipe"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "webp_pipe"  # an animated one is refused by ``open_picture``
    return "tga_pipe" if path.suffix.lower() == ".tga" else None


def _is_animated_png(file: IO[bytes]) -> bool:
    """Whether an ``acTL`` chunk comes before the first ``IDAT``, as the APNG specification demands."""
    at = 8
    for _ in range(64):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8 or head[4:8] == b"IDAT":
            return False
        if head[4:8] == b"acTL":
            return True
        at += 12 + int.from_bytes(head[:4], "big")
    return False


def _is_animated_webp(path: Path) -> bool:
    """The animation bit of the VP8X chunk, which comes first where there is one (WebP container specification)."""
    with path.open("rb") as file:
        head = file.read(21)
    return len(head) == 21 and head[12:16] == b"VP8X" and bool(head[20] & 2)


def probe_images(path: Path, pictures: tuple[Path, ...], rate: Fraction, max_pixels: int) -> SourceInfo:
    """The facts of an image sequence, told by its first picture.

    Raises:
        UserError: if that cannot be read or is too large.
    """
    rate = Fraction(rate)
    first = pictures[0]
    with open_picture(first, max_pixels) as container:
        stream = container.streams.video[0]
        facts.check_size(first, stream.codec_context.width, stream.codec_context.height, max_pixels)
        decoded = decode_picture(first, container, max_pixels)
        said = facts.dump_line(container, stream.index)
        aspect = facts.sample_aspect(stream)
        codec = facts.codec_name(stream)
        context = stream.codec_context
        form = _layout(first, decoded)
        rotation, mirrored = picture_orientation(first, decoded)
        colour = facts.colour(decoded, context, form.full_range, said)
    width, height = decoded.width, decoded.height
    if rotation in (90, 270):
        width, height, aspect = height, width, 1 / aspect
    working, colour = oriented_format(form.working, colour, rotation, mirrored)
    video = VideoInfo(
        index=0,
        codec=codec,
        width=width,
        height=height,
        pixel_format=decoded.format.name,
        working_format=working.name,
        time_base=1 / rate,
        rate=rate,
        sample_aspect=aspect,
        colour=colour,
        duration=len(pictures) / rate,
        frames=len(pictures),
    )
    return SourceInfo(path=path, container="image2", video=video, duration=video.duration, images=pictures)


def read_images(info: SourceInfo, first: int, stop: int, max_pixels: int) -> Iterator[Frame]:
    """The pictures ``first .. stop - 1`` of ``info``, upright, with times from its rate.

    Raises:
        UserError: if one is missing, unreadable, or differs from the first in size or format.
    """
    video = info.video
    size = f"{video.width}x{video.height}"
    for number in range(first, stop):
        path = info.images[number]
        frame = read_picture(path, max_pixels)
        if (frame.width, frame.height) != (video.width, video.height):
            raise UserError(
                f"{path} is {frame.width}x{frame.height}, but {info.images[0].name} is {size}.",
                "give all pictures of a sequence one size.",
                BAD_INPUT,
            )
        if frame.format.name != video.working_format:
            frame = _promoted(path, frame, info)
        yield replace(frame, time=number / video.rate, colour=video.colour)


def _promoted(path: Path, frame: Frame, info: SourceInfo) -> Frame:
    """``frame`` in the sequence's format where nothing is lost: grey as RGB, opaque as RGBA; UserError otherwise."""
    wanted = pixel_format(info.video.working_format)
    if wanted.is_rgb and frame.format.depth == wanted.depth:
        kinds = {plane.kind: array for plane, array in zip(frame.format.planes, frame.planes)}
        if set(kinds) in ({"y"}, {"g", "b", "r"}) and not (frame.format.has_alpha and not wanted.has_alpha):
            kinds.setdefault("a", np.full((frame.height, frame.width), wanted.peak, wanted.dtype))
            planes = tuple(kinds[plane.kind if plane.kind in kinds else "y"] for plane in wanted.planes)
            return replace(frame, planes=planes, format=wanted)
    raise UserError(
        f"{path} has the pixel format {frame.format.name}, but {info.images[0].name} has {wanted.name}.",
        "save all pictures of a sequence in one format.",
        BAD_INPUT,
    )


def read_picture(path: Path, max_pixels: int) -> Frame:
    """One picture, upright, in its working format; time 0.

    Raises:
        UserError: if it cannot be read or is too large.
    """
    with open_picture(path, max_pixels) as container:
        context = container.streams.video[0].codec_context
        facts.check_size(path, context.width, context.height, max_pixels)
        decoded = decode_picture(path, container, max_pixels)
        form = _layout(path, decoded)
        rotation, mirrored = picture_orientation(path, decoded)
        colour = facts.colour(decoded, context, form.full_range, "")
        frame = Frame(form.planes(decoded), form.working, decoded.width, decoded.height, Fraction(0), colour)
    return oriented(frame, rotation, mirrored)


def open_picture(path: Path, max_pixels: int) -> av.container.InputContainer:
    """Open a picture by what its first bytes say it is; UserError if they say nothing, or the picture is too large."""
    check_file(path)
    name = demuxer(path)
    if name is None:
        raise UserError(f"{path} is not a picture that can be read.", "use PNG, JPEG, TIFF, WebP or BMP.", BAD_INPUT)
    if name == "webp_pipe" and _is_animated_webp(path):
        raise UserError(
            f"{path} is an animated WebP, which cannot be read.",
            "convert it to GIF, APNG or a video first (magick, webpmux).",
            BAD_INPUT,
        )
    size = declared_size(path)
    if size:
        facts.check_size(path, *size, max_pixels)
    return open_media(path, max_pixels, format=name)


def declared_size(path: Path) -> tuple[int, int] | None:
    """(width, height) as the header declares, without decoding; None for formats that Pillow does not know."""
    return _header(path, lambda picture: picture.size)


def _layout(path: Path, decoded: av.VideoFrame) -> Layout:
    try:
        return layout(decoded.format.name, is_transparent(decoded))
    except ValueError as error:
        raise UserError(f"{path}: {error}.", "save it as 8 or 16 bit PNG or TIFF.", BAD_INPUT) from None


def decode_picture(path: Path, container: av.container.InputContainer, max_pixels: int) -> av.VideoFrame:
    """The picture of an opened file; UserError if it is damaged, too large, or there is none."""
    stream = container.streams.video[0]
    decode = decoder_for(stream, 1, max_pixels)
    try:
        for frame in decode_packets(container, stream, decode):
            facts.check_size(path, frame.width, frame.height, max_pixels)
            return frame
    except (av.error.FFmpegError, ValueError) as error:
        raise UserError(
            f"{path} is damaged and cannot be decoded ({getattr(error, 'strerror', error)}).",
            "copy it again, or leave it out.",
            BAD_INPUT,
        ) from error
    raise UserError(f"{path} holds no picture.", "copy it again, or leave it out.", BAD_INPUT)


# EXIF's orientation tag -> (degrees clockwise, mirrored before that)
_EXIF = {
    1: (0, False), 2: (0, True), 3: (180, False), 4: (180, True),
    5: (270, True), 6: (90, False), 7: (90, True), 8: (270, False),
}  # fmt: skip


def picture_orientation(path: Path, decoded: av.VideoFrame) -> tuple[int, bool]:
    """How a picture wants to be turned: EXIF's orientation as (degrees clockwise, mirrored before that)."""
    return _EXIF.get(_header(path, lambda picture: picture.getexif().get(274, 1)) or 1, (0, False))


_pillow_lock = threading.Lock()


def _header(path: Path, ask: Callable[[Image.Image], T]) -> T | None:
    """What Pillow reads in a picture's header, without decoding; None if it cannot."""
    with _pillow_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of damaged tags; the decoder's word counts
        limit = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None  # ours is ``max_pixels``
        try:
            with Image.open(path) as picture:
                return ask(picture)
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError, KeyError, MemoryError, struct.error):
            return None
        finally:
            Image.MAX_IMAGE_PIXELS = limit
