"""Looks at a film and works everything out before the start."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import vfi_pipeline
from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.jobs import names
from vfi_pipeline.jobs.fingerprint import content_hash, file_fingerprint, files_fingerprint
from vfi_pipeline.jobs.method import Method, resolve_device
from vfi_pipeline.jobs.options import Options, read_cuts
from vfi_pipeline.jobs.plan import Plan, cuts_of, max_gap_of, segments_of, timeline_of
from vfi_pipeline.jobs.sources import Film
from vfi_pipeline.jobs.values import rate_text
from vfi_pipeline.media import ffmpeg, images, index, probe, tracks
from vfi_pipeline.media.assemble import Timing
from vfi_pipeline.media.containers import stream_plan
from vfi_pipeline.media.encoders import VideoSpec, choose_encoding, default_suffix
from vfi_pipeline.media.info import SourceInfo


def prepare(film: Film, options: Options, method: Method, inputs: Sequence[Path], many: bool) -> Plan:
    """Looks at the film and works everything out; decodes nothing where time stamps allow.

    Args:
        inputs: every input file of the whole job: none may be the output.
        many: the job has several films.

    Raises:
        UserError: for everything that can be known to fail before the start.
    """
    if options.mask is not None and not Path(options.mask).is_file():
        raise UserError(f"mask={options.mask} does not exist.", "check the name.", BAD_INPUT)
    info = _probe(film, options)
    if info.video.interlaced and not options.deinterlace:
        raise UserError(f"{film.label} is interlaced: its frames are two moments each.", "deinterlace=on.", BAD_INPUT)
    found = index.index(info, options.max_pixels)
    if found.damaged_at is not None and not options.allow_damaged:
        raise UserError(
            f"{film.label} is damaged from {float(found.damaged_at - info.start):.3f} s on: {found.damage}.",
            "allow_damaged=true to use what comes before, or a sound copy of the file.",
            BAD_INPUT,
        )
    times = found.times.even_at(info.video.rate)
    timeline = timeline_of(options, info, times)
    spec = VideoSpec.of(info.video, timeline.rate)
    suffix = default_suffix(spec, film.files[0].suffix.lower(), options.codec or "auto")
    multi = timeline.rate * timeline.slowdown / info.video.rate
    target = names.target_of(film, options, timeline.rate, multi, method.name, suffix, many)
    names.refuse_input_as_output(target, inputs)
    encoding = choose_encoding(
        spec, target, options.codec or "auto", options.crf, options.preset, options.pix_fmt, options.benchmark
    )
    if encoding.finish == "images" and "%" not in encoding.pattern and timeline.count != 1:
        numbered = target.with_name(f"{target.stem}_%06d{target.suffix}")
        raise UserError(f"{timeline.count} pictures cannot all be called {target.name}.", f"output={numbered}")
    audio = options.audio or ("drop" if timeline.slowdown != 1 else "keep")
    if found.counted and audio in ("keep", "stretch") and encoding.finish == "copy":
        _refuse_joined_sound(film, info)
    entries = read_cuts(Path(options.cuts)) if options.cuts else (None if options.scene else ())
    return Plan(
        info=info,
        timeline=timeline,
        target=target,
        segments=segments_of(timeline, options.segment, info.video.width * info.video.height),
        spec=spec,
        encoding=encoding,
        streams=stream_plan(
            info, target, encoding, audio=audio, subtitles=options.subtitles, stretch=timeline.slowdown
        ),
        timing=Timing(
            rate=timeline.rate,
            frames=timeline.count,
            first=timeline.begin,
            start=None if options.start is None else timeline.begin,
            end=None if options.end is None else timeline.end,
            stretch=timeline.slowdown,
        ),
        cuts=cuts_of(entries, info, times),
        max_gap_s=max_gap_of(options, info),
    )


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
            f"ffmpeg -i {shlex.quote(film.path.name)} -map 0 -c copy mended.mkv and input=mended.mkv, or audio=drop.",
            BAD_INPUT,
        )


def fingerprint(plan: Plan, film: Film, options: Options, method: Method) -> dict[str, str]:
    """All that decides what the segments hold: input, settings, model, weights, versions."""
    info = plan.info
    facts: dict[str, Any] = {f"input.{key}": value for key, value in input_fingerprint(film).items()}
    facts |= {
        "tool": vfi_pipeline.__version__,
        "ffmpeg": ffmpeg.version(),
        "fps": rate_text(plan.timeline.rate) + f" ({plan.timeline.rate})",
        "slowmo": plan.timeline.slowdown,
        "start": plan.timeline.begin,
        "end": plan.timeline.end,
        "frames": plan.timeline.count,
        "segments": len(plan.segments),
        "segment": options.segment,
        "stream": info.video.index,
        "deinterlace": options.deinterlace,
        "allow_damaged": options.allow_damaged,
        "scene": options.scene if plan.cuts is None else "cuts=" + ",".join(map(str, plan.cuts)),
        "scene_threshold": options.scene_threshold if plan.cuts is None else "-",
        "cut": options.cut,
        "dedup": options.dedup,
        "max_gap": plan.max_gap_s,
        "mask": content_hash(Path(options.mask)) if options.mask else "none",
        "codec": plan.encoding.encoder,
        "pix_fmt": plan.encoding.pixel_format,
        "container": plan.encoding.muxer,
        "model": method.name,
        "scale": options.scale,
        "precision": options.precision,
        "device": resolve_device(options.device),
    }
    facts |= {} if options.style is None else options.style.facts()
    facts |= dict(plan.encoding.options)
    facts |= {f"model.{key}": value for key, value in method.settings.items()}
    return {key: str(value) for key, value in facts.items()}


def _probe(film: Film, options: Options) -> SourceInfo:
    if film.images:
        if options.stream is not None:
            raise UserError("Images have no streams to choose from.", "leave stream= out.")
        return images.probe_images(film.path, film.images, options.input_fps or Fraction(25), options.max_pixels)
    if options.input_fps is not None:
        raise UserError(
            f"{film.label} has its own times; input_fps= is for images.", "fps= for the rate of the result.",
        )  # fmt: skip
    return probe.probe(film.path, options.stream, max_pixels=options.max_pixels)
