"""Writes frames: one video-only file per segment, numbered images, or nothing at all, behind one protocol.

One film, from plan to file (``jobs.local`` does this, with a journal between the steps)::

    spec = VideoSpec.of(info.video, rate=Fraction(60))
    encoding = choose_encoding(spec, target, codec="auto")          # encoding.notes: what it loses
    streams = stream_plan(info, target, encoding)                   # streams.lines(): kept, converted, lost and why
    segments = []
    for number, part in enumerate(parts):                           # every ~20 s
        path = folder / segment_name(encoding, number)
        with open_writer(path, spec, encoding, first=part.first_index) as writer:
            for frame in frames_of(part):
                writer.write(frame)
        segments.append(Segment(path, writer.frames))               # the file appears under its name only when complete
    timing = Timing(rate=spec.rate, frames=total, first=first_source_time)
    assemble(segments, info, spec, encoding, streams, timing, temporary)   # beside the target
    verify(temporary, expect(info, spec, encoding, streams, timing))
    os.replace(temporary, target)
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from vfi_pipeline.media.encoders import Encoding, VideoSpec
from vfi_pipeline.media.frames import Frame


class FrameWriter(Protocol):
    """Takes frames in order. ``close`` finishes the file; leaving ``with`` by an exception leaves no file."""

    frames: int

    def write(self, frame: Frame) -> None: ...

    def close(self) -> None: ...

    def __enter__(self) -> FrameWriter: ...

    def __exit__(self, kind: object, error: object, trace: object) -> None: ...


def segment_name(encoding: Encoding, number: int) -> str:
    """The name of segment ``number`` (from 0), as ``segment_00003.mp4``; a folder's name for image sequences."""
    return f"segment_{number:05d}{encoding.suffix}"


def open_writer(path: Path, spec: VideoSpec, encoding: Encoding, first: int = 0) -> FrameWriter:
    """A writer for one segment. ``first`` is the output index of its first frame: image files are named after it."""
    raise NotImplementedError
