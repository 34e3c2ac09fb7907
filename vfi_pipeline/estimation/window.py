"""The frames around a pair, as motion models see them, each with the results computed from it.

A model is a function of a window and keeps nothing itself. Each observation keeps what several windows use (its guide,
its features, the flow of its pair), so that it is computed once and lives as long as the stream holds the observation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from vfi_pipeline.estimation.memo import Memo


class Observation(Memo):
    """One source frame.

    Args:
        index: identifies the frame within its film.
        make_guide: from a model's ``guide_span`` to its view of the frame: (1, 3, h, w), float32 RGB in [0, 1].
    """

    def __init__(self, index: int, make_guide: Callable[[int | None], Tensor]) -> None:
        super().__init__()
        self.index = index
        self._make_guide = make_guide

    @classmethod
    def of(cls, image: Tensor, index: int = 0) -> Observation:
        """A picture (1, 3, h, w) that is itself the guide for any ``guide_span``."""
        return cls(index, lambda span: image)

    def guide(self, span: int | None) -> Tensor:
        """The frame at a working size, computed once for each ``span``."""
        return self.recall(("guide", span), lambda: self._make_guide(span))


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
