"""The one exception that entry points print without a traceback; importable everywhere, imports no other module."""

from __future__ import annotations

import sys
from collections.abc import Callable

# Exit codes, documented in docs/exit-codes.md. An error names its own, so that no caller has to guess.
DONE, USAGE, BAD_INPUT, ENVIRONMENT, INTERRUPTED = 0, 2, 3, 4, 130


class UserError(Exception):
    """A failure the user can act on: one line with the problem, one with the remedy.

    ``code`` is the exit code: ``USAGE`` for a wrong option, ``BAD_INPUT`` for a file that cannot be used,
    ``ENVIRONMENT`` for a missing program, a full disk or an output that cannot be written.
    """

    def __init__(self, problem: str, remedy: str, code: int = USAGE) -> None:
        # All three stay in ``args``, so the error survives pickling between processes.
        super().__init__(problem, remedy, code)

    @property
    def code(self) -> int:
        return int(self.args[2])

    def __str__(self) -> str:
        problem, remedy, _ = self.args
        return f"{problem}\n  Try: {remedy}"


def exit_code(run: Callable[[], object]) -> int:
    """The exit code of a program whose work is ``run``; a ``UserError`` is printed without a traceback."""
    try:
        run()
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return error.code
    return DONE
