"""Joins the segments without re-encoding and adds everything else that the source held.

Time: ``out = (source - origin) * stretch``, where ``origin`` is the cut (``Timing.start``) or the source's own start,
so that audio and subtitles that start early or late keep their distance to the pictures. Example: see ``media.writer``.

Segments are joined by ffmpeg's concat demuxer from a script of ours that states each segment's length; what is rounded
to microseconds there is the running total, so that a thousand joins are no further off than one, and the container's
coarser ticks make the result exact.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from vfi_pipeline.errors import ENVIRONMENT, USAGE, UserError
from vfi_pipeline.media import audio as sound
from vfi_pipeline.media import ffmpeg
from vfi_pipeline.media.containers import StreamFate
from vfi_pipeline.media.encoders import image_folder
from vfi_pipeline.media.encoding import Encoding, VideoSpec
from vfi_pipeline.media.info import SourceInfo
from vfi_pipeline.media.mark import film_tags, mark
from vfi_pipeline.media.opening import open_media
from vfi_pipeline.media.output_plan import OutputPlan, Timing
from vfi_pipeline.media.pixel_formats import shape
from vfi_pipeline.media.webp import as_animation
from vfi_pipeline.media.writer import colour_options, conversion, turning

log = logging.getLogger(__name__)

MICROSECOND = Fraction(1, 1_000_000)
# Tags that tell of the source's own pictures and would be wrong of ours.
STALE = [
    f"{name}{language}"
    for name in ("BPS", "DURATION", "NUMBER_OF_FRAMES", "NUMBER_OF_BYTES", "_STATISTICS_WRITING_APP",
                 "_STATISTICS_WRITING_DATE_UTC", "_STATISTICS_TAGS")
    for language in ("", "-eng")
] + ["encoder", "ENCODER", "rotate", "timecode", "alpha_mode", "stereo_mode"]  # fmt: skip


@dataclass(frozen=True)
class Segment:
    """A finished segment: its file (or folder of images) and how many frames it holds."""

    path: Path
    frames: int


def assemble(
    segments: Sequence[Segment],
    output: OutputPlan,
    target: Path,
    *,
    trial: Mapping[int, Fraction] | None = None,
) -> None:
    """Write ``target``: a temporary name beside the final one with the same suffix, or a folder for image sequences.

    Args:
        trial: no more than a second of each stream, from when this says; None: all of it.

    Raises:
        UserError: with ffmpeg's last words. The segments are left as they are.
    """
    frames = sum(segment.frames for segment in segments)
    if frames != output.timing.frames:
        raise UserError(
            f"The segments hold {frames} frames where the plan has {output.timing.frames}.",
            "resume=false to start anew.",
            ENVIRONMENT,
        )
    encoding = output.encoding
    if encoding.finish == "nothing":
        return
    if encoding.finish == "images":
        _gather_images(segments, encoding, target)
        return
    script = _script(segments, output.spec.rate)
    try:
        if encoding.finish == "copy":
            _mux(script, output, target, trial)
        else:
            _animate(script, output.spec, encoding, target, output.streams.loop or 0)
            if encoding.finish == "webp" and frames > 1:
                lasts = round(frames / output.spec.rate * 1000)
                as_animation(target, *encoding.stored_size(output.spec), lasts, output.streams.loop or 0)
            mark(target)
    except UserError:
        target.unlink(missing_ok=True)
        raise
    finally:
        script.unlink(missing_ok=True)


def publish(temporary: Path, target: Path, encoding: Encoding, overwrite: bool = False) -> None:
    """Give what ``assemble`` made its final name; images join what is in their folder already.

    Raises:
        UserError: something of that name exists and ``overwrite`` is not set, or the folder refuses.
    """
    if encoding.finish == "nothing":
        return
    try:
        if encoding.finish != "images":
            if target.exists() and not overwrite:
                raise _exists(target)
            os.replace(temporary, target)
            return
        folder = image_folder(target)
        if not folder.exists():
            os.replace(temporary, folder)
            return
        names = sorted(entry.name for entry in temporary.iterdir())
        taken = [name for name in names if (folder / name).exists()]
        if taken and not overwrite:
            raise _exists(folder / taken[0])
        for name in names:
            os.replace(temporary / name, folder / name)
        temporary.rmdir()
    except OSError as error:
        raise UserError(
            f"{target} cannot be written: {error.strerror}.",
            f"the result is complete in {temporary}; move it yourself.",
            ENVIRONMENT,
        ) from error


def _exists(path: Path) -> UserError:
    return UserError(f"{path} exists.", "overwrite=true, or another output= name.", USAGE)


# ------------------------------------------------------------------------------------------------------------ joining


def _script(segments: Sequence[Segment], rate: Fraction) -> Path:
    """A concat script beside the segments.

    Names in it are relative, so that no folder's name needs quoting; but ffmpeg takes ``#`` and ``?`` in a folder's
    name for the end of an address, and then only absolute names lead anywhere.
    """
    folder = segments[0].path.parent
    assert all(segment.path.parent == folder for segment in segments), "segments of one job share a folder"
    lines, frames, before = ["ffconcat version 1.0"], 0, 0
    for segment in segments:
        frames += segment.frames
        after = round(frames / rate / MICROSECOND)
        lines += [f"file '{_script_name(segment.path)}'", f"duration {after - before}us"]
        before = after
    script = folder / "join.ffconcat"
    try:
        script.write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as error:
        raise _unwritable(script, error) from error
    return script


def _script_name(path: Path) -> str:
    if not any(mark in str(path.parent) for mark in "#?"):
        return path.name
    if any(mark in str(path.parent) for mark in "\r\n"):  # a script's line cannot hold them, whatever the quotes
        raise UserError(
            f"ffmpeg can join nothing in a folder whose name has a line break and one of # and ? ({path.parent!r}).",
            "output= with a plainer name.",
            ENVIRONMENT,
        )
    return ffmpeg.file_url(path).replace("'", "'\\''")


def _unwritable(path: Path, error: OSError) -> UserError:
    return UserError(f"{path} cannot be written: {error.strerror}.", "free some space, run again.", ENVIRONMENT)


def _mux(
    script: Path,
    output: OutputPlan,
    target: Path,
    trial: Mapping[int, Fraction] | None = None,
) -> None:
    info, streams, timing = output.info, output.streams, output.timing
    origin, video_start = timing.origin(info), timing.video_start(info)
    facts = _picture_facts(output.spec, output.encoding)
    inputs = [ffmpeg.joined_input(script, itsoffset=_seconds(video_start), **facts)]
    source = silence = chapters = None
    real = [fate for fate in streams.kept if fate.index >= 0]
    places: dict[int, int] = {}  # in a trial, each stream has an input of its own, which begins where it does
    if not info.images:
        source = len(inputs)
        whole = {"itsoffset": _seconds(-origin)} if trial is None else {"t": "0.1"}
        inputs.append(ffmpeg.media_input(info.path, **whole))
        for fate in real if trial is not None else ():
            if fate.index in (trial or {}):
                places[fate.index] = len(inputs)
                inputs.append(ffmpeg.media_input(info.path, **_window(info, (trial or {})[fate.index])))
    if any(fate.index < 0 for fate in streams.kept):
        silence = len(inputs)
        inputs.append(ffmpeg.silence_input(_seconds(video_start + timing.duration)))
    sheet = _chapter_sheet(script.with_name("chapters.ffmetadata"), output)
    if sheet is not None:
        chapters = len(inputs)
        inputs.append(ffmpeg.metadata_input(sheet))
    covers = _cover_files(script.parent, info, [fate for fate in real if fate.cover and streams.suffix == ".mkv"])
    try:
        options = _maps(output, source, silence, covers, places)
        options["map_chapters"] = "-1" if chapters is None else str(chapters)
        options["map_metadata"] = "-1" if source is None else str(source)
        stale = ("major_brand", "minor_version", "compatible_brands", "encoder", "ENCODER", "timecode")
        tags = {key: list(values) for key, values in film_tags(streams.suffix).items()}
        tags["metadata"] = [*(f"{key}=" for key in stale), *tags["metadata"]]
        if streams.timecode:
            where = "metadata:s:v:0" if streams.suffix in (".mp4", ".mov") else "metadata"
            tags.setdefault(where, []).append(f"timecode={streams.timecode}")
        container, more = _container_options(output)
        tags["metadata"] += more
        options |= tags | container | ({"copyts": None} if trial is None else {})
        options |= {"max_muxing_queue_size": "8192", "f": streams.muxer}
        command = ffmpeg.Command(inputs, ffmpeg.file_url(target), options)
        ffmpeg.run(
            command,
            f"joining {target.name}" if trial is None else f"trying how a {target.suffix} ends",
            remedy="look at ffmpeg's message; an output that ends in .mkv, or subtitles=drop, may do. "
            "The pictures are safe: the same command goes on from here.",
        )
    finally:
        for extra in (sheet, *(path for path, _ in covers.values())):
            if extra is not None:
                extra.unlink(missing_ok=True)


def _window(info: SourceInfo, begin: Fraction) -> dict[str, str]:
    """Options of an input that give its second from ``begin`` on, a time on the source's clock."""
    ahead = begin - info.start
    return {"ss": _seconds(ahead), "t": "1"} if ahead > 1 else {"t": "2"}


