"""A process that looks at films for the page, kept warm: what a broken film can end is that process, not the page."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from concurrent.futures.process import BrokenProcessPool
from typing import ParamSpec, TypeVar

from vfi_pipeline.errors import BAD_INPUT, UserError

P = ParamSpec("P")
T = TypeVar("T")

LONGEST_S = 300.0
"""How long one look may take: longer is put down to a film that keeps the decoder busy for ever."""


class Helper:
    """Calls functions in a process of its own, one after another."""

    def __init__(self, warm: bool = False, longest_s: float = LONGEST_S) -> None:
        """``warm``: load the model of the preview at once, in the background."""
        self._warm, self._longest_s = warm, longest_s
        self._pool: ProcessPoolExecutor | None = None
        self._guard = threading.Lock()
        if warm:
            self._started_pool()

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """``function(*args, **kwargs)``, made there; what it raises comes back.

        Raises:
            UserError: also if the process ended over it, or it took too long. The next call gets a new process.
        """
        pool = self._started_pool()
        try:
            future: Future[T] = pool.submit(function, *args, **kwargs)
            return future.result(self._longest_s)
        except BrokenProcessPool as error:
            self._end(pool)
            raise UserError(
                "Reading this file ended the program that looks at films.",
                "another file, or a repaired copy.",
                BAD_INPUT,
            ) from error
        except TookTooLong as error:
            if future.done():  # the function's own TimeoutError
                raise
            self._end(pool)
            raise UserError(
                f"Looking at this file took more than {self._longest_s:.0f} s.", "a shorter film, or a repaired copy.",
                BAD_INPUT,
            ) from error  # fmt: skip

    def close(self) -> None:
        """Ends the process."""
        if self._pool is not None:
            self._end(self._pool)

    def _started_pool(self) -> ProcessPoolExecutor:
        with self._guard:
            if self._pool is None:
                # Not forked: locks and threads of the page's process have no business there.
                context = multiprocessing.get_context("spawn")
                self._pool = ProcessPoolExecutor(1, mp_context=context, initializer=_begin, initargs=(os.getpid(),))
                if self._warm:
                    self._pool.submit(_warm_up)
            return self._pool

    def _end(self, pool: ProcessPoolExecutor) -> None:
        with self._guard:
            if self._pool is pool:
                self._pool = None
        for process in list((getattr(pool, "_processes", None) or {}).values()):
            process.kill()
        pool.shutdown(wait=False, cancel_futures=True)


def _begin(parent: int) -> None:
    """Ends this process when the page's has ended, however it did: its pipe alone would not tell."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _warm_up() -> None:
    from vfi_pipeline.page.looks import warm_up

    warm_up()
