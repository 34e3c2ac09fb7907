"""Remedies for callers from Python: ``overwrite=True`` and ``output="b.mkv"``, where a command line has
``overwrite=true`` and ``output=b.mkv``."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from vfi_pipeline.errors import UserError
from vfi_pipeline.jobs.option_table import INPUT, TABLE

_VALUE = r"""(?:'[^']*'|"[^"]*"|\[[^\]]*\]|<[^<>]*>|[^\s,;()'"\[\]<>])*"""

_PROGRAM = r"(?:python interpolate\.py|vfi interpolate)"

_PHRASES = (
    (re.compile(rf"{_PROGRAM} --help|--help(?= shows)"), "docs/interpolate.md"),
    (re.compile(r"\bthe same command\b"), "the same call"),
)


@cache
def _words() -> re.Pattern[str]:
    """One option with its value, or several with spaces between."""
    names = "|".join(sorted((re.escape(row.name) for row in TABLE), key=len, reverse=True))
    word = rf"(?<![\w.=/-])(?:model\.\w+|{names})={_VALUE}"
    return re.compile(rf"(?P<program>{_PROGRAM} )?(?P<words>{word}(?: {word})*)")


def as_keywords(remedy: str) -> str:
    """The options in a remedy as keyword arguments, and ``python interpolate.py ...`` as a call."""
    for pattern, phrase in _PHRASES:
        remedy = pattern.sub(phrase, remedy)
    return _words().sub(_arguments, remedy)


def _arguments(match: re.Match[str]) -> str:
    words = re.findall(rf"[\w.]+={_VALUE}", match["words"])
    end = re.search(r"[.:]*$", words[-1])
    stop = end.group() if end is not None else ""
    words[-1] = words[-1][: len(words[-1]) - len(stop)]
    arguments = [_argument(*word.split("=", 1)) for word in words]
    if match["program"] is None:
        return ", ".join(arguments) + stop
    prefix = f"{INPUT.name}="
    path = next((argument for argument in arguments if argument.startswith("path=")), None)
    others = [argument for argument in arguments if argument != path and not argument.startswith(prefix)]
    return f"vfi_pipeline.interpolate({', '.join([*([path[5:]] if path else []), *others])}){stop}"


def _argument(name: str, text: str) -> str:
    if text.startswith(("'", '"')):
        text = "".join(shlex.split(text))
    row = next((row for row in TABLE if row.name == name), None)
    if not text:
        value = ""
    elif row is not None and row.kind.switch and text in ("true", "on", "false", "off"):
        value = str(text in ("true", "on"))
    elif re.fullmatch(r"-?\d+(\.\d+)?", text):
        value = text
    else:
        value = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if "." in name:
        return f'**{{"{name}": {value}}}' if value else f"{name}="
    return f"{'path' if name == INPUT.name else name}={value}"


@contextmanager
def remedies_in_keywords() -> Iterator[None]:
    """Errors of what is called inside name keyword arguments in their remedies."""
    try:
        yield
    except UserError as error:
        problem, remedy, code = error.args
        worded = as_keywords(str(remedy))
        if worded == remedy:
            raise
        raise UserError(problem, worded, code) from error
