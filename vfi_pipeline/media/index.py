"""When each frame of a film is shown, found without decoding it: ``index(info)``.

Packets are read, not decoded, and sorted by presentation time. Left out are packets that an edit list discards, frames
that are never shown (VP8 and VP9 reference frames), and frames that a decoder starting at the file's beginning cannot
make (before the first keyframe). Frames with the same time stamp count once: the first is shown.

A film is decoded for its index only where packets do not tell: time stamps are missing, or jump back on the way (two
recordings joined, a clock that was reset), or the file is damaged. Then frames are *counted*: the n-th frame that the
decoder yields is shown at the n-th time. After a jump back, time goes on one nominal frame after the last.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import av.error

from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.media.decoding import decode_all, decode_head
from vfi_pipeline.media.info import SourceInfo
from vfi_pipeline.media.matroska import is_complete
from vfi_pipeline.media.opening import MAX_PIXELS, open_media
from vfi_pipeline.media.stamps import LONG_S, Mended, is_suspicious, mended_ticks
from vfi_pipeline.media.timeline import SourceTimes

log = logging.getLogger(__name__)

HEAD_FRAMES = 6
"""Frames decoded at the beginning to see that packets and decoder agree."""

JUMP_S = Fraction(1, 2)
"""A time stamp this far before its predecessors in decoding order is a jump of the clock, not reordering."""


@dataclass(frozen=True)
class SourceIndex:
    """When each frame is shown, and how that was measured.

    Attributes:
        times: all frames, in the stream's own ticks.
        counted: times were found by decoding, and ``media.reader`` finds frames by counting from the beginning.
        damaged_at: the time (seconds) at which the file is damaged; ``times`` are those of the frames that can be
            decoded, before and after. None: nothing was found.
        damage: one line saying what was found.
        notes: what of the time stamps is not taken as it stands, for people.
        stamped: from the first packet's time to the end of the last, in seconds, as the file has it; None: it has none.
    """

    times: SourceTimes
    counted: bool = False
    damaged_at: Fraction | None = None
    damage: str = ""
    notes: tuple[str, ...] = ()
    stamped: Fraction | None = None


def index(info: SourceInfo, max_pixels: int = MAX_PIXELS) -> SourceIndex:
    """The index of ``info``. Remembered for as long as the file does not change.

    Raises:
        UserError: if the file is gone or holds no frames.
    """
    video = info.video
    if info.images:
        places = info.places if info.places else range(len(info.images))
        return SourceIndex(SourceTimes(places, 1 / video.rate, 1 / video.rate), notes=info.notes)
    try:
        state = os.stat(info.path)
    except OSError as error:
        raise UserError(f"{info.path} is gone: {error.strerror}.", "put it back and run again.", BAD_INPUT) from None
    return _index(info.path, video.index, video.rate, state.st_size, state.st_mtime_ns, max_pixels)


@lru_cache(maxsize=16)
def _index(path: Path, stream: int, rate: Fraction, size: int, mtime_ns: int, max_pixels: int) -> SourceIndex:
    packets = _read_packets(path, stream, size, max_pixels)
    base = packets.time_base
    wild = is_suspicious(packets.shown, 1 / (rate * base), JUMP_S / base, LONG_S / base)
    if packets.damage or packets.untimed or wild:
        return _counted_index(path, stream, rate, packets, max_pixels)
    ticks = sorted(set(packets.shown))
    head = _head_times(path, stream, max_pixels)
    if head is None or not head:
        return _counted_index(path, stream, rate, packets, max_pixels)
    ticks = [tick for tick in ticks if tick >= head[0]]
    if ticks[: len(head)] != head:
        log.debug("%s: packets say %s, the decoder %s", path, ticks[: len(head)], head)
        return _counted_index(path, stream, rate, packets, max_pixels)
    last, notes = _last_duration(ticks, packets, rate)
    return SourceIndex(SourceTimes(ticks, base, last), notes=notes, stamped=packets.span)


# ------------------------------------------------------------------------------------------------------- packets


@dataclass
class _Packets:
    """What reading the packets told; times in ticks, in decoding order."""

    time_base: Fraction
    shown: list[int]  # presentation times of packets that are shown
    durations: dict[int, int]  # by presentation time
    untimed: bool = False  # a packet has no presentation time
    delivered: int = 0  # packets with data, shown or not
    damage: str = ""
    stated_end: Fraction | None = None  # seconds: when the last frame is over, where the file says so and is complete

    @property
    def span(self) -> Fraction | None:
        """Seconds from the first packet that is shown to the end of the last."""
        if not self.shown:
            return None
        return (max(tick + self.durations.get(tick, 0) for tick in self.shown) - min(self.shown)) * self.time_base


def _read_packets(path: Path, index: int, size: int, max_pixels: int) -> _Packets:
    with open_media(path, max_pixels) as container:
        stream = container.streams[index]
        codec = stream.codec_context.name
        packets = _Packets(stream.time_base or Fraction(1, 90000), [], {})
        corrupt_last = False
        try:
            for packet in container.demux(stream):
                if packet.size == 0:
                    continue
                packets.delivered += 1
                corrupt_last = packet.is_corrupt
                if packet.is_discard or not _is_shown(codec, packet):
                    continue
                if packet.pts is None:
                    packets.untimed = True
                    continue
                packets.shown.append(packet.pts)
                if packet.duration:
                    packets.durations.setdefault(packet.pts, packet.duration)
        except (av.error.FFmpegError, ValueError) as error:
            packets.damage = f"its data cannot be read further ({getattr(error, 'strerror', None) or error})"
        packets.damage = packets.damage or _truncation(container, stream, packets, path, size, corrupt_last)
        if not packets.damage and "matroska" in container.format.name:
            packets.stated_end = _matroska_end(container, stream)
        return packets


def _truncation(
    container: av.container.InputContainer,
    stream: av.stream.Stream,
    packets: _Packets,
    path: Path,
    size: int,
    corrupt_last: bool,
) -> str:
    """What shows that the file ends before its time; empty if nothing does."""
    if corrupt_last and container.format.name != "mpegts":
        return "the file ends in the middle of a frame"
    name = container.format.name
    if "mp4" in name:
        entries = stream.index_entries
        last = entries[len(entries) - 1] if len(entries) else None
        if last is not None and last.pos + last.size > size:
            return "the file ends before the frames that its header lists"
    elif "avi" in name or "gxf" in name:
        if stream.frames and packets.delivered < stream.frames - max(2, stream.frames // 50):
            return f"the header promises {stream.frames} frames, the file holds {packets.delivered}"
    elif "matroska" in name and packets.shown and not is_complete(path):
        end = max(packets.shown) * packets.time_base
        promised = _matroska_end(container, stream)
        if promised is not None and end < promised - max(Fraction(1, 2), promised / 50):
            return f"the header promises {float(promised):.2f} s, its pictures end at {float(end):.2f} s"
    return ""


def _matroska_end(container: av.container.InputContainer, stream: av.stream.Stream) -> Fraction | None:
    """The video's end in seconds: by the DURATION tag, else by the segment's duration if there is no other stream."""
    tag = stream.metadata.get("DURATION") or stream.metadata.get("DURATION-eng")
    if tag:
        try:
            hours, minutes, seconds = tag.split(":")
            return int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds.strip("\0 "))
        except ValueError:
            return None
    if container.duration and len(container.streams) == 1:
        return Fraction(container.duration + max(0, container.start_time or 0), 1_000_000)
    return None


def _is_shown(codec: str, packet: av.Packet) -> bool:
    """Whether a packet yields a picture: VP8 and VP9 have packets that only renew a reference."""
    if codec in ("vp8", "libvpx"):
        return bool(bytes(memoryview(packet)[:1])[0] & 0x10)
    if codec in ("vp9", "libvpx-vp9"):
        return vp9_is_shown(bytes(memoryview(packet)))
    return True


def vp9_is_shown(data: bytes) -> bool:
    """Whether a VP9 packet, perhaps a superframe, holds a frame that is shown (VP9 bitstream, 6.2 and annex B)."""
    parts = [data]
    marker = data[-1]
    if marker & 0xE0 == 0xC0:
        count, width = (marker & 7) + 1, (marker >> 3 & 3) + 1
        total = 2 + count * width
        if len(data) >= total and data[-total] == marker:
            parts, at = [], 0
            for k in range(count):
                place = len(data) - total + 1 + k * width
                length = int.from_bytes(data[place : place + width], "little")
                parts.append(data[at : at + length])
                at += length
    return any(_vp9_frame_is_shown(part) for part in parts if part)


def _vp9_frame_is_shown(frame: bytes) -> bool:
    bits = f"{int.from_bytes(frame[:2].ljust(2, bytes(1)), 'big'):016b}"
    if bits[:2] != "10":
        return True  # not VP9 as we know it: leave it to the decoder
    at = 4
    if bits[2:4] == "11":
        at += 1  # profile 3 has a reserved bit
    if bits[at] == "1":
        return True  # show_existing_frame
    return bits[at + 2] == "1"  # frame_type, then show_frame


LONGEST_LAST_S = 3600
"""A last frame that stays longer than this is put down to a broken file."""


def _last_duration(ticks: Sequence[int], packets: _Packets, rate: Fraction) -> tuple[Fraction, tuple[str, ...]]:
    """How long the last frame stays, and notes on it.

    What its packet says, or the end of the pictures that the file states apart from the packets (Matroska's DURATION)
    if that is later; one nominal frame where neither says anything that makes sense.
    """
    own = packets.durations.get(ticks[-1], 0) * packets.time_base
    if packets.stated_end is not None and max(packets.shown) <= ticks[-1]:  # else a wrong stamp has made it
        own = max(own, packets.stated_end - ticks[-1] * packets.time_base)
    if own > LONGEST_LAST_S:
        return 1 / rate, (f"the last picture is said to stay for {float(own):.0f} s: it is taken for one frame",)
    # Some files end in a frame of one tick.
    return (own if own * rate * 10 >= 1 else 1 / rate), ()


# ------------------------------------------------------------------------------------------------------ decoding


def _head_times(path: Path, index: int, max_pixels: int) -> list[int] | None:
    """Time stamps of the first few frames that the decoder yields, in order; None if one has none."""
    frames = decode_head(path, index, max_pixels, HEAD_FRAMES)
    times: list[int] = []
    for frame in frames:
        if frame.pts is None:
            return None
        if not times or frame.pts > times[-1]:
            times.append(frame.pts)
    return times


def _counted_index(path: Path, stream: int, rate: Fraction, packets: _Packets, max_pixels: int) -> SourceIndex:
    """The index by decoding everything."""
    base = packets.time_base
    stamps: list[int | None] = []
    failures: list[tuple[str, int | None]] = []
    for frame in decode_all(path, stream, max_pixels, lambda *failure: failures.append(failure)):
        stamps.append(frame.pts)
    if not stamps:
        raise UserError(f"{path}: no frame can be decoded.", "check that it plays elsewhere.", BAD_INPUT)
    step = 1 / (rate * base)
    decoding = _decoding_times(path, stream, max_pixels) if None in stamps else ()
    ticks, mended = mended_ticks(stamps, step, decoding, round(LONG_S / base))
    notes = _mended_notes(mended, base)
    last = 1 / rate
    if not packets.untimed and stamps[-1] == ticks[-1]:
        last, more = _last_duration([ticks[-1]], packets, rate)
        notes += more
    counted = list(stamps) != ticks
    if packets.damage:
        ticks = _before_gap(ticks, step)
    times = SourceTimes(ticks, base, last)
    if packets.damage:
        return SourceIndex(times, counted, times.end, packets.damage, notes, packets.span)
    if failures:
        what, tick = failures[0]
        if tick is None or counted:
            damaged_at = times.end
        else:
            sound = [t * base + 1 / rate for t in ticks if t < tick]
            damaged_at = min([tick * base, *sound[-1:]])
        return SourceIndex(times, counted, damaged_at, f"a frame cannot be decoded ({what})", notes, packets.span)
    return SourceIndex(times, counted, notes=notes, stamped=packets.span)


def _mended_notes(mended: Sequence[Mended], base: Fraction) -> tuple[str, ...]:
    if not mended:
        return ()
    frame, stamp, tick = mended[0]
    line = f"frame {frame} is stamped {float(stamp * base):.3f} s, and is shown at {float(tick * base):.3f} s"
    count = f"{len(mended)} time stamps are wrong; the first: " if len(mended) > 1 else "a time stamp is wrong: "
    return (count + line,)


def _before_gap(ticks: list[int], step: Fraction) -> list[int]:
    """``ticks`` up to a gap among the last 16: frames that came later in a cut-off file are missing there."""
    for k in range(max(1, len(ticks) - 16), len(ticks)):
        if ticks[k] - ticks[k - 1] > step * 3 / 2:
            return ticks[:k]
    return ticks


def _decoding_times(path: Path, index: int, max_pixels: int) -> list[int]:
    with open_media(path, max_pixels) as container:
        try:
            packets = container.demux(container.streams[index])
            return [packet.dts for packet in packets if packet.size and packet.dts is not None]
        except (av.error.FFmpegError, ValueError):
            return []
