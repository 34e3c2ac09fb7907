"""Where the packets of sound and subtitles lie in time, found without decoding: what a copy must not lose."""

from __future__ import annotations

from array import array
from collections.abc import Collection
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from pathlib import Path
from statistics import median_low as median

import av
import av.error

from vfi_pipeline.errors import UserError
from vfi_pipeline.media.opening import open_media

HOLE = Fraction(1, 4)
"""A pause between packets, in seconds, that counts as one. Shorter ones come of clocks that round."""

EMPTY = {"mov_text": 2}
"""Packets of so many bytes say that nothing is shown: MP4 fills the pauses between subtitles with them."""


@dataclass(frozen=True)
class Track:
    """What one stream holds. Times in seconds of its file.

    Attributes:
        packets: how many, priming that no player plays and empty subtitles left out.
        first, end: when the first begins and the last is over.
        silent: pauses longer than ``HOLE`` between them, summed.
        longest: the longest packet; 0 where none says.
    """

    packets: int
    first: Fraction
    end: Fraction
    silent: Fraction
    longest: Fraction

    @property
    def filled(self) -> Fraction:
        """Seconds that packets cover."""
        return self.end - self.first - self.silent

    def moved(self, origin: Fraction, stretch: Fraction = Fraction(1)) -> Track:
        """The same with ``origin`` as 0, and ``stretch`` times as long."""
        first, end = (self.first - origin) * stretch, (self.end - origin) * stretch
        return Track(self.packets, first, end, self.silent * stretch, self.longest * stretch)


def tracks(
    path: Path, streams: Collection[int], low: Fraction | None = None, high: Fraction | None = None
) -> dict[int, Track | None]:
    """The tracks of ``streams`` (ffmpeg's numbers): those packets that begin from ``low`` on and before ``high``.

    Subtitles that are shown at ``low`` count as well, as in a cut. None stands for a stream whose time stamps tell
    nothing: they are missing, jump back by more than ``HOLE``, or the file is damaged. A stream without packets is
    left out.
    """
    try:
        seen = _packets(path, streams)
    except (av.error.FFmpegError, UserError, OSError, IndexError):
        return dict.fromkeys(streams)
    tracks_by_index: dict[int, Track | None] = {}
    for index, held in seen.items():
        if held.untimed or (held.kind == "audio" and held.jumps is not None):
            tracks_by_index[index] = None
            continue
        late = held.kind == "subtitle"
        least = None if low is None else ceil(low / held.base)
        most = None if high is None else ceil(high / held.base)
        kept = [
            (begin, length)
            for begin, length in zip(held.begins, held.lengths)
            if (least is None or begin >= least or (late and begin + length > least)) and (most is None or begin < most)
        ]
        if kept:
            tracks_by_index[index] = _track(kept, held.base)
    return tracks_by_index


def jumps_back(path: Path, streams: Collection[int]) -> Fraction | None:
    """The time in seconds from which one of ``streams`` jumps back by more than ``HOLE``; None if none does.

    Raises:
        UserError: the file cannot be opened.
    """
    try:
        jumps = [held.jumps for held in _packets(path, streams).values() if held.jumps is not None]
    except av.error.FFmpegError:  # damaged: for others to tell
        return None
    return min(jumps, default=None)


@dataclass
class _Packets:
    """Times of a stream's packets, in ticks of ``base`` seconds, as they come in the file."""

    kind: str
    base: Fraction
    begins: array[int]
    lengths: array[int]
    untimed: bool = False

    @property
    def jumps(self) -> Fraction | None:
        for before, after in zip(self.begins, self.begins[1:]):
            if (before - after) * self.base > HOLE:
                return before * self.base
        return None


def _packets(path: Path, streams: Collection[int]) -> dict[int, _Packets]:
    if not streams:
        return {}
    with open_media(path) as container:
        chosen = [container.streams[index] for index in streams]
        packets = {s.index: _Packets(s.type, s.time_base or Fraction(1, 1000), array("q"), array("q")) for s in chosen}
        names = {s.index: s.codec_context.name if s.codec_context is not None else "" for s in chosen}
        for packet in container.demux(chosen):
            index = packet.stream.index
            if packet.size <= EMPTY.get(names[index], 0) or packet.is_discard:
                continue
            if packet.pts is None:
                packets[index].untimed = True
                continue
            packets[index].begins.append(packet.pts)
            packets[index].lengths.append(packet.duration or 0)
    return packets


def _track(packets: list[tuple[int, int]], base: Fraction) -> Track:
    packets.sort()
    if not any(length for _, length in packets):  # FLV says of no packet how long it is: as long as to the next
        gaps = [after - before for (before, _), (after, _) in zip(packets, packets[1:])]
        packets = [(begin, median(gaps) if gaps else 0) for begin, _ in packets]
    # MP4 knows no pauses: the packet before one lasts until it is over. None is much longer than most are.
    hole = int(HOLE / base)
    usual = max(hole, 2 * median(length for _, length in packets))
    silent, end = 0, packets[0][0]
    for begin, length in packets:
        if begin - end > hole:
            silent += begin - end
        end = max(end, begin + (length if length <= usual else usual // 2))
    longest = max(length for _, length in packets if length <= usual)
    return Track(len(packets), packets[0][0] * base, end * base, silent * base, longest * base)
