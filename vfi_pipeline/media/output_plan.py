"""What is written: of which source, which pictures, how stored, with which streams, and when."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from vfi_pipeline.media.containers import StreamPlan
from vfi_pipeline.media.encoding import Encoding, VideoSpec
from vfi_pipeline.media.info import SourceInfo


@dataclass(frozen=True)
class Timing:
    """When the output's pictures are shown. All times in seconds of the source, as ``SourceTimes`` counts them.

    ``first`` is the source time that the first output frame stands for; ``start`` and ``end`` are the cut, ``None``
    where the film is not cut; ``stretch`` is the output's duration over the source's (slow motion by 4: 4).
    """

    rate: Fraction
    frames: int
    first: Fraction = Fraction(0)
    start: Fraction | None = None
    end: Fraction | None = None
    stretch: Fraction = Fraction(1)

    def origin(self, info: SourceInfo) -> Fraction:
        """The source time that becomes 0."""
        return min(info.start, self.first) if self.start is None else min(self.start, self.first)

    def video_start(self, info: SourceInfo) -> Fraction:
        """When the first picture is shown, in seconds of the output."""
        return (self.first - self.origin(info)) * self.stretch

    @property
    def duration(self) -> Fraction:
        """Of the pictures, in seconds of the output."""
        return self.frames / self.rate


@dataclass(frozen=True)
class OutputPlan:
    """All that is decided of an output before its first picture is made.

    Attributes:
        info: the source, whose other streams come along.
        spec: the pictures.
        encoding: how they are stored.
        streams: every stream of the source, kept or lost.
        timing: when the pictures are shown.
    """

    info: SourceInfo
    spec: VideoSpec
    encoding: Encoding
    streams: StreamPlan
    timing: Timing
