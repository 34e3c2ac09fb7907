"""Reports of a job: the plan, the state of the work, the result."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import vfi_pipeline
from vfi_pipeline.errors import ENVIRONMENT, UserError
from vfi_pipeline.jobs import names
from vfi_pipeline.jobs.journal import Journal, work_folder, write_durably
from vfi_pipeline.jobs.least_certain import Moment
from vfi_pipeline.jobs.lock import lock_holder
from vfi_pipeline.jobs.method import ModelChoice
from vfi_pipeline.jobs.options import Options
from vfi_pipeline.jobs.plan import Plan, describe
from vfi_pipeline.jobs.report_page import page
from vfi_pipeline.jobs.sources import Film, LeftOut
from vfi_pipeline.jobs.space import free_bytes
from vfi_pipeline.jobs.values import clock_text, counted
from vfi_pipeline.media.inventory import phrases

if TYPE_CHECKING:
    from vfi_pipeline.synthesis.stream import Statistics


def show(plan: Plan, options: Options, model_choice: ModelChoice) -> list[str]:
    """The plan and the state of the work, for ``dry_run=true``."""
    lines = describe(plan, options, _done_already(plan), free_bytes(plan.target.parent))
    lines.insert(3, f"model     {model_choice.name}")
    if options.style is not None:
        lines.insert(4, f"style     {options.style.describe()}")
    present = names.existing(plan.target)
    if present and not options.overwrite and not options.benchmark:
        lines.append(f"note      {plan.target.name} exists already: overwrite=true, or another output=.")
    lines += status(plan.target)[1:]
    return lines


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
    lines = [f"{target}: {len(journal.done)} of {_of(journal, 'segment')} done, {frames} of {_of(journal, 'frame')}."]
    holder = lock_holder(folder)
    lines.append(f"working   {holder}" if holder else f"resume    {journal.command}")
    return lines


def _of(journal: Journal, noun: str) -> str:
    count = journal.fingerprint.get(f"{noun}s", "?")
    return counted(int(count), noun) if count.isdecimal() else f"? {noun}s"


def _done_already(plan: Plan) -> int:
    try:
        return len(Journal.load(work_folder(plan.target) / "journal.json").done)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return 0


def totals(journal: Journal) -> dict[str, float | None]:
    """The figures of all segments; those of the motion are None where the model has no such thing."""
    facts = [done.facts for done in journal.done.values()]
    keys = ("copied", "made", "held", "pairs", "duplicates")
    total: dict[str, float | None] = {key: round(sum(fact[key] for fact in facts)) for key in keys}
    calls, pairs = sum(fact["nfe"] for fact in facts), sum(fact["pairs"] for fact in facts)
    if not calls:
        return {**total, "nfe_per_pair": None, "min_det": None, "folded": None, "confidence": None}
    return {
        **total,
        "nfe_per_pair": calls / pairs,
        "min_det": min(fact["min_det"] for fact in facts),
        "folded": sum(fact["folded"] * fact["pairs"] for fact in facts) / pairs,
        "confidence": sum(fact["confidence"] * fact["pairs"] for fact in facts) / pairs,
    }


def made_lines(journal: Journal, noun: str = "frame") -> list[str]:
    """Where the output's frames come from; ``noun``: what they are called."""
    total = totals(journal)
    shown = "of the source painted" if "style" in journal.fingerprint else "copied from the source"
    line = f"{counted(int(total['copied'] or 0), noun)} {shown}, {total['made']} made"
    if total["held"]:
        line += f", {total['held']} held (cuts, gaps, still pictures)"
    if total["nfe_per_pair"] is not None:
        line += (
            f"; {total['nfe_per_pair']:.0f} velocity calls per pair, "
            f"smallest Jacobian determinant {total['min_det']:.3f}, {100 * (total['folded'] or 0):.2f} % folded, "
            f"mean confidence in the motion {total['confidence']:.2f}"
        )
    if total["duplicates"]:
        line += f"; {counted(int(total['duplicates']), 'repeated frame')} re-timed"
    return [line + "."]


