"""Threads that start or say that they cannot."""

from __future__ import annotations

import _thread
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

PATIENCE_S = 20.0
"""How long a thread may take to its first line: much, on a machine that is busy."""

_POLL_S = 0.1


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

    held = weakref.ref(run)
    _thread.start_new_thread(run, ())
    del run
    # Now the thread alone holds ``run``: it mostly goes with a thread that fails. Not always, hence the patience.
    deadline = time.monotonic() + PATIENCE_S
    while not started.wait(_POLL_S):
        if (held() is None or time.monotonic() > deadline) and not started.is_set():
            raise MemoryError("can't start new thread")
    return ended
