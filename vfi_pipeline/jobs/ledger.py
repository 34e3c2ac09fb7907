"""What of a batch with ``overwrite=true`` is done: there, an output that exists tells a restarted batch nothing.

``.vfi-batch.json`` lies in the folder of the first output, and is gone once every film of the batch is done.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from vfi_pipeline.jobs import names
from vfi_pipeline.jobs.journal import write_durably

NAME = ".vfi-batch.json"


class Ledger:
    """The films that were finished: what went in, and what the output was when it got its name."""

    def __init__(self) -> None:
        self.path: Path | None = None
        self._done: dict[str, list[str]] = {}

    def has(self, target: Path, facts: Mapping[str, str]) -> bool:
        """Whether ``target`` was made from the same source with the same settings, and is as it was then."""
        self._open(target)
        return self._done.get(str(target)) == _entry(target, facts)

    def enter(self, target: Path, facts: Mapping[str, str]) -> None:
        """Notes that ``target`` is finished. A folder that refuses only costs the ability to go on."""
        self._open(target)
        assert self.path is not None
        self._done[str(target)] = _entry(target, facts)
        try:
            write_durably(self.path, json.dumps(self._done, indent=1).encode() + b"\n")
        except OSError:
            pass

    def close(self) -> None:
        """The batch is done: the next one makes every film anew."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def _open(self, target: Path) -> None:
        if self.path is not None:
            return
        self.path = target.parent / NAME
        try:
            done = json.loads(self.path.read_text(encoding="utf-8"))
            self._done = {str(key): [str(part) for part in value] for key, value in done.items()}
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):
            self._done = {}


def _entry(target: Path, facts: Mapping[str, str]) -> list[str]:
    settings = hashlib.sha256(json.dumps(dict(facts), sort_keys=True).encode()).hexdigest()[:32]
    output = hashlib.sha256()
    for path in sorted(names.existing(target)):
        state = path.stat()
        output.update(f"{path.name}\0{state.st_size}\0{state.st_mtime_ns}\0".encode("utf-8", "surrogateescape"))
    return [settings, output.hexdigest()[:32]]
