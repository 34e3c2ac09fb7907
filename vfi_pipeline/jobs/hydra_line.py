"""Words of a command line that Hydra must not read, and its complaints about others in our words. Pure.

Hydra reads ``key=value`` by a grammar of its own: ``=``, ``,``, brackets, quotes and ``${`` in a value mean something.
In the name of a file they do not.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from vfi_pipeline.errors import USAGE, UserError
from vfi_pipeline.jobs.values import unknown


def split_paths(words: Sequence[str], keys: Collection[str]) -> tuple[list[str], dict[str, str | None]]:
    """Takes the values of ``keys``, which name files, out of the words: (what is left for Hydra, {key: text as typed}).

    ``key=null`` is None, as Hydra has it. Of several the last counts.
    """
    left, taken = [], {}
    for word in words:
        key, equals, value = word.partition("=")
        if equals and key in keys:
            taken[key] = None if value == "null" else value
        else:
            left.append(word)
    return left, taken


def explain(
    text: str, cause: BaseException | None, program: str, options: Collection[str], models: Collection[str]
) -> UserError:
    """What Hydra's error ``text`` means, as a problem and a remedy.

    Args:
        cause: what it was raised from, if anything: a model that refuses its settings.
        options, models: the names that the program and ``model=`` know.
    """
    if isinstance(cause, UserError):
        return cause
    if isinstance(cause, ValueError):
        return UserError(f"The model refuses its settings: {cause}", "another value.", USAGE)
    if match := re.search(r"Ambiguous value for argument '([\w.]+)=(.*)'", text):
        return UserError(f"{match[1]}={match[2]} is several values.", f"{match[1]}=[{match[2]}].", USAGE)
    if match := re.search(r"Could not override '([\w.]+)'", text):
        return unknown(match[1], options, program=program)
    if match := re.search(r"Could not find 'model/(.*)'", text):
        return unknown(match[1], models, "model", program)
    remedy = f"python {program} --help has examples, --cfg job shows every option."
    return UserError(text.splitlines()[0].rstrip(".:") + ".", remedy, USAGE)