def _picture_facts(spec: VideoSpec, encoding: Encoding) -> dict[str, str | None]:
    """Options of the joined input that put orientation and HDR metadata into the container."""
    options: dict[str, str | None] = {}
    if (spec.rotation or spec.mirrored) and not encoding.turned:
        # ffmpeg counts counter-clockwise, and flips after it has turned; ours is flip, then turn (see test_probe).
        options["display_rotation:v:0"] = str((spec.rotation if spec.mirrored else -spec.rotation) % 360)
        if spec.mirrored:
            options["display_hflip:v:0"] = None
    if ffmpeg.has_option("-mastering_display"):
        if spec.hdr.get("master_display"):
            options["mastering_display:v:0"] = spec.hdr["master_display"]
        if spec.hdr.get("max_cll"):
            options["content_light:v:0"] = spec.hdr["max_cll"]
    return options


def _maps(
    output: OutputPlan,
    source: int | None,
    silence: int | None,
    covers: dict[int, tuple[Path, str]],
    places: Mapping[int, int],
) -> dict[str, Any]:
    """Which stream goes where, how it is treated, and which tags it keeps: output streams are counted as they come.

    ``places`` are inputs for single streams of the source, in place of ``source``.
    """
    info, spec, encoding, streams, timing = output.info, output.spec, output.encoding, output.streams, output.timing
    options: dict[str, Any] = {"c:v:0": "copy", **colour_options(encoding.colour), "disposition:0": "default"}
    maps, tags = ["0:v:0"], []
    if encoding.codec == "hevc" and streams.suffix in (".mp4", ".m4v", ".mov"):
        options["tag:v:0"] = "hvc1"  # QuickTime and iOS play hevc under no other name
    if encoding.suffix == ".mkv":
        options["bsf:v:0"] = _snap(timing, timing.video_start(info))
    if source is not None:
        options["map_metadata:s:0"] = f"{source}:s:{info.video.index}"
        tags += [f"{key}=" for key in STALE]
    if spec.stereo and streams.suffix in (".mkv", ".webm"):
        tags.append(f"stereo_mode={spec.stereo[0]}")
    if encoding.has_alpha and encoding.codec == "vp9":
        tags.append("alpha_mode=1")
    options["metadata:s:0"] = tags
    number = 1
    languages = {stream.index: stream.language for stream in info.others}
    attached = [fate for fate in streams.kept if fate.kind == "attachment"]
    for fate in streams.kept:
        if fate.index in covers or fate in attached:
            continue
        maps.append(f"{silence}:a:0" if fate.index < 0 else f"{places.get(fate.index, source)}:{fate.index}")
        options[f"c:{number}"] = "copy" if fate.action == "copy" else fate.encoder
        if fate.index >= 0:
            options[f"map_metadata:s:{number}"] = f"{source}:s:{fate.index}"
            words = [f"{key}=" for key in STALE[:-4]] if fate.action != "copy" else []
            if fate.language != languages.get(fate.index):  # by the code that this container knows
                words.append(f"language={fate.language or ''}")
            if words:
                options[f"metadata:s:{number}"] = words
            if fate.action != "copy":
                options[f"disposition:{number}"] = _disposition(info, fate)
        elif fate.language:
            options[f"metadata:s:{number}"] = f"language={fate.language}"
        options |= _treatment(fate, number, info, timing)
        number += 1
    for fate in attached:
        maps.append(f"{source}:{fate.index}")
        options |= {f"c:{number}": "copy", f"map_metadata:s:{number}": f"{source}:s:{fate.index}"}
        number += 1
    for path, mimetype in covers.values():
        options[f"metadata:s:{number}"] = [f"mimetype={mimetype}", f"filename=cover{path.suffix}"]
        number += 1
    options["attach"] = [ffmpeg.file_url(path) for path, _ in covers.values()]
    return options | {"map": maps}


