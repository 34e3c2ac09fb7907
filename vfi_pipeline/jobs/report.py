"""What is told of a job: the plan, the state of the work, the result."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vfi_pipeline.jobs import names
from vfi_pipeline.jobs.journal import Journal, work_folder
from vfi_pipeline.jobs.lock import lock_holder
from vfi_pipeline.jobs.method import Method
from vfi_pipeline.jobs.options import Options
from vfi_pipeline.jobs.plan import Plan, describe
from vfi_pipeline.jobs.space import free_bytes
from vfi_pipeline.jobs.values import clock_text

if TYPE_CHECKING:
    from vfi_pipeline.synthesis.stream import Statistics


def show(plan: Plan, options: Options, method: Method) -> list[str]:
    """The plan and the state of the work, for ``dry_run=true``."""
    lines = describe(plan, options, _done_already(plan), free_bytes(plan.target.parent))
    lines.insert(3, f"model     {method.name}")
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
    lines = [
        f"{target}: {len(journal.done)} of {journal.fingerprint.get('segments', '?')} segments done, "
        f"{frames} of {journal.fingerprint.get('frames', '?')} frames."
    ]
    holder = lock_holder(folder)
    lines.append(f"working   {holder}" if holder else f"resume    {journal.command}")
    return lines


def _done_already(plan: Plan) -> int:
    try:
        return len(Journal.load(work_folder(plan.target) / "journal.json").done)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return 0


def made_lines(journal: Journal) -> list[str]:
    facts = [done.facts for done in journal.done.values()]
    total = {key: sum(fact[key] for fact in facts) for key in ("made", "held", "copied", "pairs", "nfe", "duplicates")}
    line = f"{total['copied']:.0f} frames copied from the source, {total['made']:.0f} made"
    if total["held"]:
        line += f", {total['held']:.0f} held (cuts, gaps, still pictures)"
    if total["nfe"]:
        folded = sum(fact["folded"] * fact["pairs"] for fact in facts) / max(1, total["pairs"])
        line += (
            f"; {total['nfe'] / max(1, total['pairs']):.0f} velocity calls per pair, "
            f"smallest Jacobian determinant {min(fact['min_det'] for fact in facts):.3f}, {100 * folded:.2f} % folded"
        )
    if total["duplicates"]:
        line += f"; {total['duplicates']:.0f} repeated frames re-timed"
    return [line + "."]


def stage_lines(statistics: Sequence[Statistics]) -> list[str]:
    stages: dict[str, float] = {}
    for facts in statistics:
        for stage, seconds in facts.seconds.items():
            stages[stage] = stages.get(stage, 0.0) + seconds
    total = ", ".join(
        f"{stage} {clock_text(seconds)}" if seconds >= 100 else f"{stage} {seconds:.1f} s"
        for stage, seconds in stages.items()
    )
    return [f"computing: {total}"] if total else []


def facts_of(statistics: Statistics) -> dict[str, float]:
    return {
        "made": statistics.made, "held": statistics.held, "copied": statistics.copied, "pairs": statistics.pairs,
        "nfe": statistics.nfe, "min_det": statistics.min_det, "folded": statistics.folded,
        "duplicates": len(statistics.duplicates),
    }  # fmt: skip
