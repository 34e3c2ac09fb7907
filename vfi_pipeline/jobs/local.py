"""One film on this machine: plan it, work through its segments, join, check, publish."""

from __future__ import annotations

import errno
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import vfi_pipeline
from vfi_pipeline.errors import BAD_INPUT, ENVIRONMENT, UserError
from vfi_pipeline.jobs import names
from vfi_pipeline.jobs.journal import (
    Done,
    Journal,
    Lock,
    content_hash,
    file_fingerprint,
    files_fingerprint,
    flush,
    flush_folder,
    lock_holder,
    open_journal,
    remove_folder,
    work_folder,
    write_durably,
)
from vfi_pipeline.jobs.options import Options, read_cuts
from vfi_pipeline.jobs.pipeline import Pipeline
from vfi_pipeline.jobs.plan import Plan, Segment, cuts_of, describe, segments_of, timeline_of
from vfi_pipeline.jobs.progress import Progress
from vfi_pipeline.jobs.sources import Film
from vfi_pipeline.jobs.values import clock_text, rate_text, size_text
from vfi_pipeline.media import assemble as joining
from vfi_pipeline.media import ffmpeg, images, index, probe, reader
from vfi_pipeline.media.containers import stream_plan
from vfi_pipeline.media.encoders import VideoSpec, choose_encoding, default_suffix
from vfi_pipeline.media.frames import Frame
from vfi_pipeline.media.info import SourceInfo
from vfi_pipeline.media.verify import expect, verify
from vfi_pipeline.media.writer import FrameWriter, open_writer, segment_name