def _disposition(info: SourceInfo, fate: StreamFate) -> str:
    for stream in info.others:
        if stream.index == fate.index:
            return "+".join(stream.dispositions) or "0"
    return "0"


def _snap(timing: Timing, start: Fraction) -> str:
    """Matroska segments count milliseconds: bring each time back to its frame before it is rounded once more."""
    rate = f"{timing.rate.numerator}/{timing.rate.denominator}"
    back = f"{timing.rate.denominator}/{timing.rate.numerator}"
    offset = f"{float(start):.9f}"
    pts, dts = (f"round((round(({ts}*TB-{offset})*{rate})*{back}+{offset})/TB)" for ts in ("PTS", "DTS"))
    return f"setts=pts={pts}:dts={dts}"


def _treatment(fate: StreamFate, number: int, info: SourceInfo, timing: Timing) -> dict[str, str]:
    """Cut and stretch of one stream whose time 0 is the origin already."""
    cut = timing.start is not None or timing.end is not None
    length = (timing.end - timing.origin(info)) if timing.end is not None else None
    if fate.index < 0:
        return _numbered(fate.options, number)
    if fate.kind == "audio" and fate.action == "convert":
        filters = sound.track_filters(cut, length, timing.stretch, ffmpeg.filters(), fate.layout)
        return {f"filter:{number}": ",".join(filters), **_numbered(fate.options, number)}
    if fate.cover or not (cut or timing.stretch != 1):
        return {}
    steps = []
    if cut:
        # Whole packets of sound from the cut on; a subtitle that is on screen at the cut starts there.
        early = "lt(pts*tb\\,-0.0005)" if fate.kind == "audio" else "lte((pts+duration)*tb\\,0)"
        early = early if timing.start is not None else "0"  # the priming of a codec comes before 0, and stays
        late = f"+gte(pts*tb\\,{float(length):.9f})" if length is not None else ""
        steps.append(f"noise=drop={early}{late}")
    if fate.kind == "subtitle":
        stretch = f"*{timing.stretch.numerator}/{timing.stretch.denominator}" if timing.stretch != 1 else ""
        clamp = "max(PTS\\,0)" if cut else "PTS"
        lasts = "(DURATION+min(PTS\\,0))" if cut else "DURATION"
        if length is not None:
            lasts = f"min({lasts}\\,{float(length):.9f}/TB-{clamp})"
        steps.append(f"setts=ts={clamp}{stretch}:duration={lasts}{stretch}")
    return {f"bsf:{number}": ",".join(steps)} if steps else {}


