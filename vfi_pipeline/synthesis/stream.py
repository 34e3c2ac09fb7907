"""From source frames to output frames: detectors, motion and composition joined into one bounded stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from vfi_pipeline.media.frames import Frame
from vfi_pipeline.media.timeline import Slot, SourceTimes
from vfi_pipeline.models.motion import MotionModel

CONTEXT_BEFORE = 6
"""Frames before a segment's first source frame that the detectors want to see, so that a cut is judged as in one run."""

CONTEXT_AFTER = 3
"""The same behind the segment's last source frame (``last slot's source + 1``)."""


@dataclass(frozen=True)
class Options:
    """How the in-betweens are made.

    Attributes:
        scene: look for hard cuts (``cuts`` overrides).
        scene_threshold: 0 .. 1; a pair whose cut score is above it is a cut: lower finds more cuts.
        cuts: source indices of the first frame of each shot; given, nothing is looked for. ``()`` means none.
        at_cut: ``hold`` shows the frame before the cut until the cut; ``blend`` cross-fades.
        dedup: re-time repeated frames (film on twos): in-betweens span from one new picture to the next.
        dedup_threshold: 0 .. 1, see ``synthesis.duplicates``.
        dedup_max_span_s: a picture that stays longer than this is held, not stretched.
        mask: (h, w) float32 in [0, 1] or None, any size; 1 leaves the nearer source frame's pixel.
        device: torch device for composition and the guide.
    """

    scene: bool = True
    scene_threshold: float = 0.5
    cuts: tuple[int, ...] | None = None
    at_cut: str = "hold"
    dedup: bool = False
    dedup_threshold: float = 0.5
    dedup_max_span_s: float = 0.25
    mask: np.ndarray | None = None
    device: str = "cpu"


@dataclass
class Statistics:
    """What happened, readable while the stream runs and after."""

    source_frames: int = 0
    copied: int = 0  # output frames that are a source frame, bit for bit
    made: int = 0  # output frames that were composed
    pairs: int = 0  # motion solves
    nfe: int = 0  # velocity calls, summed over the solves
    min_det: float = 1.0  # smallest Jacobian determinant seen
    folded: float = 0.0  # mean share of det <= 0 over the solves
    cuts: list[int] = field(default_factory=list)  # source index of the first frame of each new shot
    cut_times: list[float] = field(default_factory=list)  # its presentation time, seconds
    duplicates: list[int] = field(default_factory=list)  # source indices of frames that repeat the one before
    seconds: dict[str, float] = field(default_factory=dict)  # wall time per stage: detect, guide, motion, compose


class Output(NamedTuple):
    """One output frame; ``made`` is False where ``frame`` is a source frame, untouched (its ``time`` is the slot's)."""

    slot: Slot
    frame: Frame
    made: bool


def interpolate(
    frames: Iterable[tuple[int, Frame]],
    slots: Iterable[Slot],
    model: MotionModel,
    options: Options = Options(),
    times: SourceTimes | None = None,
    statistics: Statistics | None = None,
) -> Iterator[Output]:
    """The output frames for ``slots``, in order.

    Args:
        frames: (absolute source index, frame), indices without gaps, in order: from the first slot's ``source`` (or
            earlier: up to ``CONTEXT_BEFORE`` frames more are looked at by the detectors only) to the last slot's
            ``source + 1`` (or ``CONTEXT_AFTER`` frames later). Read lazily, a bounded number ahead.
        slots: from ``media.timeline``, in order.
        model: the motion model; reset at the start and at every cut.
        times: when each source frame is shown, the one the slots were computed from; without it ``Frame.time`` is
            taken. Only ``dedup`` needs it.
        statistics: filled in as the stream runs.

    Raises:
        UserError: if the frames end before the slots do (a damaged file), or change size or format on the way.
    """
    raise NotImplementedError
