"""Opens the finished file and compares it with the plan: the job says done only after this."""

from __future__ import annotations

import logging
import re
from array import array
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.error

from vfi_pipeline.errors import ENVIRONMENT, UserError
from vfi_pipeline.media import ffmpeg, images
from vfi_pipeline.media.assemble import chapters_kept
from vfi_pipeline.media.codecs import ROTATES
from vfi_pipeline.media.containers import LANGUAGES, StreamPlan
from vfi_pipeline.media.encoding import UNTAGGED
from vfi_pipeline.media.frames import Colour
from vfi_pipeline.media.info import SourceInfo, VideoInfo
from vfi_pipeline.media.languages import is_named, one_code
from vfi_pipeline.media.opening import MAX_PIXELS, open_media
from vfi_pipeline.media.output_plan import OutputPlan, Timing
from vfi_pipeline.media.pixel_formats import shape_or_none
from vfi_pipeline.media.probe import probe
from vfi_pipeline.media.tracks import Track, tracks
from vfi_pipeline.media.webp import chunks

log = logging.getLogger(__name__)

# Priming samples of AAC and Opus count as part of the track in some containers and not in others: up to 80 ms.
SYNC_TOLERANCE = Fraction(1, 10)

PRIMING = 2112

# A cut of packets may be off by whole ones on either side.
LOOSE_PACKETS = 2


@dataclass(frozen=True)
class ExpectedStream:
    """A stream beside the video; what is None is not checked.

    Times are in seconds. ``after_video`` is its start minus the video's, and ``sync`` how far that may be off.
    ``track`` is what it holds, from the first picture on, and ``slack`` how far its end and the sound in it may be off.
    """

    kind: str
    codec: str
    language: str | None = None
    after_video: Fraction | None = None
    track: Track | None = None
    slack: Fraction = SYNC_TOLERANCE
    sync: Fraction = SYNC_TOLERANCE


@dataclass(frozen=True)
class Expectation:
    """What the output must be. ``None`` is not checked."""

    frames: int
    rate: Fraction
    width: int
    height: int
    finish: str = "copy"  # as Encoding.finish
    codec: str | None = None
    pixel_format: str | None = None
    sample_aspect: Fraction | None = None
    rotation: int | None = None
    colour: Colour = UNTAGGED  # tags that are None are not checked
    streams: tuple[ExpectedStream, ...] = ()
    chapters: int | None = None
    timecode: str | None = None


@dataclass(frozen=True)
class Verified:
    """What was found, for the report at the end."""

    frames: int
    duration: Fraction
    streams: int


def expect(output: OutputPlan) -> Expectation:
    """What ``assemble`` must have made of the same plan."""
    info, spec, encoding, streams, timing = output.info, output.spec, output.encoding, output.streams, output.timing
    width, height = encoding.stored_size(spec)
    if encoding.finish != "copy":
        return Expectation(timing.frames, timing.rate, width, height, encoding.finish)
    suffix = streams.suffix
    tagged = suffix in ROTATES  # MPEG-TS and NUT keep few tags beside the bitstream's own
    stored = shape_or_none(encoding.pixel_format)
    plain = encoding.codec in ("h264", "hevc", "av1", "vp9", "ffv1") and stored and stored.family == "yuv"
    exact = plain and stored is not None and not stored.alpha and encoding.pixel_format.startswith("yuv")
    sources = {stream.index: stream for stream in info.others}
    held = _held(info, streams, timing)
    expected = []
    for fate in streams.kept:
        after = None
        source = sources.get(fate.index)
        cut = timing.start is not None or timing.end is not None or timing.stretch != 1
        if fate.kind == "audio" and source is not None and source.start is not None and not cut:
            after = source.start - timing.first
        language = fate.language if suffix in LANGUAGES and is_named(fate.language) else None
        track = held.get(fate.index)
        slack = SYNC_TOLERANCE * max(Fraction(1), timing.stretch)
        slack += LOOSE_PACKETS * track.longest if track is not None else 0
        # An encoder's priming comes before the sound: of AAC up to 2112 samples, which at 8 kHz are a quarter second.
        primed = fate.action == "convert" and source is not None and source.sample_rate > 0
        sync = max(SYNC_TOLERANCE, Fraction(PRIMING, source.sample_rate)) if primed and source else SYNC_TOLERANCE
        slack = max(slack, sync)
        if after is not None and track is not None and track.first - after > sync:
            # A stream that a demuxer has not met yet (a programme that begins later) is given the start of the file.
            after = track.first
        expected.append(ExpectedStream(fate.kind, fate.codec, language, after, track, slack, sync))
    return Expectation(
        timing.frames, timing.rate, width, height, "copy", encoding.codec, encoding.pixel_format if exact else None,
        encoding.stored_aspect(spec),
        (0 if encoding.turned else spec.rotation) if tagged else None,
        encoding.colour if tagged and plain else UNTAGGED,
        tuple(expected), chapters_kept(output), streams.timecode,
    )  # fmt: skip


