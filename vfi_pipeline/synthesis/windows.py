"""From source frames to windows: shots, the key frames that motion goes between, and each with those around it.

    frames ──► shots (cuts found, a few frames behind) ──► keys (repeats folded, with dedup) ──► windows

Everything is a generator, so nothing is read long before it is asked for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.media.frames import Frame
from vfi_pipeline.media.timeline import Slot, SourceTimes
from vfi_pipeline.shots import cuts, duplicates
from vfi_pipeline.synthesis import overlay
from vfi_pipeline.synthesis.options import Options
from vfi_pipeline.synthesis.statistics import Statistics

Clock = Callable[[int, Frame], Fraction]
"""(source index, frame) -> when the frame is shown, seconds."""


@dataclass(frozen=True)
class KeyFrame:
    """A source frame that motion starts from and leads to.

    Attributes:
        repeats: it shows the same as the key before it (a long hold), so nothing is made between the two.
        covers: times of the repeats folded into it, by source index.
    """

    index: int
    frame: Frame
    starts_shot: bool
    time: Fraction
    repeats: bool = False
    covers: dict[int, Fraction] = field(default_factory=dict)

    @property
    def until(self) -> Fraction:
        """Time of the last source frame that shows this picture."""
        return max([self.time, *self.covers.values()])


class KeyWindow(NamedTuple):
    """A key frame, the one that follows it (None at the end), and one more on either side.

    ``earlier`` are the keys before ``first`` and ``later`` those after ``last``, in order: with ``overlay`` as many as
    its runs reach, else one on either side.
    """

    before: KeyFrame | None
    first: KeyFrame
    last: KeyFrame | None
    after: KeyFrame | None
    earlier: tuple[KeyFrame, ...] = ()
    later: tuple[KeyFrame, ...] = ()


def windows(
    frames: Iterable[tuple[int, Frame]], options: Options, times: SourceTimes | None, facts: Statistics
) -> Iterator[KeyWindow]:
    """Every key frame of the film with those around it, in order.

    Raises:
        UserError: if the pictures change their size or format, or cannot be read, when the window that needs the broken
            frame is asked for, not earlier.
    """
    keys = key_frames(shots(checked(frames, facts), options, facts), options, _clock(times), facts)
    reach = overlay.RULE.reach if options.overlay else 1
    earlier: deque[KeyFrame] = deque(maxlen=reach)
    held: deque[KeyFrame] = deque()
    failure: UserError | None = None
    while True:
        try:
            while failure is None and len(held) < 2 + reach and (key := next(keys, None)) is not None:
                held.append(key)
        except UserError as error:
            failure = error
        if failure is not None and len(held) < 2:
            raise failure
        if not held:
            return
        ahead = [*held, None, None]
        before = earlier[-1] if earlier else None
        yield KeyWindow(before, held[0], ahead[1], ahead[2], tuple(earlier), tuple(held)[2:])
        earlier.append(held.popleft())


def place(slot: Slot, first: KeyFrame, last: KeyFrame | None) -> Fraction:
    """The slot's time between the keys, in [0, 1); 0 shows ``first`` itself."""
    if last is None:
        return Fraction(0)
    if last.index == first.index + 1:
        return slot.t
    stops = {first.index: first.time, **first.covers, last.index: last.time}
    at = stops[slot.source] + slot.t * (stops[slot.source + 1] - stops[slot.source])
    return (at - first.time) / (last.time - first.time)


def leaves_gap(first: KeyFrame, last: KeyFrame, longest: Fraction | None) -> bool:
    """Whether the time stamps leave a hole between the two: nothing is known of the motion in it."""
    return longest is not None and last.time - first.until > longest


def same_picture(first: KeyFrame, last: KeyFrame) -> bool:
    """Whether two keys show the same picture, bit for bit."""
    pairs = list(zip(first.frame.planes, last.frame.planes))
    # A few samples tell most pictures apart; all of them take half a millisecond in 1080p.
    few = np.s_[::FEW, ::FEW]
    return all(np.array_equal(p[few], q[few]) for p, q in pairs) and all(np.array_equal(p, q) for p, q in pairs)


FEW = 16
"""Of so many samples each way one is compared first."""


def checked(frames: Iterable[tuple[int, Frame]], facts: Statistics) -> Iterator[tuple[int, Frame]]:
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


def shots(
    frames: Iterator[tuple[int, Frame]], options: Options, facts: Statistics
) -> Iterator[tuple[int, Frame, bool]]:
    """(index, frame, whether a new shot starts with it): the list given, or what the detector finds."""
    if options.cuts is not None or not options.scene:
        given = frozenset(options.cuts or ())
        yield from ((index, frame, index in given) for index, frame in frames)
        return
    detector = cuts.CutDetector(options.scene_threshold)
    waiting: deque[tuple[int, Frame]] = deque()
    for index, frame in frames:
        waiting.append((index, frame))
        with facts.timed("detect"):
            decided = detector.push(cuts.signature(frame))
        for is_cut in decided:
            yield (*waiting.popleft(), is_cut)
    for is_cut in detector.flush():
        yield (*waiting.popleft(), is_cut)


def key_frames(
    shots: Iterator[tuple[int, Frame, bool]], options: Options, when: Clock, facts: Statistics
) -> Iterator[KeyFrame]:
    """The frames to go between. With dedup, a picture that is repeated is one key, unless it stays for long."""
    if not options.dedup:
        for index, frame, starts_shot in shots:
            yield KeyFrame(index, frame, starts_shot, when(index, frame))
        return
    detector = duplicates.RepeatDetector(options.dedup_threshold)
    longest = Fraction(options.dedup_max_span_s)
    run: list[KeyFrame] = []  # a new picture and its repeats, not yet known to be short
    holding = False  # in a run that is known to be long
    for index, frame, starts_shot in shots:
        with facts.timed("detect"):
            repeats = detector.repeats(frame, fresh=starts_shot or not (run or holding))
        key = KeyFrame(index, frame, starts_shot, when(index, frame), repeats)
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


def _closed(run: list[KeyFrame], held: bool, facts: Statistics) -> list[KeyFrame]:
    """The keys of a run: one that covers it, or, where the picture is held (until a cut, or for long), all of it."""
    if held or len(run) == 1:
        return run
    facts.duplicates += [key.index for key in run[1:]]
    return [replace(run[0], covers={key.index: key.time for key in run[1:]})]


def _clock(times: SourceTimes | None) -> Clock:
    return (lambda index, frame: frame.time) if times is None else (lambda index, frame: times.time(index))
