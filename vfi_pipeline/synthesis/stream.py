"""From source frames to output frames: detectors, motion and composition joined into one bounded stream.

    frames ──► shots (cuts found, a few frames behind) ──► keys (repeats folded, with dedup) ──► pairs ──► slots

Everything is a generator, so nothing is read long before it is asked for, and no more is held than the detectors'
lookahead, two pairs and a few outputs: on a CPU, frames are composed in threads of their own while the motion of the
next pair is solved.
"""

from __future__ import annotations

import os
import threading
import time as clock
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.media.frames import Frame
from vfi_pipeline.media.timeline import Slot, SourceTimes
from vfi_pipeline.models.blend import Blend
from vfi_pipeline.models.motion import Context, Inbetween, MotionModel, MotionReport, PairMotion
from vfi_pipeline.synthesis import compose, cuts, duplicates
from vfi_pipeline.synthesis.guide import looked_at
from vfi_pipeline.synthesis.mask import Mask, keep

CONTEXT_BEFORE = 16
"""Frames before a segment's first source frame that the detectors want to see, so that a segment of a film is judged
as the whole film is: a stretch of repeats (with ``dedup``), and the changes that a cut is measured against."""

CONTEXT_AFTER = 32
"""The same behind the segment's last source frame."""

AHEAD = 4
"""Keys that are held from a pair's first one on: the pair, the one whose motion tells of the pair's acceleration, and
one more, so that the model can begin on the next pair while this one is composed."""

COMPOSERS = min(4, os.cpu_count() or 1)
"""Threads that compose on a CPU, each a frame of its own: as two threads share one frame by its rows, they wait for
each other longer than they work."""

AT_CUT = ("hold", "blend")
AT_ONCE = 8
"""Times of one pair asked from the model in one call: bounds the memory of a thousandfold slow motion."""

BEGUN = 8
"""See ``Options.begun``: as many as a pair has at 8x."""

BEGUN_BYTES = 1 << 27
"""Those hold no more than this: all eight in 4K, two in 8K, of 8 bits."""


@dataclass(frozen=True)
class Options:
    """How the in-betweens are made.

    Attributes:
        scene: look for hard cuts (``cuts`` overrides).
        scene_threshold: 0 .. 1; a pair whose cut score is above it is a cut: lower finds more, see ``synthesis.cuts``.
        cuts: source indices of the first frame of each new shot; given, nothing is looked for. ``()`` means none.
        at_cut: ``hold`` shows the frame before the cut until the cut; ``blend`` cross-fades.
        dedup: re-time repeated frames (film on twos): in-betweens span from one new picture to the next.
        dedup_threshold: 0 .. 1; larger takes more for a repeat, see ``synthesis.duplicates``.
        dedup_max_span_s: a picture that stays longer than this, in seconds, is held, not stretched.
        mask: what stays as it is in the nearer source frame, see ``synthesis.mask``.
        max_gap_s: a frame whose next one comes later than this, in seconds, is held; None holds none.
        device: torch device for the guide and the composition.
        at_once: times of one pair asked from the model in one call.
        begun: outputs that are begun before they are asked for, so that the composers have work while the next pair is
            solved. 0 does one thing after another.
    """

    scene: bool = True
    scene_threshold: float = cuts.THRESHOLD
    cuts: tuple[int, ...] | None = None
    at_cut: str = "hold"
    dedup: bool = False
    dedup_threshold: float = duplicates.THRESHOLD
    dedup_max_span_s: float = 0.25
    mask: Mask | None = None
    max_gap_s: Fraction | None = None
    device: str = "cpu"
    at_once: int = AT_ONCE
    begun: int = BEGUN

    def __post_init__(self) -> None:
        if self.at_cut not in AT_CUT:
            raise ValueError(f"at_cut is one of {', '.join(AT_CUT)}, got {self.at_cut!r}.")