def _held(info: SourceInfo, streams: StreamPlan, timing: Timing) -> dict[int, Track | None]:
    """What each kept track has to hold, by the source's stream number, on the clock of ``ExpectedStream.track``.

    -1 is the silent track. Subtitles that are converted are left out: a text format may join lines shown together.
    """
    wanted = [
        fate.index
        for fate in streams.kept
        if fate.index >= 0 and (fate.kind == "audio" or (fate.kind == "subtitle" and fate.action == "copy"))
    ]
    low = None if timing.start is None else timing.start - Fraction(1, 2000)  # as media.assemble cuts
    source_tracks = {} if info.images else tracks(info.path, wanted, low, timing.end)
    held: dict[int, Track | None] = {
        index: track and track.moved(timing.first, timing.stretch) for index, track in source_tracks.items()
    }
    if any(fate.index < 0 for fate in streams.kept):
        begin = -timing.video_start(info)
        held[-1] = Track(1, begin, timing.duration, Fraction(0), Fraction(0))
    return held


def verify(path: Path, expectation: Expectation, *, quick: bool = False) -> Verified:
    """Check ``path`` against ``expectation``.

    Args:
        quick: decode only from the first and from the last key frame; otherwise every frame.

    Raises:
        UserError: (ENVIRONMENT) naming everything that is wrong.
    """
    if expectation.finish == "nothing":
        return Verified(expectation.frames, expectation.frames / expectation.rate, 0)
    try:
        if expectation.finish == "images":
            wrong, facts = _check_images(path, expectation, quick)
        elif expectation.finish == "webp":
            wrong, facts = _check_webp(path, expectation)
        else:
            wrong, facts = _check_film(path, expectation, quick)
    except UserError as error:
        raise _failure(path, [str(error.args[0])]) from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise _failure(path, [f"it cannot be read: {error}"]) from error
    if wrong:
        raise _failure(path, wrong)
    return facts


def _failure(path: Path, wrong: Sequence[str]) -> UserError:
    return UserError(
        f"The result was checked and is not as planned ({path.name}): {'; '.join(wrong)}.",
        "the same command makes it again from the finished segments; if it fails again, another codec= or container, "
        "and please report it.",
        ENVIRONMENT,
    )


# ------------------------------------------------------------------------------------------------------------- films


def _check_film(path: Path, expected: Expectation, quick: bool) -> tuple[list[str], Verified]:
    stamps = _packet_times(path)
    wrong = _check_times(stamps, expected)
    if not stamps.pts:
        return wrong, Verified(0, Fraction(0), 0)
    info = probe(path)
    wrong += _check_picture(info.video, expected)
    wrong += _check_streams(info, expected, stamps.pts[0] * stamps.tick)
    wrong += [] if wrong else _check_tracks(path, info, expected, stamps.pts[0] * stamps.tick)
    foreign = {stream.codec for stream in info.others} - {info.video.codec}
    decoded = _decode_ends(path, stamps.keys) if quick else _decode_all(path, foreign)
    if not quick and decoded != expected.frames and expected.finish == "copy":
        wrong.append(f"{decoded} frames can be decoded, {expected.frames} were planned")
    return wrong, Verified(len(stamps.pts), stamps.length(expected.rate), len(info.others))


