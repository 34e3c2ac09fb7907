"""The frames around a pair, as motion models see them, each with the results computed from it.

A model is a function of a window and keeps nothing itself. Each observation keeps what several windows use (its guide,
its features, the flow of its pair), so that it is computed once and lives as long as the stream holds the observation.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import Tensor

Value = TypeVar("Value")


class Observation:
    """One source frame.

    Args:
        index: identifies the frame within its film.
        make_guide: from a model's ``guide_span`` to its view of the frame: (1, 3, h, w), float32 RGB in [0, 1].
    """

    def __init__(self, index: int, make_guide: Callable[[int | None], Tensor]) -> None:
        self.index = index
        self._make_guide = make_guide
        self._results: dict[Hashable, Future[Any]] = {}
        self._lock = threading.Lock()

    @classmethod
    def of(cls, image: Tensor, index: int = 0) -> Observation:
        """A picture (1, 3, h, w) that is itself the guide for any ``guide_span``."""
        return cls(index, lambda span: image)

    def guide(self, span: int | None) -> Tensor:
        """The frame at a working size, computed once for each ``span``."""
        return self.recall(("guide", span), lambda: self._make_guide(span))

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
                    del self._results[key]
                result.set_exception(error)
        value: Value = result.result()
        return value

    def knows(self, key: Hashable) -> bool:
        """Whether ``recall`` has computed this, or a thread is computing it."""
        with self._lock:
            return key in self._results


@dataclass(frozen=True)
class Window:
    """A pair of frames and those around it.

    Attributes:
        first, last: the pair.
        before: the frame before ``first``; None at a cut, a gap or the film's start.
        after: the frame after ``last``, or None.
        span_before, span_after: durations of those intervals, in units of the pair's own.
    """

    first: Observation
    last: Observation
    before: Observation | None = None
    after: Observation | None = None
    span_before: float = 1.0
    span_after: float = 1.0

    @classmethod
    def of(
        cls, first: Tensor, last: Tensor, before: Tensor | None = None, after: Tensor | None = None,
        span_before: float = 1.0, span_after: float = 1.0,
    ) -> Window:  # fmt: skip
        """A window of pictures (1, 3, h, w), each itself the guide."""
        return cls(
            Observation.of(first, 0), Observation.of(last, 1),
            None if before is None else Observation.of(before, -1), None if after is None else Observation.of(after, 2),
            span_before, span_after,
        )  # fmt: skip

    def pairs(self) -> list[tuple[Observation, Observation]]:
        """The neighbouring frames of the window, in order: one to three pairs."""
        frames = [frame for frame in (self.before, self.first, self.last, self.after) if frame is not None]
        return list(zip(frames, frames[1:]))
