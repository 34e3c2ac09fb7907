"""Messages name the program as it was called: they are written for ``python interpolate.py``, and ``vfi`` has no such
file at hand."""

from __future__ import annotations

import io
import logging
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout

_SCRIPT = re.compile(r"\bpython (interpolate|train|evaluate)\.py\b|(?<![\w/.-])(interpolate|train|evaluate)\.py\b")

_HELP = frozenset({"-h", "--help", "--hydra-help"})


def in_words_of(program: Sequence[str], text: str) -> str:
    """``text`` with ``python interpolate.py`` as ``vfi interpolate``, if that is how ``program`` was called."""
    if not program or program[0] != "vfi":
        return text
    return _SCRIPT.sub(lambda script: f"vfi {script[1] or script[2]}", text)


@contextmanager
def help_in_words_of(program: Sequence[str], words: Sequence[str]) -> Iterator[None]:
    """Hydra prints the help that ``words`` ask for: what is printed inside goes through ``in_words_of``."""
    if not _HELP & {*words}:
        yield
        return
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            yield
    finally:
        sys.stdout.write(in_words_of(program, printed.getvalue()))
        sys.stdout.flush()


class _Filter(logging.Filter):
    def __init__(self, program: Sequence[str]) -> None:
        super().__init__()
        self.program = program

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = in_words_of(self.program, record.getMessage()), ()
        return True


def log_in_words_of(program: Sequence[str]) -> None:
    """Lines of the log name the program as it was called; the call before this one holds no longer."""
    for handler in logging.getLogger().handlers:
        for earlier in [each for each in handler.filters if isinstance(each, _Filter)]:
            handler.removeFilter(earlier)
        if program and program[0] == "vfi":
            handler.addFilter(_Filter(program))
