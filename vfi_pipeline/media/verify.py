"""Opens the finished file and compares it with the plan: the job says done only after this."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from vfi_pipeline.media.assemble import Timing
from vfi_pipeline.media.containers import StreamPlan
from vfi_pipeline.media.encoders import Encoding, VideoSpec
from vfi_pipeline.media.frames import Colour
from vfi_pipeline.media.info import SourceInfo


@dataclass(frozen=True)
class Expectation:
    """What the output must be. ``None`` is not checked."""

    frames: int
    rate: Fraction
    width: int
    height: int
    codec: str | None = None
    pixel_format: str | None = None
    sample_aspect: Fraction = Fraction(1)
    rotation: int = 0
    colour: Colour = Colour()
    first: Fraction | None = None  # presentation time of the first frame after the earliest stream's start
    streams: tuple[tuple[str, str, str | None], ...] = ()  # (kind, codec, language) of everything but the video
    chapters: int = 0
    images: bool = False
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Verified:
    """What was found, for the report at the end."""

    frames: int
    duration: Fraction
    streams: int


def expect(
    info: SourceInfo, spec: VideoSpec, encoding: Encoding, streams: StreamPlan, timing: Timing
) -> Expectation:
    """What ``assemble`` with the same arguments must have made."""
    raise NotImplementedError


def verify(path: Path, expectation: Expectation, *, quick: bool = False) -> Verified:
    """Check ``path`` against ``expectation``.

    Args:
        quick: decode only around the first and the last key frame; otherwise every frame.

    Raises:
        UserError: (ENVIRONMENT) naming everything that is wrong.
    """
    raise NotImplementedError