def _numbered(options: Sequence[str], number: int) -> dict[str, str]:
    """``-b:a 160k`` for output stream ``number``: ``b:3`` is ``160k``."""
    return {f"{key[1:].removesuffix(':a')}:{number}": value for key, value in zip(options[::2], options[1::2])}


def _container_options(
    output: OutputPlan,
) -> tuple[dict[str, str], list[str]]:
    """Options of the container, and tags of the film beside those of the source."""
    info, streams, timing = output.info, output.streams, output.timing
    if streams.suffix in (".mp4", ".m4v", ".mov"):
        # Ticks in which every frame lies exactly, fine enough for the offsets as well.
        offset = timing.video_start(info).denominator
        scale = math.lcm(timing.rate.numerator, offset if offset <= 1_000_000 else 1)
        scale = scale if scale <= 10_000_000 else timing.rate.numerator
        while scale < 12000:
            scale *= 2
        flags = "+faststart"
        if any(key.startswith(("com.apple.quicktime.", "com.android.")) for key in info.tags):
            flags += "+use_metadata_tags"
        rate = str(scale)
        timecode = "1" if streams.timecode else "0"
        scales = {"video_track_timescale": rate, "movie_timescale": rate}
        return {"movflags": flags, **scales, "write_tmcd": timecode}, []
    if streams.suffix in (".ts", ".m2ts"):
        title = next((value for key, value in info.tags.items() if key.lower() == "title"), "")
        service = [f"service_name={_shortened(title, 250)}"] if title else []
        kind = "1" if streams.suffix == ".m2ts" else "0"
        return {"muxdelay": "0", "muxpreload": "0", "mpegts_m2ts_mode": kind}, service
    return {}, []


