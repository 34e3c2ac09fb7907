"""The output frames of one window: copies of source frames, and frames that are composed from the pair's motion."""

from __future__ import annotations

import logging
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vfi_pipeline.estimation.window import Observation, Window
from vfi_pipeline.media.frames import Frame
from vfi_pipeline.media.scaling import Scaling
from vfi_pipeline.media.timeline import Slot
from vfi_pipeline.models.blend import CrossFade
from vfi_pipeline.models.motion import (
    IntermediateMotion,
    MotionModel,
    MotionReport,
    PairMotion,
    PendingReport,
    PreparesPairs,
)
from vfi_pipeline.synthesis import compose, exposure
from vfi_pipeline.synthesis.covering import PairCover, kept, plane_weights
from vfi_pipeline.synthesis.guide import device_guide, looked_at
from vfi_pipeline.synthesis.mask import Mask, keep
from vfi_pipeline.synthesis.options import Options
from vfi_pipeline.synthesis.overlay import Masks, Overlays, either, hidden_part, moving, within
from vfi_pipeline.synthesis.resize import on_canvas
from vfi_pipeline.synthesis.schedule import pairs_at_once
from vfi_pipeline.synthesis.statistics import Statistics
from vfi_pipeline.synthesis.windows import KeyFrame, KeyWindow, leaves_gap, place, same_picture

log = logging.getLogger(__name__)

Report = MotionReport | PendingReport


class Output(NamedTuple):
    """One output frame, with the slot's time; where ``made`` is False it is a source frame, resized or in a style."""

    slot: Slot
    frame: Frame
    made: bool


class Composed(NamedTuple):
    """A composed frame, the pair it belongs to and what is known of that pair's motion so far."""

    frame: Frame | compose.Arriving
    pair: int
    report: Report | None


class ExposedFrame(NamedTuple):
    """A frame with motion blur, and (pair, what is known of its motion so far) for every pair that moved in it."""

    frame: Frame | compose.Arriving
    reports: tuple[tuple[int, Report | None], ...]


class PartialExposure(NamedTuple):
    """What a part of an exposure adds to it: a mean of frames, whose weights sum to ``share``, or a frame that stays.

    ``like`` is a source frame.
    """

    share: float
    mean: exposure.Mean | None
    still: _LoadedFrame | None
    report: tuple[int, Report | None] | None
    like: Frame


BegunPart = Callable[[], PartialExposure]
"""A part of an exposure that is being made; the call waits for it."""


@dataclass(frozen=True)
class PendingFrame:
    """An output that may not be finished: a source frame, at hand or being resized, or one that is being composed."""

    slot: Slot
    frame: Frame | Future[Frame | compose.Arriving] | Future[Composed] | Future[Frame | compose.Arriving | ExposedFrame]
    held: bool = False

    def finished(self, facts: Statistics) -> Output:
        """The output, waited for and counted."""
        composed = self.frame if isinstance(self.frame, Frame) else self.frame.result()
        if isinstance(composed, compose.Arriving):
            composed = composed.frame()
        if isinstance(composed, Frame):
            if self.held:
                facts.held += 1
            else:
                facts.copied += 1
            return Output(self.slot, replace(composed, time=self.slot.time), False)
        facts.made += 1
        if isinstance(composed, ExposedFrame):
            for pair, report in composed.reports:
                if report is not None and pair >= facts.last_pair:  # an exposure may reach back to recorded pairs
                    facts.record(pair, report)
        elif composed.report is not None:
            facts.record(composed.pair, composed.report)
        frame = composed.frame
        return Output(self.slot, frame if isinstance(frame, Frame) else frame.frame(), True)