@dataclass
class Statistics:
    """What happened, readable while the stream runs and after."""

    source_frames: int = 0  # frames read, the detectors' context included
    copied: int = 0  # output frames at a source frame's own time: that frame, bit for bit
    held: int = 0  # output frames between source frames that show the one before: at cuts, in gaps, between equal ones
    made: int = 0  # output frames that were composed
    pairs: int = 0  # motion solves
    nfe: int = 0  # velocity calls, summed over the solves
    min_det: float = 1.0  # smallest Jacobian determinant seen
    folded: float = 0.0  # mean share of det <= 0 over the solves
    cuts: list[int] = field(default_factory=list)  # source index of the first frame of each new shot
    cut_times: list[Fraction] = field(default_factory=list)  # its presentation time, seconds
    duplicates: list[int] = field(default_factory=list)  # source indices of repeats that were re-timed
    seconds: dict[str, float] = field(default_factory=dict)  # wall time: read, detect, guide, motion, compose

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Adds the wall time of the block to ``seconds[stage]``."""
        begin = clock.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + clock.perf_counter() - begin


class Output(NamedTuple):
    """One output frame, with the slot's time; where ``made`` is False its planes are a source frame's own."""

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
        frames: (absolute source index, frame), in order and without gaps: at least from the first slot's ``source`` to
            the last slot's ``source`` (``source + 1`` where its t is not 0), better with ``CONTEXT_BEFORE`` and
            ``CONTEXT_AFTER`` more around. Read lazily; no further ahead than the context.
        slots: from ``media.timeline``, in order.
        model: the motion model; reset at the start, at cuts, and where a pair is left out.
        times: when each source frame is shown: what the slots were computed from. Without it ``Frame.time`` is taken.
            Only ``dedup`` needs it.
        statistics: filled in as the stream runs.

    Raises:
        UserError: if the frames end before the slots do (a damaged file), or change size or format on the way.
    """
    facts = Statistics() if statistics is None else statistics
    with _composers(options.device) as pool:
        maker = _Maker(model, options, facts, pool)
        for output in _ahead(_due(frames, slots, maker, times), maker):
            yield output.ended(facts)


def _due(
    frames: Iterable[tuple[int, Frame]], slots: Iterable[Slot], maker: _Maker, times: SourceTimes | None
) -> Iterator[_Due]:
    """``interpolate``'s outputs, each as soon as it is begun."""
    options, facts = maker.options, maker.facts
    when = _clock(times)
    keys = _keys(_shots(_checked(frames, facts), options, facts), options, when, facts)
    waiting = iter(slots)
    slot = next(waiting, None)
    if slot is None:
        return
    origin, last = slot.source, None
    for before, ahead in _windows(keys):
        key, after = ahead[0], ahead[1] if len(ahead) > 1 else None
        last = key
        if after is not None and after.index <= origin:
            continue  # context
        if key.index > slot.source:
            raise ValueError(f"Output {slot.index} needs source frame {slot.source}; the first given is {key.index}.")
        if after is not None and after.starts_shot:
            facts.cuts.append(after.index)
            facts.cut_times.append(after.time)
        here: list[Slot] = []
        while slot is not None and (_shows(slot, key) if after is None else slot.source < after.index):
            here.append(slot)
            slot = next(waiting, None)
            if len(here) == options.at_once:
                yield from maker.between(key, after, here, before, ahead[2:])
                here = []
        yield from maker.between(key, after, here, before, ahead[2:])
        if slot is None:
            return
    raise UserError(
        f"The film breaks off {'before its first frame' if last is None else f'after frame {last.index}'}; "
        f"output frame {slot.index} needs frame {slot.source + (slot.t > 0)}.",
        "repair the file (ffmpeg -i broken -c copy repaired), or set end= to a time before the damage",
        BAD_INPUT,
    )


class _Due(NamedTuple):
    """An output that may not be finished: a source frame, or what is being composed, with the seconds that it took."""

    slot: Slot
    frame: Frame | Future[tuple[Frame, float]]
    held: bool = False

    def ended(self, facts: Statistics) -> Output:
        """The output, waited for and counted."""
        if isinstance(self.frame, Frame):
            if self.held:
                facts.held += 1
            else:
                facts.copied += 1
            return Output(self.slot, self.frame, False)
        frame, seconds = self.frame.result()
        facts.made += 1
        facts.seconds["compose"] = facts.seconds.get("compose", 0.0) + seconds
        return Output(self.slot, frame, True)


class _FewerThreads:
    """While streams run, OpenCV leaves two cores to those who call it: their own threads keep them busy."""

    def __init__(self) -> None:
        self.lock, self.streams, self.usual = threading.Lock(), 0, 0

    def __enter__(self) -> None:
        with self.lock:
            if not self.streams:
                self.usual = cv2.getNumThreads()
                cv2.setNumThreads(max(1, self.usual - 2))
            self.streams += 1

    def __exit__(self, *failure: object) -> None:
        with self.lock:
            self.streams -= 1
            if not self.streams:
                cv2.setNumThreads(self.usual)


_fewer_threads = _FewerThreads()


