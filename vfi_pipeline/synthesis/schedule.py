"""Who computes what, and when: threads on a CPU, the caller's own thread on a device; how far ahead is worked.

On a CPU every task (a pair's motion, a frame's composition) runs on one core, and as many tasks run as there are cores:
two tasks side by side take less time than two that share their operations, which are small. Results do not depend on
the number of cores.
"""

from __future__ import annotations

import ctypes
import logging
import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import cv2
import torch

from vfi_pipeline.media.threads import start_thread

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

WORKERS = max(1, min(8, os.cpu_count() or 1))
"""Threads on a CPU. More than eight wait for the decoder and the encoder."""


class InCallersThread(Executor):
    """Runs each task at once, where it is submitted."""

    def submit(self, fn: Callable[..., Result], /, *args: Any, **kwargs: Any) -> Future[Result]:
        done: Future[Result] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:
            done.set_exception(error)
        return done


class _SingleThreadedOpenCV:
    """While streams run, OpenCV's own threads rest: every worker calls it. They are given back at the end."""

    def __init__(self) -> None:
        self.lock, self.streams, self.usual = threading.Lock(), 0, 0

    def __enter__(self) -> None:
        with self.lock:
            if not self.streams:
                self.usual = cv2.getNumThreads()
                cv2.setNumThreads(1)
            self.streams += 1

    def __exit__(self, *failure: object) -> None:
        with self.lock:
            self.streams -= 1
            if not self.streams:
                cv2.setNumThreads(self.usual)


_single_threaded_opencv = _SingleThreadedOpenCV()


@dataclass(frozen=True)
class KeptMemory:
    """What stays with the process when it is freed.

    Attributes:
        largest_bytes: larger pieces go back to the system: float planes of 4K fit.
        most_bytes: what is free beyond this goes back.
    """

    largest_bytes: int = 1 << 26
    most_bytes: int = 1 << 28


def keep_freed_memory() -> None:
    """Tells glibc to keep what is freed instead of giving it back page by page: a quarter of an estimate's time.

    For the whole process, and for good. Other C libraries are left as they are.
    """
    mmap_threshold, trim_threshold, kept = -3, -1, KeptMemory()  # malloc.h: M_MMAP_THRESHOLD, M_TRIM_THRESHOLD
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018  only glibc's mallopt takes these
        library.mallopt(mmap_threshold, kept.largest_bytes)
        library.mallopt(trim_threshold, kept.most_bytes)
    except (AttributeError, OSError, TypeError):
        log.debug("This C library's allocator has no such settings.")


@contextmanager
def workers(device: str) -> Iterator[Executor]:
    """What runs the tasks of one stream."""
    if torch.device(device).type != "cpu":
        yield InCallersThread()
        return
    keep_freed_memory()
    pool = ThreadPoolExecutor(WORKERS, "synthesis", initializer=torch.set_num_threads, initargs=(1,))
    with _single_threaded_opencv:
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def background_workers(device: str) -> Iterator[Executor | None]:
    """What looks at pictures on the host while a device is busy; None on a CPU, where ``workers`` do that as well."""
    if torch.device(device).type == "cpu":
        yield None
        return
    pool = ThreadPoolExecutor(WORKERS, "background")
    with _single_threaded_opencv:
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)


def in_background(items: Iterator[Item], ahead: int) -> Iterator[Item]:
    """The items, drawn by a thread of their own, up to ``ahead`` before they are asked for. What was drawn before a
    failure still comes. When this is closed the thread has ended, unless it waits for an item for too long."""
    ready: queue.Queue[tuple[Item | None, BaseException | None]] = queue.Queue(ahead)
    stopped = threading.Event()

    def put(item: Item | None, end: BaseException | None) -> None:
        while not stopped.is_set():
            try:
                return ready.put((item, end), timeout=POLL_S)
            except queue.Full:
                continue

    def draw() -> None:
        try:
            for item in items:
                put(item, None)
                if stopped.is_set():
                    return
            put(None, StopIteration())
        except BaseException as error:
            put(None, error)

    ended = start_thread(draw)
    try:
        while True:
            item, end = ready.get()
            if isinstance(end, StopIteration):
                return
            if end is not None:
                raise end
            yield item  # type: ignore[misc]
    finally:
        stopped.set()
        ended.wait(PATIENCE_S)


POLL_S, PATIENCE_S = 0.1, 10.0
"""How soon a thread that waits for room sees that nobody wants any more, and how long it may take to end."""


@dataclass(frozen=True)
class BatchLimits:
    """How many pairs are estimated at once.

    Attributes:
        most_pairs: on an H200, so many took the network of 0.6.0 the time of one (issue 20).
        pair_bytes: free memory of the device for each pair; a guess with a margin, halved when it fails.
    """

    most_pairs: int = 8
    pair_bytes: int = 1 << 28


def pairs_at_once(device: str, frame_bytes: int, holds: int, limits: BatchLimits = BatchLimits()) -> int:
    """How many pairs are estimated as one batch: one but on CUDA, where the device and the host have room for more.

    Args:
        frame_bytes: of a source frame; a batch of n pairs keeps n frames more, and so does the next one.
        holds: bytes that those of one may take.
    """
    where = torch.device(device)
    if where.type != "cuda":
        return 1
    free, _ = torch.cuda.mem_get_info(where)
    return max(1, min(limits.most_pairs, free // limits.pair_bytes, holds // max(1, frame_bytes)))


def in_batches(
    items: Iterator[Item], size: Callable[[Item], int], prepare: Callable[[Sequence[Item]], None]
) -> Iterator[Item]:
    """The items, prepared ``size`` of them at once; ``size`` is asked with the first of each batch.

    What was drawn before a failure still comes.
    """
    while True:
        batch: list[Item] = []
        failure: Exception | None = None
        try:
            for item in items:
                batch.append(item)
                if len(batch) >= size(batch[0]):
                    break
        except Exception as error:
            failure = error
        if len(batch) > 1:
            prepare(batch)
        yield from batch
        if failure is not None:
            raise failure
        if not batch:
            return


def scheduled(items: Iterator[Item], ahead: Callable[[], int]) -> Iterator[Item]:
    """The items, ``ahead()`` of them drawn before they are asked for. What was drawn before a failure still comes."""
    waiting: deque[Item] = deque()
    failure: Exception | None = None
    end = object()
    while True:
        try:
            while failure is None and len(waiting) <= ahead():
                item = next(items, end)
                if item is end:
                    break
                waiting.append(item)  # type: ignore[arg-type]
        except Exception as error:
            failure = error
        if waiting:
            yield waiting.popleft()
        elif failure is not None:
            raise failure
        else:
            return