def _shortened(text: str, most: int) -> str:
    """``text`` in ``most`` bytes: MPEG-TS refuses a longer name."""
    return text.encode()[:most].decode(errors="ignore")


def _seconds(value: Fraction) -> str:
    """ffmpeg's options count microseconds."""
    ticks = round(value / MICROSECOND)
    return f"{ticks}us"


# ------------------------------------------------------------------------------------------------- chapters, covers


def _chapter_sheet(path: Path, output: OutputPlan) -> Path | None:
    """The source's chapters on the output's clock, as ffmpeg's metadata file; None if there are none left."""
    info, streams, timing = output.info, output.streams, output.timing
    if not streams.chapters or info.images:
        return None
    chapters = _chapters(info)
    origin, lines, kept = timing.origin(info), [";FFMETADATA1"], 0
    end = None if timing.end is None else (timing.end - origin) * timing.stretch
    for begin, finish, tags in chapters:
        first, last = (begin - origin) * timing.stretch, (finish - origin) * timing.stretch
        first, last = max(first, Fraction(0)), last if end is None else min(last, end)
        if last <= first and timing.start is None and timing.end is None:
            last = first  # a chapter that is a mere mark
        elif last <= first:
            continue
        kept += 1
        lines += ["[CHAPTER]", "TIMEBASE=1/1000000000", f"START={round(first * 10**9)}", f"END={round(last * 10**9)}"]
        lines += [f"{_escaped(key)}={_escaped(value)}" for key, value in tags.items()]
    if not kept:
        return None
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def chapters_kept(output: OutputPlan) -> int:
    """How many chapters the output has: those that the cut touches."""
    info, streams, timing = output.info, output.streams, output.timing
    if not streams.chapters or info.images:
        return 0
    if timing.start is None and timing.end is None:
        return streams.chapters
    low, high = timing.origin(info), timing.end
    return sum(last > low and (high is None or first < high) for first, last, _ in _chapters(info))


def _chapters(info: SourceInfo) -> list[tuple[Fraction, Fraction, dict[str, str]]]:
    """(start, end, tags) of the source's chapters, on its own clock."""
    with open_media(info.path) as container:
        chapters = container.chapters()
    return [
        (chapter["start"] * base, chapter["end"] * base, dict(chapter["metadata"]))
        for chapter in chapters
        if (base := Fraction(chapter["time_base"] or 1))
    ]


def _escaped(text: str) -> str:
    for sign in ("\\", "=", ";", "#", "\n"):
        text = text.replace(sign, "\\" + sign)
    return text


