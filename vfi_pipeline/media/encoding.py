"""What is written (``VideoSpec``) and how it is stored (``Encoding``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction

from vfi_pipeline.media.frames import Colour, PixelFormat, pixel_format
from vfi_pipeline.media.info import VideoInfo
from vfi_pipeline.media.pixel_formats import Shape, shape

UNTAGGED = Colour()


@dataclass(frozen=True)
class VideoSpec:
    """The pictures that will be written, as stored: before rotation and sample aspect.

    ``pixel_format`` is the working one (``media.frames``), ``hdr`` as in ``VideoInfo``.
    """

    pixel_format: str
    width: int
    height: int
    rate: Fraction
    colour: Colour = UNTAGGED
    sample_aspect: Fraction = Fraction(1)
    hdr: Mapping[str, str] = field(default_factory=dict)
    rotation: int = 0  # clockwise, by the player; images and animations are turned for good
    mirrored: bool = False  # flipped left to right before the rotation
    stereo: tuple[str, int] | None = None  # as in VideoInfo

    @classmethod
    def of(cls, video: VideoInfo, rate: Fraction) -> VideoSpec:
        """The source's own format at another rate."""
        return cls(
            video.working_format, video.width, video.height, Fraction(rate), video.colour,
            video.sample_aspect, video.hdr, video.rotation, video.mirrored, video.stereo,
        )  # fmt: skip

    @property
    def format(self) -> PixelFormat:
        return pixel_format(self.pixel_format)


@dataclass(frozen=True)
class Encoding:
    """How pictures are stored. ``notes`` are what it loses, one sentence each, to be told before the work starts.

    ``finish`` is how ``assemble`` ends: ``copy`` joins the segments, ``gif``, ``webp`` and ``apng`` re-encode lossless
    segments in one go (a palette needs the whole film), ``images`` moves numbered files, ``nothing`` has no output.
    ``suffix`` ends the name of a segment (empty: a segment is a folder of images). ``colour`` is what the output is
    tagged with: the source's own, unless RGB had to become YUV.
    """

    codec: str
    encoder: str
    pixel_format: str
    options: tuple[tuple[str, str], ...] = ()
    suffix: str = ".nut"
    muxer: str = "nut"
    finish: str = "copy"
    lossless: bool = False
    notes: tuple[str, ...] = ()
    colour: Colour = UNTAGGED
    pattern: str = ""  # image sequences: the name of an image, as "%08d.png"
    profile: bytes = b""  # images: the ICC profile that is put into them
    turned: bool = False  # the pixels are stored upright, because the output cannot say that they are not

    def stored_size(self, spec: VideoSpec) -> tuple[int, int]:
        """(width, height) of the output's pictures."""
        return (spec.height, spec.width) if self.turned and spec.rotation % 180 else (spec.width, spec.height)

    def stored_aspect(self, spec: VideoSpec) -> Fraction:
        """The output's sample aspect ratio."""
        return 1 / spec.sample_aspect if self.turned and spec.rotation % 180 else spec.sample_aspect

    @property
    def has_alpha(self) -> bool:
        return shape(self.pixel_format).alpha


def output_tags(spec: VideoSpec, have: Shape, name: str = "") -> Colour:
    """The colour tags of the output: the source's, unless the pixels changed between RGB and YUV."""
    if name.startswith("yuvj"):  # JPEG files are BT.601, full range, whatever they are told
        return replace(spec.colour, matrix="bt470bg", range="pc", chroma_location=None)
    want = shape(spec.pixel_format)
    if want.family == "rgb" and have.family == "yuv":
        return replace(spec.colour, matrix="bt709", range="tv", chroma_location=None)
    if want.family == "yuv" and have.family == "rgb":
        return replace(spec.colour, matrix="gbr", range="pc", chroma_location=None)
    return spec.colour


def holds_exactly(have: Shape, spec: VideoSpec) -> bool:
    """Whether a format with ``have`` holds ``spec``'s pictures exactly (grey may sit in YUV's luma)."""
    want = shape(spec.pixel_format)
    same = have.family == want.family or (want.family == "gray" and have.family == "yuv")
    finer = want.family == "gray" or (have.sub[0] == want.sub[0] and have.sub[1] == want.sub[1])
    return same and finer and have.depth >= want.depth and (have.alpha or not want.alpha)


def is_turned(spec: VideoSpec) -> bool:
    """Whether a player has to turn or flip the pictures as they are stored."""
    return bool(spec.rotation % 360 or spec.mirrored)


def with_threads(encoding: Encoding, threads: int) -> Encoding:
    """The same with so many threads of the encoder; 0 leaves them to it."""
    return replace(encoding, options=(*encoding.options, ("threads", str(threads)))) if threads else encoding
