"""Facts of a film, a moment of it, and a cut: plain values that go between the helper process and the page."""

from __future__ import annotations

from dataclasses import dataclass

SHOWN_AS_IMAGES = (".gif", ".webp", ".apng", ".png", ".jpg", ".jpeg")
"""Results that a browser shows as a picture."""


@dataclass(frozen=True)
class Look:
    """Facts of a film and what will be done to it.

    Attributes:
        path: what was looked at.
        label: the film's name; a stranger's text.
        lines: (word, text) of the plan, as ``dry_run=true`` prints it.
        kept, lost: streams, a line each; ``lost`` is also what else is not taken over.
        notes: what does not come out as it is.
        target: the output.
        width, height, source_frames, duration_s, source_rate: of the source.
        frames, made: of the output, and those of them that are not copies.
        disk_bytes, free_bytes: about what the work takes, and what there is (None: not known).
        first_s, end_s: when the first picture comes and the last one is over, seconds from the file's start.
    """

    path: str
    label: str
    lines: tuple[tuple[str, str], ...]
    kept: tuple[str, ...]
    lost: tuple[str, ...]
    notes: tuple[str, ...]
    target: str
    width: int
    height: int
    source_frames: int
    source_rate: float
    duration_s: float
    frames: int
    made: int
    disk_bytes: int
    free_bytes: int | None
    first_s: float
    end_s: float


@dataclass(frozen=True)
class Preview:
    """A moment of the result beside what the source shows then.

    Attributes:
        before, after: JPEG files: the source's picture at that moment, and the frame of the result.
        moment_s: the moment of the result's frame that was made, seconds from the film's start.
        source, t: the source frame before it and the place between that and the next, 0 .. 1.
        kind: ``made``, ``copied`` or ``held`` (over a cut, a gap, a still picture).
        busiest: (x, y) in 0 .. 1 where source and made frame differ most.
    """

    before: str
    after: str
    moment_s: float
    source: int
    t: float
    kind: str
    busiest: tuple[float, float]


@dataclass(frozen=True)
class Cut:
    """A cut: ``frame`` is the first of the new shot, ``time_s`` from the film's start; JPEG bytes of both sides."""

    frame: int
    time_s: float
    before: bytes
    after: bytes
