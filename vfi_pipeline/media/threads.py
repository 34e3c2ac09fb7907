"""Threads that start or say that they cannot."""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable
from typing import Any

PATIENCE_S = 60.0
"""How long a thread may take to start: much, on a machine that is busy."""


def start_thread(work: Callable[..., object], *args: Any) -> threading.Event:
    """Runs ``work(*args)`` in a daemon thread; the event is set when it has ended. ``work`` handles its own errors.

    ``threading.Thread.start`` waits for ever if the new thread finds no memory before its first line (CPython, up to
    3.14 at least): a job that runs out of memory would hang instead of telling.

    Raises:
        MemoryError: if the thread does not start.
    """
    started, ended = threading.Event(), threading.Event()

    def run() -> None:
        started.set()
        try:
            work(*args)
        finally:
            ended.set()

    _thread.start_new_thread(run, ())
    if not started.wait(PATIENCE_S):
        raise MemoryError("can't start new thread")
    return ended
