"""Segments of a film, interpolated: the motion model and its settings, built once, put to any segments of the film.

A segment is a pure function of the source, the plan, the options and the model: it reads frames before and after its
own (``synthesis.context``), so that it is the same whoever makes it, in whatever order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from vfi_pipeline.jobs.faces import EditChoice
from vfi_pipeline.jobs.journal import STYLE_FOLDER, work_folder
from vfi_pipeline.jobs.method import ModelChoice, resolve_device
from vfi_pipeline.jobs.options import Options
from vfi_pipeline.jobs.pipeline import MOST_QUEUED, Pipeline
from vfi_pipeline.jobs.plan import Plan, Segment
from vfi_pipeline.jobs.progress import Progress
from vfi_pipeline.jobs.segment_task import SegmentTask
from vfi_pipeline.media import reader
from vfi_pipeline.media.frames import Frame
from vfi_pipeline.media.writer import FrameWriter
from vfi_pipeline.synthesis.context import CONTEXT_AFTER, CONTEXT_BEFORE

if TYPE_CHECKING:
    from vfi_pipeline.models.motion import MotionModel
    from vfi_pipeline.synthesis.mask import Mask
    from vfi_pipeline.synthesis.stream import Options as StreamOptions
    from vfi_pipeline.synthesis.stream import Statistics
    from vfi_pipeline.synthesis.style import Stylist


class Tools(NamedTuple):
    """What makes frames: the motion model, and the settings of the stream."""

    model: MotionModel
    settings: StreamOptions


class FrameMaker:
    """Makes the frames of a film's segments. Loads torch, and the weights, with the first of them: when the source is
    being decoded already."""

    def __init__(
        self, plan: Plan, options: Options, model_choice: ModelChoice, progress: Progress | None = None
    ) -> None:
        """``progress`` tells of a style that is painted before the frames; a film without one needs none."""
        self._plan, self._options, self._model_choice, self._progress = plan, options, model_choice, progress
        self._memory_level = model_choice.memory_level

    @cached_property
    def tools(self) -> Tools:
        """The motion model and the settings of the stream."""
        # Here and not above: torch takes seconds to load, and help, plans and mistakes should not wait for it.
        from vfi_pipeline.synthesis import stream

        plan, options = self._plan, self._options
        model = self._model_choice.build()
        style = None if self._progress is None else _stylist(plan, options, model, self._progress)
        settings = stream.Options(
            scene=options.scene, scene_threshold=options.scene_threshold, cuts=plan.cuts, at_cut=options.cut,
            dedup=options.dedup, mask=_mask(options.mask), overlay=options.overlay, scaling=plan.scaling,
            exposure_s=plan.exposure_s, max_gap_s=plan.max_gap_s, device=resolve_device(options.device), style=style,
            times_per_solve=1 if self._memory_level else stream.Options.times_per_solve,
        )  # fmt: skip
        return Tools(model, settings)

    def run(
        self,
        todo: Sequence[Segment],
        open_segment: Callable[[Segment], AbstractContextManager[FrameWriter]],
        finished: Callable[[Segment, int, Any], None],
        wrote: Callable[[bool], None],
    ) -> None:
        """Makes ``todo`` in order, see ``Pipeline``: ``finished`` gets the ``Statistics`` of a segment."""
        plan, options = self._plan, self._options
        statistics: dict[int, Statistics] = {}
        times = plan.timeline.times

        def open_frames(start: int) -> AbstractContextManager[Iterator[tuple[int, Frame]]]:
            return reader.read_numbered(
                plan.info, start, None,
                allow_damaged=options.allow_damaged, max_pixels=options.max_pixels,
                threads=1 if self._memory_level else None,
                decode=options.decode,
            )  # fmt: skip

        def compute(segment: Segment, frames: Iterator[tuple[int, Frame]]) -> Iterator[tuple[Frame, bool]]:
            from vfi_pipeline.synthesis import stream

            model, settings = self.tools
            facts = statistics[segment.number] = stream.Statistics()
            slots = plan.timeline.slots(segment.start, segment.stop)
            if settings.style is not None:
                settings.style.segment_begins(segment.number)
            for output in stream.interpolate(frames, slots, model, settings, times, facts):
                yield output.frame, output.made

        def note(segment: Segment) -> Statistics:
            style = self.tools.settings.style
            if style is not None:
                style.segment_ends(segment.number)
            return statistics.pop(segment.number)

        Pipeline(
            open_frames,
            compute,
            note,
            open_segment,
            finished,
            wrote,
            most_frames=2 if self._memory_level else MOST_QUEUED,
        ).run([part.within(CONTEXT_BEFORE, CONTEXT_AFTER, *plan.timeline.sources_shown) for part in todo])


def interpolate_segments(task: SegmentTask) -> None:
    """Makes the frames of segments in this process; a ``MakeFrames``."""
    maker = FrameMaker(task.plan, task.options, task.model_choice, task.progress)
    maker.run(task.segments, task.open_segment, task.finished, task.progress.add)


def _stylist(plan: Plan, options: Options, model: MotionModel, progress: Progress) -> Stylist | None:
    choice = options.style
    if choice is None:
        return None
    from vfi_pipeline.jobs.style_passes import paint_film
    from vfi_pipeline.models.style import load_style
    from vfi_pipeline.synthesis.style import NetworkPainter, Painter, Stylist

    device = resolve_device(options.device)
    folder = work_folder(plan.target) / STYLE_FOLDER
    painter: Painter
    if isinstance(choice, EditChoice):
        painter = choice.painter(device, progress)
    elif choice.weights is not None:
        painter = NetworkPainter(load_style(choice.weights, device), looks_back=model.guide_span is not None)
    else:
        painter = paint_film(plan, options, choice, model, folder, device, progress)
    memory = None if options.benchmark else folder
    return Stylist(painter, choice.settings(), device, memory, apart=options.at is not None)


def _mask(path: str | None) -> Mask | None:
    if path is None:
        return None
    from vfi_pipeline.synthesis.mask import read_mask

    return read_mask(Path(path))
