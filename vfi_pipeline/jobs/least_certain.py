"""The moments of a film whose motion the estimate trusts least, and their pictures: what to look at first.

Source frames are read from the source, made ones from the result, as they were encoded.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from PIL import Image

from vfi_pipeline.errors import UserError
from vfi_pipeline.jobs.options import Options
from vfi_pipeline.jobs.plan import Plan
from vfi_pipeline.media import probe, reader
from vfi_pipeline.media.encoders import image_folder
from vfi_pipeline.media.frames import Frame, oriented
from vfi_pipeline.media.stills import read_still
from vfi_pipeline.media.timeline import Moments

log = logging.getLogger(__name__)

SHOWN = 5
"""Moments of a film."""

APART_S = Fraction(1, 2)
"""Seconds between two moments at least: the pairs beside a doubtful one are doubtful for the same reason."""

MOST_MADE = 4
"""Made frames of a moment at most; of more, some are left out evenly."""

WIDTH = 320
"""Longest side of a picture, px."""


@dataclass(frozen=True)
class Picture:
    """A frame as it is shown: JPEG."""

    label: str
    made: bool
    jpeg: bytes


@dataclass(frozen=True)
class Moment:
    """A pair of source frames and what was made between them. ``time``: seconds from the film's start."""

    time: float
    confidence: float
    pictures: tuple[Picture, ...]


def least_certain(plan: Plan, uncertain: Iterable[tuple[int, float]], count: int = SHOWN) -> list[dict[str, float]]:
    """The ``count`` pairs with the least confidence that lie apart, the least certain one first.

    Args:
        uncertain: (source index of the pair's first frame, mean confidence in its motion).

    Returns:
        {"frame": source index, "time": seconds from the film's start, "confidence"} each.
    """
    times = plan.timeline.times
    waiting = sorted(set(uncertain), key=lambda entry: (entry[1], entry[0]))
    chosen: list[tuple[int, float]] = []
    for apart in (APART_S, APART_S / 4, Fraction(0)):  # of a short film, as far apart as they are
        for pair, confidence in waiting:
            near = any(abs(times.time(pair) - times.time(other)) <= apart for other, _ in chosen)
            if len(chosen) < count and not near:
                chosen.append((pair, confidence))
    chosen.sort(key=lambda entry: (entry[1], entry[0]))
    start = plan.info.start
    return [
        {"frame": pair, "time": float(times.time(pair) - start), "confidence": confidence}
        for pair, confidence in chosen
    ]


def filmstrips(plan: Plan, options: Options, facts: Mapping[str, Any]) -> tuple[Moment, ...]:
    """The moments that ``facts["least_certain"]`` names, with their pictures.

    What cannot be read is left out, with a line in the log: the film itself is done.
    """
    moments = []
    for entry in facts.get("least_certain", ()):
        try:
            pictures = tuple(_pictures(plan, options, int(entry["frame"])))
        except (UserError, OSError, ValueError) as error:
            log.warning("a picture of the report cannot be made: %s", error)
            pictures = ()
        moments.append(Moment(entry["time"], entry["confidence"], pictures))
    return tuple(moments)


def _pictures(plan: Plan, options: Options, first: int) -> Iterator[Picture]:
    sources = _sources(plan, options, first)
    (_, before), (last, after) = sources[0], sources[-1]
    yield _picture(plan, before, "source", first)
    for number, frame in _frames_between(plan, options, first, last):
        yield Picture(f"made {_clock(plan, number)}", True, jpeg(frame))
    yield _picture(plan, after, "source", last)


def _sources(plan: Plan, options: Options, first: int) -> list[tuple[int, Frame]]:
    """The pair: a frame and the one that follows it, repeats left out where the job has re-timed them."""
    with reader.read_numbered(
        plan.info, first, min(len(plan.timeline.times), first + 9),
        allow_damaged=options.allow_damaged, max_pixels=options.max_pixels, threads=1,
    ) as frames:  # fmt: skip
        begin = next(frames)
        for index, frame in frames:
            if not options.dedup or any(not np.array_equal(a, b) for a, b in zip(begin[1].planes, frame.planes)):
                return [begin, (index, frame)]
    return [begin, begin]


def _frames_between(plan: Plan, options: Options, first: int, last: int) -> Iterator[tuple[int, Frame]]:
    """(output index, frame) of the result's frames between two source frames."""
    timeline = plan.timeline
    if isinstance(timeline, Moments):
        slots = [slot.index for slot in timeline.slots() if slot.source == first and slot.t]
    else:
        begin, end = timeline.first_slot_at(first), timeline.first_slot_at(last)
        slots = [slot.index for slot in timeline.slots(begin, end) if slot.source != first or slot.t]
    step = max(1, -(-len(slots) // MOST_MADE))
    wanted = slots[step // 2 :: step]
    if plan.encoding.finish == "images":
        folder = image_folder(plan.target)
        for number in wanted:
            pattern = plan.encoding.pattern
            name = pattern % (number + 1) if "%" in pattern else pattern  # they count from 1
            yield number, read_still(folder / name)
    elif wanted:
        info = probe.probe(plan.target, max_pixels=options.max_pixels)
        with reader.read_numbered(info, wanted[0], wanted[-1] + 1, threads=1) as frames:
            for number, frame in frames:
                if number in wanted:
                    yield number, oriented(frame, info.video.rotation, info.video.mirrored)


def _picture(plan: Plan, frame: Frame, label: str, index: int) -> Picture:
    upright = oriented(frame, plan.info.video.rotation, plan.info.video.mirrored)
    return Picture(f"{label} {index}", False, jpeg(upright))


def _clock(plan: Plan, number: int) -> str:
    return f"{float(plan.timeline.slot(number).time - plan.info.start):.3f} s"


def jpeg(frame: Frame, width: int = WIDTH) -> bytes:
    """A frame as a small JPEG; HDR is not tone mapped."""
    from vfi_pipeline.synthesis.rgb import to_rgb

    codes = (to_rgb(frame)[0].permute(1, 2, 0).numpy() * 255 + 0.5).astype(np.uint8)
    picture = Image.fromarray(codes)
    picture.thumbnail((width, width), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=88)
    return data.getvalue()