class PairRenderer:
    """Renders windows in order. What several windows use (guides, features, flows, loaded planes) is made once.

    Args:
        executor: runs motion and composition; with an executor of one's own thread, one thing after another.
        background: looks for overlays while a device is busy; None: whoever needs them does.
    """

    def __init__(
        self, model: MotionModel, options: Options, facts: Statistics, executor: Executor,
        background: Executor | None = None,
    ) -> None:  # fmt: skip
        if model.guide_span is None:  # nothing moves
            options = replace(options, overlay=False)
        self.model, self.options, self.facts, self.executor = model, options, facts, executor
        self.background = background
        self._device = torch.device(options.device)
        self._on_device = self._device.type != "cpu"
        self._observations: dict[int, Observation] = {}
        self._loaded_frames: weakref.WeakValueDictionary[int, _LoadedFrame] = weakref.WeakValueDictionary()
        self._uploaded_frames: dict[int, _LoadedFrame] = {}
        self._painted_frames: dict[int, _LoadedFrame] = {}
        self._same: dict[tuple[int, int], bool] = {}
        self._solved: _PairSolution | None = None
        self._shown: dict[int, Frame | list[Tensor]] = {}  # in the style; on a device as codes, see planes.rounded
        self._prefetched: dict[int, Observation] = {}
        self._estimated: set[tuple[int, int]] = set()
        self._batch_limit: int | None = options.batch
        self._overlays = Overlays() if options.overlay else None
        self._begun_overlays: dict[int, _PairOverlays] = {}

    def render(self, window: KeyWindow, slots: Sequence[Slot]) -> Iterator[PendingFrame]:
        """The outputs of ``slots``, all of which lie in [window.first, window.last)."""
        first, last = window.first, window.last
        self.enter(window)
        places = [place(slot, first, last) for slot in slots]
        inner = [(slot, t) for slot, t in zip(slots, places) if t]
        made = iter(self._composed(window, inner) if inner and last is not None and self._moves(first, last) else ())
        for slot, t in zip(slots, places):
            pending = next(made, None) if t else None
            if pending is not None:
                yield PendingFrame(slot, pending)
            else:
                yield PendingFrame(slot, self._copy(first), held=bool(t))

    def enter(self, window: KeyWindow) -> None:
        """A window that outputs come from: its frames are put in the style, and what is before it is forgotten."""
        self.stylise(window)
        first = window.first.index
        begin = first if window.before is None else window.before.index
        self._prefetched = {index: frame for index, frame in self._prefetched.items() if index >= begin}
        self._uploaded_frames = {index: planes for index, planes in self._uploaded_frames.items() if index >= begin}
        self._painted_frames = {index: planes for index, planes in self._painted_frames.items() if index >= first}
        self._estimated = {pair for pair in self._estimated if pair[0] >= begin}
        if self.background is not None and self._overlays is not None:
            self._begun_overlays = {index: found for index, found in self._begun_overlays.items() if index >= first}
            self._overlays.forget_before(window.earlier[0].index if window.earlier else first)

    def skip(self, window: KeyWindow) -> None:
        """A window before the first output: the style goes on through it, if it has come that far."""
        style = self.options.style
        if style is not None and style.knows(window.first.index):
            self.stylise(window)

    def stylise(self, window: KeyWindow) -> None:
        """Puts the pair's frames in the style, if there is one: the last in the light of the first."""
        style, first = self.options.style, window.first
        if style is None:
            return
        for key, before in ((first, None), (window.last, first)):
            if key is None or key.index in self._shown:
                continue
            if before is not None and self._repeats(before, key):
                style.repeat(key.index, before.index)
            moves = before is not None and self._continues(before, key) and self.model.guide_span is not None
            flows = partial(self._flows, first, key) if moves else None
            with self.facts.timed("style"):
                values = partial(self._source_values, key) if self._on_device else None
                shown = style.shown(key.index, key.frame, first.index if moves else None, flows, values)
            self._shown[key.index] = self._masked(shown, key)
        for old in sorted(self._shown)[:-2]:
            del self._shown[old]

    def _masked(self, shown: Frame | list[Tensor], key: KeyFrame) -> Frame | list[Tensor]:
        """The frame in the style, with what is protected as it was."""
        mask = self.options.mask
        if mask is None:
            return shown
        if isinstance(shown, Frame):
            return keep(shown, key.frame, mask)
        layout = compose.layout_of(key.frame)
        return kept(shown, self._own_codes(key), mask.on_device(layout, None, self._device), layout)

    def _repeats(self, first: KeyFrame, last: KeyFrame) -> bool:
        return not last.starts_shot and (last.repeats or self._shows_same(first, last))

    def _flows(self, first: KeyFrame, last: KeyFrame) -> tuple[Tensor, Tensor]:
        """(backward, forward) flow between two keys, from the estimate that made frames share."""
        observed = {key.index: self._observed(key) for key in (first, last)}
        self._prefetched |= observed
        motion = self.model.motion(Window(observed[first.index], observed[last.index]))
        start, end = motion.at([0.0, 1.0])
        return end.flow_to_first, start.flow_to_last

    def pairs_at_once(self, frame: Frame) -> int:
        """How many pairs of such frames are to be estimated as one batch."""
        if self._batch_limit is None:
            size = sum(plane.nbytes for plane in frame.planes)
            self._batch_limit = pairs_at_once(self.options.device, size, self.options.prefetch_bytes)
        return self._batch_limit if isinstance(self.model, PreparesPairs) else 1

    def prepare(self, windows: Sequence[KeyWindow]) -> None:
        """Estimates the pairs of windows that are about to be rendered, as one batch, or as its halves where the
        device's memory does not hold it. Where it holds not even one pair, the failure is the caller's."""
        assert isinstance(self.model, PreparesPairs)
        pairs: dict[tuple[int, int], tuple[Observation, Observation]] = {}
        for window in windows:
            if window.last is None or not self._moves(window.first, window.last):
                continue
            observed = self._window(window)
            if observed is not None:
                self._prefetched |= self._observations
                pairs |= {(first.index, last.index): (first, last) for first, last in observed.pairs()}
                if self.background is not None:
                    self._pair_overlays(window)
        waiting = [pair for key, pair in pairs.items() if key not in self._estimated]
        self._estimated |= set(pairs)
        with self.facts.timed("motion"):
            while waiting:
                # There is a pair more than windows where the one before them is new as well: at the film's beginning.
                some = waiting[: self._batch_limit]
                if self._fits(some):
                    del waiting[: len(some)]

    def _fits(self, pairs: Sequence[tuple[Observation, Observation]]) -> bool:
        """Estimates the pairs, or says that from now on half as many are to be estimated at once."""
        assert isinstance(self.model, PreparesPairs)
        try:
            self.model.prepare_pairs(pairs)
            return True
        except torch.OutOfMemoryError:
            if len(pairs) == 1:
                raise
        # Out of the handler: what the failure held on to is free by now.
        self._batch_limit = len(pairs) // 2
        log.warning(
            "The device's memory does not hold %d pairs at once: %d from now on.", len(pairs), self._batch_limit
        )
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        return False

    @property
    def windows_ahead(self) -> int:
        """How many windows are begun before what was made of one is finished: on a device a batch of them, so that
        what is read back of one has come by then. 0 on a CPU."""
        return (self._batch_limit or 1) if self._on_device else 0

    def expose(self, window: KeyWindow, part: exposure.Part) -> BegunPart:
        """Begins a part of an exposure."""
        first, last = window.first, window.last
        loaded, share = self._loaded(first), float(part.share)
        if last is None or not self._moves(first, last):
            return partial(PartialExposure, share, None, loaded, None, first.frame)
        both, overlays = (loaded, self._loaded(last)), self._pair_overlays(window)
        solved = self._solve(window)
        if not self._on_device:
            return self.executor.submit(self._expose_part, solved, part, first, both, overlays).result
        # How many moments are averaged depends on the motion. The number is under way while the next windows begin.
        longest = compose.ArrivingNumber(self._longest_move(solved, part, first.frame))
        return partial(self._expose_part, solved, part, first, both, overlays, longest)

    def finish_exposure(self, one: exposure.Exposure, parts: Sequence[BegunPart]) -> PendingFrame:
        """The frame of an exposure whose parts are all begun."""
        return PendingFrame(one.slot, self.executor.submit(self._averaged, one, parts))

    def _longest_move(self, solved: _PairSolution, part: exposure.Part, frame: Frame) -> Tensor:
        middle = float((part.begin + part.end) / 2)
        with torch.inference_mode():
            return exposure.longest_move(solved.at([middle])[0][0], frame.width, frame.height)

    @torch.inference_mode()
    def _expose_part(
        self,
        solved: _PairSolution,
        part: exposure.Part,
        first: KeyFrame,
        loaded: tuple[_LoadedFrame, _LoadedFrame],
        overlays: _PairOverlays | None,
        longest: compose.ArrivingNumber | None = None,
    ) -> PartialExposure:
        moves = float(self._longest_move(solved, part, first.frame)) if longest is None else longest.value()
        times, step = part.moments(moves), self.options.times_per_solve
        nearer = 0 if (part.begin + part.end) / 2 <= Fraction(1, 2) else 1
        mean = exposure.Mean(self._averaged_layout(first.frame))
        report: Report | None = None
        for begin in range(0, len(times), step):
            motions, report = solved.at(times[begin : begin + step])
            for motion in motions:
                mean.add(self._values(motion, first, loaded, nearer, overlays), float(part.share) / len(times))
        return PartialExposure(float(part.share), mean, None, (first.index, report), first.frame)

    def _values(
        self,
        motion: IntermediateMotion,
        first: KeyFrame,
        loaded: tuple[_LoadedFrame, _LoadedFrame],
        nearer: int,
        overlays: _PairOverlays | None,
    ) -> list[Tensor]:
        """The code values of a made frame, where the sources lie."""
        if self._on_device:
            codes, _ = self._codes(motion, first, loaded, nearer, overlays)
            return [compose.as_values(group) for group in codes]
        return compose.to_tensors(self._frame(motion, first, loaded, nearer, Fraction(0), overlays))

    def _averaged_layout(self, frame: Frame) -> compose.Layout:
        """Of the frames that are averaged: on a device without the bars, which are added at the end."""
        scaling = self.options.scaling
        if scaling is None:
            return compose.layout_of(frame)
        return compose.layout_of(frame, scaling.place[2:] if self._on_device else scaling.canvas)

    @torch.inference_mode()
    def _averaged(self, one: exposure.Exposure, parts: Sequence[BegunPart]) -> Frame | compose.Arriving | ExposedFrame:
        done = [part() for part in parts]
        still = done[0].still
        if still is not None and all(each.still is not None and each.still.shows_same(still) for each in done):
            return still.arriving()
        like = done[0].like
        layout = self._averaged_layout(like)
        with self.facts.timed("compose"):
            total = exposure.Mean(layout)
            for each in done:
                if each.mean is not None:
                    total.merge(each.mean)
                elif each.still is not None:
                    total.add(each.still.values(), each.share)
            finish = _finish(self.options.scaling) if self._on_device else ()
            arriving = compose.Arriving(total.codes(), layout, like, one.slot.time, *finish)
        reports = tuple(each.report for each in done if each.report is not None)
        return ExposedFrame(arriving if self._on_device else arriving.frame(), reports)

    def _copy(self, key: KeyFrame) -> Frame | Future[Frame | compose.Arriving]:
        """A source frame in the size that is asked for."""
        shown = self._shown.get(key.index, key.frame)
        if self.options.scaling is None and isinstance(shown, Frame):
            return shown
        return self.executor.submit(self._loaded(key).arriving)

    def _moves(self, first: KeyFrame, last: KeyFrame) -> bool:
        """Whether anything is made between two keys."""
        if last.repeats or leaves_gap(first, last, self.options.max_gap_s):
            return False
        if last.starts_shot:
            return self.options.at_cut == "blend"
        return not self._shows_same(first, last)

    def _continues(self, first: KeyFrame | None, last: KeyFrame | None) -> bool:
        """Whether the picture moves on from one key to the next: no cut, no hole, no repeat between them."""
        if first is None or last is None or last.starts_shot:
            return False
        return self._moves(first, last)

    def _shows_same(self, first: KeyFrame, last: KeyFrame) -> bool:
        pair = first.index, last.index
        if pair not in self._same:
            self._same = {key: self._same[key] for key in list(self._same)[-4:]} | {pair: same_picture(first, last)}
        return self._same[pair]

    def _composed(self, window: KeyWindow, slots: Sequence[tuple[Slot, Fraction]]) -> Iterator[Future[Composed]]:
        """Composed frames of the slots, in order; all their times are read off one solve."""
        first, last = window.first, window.last
        assert last is not None
        solved = self._solve(window)
        loaded = self._loaded(first), self._loaded(last)
        motions = self.executor.submit(solved.at, [float(t) for _, t in slots])
        overlays = self._pair_overlays(window)
        for number, (slot, t) in enumerate(slots):
            nearer = 0 if t <= Fraction(1, 2) else 1
            yield self.executor.submit(self._compose, motions, number, first, loaded, nearer, slot.time, overlays)

    def _solve(self, window: KeyWindow) -> _PairSolution:
        if self._solved is None or self._solved.index != window.first.index:
            self._solved = _PairSolution(window.first.index, self._window(window), self.model, self.facts)
        return self._solved

    def _window(self, window: KeyWindow) -> Window | None:
        """The window as models see it; None at a cut, where nothing moves."""
        before, first, last, after = window[:4]
        assert last is not None
        if last.starts_shot:
            return None
        before = before if self._continues(before, first) else None
        after = after if self._continues(last, after) else None
        length = (last.time - first.time) or Fraction(1)  # frames that carry no times have no lengths to compare
        near = [key for key in (before, first, last, after) if key is not None]
        self._observations = {key.index: self._observed(key) for key in near}
        observed = self._observations
        return Window(
            observed[first.index], observed[last.index],
            None if before is None else observed[before.index],
            None if after is None else observed[after.index],
            1.0 if before is None else float((first.time - before.time) / length),
            1.0 if after is None else float((after.time - last.time) / length),
        )  # fmt: skip

    def _pair_overlays(self, window: KeyWindow) -> _PairOverlays | None:
        """What finds the pair's overlays; None where none are looked for: at a cut, or without ``overlay``."""
        assert window.last is not None
        if self._overlays is None or window.last.starts_shot:
            return None
        if window.first.index in self._begun_overlays:
            return self._begun_overlays[window.first.index]
        shot = deque([window.first, window.last])
        for key in reversed(window.earlier):
            if not self._is_one_shot(key, shot[0]):
                break
            shot.appendleft(key)
        for key in window.later:
            if not self._is_one_shot(shot[-1], key):
                break
            shot.append(key)
        found = _PairOverlays(
            self._overlays, [(key.index, key.frame) for key in shot], window.first.index, window.last.index
        )
        if self.background is None:
            self._overlays.forget_before(shot[0].index)
        else:
            self._begun_overlays[window.first.index] = found
            self.background.submit(found.look)
        return found

    def _is_one_shot(self, first: KeyFrame, last: KeyFrame) -> bool:
        return not last.starts_shot and not leaves_gap(first, last, self.options.max_gap_s)

    def _observed(self, key: KeyFrame) -> Observation:
        known = self._observations.get(key.index) or self._prefetched.get(key.index)
        return known if known is not None else Observation(key.index, partial(self._guide, key))

    @torch.inference_mode()
    def _guide(self, key: KeyFrame, span: int | None) -> Tensor:
        frame = key.frame
        with self.facts.timed("guide"):
            if self._on_device and span is not None:
                return device_guide(frame, self._source_values(key), span)
            return looked_at(frame, span).to(self._device)

    def _source_values(self, key: KeyFrame) -> list[Tensor]:
        return [compose.as_values(group) for group in self._own_codes(key)]

    def _own_codes(self, key: KeyFrame) -> list[Tensor]:
        """The planes as the film has them, on the device: a style changes what is shown, not what moves. They are
        uploaded once, for the guide, the painter and, without a style, the composition."""
        uploaded = self._uploaded_frames.get(key.index)
        if uploaded is None:
            plain = self.options.style is None
            uploaded = self._loaded(key) if plain else _LoadedFrame(key.frame, self.options.device, None)
            self._uploaded_frames[key.index] = uploaded
        return uploaded.codes()

    def _loaded(self, key: KeyFrame) -> _LoadedFrame:
        """The frame's planes as tensors, held as long as a pair that is being composed needs them; on a device until
        the last pair that shows the frame is."""
        known = self._loaded_frames.get(key.index)
        if known is None:
            shown = self._shown.get(key.index, key.frame)
            frame, codes = (shown, None) if isinstance(shown, Frame) else (key.frame, shown)
            known = _LoadedFrame(frame, self.options.device, self.options.scaling, codes)
            self._loaded_frames[key.index] = known
            if self.options.style is not None and self._on_device:
                self._painted_frames[key.index] = known
        return known

    @torch.inference_mode()
    def _compose(
        self,
        motions: Future[tuple[list[IntermediateMotion], Report | None]],
        number: int,
        first: KeyFrame,
        loaded: tuple[_LoadedFrame, _LoadedFrame],
        nearer: int,
        time: Fraction,
        overlays: _PairOverlays | None,
    ) -> Composed:
        solved, report = motions.result()
        motion, options = solved[number], self.options
        if not self._on_device:
            return Composed(self._frame(motion, first, loaded, nearer, time, overlays), first.index, report)
        # Nothing waits for the device: the frame arrives while the next ones are made.
        codes, layout = self._codes(motion, first, loaded, nearer, overlays)
        arriving = compose.Arriving(codes, layout, first.frame, time, *_finish(options.scaling))
        return Composed(arriving, first.index, report)

    def _codes(
        self,
        motion: IntermediateMotion,
        first: KeyFrame,
        loaded: tuple[_LoadedFrame, _LoadedFrame],
        nearer: int,
        overlays: _PairOverlays | None,
    ) -> tuple[list[Tensor], compose.Layout]:
        """A made frame on a device, rounded and without bars, and its layout."""
        options, device = self.options, self._device
        cover = None
        if overlays is not None:
            with self.facts.timed("overlay"):
                cover = overlays.cover(device)
        with self.facts.timed("compose"):
            layout = compose.layout_of(first.frame, None if options.scaling is None else options.scaling.place[2:])
            covered = None if cover is None else cover.covered(motion)
            codes = compose.composed(
                loaded[0].sources(), loaded[1].sources(), [motion], layout, covered, options.scaling
            )  # fmt: skip
            if cover is not None and covered is not None and cover.has(nearer):
                weights = plane_weights(covered[nearer], layout, options.scaling)
                codes = kept(codes, loaded[nearer].placed(), weights, layout)
            if options.mask is not None:
                weights = options.mask.on_device(layout, options.scaling, device)
                codes = kept(codes, loaded[nearer].placed(), weights, layout)
        return codes, layout

    def _frame(
        self,
        motion: IntermediateMotion,
        first: KeyFrame,
        loaded: tuple[_LoadedFrame, _LoadedFrame],
        nearer: int,
        time: Fraction,
        overlays: _PairOverlays | None,
    ) -> Frame:
        overlay: tuple[np.ndarray | None, np.ndarray | None] = (None, None)
        if overlays is not None:
            with self.facts.timed("overlay"):
                overlay = overlays.masks(motion)
        with self.facts.timed("compose"):
            scaling = self.options.scaling
            layout = compose.layout_of(first.frame, None if scaling is None else scaling.place[2:])
            hidden = None
            if any(mask is not None for mask in overlay):
                size = first.frame.height, first.frame.width
                hidden = hidden_part(overlay[0], size, self._device), hidden_part(overlay[1], size, self._device)
            tensors = loaded[0].tensors(), loaded[1].tensors()
            groups = compose.planes(*tensors, [motion], layout, hidden, scaling)
            frame = compose.to_frame(groups, layout, first.frame, time)
            if scaling is not None:
                frame = on_canvas(frame, scaling)
            shown = overlay[nearer]
            if shown is not None:
                frame = keep(frame, loaded[nearer].resized(), Mask(shown / np.float32(255)).on_canvas(scaling))
            if self.options.mask is not None:
                frame = keep(frame, loaded[nearer].resized(), self.options.mask.on_canvas(scaling))
        return frame


