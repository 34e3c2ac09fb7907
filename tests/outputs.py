"""Makes an output as the job runner does, without motion: frames of ``clips.planes`` written, joined, checked.

made = make_output(source, tmp_path / "out.mp4", parts=(5, 1, 6), rate=Fraction(60))
made.path, made.plan.lines(), made.expectation
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from clips import planes

from vfi_pipeline.media.assemble import Segment, assemble
from vfi_pipeline.media.containers import StreamPlan, stream_plan
from vfi_pipeline.media.encoders import choose_encoding
from vfi_pipeline.media.encoding import Encoding, VideoSpec
from vfi_pipeline.media.frames import Colour, Frame, pixel_format
from vfi_pipeline.media.info import SourceInfo
from vfi_pipeline.media.output_plan import OutputPlan, Timing
from vfi_pipeline.media.probe import probe
from vfi_pipeline.media.verify import Expectation, expect
from vfi_pipeline.media.writer import open_writer, segment_name

PARTS = (5, 1, 6)


@dataclass(frozen=True)
class Output:
    """What was made, and all that went into it."""

    path: Path
    info: SourceInfo
    spec: VideoSpec
    encoding: Encoding
    plan: StreamPlan
    timing: Timing
    segments: tuple[Segment, ...]

    @property
    def expectation(self) -> Expectation:
        return expect(self.output)

    @property
    def output(self) -> OutputPlan:
        return OutputPlan(self.info, self.spec, self.encoding, self.plan, self.timing)


def frame(n: int, spec: VideoSpec, content: str = "motion") -> Frame:
    """Frame ``n`` of the film that tests write."""
    size = (spec.width, spec.height)
    form = pixel_format(spec.pixel_format)
    return Frame(planes(n, size, spec.pixel_format, content), form, *size, Fraction(n) / spec.rate, spec.colour)


def write_segments(
    folder: Path, spec: VideoSpec, encoding: Encoding, parts: Sequence[int] = PARTS, content: str = "motion"
) -> tuple[Segment, ...]:
    """Frames 0, 1, 2... in segments of ``parts`` frames."""
    segments, n = [], 0
    for number, count in enumerate(parts):
        path = folder / segment_name(encoding, number)
        with open_writer(path, spec, encoding, first=n) as writer:
            for _ in range(count):
                writer.write(frame(n, spec, content))
                n += 1
        segments.append(Segment(path, writer.frames))
    return tuple(segments)


def make_output(
    source: Path,
    target: Path,
    parts: Sequence[int] = PARTS,
    rate: Fraction = Fraction(60),
    *,
    content: str = "motion",
    audio: str = "keep",
    subtitles: str = "keep",
    stretch: Fraction = Fraction(1),
    start: Fraction | None = None,
    end: Fraction | None = None,
    first: Fraction | None = None,
    spec: dict[str, Any] | None = None,
    **codec: Any,
) -> Output:
    """An output of ``source``'s streams around frames of ours. ``spec`` overrides fields of the VideoSpec."""
    info = probe(source)
    wanted = replace(VideoSpec.of(info.video, rate), **(spec or {}))
    encoding = choose_encoding(wanted, target, **codec)
    plan = stream_plan(info, target, encoding, audio=audio, subtitles=subtitles, stretch=stretch)
    folder = target.with_name(target.name + ".segments")
    folder.mkdir(parents=True, exist_ok=True)
    segments = write_segments(folder, wanted, encoding, parts, content)
    shown = first if first is not None else max(info.video.start, start if start is not None else info.video.start)
    timing = Timing(rate, sum(parts), shown, start, end, stretch)
    assemble(segments, OutputPlan(info, wanted, encoding, plan, timing), target)
    return Output(target, info, wanted, encoding, plan, timing, segments)


def video_spec(
    pix_fmt: str = "yuv420p", size: tuple[int, int] = (64, 48), rate: str | int = 25, **more: Any
) -> VideoSpec:
    """A VideoSpec in few words; ``colour`` as a dict."""
    if isinstance(more.get("colour"), dict):
        more["colour"] = Colour(**more["colour"])
    return VideoSpec(pix_fmt, *size, Fraction(rate), **more)


def packet_times(path: Path, kind: str = "video", number: int = 0) -> list[Fraction]:
    """Ascending presentation times of a stream's packets, in seconds, straight from the demuxer."""
    with av.open(str(path)) as container:
        stream = [s for s in container.streams if s.type == kind][number]
        assert stream.time_base is not None
        return sorted(p.pts * stream.time_base for p in container.demux(stream) if p.size and p.pts is not None)
