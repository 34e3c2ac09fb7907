"""``vfi tune film.mkv``: settings measured on a second of the film, and what to type."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence

from vfi_pipeline.configuration import model_names
from vfi_pipeline.errors import DONE, INTERRUPTED, UserError

HELP = """\
Measures models, sizes and devices on a second of a film, on this machine, and says what to type.

  vfi tune film.mkv fps=60
  vfi tune film.mkv multi=2 codec=hevc      options of vfi interpolate: what is chosen here is not varied
  vfi tune film.mkv fps=60 --json           the same for programs

Without fps=, multi= or slowmo= it is fps=60. Nothing is written beside the film.
"""


def main(argv: Sequence[str], program: Sequence[str] = ("vfi", "tune")) -> int:
    """The command; returns its exit code.

    Raises:
        UserError: for a film or options that are no job.
    """
    from vfi_pipeline.jobs.command_line import parse
    from vfi_pipeline.jobs.interrupts import Interrupted, interruptible
    from vfi_pipeline.jobs.option_fields import names
    from vfi_pipeline.jobs.option_table import TABLE

    words = [word for word in argv if word not in ("--json", "json=true")]
    for_programs = len(words) < len(argv)
    line = parse(words, frozenset(names(TABLE)) - {"model"}, {"model": model_names()})
    if line.help or not words:
        sys.stdout.write(HELP)
        return DONE
    if len(line.inputs) != 1:
        raise UserError(f"{len(line.inputs)} films were named; tune measures one.", "vfi tune film.mkv fps=60")
    from vfi_pipeline.apps import tune

    options = {**line.values, **line.nested}
    if not {"fps", "multi", "slowmo", "at"} & options.keys():
        options = {"fps": "60", **options}
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    path = line.inputs[0]
    try:
        with interruptible():
            measured = tune.tune(path, options, lambda text: _tell(text))
    except Interrupted:
        return INTERRUPTED
    if for_programs:
        sys.stdout.write(json.dumps(tune.as_json(path, options, *measured), indent=1) + "\n")
    else:
        sys.stdout.write("\n".join(tune.report(path, options, *measured)) + "\n")
    return DONE


def _tell(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
