"""The command ``vfi`` and its subcommands. Each is a module that is imported when it is asked for.

A subcommand is ``main(argv, program) -> exit code``: its words, and how it was called, for what it says.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import NamedTuple


class Command(NamedTuple):
    """Where a subcommand is, and what it does, in a line."""

    module: str
    line: str


COMMANDS = {
    "interpolate": Command("vfi_pipeline.commands.interpolate", "raise the frame rate of films, animate pictures"),
    "tune": Command("vfi_pipeline.commands.tune", "measure settings on a second of a film, and say what to type"),
    "doctor": Command("vfi_pipeline.commands.doctor", "what this machine has, and what the defaults will use"),
    "evaluate": Command("vfi_pipeline.commands.evaluate", "measure made frames against true ones"),
    "app": Command("vfi_pipeline.commands.app", "a page in the browser: plan, preview, queue"),
    "work": Command("vfi_pipeline.commands.work", "join a job that several processes or machines work on"),
    "train": Command("vfi_pipeline.commands.launch_train", "fit a network to films or pictures"),
}
"""In the order of the help."""


def main(argv: Sequence[str] | None = None) -> int:
    """``vfi``; returns the exit code."""
    import vfi_pipeline
    from vfi_pipeline.commands.wording import in_words_of
    from vfi_pipeline.errors import DONE, INTERRUPTED, USAGE, UserError
    from vfi_pipeline.extras import explained
    from vfi_pipeline.starting import quiet_start
    from vfi_pipeline.threads import yield_idle_cores

    yield_idle_cores()
    words = list(sys.argv[1:] if argv is None else argv)
    name = words[0] if words else "--help"
    if name in ("-h", "--help", "help"):
        sys.stdout.write(help_text())
        return DONE
    if name in ("-V", "--version", "version"):
        sys.stdout.write(f"vfi-pipeline {vfi_pipeline.__version__}\n")
        return DONE
    if name not in COMMANDS:
        sys.stderr.write(f"error: {_unknown(words)}\n")
        return USAGE
    program = ("vfi", name)
    try:
        with quiet_start():
            command = importlib.import_module(COMMANDS[name].module)
        return int(command.main(words[1:], program) or DONE)
    except UserError as error:
        sys.stderr.write(in_words_of(program, f"error: {error}\n"))
        return error.code
    except ModuleNotFoundError as error:
        lack = explained(error, f"vfi {name}")
        if lack is None:
            raise
        sys.stderr.write(in_words_of(program, f"error: {lack}\n"))
        return lack.code
    except KeyboardInterrupt:  # of a subcommand that has nothing to keep
        return INTERRUPTED


def help_text() -> str:
    """What ``vfi --help`` says."""
    rows = [f"  vfi {name.ljust(13)}{command.line}" for name, command in COMMANDS.items()]
    example = "vfi interpolate input=film.mkv fps=60    # film_60fps.mkv beside it"
    return "\n".join([example, "", *rows, "", "vfi COMMAND --help tells its options.", ""])


def _unknown(words: Sequence[str]) -> Exception:
    import difflib
    import os
    import shlex

    from vfi_pipeline.errors import UserError

    name = words[0]
    near = difflib.get_close_matches(name, COMMANDS, 1)
    if set("=.") & set(name) or name.startswith("-") or os.path.lexists(name):  # the words of the commonest command
        return UserError(f"{name} is no command.", f"vfi interpolate {shlex.join(words)}")
    return UserError(f"{name} is no command.", f"vfi {near[0]}" if near else f"vfi {', '.join(COMMANDS)}.")