@contextmanager
def _composers(device: str) -> Iterator[ThreadPoolExecutor | None]:
    """Threads that compose on a CPU; None where a device does it."""
    if torch.device(device).type != "cpu":
        yield None
        return
    pool = ThreadPoolExecutor(COMPOSERS, "compose", initializer=torch.set_num_threads, initargs=(1,))
    with _fewer_threads:
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)


def _ahead(outputs: Iterator[_Due], maker: _Maker) -> Iterator[_Due]:
    """The outputs, ``maker.begun`` of them begun ahead. What was begun before a failure still comes."""
    waiting: deque[_Due] = deque()
    failure: Exception | None = None
    while True:
        try:
            while failure is None and len(waiting) <= maker.begun and (due := next(outputs, None)) is not None:
                waiting.append(due)
        except Exception as error:
            failure = error
        if waiting:
            yield waiting.popleft()
        elif failure is not None:
            raise failure
        else:
            return


@dataclass(frozen=True)
class _Key:
    """A source frame that in-betweens start from and lead to.

    ``repeats``: it shows the same as the key before it (a long hold), so nothing is made between the two.
    ``covers``: times of the repeats folded into it, by source index.
    """

    index: int
    frame: Frame
    starts_shot: bool
    time: Fraction
    repeats: bool = False
    covers: dict[int, Fraction] = field(default_factory=dict)


