"""Command lines of plain words: a page, pictures, clips, ``name=value``; no options but ``--help``."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def words_of(
    usage: str | None, words: Sequence[str] | None = None, least: int = 0, needs: Sequence[str] = ()
) -> list[str]:
    """The words of a command line, or its help.

    Args:
        usage: the program's docstring, which shows the command.
        words: in place of the process's own.
        least: how many words the program needs.
        needs: names of the ``name=value`` that it needs.

    Raises:
        SystemExit: with code 0 for ``--help`` or ``-h``, which prints ``usage``; with 2 for any other option, which
            would be taken for a file's name, and where something is missing.
    """
    typed = list(sys.argv[1:] if words is None else words)
    usage = (usage or "").strip() + "\n"
    if "-h" in typed or "--help" in typed:
        sys.stdout.write(usage)
        raise SystemExit(0)
    problems = [f"{word} is no option here" for word in typed if word.startswith("-")]
    problems += [f"{name}= is missing" for name in needs if not any(word.startswith(f"{name}=") for word in typed)]
    if len(typed) < least:
        problems.append(f"{len(typed)} words, and at least {least} are needed")
    if problems:
        sys.stderr.write(f"error: {'; '.join(problems)}.\n  Try: the command as below.\n\n{usage}")
        raise SystemExit(2)
    return typed
