"""The facts of a media file, by PyAV: ``probe(path)``. Reads headers, a few hundred packets and a few frames."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import Any

import av
import av.error

from vfi_pipeline.errors import BAD_INPUT, USAGE, UserError
from vfi_pipeline.media import facts, ffmpeg, images
from vfi_pipeline.media.cadence import find_cadence
from vfi_pipeline.media.decoding import decode_head
from vfi_pipeline.media.info import SourceInfo, StreamInfo, VideoInfo
from vfi_pipeline.media.layout import is_transparent, layout
from vfi_pipeline.media.opening import MAX_PIXELS, open_media
from vfi_pipeline.media.stamps import pile_start
from vfi_pipeline.media.timeline import SourceTimes, is_even

LARGEST = 2**31 - 1
"""More pixels than any picture has."""

PROBE_PACKETS = 400
"""Packets of the video whose time stamps are looked at for the nominal rate."""

_COUNTED = (23, 24, 25, 30, 48, 50, 60, 72, 75, 90, 100, 120, 144, 200, 240, 300)
KNOWN_RATES: tuple[Fraction, ...] = tuple(
    sorted(
        {Fraction(n * 1000, 1001) for n in (24, 30, 48, 60, 120, 240)}
        | {Fraction(n) for n in _COUNTED}
        | {Fraction(n) for n in (5, 6, 8, 10, 12, 15, 16, 18, 20)}
        | {Fraction(15000, 1001), Fraction(12000, 1001), Fraction(25, 2), Fraction(15, 2)}
    )
)
"""Frame rates that a rounded time stamp or a jittery clock is taken for."""


def probe(
    path: Path | str,
    stream: int | None = None,
    *,
    max_pixels: int = MAX_PIXELS,
    image_rate: Fraction = Fraction(25),
) -> SourceInfo:
    """The facts of ``path``: a media file, a picture, a folder of pictures, or a glob of pictures.

    Args:
        stream: the video stream to work on, by ffmpeg's index (``0:index``); by default the one marked as default,
            else the largest; cover pictures do not count, nor does a single picture beside a sequence.
        max_pixels: larger pictures are refused.
        image_rate: pictures per second of an image sequence.

    Raises:
        UserError: with the code ``BAD_INPUT`` if it is no usable video, ``USAGE`` if ``stream`` names none.
    """
    path = Path(path)
    pictures = images.find(path)
    if pictures:
        return images.probe_images(path, pictures, image_rate, max_pixels)
    with open_media(path, max_pixels) as container:
        if not all(s.codec_context is None or s.codec_context.width for s in container.streams.video):
            _refuse_large(path, max_pixels)
        return _probe_container(path, container, stream, max_pixels)


def _refuse_large(path: Path, max_pixels: int) -> None:
    """UserError with the size if a stream shows its pictures only to those who would take larger ones."""
    with open_media(path, LARGEST) as container:
        sizes = [(s.codec_context.width, s.codec_context.height) for s in container.streams.video if s.codec_context]
    if sizes:
        facts.check_size(path, *max(sizes, key=lambda size: size[0] * size[1]), max_pixels)


def _probe_container(
    path: Path, container: av.container.InputContainer, wanted: int | None, max_pixels: int
) -> SourceInfo:
    streams = list(container.streams)
    chosen = _choose(path, streams, wanted)
    facts.check_size(path, chosen.codec_context.width, chosen.codec_context.height, max_pixels)
    line = facts.dump_line(container, chosen.index)
    packets = scan_packets(path, container, chosen)
    if not packets.times:
        raise UserError(
            f"{path}: its video stream {chosen.index} ({chosen.codec_context.name}) holds no frames.",
            "check that the file is complete.",
            BAD_INPUT,
        )
    head = decode_head(path, chosen.index, max_pixels)
    if not head:
        raise UserError(
            f"{path}: no frame of video stream {chosen.index} ({chosen.codec_context.name}) can be decoded.",
            "check that it plays elsewhere; convert it to another codec.",
            BAD_INPUT,
        )
    first = head[0]
    # PyAV frees the name of a PNG's colour profile twice: the process would die.
    telling = [] if chosen.codec_context.name in ("png", "apng") else head
    facts.check_size(path, first.width, first.height, max_pixels)
    try:
        form = layout(first.format.name, any(is_transparent(frame) for frame in head))
    except ValueError as error:
        raise UserError(
            f"{path}: {error}.",
            f"{ffmpeg.typed()} -i {shlex.quote(str(path))} -map 0 -c copy -c:v ffv1 -pix_fmt gbrp16le converted.mkv "
            "and input=converted.mkv",
            BAD_INPUT,
        ) from None
    rotation, mirrored = facts.frame_orientation(telling)
    time_base = chosen.time_base or Fraction(1, 90000)
    rate = nominal_rate(packets.times, time_base, chosen.average_rate, chosen.guessed_rate, packets.duration)
    cadence = find_cadence(SourceTimes(packets.times, time_base, 1 / rate))
    rate = cadence.rate if cadence is not None else rate
    video = VideoInfo(
        index=chosen.index,
        codec=facts.codec_name(chosen),
        width=first.width,
        height=first.height,
        pixel_format=first.format.name,
        working_format=form.working.name,
        time_base=time_base,
        rate=rate,
        sample_aspect=facts.sample_aspect(chosen),
        rotation=rotation,
        mirrored=mirrored,
        colour=facts.colour(first, chosen.codec_context, form.full_range, line),
        interlaced=facts.is_interlaced(chosen, head),
        hdr=facts.hdr(telling),
        stereo=facts.stereo(telling),
        start=packets.times[0] * time_base,
        duration=chosen.duration * time_base if chosen.duration and chosen.duration > 0 else None,
        frames=chosen.frames or None,
    )
    others = tuple(_stream_info(other) for other in streams if other.index != chosen.index)
    covers = {other.index for other in streams if is_cover(other)}
    moving = [other for other in others if other.kind in ("audio", "video") and other.index not in covers]
    starts = [video.start, *(other.start for other in moving if other.start is not None)]
    return SourceInfo(
        path=path,
        container=container.format.name,
        video=video,
        others=others,
        start=min(starts),
        duration=Fraction(container.duration, 1_000_000) if container.duration and container.duration > 0 else None,
        chapters=len(container.chapters()),
        tags=dict(container.metadata),
        timecode=_timecode(container, chosen),
    )


def _timecode(container: av.container.InputContainer, video: Any) -> str | None:
    """The time code that the video stream, a track of time codes or the file as a whole states."""
    tracks = [stream.metadata for stream in container.streams if stream.type not in ("video", "audio")]
    for tags in (video.metadata, *tracks, container.metadata):
        for key, value in tags.items():
            if key.lower() == "timecode" and value:
                return str(value)
    return None


# ------------------------------------------------------------------------------------------------------- streams


def is_cover(stream: av.stream.Stream) -> bool:
    """Whether a stream is a cover or thumbnail picture rather than moving pictures."""
    marks = stream.disposition
    return bool(marks & av.stream.Disposition.attached_pic or marks & av.stream.Disposition.timed_thumbnails)


def _choose(path: Path, streams: Sequence[Any], wanted: int | None) -> Any:
    films = [s for s in streams if s.type == "video" and s.codec_context is not None and not is_cover(s)]
    listed = " or ".join(f"stream={s.index}" for s in films) + ", of "
    listed += ", ".join(f"{s.index} ({s.codec_context.width}x{s.codec_context.height})" for s in films)
    if wanted is not None:
        for stream in films:
            if stream.index == wanted:
                return stream
        other = next((s for s in streams if s.index == wanted), None)
        kind = "" if other is None else "a cover picture" if is_cover(other) else f"of the type {other.type}"
        problem = f"{path}: stream {wanted} is {f'{kind}, no video' if kind else 'not there'}."
        raise UserError(problem, f"{listed}." if films else "another file: this one has no video stream.", USAGE)
    films = [s for s in films if s.codec_context.width and s.codec_context.height]
    if any(s.frames > 1 for s in films):
        films = [s for s in films if s.frames != 1]  # an AVIF sequence begins with one of its pictures, as a still
    if films:
        marked = [s for s in films if s.disposition & av.stream.Disposition.default]
        pool = marked if len(marked) == 1 else films
        return max(pool, key=lambda s: (s.codec_context.width * s.codec_context.height, -s.index))
    kinds = sorted({s.type for s in streams})
    if any(is_cover(s) for s in streams):
        contents = "only a cover picture, no video"
    elif any(s.type == "video" for s in streams):
        contents = "a video stream of an unknown codec, without a picture size, or larger than max_pixels= allows"
    else:
        contents = f"no video (only {', '.join(kinds)})" if kinds else "no streams"
    raise UserError(f"{path} holds {contents}.", "give a file with moving pictures.", BAD_INPUT)


def _stream_info(stream: av.stream.Stream) -> StreamInfo:
    base = stream.time_base
    tags = dict(stream.metadata)
    kind = stream.type or "data"
    return StreamInfo(
        index=stream.index,
        kind="data" if kind == "unknown" else kind,
        codec=facts.codec_name(stream),
        language=tags.get("language") or None,
        title=tags.get("title") or None,
        dispositions=tuple(flag.name for flag in av.stream.Disposition if stream.disposition & flag and flag.name),
        start=stream.start_time * base if base and stream.start_time is not None else None,
        duration=stream.duration * base if base and stream.duration and stream.duration > 0 else None,
        tags=tags,
        channels=_channels(stream),
        sample_rate=getattr(stream.codec_context, "sample_rate", 0) or 0,
    )


def _channels(stream: Any) -> str:
    layout = getattr(stream.codec_context, "layout", None) if stream.type == "audio" else None
    return layout.name if layout is not None and layout.nb_channels else ""


# -------------------------------------------------------------------------------------------- packets and the rate


@dataclass(frozen=True)
class Scan:
    """Presentation times of the first packets, ascending, in ticks; the commonest packet duration, 0 if none."""

    times: tuple[int, ...]
    duration: int


def scan_packets(path: Path, container: av.container.InputContainer, stream: av.stream.Stream) -> Scan:
    """Look at the first ``PROBE_PACKETS`` packets of ``stream`` without decoding."""
    seen: list[int | None] = []
    durations: list[int] = []
    try:
        for packet in container.demux(stream):
            if packet.size == 0 or packet.is_discard:
                continue
            seen.append(packet.pts if packet.pts is not None else packet.dts)
            if packet.duration:
                durations.append(packet.duration)
            if len(seen) >= PROBE_PACKETS:
                break
    except (av.error.FFmpegError, ValueError):
        pass  # what came before it counts; the index finds the damage
    times = sorted({time for time in seen if time is not None})
    if not times:  # a raw stream without any clock: count
        times = [n * (durations[0] if durations else 1) for n in range(len(seen))]
    if len(times) >= PROBE_PACKETS - 40:  # cut short: of the last few, some that are shown earlier are still to come
        times = times[:-20]
    tick = stream.time_base or Fraction(1)
    pile = pile_start(times, 2 if tick * 500 <= 1 else 0)  # frames stamped all at once tell nothing of the rate
    times = times[: pile + 1] if pile else times
    common = max(set(durations), key=durations.count) if durations else 0
    return Scan(tuple(times), common)


def nominal_rate(
    times: Sequence[int],
    time_base: Fraction,
    average: Fraction | None = None,
    guessed: Fraction | None = None,
    duration: int = 0,
) -> Fraction:
    """The film's nominal frame rate.

    A rate that explains every time stamp to within one tick of the container's clock is the rate: first a known one
    (n/1001 among them) that the file states, then other known ones, then what it states, then the measured one.
    Otherwise the rate varies, and the median distance between frames tells: a known rate within 15 % of it (the stated
    one first), else that, to a thousandth.

    Args:
        times: presentation times in ticks, ascending, at least one.
        average, guessed: what the container and ffmpeg say; nonsense (0, 57600, 90000) is recognised as such.
        duration: the packets' own duration in ticks, for a film of one frame; 0 if unknown.
    """
    stated = [Fraction(rate) for rate in (guessed, average) if rate and Fraction(1, 1000) <= rate <= 1000]
    span = (times[-1] - times[0]) * time_base
    if len(times) < 2 or span <= 0:
        if duration > 0 and 1 / (duration * time_base) <= 1000:
            return _nearest_rate(1 / (duration * time_base), time_base, stated)
        return stated[0] if stated else Fraction(25)
    measured = Fraction(len(times) - 1) / span
    nearest = sorted(KNOWN_RATES, key=lambda rate: abs(rate - measured))[:4]
    # A stated rate that nobody films at (19001/317) is an average over rounded time stamps: it comes last.
    for rate in (*(rate for rate in stated if rate in KNOWN_RATES), *nearest, *stated):
        if _explains(rate, times, time_base):
            return rate
    if _explains(measured, times, time_base):
        return _tidy(measured)
    step = Fraction(median(b - a for a, b in zip(times, times[1:]))) * time_base
    usual = 1 / step if step > 0 else measured
    for rate in (*stated, min(KNOWN_RATES, key=lambda rate: abs(rate / usual - 1))):
        if rate in KNOWN_RATES and abs(rate / usual - 1) <= Fraction(3, 20):
            return rate
    return _tidy(usual)


def _nearest_rate(rate: Fraction, time_base: Fraction, stated: Iterable[Fraction]) -> Fraction:
    """``rate``, known only through one duration in whole ticks, as the stated or known rate that rounds to it."""
    ticks = 1 / (rate * time_base)
    for candidate in (*stated, *sorted(KNOWN_RATES, key=lambda k: abs(k - rate))):
        if abs(1 / (candidate * time_base) - ticks) < 1:
            return candidate
    return _tidy(rate)


def _explains(rate: Fraction, times: Sequence[int], time_base: Fraction) -> bool:
    """Whether all ``times`` are ``t0 + k / rate`` rounded, down or to the nearest, to ticks."""
    return is_even(times, rate * time_base)


def _tidy(rate: Fraction) -> Fraction:
    """``rate`` to a thousandth, or to 1/1000 of itself if it is slow."""
    if rate >= 1:
        return Fraction(round(rate * 1000), 1000)
    return rate.limit_denominator(max(1000, math.ceil(1000 / rate)))


def with_rate(info: SourceInfo, rate: Fraction) -> SourceInfo:
    """``info`` with another nominal rate: for an image sequence, the pictures per second."""
    time_base = 1 / rate if info.images else info.video.time_base
    return replace(info, video=replace(info.video, rate=rate, time_base=time_base))