def _finish(scaling: Scaling | None) -> tuple[Callable[[Frame], Frame], ...]:
    """What is left to do to a placed picture on the host: bars around it."""
    return () if scaling is None or not scaling.padded else (partial(on_canvas, scaling=scaling),)


class _PairSolution:
    """The motion of one pair, solved when it is first asked for; asked by one thread at a time.

    ``window`` is None at a cut: nothing moves, the frames are mixed.
    """

    def __init__(self, index: int, window: Window | None, model: MotionModel, facts: Statistics) -> None:
        self.index = index
        self._window, self._model, self._facts = window, model, facts
        self._motion: PairMotion | None = None
        self._lock = threading.Lock()

    def at(self, times: Sequence[float]) -> tuple[list[IntermediateMotion], Report | None]:
        """The motions at the times, and the report so far."""
        with self._lock, self._facts.timed("motion"):
            if self._window is None:
                return CrossFade().at(times), None
            if self._motion is None:
                self._motion = self._model.motion(self._window)
            return self._motion.at(times), self._motion.report()


class _PairOverlays:
    """The overlays of a pair's two frames, looked for when something around them moves.

    ``shot`` are (index, frame) of the pair and of those around it, in one shot.
    """

    def __init__(self, overlays: Overlays, shot: Sequence[tuple[int, Frame]], first: int, last: int) -> None:
        self._overlays, self._shot, self._pair = overlays, shot, (first, last)
        self._masks: tuple[Masks, Masks] | None = None
        self._cover: PairCover | None = None
        self._lock = threading.Lock()

    def look(self) -> None:
        """Looks for them now."""
        self._pair_masks()

    def masks(self, motion: IntermediateMotion) -> tuple[np.ndarray | None, np.ndarray | None]:
        """(of the first frame, of the last): (h, w) uint8, 0 or 255, or None where nothing has to stay."""
        frame = self._shot[0][1]
        gate = moving(motion, frame.width, frame.height)
        if gate is None:
            return None, None
        lasting, changed = self._pair_masks()
        first, last = (None if mask is None else within(mask, gate) for mask in lasting)
        return either(first, changed[0]), either(last, changed[1])

    def cover(self, device: torch.device) -> PairCover | None:
        """The same for made frames of the pair on a device; None where neither frame has an overlay."""
        lasting, changed = self._pair_masks()
        if all(mask is None for mask in (*lasting, *changed)):
            return None
        with self._lock:
            if self._cover is None:
                frame = self._shot[0][1]
                self._cover = PairCover(lasting, changed, (frame.height, frame.width), device)
            return self._cover

    def _pair_masks(self) -> tuple[Masks, Masks]:
        with self._lock:
            if self._masks is None:
                self._masks = self._overlays.masks(self._shot, self._pair)
            return self._masks


