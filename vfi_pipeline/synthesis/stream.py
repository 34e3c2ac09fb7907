"""From source frames to output frames: windows, rendering and scheduling joined into one bounded stream.

Nothing is read long before it is asked for, and no more is held than the detectors' lookahead, a few pairs and a few
outputs.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from fractions import Fraction
from typing import NamedTuple

from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.media.frames import Frame
from vfi_pipeline.media.timeline import Slot, SourceTimes
from vfi_pipeline.models.motion import MotionModel
from vfi_pipeline.synthesis import exposure
from vfi_pipeline.synthesis.context import CONTEXT_AFTER, CONTEXT_BEFORE
from vfi_pipeline.synthesis.options import Options
from vfi_pipeline.synthesis.render import BegunPart, Output, PairRenderer, PendingFrame
from vfi_pipeline.synthesis.schedule import background_workers, in_background, in_batches, scheduled, workers
from vfi_pipeline.synthesis.statistics import Statistics
from vfi_pipeline.synthesis.windows import KeyFrame, KeyWindow, windows

__all__ = ["CONTEXT_AFTER", "CONTEXT_BEFORE", "Options", "Output", "Statistics", "interpolate"]


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
        frames: (absolute source index, frame), in order and without gaps: at least from the first slot's ``source`` to
            the last slot's ``source`` (``source + 1`` where its t is not 0), better with ``CONTEXT_BEFORE`` and
            ``CONTEXT_AFTER`` more around. Read lazily; no further ahead than the context.
        slots: from ``media.timeline``, in order.
        model: the motion model.
        times: when each source frame is shown: what the slots were computed from. Without it ``Frame.time`` is taken.
            Only ``dedup`` needs it.
        statistics: filled in as the stream runs.

    Raises:
        UserError: if the frames end before the slots do (a damaged file), or change size or format on the way.
    """
    facts = Statistics() if statistics is None else statistics
    with workers(options.device) as executor, background_workers(options.device) as background:
        renderer = PairRenderer(model, options, facts, executor, background)
        prefetch = _Prefetch(options)
        if options.exposure_s:
            if times is None:
                raise ValueError("Exposures need to know when each source frame is shown.")
            outputs = _exposures(frames, slots, renderer, times, prefetch, options.exposure_s)
        else:
            outputs = _pending(frames, slots, renderer, times, prefetch)
        try:
            with closing(outputs):
                for pending in scheduled(outputs, prefetch.count):
                    yield pending.finished(facts)
        finally:
            facts.settle()


