"""Image sequences as a source: a folder or a glob of pictures in natural order, or a single picture.

Pictures are decoded by the same decoders as video (JPEG stays YUV, 16 bit stays 16 bit) and turned upright by their
EXIF orientation, which no output could carry; AVIF and HEIC are read by Pillow, as RGB, where it can. All must have one
size; where some are stored as YUV and others as RGB, all are read as RGB. Each is shown for 1/rate s, and where numbers
are missing in the names, the one before a hole for so much longer.
"""

from __future__ import annotations

import glob
import io
import re
import struct
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from importlib import import_module
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeVar

import av
import av.error
import numpy as np

from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.media import facts
from vfi_pipeline.media.decoding import decode_packets, decoder_for
from vfi_pipeline.media.frames import Colour, Frame, oriented, oriented_format, pixel_format
from vfi_pipeline.media.info import SourceInfo, VideoInfo
from vfi_pipeline.media.layout import Layout, is_transparent, layout
from vfi_pipeline.media.opening import check_file, open_media
from vfi_pipeline.media.profiles import SRGB, converted, described, same_colours

if TYPE_CHECKING:
    from PIL import Image

# An option that is no requirement: Pillow itself reads no HEIC.
if find_spec("pillow_heif") is not None:
    import_module("pillow_heif").register_heif_opener()

T = TypeVar("T")

SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".webp", ".bmp", ".dpx")
    + (".ppm", ".pgm", ".pnm", ".tga", ".jp2", ".j2k", ".sgi", ".qoi", ".avif", ".heic", ".heif", ".hif")
)
"""Names that count as pictures in a folder; which format a picture has is told by its first bytes."""

BY_PILLOW = "pillow"
"""What ``demuxer`` says of AVIF and HEIC, which are read by Pillow."""

_YUV_KINDS = ("jpeg_pipe", "webp_pipe")
"""Pictures that may be stored as YUV."""

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
        pictures = [child for child in path.iterdir() if _is_picture_name(child) and child.is_file()]
        if not pictures:
            raise UserError(
                f"{path} is a folder without pictures.", "name a video, or a folder of PNG or JPEG files.", BAD_INPUT
            )
        return tuple(sorted(pictures, key=natural_key))
    if not path.exists() and any(mark in str(path) for mark in "*?["):
        pictures = [Path(name) for name in glob.glob(str(path)) if _is_picture_name(Path(name))]
        if not pictures:
            raise UserError(f"{path} matches no pictures.", "check the pattern, and quote it for the shell.", BAD_INPUT)
        return tuple(sorted(pictures, key=natural_key))
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
    if head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"mif1", b"heic", b"heix", b"heim", b"heis"):
        return BY_PILLOW
    return "tga_pipe" if path.suffix.lower() == ".tga" else None


def is_readable(path: Path) -> bool:
    """Whether the first bytes are those of a picture that can be read here."""
    kind = demuxer(path)
    if kind == BY_PILLOW:
        return declared_size(path) is not None
    return kind is not None and not (kind == "webp_pipe" and _is_animated_webp(path))


@dataclass(frozen=True)
class Numbering:
    """Where pictures stand in a numbered sequence: the place of each, from 0, and the names of those that are missing.

    ``counted``: the places follow the numbers; otherwise more are missing than are there, and no time is kept for them.
    """

    places: tuple[int, ...]
    missing: tuple[str, ...] = ()
    counted: bool = True

    def lines(self) -> tuple[str, ...]:
        """Notes on gaps in the numbers."""
        if not self.missing:
            return ()
        if not self.counted:
            return (
                f"the numbers of the pictures jump ({len(self.missing)} are missing, {self.missing[0]} the first): the "
                "pictures follow each other without a gap",
            )
        count, first, last = len(self.missing), self.missing[0], self.missing[-1]
        names = first if count == 1 else f"{first} to {last}" if self._is_one_hole() else f"{first} ... {last}"
        single = count == 1
        return (
            f"{count} number{'' if single else 's'} {'is' if single else 'are'} missing in the sequence ({names}): "
            f"{'its' if single else 'their'} time is kept. Try: the names one by one, input=[a.png,b.png], for no gap",
        )

    def _is_one_hole(self) -> bool:
        return sum(b - a > 1 for a, b in zip(self.places, self.places[1:])) == 1


