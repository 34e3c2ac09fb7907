"""One film: work through its segments, here or by workers, join, check, publish."""

from __future__ import annotations

import gc
import json
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.jobs import names
from vfi_pipeline.jobs.distribute import Head
from vfi_pipeline.jobs.fingerprint import content_hash, file_fingerprint
from vfi_pipeline.jobs.frame_maker import interpolate_segments
from vfi_pipeline.jobs.journal import (
    STYLE_FOLDER,
    Done,
    Journal,
    flush,
    flush_folder,
    open_journal,
    remove,
    remove_folder,
    work_folder,
    write_durably,
)
from vfi_pipeline.jobs.least_certain import Moment, least_certain
from vfi_pipeline.jobs.lock import Lock
from vfi_pipeline.jobs.method import LAST_MEMORY_LEVEL, MEMORY_LEVELS, ModelChoice
from vfi_pipeline.jobs.options import Options
from vfi_pipeline.jobs.plan import Plan, Segment
from vfi_pipeline.jobs.prepare import fingerprint, input_fingerprint
from vfi_pipeline.jobs.progress import Progress
from vfi_pipeline.jobs.report import facts_of, made_lines, stage_facts, stage_lines, stage_totals, totals
from vfi_pipeline.jobs.segment_task import MakeFrames, SegmentTask
from vfi_pipeline.jobs.sources import Film
from vfi_pipeline.jobs.space import check_space, explained, is_memory_error
from vfi_pipeline.jobs.values import counted, rate_text
from vfi_pipeline.jobs.workers import open_executor
from vfi_pipeline.media import assemble as joining
from vfi_pipeline.media.inventory import lost, phrases
from vfi_pipeline.media.rehearsal import held_by_result, held_by_source
from vfi_pipeline.media.verify import expect, verify
from vfi_pipeline.media.writer import FrameWriter, open_writer, segment_name