@dataclass(frozen=True)
class _Stamps:
    """Ascending time stamps in ``tick`` seconds, the last packet's duration, and the first and last key frames.

    Numbers in an array: a film of two hours has half a million of them.
    """

    pts: array[int]
    tick: Fraction
    last: int
    keys: tuple[int, ...]

    def length(self, rate: Fraction) -> Fraction:
        """From the first picture's start to the last one's end, in seconds."""
        return (self.pts[-1] - self.pts[0]) * self.tick + (self.last * self.tick or 1 / rate)


def _video(container: av.container.InputContainer) -> av.video.stream.VideoStream:
    """The moving pictures: the first video stream, which is where ``assemble`` puts them."""
    return container.streams.video[0]


def _packet_times(path: Path) -> _Stamps:
    pts: array[int] = array("q")
    keys: list[int] = []
    latest, last = -(1 << 62), 0
    with open_media(path) as container:
        stream = _video(container)
        for packet in container.demux(stream):
            if not packet.size:
                continue
            time = packet.pts if packet.pts is not None else packet.dts
            if time is None:
                raise UserError(f"packet {len(pts)} has no time stamp", "", ENVIRONMENT)
            pts.append(time)
            if time > latest:
                latest, last = time, packet.duration or 0
            if packet.is_keyframe:
                keys = [*keys[:2], time]  # the first two and the last
        tick = stream.time_base or Fraction(1)
    return _Stamps(array("q", sorted(pts)), tick, last, tuple(keys))


def _check_times(stamps: _Stamps, expected: Expectation) -> list[str]:
    if len(stamps.pts) != expected.frames:
        return [f"{len(stamps.pts)} frames instead of {expected.frames}"]
    wrong = []
    # In units of 1 / (tick's denominator * rate's numerator), where everything is whole.
    unit = Fraction(1, stamps.tick.denominator * expected.rate.numerator)
    per_tick, per_frame = stamps.tick / unit, 1 / expected.rate / unit
    step, frame, first = int(per_tick), int(per_frame), stamps.pts[0]
    off, index = max((abs((time - first) * step - n * frame), n) for n, time in enumerate(stamps.pts))
    # Containers round to their ticks: 1 ms in Matroska, 1/100 s in GIF, none in MP4. Two roundings make one tick.
    tick = Fraction(1, 100) if expected.finish == "gif" else Fraction(1, 1000)
    if off * unit > tick:
        wrong.append(f"frame {index} is shown {float(off * unit) * 1000:.1f} ms off its time")
    length, plan = stamps.length(expected.rate), expected.frames / expected.rate
    if abs(length - plan) > 1 / expected.rate + tick:
        wrong.append(f"it lasts {float(length):.3f} s instead of {float(plan):.3f} s")
    return wrong


def _check_picture(video: VideoInfo, expected: Expectation) -> list[str]:
    wrong = []
    if (video.width, video.height) != (expected.width, expected.height):
        wrong.append(f"it is {video.width}x{video.height} instead of {expected.width}x{expected.height}")
    if expected.codec is not None and video.codec != expected.codec:
        wrong.append(f"its video is {video.codec} instead of {expected.codec}")
    if expected.pixel_format is not None and _plain(video.pixel_format) != _plain(expected.pixel_format):
        wrong.append(f"its pixel format is {video.pixel_format} instead of {expected.pixel_format}")
    if expected.sample_aspect is not None:
        # Matroska stores whole pixels of display size: up to half a pixel of rounding.
        off = abs(video.sample_aspect - expected.sample_aspect) / expected.sample_aspect
        if off > Fraction(1, min(expected.width, expected.height)):
            wrong.append(f"its sample aspect is {video.sample_aspect} instead of {expected.sample_aspect}")
    if expected.rotation is not None and video.rotation != expected.rotation:
        wrong.append(f"it is turned by {video.rotation} degrees instead of {expected.rotation}")
    for name in ("matrix", "primaries", "transfer", "range"):
        planned, actual = getattr(expected.colour, name), getattr(video.colour, name)
        if planned not in (None, actual) and not (name == "range" and {planned, actual} == {"tv", None}):
            wrong.append(f"its colour {name} is {actual or 'untagged'} instead of {planned}")
    return wrong


