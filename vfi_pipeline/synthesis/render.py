"""The output frames of one window: copies of source frames, and frames that are composed from the pair's motion."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from vfi_pipeline.estimation.window import Observation, Window
from vfi_pipeline.media.frames import Frame
from vfi_pipeline.media.timeline import Slot
from vfi_pipeline.models.blend import CrossFade
from vfi_pipeline.models.motion import IntermediateMotion, MotionModel, MotionReport, PairMotion
from vfi_pipeline.synthesis import compose
from vfi_pipeline.synthesis.guide import looked_at
from vfi_pipeline.synthesis.mask import keep
from vfi_pipeline.synthesis.options import Options
from vfi_pipeline.synthesis.statistics import Statistics
from vfi_pipeline.synthesis.windows import KeyFrame, KeyWindow, leaves_gap, place, same_picture


class Output(NamedTuple):
    """One output frame, with the slot's time; where ``made`` is False it is a source frame, as it is or stylised."""

    slot: Slot
    frame: Frame
    made: bool


class Composed(NamedTuple):
    """A composed frame, the pair it belongs to and what is known of that pair's motion so far."""

    frame: Frame
    pair: int
    report: MotionReport | None


@dataclass(frozen=True)
class PendingFrame:
    """An output that may not be finished: a source frame, or one that is being composed."""

    slot: Slot
    frame: Frame | Future[Composed]
    held: bool = False

    def finished(self, facts: Statistics) -> Output:
        """The output, waited for and counted."""
        if isinstance(self.frame, Frame):
            if self.held:
                facts.held += 1
            else:
                facts.copied += 1
            return Output(self.slot, self.frame, False)
        composed = self.frame.result()
        facts.made += 1
        if composed.report is not None:
            facts.record(composed.pair, composed.report)
        return Output(self.slot, composed.frame, True)


