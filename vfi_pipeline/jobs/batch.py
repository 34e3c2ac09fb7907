"""Several films, one after another: one failure does not stop the rest, and the exit code tells."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from vfi_pipeline.errors import DONE, UserError
from vfi_pipeline.jobs import local, names, report
from vfi_pipeline.jobs.least_certain import Moment, filmstrips
from vfi_pipeline.jobs.ledger import Ledger
from vfi_pipeline.jobs.local import Outcome
from vfi_pipeline.jobs.method import ModelChoice
from vfi_pipeline.jobs.options import Options
from vfi_pipeline.jobs.plan import Plan
from vfi_pipeline.jobs.prepare import fingerprint, prepare, rehearsed
from vfi_pipeline.jobs.sources import Film, Selection, select
from vfi_pipeline.jobs.values import counted
from vfi_pipeline.models.shipped import check_for_films

log = logging.getLogger(__name__)


def run(options: Options, model_choice: ModelChoice, command: str, say: Callable[[str], None]) -> int:
    """Does what ``options`` ask for all inputs; results go to ``say``, line by line.

    Args:
        command: what the user typed, to be shown where it resumes the work.

    Returns:
        The exit code: of the worst failure if any film failed.

    Raises:
        UserError: if there is only one film and it failed.
    """
    if options.status and not options.inputs:
        for line in report.status(Path(options.output or "").absolute()):
            say(line)
        return DONE
    if model_choice.weights is not None:
        check_for_films(model_choice.weights)
    selection = select(options.inputs, options.output)
    for line in selection.lines():
        log.warning("%s", line)
    todo = list(selection.films)
    inputs = [file for film in todo for file in film.files]
    if len(todo) == 1 and not selection.scanned:
        outcome = _film_outcome(todo[0], options, model_choice, command, inputs)
        for line in outcome.lines:
            say(line)
        report.write(options.report, [outcome.facts], selection.left_out, command, [outcome.moments])
        return DONE
    if not options.benchmark and not options.status:
        try:
            if len(todo) > 1:
                names.refuse_one_file(options)
            _refuse_one_name(todo, options, model_choice, inputs)
        except UserError as error:
            say(f"{len(todo)} films: none was started. {error.args[0]}")
            raise
    return _many(selection, options, model_choice, command, inputs, say)


def _refuse_one_name(todo: list[Film], options: Options, model_choice: ModelChoice, inputs: list[Path]) -> None:
    """UserError if two films would become one file. Only those are looked at whose names make that likely."""
    for group in names.suspects(todo, options):
        targets = {}
        for film in group:
            try:
                targets[film] = prepare(film, options, model_choice, inputs, many=True).target
            except UserError as error:  # told when its turn comes
                log.debug("%s: %s", film.label, error)
        names.refuse_one_name(targets, options)


def _many(
    selection: Selection,
    options: Options,
    model_choice: ModelChoice,
    command: str,
    inputs: list[Path],
    say: Callable[[str], None],
) -> int:
    todo = selection.films
    summary: list[str] = []
    worst, failed, skipped = DONE, 0, 0
    facts_of_films: list[dict[str, object]] = []
    moments: dict[int, tuple[Moment, ...]] = {}
    ledger = Ledger()
    for number, film in enumerate(todo, 1):
        log.info("[%d/%d] %s", number, len(todo), film.label)
        try:
            outcome = _film_outcome(film, options, model_choice, command, inputs, ledger, many=len(todo) > 1)
        except UserError as error:
            log.error("%s", error)
            summary.append(f"failed   {film.label}: {error.args[0]}")
            facts_of_films.append(report.failure(film, str(error.args[0])))
            worst, failed = max(worst, error.code), failed + 1
            continue
        except Exception as error:  # a bug met in one film is no reason to leave the others undone
            log.exception("%s", film.label)
            summary.append(f"failed   {film.label}: {type(error).__name__}: {error} (a bug: please report it)")
            facts_of_films.append(report.failure(film, f"{type(error).__name__}: {error}"))
            worst, failed = max(worst, 1), failed + 1
            continue
        for line in outcome.lines:
            say(line)
        moments[len(facts_of_films)] = outcome.moments
        facts_of_films.append(outcome.facts)
        skipped += outcome.skipped
        summary.append(f"{'skipped' if outcome.skipped else 'ok':8} {film.label}")
    if worst == DONE and not options.dry_run and not options.status:
        ledger.close()
    shown = [moments.get(number, ()) for number in range(len(facts_of_films))]
    report.write(options.report, facts_of_films, selection.left_out, command, shown)
    count = counted(len(todo), "film")
    say(f"{count}: {len(todo) - failed - skipped} done, {skipped} skipped, {failed} failed.")
    for line in summary:
        say("  " + line)
    return worst


def _film_outcome(
    film: Film,
    options: Options,
    model_choice: ModelChoice,
    command: str,
    inputs: list[Path],
    ledger: Ledger | None = None,
    many: bool = False,
) -> Outcome:
    """One film; ``ledger`` is that of its batch, None where it was named alone; ``many``: the batch has others."""
    plan = prepare(film, options, model_choice, inputs, many)
    if options.status:
        return Outcome(tuple(report.status(plan.target)))
    if options.dry_run:
        plan = rehearsed(plan)
        planned = {**report.facts_of_plan(plan, film), "state": "planned"}
        return Outcome(tuple(report.show(plan, options, model_choice)), facts=planned)
    if not (names.existing(plan.target) and not options.overwrite):  # what will not be made needs no trial
        plan = rehearsed(plan)
    # In a batch that is started again, what was finished before is not made again and is no failure.
    facts = report.facts_of_plan(plan, film)
    if ledger is None or options.benchmark:
        return _worked(plan, film, options, model_choice, command, facts)
    if not options.overwrite and names.existing(plan.target):
        reason = f"{film.label}: {plan.target.name} exists already; overwrite=true makes it again."
        return Outcome((reason,), skipped=True, facts={**facts, "state": "skipped"})
    settings = fingerprint(plan, film, options, model_choice)
    if options.overwrite and options.resume and ledger.has(plan.target, settings):
        reason = (
            f"{film.label}: {plan.target.name} was made before this batch was stopped; resume=false makes it again."
        )
        return Outcome((reason,), skipped=True, facts={**facts, "state": "skipped"})
    outcome = _worked(plan, film, options, model_choice, command, facts)
    if options.overwrite:
        ledger.enter(plan.target, settings)
    return outcome


def _worked(
    plan: Plan, film: Film, options: Options, model_choice: ModelChoice, command: str, facts: dict[str, object]
) -> Outcome:
    """Makes the film; with what ``report=`` tells of it."""
    start = time.monotonic()
    outcome = local.work(plan, film, options, model_choice, command)
    took = {"seconds": time.monotonic() - start}
    outcome = replace(outcome, facts={**facts, "state": "done", **took, **outcome.facts})
    if not report.is_page(options.report) or options.benchmark:
        return outcome
    return replace(outcome, moments=filmstrips(plan, options, outcome.facts))
