"""Which encoder stores the pictures, with which settings, and what that costs. Rules and reasons: docs/output.md."""

from __future__ import annotations

import re
from pathlib import Path

from vfi_pipeline.errors import USAGE, UserError
from vfi_pipeline.media import ffmpeg
from vfi_pipeline.media.codecs import ALIASES, HOLDS, stem_of
from vfi_pipeline.media.encoding import Encoding, VideoSpec
from vfi_pipeline.media.film_encoding import film_encoding
from vfi_pipeline.media.pixel_formats import shape
from vfi_pipeline.media.still_encoding import ANIMATIONS, GIF_RATE, IMAGES, animation_encoding, image_encoding

# AVI and MXF are not among them: AVI has no time stamps, MXF takes a few broadcast rates and sizes.
FILMS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".ts", ".m2ts", ".nut")


def choose_encoding(
    spec: VideoSpec,
    target: Path,
    codec: str = "auto",
    crf: float | None = None,
    preset: str | None = None,
    pix_fmt: str | None = None,
    benchmark: bool = False,
) -> Encoding:
    """The encoder, pixel format and settings for ``target`` (its suffix names the container).

    Args:
        target: a film, ``.gif``/``.webp``/``.apng``, an image pattern (``out/%08d.png``) or a folder.
        codec: ``auto``, a family (``h264 hevc av1 vp9 prores ffv1 h264_nvenc...``) or any video encoder of this ffmpeg.
        crf, preset, pix_fmt: None takes the default of the codec, and the source's own pixel format where it fits.
        benchmark: write nothing.

    Raises:
        UserError: the codec, its settings or its container do not fit, or this ffmpeg lacks the encoder.
    """
    if codec not in ffmpeg.encoders():
        codec = codec.lower()
    if benchmark:
        return Encoding("none", "none", spec.pixel_format, suffix=".none", finish="nothing", colour=spec.colour)
    if is_image_target(target):
        return image_encoding(spec, target, codec, crf, preset, pix_fmt)
    suffix = target.suffix.lower()
    if suffix in ANIMATIONS:
        return animation_encoding(spec, suffix, codec, crf, preset, pix_fmt)
    if suffix not in FILMS:
        raise UserError(
            f"{target.name}: {suffix or 'no suffix'} is not a container that can be written here.",
            f"one of {' '.join(FILMS)} {' '.join(ANIMATIONS)}, an image pattern such as frames/%08d.png, or a folder.",
            USAGE,
        )
    return film_encoding(spec, suffix, codec, crf, preset, pix_fmt)


def is_image_target(target: Path) -> bool:
    """Whether ``target`` stands for images: an image's suffix (with ``%08d`` also ``.webp``), or a folder (no suffix).

    In the name of a film a ``%`` is a letter like any other: ``100%done.mp4``.
    """
    suffix = target.suffix.lower()
    if suffix in ANIMATIONS:
        return suffix in IMAGES and re.search(r"%0?\d*d", target.name) is not None
    return suffix in IMAGES or suffix == ""


def image_folder(target: Path) -> Path:
    """The folder that the images of ``target`` (a folder, a pattern or a single image) end up in."""
    return target.parent if target.suffix else target


def default_suffix(spec: VideoSpec, source_suffix: str, codec: str = "auto") -> str:
    """The container for an output whose name the user left to us, as ``.mp4``.

    The source's own where it can be written and holds the codec; ``.webp`` for a GIF that gets too fast for GIF;
    ``.webm`` for pictures with transparency; ``.mov`` for ProRes; ``.mkv`` for FFV1 and for containers that nobody
    writes any more (AVI, WMV, FLV, VOB, MPEG-TS); ``.mp4`` for anything else.
    """
    suffix = source_suffix.lower()
    family = ALIASES.get(codec, codec)
    if family == "auto":
        if suffix == ".gif" and spec.rate > GIF_RATE:
            return ".webp"
        if suffix in ANIMATIONS or suffix in (".mp4", ".m4v", ".mov", ".mkv", ".webm"):
            return suffix
        old = (".avi", ".wmv", ".flv", ".vob", ".mpg", ".mpeg", ".ts", ".m2ts", ".mts", ".nut", ".ogv", ".mxf")
        if suffix in old:
            return ".mkv"
        return ".webm" if shape(spec.pixel_format).alpha else ".mp4"
    if family in ("gif", "webp", "apng"):
        return f".{family}"
    if suffix in (".mp4", ".m4v", ".mov", ".webm") and stem_of(family) in HOLDS[suffix]:
        return suffix
    if family == "prores":
        return ".mov"
    return ".mp4" if stem_of(family) in ("h264", "hevc", "av1", "vp9") and suffix != ".mkv" else ".mkv"