class _Prefetch:
    """How many outputs may be begun ahead: as many as are asked for, and as fit into the memory they may take.

    On a device, too: the host only launches them, and waits for the first when all are launched.
    """

    def __init__(self, options: Options) -> None:
        self._options, self._count = options, 0

    def fit(self, frame: Frame) -> None:
        """Takes the size of the outputs from a source frame."""
        size = sum(plane.nbytes for plane in frame.planes)
        if (scaling := self._options.scaling) is not None:
            size = max(1, size * math.prod(scaling.canvas) // math.prod(scaling.source))
        if self._options.exposure_s:
            size *= 8  # sums in float32, of two pairs and more
        self._count = min(self._options.prefetch, self._options.prefetch_bytes // size)

    def count(self) -> int:
        return self._count


def _pending(
    frames: Iterable[tuple[int, Frame]],
    slots: Iterable[Slot],
    renderer: PairRenderer,
    times: SourceTimes | None,
    prefetch: _Prefetch,
) -> Generator[PendingFrame]:
    """``interpolate``'s outputs, each as soon as it is begun."""
    with closing(_assigned(frames, slots, renderer, times, prefetch)) as assigned:
        batches = in_batches(
            assigned,
            lambda one: renderer.pairs_at_once(one[0].first.frame),
            lambda batch: renderer.prepare([window for window, here in batch if any(slot.t for slot in here)]),
        )
        for window, here in scheduled(batches, lambda: renderer.windows_ahead):
            step = renderer.options.times_per_solve
            for begin in range(0, max(1, len(here)), step):  # without outputs too: a style goes on through the pair
                yield from renderer.render(window, here[begin : begin + step])


def _assigned(
    frames: Iterable[tuple[int, Frame]],
    slots: Iterable[Slot],
    renderer: PairRenderer,
    times: SourceTimes | None,
    prefetch: _Prefetch,
) -> Generator[tuple[KeyWindow, list[Slot]]]:
    """The windows, each with the slots that lie in it."""
    facts = renderer.facts
    waiting = iter(slots)
    slot = next(waiting, None)
    if slot is None:
        return
    origin, last_read = slot.source, None
    with closing(_windows(frames, renderer, times)) as coming_windows:
        for window in coming_windows:
            first, last = window.first, window.last
            last_read = first
            if last is not None and last.index <= origin:
                renderer.skip(window)
                continue  # context
            if first.index > slot.source:
                raise ValueError(
                    f"Output {slot.index} needs source frame {slot.source}; the first given is {first.index}."
                )
            if last is not None and last.starts_shot:
                facts.cuts.append(last.index)
                facts.cut_times.append(last.time)
            prefetch.fit(first.frame)
            here: list[Slot] = []
            while slot is not None and _lies_in(slot, first, last):
                here.append(slot)
                slot = next(waiting, None)
            yield window, here
            if slot is None:
                return
    raise _broken_off(last_read, slot)


def _windows(
    frames: Iterable[tuple[int, Frame]], renderer: PairRenderer, times: SourceTimes | None
) -> Generator[KeyWindow]:
    """The film's windows; for a device a thread finds them, meanwhile."""
    found = windows(frames, renderer.options, times, renderer.facts)
    yield from found if renderer.background is None else in_background(found, WINDOWS_FOUND_AHEAD)


WINDOWS_FOUND_AHEAD = 4
"""For a device: detectors take milliseconds a frame, and should not wait for the frame to be asked for."""


def _broken_off(last_read: KeyFrame | None, slot: Slot) -> UserError:
    return UserError(
        f"The film breaks off {'before its first frame' if last_read is None else f'after frame {last_read.index}'}; "
        f"output frame {slot.index} needs frame {slot.source + (slot.t > 0)}.",
        "repair the file (ffmpeg -i broken -c copy repaired), or set end= to a time before the damage",
        BAD_INPUT,
    )


class _ExposedWindow(NamedTuple):
    """What of the exposures lies in a window.

    Attributes:
        window: the frames.
        forgotten: exposures of which nothing before this window counts: it was of an earlier shot.
        parts: the exposures that are open in the window's pair, with their parts in it.
        ended: those that are over with it.
    """

    window: KeyWindow
    forgotten: list[exposure.Exposure]
    parts: list[tuple[exposure.Exposure, exposure.Part]]
    ended: list[exposure.Exposure]


def _exposures(
    frames: Iterable[tuple[int, Frame]],
    slots: Iterable[Slot],
    renderer: PairRenderer,
    times: SourceTimes,
    prefetch: _Prefetch,
    length: Fraction,
) -> Generator[PendingFrame]:
    """``interpolate``'s outputs with motion blur, each as soon as all its parts are begun."""
    with closing(_exposed_windows(frames, slots, renderer, times, prefetch, length)) as exposed:
        batches = in_batches(
            exposed,
            lambda one: renderer.pairs_at_once(one.window.first.frame),
            lambda batch: renderer.prepare([one.window for one in batch if one.parts]),
        )
        for ended in scheduled(_begun_parts(batches, renderer), lambda: renderer.windows_ahead):
            for one, parts in ended:
                yield renderer.finish_exposure(one, parts)


def _begun_parts(
    windows: Iterator[_ExposedWindow], renderer: PairRenderer
) -> Iterator[list[tuple[exposure.Exposure, list[BegunPart]]]]:
    """For every window the exposures that are over with it, with all their parts, which are begun."""
    begun: dict[int, list[BegunPart]] = {}
    for window, forgotten, parts, ended in windows:
        renderer.enter(window)
        for one in forgotten:
            begun.pop(one.slot.index, None)
        for one, part in parts:
            begun.setdefault(one.slot.index, []).append(renderer.expose(window, part))
        yield [(one, begun.pop(one.slot.index)) for one in ended]


def _exposed_windows(
    frames: Iterable[tuple[int, Frame]],
    slots: Iterable[Slot],
    renderer: PairRenderer,
    times: SourceTimes,
    prefetch: _Prefetch,
    length: Fraction,
) -> Generator[_ExposedWindow]:
    """The windows, each with what of the exposures lies in it."""
    facts = renderer.facts
    coming = exposure.exposures(slots, times, length)
    following = next(coming, None)
    if following is None:
        return
    under_way: deque[exposure.Exposure] = deque()
    begin, last_read = following.begin, None
    with closing(_windows(frames, renderer, times)) as coming_windows:
        for window in coming_windows:
            first, last = window.first, window.last
            last_read = first
            if last is not None and last.time <= begin:
                renderer.skip(window)
                continue  # context
            if last is not None and last.starts_shot:
                facts.cuts.append(last.index)
                facts.cut_times.append(last.time)
            prefetch.fit(first.frame)
            while following is not None and exposure.begins_before(window, following):
                under_way.append(following)
                following = next(coming, None)
            parts = [(one, part) for one in under_way if (part := exposure.part_in(window, one)) is not None]
            here = _ExposedWindow(
                window, [one for one in under_way if exposure.is_of_an_earlier_shot(window, one)], parts, []
            )  # fmt: skip
            while under_way and exposure.is_over(window, under_way[0]):
                one = under_way[0]
                if last is None and one.slot.source > first.index + len(first.covers):
                    yield here
                    raise _broken_off(first, one.slot)
                here.ended.append(under_way.popleft())
            yield here
            if not under_way and following is None:
                return
    waiting = under_way[0] if under_way else following
    assert waiting is not None
    raise _broken_off(last_read, waiting.slot)


def _lies_in(slot: Slot, first: KeyFrame, last: KeyFrame | None) -> bool:
    """Whether ``slot`` is shown before ``last``; at the film's end: by the last key itself and the repeats in it."""
    if last is not None:
        return slot.source < last.index
    return slot.source == first.index and not slot.t
