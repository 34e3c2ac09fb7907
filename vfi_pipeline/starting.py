"""Ctrl-C while a program reads its libraries. Importing this loads nothing of the package but ``errors``."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from vfi_pipeline.errors import INTERRUPTED


@contextmanager
def quiet_start() -> Iterator[None]:
    """Within it Ctrl-C ends the process at once and without a traceback: nothing is begun that could be lost.

    An exception would not do: Python 3.11 turns one that comes while a class is made into a RuntimeError, and libraries
    make thousands of classes. Where SIGINT is ignored or somebody handles it, that stays.
    """
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, lambda number, frame: os._exit(INTERRUPTED))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
