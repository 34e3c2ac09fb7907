"""Reads a film as small RGB pictures for training and indexing: lossy where ``media.reader`` is not, and fast to seek.

Pictures are upright uint8 arrays (height, width, 3), optionally shrunk while they are decoded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from vfi_pipeline.errors import BAD_INPUT, UserError


def open_video(path: Path) -> av.container.InputContainer:
    """Opens ``path`` and makes sure that it holds a video stream with a size.

    Raises:
        UserError: if the file is missing, is not media or has no video.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist.", "Check the spelling, or the folder that data.root names.", BAD_INPUT)
    try:
        container = av.open(f"file:{path}", metadata_errors="ignore")
    except (OSError, ValueError) as error:  # av.FFmpegError derives from one of these
        raise UserError(
            f"{path} cannot be opened as a video ({_reason(error)}).",
            "Copy the file again from its source, or move it out of the folder.",
            BAD_INPUT,
        ) from error
    stream = container.streams.best("video")
    if stream is None or not stream.codec_context.width:
        container.close()
        raise UserError(f"{path} holds no video stream.", "Move it out of the folder.", BAD_INPUT)
    return container


def shrunk(width: int, height: int, longest: int | None) -> tuple[int, int]:
    """(width, height) with the longer side at most ``longest``, both even; unchanged if it fits already."""
    if longest is None or max(width, height) <= longest:
        return width, height
    ratio = longest / max(width, height)
    return max(2, round(width * ratio / 2) * 2), max(2, round(height * ratio / 2) * 2)


def read_pictures(
    path: Path, start: int | None = None, stop: int | None = None, longest: int | None = None, threads: int = 1
) -> Iterator[tuple[int, np.ndarray]]:
    """Decodes ``(pts, picture)`` in presentation order.

    Args:
        start: first pts wanted, in the stream's time base; seeks to the keyframe at or before it. None: the beginning.
        stop: first pts not wanted. None: to the end.
        longest: shrinks the pictures so that the longer side has at most this many pixels (area filter).
        threads: decoder threads.

    Raises:
        UserError: if the file cannot be opened, or breaks before the first picture. A file that breaks later just ends.
    """
    with open_video(path) as container:
        stream = container.streams.best("video")
        stream.codec_context.thread_type = "AUTO" if threads > 1 else "SLICE"
        stream.codec_context.thread_count = threads
        got = False
        try:
            if start is not None:
                container.seek(start, stream=stream, backward=True)
            for frame in container.decode(stream):
                if frame.pts is None or (start is not None and frame.pts < start):
                    continue
                if stop is not None and frame.pts >= stop:
                    return
                width, height = shrunk(frame.width, frame.height, longest)
                picture = frame.reformat(width, height, "rgb24", interpolation="AREA").to_ndarray()
                turns = round(getattr(frame, "rotation", 0) / 90) % 4
                got = True
                yield frame.pts, np.ascontiguousarray(np.rot90(picture, turns)) if turns else picture
        except (OSError, ValueError) as error:
            if not got and start is None:
                raise UserError(
                    f"{path} cannot be decoded ({_reason(error)}).",
                    "Copy the file again from its source, or move it out of the folder.",
                    BAD_INPUT,
                ) from error


@dataclass(frozen=True)
class VideoFacts:
    """Size as stored, time base, first pts and rough duration of a file's video stream."""

    width: int
    height: int
    time_base: Fraction
    start: int
    duration_s: float


def video_facts(path: Path) -> VideoFacts:
    """Facts of the video stream from the header alone; ``duration_s`` is 0 where it does not say."""
    with open_video(path) as container:
        stream = container.streams.best("video")
        base = stream.time_base or Fraction(1, 1000)
        if stream.duration:
            duration = float(stream.duration * base)
        else:
            duration = (container.duration or 0) / 1e6  # AV_TIME_BASE
        return VideoFacts(
            stream.codec_context.width, stream.codec_context.height, base, stream.start_time or 0, duration
        )


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
