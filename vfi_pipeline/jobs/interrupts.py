"""Ctrl-C, SIGTERM and a closed terminal as one exception in the main thread."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from vfi_pipeline.errors import INTERRUPTED


class Interrupted(BaseException):
    """The user or the system asked us to stop. Not an Exception: no ``except Exception`` on the way may swallow it."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Within it, SIGINT, SIGTERM and SIGHUP raise ``Interrupted`` in the main thread, once.

    Another signal a second or more later ends the process on the spot; sooner, it is the same wish told twice
    (``timeout`` signals a process and its group).
    """
    asked: float | None = None

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        now = time.monotonic()
        if asked is None:
            asked = now
            raise Interrupted(signal.Signals(number).name)
        if now - asked >= 1:
            os._exit(INTERRUPTED)

    before = {}
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # nohup has SIGHUP ignored, and so it stays. SIGINT is ignored in every background job of a script: whoever
        # sends it to us by hand means it.
        if number is not None and not (name == "SIGHUP" and signal.getsignal(number) == signal.SIG_IGN):
            before[number] = signal.signal(number, stop)
    try:
        yield
    except Exception as error:
        if isinstance(error.__cause__, Interrupted):  # Python 3.11, of one that comes while a class is made
            raise error.__cause__ from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
