"""Joins the segments without re-encoding and adds everything else that the source held.

Time: ``out = (source - origin) * stretch``, where ``origin`` is the cut (``Timing.start``) or the source's own start, so
that audio and subtitles that start early or late keep their distance to the pictures. Example: see ``media.writer``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vfi_pipeline.media.containers import StreamPlan
from vfi_pipeline.media.encoders import Encoding, VideoSpec
from vfi_pipeline.media.info import SourceInfo


@dataclass(frozen=True)
class Segment:
    """A finished segment: its file (or folder of images) and how many frames it holds."""

    path: Path
    frames: int


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


def assemble(
    segments: Sequence[Segment],
    info: SourceInfo,
    spec: VideoSpec,
    encoding: Encoding,
    streams: StreamPlan,
    timing: Timing,
    target: Path,
) -> None:
    """Write ``target`` (a temporary name beside the final one, same suffix; a folder for image sequences).

    Raises:
        UserError: with ffmpeg's last words. The segments are left as they are.
    """
    raise NotImplementedError