class _LoadedFrame:
    """A frame's planes as tensors, and the frame in the size that is asked for, made when first needed.

    To a device the frame is copied once, as it is, unless it lies there.

    Args:
        codes: on the device, what is shown in place of the frame's own, see ``compose.to_codes``.
    """

    def __init__(
        self, frame: Frame, device: str, scaling: Scaling | None, codes: list[Tensor] | None = None
    ) -> None:  # fmt: skip
        self._frame, self._device, self._scaling = frame, torch.device(device), scaling
        self._codes, self._painted = codes, codes is not None
        self._tensors: list[Tensor] | None = None
        self._sources: list[Tensor] | None = None
        self._placed: list[Tensor] | None = None
        self._resized: Frame | None = frame if scaling is None and codes is None else None
        self._lock = threading.Lock()

    def shows_same(self, other: _LoadedFrame) -> bool:
        """Whether both are one picture, for certain."""
        return self is other or (self._frame is other._frame and not (self._painted or other._painted))

    @torch.inference_mode()
    def values(self) -> list[Tensor]:
        """The frame's code values in the size that is asked for, on a device without bars; see
        ``compose.to_tensors``."""
        if self._device.type == "cpu":
            return compose.to_tensors(self.resized())
        return [compose.as_values(group) for group in self.placed()]

    @torch.inference_mode()
    def codes(self) -> list[Tensor]:
        """See ``compose.to_codes``."""
        with self._lock:
            return self._uploaded()

    @torch.inference_mode()
    def tensors(self) -> list[Tensor]:
        """See ``compose.to_tensors`` and ``compose.readable``."""
        with self._lock:
            return self._loaded()

    @torch.inference_mode()
    def sources(self) -> list[Tensor]:
        """See ``compose.sources``."""
        with self._lock:
            if self._sources is None:
                self._sources = compose.sources(self._uploaded(), compose.layout_of(self._frame), self._scaling)
            return self._sources

    @torch.inference_mode()
    def placed(self) -> list[Tensor]:
        """The frame's codes on a device, in the size that is asked for, without bars."""
        if self._scaling is None:
            return self.codes()
        sources = self.sources()
        with self._lock:
            if self._placed is None:
                layout = compose.layout_of(self._frame, self._scaling.place[2:])
                self._placed = compose.composed(
                    sources, sources, [compose.no_motion(self._device)], layout, None, self._scaling
                )  # fmt: skip
            return self._placed

    def arriving(self) -> Frame | compose.Arriving:
        """The frame in the size that is asked for; a device's is not waited for."""
        if (self._scaling is None and not self._painted) or self._device.type == "cpu":
            return self.resized()
        layout = compose.layout_of(self._frame, None if self._scaling is None else self._scaling.place[2:])
        return compose.Arriving(self.placed(), layout, self._frame, self._frame.time, *_finish(self._scaling))

    @torch.inference_mode()
    def resized(self) -> Frame:
        with self._lock:
            if self._resized is None:
                assert self._scaling is not None
                self._resized = compose.resized(self._loaded(), self._frame, self._scaling)
            return self._resized

    def _uploaded(self) -> list[Tensor]:
        if self._codes is None:
            self._codes = compose.to_codes(self._frame, self._device)
        return self._codes

    def _loaded(self) -> list[Tensor]:
        if self._tensors is None:
            if self._device.type == "cpu":
                loaded = compose.to_tensors(self._frame)
            else:
                loaded = [compose.as_values(codes) for codes in self._uploaded()]
            self._tensors = compose.readable(loaded, compose.layout_of(self._frame), self._scaling)
        return self._tensors
