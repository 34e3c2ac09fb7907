"""What will be done to one film, worked out before any frame is decoded. Pure: facts in, plan out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.jobs.options import Options
from vfi_pipeline.jobs.values import clock_text, counted, moments_text, rate_text, size_text
from vfi_pipeline.media.containers import StreamPlan
from vfi_pipeline.media.encoders import image_folder
from vfi_pipeline.media.encoding import Encoding, VideoSpec
from vfi_pipeline.media.frames import pixel_format
from vfi_pipeline.media.info import SourceInfo
from vfi_pipeline.media.output_plan import OutputPlan, Timing
from vfi_pipeline.media.scaling import Scaling
from vfi_pipeline.media.timeline import Moments, SourceTimes, Timeline


@dataclass(frozen=True)
class SegmentLength:
    """How long a segment is at most: it is lost when the power goes.

    Attributes:
        most_frames: output frames, for small pictures: 20 s at 60 fps.
        full_hd_frames: output frames at 1920 x 1080; in between and beyond in inverse proportion to the pixels, as the
            work is.
        least_frames: output frames of the largest pictures.
    """

    most_frames: int = 1200
    full_hd_frames: int = 300
    least_frames: int = 60


LENGTH = SegmentLength()


@dataclass(frozen=True)
class Segment:
    """Output frames ``start .. stop - 1``, and the source frames ``first .. last`` (both included) they are made of."""

    number: int
    start: int
    stop: int
    first: int
    last: int

    @property
    def frames(self) -> int:
        return self.stop - self.start

    def within(self, before: int, after: int, least: int, most: int) -> Segment:
        """The same segment with source frames around it, from ``least`` to ``most`` (both included) at the most."""
        first, last = max(least, self.first - before), min(most, self.last + after)
        return replace(self, first=min(self.first, first), last=max(self.last, last))


@dataclass(frozen=True)
class Plan:
    """Everything that is decided before the work starts. ``cuts`` is None where they are looked for.

    ``max_gap_s``: a source frame whose next one comes later than this is held; None holds none. ``notes``: what of the
    source is not taken as it stands, one line each, to be told before the work.
    """

    output: OutputPlan
    timeline: Timeline
    target: Path
    segments: tuple[Segment, ...]
    cuts: tuple[int, ...] | None
    max_gap_s: Fraction | None = None
    notes: tuple[str, ...] = ()
    scaling: Scaling | None = None
    exposure_s: Fraction | None = None

    @property
    def info(self) -> SourceInfo:
        """The source."""
        return self.output.info

    @property
    def spec(self) -> VideoSpec:
        """The pictures that are written."""
        return self.output.spec

    @property
    def encoding(self) -> Encoding:
        """How they are stored."""
        return self.output.encoding

    @property
    def streams(self) -> StreamPlan:
        """The source's streams, kept or lost."""
        return self.output.streams

    @property
    def timing(self) -> Timing:
        """When the pictures are shown."""
        return self.output.timing

    @property
    def reported(self) -> tuple[str, ...]:
        """Everything that does not come out as it was, one line each."""
        return (*self.notes, *self.streams.losses(), *self.encoding.notes)

    @property
    def noun(self) -> str:
        """What its frames are called: pictures, where each is a file."""
        return "picture" if self.encoding.finish == "images" else "frame"

    @property
    def shown(self) -> str:
        """What is made, for people: the film's path, or ``frames/1.png and 2.png``, ``frames/1.png to 240.png``."""
        pattern, count = self.encoding.pattern, self.timeline.count
        if self.encoding.finish != "images":
            return str(self.target)
        first, last = (pattern % number if "%" in pattern else pattern for number in (1, count))
        more = "" if count == 1 else f" {'and' if count == 2 else 'to'} {last}"
        return f"{image_folder(self.target) / first}{more}"

    @property
    def gaps(self) -> frozenset[int]:
        """Source frames that are held because the next one comes later than ``max_gap_s``."""
        return frozenset(self.timeline.times.gaps(self.max_gap_s))

    @property
    def disk_bytes(self) -> int:
        """About how much free space the work needs, segments and joined film together."""
        return estimate_bytes(self.spec, self.encoding, self.timeline.count, self.info)


