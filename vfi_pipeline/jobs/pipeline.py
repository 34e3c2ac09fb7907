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
from vfi_pipeline.media.threads import start_thread
from vfi_pipeline.media.writer import FrameWriter

MOST_QUEUED = 16
"""Frames in each of the two queues at most; of large ones as many as go into ``_QUEUE_BYTES``, two at least."""

_QUEUE_BYTES = 192 << 20
_POLL_S = 0.2


class OpenFrames(Protocol):
    """Opens the source at a frame: ``open_frames(k)`` is a context manager on (k, frame), (k + 1, frame)..."""

    def __call__(self, start: int) -> AbstractContextManager[Iterable[tuple[int, Frame]]]: ...


class _Stopped(BaseException):
    """Another thread has failed, or the user has asked to stop: leave quietly."""


class _Channel:
    """A queue bounded in frames and bytes whose two ends both notice a stop."""

    def __init__(self, stop: threading.Event, most: int = MOST_QUEUED) -> None:
        self._stop, self._most, self._queue = stop, most, queue.Queue[Any]()
        self._room: threading.Semaphore | None = None

    def put(self, item: Any, size: int = 0) -> None:
        """Waits for room; ``size`` is the bytes of the first frame, which decide how many frames fit."""
        if size and self._room is None:
            self._room = threading.Semaphore(max(2, min(self._most, _QUEUE_BYTES // size)))
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
            if isinstance(item, _Failed):
                raise item.error
            return item


class _Failed(NamedTuple):
    """Takes an error down the line, behind the frames that came before it: what they belong to is still finished."""

    error: Exception


class _End(NamedTuple):
    """Marks the end of a segment; ``note`` goes from compute to encode with it."""

    note: Any = None


class Pipeline:
    """Runs segments through three threads. The caller's thread computes.

    Attributes are callbacks: ``open_frames`` gives source frames; ``compute(segment, frames)`` yields (frame, made) for
    the segment's output, and ``note(segment)`` what is to be noted of it afterwards; ``open_writer(segment)`` is the
    writer; ``finished(segment, frames, note)`` is called in the encoding thread after the writer has closed,
    ``wrote(made)`` after each frame. ``most_frames`` wait in each queue at most.
    """

    def __init__(
        self,
        open_frames: OpenFrames,
        compute: Callable[[Segment, Iterator[tuple[int, Frame]]], Iterator[tuple[Frame, bool]]],
        note: Callable[[Segment], Any],
        open_writer: Callable[[Segment], AbstractContextManager[FrameWriter]],
        finished: Callable[[Segment, int, Any], None],
        wrote: Callable[[bool], None],
        most_frames: int = MOST_QUEUED,
    ) -> None:
        self._open_frames, self._compute, self._note = open_frames, compute, note
        self._open_writer, self._finished, self._wrote = open_writer, finished, wrote
        self._most = most_frames
        self._stop = threading.Event()
        self._failures: list[BaseException] = []

    def run(self, segments: Iterable[Segment]) -> None:
        """Works through ``segments``, in order; returns when the last is finished.

        Raises:
            The first exception of any of the three threads. All have ended by then, or will within seconds.
        """
        todo = list(segments)
        decoded, computed = _Channel(self._stop, self._most), _Channel(self._stop, self._most)
        patience = 60.0  # who goes on after an error wants no second writer
        threads: list[threading.Event] = []
        try:
            threads.append(start_thread(self._guard, self._decode, todo, decoded))
            threads.append(start_thread(self._guard, self._encode, todo, computed))
            try:
                for segment in todo:
                    self._segment(segment, decoded, computed)
            except Exception as error:
                computed.put(_Failed(error))
            while not threads[-1].wait(_POLL_S):
                pass
        except _Stopped:
            pass
        except BaseException:
            patience = 4.0  # the user waits
            raise
        finally:
            self._stop.set()
            deadline = time.monotonic() + patience
            for ended in reversed(threads):
                ended.wait(max(0.0, deadline - time.monotonic()))
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
        for frame, interpolated in self._compute(segment, source):
            computed.put((frame, interpolated), _size(frame))
        if not ended:  # frames of context behind the last slot may be left over
            deque(source, maxlen=0)
        computed.put(_End(self._note(segment)))

    def _guard(self, work: Callable[..., None], *args: Any) -> None:
        try:
            work(*args)
        except _Stopped:
            pass
        except BaseException as error:  # raised again by run(), in the caller's thread
            self._failures.append(error)
            self._stop.set()

    def _decode(self, segments: list[Segment], out: _Channel) -> None:
        """Reads straight on from one segment to the next; only a gap (a segment already done) makes it seek."""
        kept: list[tuple[int, Frame]] = []  # frames of one segment that the next one shows again
        opened: AbstractContextManager[Iterable[tuple[int, Frame]]] | None = None
        reader: Iterator[tuple[int, Frame]] = iter(())
        position = -1  # the number of the frame that ``reader`` gives next
        try:
            for number, segment in enumerate(segments):
                if segment.first != (kept[0][0] if kept else position):
                    if opened is not None:
                        opened.__exit__(None, None, None)
                    opened = self._open_frames(segment.first)
                    reader, position, kept = iter(opened.__enter__()), segment.first, []
                shared = segments[number + 1].first if number + 1 < len(segments) else segment.last + 1
                for item in kept:
                    out.put(item, _size(item[1]))
                kept = [item for item in kept if item[0] >= shared]
                while position <= segment.last:
                    item = next(reader, None)  # type: ignore[assignment]
                    if item is None:  # a damaged end: the consumer says what is missing
                        break
                    assert item[0] == position, (item[0], position)
                    position += 1
                    if item[0] >= shared:
                        kept.append(item)
                    out.put(item, _size(item[1]))
                out.put(_End())
        except Exception as error:
            out.put(_Failed(error))
        finally:
            if opened is not None:
                opened.__exit__(None, None, None)

    def _encode(self, segments: list[Segment], source: _Channel) -> None:
        for segment in segments:
            with self._open_writer(segment) as writer:
                while not isinstance(item := source.get(), _End):
                    frame, interpolated = item
                    writer.write(frame)
                    self._wrote(interpolated)
            if writer.frames != segment.frames:
                raise RuntimeError(f"segment {segment.number} got {writer.frames} of {segment.frames} frames")
            self._finished(segment, writer.frames, item.note)


def _size(frame: Frame) -> int:
    return sum(plane.nbytes for plane in frame.planes)
