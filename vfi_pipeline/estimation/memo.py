"""Results that several threads ask for, each computed once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, TypeVar

Value = TypeVar("Value")


class Memo:
    """Results by their keys."""

    def __init__(self) -> None:
        self._results: dict[Hashable, Future[Any]] = {}
        self._lock = threading.Lock()

    def recall(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """``make()``, computed once for each ``key``; another thread that calls meanwhile waits for the result.

        An error is raised in all threads that wait and then forgotten, so that the next call tries again.
        """
        with self._lock:
            result = self._results.get(key)
            first_caller = result is None
            if result is None:
                result = self._results[key] = Future()
        if first_caller:
            try:
                result.set_result(make())
            except BaseException as error:
                with self._lock:
                    self._results.pop(key, None)
                result.set_exception(error)
        value: Value = result.result()
        return value

    def knows(self, key: Hashable) -> bool:
        """Whether ``recall`` has computed this, or a thread is computing it."""
        with self._lock:
            return key in self._results

    def forget(self, is_over: Callable[[Any], bool]) -> None:
        """Drops the results whose keys are over."""
        with self._lock:
            self._results = {key: result for key, result in self._results.items() if not is_over(key)}