if TYPE_CHECKING:
    from vfi_pipeline.synthesis.stream import Statistics

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What became of one film; ``lines`` tell it to people, ``facts`` to programs, ``moments`` to the report's reader.
    ``skipped``: made before."""

    lines: tuple[str, ...]
    skipped: bool = False
    facts: dict[str, object] = field(default_factory=dict)
    moments: tuple[Moment, ...] = ()


def work(
    plan: Plan, film: Film, options: Options, model_choice: ModelChoice, command: str, make: MakeFrames | None = None
) -> Outcome:
    """Makes the film: the segments not yet done, then the whole; verified before it gets its name.

    Args:
        make: makes the frames of the segments; by default they are interpolated from the source's, by this process or
            by the workers that the options ask for.

    Raises:
        UserError: nothing is left under the final name, and the work folder is kept for the next run.
    """
    if options.benchmark:
        with explained(plan, film):
            return _benchmark(plan, film, options, model_choice, make or interpolate_segments)
    for line in plan.reported:
        log.warning("%s", line)
    names.make_folder(plan.target, options)
    folder = work_folder(plan.target)
    if not folder.exists() and not options.overwrite:
        names.refuse_overwriting(plan.target)
    with explained(plan, film):
        facts = fingerprint(plan, film, options, model_choice)
        with Lock(folder):
            journal = None
            try:
                journal = open_journal(folder, facts, command, options.resume)
                if not options.overwrite and not journal.publishing:
                    names.refuse_overwriting(plan.target)
                _forget_damaged(journal, folder, plan)
                if options.check_space:
                    check_space(plan, journal)
                workers = Head(open_executor(options, facts["device"]), film, facts, folder)
                maker = make or (workers if options.distributed else interpolate_segments)
                _make_segments(plan, film, options, model_choice, journal, folder, maker)
                _refuse_changed_input(journal, film)
                return _finish(plan, options, journal, folder)
            finally:
                # Kept after a failure, if there is anything in it to go on from.
                started = journal is not None and (bool(journal.done) or (folder / STYLE_FOLDER).exists())
                over = journal is not None and (journal.finished or not started)
                if over or not (folder / "journal.json").exists():
                    remove_folder(folder)


# ------------------------------------------------------------------------------------------------------- the steps


def _make_segments(
    plan: Plan,
    film: Film,
    options: Options,
    model_choice: ModelChoice,
    journal: Journal,
    folder: Path,
    make: MakeFrames,
) -> None:
    """Makes what the journal does not have yet, and enters it there."""
    todo = [segment for segment in plan.segments if segment.number not in journal.done]
    if not todo:
        log.info("%s: every segment is done already.", film.label)
        return
    if journal.done:
        log.info("%s: resuming, %d of %d segments are done already.", film.label, len(journal.done), len(plan.segments))
    progress = Progress(film.label, plan.timeline.count, sum(done.frames for done in journal.done.values()))

    def finished(segment: Segment, frames: int, statistics: Statistics) -> None:
        path = folder / segment_name(plan.encoding, segment.number)
        for file in _files(path):
            flush(file)
        cuts, uncertain = sorted(set(statistics.cuts)), statistics.uncertain
        done = Done(frames, *_quick(path), cuts=cuts, facts=facts_of(statistics), uncertain=uncertain)
        journal.record(segment.number, done)

    while todo:
        short: str | None = None
        try:
            make(_task(plan, options, model_choice, todo, folder, finished, progress))
        except Exception as error:
            # Only the message is kept: the error's frames hold on to the pictures that filled the memory.
            if not is_memory_error(error) or model_choice.memory_level >= LAST_MEMORY_LEVEL:
                raise
            short = str(error).strip().partition("\n")[0]
        finally:
            progress.clear()
        todo = [segment for segment in todo if segment.number not in journal.done]
        if short is not None:
            model_choice = model_choice.with_less_memory()
            log.warning(
                "%s: the memory ran out (%s): going on with %s.",
                film.label,
                short,
                MEMORY_LEVELS[model_choice.memory_level],
            )
            gc.collect()
            progress = Progress(film.label, plan.timeline.count, sum(done.frames for done in journal.done.values()))
    if progress.made:
        frames_made = counted(progress.made, plan.noun)
        log.info("%s: %s made at %.2f per second.", film.label, frames_made, progress.made_per_second)


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


def _task(
    plan: Plan,
    options: Options,
    model_choice: ModelChoice,
    segments: Sequence[Segment],
    folder: Path | None,
    finished: Callable[[Segment, int, Statistics], None],
    progress: Progress,
) -> SegmentTask:
    """The segments to be made; their files lie in ``folder``, and nowhere if that is None."""

    def open_segment(segment: Segment) -> FrameWriter:
        path = Path(os.devnull) if folder is None else folder / segment_name(plan.encoding, segment.number)
        return open_writer(path, plan.spec, plan.encoding, first=segment.start)

    return SegmentTask(plan, options, model_choice, tuple(segments), open_segment, finished, progress)


def _benchmark(plan: Plan, film: Film, options: Options, model_choice: ModelChoice, make: MakeFrames) -> Outcome:
    """Everything but the output: for ``benchmark=true``."""
    progress = Progress(film.label, plan.timeline.count)
    statistics_of_segments: list[Statistics] = []

    def finished(segment: Segment, frames: int, statistics: Statistics) -> None:
        statistics_of_segments.append(statistics)

    try:
        make(_task(plan, options, model_choice, plan.segments, None, finished, progress))
    finally:
        progress.clear()
    elapsed = progress.elapsed
    lines = [
        f"{film.label}: {counted(progress.done, 'frame')} in {elapsed:.1f} s, {progress.done / elapsed:.2f} frames/s, "
        f"{progress.made_per_second:.2f} made/s, model {model_choice.name}; nothing was written.",
        *stage_lines(statistics_of_segments),
    ]
    speed = {"seconds": elapsed, "frames_per_s": progress.done / elapsed, "made_per_s": progress.made_per_second}
    return Outcome(tuple(lines), facts={**speed, "stages_s": stage_facts(statistics_of_segments)})


def _finish(plan: Plan, options: Options, journal: Journal, folder: Path) -> Outcome:
    """Joins the segments, checks the result and gives it its name."""
    target = plan.target
    segments = [
        joining.Segment(folder / segment_name(plan.encoding, part.number), part.frames) for part in plan.segments
    ]
    whole = folder / ("finished" if plan.encoding.finish == "images" else f"finished{target.suffix}")
    log.info("%s: joining and checking.", Path(plan.shown).name)
    joining.assemble(segments, plan.output, whole)
    verified = verify(whole, expect(plan.output))
    had, has = held_by_source(plan.info, plan.streams), held_by_result(whole, plan.streams)
    unplanned = phrases(lost(had, has, plan.streams.missing))
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
    alone = plan.timeline.apart or (plan.noun == "picture" and verified.frames == 1)
    lasts = "" if alone else f" at {rate_text(plan.output.timing.rate)} fps, {float(verified.duration):.3f} s"
    lines = [f"{plan.shown}: {counted(verified.frames, plan.noun)}{lasts}, verified.", *made_lines(journal, plan.noun)]
    if plan.cuts is None and cuts:
        listed = _write_cuts(plan, cuts)
        lines.append(
            f"{counted(len(cuts), 'cut')} found, listed in {listed.name} "
            f"(edit it and pass it back with cuts={listed.name})"
        )
    if unplanned:
        lines.append(f"lost, though the plan did not say so: {'; '.join(unplanned)}.")
    facts: dict[str, object] = {**totals(journal), "cuts": cuts if plan.cuts is None else list(plan.cuts)}
    facts["lost_unplanned"] = unplanned
    facts["stages_s"] = stage_totals(journal)
    facts["least_certain"] = least_certain(plan, [entry for done in journal.done.values() for entry in done.uncertain])
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
            remove(child)
    journal.save()