def _plain(pixel_format: str) -> str:
    return pixel_format.replace("yuvj", "yuv")


def _check_streams(info: SourceInfo, expected: Expectation, video_start: Fraction) -> list[str]:
    wrong = []
    for kind in ("audio", "subtitle", "video", "attachment"):
        planned = [stream for stream in expected.streams if stream.kind == kind]
        actual = [stream for stream in info.others if stream.kind == kind]
        if len(actual) != len(planned):
            wrong.append(f"{len(actual)} {kind} streams beside the film instead of {len(planned)}")
            continue
        if kind == "attachment":
            continue
        missing = Counter(_codec_family(s.codec) for s in planned) - Counter(_codec_family(s.codec) for s in actual)
        if missing:
            wrong.append(f"{kind} {', '.join(missing)} is missing")
            continue
        languages = Counter(one_code(s.language) for s in planned if s.language) - Counter(
            one_code(s.language) for s in actual if s.language
        )
        if languages:
            wrong.append(f"the language tag {', '.join(str(name) for name in languages)} of a {kind} stream is missing")
        for plan, stream in zip(planned, actual, strict=True):
            if plan.after_video is None or stream.start is None:
                continue
            off = stream.start - video_start - plan.after_video
            if abs(off) > plan.sync:
                wrong.append(f"{kind} {plan.codec} starts {float(off) * 1000:.0f} ms off its time against the pictures")
    if expected.timecode is not None and info.timecode != expected.timecode:
        wrong.append(f"its time code starts at {info.timecode or 'nothing'} instead of {expected.timecode}")
    if expected.chapters is not None and info.chapters != expected.chapters:
        wrong.append(f"{info.chapters} chapters instead of {expected.chapters}")
    return wrong


def _check_tracks(path: Path, info: SourceInfo, expected: Expectation, video_start: Fraction) -> list[str]:
    """Whether sound and subtitles are all there. ``_check_streams`` has passed: they pair up in order."""
    pairs = [
        (plan, stream)
        for kind in ("audio", "subtitle")
        for plan, stream in zip(
            (stream for stream in expected.streams if stream.kind == kind),
            (stream for stream in info.others if stream.kind == kind),
            strict=True,
        )
        if plan.track is not None
    ]
    held = tracks(path, [stream.index for _, stream in pairs])
    wrong = []
    for plan, stream in pairs:
        assert plan.track is not None
        track, name = held.get(stream.index), f"{plan.kind} {plan.codec}"
        if track is None:
            wrong.append(f"{name} holds nothing")
        elif plan.kind == "subtitle":
            # No more than a hint: containers join and split them.
            if 2 * track.packets < plan.track.packets:
                wrong.append(f"{name} holds {track.packets} of {plan.track.packets} subtitles")
        else:
            track = track.moved(video_start)
            lacks, late = plan.track.filled - track.filled, track.end - plan.track.end
            if lacks > plan.slack:
                wrong.append(f"{name} lacks {float(lacks):.2f} s of {float(plan.track.filled):.2f} s of sound")
            elif abs(late) > plan.slack:
                wrong.append(f"{name} ends {float(abs(late)):.2f} s too {'late' if late > 0 else 'early'}")
    return wrong


def _codec_family(codec: str) -> str:
    """MP4 has one number for MPEG layers 2 and 3, and ffmpeg has two names for one subtitle format."""
    return {"mp2": "mp3", "srt": "subrip", "ssa": "ass"}.get(codec, codec)


# ------------------------------------------------------------------------------------------------------------ decoding


