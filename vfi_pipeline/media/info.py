"""Typed facts of a media file. ``media.probe`` fills them in; the planner, the reader and the assembler read them."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from vfi_pipeline.media.fields import View
from vfi_pipeline.media.frames import Colour


@dataclass(frozen=True)
class StreamInfo:
    """One stream of any kind. ``index`` is ffmpeg's (``0:index``)."""

    index: int
    kind: str  # video, audio, subtitle, attachment, data
    codec: str
    language: str | None = None
    title: str | None = None
    dispositions: tuple[str, ...] = ()
    start: Fraction | None = None  # seconds; None if the container does not say
    duration: Fraction | None = None
    tags: dict[str, str] = field(default_factory=dict)
    channels: str = ""  # sound: the layout, as ffmpeg names it (stereo, 5.1, 4.0); empty where that is not known
    sample_rate: int = 0  # sound: samples per second; 0 where that is not known


@dataclass(frozen=True)
class VideoInfo:
    """The video stream that is worked on.

    ``width`` x ``height`` is as stored, before ``rotation`` (degrees clockwise that a player turns it: 0, 90, 180, 270)
    and before ``sample_aspect``. ``pixel_format`` is the source's own ffmpeg name; ``working_format`` the planar name
    that ``media.reader`` yields, a lossless re-layout of it.
    """

    index: int
    codec: str
    width: int
    height: int
    pixel_format: str
    working_format: str
    time_base: Fraction
    rate: Fraction  # nominal frames per second: the container's, else from the time stamps
    sample_aspect: Fraction = Fraction(1)
    rotation: int = 0
    mirrored: bool = False  # the display matrix also flips horizontally (before the rotation)
    colour: Colour = Colour()
    interlaced: bool = False  # as the stream or its frames claim
    hdr: dict[str, str] = field(default_factory=dict)  # e.g. master_display, max_cll: text as x265-params takes it
    stereo: tuple[str, int] | None = None  # two views in one picture, see media.facts.stereo
    start: Fraction = Fraction(0)  # first presentation time, seconds
    duration: Fraction | None = None
    frames: int | None = None  # as the header promises; a hint only


@dataclass(frozen=True)
class SourceInfo:
    """A media file: its working video stream and all others. ``path`` may be a still or an image sequence's folder."""

    path: Path
    container: str  # ffmpeg's demuxer name: "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "gif", "image2"...
    video: VideoInfo
    others: tuple[StreamInfo, ...] = ()
    start: Fraction = Fraction(0)  # the container's start time, seconds: the earliest of its streams
    duration: Fraction | None = None
    chapters: int = 0
    tags: dict[str, str] = field(default_factory=dict)
    timecode: str | None = None  # of the first frame, as the file says it
    images: tuple[Path, ...] = ()  # image sequence: the files in natural order; empty for a media file
    view: View | None = None  # how pictures are taken out of woven frames; None: frames are pictures
    places: tuple[int, ...] = ()  # where those stand, in frames from the first; empty: one after the other
    profile: bytes | None = None  # the ICC profile that pictures are read in; empty: sRGB; None: as stored
    notes: tuple[str, ...] = ()  # what is not taken as it stands, for people
