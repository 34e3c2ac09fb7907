"""Messages name the program as it was called: they are written for ``python interpolate.py``, and ``vfi`` has no such
file at hand. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

_SCRIPT = re.compile(r"\bpython (interpolate|train|evaluate)\.py\b|(?<![\w/.-])(interpolate|train|evaluate)\.py\b")


def in_words_of(program: Sequence[str], text: str) -> str:
    """``text`` with ``python interpolate.py`` as ``vfi interpolate``, if that is how ``program`` was called."""
    if not program or program[0] != "vfi":
        return text
    return _SCRIPT.sub(lambda found: f"vfi {found[1] or found[2]}", text)