def timeline_of(options: Options, info: SourceInfo, times: SourceTimes) -> Timeline:
    """The output's timeline for the asked rate, factor or slow motion, and trim.

    Raises:
        UserError: if nothing lies between ``start`` and ``end``.
    """
    source_rate = info.video.rate
    slowdown = options.slowmo or Fraction(1)
    rate = options.fps or source_rate * (options.multi or 1)
    begin = None if options.start is None else info.start + options.start
    end = None if options.end is None else info.start + options.end
    if begin is not None and begin >= times.end:
        raise UserError(
            f"{info.path.name} ends at {float(times.end - info.start):.3f} s; start= is {float(begin - info.start):g}.",
            f"an earlier start=: start={_typed(max(times.first, times.end - 1) - info.start)} for its last second.",
        )
    if end is not None and end <= times.first:
        raise UserError(
            f"The pictures of {info.path.name} begin at {float(times.first - info.start):.3f} s, "
            f"after end={float(end - info.start):g}.",
            f"a later end=: end={_typed(times.first + 1 - info.start)} for its first second.",
        )  # fmt: skip
    timeline = Timeline(times, rate, slowdown, begin, end)
    _refuse_stray_times(info, timeline)
    _refuse_lone_times(options, info, timeline)
    return timeline


def _typed(seconds: Fraction) -> str:
    """A moment for people to type, rounded up to a millisecond, so that what begins there has begun."""
    return f"{float(math.ceil(max(seconds, Fraction(0)) * 1000)) / 1000:g}"


def moments_of(at: Sequence[Fraction], info: SourceInfo, times: SourceTimes) -> Timeline:
    """The timeline of single frames at moments, counted in seconds from the start of the file.

    Raises:
        UserError: if one lies at or behind the film's end.
    """
    late = [moment for moment in at if info.start + moment >= times.end]
    if late:
        last = times.time(-1) - info.start
        raise UserError(
            f"{info.path.name} ends at {float(times.end - info.start):.3f} s; at= asks for {float(late[0]):g}.",
            f"at={moments_text([max(last, Fraction(0))])} for the last frame, or an earlier moment.",
        )
    return Moments(times, info.video.rate, [info.start + moment for moment in at])


@dataclass(frozen=True)
class BrokenTimes:
    """Which times of pictures are put down to a broken time stamp; chosen by hand.

    Attributes:
        longest_still_s: s that a picture stays; one stamp that is wrong by more asks for days of film.
        lone_s: s by which a first or last picture lies from the others, where those come as evenly as a camera's.
        lone_spans: spans of the others by which it lies from them as well.
        least_pictures: of a film in which one is looked for.
    """

    longest_still_s: int = 3600
    lone_s: int = 10
    lone_spans: int = 10
    least_pictures: int = 6


BROKEN = BrokenTimes()


def _refuse_lone_times(options: Options, info: SourceInfo, timeline: Timeline) -> None:
    """UserError if the first or last picture lies far from an even film and no ``start=`` or ``end=`` wants it."""
    times, pts = timeline.times, timeline.times.pts
    if len(pts) < BROKEN.least_pictures:
        return

    def seconds(moment: Fraction) -> str:
        return f"{float(moment - info.start):.3f}"

    if options.end is None and _is_lone(times, pts[:-1], pts[-1] - pts[-2]):
        without = times.time(-2) + 1 / info.video.rate
        what, where = "last", times.time(-1)
        choices = f"end={seconds(without)} to leave it out, end={seconds(times.end)}"
    elif options.start is None and _is_lone(times, pts[1:], pts[1] - pts[0]):
        what, where = "first", times.first
        choices = f"start={seconds(times.time(1))} to leave it out, start={seconds(max(info.start, where))}"
    else:
        return
    rest = times.time(-1) - times.time(1) if what == "first" else times.time(-2) - times.first
    raise UserError(
        f"{info.path.name}: its {what} picture is stamped {seconds(where)} s, far from the others, which are a film of "
        f"{float(rest):.3f} s: a time stamp is broken.",
        f"{choices} if it is meant.",
        BAD_INPUT,
    )


def _is_lone(times: SourceTimes, rest: Sequence[int], gap: int) -> bool:
    steps = [b - a for a, b in zip(rest, rest[1:])]
    even = max(steps) <= 2 * min(steps) + 1
    return even and gap * times.time_base > BROKEN.lone_s and gap > BROKEN.lone_spans * (rest[-1] - rest[0])


def _refuse_stray_times(info: SourceInfo, timeline: Timeline) -> None:
    """UserError if a picture between the timeline's ends stays for longer than ``BROKEN.longest_still_s``."""
    times = timeline.times
    if isinstance(times.pts, range):  # even times
        return
    most = BROKEN.longest_still_s / times.time_base
    for before, after in zip(times.pts, times.pts[1:]):
        if after - before <= most:
            continue
        left, right = max(before * times.time_base, timeline.begin), min(after * times.time_base, timeline.end)
        if right - left > BROKEN.longest_still_s:
            until, since = float(left + 1 / info.video.rate - info.start), float(after * times.time_base - info.start)
            raise UserError(
                f"{info.path.name} shows one picture from {float(left - info.start):.3f} s to {since:.3f} s "
                f"({clock_text(float(right - left))}): a time stamp is broken.",
                f"end={until:.3f} for what comes before, start={since:.3f} for the rest.",
                BAD_INPUT,
            )


