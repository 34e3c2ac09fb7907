"""One film on this machine: work through its segments, join, check, publish."""

from __future__ import annotations

import gc
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.jobs import names
from vfi_pipeline.jobs.faces import EditChoice
from vfi_pipeline.jobs.fingerprint import content_hash, file_fingerprint
from vfi_pipeline.jobs.journal import (
    Done,
    Journal,
    flush,
    flush_folder,
    open_journal,
    remove_folder,
    work_folder,
    write_durably,
)
from vfi_pipeline.jobs.lock import Lock
from vfi_pipeline.jobs.method import LEAN, LEANEST, Method, resolve_device
from vfi_pipeline.jobs.options import Options
from vfi_pipeline.jobs.pipeline import MOST_QUEUED, Pipeline
from vfi_pipeline.jobs.plan import Plan, Segment
from vfi_pipeline.jobs.prepare import fingerprint, input_fingerprint
from vfi_pipeline.jobs.progress import Progress
from vfi_pipeline.jobs.report import facts_of, made_lines, stage_facts, stage_lines, totals
from vfi_pipeline.jobs.sources import Film
from vfi_pipeline.jobs.space import check_space, device_error, environment_error, gone, is_memory_error, memory_error
from vfi_pipeline.jobs.values import rate_text
from vfi_pipeline.media import assemble as joining
from vfi_pipeline.media import reader
from vfi_pipeline.media.frames import Frame
from vfi_pipeline.media.inventory import lost, told
from vfi_pipeline.media.rehearsal import held_by_result, held_by_source
from vfi_pipeline.media.verify import expect, verify
from vfi_pipeline.media.writer import FrameWriter, open_writer, segment_name

if TYPE_CHECKING:
    from vfi_pipeline.models.motion import MotionModel
    from vfi_pipeline.synthesis.mask import Mask
    from vfi_pipeline.synthesis.stream import Statistics
    from vfi_pipeline.synthesis.style import Stylist

log = logging.getLogger(__name__)

STYLE_FOLDER = "style"
"""In the work folder: what a style has painted so far, for a job that goes on."""


class MakeFrames(Protocol):
    """Makes the frames of segments: writes each segment to ``open_segment``'s writer, then calls ``finished``."""

    def __call__(
        self,
        plan: Plan,
        options: Options,
        method: Method,
        todo: list[Segment],
        open_segment: Callable[[Segment], AbstractContextManager[FrameWriter]],
        finished: Callable[[Segment, int, Any], None],
        progress: Progress,
    ) -> None: ...


@dataclass(frozen=True)
class Outcome:
    """What became of one film; ``lines`` tell it to people, ``facts`` to programs. ``skipped``: made before."""

    lines: tuple[str, ...]
    skipped: bool = False
    facts: dict[str, object] = field(default_factory=dict)


def work(
    plan: Plan, film: Film, options: Options, method: Method, command: str, make: MakeFrames | None = None
) -> Outcome:
    """Makes the film: the segments not yet done, then the whole; verified before it gets its name.

    Args:
        make: makes the frames of the segments; by default they are interpolated from the source's.

    Raises:
        UserError: nothing is left under the final name, and the work folder is kept for the next run.
    """
    make = make or _run
    if options.benchmark:
        with _explained(plan, film):
            return _benchmark(plan, film, options, method, make)
    for line in plan.told:
        log.warning("%s", line)
    names.make_folder(plan.target, options)
    folder = work_folder(plan.target)
    if not folder.exists() and not options.overwrite:
        names.refuse_overwriting(plan.target)
    with _explained(plan, film):
        facts = fingerprint(plan, film, options, method)
        with Lock(folder):
            journal = None
            try:
                journal = open_journal(folder, facts, command, options.resume)
                if not options.overwrite and not journal.publishing:
                    names.refuse_overwriting(plan.target)
                _forget_damaged(journal, folder, plan)
                if options.check_space:
                    check_space(plan, journal)
                _make_segments(plan, film, options, method, journal, folder, make)
                _refuse_changed_input(journal, film)
                return _finish(plan, options, journal, folder)
            finally:
                # Kept after a failure, if there is anything in it to go on from.
                started = journal is not None and (bool(journal.done) or (folder / STYLE_FOLDER).exists())
                over = journal is not None and (journal.finished or not started)
                if over or not (folder / "journal.json").exists():
                    remove_folder(folder)


@contextmanager
def _explained(plan: Plan, film: Film) -> Iterator[None]:
    """What the system refuses, and memory that runs out, told in a line."""
    try:
        yield
    except UserError as error:
        if all(file.exists() for file in film.files):
            raise
        # Whatever has failed for want of it, and however that part puts it.
        raise gone(film) from error
    except Exception as error:
        told = memory_error(error, plan) or device_error(error)
        if told is None and isinstance(error, OSError):
            told = environment_error(error, plan.target, film)
        if told is None:
            raise
        raise told from error


# ------------------------------------------------------------------------------------------------------- the steps


def _make_segments(
    plan: Plan, film: Film, options: Options, method: Method, journal: Journal, folder: Path, make: MakeFrames
) -> None:
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
            segment.number, Done(frames, *_quick(path), cuts=sorted(set(statistics.cuts)), facts=facts_of(statistics))
        )

    while todo:
        short: str | None = None
        try:
            make(plan, options, method, todo, open_segment, finished, progress)
        except Exception as error:
            # Only the message is kept: the error's frames hold on to the pictures that filled the memory.
            if not is_memory_error(error) or method.lean >= LEANEST:
                raise
            short = str(error).strip().partition("\n")[0]
        finally:
            progress.clear()
        todo = [segment for segment in todo if segment.number not in journal.done]
        if short is not None:
            method = method.leaner()
            log.warning("%s: the memory ran out (%s): going on with %s.", film.label, short, LEAN[method.lean])
            gc.collect()
            progress = Progress(film.label, plan.timeline.count, sum(done.frames for done in journal.done.values()))
    log.info("%s: %d frames made at %.2f per second.", film.label, progress.made, progress.made_per_second)


