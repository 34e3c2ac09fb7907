"""Decode, compute and encode at the same time: three threads, two bounded queues, segments in order.

Memory does not grow with the film: the queues hold a bounded number of frames and bytes.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from vfi_pipeline.jobs.plan import Segment
from vfi_pipeline.media.frames import Frame
from vfi_pipeline.media.writer import FrameWriter

_QUEUE_BYTES = 192 << 20
_POLL_S = 0.2


class OpenFrames(Protocol):
    """Opens the source at a frame: ``open_frames(k)`` is a context manager that iterates frames k, k + 1..."""

    def __call__(self, start: int) -> AbstractContextManager[Iterable[Frame]]: ...


class _Stopped(Exception):
    """Another thread has failed, or the user has asked to stop: leave quietly."""


class _Channel:
    """A queue bounded in frames and bytes whose two ends both notice a stop."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop, self._queue = stop, queue.Queue[Any]()
        self._room: threading.Semaphore | None = None
        self._frames = 0

    def put(self, item: Any, size: int = 0) -> None:
        """Waits for room; ``size`` is the bytes of the first frame, which decide how many frames fit."""
        if size and self._room is None:
            self._frames = max(2, min(16, _QUEUE_BYTES // size))
            self._room = threading.Semaphore(self._frames)
        if size and self._room is not None:
            while not self._room.acquire(timeout=_POLL_S):
                if self._stop.is_set():
                    raise _Stopped
        if self._stop.is_set():
            raise _Stopped
        self._queue.put((item, bool(size)))

    def get(self) -> Any:
        """The next item; waits for it."""
        while True:
            if self._stop.is_set():
                raise _Stopped
            try:
                item, counted = self._queue.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            if counted and self._room is not None:
                self._room.release()
            return item


class _End(NamedTuple):
    """Marks the end of a segment; ``note`` goes from compute to encode with it."""

    note: Any = None


class Pipeline:
    """Runs segments through three threads. The caller's thread computes.

    Attributes are callbacks: ``open_frames`` gives source frames; ``compute(segment, frames)`` yields (frame, made) for the
    segment's output and returns a note; ``open_writer(segment)`` is the writer; ``finished(segment, frames, note)`` is
    called, in the encoding thread, after the writer has closed; ``wrote(made)`` after each frame.
    """

    def __init__(
        self,
        open_frames: OpenFrames,
        compute: Callable[[Segment, Iterator[tuple[int, Frame]]], Iterator[tuple[Frame, bool]]],
        note: Callable[[Segment], Any],
        open_writer: Callable[[Segment], AbstractContextManager[FrameWriter]],
        finished: Callable[[Segment, int, Any], None],
        wrote: Callable[[bool], None],
    ) -> None:
        self._open_frames, self._compute, self._note = open_frames, compute, note
        self._open_writer, self._finished, self._wrote = open_writer, finished, wrote
        self._stop = threading.Event()
        self._failures: list[BaseException] = []

    def run(self, segments: Iterable[Segment]) -> None:
        """Works through ``segments``, in order; returns when the last is finished.

        Raises:
            The first exception of any of the three threads. All have ended by then, or will within seconds.
        """
        todo = list(segments)
        decoded, computed = _Channel(self._stop), _Channel(self._stop)
        threads = [
            threading.Thread(target=self._guard, args=(self._decode, todo, decoded), name="decode", daemon=True),
            threading.Thread(target=self._guard, args=(self._encode, todo, computed), name="encode", daemon=True),
        ]
        for thread in threads:
            thread.start()
        try:
            for segment in todo:
                self._segment(segment, decoded, computed)
            while threads[1].is_alive():
                threads[1].join(_POLL_S)
        except _Stopped:
            pass
        except BaseException as error:
            self._failures.insert(0, error)
        finally:
            if not self._failures and threads[1].is_alive():
                self._failures.append(RuntimeError("the encoding thread did not end"))
            self._stop.set()
            deadline = time.monotonic() + 4
            for thread in threads:
                thread.join(max(0.0, deadline - time.monotonic()))
        if self._failures:
            raise self._failures[0]

    def _segment(self, segment: Segment, decoded: _Channel, computed: _Channel) -> None:
        ended = False

        def frames() -> Iterator[tuple[int, Frame]]:
            nonlocal ended
            while not isinstance(item := decoded.get(), _End):
                yield item
            ended = True

        source = frames()
        for frame, made in self._compute(segment, source):
            computed.put((frame, made), _size(frame))
        if not ended:  # frames of context behind the last slot may be left over
            deque(source, maxlen=0)
        computed.put(_End(self._note(segment)))

    def _guard(self, work: Callable[..., None], *args: Any) -> None:
        try:
            work(*args)
        except _Stopped:
            pass
        except BaseException as error:  # noqa: BLE001  raised again by run(), in the caller's thread
            self._failures.append(error)
            self._stop.set()

    def _decode(self, segments: list[Segment], out: _Channel) -> None:
        """Reads straight on from one segment to the next; only a gap (a segment already done) makes it seek."""
        recent: deque[tuple[int, Frame]] = deque(maxlen=64)
        reader: Iterator[Frame] | None = None
        opened: AbstractContextManager[Iterable[Frame]] | None = None
        position = -1  # the index of the frame that ``reader`` gives next
        try:
            for segment in segments:
                kept = [item for item in recent if item[0] >= segment.first]
                if reader is None or segment.first != (kept[0][0] if kept else position):
                    if opened is not None:
                        opened.__exit__(None, None, None)
                    opened = self._open_frames(segment.first)
                    reader, position, kept = iter(opened.__enter__()), segment.first, []
                assert reader is not None
                # As many frames as two neighbouring segments share; more would only cost memory.
                recent = deque(kept, maxlen=max(1, _overlap(segment, segments)))
                for item in kept:
                    out.put(item, _size(item[1]))
                while position <= segment.last:
                    frame = next(reader, None)
                    if frame is None:  # a damaged end: the consumer says what is missing
                        break
                    item = (position, frame)
                    position += 1
                    recent.append(item)
                    out.put(item, _size(frame))
                out.put(_End())
        finally:
            if opened is not None:
                opened.__exit__(None, None, None)

    def _encode(self, segments: list[Segment], source: _Channel) -> None:
        for segment in segments:
            with self._open_writer(segment) as writer:
                while not isinstance(item := source.get(), _End):
                    frame, made = item
                    writer.write(frame)
                    self._wrote(made)
            if writer.frames != segment.frames:
                raise RuntimeError(f"segment {segment.number} got {writer.frames} of {segment.frames} frames")
            self._finished(segment, writer.frames, item.note)


def _overlap(segment: Segment, segments: list[Segment]) -> int:
    following = [other for other in segments if other.number == segment.number + 1]
    return segment.last - following[0].first + 1 if following else 1


def _size(frame: Frame) -> int:
    return sum(plane.nbytes for plane in frame.planes)
