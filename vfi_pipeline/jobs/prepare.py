"""Looks at a film and works everything out before the start."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import vfi_pipeline
from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.jobs import names
from vfi_pipeline.jobs.fingerprint import code_fingerprint, content_hash, file_fingerprint, files_fingerprint
from vfi_pipeline.jobs.method import ModelChoice, device_kind
from vfi_pipeline.jobs.option_fields import frame_settings
from vfi_pipeline.jobs.options import Options, read_cuts
from vfi_pipeline.jobs.plan import Plan, cuts_of, exposure_of, max_gap_of, moments_of, segments_of, timeline_of
from vfi_pipeline.jobs.sources import Film
from vfi_pipeline.jobs.values import counted, rate_text
from vfi_pipeline.media import ffmpeg, fields, hardware, images, index, probe, tracks
from vfi_pipeline.media.containers import stream_plan
from vfi_pipeline.media.encoders import choose_encoding, default_suffix
from vfi_pipeline.media.encoding import VideoSpec
from vfi_pipeline.media.film_times import film_times
from vfi_pipeline.media.info import SourceInfo
from vfi_pipeline.media.inventory import loop_count
from vfi_pipeline.media.output_plan import OutputPlan, Timing
from vfi_pipeline.media.profiles import EMBEDS
from vfi_pipeline.media.rehearsal import rehearse
from vfi_pipeline.media.scaling import Scaling, scaling_of
from vfi_pipeline.media.timecode import timecode_at
from vfi_pipeline.media.timeline import Timeline
from vfi_pipeline.media.writer import assumed_matrix


def prepare(film: Film, options: Options, model_choice: ModelChoice, inputs: Sequence[Path], many: bool) -> Plan:
    """Looks at the film and works everything out; decodes nothing where time stamps allow.

    Args:
        inputs: every input file of the whole job: none may be the output.
        many: the job has several films.

    Raises:
        UserError: for everything that can be known to fail before the start.
    """
    if options.mask is not None and not Path(options.mask).is_file():
        raise UserError(f"mask={options.mask} does not exist.", "check the name.", BAD_INPUT)
    hardware.check_listed(options.decode)
    info = _probe(film, options)
    view, seen = view_of(film, options, info)
    info = replace(info, view=view)
    rate = info.video.rate
    source_index = index.index(info, options.max_pixels)
    if source_index.damaged_at is not None and not options.allow_damaged:
        raise UserError(
            f"{film.label} is damaged from {float(source_index.damaged_at - info.start):.3f} s on: "
            f"{source_index.damage}.",
            "allow_damaged=true to use what comes before, or a sound copy of the file.",
            BAD_INPUT,
        )
    info, times, notes = film_times(info, source_index)
    timeline = timeline_of(options, info, times) if options.at is None else moments_of(options.at, info, times)
    exposure = exposure_of(options, timeline)
    scaling = None if options.size is None else scaling_of(options.size, options.fit_size, info.video)
    resized = () if scaling is None else _refuse_or_tell(scaling, options, info)
    spec = _spec(info, timeline.rate, scaling)
    suffix = ".png" if options.at else default_suffix(spec, film.files[0].suffix.lower(), options.codec or "auto")
    multi = timeline.rate * timeline.slowdown / info.video.rate
    target = names.target_of(film, options, timeline.rate, multi, model_choice.name, suffix, many)
    names.refuse_input_as_output(target, inputs)
    if options.at and target.suffix.lower() not in images.SUFFIXES:
        what = "pictures" if len(options.at) > 1 else "a picture"
        raise UserError(
            f"at= writes {what}, and {target.name} is a film.",
            f"output={shlex.quote(str(target.with_suffix('.png')))}, or fps=60 start= end= for a part of the film.",
        )
    encoding = choose_encoding(
        spec, target, options.codec or "auto", options.crf, options.preset, options.pix_fmt, options.benchmark
    )
    if info.images:
        embeds = encoding.finish == "images" and Path(encoding.pattern).suffix.lower() in EMBEDS
        info = images.managed(info, embeds, options.max_pixels)
        notes += info.notes[len(notes) :]
        if info.video.working_format != spec.pixel_format:  # read as RGB, to be converted
            spec = _spec(info, timeline.rate, scaling)
            encoding = choose_encoding(
                spec, target, options.codec or "auto", options.crf, options.preset, options.pix_fmt, options.benchmark
            )
        encoding = replace(encoding, profile=info.profile or b"")
    if len(info.images) == 1 and encoding.finish not in ("images", "nothing"):
        notes += (_one_picture(film, info, timeline),)
    if encoding.finish == "images" and "%" not in encoding.pattern and timeline.count != 1:
        numbered = target.with_name(f"{target.stem}_%06d{target.suffix}")
        remedy = f"output={shlex.quote(str(numbered))}"
        raise UserError(f"{timeline.count} pictures cannot all be called {target.name}.", remedy)
    audio = options.audio or ("drop" if timeline.slowdown != 1 else "keep")
    if source_index.counted and audio in ("keep", "stretch") and encoding.finish == "copy":
        _refuse_joined_sound(film, info)
    entries = read_cuts(options.cuts) if options.cuts else (None if options.scene else ())
    streams = stream_plan(
        info,
        target,
        encoding,
        audio=audio,
        subtitles=options.subtitles,
        stretch=timeline.slowdown,
        timecode=timecode_at(info.timecode, rate, timeline.rate, timeline.begin - times.first)
        if info.timecode
        else None,
        loop=None if info.images else loop_count(info.path),
        still=timeline.apart,
    )
    timing = Timing(
        rate=timeline.rate,
        frames=timeline.count,
        first=timeline.begin,
        start=None if options.start is None else timeline.begin,
        end=None if options.end is None else timeline.end,
        stretch=timeline.slowdown,
    )
    return Plan(
        output=OutputPlan(info, spec, encoding, streams, timing),
        timeline=timeline,
        target=target,
        segments=segments_of(timeline, options.segment, spec.width * spec.height, exposure),
        cuts=cuts_of(entries, info, times),
        max_gap_s=max_gap_of(options, info),
        notes=seen + notes + resized + _blur_notes(options, exposure),
        exposure_s=exposure,
        scaling=scaling,
    )


def _one_picture(film: Film, info: SourceInfo, timeline: Timeline) -> str:
    """The note on a film of one picture."""
    name = shlex.quote(f"[{info.images[0]},{info.images[0]}]")
    return (
        f"{film.label} is one picture: a film of {counted(timeline.count, 'frame')}, {float(timeline.duration):.3f} s. "
        f"Try: input={name} duration=2 model=hold for one that stands still, or a second picture in its place (without "
        "fps=) to go from one to the other"
    )


def _spec(info: SourceInfo, rate: Fraction, scaling: Scaling | None) -> VideoSpec:
    """What is written: the source's own format, in the size that is asked for."""
    spec = VideoSpec.of(info.video, rate)
    if scaling is None:
        return spec
    width, height = scaling.canvas
    scaled = replace(spec, width=width, height=height, sample_aspect=scaling.sample_aspect)
    chroma = not spec.format.is_rgb and len(spec.format.planes) > 1
    if chroma and (guess := assumed_matrix(spec)) != assumed_matrix(scaled):  # players guess by the size
        return replace(scaled, colour=replace(spec.colour, matrix=guess))
    return scaled


