"""Words of a command line that Hydra must not read. Pure.

Hydra reads ``key=value`` by a grammar of its own: ``=``, ``,``, brackets, quotes and ``${`` in a value mean something.
In the name of a file they do not.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence


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
