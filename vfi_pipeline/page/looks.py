"""What the page shows of a film: facts and plan, a made frame, cuts. Runs in a process that a film may break.

Everything goes in and comes out as plain values. Pictures are JPEG files or bytes: for looking, not for measuring.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vfi_pipeline.configuration import Composed, compose_model, model_names
from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.jobs.method import ModelChoice, choose_model, instantiate, resolve_device
from vfi_pipeline.jobs.options import Options, read_options
from vfi_pipeline.jobs.plan import Plan, describe, moments_of
from vfi_pipeline.jobs.prepare import prepare
from vfi_pipeline.jobs.report import facts_of_plan
from vfi_pipeline.jobs.sources import Film, select
from vfi_pipeline.jobs.space import free_bytes
from vfi_pipeline.media import ffmpeg, probe, reader
from vfi_pipeline.media.frames import Frame
from vfi_pipeline.media.info import SourceInfo
from vfi_pipeline.media.opening import MAX_PIXELS
from vfi_pipeline.media.timeline import Slot
from vfi_pipeline.page.facts import SHOWN_AS_IMAGES, Cut, Look, Preview

THUMBNAIL = 200
"""px, longest side of the pictures of cuts."""

LONGEST_PREVIEW = 2560
"""px, longest side of a preview; larger pictures are shown smaller."""


# ------------------------------------------------------------------------------------------------ films and plans


def look(path: str, texts: Mapping[str, str], output: str | None = None) -> Look:
    """Facts of the film and the plan for it.

    Args:
        texts: option -> text.
        output: an ending (``.mkv``) or a file; None: the program's own choice.

    Raises:
        UserError: whatever the command would refuse.
    """
    film, options, model_choice, plan = _planned(path, texts, output)
    facts: dict[str, Any] = facts_of_plan(plan, film)
    lines = describe(plan, options, 0, free_bytes(plan.target.parent))
    lines.insert(3, f"model     {model_choice.name}")
    slots, gaps = plan.timeline.slots(), plan.gaps
    times, video = plan.timeline.times, plan.info.video
    turned = video.rotation % 180 == 90
    streams = [str(line) for line in facts["streams"]]
    return Look(
        path=path,
        label=film.label,
        lines=tuple((line[:10].strip(), line[10:].strip()) for line in lines),
        kept=tuple(line for line in streams if "LOST" not in line),
        lost=tuple(line for line in streams if "LOST" in line),
        notes=plan.reported,
        target=str(plan.target),
        width=video.height if turned else video.width,
        height=video.width if turned else video.height,
        source_frames=len(times),
        source_rate=float(video.rate),
        duration_s=float(times.span),
        frames=plan.timeline.count,
        made=sum(1 for slot in slots if slot.t and slot.source not in gaps),
        disk_bytes=plan.disk_bytes,
        free_bytes=free_bytes(plan.target.parent),
        first_s=float(max(times.first, plan.timeline.begin) - plan.info.start),
        end_s=float(min(times.end, plan.timeline.end) - plan.info.start),
    )


def look_at_pictures(paths: Sequence[str], texts: Mapping[str, str], output: str | None = None) -> Look:
    """The same of an animation of pictures."""
    from vfi_pipeline.apps import pictures as sources
    from vfi_pipeline.apps.options import DEFAULT_NAME, as_film_options, read_picture_options

    given = {name: text for name, text in texts.items() if name != "model"}
    asked = read_picture_options(given)
    film = sources.film_of(tuple(paths))
    if len(film.images) < 2:
        raise UserError("One picture alone does not say where to go.", "a second picture.", BAD_INPUT)
    words = as_film_options(given, given)
    options = read_options(tuple(paths), words)
    if options.name == DEFAULT_NAME:
        options = replace(options, name=sources.default_name(film.images, asked))
    pictures = sources.gather(film, asked, options.max_pixels)
    plan, _ = sources.prepare(film, pictures, _with_output(options, output), asked, texts.get("model", "fit"))
    if output is not None and output.startswith("."):
        wanted = plan.target.with_suffix(output)
        plan, _ = sources.prepare(
            film, pictures, replace(options, output=str(wanted)), asked, texts.get("model", "fit")
        )
    width, height = plan.spec.width, plan.spec.height
    return Look(
        path=str(film.path),
        label=film.label,
        lines=(("pictures", f"{len(pictures)}: {sources.digest(pictures)}"),),
        kept=(), lost=(), notes=plan.reported, target=str(plan.target),
        width=width, height=height, source_frames=len(pictures), source_rate=0.0,
        duration_s=float(plan.timeline.duration), frames=plan.timeline.count, made=plan.timeline.count,
        disk_bytes=plan.disk_bytes, free_bytes=free_bytes(plan.target.parent), first_s=0.0,
        end_s=float(plan.timeline.duration),
    )  # fmt: skip


def _with_output(options: Options, output: str | None) -> Options:
    return options if output is None or output.startswith(".") else replace(options, output=output)


def _planned(path: str, texts: Mapping[str, str], output: str | None) -> tuple[Film, Options, ModelChoice, Plan]:
    try:
        state = os.stat(path)
    except OSError as error:
        raise UserError(
            f"{Path(path).name} cannot be read ({error.strerror}).", "choose another film.", BAD_INPUT
        ) from error
    return _plan(path, tuple(sorted(texts.items())), output, (state.st_mtime_ns, state.st_size))


@lru_cache(maxsize=8)
def _plan(
    path: str, items: tuple[tuple[str, str], ...], output: str | None, stamp: object
) -> tuple[Film, Options, ModelChoice, Plan]:
    given: dict[str, object] = dict(items)
    name = given.pop("model", None)
    chosen = composed(None if name is None else str(name))
    texts = {**chosen.defaults, **given}
    films = select([path]).films
    if len(films) != 1:
        raise UserError(f"There are {len(films)} films here.", "choose one of them to see its plan.", BAD_INPUT)
    options = read_options((path,), texts)
    model_choice = choose_model(chosen.model, chosen.settings, {}, options, instantiate)
    plan = prepare(films[0], _with_output(options, output), model_choice, films[0].files, False)
    if output is not None and output.startswith(".") and plan.target.suffix != output:
        options = replace(options, output=str(plan.target.with_suffix(output)))
        plan = prepare(films[0], options, model_choice, films[0].files, False)
    return films[0], options, model_choice, plan


# ----------------------------------------------------------------------------------------------------------- models


@lru_cache(maxsize=8)
def composed(name: str | None = None) -> Composed:
    """The model ``name``, and the defaults of this installation; None: the model that these name.

    Raises:
        UserError: if there is no such model.
    """
    if name is not None and name not in model_names():
        raise UserError(f"There is no model {name!r}.", "model=flow")
    return compose_model(name)


@lru_cache(maxsize=2)
def _built(name: str, scale: float, precision: str, weights: str | None, device: str) -> Any:
    options = Options(("-",), scale=scale, precision=precision, weights=weights, device=device)
    return choose_model(name, composed(name).settings, {}, options, instantiate).build()


def warm_up() -> None:
    """Loads what the first preview would wait for."""
    from vfi_pipeline.synthesis import stream  # noqa: F401  # loaded, not used

    _built("flow", 1.0, "auto", None, "auto")


# ---------------------------------------------------------------------------------------------------------- preview


def preview(
    path: str, texts: Mapping[str, str], moment_s: float, folder: str, cuts: Sequence[int] | None = None
) -> Preview:
    """The frame of the result nearest to a moment, beside the source's picture at that moment.

    Args:
        moment_s: seconds from the file's start; clipped to the film. A made frame is looked for near it.
        folder: where the pictures are written.
        cuts: first frames of shots; None: looked for.
    """
    from vfi_pipeline.synthesis import stream

    _, options, model_choice, plan = _planned(path, texts, None)
    slot, moment = _slot_near(plan, moment_s)
    model = _built(model_choice.name, options.scale, options.precision, options.weights, options.device)
    times = plan.timeline.times
    at = moments_of([max(Fraction(0), moment - plan.info.start)], plan.info, times)
    shown_slot = at.slot(0)
    settings = _stream_options(options, plan, plan.cuts if cuts is None else tuple(cuts), prefetch=0)
    before, after = (stream.CONTEXT_BEFORE, stream.CONTEXT_AFTER)
    if not options.dedup:  # what cuts are judged by; repeats need more
        before, after = 6, 4
    first, stop = max(0, shown_slot.source - before), min(len(times), shown_slot.source + 2 + after)
    seen: dict[int, Frame] = {}
    with reader.read_numbered(
        plan.info, first, stop, allow_damaged=options.allow_damaged, max_pixels=options.max_pixels
    ) as frames:
        for number, frame in frames:
            seen[number] = frame
    output = next(iter(stream.interpolate(seen.items(), [shown_slot], model, settings, times)))
    left, right = _picture(seen[shown_slot.source], plan.info), _picture(output.frame, plan.info)
    if left.size != right.size:
        left = left.resize(right.size, Image.Resampling.BICUBIC)
    kind = "made" if output.made else "copied" if not shown_slot.t else "held"
    stem = f"{os.getpid()}-{time.monotonic_ns()}"
    names = [str(Path(folder) / f"{stem}-{side}.jpg") for side in ("before", "after")]
    for name, image in zip(names, (left, right)):
        Path(name).write_bytes(_jpeg(image, 92))
    busiest = _busiest(seen[shown_slot.source], seen.get(shown_slot.source + 1), plan.info)
    shown = float(moment - plan.info.start)
    return Preview(names[0], names[1], shown, shown_slot.source, float(shown_slot.t), kind, busiest)


MOST_MEASURED = 10
"""Made frames that the pace is measured on."""


def pace(path: str, texts: Mapping[str, str], moment_s: float, longest_s: float = 6.0) -> float:
    """Seconds that a made frame takes in a job on this machine, measured from a moment of the film on.

    Args:
        longest_s: no further frame is waited for after so many seconds.
    """
    from vfi_pipeline.synthesis import stream

    _, options, model_choice, plan = _planned(path, texts, None)
    model = _built(model_choice.name, options.scale, options.precision, options.weights, options.device)
    slot, _ = _slot_near(plan, moment_s)
    times, slots, count = plan.timeline.times, [], 0
    for slot_ahead in plan.timeline.slots(slot.index):
        slots.append(slot_ahead)
        count += slot_ahead.t != 0
        if count >= MOST_MEASURED or slot_ahead.source >= slot.source + MOST_MEASURED:
            break
    settings = _stream_options(options, plan, ())
    with reader.read_numbered(
        plan.info, slots[0].source, min(len(times), slots[-1].source + 3), allow_damaged=options.allow_damaged,
        max_pixels=options.max_pixels,
    ) as frames:  # fmt: skip
        seen = list(frames)
    start, count_made = time.perf_counter(), 0
    for output in stream.interpolate(seen, slots, model, settings, times):
        count_made += output.made
        if time.perf_counter() - start > longest_s:
            break
    return (time.perf_counter() - start) / max(1, count_made)


def _stream_options(options: Options, plan: Plan, cuts: tuple[int, ...] | None, **more: Any) -> Any:
    """What a job would interpolate with."""
    from vfi_pipeline.synthesis import stream

    return stream.Options(
        scene=options.scene, scene_threshold=options.scene_threshold, cuts=cuts, at_cut=options.cut,
        dedup=options.dedup, overlay=options.overlay, scaling=plan.scaling, max_gap_s=plan.max_gap_s,
        device=resolve_device(options.device), **more,
    )  # fmt: skip


def _slot_near(plan: Plan, moment_s: float) -> tuple[Slot, Fraction]:
    """The made output frame nearest to a moment, and the source's time it shows; a copy where none is made around."""
    timeline = plan.timeline
    moment = plan.info.start + Fraction(moment_s).limit_denominator(1_000_000)
    step = 1 / (timeline.rate * timeline.slowdown)
    near = round((moment - timeline.begin) / step)
    candidates = sorted(range(near - 4, near + 5), key=lambda index: abs(index - near))
    places = [index for index in candidates if 0 <= index < timeline.count] or [max(0, min(near, timeline.count - 1))]
    slots = [timeline.slot(index) for index in places]
    slot = next((slot for slot in slots if slot.t), slots[0])
    return slot, timeline.begin + slot.index * step