if TYPE_CHECKING:
    from vfi_pipeline.models.motion import MotionModel
    from vfi_pipeline.synthesis.mask import Mask
    from vfi_pipeline.synthesis.stream import Statistics

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Method:
    """The motion model of a job: how to build it, and all that changes its pictures, for the fingerprint.

    ``build`` loads torch and the weights, so it is called only when frames are to be made.
    """

    name: str
    build: Callable[[], MotionModel]
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What became of one film; ``lines`` tell it to people."""

    target: Path | None
    lines: tuple[str, ...]


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
    entries = read_cuts(Path(options.cuts)) if options.cuts else (None if options.scene else ())
    return Plan(
        info, timeline, target, segments_of(timeline, options.segment), spec, encoding,
        stream_plan(info, target, encoding, audio=audio, stretch=timeline.slowdown),
        joining.Timing(
            timeline.rate, timeline.count, timeline.begin,
            None if options.start is None else timeline.begin, None if options.end is None else timeline.end,
            timeline.slowdown,
        ),
        cuts_of(entries, info, times),
    )  # fmt: skip


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


def show(plan: Plan, film: Film, options: Options, method: Method) -> Outcome:
    """The plan and the state of the work, for ``dry_run=true``."""
    lines = describe(plan, options, _done_already(plan), _free(plan.target.parent))
    lines.insert(3, f"model     {method.name}")
    present = names.existing(plan.target)
    if present and not options.overwrite and not options.benchmark:
        lines.append(f"note      {plan.target.name} exists already: overwrite=true, or another output=.")
    lines += status(plan.target)[1:]
    return Outcome(None, tuple(lines))


def status(target: Path) -> list[str]:
    """What is done and what is left for ``target``, one fact per line."""
    folder = work_folder(target)
    if names.existing(target) and not folder.exists():
        return [f"{target}: done."]
    try:
        journal = Journal.load(folder / "journal.json")
    except FileNotFoundError:
        return [f"{target}: nothing is done yet."]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return [f"{target}: {folder.name} cannot be read ({error}); the next run starts anew."]
    frames = sum(done.frames for done in journal.done.values())
    lines = [
        f"{target}: {len(journal.done)} of {journal.fingerprint.get('segments', '?')} segments done, "
        f"{frames} of {journal.fingerprint.get('frames', '?')} frames."
    ]
    holder = lock_holder(folder)
    lines.append(f"working   {holder}" if holder else f"resume    {journal.command}")
    return lines


def work(plan: Plan, film: Film, options: Options, method: Method, command: str) -> Outcome:
    """Makes the film: the segments not yet done, then the whole; verified before it gets its name.

    Raises:
        UserError: nothing is left under the final name, and the work folder is kept for the next run.
    """
    if options.benchmark:
        return _benchmark(plan, film, options, method)
    for fate in plan.streams.lost:
        log.warning(
            "%s is left out: %s %s", fate.label or fate.kind, fate.why, f"({fate.remedy})" if fate.remedy else ""
        )
    for note in (*plan.encoding.notes, *plan.streams.notes):
        log.warning("%s", note)
    names.make_folder(plan.target, options)
    folder = work_folder(plan.target)
    if not folder.exists() and not options.overwrite:
        names.refuse_overwriting(plan.target)
    facts = fingerprint(plan, film, options, method)
    with Lock(folder):
        journal = None
        try:
            journal = open_journal(folder, facts, command, options.resume)
            if not options.overwrite and not journal.publishing:
                names.refuse_overwriting(plan.target)
            _forget_damaged(journal, folder, plan)
            if options.check_space:
                _check_space(plan, journal)
            _make_segments(plan, film, options, method, journal, folder)
            outcome = _finish(plan, options, journal, folder)
        except OSError as error:
            raise _environment_error(error, plan.target, film) from error
        finally:
            # Kept after a failure, if there is anything in it to go on from.
            if journal is not None and (journal.finished or not journal.done):
                remove_folder(folder)
    return outcome


def fingerprint(plan: Plan, film: Film, options: Options, method: Method) -> dict[str, str]:
    """All that decides what the segments hold: input, settings, model, weights, versions."""
    info = plan.info
    content = files_fingerprint(film.images) if film.images else file_fingerprint(film.path)
    facts: dict[str, Any] = {f"input.{key}": value for key, value in content.items()}
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
        "mask": content_hash(Path(options.mask)) if options.mask else "none",
        "codec": plan.encoding.encoder,
        "pix_fmt": plan.encoding.pixel_format,
        "container": plan.encoding.muxer,
        "model": method.name,
        "scale": options.scale,
        "precision": options.precision,
        "device": resolve_device(options.device),
    }
    facts |= dict(plan.encoding.options)
    facts |= {f"model.{key}": value for key, value in method.settings.items()}
    return {key: str(value) for key, value in facts.items()}


# ------------------------------------------------------------------------------------------------------- the steps


def _make_segments(plan: Plan, film: Film, options: Options, method: Method, journal: Journal, folder: Path) -> None:
    """Makes what the journal does not have yet, and enters it there."""
    todo = [segment for segment in plan.segments if segment.number not in journal.done]
    if not todo:
        log.info("%s: every segment is done already.", film.label)
        return
    if journal.done:
        log.info("%s: resuming, %d of %d segments are done already.", film.label, len(journal.done), len(plan.segments))
    progress = Progress(film.label, plan.timeline.count, sum(done.frames for done in journal.done.values()))

    def open_segment(segment: Segment) -> FrameWriter:
        return open_writer(
            folder / segment_name(plan.encoding, segment.number), plan.spec, plan.encoding, first=segment.start
        )

    def finished(segment: Segment, frames: int, statistics: Statistics) -> None:
        path = folder / segment_name(plan.encoding, segment.number)
        for file in _files(path):
            flush(file)
        journal.record(
            segment.number, Done(frames, *_quick(path), cuts=sorted(set(statistics.cuts)), facts=_facts(statistics))
        )

    try:
        _run(plan, options, method, todo, open_segment, finished, progress)
    finally:
        progress.clear()
    log.info("%s: %d frames made at %.2f per second.", film.label, progress.made, progress.made_per_second)


def _benchmark(plan: Plan, film: Film, options: Options, method: Method) -> Outcome:
    """Everything but the output: for ``benchmark=true``."""
    progress = Progress(film.label, plan.timeline.count)
    nowhere = Path(os.devnull)
    made: list[Statistics] = []

    def finished(segment: Segment, frames: int, statistics: Statistics) -> None:
        made.append(statistics)

    try:
        _run(
            plan, options, method, list(plan.segments), lambda segment: open_writer(nowhere, plan.spec, plan.encoding),
            finished, progress,
        )  # fmt: skip
    finally:
        progress.clear()
    elapsed = progress.elapsed
    lines = [
        f"{film.label}: {progress.done} frames in {elapsed:.1f} s, {progress.done / elapsed:.2f} frames/s, "
        f"{progress.made_per_second:.2f} made/s, model {method.name}; nothing was written.",
        *_stage_lines(made),
    ]
    return Outcome(None, tuple(lines))


def _run(
    plan: Plan,
    options: Options,
    method: Method,
    todo: list[Segment],
    open_segment: Callable[[Segment], AbstractContextManager[FrameWriter]],
    finished: Callable[[Segment, int, Any], None],
    progress: Progress,
) -> None:
    # Here and not above: torch takes seconds to load, and help, plans and mistakes should not wait for it.
    from vfi_pipeline.synthesis import stream

    model = method.build()
    statistics: dict[int, Statistics] = {}
    settings = stream.Options(
        scene=options.scene, scene_threshold=options.scene_threshold, cuts=plan.cuts, at_cut=options.cut,
        dedup=options.dedup, mask=_mask(options.mask), device=resolve_device(options.device),
    )  # fmt: skip
    times = plan.timeline.times

    def open_frames(start: int) -> AbstractContextManager[Iterator[tuple[int, Frame]]]:
        return reader.read_numbered(
            plan.info, start, None, options.deinterlace,
            allow_damaged=options.allow_damaged, max_pixels=options.max_pixels,
        )  # fmt: skip

    def compute(segment: Segment, frames: Iterator[tuple[int, Frame]]) -> Iterator[tuple[Frame, bool]]:
        facts = statistics[segment.number] = stream.Statistics()
        slots = plan.timeline.slots(segment.start, segment.stop)
        for output in stream.interpolate(frames, slots, model, settings, times, facts):
            yield output.frame, output.made

    Pipeline(
        open_frames, compute, lambda segment: statistics.pop(segment.number), open_segment, finished, progress.add
    ).run([part.within(stream.CONTEXT_BEFORE, stream.CONTEXT_AFTER, len(times)) for part in todo])


def _finish(plan: Plan, options: Options, journal: Journal, folder: Path) -> Outcome:
    """Joins the segments, checks the result and gives it its name."""
    target, timing = plan.target, plan.timing
    segments = [
        joining.Segment(folder / segment_name(plan.encoding, part.number), part.frames) for part in plan.segments
    ]
    whole = folder / ("finished" if plan.encoding.finish == "images" else f"finished{target.suffix}")
    log.info("%s: joining and checking.", target.name)
    joining.assemble(segments, plan.info, plan.spec, plan.encoding, plan.streams, timing, whole)
    found = verify(whole, expect(plan.info, plan.spec, plan.encoding, plan.streams, timing))
    cuts = sorted({cut for done in journal.done.values() for cut in done.cuts})
    for file in _files(whole):
        flush(file)
    if not options.overwrite and not journal.publishing:
        names.refuse_overwriting(target)
    journal.publishing = True  # stopped from here on, the same command may replace what it has put there itself
    journal.save()
    joining.publish(whole, target, plan.encoding, overwrite=True)
    flush_folder(target.parent)
    journal.finished = True
    lines = [
        f"{target}: {found.frames} frames at {rate_text(timing.rate)} fps, {float(found.duration):.3f} s, verified."
    ]
    lines += _made_lines(journal)
    if plan.cuts is None and cuts:
        listed = _write_cuts(plan, cuts)
        lines.append(
            f"{len(cuts)} cuts found, listed in {listed.name} (edit it and pass it back with cuts={listed.name})"
        )
    return Outcome(target, tuple(lines))


def _write_cuts(plan: Plan, cuts: Sequence[int]) -> Path:
    import json

    times, start = plan.timeline.times, plan.info.start
    entries = [{"frame": cut, "time": f"{float(times.time(cut) - start):.6f}"} for cut in cuts]
    stem = plan.target.stem.replace("%", "pct")
    content = json.dumps({"film": plan.info.path.name, "cuts": entries}, indent=1).encode() + b"\n"
    path = plan.target.with_name(f"{stem}.cuts.json")
    if path.exists() and path.read_bytes() != content:
        path = names.free_name(path)  # the one there may have been edited
    write_durably(path, content)
    return path


# ------------------------------------------------------------------------------------------------------ small things


def _files(path: Path) -> list[Path]:
    return sorted(path.iterdir()) if path.is_dir() else [path]


def _quick(path: Path) -> tuple[str, str]:
    """(size, hash) of a segment."""
    files = _files(path)
    if files == [path]:
        facts = file_fingerprint(path)
        return facts["size"], facts["content"]
    sizes = [file.stat().st_size for file in files]
    return str(sum(sizes)), content_hash(files[0])[:16] + content_hash(files[-1])[:16] if files else ""


def _forget_damaged(journal: Journal, folder: Path, plan: Plan) -> None:
    """Drops segments whose file is not what was recorded, and files that no one recorded."""
    kept = set()
    for number, done in list(journal.done.items()):
        path = folder / segment_name(plan.encoding, number)
        try:
            good = _quick(path) == (done.size, done.content)
        except OSError:
            good = False
        if good:
            kept.add(path.name)
        else:
            log.warning("segment %d is damaged: it is made again.", number)
            del journal.done[number]
    for child in folder.iterdir():
        if child.name not in {"lock", "journal.json", *kept}:
            if child.is_dir() and not child.is_symlink():
                shutil.rmtree(child)
            else:
                child.unlink()
    journal.save()


def _done_already(plan: Plan) -> int:
    try:
        return len(Journal.load(work_folder(plan.target) / "journal.json").done)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return 0


def _check_space(plan: Plan, journal: Journal) -> None:
    free = _free(plan.target.parent)
    have = sum(int(done.size) for done in journal.done.values())
    needed = plan.disk_bytes - have
    if free is not None and needed > free:
        raise UserError(
            f"About {size_text(needed)} are needed in {plan.target.parent}, and {size_text(free)} are free.",
            "free some space, output= on another disk, or check_space=off if you know better.",
            ENVIRONMENT,
        )


def _free(folder: Path) -> int | None:
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def _environment_error(error: OSError, target: Path, film: Film) -> UserError:
    if not all(file.exists() for file in film.files):
        return UserError(f"{film.label} is gone.", "put it back, then the same command again.", BAD_INPUT)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(
            f"The disk of {target.parent} is full.", "free some space, then the same command again.", ENVIRONMENT
        )
    what = f" ({error.filename})" if error.filename else ""
    return UserError(
        f"{target.name} cannot be written: {error.strerror or error}{what}.", "see to it, then the same command again.",
        ENVIRONMENT,
    )  # fmt: skip


def resolve_device(text: str) -> str:
    """``auto`` as ``cuda`` or ``cpu``; UserError if the device asked for is not there."""
    import torch

    if text == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if text.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(
            f"device={text}, but torch {torch.__version__} sees no CUDA device here.", "device=cpu.", ENVIRONMENT
        )
    if text.startswith("cuda:") and int(text[5:]) >= torch.cuda.device_count():
        raise UserError(f"There is no {text}, only {torch.cuda.device_count()} of them.", "device=cuda:0.", ENVIRONMENT)
    return text


def _mask(path: str | None) -> Mask | None:
    if path is None:
        return None
    from vfi_pipeline.synthesis.mask import read_mask

    return read_mask(Path(path))


def _facts(statistics: Statistics) -> dict[str, float]:
    return {
        "made": statistics.made, "held": statistics.held, "copied": statistics.copied, "pairs": statistics.pairs,
        "nfe": statistics.nfe, "min_det": statistics.min_det, "folded": statistics.folded,
        "duplicates": len(statistics.duplicates),
    }  # fmt: skip


def _made_lines(journal: Journal) -> list[str]:
    facts = [done.facts for done in journal.done.values()]
    total = {key: sum(fact[key] for fact in facts) for key in ("made", "held", "copied", "pairs", "nfe", "duplicates")}
    line = f"{total['copied']:.0f} frames copied from the source, {total['made']:.0f} made"
    if total["held"]:
        line += f", {total['held']:.0f} held (cuts, still pictures)"
    if total["nfe"]:
        folded = sum(fact["folded"] * fact["pairs"] for fact in facts) / max(1, total["pairs"])
        line += (
            f"; {total['nfe'] / max(1, total['pairs']):.0f} velocity calls per pair, "
            f"smallest Jacobian determinant {min(fact['min_det'] for fact in facts):.3f}, {100 * folded:.2f} % folded"
        )
    if total["duplicates"]:
        line += f"; {total['duplicates']:.0f} repeated frames re-timed"
    return [line + "."]


def _stage_lines(statistics: Sequence[Statistics]) -> list[str]:
    stages: dict[str, float] = {}
    for facts in statistics:
        for stage, seconds in facts.seconds.items():
            stages[stage] = stages.get(stage, 0.0) + seconds
    total = ", ".join(
        f"{stage} {clock_text(seconds)}" if seconds >= 100 else f"{stage} {seconds:.1f} s"
        for stage, seconds in stages.items()
    )
    return [f"computing: {total}"] if total else []
