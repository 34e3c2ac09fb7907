"""Which frames make the next triplet: large motion often, still pairs seldom, every film in its turn."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from vfi_pipeline.data.index import FilmIndex
from vfi_pipeline.errors import BAD_INPUT, UserError

log = logging.getLogger(__name__)

# Upper ends of the motion classes: how far the fast tenth of the picture moves from the first to the last frame, as a
# share of the longer side (0.05 = 43 px at 854), and how often each is drawn. Beyond the last end nothing is drawn.
CLASSES = ((0.0025, 0.04), (0.005, 0.08), (0.01, 0.15), (0.02, 0.22), (0.04, 0.23), (0.08, 0.18), (0.16, 0.10))


@dataclass(frozen=True)
class Sampling:
    """Which triplets of a film are drawn.

    Attributes:
        spans: smallest and largest number of frames from first to last, 2 to 12: strides 1 to 6 for one target.
        target_count: true frames between; drawn without repetition from those at hand.
        centred: only the frame nearest to t = 0.5 (with ``target_count=1``).
        least_motion: triplets that move less, in px, are never drawn.
    """

    spans: tuple[int, int] = (2, 12)
    target_count: int = 1
    centred: bool = False
    least_motion: float = 0.3

    def __post_init__(self) -> None:
        low, high = self.spans
        object.__setattr__(self, "spans", (low, high))  # Hydra gives a list


@dataclass(frozen=True)
class Draw:
    """One triplet: film number, its frames' numbers (first, targets..., last) and their times in [0, 1]."""

    film: int
    frames: np.ndarray
    times: np.ndarray


@dataclass
class TripletDraw:
    """Draws triplets from indexed films.

    A motion class is drawn first (``classes``: upper end as a share of the longer side, weight), then a film that has
    such motion, then a place in it: neither still pairs nor the longest film can dominate.

    Args:
        films: their indices.
        sampling: which triplets may be drawn.

    Raises:
        UserError: if no triplet can be drawn at all; it names how many films were looked at.
    """

    films: Sequence[FilmIndex]
    sampling: Sampling = Sampling()
    classes: Sequence[tuple[float, float]] = CLASSES
    _table: list[dict[int, np.ndarray]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        shortest, longest = self.sampling.spans
        least_motion, needed = self.sampling.least_motion, self.sampling.target_count + 1
        if self.sampling.target_count and shortest < max(2, needed):
            shortest, longest = max(2, needed), max(longest, needed)
        ends = np.array([end for end, _ in self.classes])
        self._runs = [film.runs() for film in self.films]
        table: list[dict[int, list]] = [{} for _ in self.classes]
        for number, film in enumerate(self.films):
            # The sum of the steps: an upper bound of the distance, exact for motion in one direction.
            travelled = np.concatenate(([0.0], np.cumsum(film.motion, dtype=np.float64)))
            for r, run in enumerate(self._runs[number]):
                for span in range(shortest, min(longest, len(run) - 1) + 1):
                    moved = travelled[run[span:]] - travelled[run[:-span]]
                    kind = np.searchsorted(ends, moved / max(film.width, film.height))
                    kind[moved < least_motion] = len(ends)
                    for k in np.unique(kind[kind < len(ends)]):
                        starts = np.flatnonzero(kind == k)
                        ends_at = run[starts], run[starts + span]
                        rows = np.stack([np.full_like(starts, r), starts, np.full_like(starts, span), *ends_at], axis=1)
                        table[k].setdefault(number, []).append(rows)
        self._table = [{film: np.concatenate(rows).astype(np.int32) for film, rows in of.items()} for of in table]
        weights = np.array([weight if of else 0.0 for of, (_, weight) in zip(self._table, self.classes)])
        if not weights.sum():
            raise UserError(
                f"None of the {len(self.films)} films holds a triplet: {shortest + 1} different frames in a row, "
                f"no cut between, motion of {least_motion} px to {100 * self.classes[-1][0]:.0f} % of the width.",
                "Add films with longer shots, or lower data.spans or data.least_motion.",
                BAD_INPUT,
            )
        self._weights = weights / weights.sum()

    def __len__(self) -> int:
        """How many different (first, last) pairs there are."""
        return sum(len(rows) for of in self._table for rows in of.values())

    def counts(self) -> list[int]:
        """The number of pairs in each motion class."""
        return [sum(len(rows) for rows in of.values()) for of in self._table]

    def __call__(self, random: np.random.Generator) -> Draw:
        """One triplet."""
        of = self._table[random.choice(len(self._table), p=self._weights)]
        film = list(of)[random.integers(len(of))]
        return self._drawn(film, of[film][random.integers(len(of[film]))], random)

    def within(self, film: int, begin: int, end: int, random: np.random.Generator) -> Draw | None:
        """One triplet of ``film`` whose frames all lie in ``begin ... end - 1``; None if there is none."""
        candidates, weights = [], []
        for of, weight in zip(self._table, self._weights):
            rows = of.get(film)
            if rows is None or not weight:
                continue
            rows = rows[(rows[:, 3] >= begin) & (rows[:, 4] < end)]
            if len(rows):
                candidates.append(rows)
                weights.append(weight)
        if not candidates:
            return None
        rows = candidates[random.choice(len(candidates), p=np.array(weights) / sum(weights))]
        return self._drawn(film, rows[random.integers(len(rows))], random)

    def _drawn(self, film: int, row: np.ndarray, random: np.random.Generator) -> Draw:
        r, start, span = row[:3]
        if not self.sampling.target_count:
            inner = np.zeros(0, int)
        elif self.sampling.centred:
            inner = np.array([round(span / 2)])
        else:
            inner = np.sort(random.choice(np.arange(1, span), size=self.sampling.target_count, replace=False))
        run = self._runs[film][r]
        frames = run[start + np.concatenate(([0], inner, [span])).astype(int)]
        pts = self.films[film].pts[frames].astype(np.float64)
        return Draw(film, frames, ((pts - pts[0]) / (pts[-1] - pts[0])).astype(np.float32))
