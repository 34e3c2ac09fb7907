"""Several films, one after another: one failure does not stop the rest, and the exit code tells."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from vfi_pipeline.errors import DONE, UserError
from vfi_pipeline.jobs import local, names, report
from vfi_pipeline.jobs.local import Outcome
from vfi_pipeline.jobs.method import Method
from vfi_pipeline.jobs.options import Options
from vfi_pipeline.jobs.prepare import prepare
from vfi_pipeline.jobs.sources import Film, films

log = logging.getLogger(__name__)


def run(options: Options, method: Method, command: str, say: Callable[[str], None]) -> int:
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
    todo = films(options.inputs)
    inputs = [file for film in todo for file in film.files]
    if len(todo) == 1:
        for line in _one(todo[0], options, method, command, inputs, many=False, taken={}).lines:
            say(line)
        return DONE
    return _many(todo, options, method, command, inputs, say)


def _many(
    todo: list[Film], options: Options, method: Method, command: str, inputs: list[Path], say: Callable[[str], None]
) -> int:
    taken: dict[Path, Film] = {}
    summary: list[str] = []
    worst, failed, skipped = DONE, 0, 0
    for number, film in enumerate(todo, 1):
        log.info("[%d/%d] %s", number, len(todo), film.label)
        try:
            outcome = _one(film, options, method, command, inputs, True, taken)
        except UserError as error:
            log.error("%s", error)
            summary.append(f"failed   {film.label}: {error.args[0]}")
            worst, failed = max(worst, error.code), failed + 1
            continue
        except Exception as error:  # a bug met in one film is no reason to leave the others undone
            log.exception("%s", film.label)
            summary.append(f"failed   {film.label}: {type(error).__name__}: {error} (a bug: please report it)")
            worst, failed = max(worst, 1), failed + 1
            continue
        for line in outcome.lines:
            say(line)
        skipped += outcome.skipped
        summary.append(f"{'skipped' if outcome.skipped else 'ok':8} {film.label}")
    say(f"{len(todo)} films: {len(todo) - failed - skipped} done, {skipped} skipped, {failed} failed.")
    for line in summary:
        say("  " + line)
    return worst


def _one(
    film: Film, options: Options, method: Method, command: str, inputs: list[Path], many: bool, taken: dict[Path, Film]
) -> Outcome:
    plan = prepare(film, options, method, inputs, many)
    if options.status:
        return Outcome(tuple(report.status(plan.target)))
    if not options.benchmark:
        if plan.target in taken:
            raise UserError(
                f"{film.label} and {taken[plan.target].label} would both become {plan.target.name}.",
                "another name= template, or one folder at a time.",
            )
        taken[plan.target] = film
    if options.dry_run:
        return Outcome(tuple(report.show(plan, options, method)))
    # In a batch that is started again, what was finished before is not made again and is no failure.
    if many and not options.overwrite and not options.benchmark and names.existing(plan.target):
        return Outcome(
            (f"{film.label}: {plan.target.name} exists already; overwrite=true makes it again.",), skipped=True
        )
    return local.work(plan, film, options, method, command)
