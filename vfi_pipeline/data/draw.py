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


Table = list[dict[int, np.ndarray]]
"""For each motion class and film, rows (run, start in it, span, outermost frames' numbers) of its triplets."""


@dataclass(frozen=True)
class Sampling:
    """Which triplets of a film are drawn.

    Attributes:
        spans: smallest and largest number of frames from first to last, 2 to 12: strides 1 to 6 for one target.
        target_count: true frames between; drawn without repetition from those at hand.
        centred: only the frame nearest to t = 0.5 (with ``target_count=1``).
        least_motion: triplets that move less, in px, are never drawn.
        grow: share of the run over which the largest number rises from the smallest to its own; None: it stays.
        around: also the frames before and after the triplet, as far from it as its first frame is from its last.
    """

    spans: tuple[int, int] = (2, 12)
    target_count: int = 1
    centred: bool = False
    least_motion: float = 0.3
    grow: float | None = None
    around: bool | None = None

    def __post_init__(self) -> None:
        low, high = self.spans
        object.__setattr__(self, "spans", (low, high))  # Hydra gives a list
        if self.grow is not None and not 0 <= self.grow <= 1:
            raise UserError(f"data.grow={self.grow} is no share of the run.", "data.grow= from 0 to 1, such as 0.5.")

    def most_frames(self) -> int:
        """From the first to the last one that a sample of the largest span needs."""
        return (3 if self.around else 1) * self.spans[1] + 1

    def longest(self, done: float) -> int:
        """The largest number of frames where this share of the run, 0 to 1, is ``done``. Each number from the smallest
        to the largest is it for the same part of ``grow``, except the largest one, which stays."""
        low, high = self.spans
        if not self.grow or done >= self.grow:
            return high
        return low + int((high - low) * done / self.grow)


@dataclass(frozen=True)
class Draw:
    """One triplet: film number, its frames' numbers (first, targets..., last) and their times in [0, 1].

    With the frames around it, their numbers and times (below 0, above 1) are the outermost.
    """

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
    _table: Table = field(init=False, repr=False)

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
                    margin = span if self.sampling.around else 0
                    moved = travelled[run[span:]] - travelled[run[:-span]]
                    kind = np.searchsorted(ends, moved / max(film.width, film.height))
                    kind[moved < least_motion] = len(ends)
                    kind[:margin], kind[len(kind) - margin :] = len(ends), len(ends)
                    for k in np.unique(kind[kind < len(ends)]):
                        starts = np.flatnonzero(kind == k)
                        outer = run[starts - margin], run[starts + span + margin]
                        rows = np.stack([np.full_like(starts, r), starts, np.full_like(starts, span), *outer], axis=1)
                        table[k].setdefault(number, []).append(rows)
        self._table = [{film: np.concatenate(rows).astype(np.int32) for film, rows in of.items()} for of in table]
        weights = self._weights_of(self._table)
        if not weights.sum():
            needed = 3 * shortest + 1 if self.sampling.around else shortest + 1
            raise UserError(
                f"None of the {len(self.films)} films holds a triplet: {needed} different frames in a row, "
                f"no cut between, motion of {least_motion} px to {100 * self.classes[-1][0]:.0f} % of the width.",
                "Add films with longer shots, or lower data.spans or data.least_motion.",
                BAD_INPUT,
            )
        self._weights = weights / weights.sum()
        self._spans = shortest, longest
        self._shorter: tuple[int, Table, np.ndarray] | None = None

    def _weights_of(self, table: Table) -> np.ndarray:
        """How often each motion class is drawn, up to a factor: not at all where it is empty."""
        return np.array([weight if of else 0.0 for of, (_, weight) in zip(table, self.classes)])

    def _up_to(self, longest: int | None) -> tuple[Table, np.ndarray]:
        """The triplets of at most ``longest`` frames, by class and film, and the weights of the classes; of a few more
        where there are none. None: all."""
        if longest is None or longest >= self._spans[1]:
            return self._table, self._weights
        if self._shorter is None or self._shorter[0] != longest:
            table = [
                {film: kept for film, rows in of.items() if len(kept := rows[rows[:, 2] <= longest])}
                for of in self._table
            ]
            weights = self._weights_of(table)
            if not weights.sum():
                return self._up_to(longest + 1)
            self._shorter = longest, table, weights / weights.sum()
        return self._shorter[1:]

    def __len__(self) -> int:
        """How many different (first, last) pairs there are."""
        return sum(len(rows) for of in self._table for rows in of.values())

    def counts(self) -> list[int]:
        """The number of pairs in each motion class."""
        return [sum(len(rows) for rows in of.values()) for of in self._table]

    def __call__(self, random: np.random.Generator, longest: int | None = None) -> Draw:
        """One triplet; of at most ``longest`` frames from first to last, where there are such."""
        table, weights = self._up_to(longest)
        of = table[random.choice(len(table), p=weights)]
        film = list(of)[random.integers(len(of))]
        return self._drawn(film, of[film][random.integers(len(of[film]))], random)

    def within(
        self, film: int, begin: int, end: int, random: np.random.Generator, longest: int | None = None
    ) -> Draw | None:
        """As a call, of ``film`` and with all frames in ``begin ... end - 1``; None if there is no such triplet."""
        candidates, weights = [], []
        for of, weight in zip(*self._up_to(longest)):
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
        places = np.concatenate(([0], inner, [span]))
        if self.sampling.around:
            places = np.concatenate(([-span], places, [2 * span]))
        frames = run[start + places.astype(int)]
        pts = self.films[film].pts[frames].astype(np.float64)
        begin, end = self.films[film].pts[run[[start, start + span]]].astype(np.float64)
        return Draw(film, frames, ((pts - begin) / (end - begin)).astype(np.float32))