class PairRenderer:
    """Renders windows in order. What several windows use (guides, features, flows, loaded planes) is made once.

    Args:
        executor: runs motion and composition; with an executor of one's own thread, one thing after another.
    """

    def __init__(self, model: MotionModel, options: Options, facts: Statistics, executor: Executor) -> None:
        self.model, self.options, self.facts, self.executor = model, options, facts, executor
        self._observations: dict[int, Observation] = {}
        self._planes: weakref.WeakValueDictionary[int, _Planes] = weakref.WeakValueDictionary()
        self._same: dict[tuple[int, int], bool] = {}
        self._solved: _SolvedPair | None = None
        self._shown: dict[int, Frame] = {}

    def render(self, window: KeyWindow, slots: Sequence[Slot]) -> Iterator[PendingFrame]:
        """The outputs of ``slots``, all of which lie in [window.first, window.last)."""
        first, last = window.first, window.last
        if self.options.style is not None:
            self._stylise(first, last)
        places = [place(slot, first, last) for slot in slots]
        inner = [(slot, t) for slot, t in zip(slots, places) if t]
        made = iter(self._composed(window, inner) if inner and last is not None and self._moves(first, last) else ())
        for slot, t in zip(slots, places):
            pending = next(made, None) if t else None
            if pending is not None:
                yield PendingFrame(slot, pending)
            else:
                yield PendingFrame(slot, replace(self._shown_frame(first), time=slot.time), held=bool(t))

    def _stylise(self, first: KeyFrame, last: KeyFrame | None) -> None:
        """Puts both keys in the style, ``last`` in the light of ``first``."""
        style = self.options.style
        assert style is not None
        for key, before in ((first, None), (last, first)):
            if key is None or key.index in self._shown:
                continue
            if before is not None and self._repeats(before, key):
                style.repeat(key.index, before.index)
            moves = before is not None and self._continues(before, key) and self.model.guide_span is not None
            flows = partial(self._flows, first, key) if moves else None
            with self.facts.timed("style"):
                shown = style.shown(key.index, key.frame, first.index if moves else None, flows)
            self._shown[key.index] = shown if self.options.mask is None else keep(shown, key.frame, self.options.mask)
        for old in sorted(self._shown)[:-2]:
            del self._shown[old]

    def _repeats(self, first: KeyFrame, last: KeyFrame) -> bool:
        return not last.starts_shot and (last.repeats or self._shows_same(first, last))

    def _flows(self, first: KeyFrame, last: KeyFrame) -> tuple[Tensor, Tensor]:
        """(backward, forward) flow between two keys, from the estimate that made frames share."""
        for key in (first, last):
            self._observations.setdefault(key.index, self._observed(key))
        for old in sorted(self._observations)[:-4]:  # a window's
            del self._observations[old]
        motion = self.model.motion(Window(self._observations[first.index], self._observations[last.index]))
        start, end = motion.at([0.0, 1.0])
        return end.flow_to_first, start.flow_to_last

    def _shown_frame(self, key: KeyFrame) -> Frame:
        return self._shown.get(key.index, key.frame)

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
        if self._solved is None or self._solved.index != first.index:
            self._solved = _SolvedPair(first.index, self._window(window), self.model, self.facts)
        loaded = self._loaded(first), self._loaded(last)
        motions = self.executor.submit(self._solved.at, [float(t) for _, t in slots])
        for number, (slot, t) in enumerate(slots):
            nearer = first.frame if t <= Fraction(1, 2) else last.frame
            yield self.executor.submit(self._compose, motions, number, first, loaded, nearer, slot.time)

    def _window(self, window: KeyWindow) -> Window | None:
        """The window as models see it; None at a cut, where nothing moves."""
        before, first, last, after = window
        assert last is not None
        if last.starts_shot:
            return None
        before = before if self._continues(before, first) else None
        after = after if self._continues(last, after) else None
        length = (last.time - first.time) or Fraction(1)  # frames that carry no times have no lengths to compare
        near = [key for key in (before, first, last, after) if key is not None]
        self._observations = {key.index: self._observed(key) for key in near}
        seen = self._observations
        return Window(
            seen[first.index], seen[last.index],
            None if before is None else seen[before.index],
            None if after is None else seen[after.index],
            1.0 if before is None else float((first.time - before.time) / length),
            1.0 if after is None else float((after.time - last.time) / length),
        )  # fmt: skip

    def _observed(self, key: KeyFrame) -> Observation:
        known = self._observations.get(key.index)
        return known if known is not None else Observation(key.index, partial(self._guide, key.frame))

    def _guide(self, frame: Frame, span: int | None) -> Tensor:
        with self.facts.timed("guide"):
            return looked_at(frame, span).to(self.options.device)

    def _loaded(self, key: KeyFrame) -> _Planes:
        """The frame's planes as tensors, held as long as a pair that is being composed needs them."""
        known = self._planes.get(key.index)
        if known is None:
            known = self._planes[key.index] = _Planes(self._shown_frame(key), self.options.device)
        return known

    @torch.inference_mode()
    def _compose(
        self,
        motions: Future[tuple[list[IntermediateMotion], MotionReport | None]],
        number: int,
        first: KeyFrame,
        loaded: tuple[_Planes, _Planes],
        nearer: Frame,
        time: Fraction,
    ) -> Composed:
        solved, report = motions.result()
        with self.facts.timed("compose"):
            layout = compose.layout_of(first.frame)
            groups = compose.planes(loaded[0].tensors(), loaded[1].tensors(), [solved[number]], layout)
            frame = compose.to_frame(groups, layout, first.frame, time)
            if self.options.mask is not None:
                frame = keep(frame, nearer, self.options.mask)
        return Composed(frame, first.index, report)


class _SolvedPair:
    """The motion of one pair, solved when it is first asked for; asked by one thread at a time.

    ``window`` is None at a cut: nothing moves, the frames are mixed.
    """

    def __init__(self, index: int, window: Window | None, model: MotionModel, facts: Statistics) -> None:
        self.index = index
        self._window, self._model, self._facts = window, model, facts
        self._motion: PairMotion | None = None
        self._lock = threading.Lock()

    def at(self, times: Sequence[float]) -> tuple[list[IntermediateMotion], MotionReport | None]:
        """The motions at the times, and the report so far."""
        with self._lock, self._facts.timed("motion"):
            if self._window is None:
                return CrossFade().at(times), None
            if self._motion is None:
                self._motion = self._model.motion(self._window)
            return self._motion.at(times), self._motion.report()


class _Planes:
    """A frame's planes as float tensors, made when they are first needed."""

    def __init__(self, frame: Frame, device: str) -> None:
        self._frame, self._device = frame, device
        self._tensors: list[Tensor] | None = None
        self._lock = threading.Lock()

    def tensors(self) -> list[Tensor]:
        with self._lock:
            if self._tensors is None:
                self._tensors = compose.to_tensors(self._frame, self._device)
            return self._tensors