def _blur_notes(options: Options, exposure: Fraction | None) -> tuple[str, ...]:
    if exposure is None or options.shutter is None:
        return ()
    return (
        f"motion blur: every frame, copies of source frames too, is the mean of up to 64 moments in "
        f"{1000 * float(exposure):.1f} ms around its own (shutter={float(options.shutter):g}), of code values as "
        "ffmpeg averages them",
    )


def _refuse_or_tell(scaling: Scaling, options: Options, info: SourceInfo) -> tuple[str, ...]:
    """Notes on another size.

    Raises:
        UserError: if the pictures are too large, or two fields woven into one picture.
    """
    width, height = scaling.canvas
    if width * height > options.max_pixels:
        raise UserError(
            f"Pictures of {width}x{height} are beyond the limit of {options.max_pixels} pixels.",
            f"a smaller size=, or max_pixels={width * height} if you have the memory.",
        )
    if info.video.interlaced and options.deinterlace == "off" and scaling.source[1] != height:
        raise UserError(
            f"{info.path.name} is interlaced: resized as they are, its pictures would mix two moments.",
            "deinterlace=auto (looks at the pictures), deinterlace=on, or no size=.",
            BAD_INPUT,
        )
    changes: tuple[str, ...] = (
        f"every picture is resized from {scaling.source[0]} x {scaling.source[1]} to {width} x {height} (bicubic): "
        "copies of source frames are not the source's bit for bit",
    )
    x, y, across, down = (float(part) for part in scaling.window)
    if (across, down) != scaling.source:
        changes += (f"cropped to the middle {across:g} x {down:g} (fit_size=pad and fit_size=stretch show all)",)
    if scaling.padded:
        changes += (f"bars around a picture of {scaling.place[2]} x {scaling.place[3]} (fit_size=crop has none)",)
    return changes


def rehearsed(plan: Plan) -> Plan:
    """The plan after its end has been tried on a second: streams that cannot be written are converted or lost.

    Raises:
        UserError: if the pictures cannot be encoded or joined.
    """
    return replace(plan, output=rehearse(plan.output))


_NEVER_WOVEN = ("gif", "apng", "png", "webp", "bmp", "tiff")


