"""The segments of one film that are still to be made, and all that making them needs: one value.

``jobs.local`` makes it, in one place. Whoever makes the frames (this process, the head of several workers, an
animation) is a ``MakeFrames``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vfi_pipeline.jobs.method import ModelChoice
from vfi_pipeline.jobs.options import Options
from vfi_pipeline.jobs.plan import Plan, Segment
from vfi_pipeline.jobs.progress import Progress
from vfi_pipeline.media.writer import FrameWriter

if TYPE_CHECKING:
    from vfi_pipeline.synthesis.stream import Statistics


@dataclass(frozen=True)
class SegmentTask:
    """Segments to be made.

    Attributes:
        plan: of the whole film.
        options: the user's.
        model_choice: the motion model.
        segments: those to be made, in order.
        open_segment: opens the writer of a segment.
        finished: is called with a segment, its number of frames and its statistics, once its writer has closed.
        progress: counts the frames.
    """

    plan: Plan
    options: Options
    model_choice: ModelChoice
    segments: Sequence[Segment]
    open_segment: Callable[[Segment], AbstractContextManager[FrameWriter]]
    finished: Callable[[Segment, int, Statistics], None]
    progress: Progress


MakeFrames = Callable[[SegmentTask], None]
"""Makes the frames of segments: writes each segment to ``open_segment``'s writer, then calls ``finished``."""
