"""Which encoder stores the pictures, with which settings, and what that costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from vfi_pipeline.media.frames import Colour
from vfi_pipeline.media.info import VideoInfo


@dataclass(frozen=True)
class VideoSpec:
    """The pictures that will be written: as stored, before rotation and sample aspect. ``pixel_format`` is the working one."""

    pixel_format: str
    width: int
    height: int
    rate: Fraction
    colour: Colour = Colour()
    sample_aspect: Fraction = Fraction(1)
    hdr: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, video: VideoInfo, rate: Fraction) -> VideoSpec:
        """The source's own format at another rate."""
        return cls(
            video.working_format, video.width, video.height, Fraction(rate), video.colour, video.sample_aspect, video.hdr
        )


@dataclass(frozen=True)
class Encoding:
    """How pictures are stored. ``notes`` are what it loses, one sentence each, to be told before the work starts.

    ``finish`` is how ``assemble`` ends: ``copy`` joins the segments, ``gif``, ``webp`` and ``apng`` re-encode lossless
    segments in one go (a palette needs the whole film), ``images`` moves numbered files, ``nothing`` has no output.
    ``suffix`` ends the name of a segment (empty: a segment is a folder of images).
    """

    codec: str
    encoder: str
    pixel_format: str
    options: tuple[tuple[str, str], ...] = ()
    suffix: str = ".mp4"
    muxer: str = "mp4"
    finish: str = "copy"
    lossless: bool = False
    notes: tuple[str, ...] = ()


def choose_encoding(
    spec: VideoSpec,
    target: Path,
    codec: str = "auto",
    crf: float | None = None,
    preset: str | None = None,
    pix_fmt: str | None = None,
    benchmark: bool = False,
) -> Encoding:
    """The encoder, pixel format and settings for ``target`` (its suffix names the container). UserError if impossible."""
    raise NotImplementedError


def default_suffix(spec: VideoSpec, source_suffix: str, codec: str = "auto") -> str:
    """The container for an output whose name the user left to us, as ``.mp4``: the source's where it can be written."""
    raise NotImplementedError