def _decode_all(path: Path, foreign: Collection[str] = ()) -> int:
    """Decode every picture with ffmpeg's own program and count them; UserError with its first complaint.

    Its decoders conceal damage and say so in the log only; the film is fresh, so anything that they say is damage.

    Args:
        foreign: codecs of other streams. ffmpeg looks into a cover before it starts; one that came with the source
            damaged is copied damaged.
    """
    source = ffmpeg.result_input(path, err_detect="crccheck+bitstream+buffer")
    # Fine ticks: in those of a rate that ffmpeg guesses, Matroska's milliseconds of 239.76 frames a second collide.
    ticks = {"fps_mode": "passthrough", "enc_time_base": "1/1000000"}
    options = {"map": "0:v:0", **ticks, "f": "null", "progress": "pipe:1"}
    done = ffmpeg.run(ffmpeg.Command([source], "-", options), f"checking {path.name}")
    # Demuxers remark on streams that are not decoded here; decoders sign with their codec, vist or dec.
    demuxers = ("[in#", "[mov,", "[matroska", "[mpegts", "[nut", "[gif", "[apng")
    others = (*demuxers, *(f"[{codec} @" for codec in foreign))
    lines = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith(others)]
    if lines:
        raise UserError(f"it does not decode cleanly: {lines[0]}", "", ENVIRONMENT)
    counts = re.findall(rb"^frame=\s*(\d+)", done.stdout, re.MULTILINE)
    return int(counts[-1]) if counts else 0


def _decode_ends(path: Path, keys: Sequence[int]) -> int:
    """Decode the first GOP and from the last key frame to the end."""
    count = 0
    with open_media(path) as container:
        stream = _video(container)
        stop = keys[1] if len(keys) > 1 else None
        for frame in container.decode(stream):
            count += 1
            if stop is not None and frame.pts is not None and frame.pts >= stop:
                break
    if len(keys) > 1:
        with open_media(path) as container:
            stream = _video(container)
            container.seek(keys[-1], stream=stream)
            count += sum(1 for _ in container.decode(stream))
    return count


# ---------------------------------------------------------------------------------------------------------- pictures


def _check_images(path: Path, expected: Expectation, quick: bool) -> tuple[list[str], Verified]:
    files = sorted(entry for entry in path.iterdir() if entry.is_file()) if path.is_dir() else [path]
    wrong = []
    if len(files) != expected.frames:
        wrong.append(f"{len(files)} images instead of {expected.frames}")
    for image in [files[0], files[-1]] if quick and files else files:
        with images.open_picture(image, MAX_PIXELS) as container:
            frame = next(container.decode(_video(container)), None)
        if frame is None:
            wrong.append(f"{image.name} cannot be decoded")
            break
        if (frame.width, frame.height) != (expected.width, expected.height):
            wrong.append(f"{image.name} is {frame.width}x{frame.height} instead of {expected.width}x{expected.height}")
            break
    return wrong, Verified(len(files), len(files) / expected.rate, 0)


def _check_webp(path: Path, expected: Expectation) -> tuple[list[str], Verified]:
    """Animated WebP, by its own chunks, since few versions of ffmpeg read it. Equal neighbours are merged."""
    data = path.read_bytes()
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or int.from_bytes(data[4:8], "little") + 8 > len(data):
        return ["it is not a complete WebP file"], Verified(0, Fraction(0), 0)
    wrong: list[str] = []
    frames, milliseconds, size = 0, 0, None
    for name, body in chunks(data):
        if name == b"VP8X":
            size = (int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1)
        elif name == b"ANMF":
            frames += 1
            milliseconds += int.from_bytes(body[12:15], "little")
    duration = Fraction(milliseconds, 1000)
    if size is not None and size != (expected.width, expected.height):
        wrong.append(f"it is {size[0]}x{size[1]} instead of {expected.width}x{expected.height}")
    if expected.frames > 1 and not 0 < frames <= expected.frames:
        wrong.append(f"{frames} frames instead of {expected.frames}")
    if expected.frames > 1 and abs(duration - expected.frames / expected.rate) > 1 / expected.rate + Fraction(1, 1000):
        wrong.append(f"it lasts {float(duration):.3f} s instead of {float(expected.frames / expected.rate):.3f} s")
    return wrong, Verified(expected.frames, duration, 0)