def facts_of_plan(plan: Plan, film: Film) -> dict[str, object]:
    """Facts of a film before the work, for ``report=``."""
    timeline = plan.timeline
    return {
        "input": str(film.path.absolute()),
        "output": None if plan.encoding.finish == "nothing" else str(plan.target),
        "frames": timeline.count,
        "rate": str(timeline.rate),
        "duration_s": float(timeline.duration),
        "source_frames": len(timeline.times),
        "streams": plan.streams.lines(),
        "lost": [*(fate.label for fate in plan.streams.lost), *phrases(plan.streams.missing)],
        "notes": [*plan.notes, *plan.encoding.notes],
    }


def failure(film: Film, problem: str) -> dict[str, object]:
    """The same of a film that failed."""
    return {"input": str(film.path.absolute()), "state": "failed", "problem": problem}


def is_page(path: str | None) -> bool:
    """Whether ``report=`` asks for a page to read, with JSON beside it."""
    return path is not None and Path(path).suffix.lower() in (".html", ".htm")


def write(
    path: str | None,
    films: Sequence[dict[str, object]],
    left_out: Sequence[LeftOut] = (),
    command: str = "",
    moments: Sequence[Sequence[Moment]] = (),
) -> None:
    """Writes ``report=``: JSON, one entry per film in the order of the inputs, and what was found and left out.

    For a name that ends in ``.html`` a page that needs no other file, and the JSON beside it. Nothing if ``path`` is
    None.

    Args:
        moments: of each film, those to be shown.

    Raises:
        UserError: if it cannot be written. The films are done by then.
    """
    if path is None:
        return
    left = [{"path": str(left_file.path.absolute()), "why": left_file.why} for left_file in left_out]
    document = {"version": vfi_pipeline.__version__, "command": command, "films": list(films), "left_out": left}
    target = Path(path)
    try:
        if is_page(path):
            data = _beside(target)
            text = page(document, list(moments) or [()] * len(films), data.name)
            write_durably(target, text.encode("utf-8", "replace"))
            target = data
        write_durably(target, json.dumps(document, indent=1).encode() + b"\n")
    except OSError as error:
        raise UserError(
            f"report={path} cannot be written ({error.strerror}); the films are done.", "another folder.", ENVIRONMENT
        ) from error


def _beside(target: Path) -> Path:
    """Where the JSON beside a page goes: nobody's file but an earlier report's is replaced."""
    path = target.with_suffix(".json")
    for candidate in (path, target.with_suffix(".report.json")):
        try:
            if not candidate.exists() or "films" in json.loads(candidate.read_text(encoding="utf-8")):
                return candidate
        except (OSError, ValueError, TypeError):
            continue
    return names.free_name(path)


STAGE = "seconds."
"""How the names of stages begin among the facts of a segment."""


def stage_totals(journal: Journal) -> dict[str, float]:
    """Seconds spent in each stage of the computing, threads added up, over all segments and runs."""
    stages: dict[str, float] = {}
    for done in journal.done.values():
        for name, seconds in done.facts.items():
            if name.startswith(STAGE):
                stages[name[len(STAGE) :]] = stages.get(name[len(STAGE) :], 0.0) + seconds
    return stages


def stage_facts(statistics: Sequence[Statistics]) -> dict[str, float]:
    """Seconds spent in each stage of the computing."""
    stages: dict[str, float] = {}
    for facts in statistics:
        for stage, seconds in facts.seconds.items():
            stages[stage] = stages.get(stage, 0.0) + seconds
    return stages


def stage_lines(statistics: Sequence[Statistics]) -> list[str]:
    stages = stage_facts(statistics)
    total = ", ".join(
        f"{stage} {clock_text(seconds)}" if seconds >= 100 else f"{stage} {seconds:.1f} s"
        for stage, seconds in stages.items()
    )
    return [f"computing: {total}"] if total else []


def facts_of(statistics: Statistics) -> dict[str, float]:
    return {
        "made": statistics.made, "held": statistics.held, "copied": statistics.copied, "pairs": statistics.pairs,
        "nfe": statistics.nfe, "min_det": statistics.min_det, "folded": statistics.folded,
        "confidence": statistics.confidence, "duplicates": len(statistics.duplicates),
        **{f"{STAGE}{stage}": seconds for stage, seconds in statistics.seconds.items()},
    }  # fmt: skip