def numbering(pictures: Sequence[Path], listed: Sequence[Path]) -> Numbering:
    """The places that the numbers in the names give; those of a plain list where the names are no such sequence.

    Names are a sequence if they differ in one number only, and go up in whole steps of the commonest one. Where more
    numbers are missing than are there, the jump is put down to another series, and no time is kept for it.

    Args:
        pictures: those that are shown, in order.
        listed: those and others of the same series, in order.
    """
    plain = Numbering(tuple(range(len(pictures))))
    parts = [re.split(r"(\d+)", path.stem) for path in listed]
    if len(listed) < 3 or len({(len(part), path.parent) for part, path in zip(parts, listed)}) > 1:
        return plain
    differ = [k for k in range(len(parts[0])) if len({part[k] for part in parts}) > 1]
    if len(differ) != 1 or differ[0] % 2 == 0:
        return plain
    (at,) = differ
    numbers = [int(part[at]) for part in parts]
    steps = [b - a for a, b in zip(numbers, numbers[1:])]
    step = min(sorted(set(steps)), key=lambda step: -steps.count(step))
    if step <= 0 or any(gap <= 0 or gap % step for gap in steps):
        return plain
    of = dict(zip(listed, numbers))
    taken = [of[path] for path in pictures]
    places = tuple((number - taken[0]) // step for number in taken)
    width = len(parts[0][at]) if len({len(part[at]) for part in parts}) == 1 else 0
    before, after = "".join(parts[0][:at]), "".join(parts[0][at + 1 :]) + pictures[0].suffix
    present = set(taken)
    wanted = (n for n in range(taken[0], taken[-1], step) if n not in present)
    names = {number: path.name for path, number in of.items()}
    missing = tuple(names.get(n, f"{before}{n:0{width}d}{after}") for n in islice(wanted, 100_000))
    if places[-1] + 1 - len(places) > len(places):
        return Numbering(plain.places, missing, False)
    return Numbering(places, missing)


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


def probe_images(
    path: Path, pictures: tuple[Path, ...], rate: Fraction, max_pixels: int, numbers: Numbering | None = None
) -> SourceInfo:
    """The facts of an image sequence, told by its first picture; ``check_sizes`` looks at the others.

    Args:
        numbers: where the pictures stand in time; by default one after the other.

    Raises:
        UserError: if the first cannot be read or is too large.
    """
    rate = Fraction(rate)
    numbers = numbers or Numbering(tuple(range(len(pictures))))
    video = _probe_first(pictures, rate, max_pixels)
    video = replace(video, duration=(numbers.places[-1] + 1) / rate, frames=len(pictures))
    deep = sum(_is_deep(picture) for picture in pictures if demuxer(picture) == BY_PILLOW)
    notes = numbers.lines()
    if deep:
        notes += (f"{deep} picture{'s' * (deep > 1)} of more than 8 bit (AVIF, HEIC): Pillow reads 8 bit",)
    return SourceInfo(
        path=path, container="image2", video=video, duration=video.duration, images=pictures, places=numbers.places,
        notes=notes,
    )  # fmt: skip


def profile_of(path: Path) -> bytes:
    """The ICC profile in a picture; empty if there is none, or if it says sRGB."""
    profile = _header(path, lambda picture: picture.info.get("icc_profile"))
    return profile if isinstance(profile, bytes) and not same_colours(profile) else SRGB


def managed(info: SourceInfo, embeds: bool, max_pixels: int) -> SourceInfo:
    """``info`` of pictures that are read in one colour space: the first one's, if the output holds profiles, else sRGB.

    As it was if no picture has a profile of its own, or if they have more than 8 bit, which are not converted.
    """
    owns = [profile_of(path) for path in info.images]
    if not any(owns):
        return info
    target = owns[0] if embeds else SRGB
    odd = [own for own in owns if own != target]
    deep = pixel_format(info.video.working_format).depth > 8
    if deep:
        return replace(info, profile=target) if not odd else info
    if odd and any(plane.kind == "u" for plane in pixel_format(info.video.working_format).planes):
        info = replace(info, video=_probe_first(info.images, info.video.rate, max_pixels, rgb=True))
        info = replace(info, video=replace(info.video, frames=len(info.images), duration=info.duration))
    notes: tuple[str, ...] = ()
    if odd:
        names = ", ".join(sorted({described(own) for own in odd}))
        notes += (f"pictures are converted from their colour space ({names}) to {described(target)}",)
    return replace(info, profile=target, notes=info.notes + notes)


def _probe_first(pictures: tuple[Path, ...], rate: Fraction, max_pixels: int, rgb: bool = False) -> VideoInfo:
    """The facts of the first picture, in the format of all."""
    first = pictures[0]
    if rgb or demuxer(first) == BY_PILLOW or _is_mixed(pictures):
        frame = _promoted(first, _read_rgb(first, max_pixels), _rgb_of(pictures), first)
        return VideoInfo(
            0, demuxer(first) or "", frame.width, frame.height, frame.format.name, frame.format.name, 1 / rate, rate,
            colour=frame.colour,
        )  # fmt: skip
    with open_picture(first, max_pixels) as container:
        stream = container.streams.video[0]
        facts.check_size(first, stream.codec_context.width, stream.codec_context.height, max_pixels)
        decoded = decode_picture(first, container, max_pixels)
        line = facts.dump_line(container, stream.index)
        aspect = facts.sample_aspect(stream)
        codec = facts.codec_name(stream)
        context = stream.codec_context
        form = _layout(first, decoded)
        rotation, mirrored = picture_orientation(first, decoded)
        colour = facts.colour(decoded, context, form.full_range, line)
    width, height = decoded.width, decoded.height
    if rotation in (90, 270):
        width, height, aspect = height, width, 1 / aspect
    working, colour = oriented_format(form.working, colour, rotation, mirrored)
    return VideoInfo(
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
    )


def _is_mixed(pictures: Sequence[Path]) -> bool:
    """Whether pictures are of several kinds, some of which are stored as YUV or read by Pillow."""
    kinds = {demuxer(path) for path in pictures}
    return len(kinds) > 1 and not kinds.isdisjoint((*_YUV_KINDS, BY_PILLOW))


def _read_rgb(path: Path, max_pixels: int) -> Frame:
    """One picture as RGB or grey: its own samples where they are that, else as Pillow makes it."""
    frame = read_picture(path, max_pixels)
    return read_by_pillow(path, max_pixels) if any(plane.kind == "u" for plane in frame.format.planes) else frame


def _rgb_of(pictures: Sequence[Path]) -> str:
    """The RGB format that holds pictures of several kinds: with alpha if one has any."""
    alpha = any(_header(path, lambda p: "A" in p.getbands() or "transparency" in p.info) for path in pictures)
    return "gbrap" if alpha else "gbrp"


def check_sizes(info: SourceInfo, max_pixels: int) -> None:
    """UserError if a picture's header tells another size than the first has."""
    pictures, video = info.images, info.video
    for path in pictures[1:]:
        header = _header(path, lambda picture: (*picture.size, picture.getexif().get(274, 1)))
        if header is None:
            continue  # a format that Pillow does not know, or damage: the decoder tells
        width, height, turned = header
        facts.check_size(path, width, height, max_pixels)
        size = (height, width) if _EXIF.get(turned, (0, False))[0] in (90, 270) else (width, height)
        if size != (video.width, video.height):
            raise _other_size(path, size, pictures[0], (video.width, video.height))


def _other_size(path: Path, size: tuple[int, int], first: Path, wanted: tuple[int, int]) -> UserError:
    return UserError(
        f"{path} is {size[0]}x{size[1]}, but {first.name} is {wanted[0]}x{wanted[1]}.",
        "give all pictures of a sequence one size.",
        BAD_INPUT,
    )


def read_images(info: SourceInfo, first: int, stop: int, max_pixels: int) -> Iterator[Frame]:
    """The pictures ``first .. stop - 1`` of ``info``, upright, with times from its rate.

    Raises:
        UserError: if one is missing, unreadable, or differs from the first in size or format.
    """
    video = info.video
    rgb = pixel_format(video.working_format).is_rgb
    for number in range(first, stop):
        path = info.images[number]
        frame = _read_rgb(path, max_pixels) if rgb else read_picture(path, max_pixels)
        if info.profile is not None:
            frame = converted(frame, profile_of(path), info.profile)
        if (frame.width, frame.height) != (video.width, video.height):
            raise _other_size(path, (frame.width, frame.height), info.images[0], (video.width, video.height))
        if frame.format.name != video.working_format:
            frame = _promoted(path, frame, video.working_format, info.images[0])
        place = info.places[number] if info.places else number
        yield replace(frame, time=place / video.rate, colour=video.colour)


def _promoted(path: Path, frame: Frame, working_format: str, first: Path) -> Frame:
    """``frame`` in the sequence's format where nothing is lost: grey as RGB, opaque as RGBA; UserError otherwise."""
    wanted = pixel_format(working_format)
    if frame.format == wanted:
        return frame
    if wanted.is_rgb and frame.format.depth == wanted.depth:
        kinds = {plane.kind: array for plane, array in zip(frame.format.planes, frame.planes)}
        if set(kinds) in ({"y"}, {"g", "b", "r"}) and not (frame.format.has_alpha and not wanted.has_alpha):
            kinds.setdefault("a", np.full((frame.height, frame.width), wanted.peak, wanted.dtype))
            planes = tuple(kinds[plane.kind if plane.kind in kinds else "y"] for plane in wanted.planes)
            return replace(frame, planes=planes, format=wanted)
    raise UserError(
        f"{path} has the pixel format {frame.format.name}, but {first.name} has {wanted.name}.",
        "save all pictures of a sequence in one format.",
        BAD_INPUT,
    )


def read_picture(path: Path, max_pixels: int) -> Frame:
    """One picture, upright, in its working format; time 0.

    Raises:
        UserError: if it cannot be read or is too large.
    """
    if demuxer(path) == BY_PILLOW:
        return read_by_pillow(path, max_pixels)
    with open_picture(path, max_pixels) as container:
        context = container.streams.video[0].codec_context
        facts.check_size(path, context.width, context.height, max_pixels)
        decoded = decode_picture(path, container, max_pixels)
        form = _layout(path, decoded)
        rotation, mirrored = picture_orientation(path, decoded)
        colour = facts.colour(decoded, context, form.full_range, "")
        frame = Frame(form.planes(decoded), form.working, decoded.width, decoded.height, Fraction(0), colour)
    return oriented(frame, rotation, mirrored)


def read_by_pillow(path: Path, max_pixels: int) -> Frame:
    """One picture as Pillow makes it, upright, full range: ``gray``, ``gbrp`` or ``gbrap`` of 8 bit; floats and whole
    numbers of more bits become 16 bit, see ``sixteen_bit``.

    Raises:
        UserError: if it cannot be read or is too large.
    """
    check_file(path)
    size = declared_size(path)
    from PIL import Image, ImageOps, UnidentifiedImageError

    if size is None:
        raise unreadable(path, "its header makes no sense")
    facts.check_size(path, *size, max_pixels)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = io.BytesIO(path.read_bytes())
            with Image.open(data) as picture:
                upright = ImageOps.exif_transpose(picture)
                if upright.mode[0] in "IF":
                    return sixteen_bit(path, np.asarray(upright))
                alpha = "A" in upright.getbands() or "transparency" in upright.info
                grey = upright.mode == "L" and not alpha
                read = np.asarray(upright.convert("L" if grey else "RGBA" if alpha else "RGB"))
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise unreadable(path, str(error) or type(error).__name__) from error
    return _frame_of_codes(read, "gray" if grey else "gbrap" if alpha else "gbrp")


FLOAT_SLACK = 1e-3
"""Floats that overshoot 0 to 1 by this much are rounding, and clipped."""


def sixteen_bit(path: Path, values: np.ndarray) -> Frame:
    """Floats or whole numbers of more than 16 bit, (h, w) or (h, w, 3 or 4), as a frame of 16 bit.

    Raises:
        UserError: if floats go beyond 0 to 1, or whole numbers beyond 16 bit; ``path`` is named.
    """
    low, high = float(values.min()), float(values.max())
    if np.issubdtype(values.dtype, np.floating):
        if not (np.isfinite(values).all() and low >= -FLOAT_SLACK and high <= 1 + FLOAT_SLACK):
            raise unreadable(path, f"its floats go from {low:g} to {high:g}, and count from 0 to 1")
        codes = np.round(values.clip(0, 1).astype(np.float64) * 65535).astype("<u2")
    elif low < 0 or high > 65535:
        raise unreadable(path, f"its samples go from {low:g} to {high:g}, and have at most 16 bit")
    else:
        codes = values.astype("<u2")
    return _frame_of_codes(codes, {2: "gray16le"}.get(codes.ndim, "gbrap16le" if codes.shape[-1] == 4 else "gbrp16le"))


def _frame_of_codes(codes: np.ndarray, name: str) -> Frame:
    """(h, w) or (h, w, C) codes, RGB in this order, as a frame of the format ``name``."""
    form, order = pixel_format(name), {"r": 0, "g": 1, "b": 2, "a": 3}
    planes = tuple(
        np.ascontiguousarray(codes if plane.kind == "y" else codes[..., order[plane.kind]]) for plane in form.planes
    )
    matrix = None if len(planes) == 1 else "gbr"
    return Frame(planes, form, codes.shape[1], codes.shape[0], colour=Colour(matrix=matrix, range="pc"))


def unreadable(path: Path, why: str) -> UserError:
    """The error over a picture that cannot be read."""
    return UserError(
        f"{path} cannot be read as a picture ({why}).", "copy it again, or save it as 8 or 16 bit PNG.", BAD_INPUT
    )


def _is_deep(path: Path) -> bool:
    """Whether an AVIF or HEIC picture has more than 8 bit, by its av1C or hvcC box."""
    try:
        with path.open("rb") as file:
            head = file.read(1 << 16)
    except OSError:
        return False
    at = head.find(b"av1C")
    if at > 0:
        return len(head) > at + 6 and bool(head[at + 6] & 0x40)
    at = head.find(b"hvcC")
    return at > 0 and len(head) > at + 21 and bool(head[at + 21] & 7)


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
    from PIL import Image, UnidentifiedImageError

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