GAP_FRAMES = 3
"""A gap in the time stamps is also longer than this many nominal frames, whatever ``max_gap`` says."""


def max_gap_of(options: Options, info: SourceInfo) -> Fraction | None:
    """The longest time between two source frames, in seconds, that is still filled with frames; None fills all."""
    return None if options.max_gap is None else max(options.max_gap, GAP_FRAMES / info.video.rate)


def most_frames(pixels: int) -> int:
    """How many output frames of so many pixels a segment has at most, give or take half."""
    return max(LENGTH.least_frames, min(LENGTH.most_frames, LENGTH.full_hd_frames * 1920 * 1080 // pixels))


def exposure_of(options: Options, timeline: Timeline) -> Fraction | None:
    """How long each frame is exposed, in seconds of the source; None: it shows a moment."""
    return None if options.shutter is None else options.shutter / 360 / (timeline.rate * timeline.slowdown)


def segments_of(
    timeline: Timeline, length: Fraction, pixels: int, exposure: Fraction | None = None
) -> tuple[Segment, ...]:
    """Cuts the work at source frames about ``length`` seconds apart; the same film and settings give the same segments.

    Args:
        length: seconds of source; shortened so that a segment has about ``most_frames(pixels)`` output frames at most.
        pixels: of a picture.
        exposure: seconds of source that a frame shows, half of them before its moment; None: a moment.
    """
    if exposure is not None:
        times, half = timeline.times, exposure / 2
        plain = segments_of(timeline, length, pixels)
        return tuple(
            replace(
                segment,
                first=times.shown_at(times.time(segment.first) - half),
                last=min(len(times) - 1, times.starting_at(times.time(segment.last) + half)),
            )
            for segment in plain
        )
    times = timeline.times
    if isinstance(timeline, Moments):  # they may lie far apart, and in any order
        return tuple(Segment(k, k, k + 1, *timeline.sources(k, k + 1)) for k in range(timeline.count))
    length = min(length, most_frames(pixels) / (timeline.rate * timeline.slowdown))
    bounds = [0]
    frame, moment = timeline.slot(0).source, timeline.begin + length
    while moment + length / 2 <= timeline.end:  # a short rest joins the last segment
        frame = max(frame + 1, times.starting_at(moment))
        slot = timeline.first_slot_at(frame)
        if slot >= timeline.count:
            break
        if slot > bounds[-1]:
            bounds.append(slot)
        moment = max(moment + length, times.time(frame) + length / 2)
    segments = []
    for number, (start, stop) in enumerate(zip(bounds, [*bounds[1:], timeline.count])):
        segments.append(Segment(number, start, stop, *timeline.sources(start, stop)))
    return tuple(segments)


def cuts_of(entries: Sequence[int | Fraction] | None, info: SourceInfo, times: SourceTimes) -> tuple[int, ...] | None:
    """The user's cut list as source frame numbers: a time means the frame that starts nearest to it.

    Raises:
        UserError: if an entry lies outside the film.
    """
    if entries is None:
        return None
    frames = set()
    for entry in entries:
        if isinstance(entry, int):
            frame = entry
        else:
            moment = info.start + entry
            frame = times.starting_at(moment)
            if frame == len(times) and moment < times.end:
                frame -= 1
            if 0 < frame < len(times) and moment - times.time(frame - 1) < times.time(frame) - moment:
                frame -= 1
        if frame >= len(times):
            raise UserError(
                f"The cut list names {entry if isinstance(entry, int) else f'{float(entry):g} s'}, "
                f"but the film has {counted(len(times), 'frame')} in {float(times.span):.3f} s.",
                "correct the list.", BAD_INPUT,
            )  # fmt: skip
        if frame > 0:
            frames.add(frame)
    return tuple(sorted(frames))


# Bits per pixel that visually lossless settings take on ordinary films, on the safe side.
_BITS_PER_PIXEL = {
    "h264": 0.45, "hevc": 0.35, "av1": 0.3, "vp9": 0.35, "prores": 4.5, "dnxhd": 4.5, "mjpeg": 3.0, "mpeg4": 0.6,
    "mpeg2video": 0.8, "gif": 4.0, "webp": 2.0,
}  # fmt: skip


def estimate_bytes(spec: VideoSpec, encoding: Encoding, frames: int, info: SourceInfo) -> int:
    """About how many bytes the work takes on the disk: segments, joined film, and a copy of the other streams."""
    if encoding.finish == "nothing":
        return 0
    pixels = spec.width * spec.height
    form = pixel_format(spec.pixel_format)
    raw = sum(h * w for h, w in (form.plane_size(i, spec.width, spec.height) for i in range(len(form.planes))))
    raw *= form.dtype.itemsize
    lossless = frames * raw * 0.6
    bits = _BITS_PER_PIXEL.get(encoding.codec)
    once = lossless if encoding.lossless or bits is None else frames * pixels * bits / 8
    if encoding.finish == "images":
        return int(once)
    try:
        others = info.path.stat().st_size // 4 if info.others else 0
    except OSError:
        others = 0
    segments = lossless if encoding.finish in ("gif", "webp", "apng") else once
    return int(segments + once + others) + 100_000


def describe(plan: Plan, options: Options, done: int, free: int | None) -> list[str]:
    """The plan for people, one fact per line."""
    info, timeline, video = plan.info, plan.timeline, plan.info.video
    source = timeline.times
    turned = f", shown turned by {video.rotation} degrees" if video.rotation else ""
    trim = "" if options.start is None and options.end is None else (
        f", from {float(timeline.begin - info.start):.3f} s to {float(timeline.end - info.start):.3f} s"
    )  # fmt: skip
    gaps = plan.gaps
    interpolated = sum(1 for slot in timeline.slots() if slot.t and slot.source not in gaps)
    held = sum(1 for slot in timeline.slots() if slot.t and slot.source in gaps) if gaps else 0
    target = "none (benchmark)" if plan.encoding.finish == "nothing" else plan.shown
    shown = info.images[0] if len(info.images) == 1 else info.path
    lines = [
        f"input     {shown}: {video.codec} {video.width} x {video.height} {video.pixel_format}, "
        f"{rate_text(video.rate)} fps, {counted(len(source), 'frame')}, "
        f"{clock_text(float(source.span))}{turned}{trim}",
        f"output    {target}: {plan.encoding.encoder} {_size_text(plan)}{plan.encoding.pixel_format}"
        f"{_settings(plan.encoding)}, " + _timeline_text(timeline, info),
        _frames_text(timeline, interpolated, held, plan.exposure_s)
        + (f", {held} held in {counted(len(gaps), 'gap')} (max_gap=off fills them)" if gaps else "")
        + _last_text(timeline),
        f"segments  {len(plan.segments)}; {done} done, {len(plan.segments) - done} left",
        f"cuts      {_cuts_text(plan, options)}",
    ]
    lines += [f"streams   {line}" for line in plan.streams.lines()]
    lines += [f"note      {note}" for note in (*plan.notes, *plan.encoding.notes)]
    if plan.encoding.finish != "nothing":
        have = "" if free is None else f"; {size_text(free)} free"
        lines.append(f"disk      about {size_text(plan.disk_bytes)} while working{have}")
    return lines


def _frames_text(timeline: Timeline, interpolated: int, held: int, exposure: Fraction | None) -> str:
    if exposure is None:
        copied = timeline.count - interpolated - held
        return f"frames    {copied} copied from the source, {interpolated} between two source frames"
    return f"frames    {timeline.count}, each the mean of what is seen in {1000 * float(exposure):.1f} ms of the source"


def _timeline_text(timeline: Timeline, info: SourceInfo) -> str:
    if isinstance(timeline, Moments):
        moments = moments_text([moment - info.start for moment in timeline.moments])
        return f"{'the moment' if timeline.count == 1 else 'the moments'} {moments} s"
    if timeline.apart:
        return counted(timeline.count, "picture")
    return f"{rate_text(timeline.rate)} fps, {counted(timeline.count, 'frame')}, {float(timeline.duration):.3f} s"


def _size_text(plan: Plan) -> str:
    return "" if plan.scaling is None else "{} x {} ".format(*plan.scaling.canvas)


def _last_text(timeline: Timeline) -> str:
    """How long the last picture stays, where that is more than a frame."""
    times = timeline.times
    if isinstance(timeline, Moments):
        return ""
    stays = timeline.end - times.time(-1)
    usual = times.span / len(times)
    if len(times) < 2 or stays <= 2 * min(usual, times.time(1) - times.first):
        return ""
    return f"; the last picture stays for {float(stays):.3f} s"


def _settings(encoding: Encoding) -> str:
    shown = [f"{key} {value}" for key, value in encoding.options if key in ("crf", "qp", "cq", "preset", "profile")]
    return "".join(f" {text}" for text in shown)


def _cuts_text(plan: Plan, options: Options) -> str:
    if plan.cuts is not None:
        return f"{len(plan.cuts)} from {options.cuts}" if options.cuts else "none looked for (scene=off)"
    return f"looked for while working (scene_threshold={options.scene_threshold:g}), {options.cut} at each"