class _Maker:
    """Makes the output frames of a pair; keeps what the next pair can use: loaded planes, guides, the model's state."""

    def __init__(
        self, model: MotionModel, options: Options, facts: Statistics, pool: ThreadPoolExecutor | None
    ) -> None:
        self.model, self.options, self.facts, self.pool = model, options, facts, pool
        self.loaded: dict[int, list[Tensor]] = {}
        self.guides: dict[int, Tensor] = {}
        self.pair: tuple[int, PairMotion] | None = None  # of the pair that starts at this index
        self.seen: int | None = None  # index of the frame the model saw last
        self.counted = MotionReport(0, 1.0, 0.0)  # what of the pair's report is in the statistics
        self.compared: dict[tuple[int, int], bool] = {}
        self.begun = 0  # outputs to be begun ahead
        model.reset()

    def between(
        self,
        key: _Key,
        after: _Key | None,
        slots: list[Slot],
        before: _Key | None = None,
        beyond: Sequence[_Key] = (),
    ) -> Iterator[_Due]:
        """The outputs of ``slots``, all of which lie in [key, after). ``before`` and ``beyond`` are the keys around."""
        if self.pool is not None:
            self.begun = min(self.options.begun, BEGUN_BYTES // sum(plane.nbytes for plane in key.frame.planes))
        places = [_place(slot, key, after) for slot in slots]
        wanted = [t for t in places if t]
        cut = after is not None and after.starts_shot
        hold = after is None or after.repeats or (cut and self.options.at_cut == "hold") or self._gap(key, after)
        if wanted and not hold and after is not None and self._same(key, after):
            hold = True
            if self.seen == key.index:  # the model loses nothing: it has seen this very picture
                self.seen = after.index
                if key.index in self.guides:
                    self.guides[after.index] = self.guides[key.index]
        made: Iterator[Future[tuple[Frame, float]]] = iter(())
        if wanted and not hold:
            assert after is not None
            inner = [s for s, t in zip(slots, places) if t]
            made = self._made(key, after, [t for t in places if t], inner, cut, before, beyond)
        for slot, t in zip(slots, places):
            if t and not hold:
                yield _Due(slot, next(made))
            else:
                yield _Due(slot, replace(key.frame, time=slot.time), held=bool(t))

    def _gap(self, key: _Key, after: _Key) -> bool:
        """Whether the time stamps leave a hole between the two: nothing is known of the motion in it."""
        longest = self.options.max_gap_s
        return longest is not None and after.time - max([key.time, *key.covers.values()]) > longest

    def _made(
        self,
        key: _Key,
        after: _Key,
        places: list[Fraction],
        slots: list[Slot],
        cut: bool,
        before: _Key | None,
        beyond: Sequence[_Key],
    ) -> Iterator[Future[tuple[Frame, float]]]:
        facts = self.facts
        if cut:
            motion: PairMotion = Blend().motion(torch.empty(0), torch.empty(0))
        else:
            motion = self._motion(key, after, before, beyond)
        with facts.timed("motion"):
            inbetweens = motion.at([float(t) for t in places])
            if not cut:
                self._record(motion)
        with facts.timed("compose"):
            for index in [k for k in self.loaded if k not in (key.index, after.index)]:
                del self.loaded[index]
            loaded = self._planes(key), self._planes(after)
        for slot, t, inbetween in zip(slots, places, inbetweens):
            nearer = key.frame if t <= Fraction(1, 2) else after.frame
            work = partial(_composed, inbetween, loaded, key.frame, nearer, slot.time, self.options)
            if self.pool is not None:
                yield self.pool.submit(work)
                continue
            done: Future[tuple[Frame, float]] = Future()
            done.set_result(work())
            yield done

    def _motion(self, key: _Key, after: _Key, before: _Key | None, beyond: Sequence[_Key]) -> PairMotion:
        """The pair's motion, solved at most once."""
        if self.pair is not None and self.pair[0] == key.index:
            return self.pair[1]
        facts, span = self.facts, self.model.guide_span
        if self.seen != key.index:
            self.model.reset()
        before = before if span is not None and self._continues(before, key) else None
        going = []  # what follows without a break
        for one, next_one in pairwise([after, *beyond] if span is not None else []):
            if not self._continues(one, next_one):
                break
            going.append(next_one)
        with facts.timed("guide"):
            near = {k.index: k for k in (before, key, after, *going) if k is not None}
            self.guides = {index: picture for index, picture in self.guides.items() if index in near}
            for index, k in near.items():
                if index not in self.guides:
                    self.guides[index] = looked_at(k.frame, span).to(self.options.device)
        with facts.timed("motion"):
            length = after.time - key.time
            context = Context(
                self.guides[before.index] if before else None,
                self.guides[going[0].index] if going else None,
                float((key.time - before.time) / length) if before else 1.0,
                float((going[0].time - after.time) / length) if going else 1.0,
                self.guides[going[1].index] if len(going) > 1 else None,
            )
            motion = self.model.motion(self.guides[key.index], self.guides[after.index], context)
        self.seen, self.pair = after.index, (key.index, motion)
        facts.folded *= facts.pairs / (facts.pairs + 1)  # a mean over the pairs, kept running
        facts.pairs += 1
        self.counted = MotionReport(0, 1.0, 0.0)
        return motion

    def _continues(self, key: _Key | None, after: _Key | None) -> bool:
        """Whether the picture moves on from ``key`` to ``after``: no cut, no hole, no repeat between them."""
        if key is None or after is None or after.starts_shot or after.repeats or self._gap(key, after):
            return False
        return not self._same(key, after)

    def _same(self, key: _Key, after: _Key) -> bool:
        """Whether two keys show the same picture, bit for bit."""
        pair = key.index, after.index
        if pair not in self.compared:
            same = all(np.array_equal(p, q) for p, q in zip(key.frame.planes, after.frame.planes))
            self.compared = {known: self.compared[known] for known in list(self.compared)[-AHEAD:]} | {pair: same}
        return self.compared[pair]

    def _record(self, motion: PairMotion) -> None:
        """Brings the pair's share of the statistics up to date: its report covers all times asked so far."""
        facts, report = self.facts, motion.report()
        facts.min_det = min(facts.min_det, report.min_det)
        facts.nfe += report.nfe - self.counted.nfe
        facts.folded += (report.folded - self.counted.folded) / facts.pairs
        self.counted = report

    def _planes(self, key: _Key) -> list[Tensor]:
        if key.index not in self.loaded:
            with torch.inference_mode():
                self.loaded[key.index] = compose.to_tensors(key.frame, self.options.device)
        return self.loaded[key.index]


@torch.inference_mode()
def _composed(
    motion: Inbetween,
    loaded: tuple[list[Tensor], list[Tensor]],
    first: Frame,
    nearer: Frame,
    time: Fraction,
    options: Options,
) -> tuple[Frame, float]:
    """The frame that ``motion`` shows between two frames whose planes are loaded, and the seconds that it took."""
    begin = clock.perf_counter()
    there, back, share = (part.to(options.device, torch.float32) for part in (motion.there, motion.back, motion.share))
    layout = compose.layout_of(first)
    frame = compose.to_frame(compose.planes(*loaded, there, back, share, layout), layout, first, time)
    if options.mask is not None:
        frame = keep(frame, nearer, options.mask)
    return frame, clock.perf_counter() - begin


def _place(slot: Slot, key: _Key, after: _Key | None) -> Fraction:
    """The slot's time between the keys, in [0, 1); 0 shows ``key`` itself."""
    if after is None:
        return Fraction(0)
    if after.index == key.index + 1:
        return slot.t
    stops = {key.index: key.time, **key.covers, after.index: after.time}
    at = stops[slot.source] + slot.t * (stops[slot.source + 1] - stops[slot.source])
    return (at - key.time) / (after.time - key.time)


def _shows(slot: Slot, key: _Key) -> bool:
    """Whether ``slot`` is within what the film's last key shows: itself and the repeats folded into it."""
    return slot.source == key.index and not slot.t


def _clock(times: SourceTimes | None) -> Callable[[int, Frame], Fraction]:
    return (lambda index, frame: frame.time) if times is None else (lambda index, frame: times.time(index))


def _checked(frames: Iterable[tuple[int, Frame]], facts: Statistics) -> Iterator[tuple[int, Frame]]:
    """Counts the frames and refuses a film whose pictures change their size or format."""
    first: Frame | None = None
    expected: int | None = None
    source = iter(frames)
    while True:
        with facts.timed("read"):
            item = next(source, None)
        if item is None:
            return
        index, frame = item
        if expected is not None and index != expected:
            raise ValueError(f"Source frames come without gaps: {index} follows {expected - 1}.")
        if first is None:
            first = frame
        if (frame.format, frame.width, frame.height) != (first.format, first.width, first.height):
            raise UserError(
                f"The picture changes from {first.width}x{first.height} {first.format.name} to {frame.width}x"
                f"{frame.height} {frame.format.name} at frame {index} ({float(frame.time):.3f} s).",
                f"end={float(frame.time):.3f} for the part before it, start={float(frame.time):.3f} for the rest",
                BAD_INPUT,
            )
        expected = index + 1
        facts.source_frames += 1
        yield index, frame


def _shots(
    frames: Iterator[tuple[int, Frame]], options: Options, facts: Statistics
) -> Iterator[tuple[int, Frame, bool]]:
    """(index, frame, whether a new shot starts with it): the list given, or what the detector finds."""
    if options.cuts is not None or not options.scene:
        given = frozenset(options.cuts or ())
        yield from ((index, frame, index in given) for index, frame in frames)
        return
    detector = cuts.Detector(options.scene_threshold)
    waiting: deque[tuple[int, Frame]] = deque()
    for index, frame in frames:
        waiting.append((index, frame))
        with facts.timed("detect"):
            decided = detector.push(cuts.signature(frame))
        for is_cut in decided:
            yield (*waiting.popleft(), is_cut)
    for is_cut in detector.flush():
        yield (*waiting.popleft(), is_cut)


def _keys(
    shots: Iterator[tuple[int, Frame, bool]],
    options: Options,
    when: Callable[[int, Frame], Fraction],
    facts: Statistics,
) -> Iterator[_Key]:
    """The frames to go between. With dedup, a picture that is repeated is one key, unless it stays for long."""
    if not options.dedup:
        for index, frame, starts_shot in shots:
            yield _Key(index, frame, starts_shot, when(index, frame))
        return
    detector = duplicates.Detector(options.dedup_threshold)
    longest = Fraction(options.dedup_max_span_s)
    run: list[_Key] = []  # a new picture and its repeats, not yet known to be short
    holding = False  # in a run that is known to be long
    for index, frame, starts_shot in shots:
        with facts.timed("detect"):
            repeats = detector.repeats(frame, fresh=starts_shot or not (run or holding))
        key = _Key(index, frame, starts_shot, when(index, frame), repeats)
        if repeats and holding:
            yield key
            continue
        if repeats:
            run.append(key)
            if key.time - run[0].time > longest:
                yield from run
                run, holding = [], True
            continue
        if run:
            yield from _closed(run, starts_shot or key.time - run[0].time > longest, facts)
        run, holding = [key], False
    yield from run


def _closed(run: list[_Key], held: bool, facts: Statistics) -> list[_Key]:
    """The keys of a run: one that covers it, or, where the picture is held (until a cut, or for long), all of it."""
    if held or len(run) == 1:
        return run
    facts.duplicates += [key.index for key in run[1:]]
    return [replace(run[0], covers={key.index: key.time for key in run[1:]})]


def _windows(keys: Iterator[_Key]) -> Iterator[tuple[_Key | None, list[_Key]]]:
    """Every key: the one before it, and itself with those that follow it, ``AHEAD`` in all; fewer at the ends.

    Where the film breaks, that is said when the pair that needs the broken frame is asked for, not earlier.
    """
    before: _Key | None = None
    held: deque[_Key] = deque()
    failure: UserError | None = None
    while True:
        try:
            while failure is None and len(held) < AHEAD and (key := next(keys, None)) is not None:
                held.append(key)
        except UserError as error:
            failure = error
        if failure is not None and len(held) < 2:
            raise failure
        if not held:
            return
        yield before, list(held)
        before = held.popleft()