def _picture(frame: Frame, info: SourceInfo) -> Image.Image:
    """The frame as it is seen: RGB, upright, square pixels, no larger than ``LONGEST_PREVIEW``."""
    from vfi_pipeline.synthesis.rgb import to_rgb

    samples = (to_rgb(frame)[0].permute(1, 2, 0) * 255 + 0.5).clamp(0, 255).byte().cpu().numpy()
    samples = samples[:, ::-1] if info.video.mirrored else samples
    samples = np.rot90(samples, -(info.video.rotation // 90))
    image = Image.fromarray(np.ascontiguousarray(samples))
    aspect = info.video.sample_aspect if (frame.width, frame.height) == (info.video.width, info.video.height) else 1
    width, height = image.size
    if info.video.rotation % 180 == 90:
        height = max(1, round(height * aspect))
    else:
        width = max(1, round(width * aspect))
    ratio = min(1.0, LONGEST_PREVIEW / max(width, height))
    size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    return image if size == image.size else image.resize(size, Image.Resampling.BICUBIC)


def _jpeg(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _busiest(first: Frame, last: Frame | None, info: SourceInfo) -> tuple[float, float]:
    """Where two frames differ most, (x, y) in 0 .. 1 of the upright picture; the middle where they do not."""
    if last is None:
        return 0.5, 0.5
    images = [_picture(frame, info).convert("L").resize((32, 18), Image.Resampling.BOX) for frame in (first, last)]
    apart = np.abs(np.asarray(images[0], np.float32) - np.asarray(images[1], np.float32))
    if apart.max() < 1:
        return 0.5, 0.5
    y, x = np.unravel_index(int(apart.argmax()), apart.shape)
    return (float(x) + 0.5) / 32, (float(y) + 0.5) / 18


def enlarged(source: str, place: tuple[float, float], factor: int, folder: str) -> str:
    """A part of a picture, ``factor`` times as large, about ``place`` (x, y in 0 .. 1): a JPEG file's name."""
    with Image.open(source) as opened:
        image = opened.convert("RGB")
    width, height = max(1, image.width // factor), max(1, image.height // factor)
    left = min(max(0, round(place[0] * image.width - width / 2)), image.width - width)
    top = min(max(0, round(place[1] * image.height - height / 2)), image.height - height)
    part = image.crop((left, top, left + width, top + height))
    scale = max(factor, -(-640 // width))  # small films are shown large enough to see samples
    scale = min(scale, max(1, LONGEST_PREVIEW // width))
    name = Path(folder) / f"{os.getpid()}-{time.monotonic_ns()}-part.jpg"
    name.write_bytes(_jpeg(part.resize((width * scale, height * scale), Image.Resampling.NEAREST), 92))
    return str(name)


def thumbnails(paths: Sequence[str]) -> list[tuple[str, bytes]]:
    """(name, JPEG) of pictures, small.

    Raises:
        UserError: if one cannot be read.
    """
    from vfi_pipeline.media.stills import read_still
    from vfi_pipeline.synthesis.rgb import to_rgb

    pictures = []
    for path in paths:
        frame = read_still(Path(path), MAX_PIXELS)
        samples = (to_rgb(frame)[0].permute(1, 2, 0) * 255 + 0.5).clamp(0, 255).byte().numpy()
        image = Image.fromarray(np.ascontiguousarray(samples))
        image.thumbnail((2 * THUMBNAIL, 2 * THUMBNAIL), Image.Resampling.BOX)
        pictures.append((Path(path).name, _jpeg(image, 85)))
    return pictures


# ------------------------------------------------------------------------------------------------------------- cuts


def cuts_in(path: str, texts: Mapping[str, str], first: int, stop: int) -> list[Cut]:
    """The cuts at frames ``first .. stop - 1``, found as a job finds them: with the frames around."""
    from vfi_pipeline.shots import cuts
    from vfi_pipeline.synthesis import stream

    _, options, _, plan = _planned(path, texts, None)
    times = plan.timeline.times
    begin, end = max(0, first - stream.CONTEXT_BEFORE), min(len(times), stop + stream.CONTEXT_AFTER)
    detector = cuts.CutDetector(options.scene_threshold)
    decided, cut_frames, small = begin, [], {}
    with reader.read_numbered(
        plan.info, begin, end, allow_damaged=options.allow_damaged, max_pixels=options.max_pixels
    ) as frames:
        for number, frame in frames:
            small[number] = _thumbnail(frame, plan.info)
            for verdict in detector.push(cuts.signature(frame)):
                cut_frames += [decided] if verdict else []
                decided += 1
            for old in [
                key for key in small if key < decided - 1 and key not in cut_frames and key + 1 not in cut_frames
            ]:
                del small[old]
        for verdict in detector.flush():
            cut_frames += [decided] if verdict else []
            decided += 1
    return [
        Cut(cut, float(times.time(cut) - plan.info.start), _jpeg(small[cut - 1], 80), _jpeg(small[cut], 80))
        for cut in cut_frames
        if max(1, first) <= cut < stop
    ]


def _thumbnail(frame: Frame, info: SourceInfo) -> Image.Image:
    """A small picture of the frame as it is seen."""
    from vfi_pipeline.synthesis.guide import guide

    span = min(THUMBNAIL, max(frame.width, frame.height))
    samples = (guide(frame, span)[0].permute(1, 2, 0) * 255 + 0.5).clamp(0, 255).byte().numpy()
    samples = samples[:, ::-1] if info.video.mirrored else samples
    return Image.fromarray(np.ascontiguousarray(np.rot90(samples, -(info.video.rotation // 90))))


# ---------------------------------------------------------------------------------------------------------- results

_PLAYED = {
    ".mp4": ({"h264", "av1", "vp9"}, {"aac", "mp3", "opus", "flac"}),
    ".webm": ({"vp8", "vp9", "av1"}, {"opus", "vorbis"}),
}
"""Suffix -> codecs of pictures and sound that every browser of the day plays."""


def watchable(path: str, result: str) -> str:
    """A file that a browser plays: ``path`` itself, or a preview of its first minutes, encoded as ``result``.

    Raises:
        UserError: if the preview cannot be encoded.
    """
    source = Path(path)
    if source.suffix.lower() in SHOWN_AS_IMAGES or plays(source):
        return path
    target = Path(result)
    if target.is_file() and target.stat().st_mtime >= source.stat().st_mtime:
        return result
    beside = target.with_name(f"{target.stem}.part{target.suffix}")
    film = ffmpeg.media_input(source, t=PREVIEW_S)
    spec = film["v:0"].output(
        film["a:0?"], ffmpeg.file_url(beside), vf="scale='min(1280,iw)':-2:flags=bicubic,format=yuv420p", sn=None,
        dn=None, vcodec="libx264", preset="veryfast", crf=21, acodec="aac", audio_bitrate="160k", ac=2,
        movflags="+faststart",
    )  # fmt: skip
    ffmpeg.run(spec, doing=f"making a preview of {source.name}")
    os.replace(beside, target)
    return result


PREVIEW_S = 120
"""Seconds of a result that is encoded again for the browser."""


def plays(path: Path) -> bool:
    """Whether browsers play the file as it is."""
    codecs = _PLAYED.get(path.suffix.lower())
    if codecs is None:
        return False
    info = probe.probe(path)
    sounds = [stream.codec for stream in info.others if stream.kind == "audio"]
    plain = info.video.pixel_format in ("yuv420p", "yuvj420p")
    return plain and info.video.codec in codecs[0] and (not sounds or sounds[0] in codecs[1])
