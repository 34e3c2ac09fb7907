"""When each frame of an animation is shown, and between which pictures. Pure and exact: no floats, no files.

Every picture is shown exactly, and once: it takes one frame, and the frames between two pictures divide their gap
evenly. An animation of ``duration`` D has ``round(D * rate)`` frames, the first picture first and the last one last,
so that the file lasts D; a gap gets its part of that to the nearest frame. A loop leads from the last picture back to
the first, whose second showing is the loop's own beginning: that frame is left out. Holding a picture adds frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import floor

from vfi_pipeline.apps.options import PictureOptions
from vfi_pipeline.errors import UserError
from vfi_pipeline.media.timeline import Slot, SourceTimes, Timeline


class Moments(Timeline):
    """A timeline that shows listed places: ``t=[0.1, 0.5]``, frame after frame. A place may lie outside of its gap."""

    apart = True

    def __init__(self, times: SourceTimes, rate: Fraction, places: Sequence[tuple[int, Fraction]]) -> None:
        """``places``: (key, t) of each frame; t = 0 shows key picture ``key``."""
        super().__init__(times, rate)
        self.places = tuple(places)
        self.count = len(self.places)
        self.end = self.begin + self.count / rate

    def slots(self, start: int = 0, stop: int | None = None) -> Iterator[Slot]:
        for index in range(start, self.count if stop is None else min(stop, self.count)):
            yield Slot(index, self.begin + index / self.rate, *self.places[index])


def schedule(pictures: int, rate: Fraction, asked: PictureOptions) -> tuple[Timeline, tuple[int, ...]]:
    """The timeline of an animation, and which picture each of its key frames shows.

    Args:
        pictures: how many there are; one alone is led to a key of its own, number 1, which is no picture.

    Raises:
        UserError: if there are too few frames, or ``durations=`` or ``t=`` do not fit the pictures.
    """
    gaps = max(1, pictures - 1) + (1 if asked.loop else 0)
    if asked.loop and pictures < 2:
        raise UserError("loop=true needs a second picture to come back from.", "leave out loop=true.")
    if asked.places is not None:
        return _listed(pictures, gaps, rate, asked)
    shown = _steps(gaps, rate, asked)
    first, last = (floor(length * rate + Fraction(1, 2)) for length in (asked.hold_first, asked.hold_last))
    keys: list[int] = []
    pts: list[int] = []
    at = 0
    for key in range(gaps + 1):
        picture = key % pictures if pictures > 1 else key
        held = first if key == 0 else last if key == max(1, pictures - 1) else 0
        keys.append(picture)
        pts.append(at)
        closing = key == gaps
        if held and not closing:  # shown again: between two equal keys nothing is made
            at += held
            keys.append(picture)
            pts.append(at)
        if not closing:
            at += shown[key]
    times = SourceTimes(tuple(pts), 1 / rate, (1 if asked.loop else 1 + last) / rate)
    return Timeline(times, rate, end=at / rate if asked.loop else None), tuple(keys)


def _steps(gaps: int, rate: Fraction, asked: PictureOptions) -> list[int]:
    """How many frames each gap takes, its last picture counted and its first not."""
    lengths = asked.durations or (Fraction(1),) * gaps
    if len(lengths) != gaps:
        raise UserError(
            f"durations= lists {len(lengths)} lengths for {gaps} gap{'s' if gaps > 1 else ''} between pictures.",
            f"durations=[{','.join(['1'] * gaps)}].",
        )
    whole = asked.duration or sum(lengths, Fraction(0))
    frames = asked.frames or floor(whole * rate + Fraction(1, 2))
    steps = frames if asked.loop else frames - 1
    if steps < gaps:
        raise UserError(
            f"{frames} frame{'s' if frames != 1 else ''} cannot show all {gaps + (0 if asked.loop else 1)} pictures.",
            "a longer duration=, more fps=, or t= for single frames.",
        )
    bounds, total = [0], sum(lengths, Fraction(0))
    for number in range(1, gaps + 1):
        share = sum(lengths[:number], Fraction(0)) / total
        wanted = floor(steps * share + Fraction(1, 2))
        bounds.append(min(max(wanted, bounds[-1] + 1), steps - (gaps - number)))
    return [after - before for before, after in zip(bounds, bounds[1:])]


def _listed(pictures: int, gaps: int, rate: Fraction, asked: PictureOptions) -> tuple[Timeline, tuple[int, ...]]:
    places = []
    for t in asked.places or ():
        if not 0 <= t <= gaps and not asked.extrapolate:
            raise UserError(
                f"t={float(t):g} is outside of 0 to {gaps}"
                + (f" (0 is the first of the {pictures} pictures, 1 the second...)." if pictures > 2 else "."),
                "extrapolate=true to go beyond the pictures, or another t=.",
            )
        key = min(max(floor(t), 0), gaps - 1) if t != gaps else gaps
        places.append((key, t - key))
    keys = tuple(key % pictures if pictures > 1 else key for key in range(gaps + 1))
    times = SourceTimes(tuple(range(gaps + 1)), 1 / rate, 1 / rate)
    return Moments(times, rate, places), keys