def _refuse_changed_input(journal: Journal, film: Film) -> None:
    """UserError if the input is not what it was when the work began: sound and pictures would be of two films."""
    now = {f"input.{key}": value for key, value in input_fingerprint(film).items()}
    changed = [key for key, value in now.items() if journal.fingerprint.get(key) != value]
    if changed:
        raise UserError(
            f"{film.label} was changed while the work went on ({', '.join(changed)}).",
            "the same command with the input of before, or resume=false to start anew.",
            BAD_INPUT,
        )


def _benchmark(plan: Plan, film: Film, options: Options, method: Method, make: MakeFrames) -> Outcome:
    """Everything but the output: for ``benchmark=true``."""
    progress = Progress(film.label, plan.timeline.count)
    nowhere = Path(os.devnull)
    made: list[Statistics] = []

    def finished(segment: Segment, frames: int, statistics: Statistics) -> None:
        made.append(statistics)

    try:
        make(
            plan, options, method, list(plan.segments), lambda segment: open_writer(nowhere, plan.spec, plan.encoding),
            finished, progress,
        )  # fmt: skip
    finally:
        progress.clear()
    elapsed = progress.elapsed
    lines = [
        f"{film.label}: {progress.done} frames in {elapsed:.1f} s, {progress.done / elapsed:.2f} frames/s, "
        f"{progress.made_per_second:.2f} made/s, model {method.name}; nothing was written.",
        *stage_lines(made),
    ]
    speed = {"seconds": elapsed, "frames_per_s": progress.done / elapsed, "made_per_s": progress.made_per_second}
    return Outcome(tuple(lines), facts={**speed, "stages_s": stage_facts(made)})


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
        dedup=options.dedup, mask=_mask(options.mask), overlay=options.overlay, scaling=plan.scaling,
        exposure_s=plan.exposure_s, max_gap_s=plan.max_gap_s, device=resolve_device(options.device),
        style=_stylist(plan, options, model, progress),
        times_per_solve=1 if method.lean else stream.Options.times_per_solve,
    )  # fmt: skip
    times = plan.timeline.times

    def open_frames(start: int) -> AbstractContextManager[Iterator[tuple[int, Frame]]]:
        return reader.read_numbered(
            plan.info, start, None,
            allow_damaged=options.allow_damaged, max_pixels=options.max_pixels, threads=1 if method.lean else None,
        )  # fmt: skip

    def compute(segment: Segment, frames: Iterator[tuple[int, Frame]]) -> Iterator[tuple[Frame, bool]]:
        facts = statistics[segment.number] = stream.Statistics()
        slots = plan.timeline.slots(segment.start, segment.stop)
        if settings.style is not None:
            settings.style.segment_begins(segment.number)
        for output in stream.interpolate(frames, slots, model, settings, times, facts):
            yield output.frame, output.made

    def note(segment: Segment) -> Statistics:
        if settings.style is not None:
            settings.style.segment_ends(segment.number)
        return statistics.pop(segment.number)

    Pipeline(
        open_frames,
        compute,
        note,
        open_segment,
        finished,
        progress.add,
        most_frames=2 if method.lean else MOST_QUEUED,
    ).run([part.within(stream.CONTEXT_BEFORE, stream.CONTEXT_AFTER, *plan.timeline.sources_shown) for part in todo])


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
    had, has = held_by_source(plan.info, plan.streams), held_by_result(whole, plan.streams)
    unplanned = told(lost(had, has, plan.streams.missing))
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
    lines += made_lines(journal)
    if plan.cuts is None and cuts:
        listed = _write_cuts(plan, cuts)
        lines.append(
            f"{len(cuts)} cut{'s' * (len(cuts) > 1)} found, listed in {listed.name} "
            f"(edit it and pass it back with cuts={listed.name})"
        )
    if unplanned:
        lines.append(f"lost, though the plan did not say so: {'; '.join(unplanned)}.")
    facts: dict[str, object] = {**totals(journal), "cuts": cuts if plan.cuts is None else list(plan.cuts)}
    facts["lost_unplanned"] = unplanned
    return Outcome(tuple(lines), facts=facts)


def _write_cuts(plan: Plan, cuts: Sequence[int]) -> Path:
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
        if child.name not in {"lock", "journal.json", STYLE_FOLDER, *kept}:
            if child.is_dir() and not child.is_symlink():
                shutil.rmtree(child)
            else:
                child.unlink()
    journal.save()


def _stylist(plan: Plan, options: Options, model: MotionModel, progress: Progress) -> Stylist | None:
    choice = options.style
    if choice is None:
        return None
    from vfi_pipeline.jobs.style_passes import paint_film
    from vfi_pipeline.models.style import load_style
    from vfi_pipeline.synthesis.style import NetworkPainter, Painter, Stylist

    device = resolve_device(options.device)
    folder = work_folder(plan.target) / STYLE_FOLDER
    painter: Painter
    if isinstance(choice, EditChoice):
        painter = choice.painter(device, progress)
    elif choice.weights is not None:
        painter = NetworkPainter(load_style(choice.weights, device), looks_back=model.guide_span is not None)
    else:
        painter = paint_film(plan, options, choice, model, folder, device, progress)
    memory = None if options.benchmark else folder
    return Stylist(painter, choice.settings(), device, memory, apart=options.at is not None)


def _mask(path: str | None) -> Mask | None:
    if path is None:
        return None
    from vfi_pipeline.synthesis.mask import read_mask

    return read_mask(Path(path))
