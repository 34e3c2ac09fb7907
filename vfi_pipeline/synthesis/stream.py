"""From source frames to output frames: windows, rendering and scheduling joined into one bounded stream.

Nothing is read long before it is asked for, and no more is held than the detectors' lookahead, a few pairs and a few
outputs.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from fractions import Fraction

from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.media.frames import Frame
from vfi_pipeline.media.timeline import Slot, SourceTimes
from vfi_pipeline.models.motion import MotionModel
from vfi_pipeline.synthesis import exposure
from vfi_pipeline.synthesis.context import CONTEXT_AFTER, CONTEXT_BEFORE
from vfi_pipeline.synthesis.options import Options
from vfi_pipeline.synthesis.render import Output, PairRenderer, PendingFrame, Seen
from vfi_pipeline.synthesis.schedule import in_batches, scheduled, workers
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
    with workers(options.device) as executor:
        renderer = PairRenderer(model, options, facts, executor)
        held = _Held(options)
        if options.exposure_s:
            if times is None:
                raise ValueError("Exposures need to know when each source frame is shown.")
            begun = _exposures(frames, slots, renderer, times, held, options.exposure_s)
        else:
            begun = _pending(frames, slots, renderer, times, held)
        try:
            for pending in scheduled(begun, held.ahead):
                yield pending.finished(facts)
        finally:
            facts.settle()


class _Held:
    """How many outputs may be begun ahead: as many as are asked for, and as fit into the memory they may take.

    On a device, too: the host only launches them, and waits for the first when all are launched.
    """

    def __init__(self, options: Options) -> None:
        self.options, self.count = options, 0

    def see(self, frame: Frame) -> None:
        """Takes the size of the outputs from a source frame."""
        size = sum(plane.nbytes for plane in frame.planes)
        if (scaling := self.options.scaling) is not None:
            size = max(1, size * math.prod(scaling.canvas) // math.prod(scaling.source))
        if self.options.exposure_s:
            size *= 8  # sums in float32, of two pairs and more
        self.count = min(self.options.prefetch, self.options.prefetch_bytes // size)

    def ahead(self) -> int:
        return self.count


def _pending(
    frames: Iterable[tuple[int, Frame]],
    slots: Iterable[Slot],
    renderer: PairRenderer,
    times: SourceTimes | None,
    held: _Held,
) -> Iterator[PendingFrame]:
    """``interpolate``'s outputs, each as soon as it is begun."""
    assigned = _assigned(frames, slots, renderer, times, held)
    for window, here in in_batches(
        assigned,
        lambda one: renderer.pairs_at_once(one[0].first.frame),
        lambda batch: renderer.prepare([window for window, here in batch if any(slot.t for slot in here)]),
    ):
        step = renderer.options.times_per_solve
        for begin in range(0, max(1, len(here)), step):  # without outputs too: a style goes on through the pair
            yield from renderer.render(window, here[begin : begin + step])


def _assigned(
    frames: Iterable[tuple[int, Frame]],
    slots: Iterable[Slot],
    renderer: PairRenderer,
    times: SourceTimes | None,
    held: _Held,
) -> Iterator[tuple[KeyWindow, list[Slot]]]:
    """The windows, each with the slots that lie in it."""
    facts = renderer.facts
    waiting = iter(slots)
    slot = next(waiting, None)
    if slot is None:
        return
    origin, last_seen = slot.source, None
    for window in windows(frames, renderer.options, times, facts):
        first, last = window.first, window.last
        last_seen = first
        if last is not None and last.index <= origin:
            renderer.leads_in(window)
            continue  # context
        if first.index > slot.source:
            raise ValueError(f"Output {slot.index} needs source frame {slot.source}; the first given is {first.index}.")
        if last is not None and last.starts_shot:
            facts.cuts.append(last.index)
            facts.cut_times.append(last.time)
        held.see(first.frame)
        here: list[Slot] = []
        while slot is not None and _lies_in(slot, first, last):
            here.append(slot)
            slot = next(waiting, None)
        yield window, here
        if slot is None:
            return
    raise _broken_off(last_seen, slot)


def _broken_off(last_seen: KeyFrame | None, slot: Slot) -> UserError:
    return UserError(
        f"The film breaks off {'before its first frame' if last_seen is None else f'after frame {last_seen.index}'}; "
        f"output frame {slot.index} needs frame {slot.source + (slot.t > 0)}.",
        "repair the file (ffmpeg -i broken -c copy repaired), or set end= to a time before the damage",
        BAD_INPUT,
    )


def _exposures(
    frames: Iterable[tuple[int, Frame]],
    slots: Iterable[Slot],
    renderer: PairRenderer,
    times: SourceTimes,
    held: _Held,
    length: Fraction,
) -> Iterator[PendingFrame]:
    """``interpolate``'s outputs with motion blur, each as soon as all its parts are begun."""
    facts = renderer.facts
    coming = exposure.exposed(slots, times, length)
    following = next(coming, None)
    under_way: deque[tuple[exposure.Exposed, list[Future[Seen]]]] = deque()
    if following is None:
        return
    begin, last_seen = following.begin, None
    for window in windows(frames, renderer.options, times, facts):
        first, last = window.first, window.last
        last_seen = first
        if last is not None and last.time <= begin:
            renderer.leads_in(window)
            continue  # context
        renderer.stylise(window)
        if last is not None and last.starts_shot:
            facts.cuts.append(last.index)
            facts.cut_times.append(last.time)
        held.see(first.frame)
        while following is not None and exposure.begins_before(window, following):
            under_way.append((following, []))
            following = next(coming, None)
        for one, parts in under_way:
            if exposure.is_of_an_earlier_shot(window, one):
                parts.clear()
            part = exposure.part_in(window, one)
            if part is not None:
                parts.append(renderer.seen(window, part))
        while under_way and exposure.is_over(window, under_way[0][0]):
            one, parts = under_way.popleft()
            if last is None and one.slot.source > first.index + len(first.covers):
                raise _broken_off(first, one.slot)
            yield renderer.exposed(one, parts)
        if not under_way and following is None:
            return
    waiting = under_way[0][0] if under_way else following
    assert waiting is not None
    raise _broken_off(last_seen, waiting.slot)


def _lies_in(slot: Slot, first: KeyFrame, last: KeyFrame | None) -> bool:
    """Whether ``slot`` is shown before ``last``; at the film's end: by the last key itself and the repeats in it."""
    if last is not None:
        return slot.source < last.index
    return slot.source == first.index and not slot.t