def _cover_files(folder: Path, info: SourceInfo, fates: Sequence[StreamFate]) -> dict[int, tuple[Path, str]]:
    """Cover pictures as files of their own: ffmpeg writes a Matroska cover only as an attachment."""
    covers: dict[int, tuple[Path, str]] = {}
    kinds = {"mjpeg": ("jpg", "image/jpeg"), "png": ("png", "image/png"), "webp": ("webp", "image/webp"),
             "bmp": ("bmp", "image/bmp"), "gif": ("gif", "image/gif")}  # fmt: skip
    if not fates:
        return covers
    with open_media(info.path) as container:
        for fate in fates:
            for packet in container.demux(container.streams[fate.index]):
                if packet.size:
                    suffix, mimetype = kinds[fate.source_codec]
                    path = folder / f"cover{fate.index}.{suffix}"
                    path.write_bytes(bytes(packet))
                    covers[fate.index] = (path, mimetype)
                    break
            container.seek(0)
    return covers


# ------------------------------------------------------------------------------------------- animations and images


def _animate(script: Path, spec: VideoSpec, encoding: Encoding, target: Path, plays: int) -> None:
    """GIF, WebP or APNG of the lossless segments, played ``plays`` times (0: for ever).

    GIF takes two passes, since a palette is one for the whole film.
    """
    held = encoding.pixel_format
    alpha = shape(spec.pixel_format).alpha
    rgb = ("rgba64be" if alpha else "rgb48be") if shape(held).depth > 8 and encoding.finish == "apng" else None
    rgb = rgb or ("rgba" if alpha else "rgb24")
    if encoding.finish == "webp":
        rgb = "bgra"
    base = ",".join([conversion(spec, rgb), *turning(spec)])
    doing, source, goal = f"making {target.name}", ffmpeg.joined_input(script), ffmpeg.file_url(target)
    if encoding.finish == "gif":
        palette = script.with_name("palette.png")
        palette_graph = f"{base},palettegen=stats_mode=full:reserve_transparent={int(alpha)}"
        single = {"vf": palette_graph, "frames:v": "1", "update": "1", "f": "image2"}
        graph = f"[0:v]{base}[p];[p][1:v]paletteuse=dither=sierra2_4a:diff_mode=rectangle:alpha_threshold=128"
        film = {"filter_complex": graph, "loop": str(plays - 1 if plays > 1 else -plays), "f": "gif"}
        try:
            ffmpeg.run(ffmpeg.Command([source], ffmpeg.pattern_url(palette.parent, palette.name), single), doing)
            ffmpeg.run(ffmpeg.Command([source, ffmpeg.own_picture_input(palette)], goal, film), doing)
        finally:
            palette.unlink(missing_ok=True)
        return
    if encoding.finish == "apng":
        how = {"c:v": "apng", "pred": "mixed", "plays": str(plays), "f": "apng"}
    else:
        quality = dict(encoding.options).get("finish:quality", "90")
        how = {"c:v": "libwebp_anim", "lossless": "1" if float(quality) >= 100 else "0", "quality": quality}
        how |= {"loop": str(plays), "f": "webp"}
    ffmpeg.run(ffmpeg.Command([source], goal, {"vf": base, "pix_fmt": rgb, **how}), doing)


def _gather_images(segments: Sequence[Segment], encoding: Encoding, target: Path) -> None:
    """Give the images of all segments the names that were asked for, counted from 1, in the folder ``target``.

    Images are linked, not moved, so that a failure leaves the segments whole; where links cannot be made, copied.
    """
    counted = "%" in encoding.pattern
    total = sum(segment.frames for segment in segments)
    if not counted and total != 1:
        raise UserError(
            f"{total} pictures cannot all be called {encoding.pattern}.", "a pattern such as frames/%08d.png.", USAGE
        )
    ours = not target.exists()
    try:
        target.mkdir(parents=True, exist_ok=True)
        number = 0
        for segment in segments:
            for image in sorted(segment.path.iterdir()):
                number += 1
                name = encoding.pattern % number if counted else encoding.pattern
                goal = target / name
                goal.unlink(missing_ok=True)
                try:
                    os.link(image, goal)
                except OSError:
                    shutil.copyfile(image, goal)
    except OSError as error:
        if ours:
            shutil.rmtree(target, ignore_errors=True)
        raise _unwritable(target, error) from error
    if number != total:
        raise UserError(
            f"{number} images were found where {total} were written.", "resume=false to start anew.", ENVIRONMENT
        )