def view_of(film: Film, options: Options, info: SourceInfo) -> tuple[fields.View | None, tuple[str, ...]]:
    """How pictures are taken out of the film's frames, by looking at them; and notes on it.

    Raises:
        UserError: if the frames are combed and nothing in the file says so.
    """
    video, asked = info.video, options.deinterlace
    if info.images or asked == "off":
        return None, ()
    small = (
        video.height <= fields.RULE.tallest and video.rate <= fields.RULE.fastest and video.codec not in _NEVER_WOVEN
    )
    if asked == "film":
        seen = fields.film_look(info.path, video.index, video.rate, options.max_pixels)
        return _film_view(seen)
    if not (video.interlaced or small or asked == "on"):
        return None, ()
    claimed = video.interlaced or asked == "on"
    seen = fields.look(info.path, video.index, video.rate, claimed, options.max_pixels)
    if seen.kind == "whole":
        note = "none of the pictures that were looked at is combed: they are taken as they are"
        return None, (note,) if claimed else ()
    if seen.kind == "film" and asked == "auto":
        return _film_view(seen)
    if seen.kind == "unknown" and not claimed:
        return None, ()
    if not claimed:
        raise UserError(
            f"{film.label} is interlaced, though it does not say so: {seen.combed} of the {seen.frames} pictures that "
            "were looked at are combed, two moments each.",
            "deinterlace=on for one picture per field, or deinterlace=off to take the pictures as they are.",
            BAD_INPUT,
        )
    first = {"tff": ", the top one first", "bff": ", the bottom one first"}.get(seen.parity, "")
    rate = rate_text(2 * video.rate)
    note = f"interlaced: one picture per field{first}, {rate} per second (deinterlace=off takes the frames as they are)"
    return fields.View("fields", seen.parity), (note,)


def _film_view(seen: fields.Look) -> tuple[fields.View, tuple[str, ...]]:
    how = f", one frame in {seen.cycle} left out as a repetition" if seen.cycle else ""
    note = f"film in fields: put together again{how} (deinterlace=off takes the frames as they are)"
    return fields.View("film", seen.parity, seen.cycle), (note,)


def input_fingerprint(film: Film) -> dict[str, str]:
    """What tells the film's files from other or changed ones."""
    return files_fingerprint(film.images) if film.images else file_fingerprint(film.path)


def _refuse_joined_sound(film: Film, info: SourceInfo) -> None:
    """UserError if the sound's time stamps jump back: the pictures go on there, and the sound could not follow."""
    sound = [stream.index for stream in info.others if stream.kind == "audio"]
    back = None if info.images else tracks.jumps_back(info.path, sound)
    if back is not None:
        raise UserError(
            f"{film.label}: the time stamps of its sound jump back after {float(back - info.start):.3f} s, as in "
            "recordings that were joined; it would not stay with the pictures.",
            f"{ffmpeg.typed()} -i {shlex.quote(str(film.path))} -map 0 -c copy mended.mkv and input=mended.mkv, "
            "or audio=drop.",
            BAD_INPUT,
        )


def fingerprint(plan: Plan, film: Film, options: Options, model_choice: ModelChoice) -> dict[str, str]:
    """All that decides what the segments hold: input, settings, model, weights, and versions, of this code too."""
    info = plan.info
    facts: dict[str, Any] = {f"input.{key}": value for key, value in input_fingerprint(film).items()}
    facts |= code_fingerprint()
    facts |= {
        "tool": vfi_pipeline.__version__,
        "ffmpeg": ffmpeg.version(),
        "at": options.at and [str(moment) for moment in options.at],
        "fps": rate_text(plan.timeline.rate) + f" ({plan.timeline.rate})",
        "slowmo": plan.timeline.slowdown,
        "start": plan.timeline.begin,
        "end": plan.timeline.end,
        "frames": plan.timeline.count,
        "segments": len(plan.segments),
        "stream": info.video.index,
        "deinterlace": plan.info.view,
        "scene": options.scene if plan.cuts is None else "cuts=" + ",".join(map(str, plan.cuts)),
        "scene_threshold": options.scene_threshold if plan.cuts is None else "-",
        "max_gap": plan.max_gap_s,
        "exposure": plan.exposure_s,
        "size": None if (scale := plan.scaling) is None else (scale.canvas, scale.place, scale.window),
        "mask": content_hash(Path(options.mask)) if options.mask else "none",
        "codec": plan.encoding.encoder,
        "pix_fmt": plan.encoding.pixel_format,
        "container": plan.encoding.muxer,
        "profile": "as stored" if info.profile is None else hashlib.sha256(info.profile).hexdigest()[:16],
        "model": model_choice.name,
        "device": device_kind(options),
    }
    facts |= frame_settings(options)
    facts |= {} if options.style is None else options.style.facts()
    facts |= dict(plan.encoding.options)
    facts |= {f"model.{key}": value for key, value in model_choice.settings.items()}
    return {key: str(value) for key, value in facts.items()}


def _probe(film: Film, options: Options) -> SourceInfo:
    if film.images:
        if options.stream is not None:
            raise UserError("Images have no streams to choose from.", "leave stream= out.")
        numbers = images.numbering(film.images, film.listed) if film.listed else None
        rate = options.input_fps or Fraction(25)
        info = images.probe_images(film.path, film.images, rate, options.max_pixels, numbers)
        images.check_sizes(info, options.max_pixels)
        return info
    if options.input_fps is not None:
        raise UserError(
            f"{film.label} has its own times; input_fps= is for images.", "fps= for the rate of the result.",
        )  # fmt: skip
    return probe.probe(film.path, options.stream, max_pixels=options.max_pixels)
