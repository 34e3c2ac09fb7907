"""From time stamps to the times of the film: what a coarse clock rounded and a display spread is even again."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

from vfi_pipeline.media.cadence import find_cadence
from vfi_pipeline.media.index import SourceIndex
from vfi_pipeline.media.info import SourceInfo
from vfi_pipeline.media.probe import with_rate
from vfi_pipeline.media.timeline import SourceTimes, outlying_stamps


def film_times(info: SourceInfo, source_index: SourceIndex) -> tuple[SourceInfo, SourceTimes, tuple[str, ...]]:
    """``info`` with the film's rate and start, its times, and notes on them."""
    if info.images:
        return info, source_index.times, source_index.notes
    notes = list(source_index.notes)
    if source_index.notes:
        info = _started(info, source_index.times.first)
    cadence = find_cadence(source_index.times) if info.view is None else None
    if cadence is None:
        times, more = _even(source_index.times, info.video.rate)
        notes += more or _holes(times, info.video.rate)
    else:
        info, times = with_rate(info, cadence.rate), cadence.times
        notes.append(
            f"{'' if cadence.whole else 'in parts, '}the time stamps are those of a display that shows film frames for "
            f"{cadence.fields} fields: taken as even film time at {_rate(cadence.rate)} fps"
        )
    notes += _difference(info, source_index, times)
    view = info.view
    if view is not None:
        info, times = with_rate(info, info.video.rate * view.per_frame), view.times(times)
    return info, times, tuple(notes)


LEAST = 10
"""Frames of a film that is even but for a wrong time stamp, or but for a hole."""

MISSING_STEPS = Fraction(5, 2)
"""Steps of an even film between two frames from which on frames are missing; cameras leave out single ones."""


def _even(times: SourceTimes, rate: Fraction) -> tuple[SourceTimes, list[str]]:
    """Even times if the clock has rounded them, or if it is wrong for single frames only."""
    even = times.even_at(rate)
    off = outlying_stamps(times.pts, rate * times.time_base) if even is times and len(times) >= LEAST else None
    if off is None:
        return even, []
    even = times.spaced(rate)
    stamped, shown = float(times.time(off[0])), float(even.time(off[0]))
    count = f"{len(off)} time stamps of an even film are wrong; the first: "
    start = count if len(off) > 1 else "a time stamp is wrong: "
    return even, [f"{start}frame {off[0]} is stamped {stamped:.3f} s, and is shown at {shown:.3f} s"]


def _holes(times: SourceTimes, rate: Fraction) -> list[str]:
    """The line that names where frames are missing from a film that is even otherwise: damage, most likely.

    Demuxers pass over what they cannot read without a word. A film with more such places than one in a hundred frames,
    or of other steps than its rate's, has a variable rate.
    """
    if isinstance(times.pts, range) or len(times) < LEAST:
        return []
    step = 1 / (rate * times.time_base)
    steps = [after - here for here, after in zip(times.pts, times.pts[1:])]
    # Whole ticks, since a long film has hundreds of thousands of steps.
    least = math.ceil(MISSING_STEPS * step)
    holes = [k for k, ticks in enumerate(steps) if ticks >= least]
    if not holes or len(holes) > max(1, len(times) // 100):
        return []
    shortest, longest = math.ceil(step * 9 / 10 - 1), math.floor(step * 11 / 10 + 1)
    uneven = sum(not shortest <= ticks <= longest for ticks in steps) - len(holes)
    if uneven > len(times) // 20:
        return []
    missing = [round(steps[k] / step) - 1 for k in holes]
    count = f"{len(holes)} times frames are missing, {sum(missing)} in all; the first time " if len(holes) > 1 else ""
    return [
        f"{count}{missing[0]} frames are missing after frame {holes[0]}, at {float(times.time(holes[0])):.3f} s: the "
        "film is damaged there, or held a picture"
    ]


def _difference(info: SourceInfo, source_index: SourceIndex, times: SourceTimes) -> list[str]:
    """The line that names a film of another length than its packets; none if they agree."""
    if source_index.stamped is None:
        return []
    allowed = max(1 / info.video.rate, 2 * times.time_base)
    if abs(source_index.stamped - times.span) <= allowed:
        return []
    return [
        f"the time stamps span {float(source_index.stamped):.3f} s, the film that is planned {float(times.span):.3f} s"
    ]


def _started(info: SourceInfo, first: Fraction) -> SourceInfo:
    """``info`` where the first picture is shown at ``first``: a wrong time stamp may have made it begin elsewhere."""
    covers = {stream.index for stream in info.others if "attached_pic" in stream.dispositions}
    starts = [
        stream.start
        for stream in info.others
        if stream.kind in ("audio", "video") and stream.index not in covers and stream.start is not None
    ]
    return replace(info, video=replace(info.video, start=first), start=min([first, *starts]))


def _rate(rate: Fraction) -> str:
    return f"{float(rate):.3f}".rstrip("0").rstrip(".")
