"""The frames around a pair, as motion models see them, each with what was computed of it.

A model is a function of a window and keeps nothing itself. What is worth keeping (a frame's guide and features, a
pair's flow) is kept by the observation it belongs to, so it lives as long as the stream holds that observation, and is
computed once although three windows use it.
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
        look: the frame as a model with this ``guide_span`` sees it: (1, 3, h, w), float32 RGB in [0, 1].
    """

    def __init__(self, index: int, look: Callable[[int | None], Tensor]) -> None:
        self.index = index
        self._look = look
        self._known: dict[Hashable, Future[Any]] = {}
        self._lock = threading.Lock()

    @classmethod
    def of(cls, image: Tensor, index: int = 0) -> Observation:
        """A picture (1, 3, h, w) that is shown as it is, whatever the model's ``guide_span``."""
        return cls(index, lambda span: image)

    def guide(self, span: int | None) -> Tensor:
        """The frame at a working size, made once for each ``span``."""
        return self.recall(("guide", span), lambda: self._look(span))

    def recall(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """``make()``, computed once for each ``key``; a thread that asks meanwhile waits for it.

        A failure is raised to whoever waits and then forgotten, so that the next one tries again.
        """
        with self._lock:
            known = self._known.get(key)
            mine = known is None
            if known is None:
                known = self._known[key] = Future()
        if mine:
            try:
                known.set_result(make())
            except BaseException as error:
                with self._lock:
                    del self._known[key]
                known.set_exception(error)
        value: Value = known.result()
        return value

    def knows(self, key: Hashable) -> bool:
        """Whether ``recall`` has this, or somebody is making it."""
        with self._lock:
            return key in self._known


@dataclass(frozen=True)
class Window:
    """A pair of frames and those around it.

    Attributes:
        first, last: the pair.
        before: the frame that leads to ``first``, or None beyond a cut, a hole or an end.
        after: the frame that follows ``last``, or None.
        span_before, span_after: how long those intervals are, in units of the pair's own.
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
        """A window of pictures (1, 3, h, w), each shown as it is."""
        return cls(
            Observation.of(first, 0), Observation.of(last, 1),
            None if before is None else Observation.of(before, -1), None if after is None else Observation.of(after, 2),
            span_before, span_after,
        )  # fmt: skip

    def pairs(self) -> list[tuple[Observation, Observation]]:
        """The neighbouring frames of the window, in order: one to three pairs."""
        frames = [frame for frame in (self.before, self.first, self.last, self.after) if frame is not None]
        return list(zip(frames, frames[1:]))
