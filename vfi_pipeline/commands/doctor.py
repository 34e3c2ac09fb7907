"""``vfi doctor``: what this machine has, and what the defaults will use."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from vfi_pipeline.errors import DONE, ENVIRONMENT, UserError
from vfi_pipeline.starting import quiet_start

HELP = """\
vfi doctor           what this machine has, what the defaults will use, and whether a small film comes out
vfi doctor --json    the same for programs

Exit codes: 0 films can be made, 4 they cannot: the problems come with remedies.
"""


def main(argv: Sequence[str], program: Sequence[str] = ("vfi", "doctor")) -> int:
    """The command; returns its exit code.

    Raises:
        UserError: for words that it does not know.
    """
    words = list(argv)
    if {"-h", "--help", "help"} & set(words):
        sys.stdout.write(HELP)
        return DONE
    if unknown := [word for word in words if word != "--json"]:
        raise UserError(f"vfi doctor does not know {unknown[0]}.", "vfi doctor, or vfi doctor --json.")
    with quiet_start():  # it keeps nothing, and would take a wish to stop for a library that is broken
        from vfi_pipeline.apps.doctor import examine, table

        facts = examine(Path.cwd())
    sys.stdout.write((json.dumps(facts, indent=1) if words else table(facts)) + "\n")
    return DONE if facts["ok"] else ENVIRONMENT
