"""One rule for unusable files in every data set: left out, named once, counted; training continues."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import torch

from vfi_pipeline.errors import UserError

log = logging.getLogger(__name__)


class NamedFiles:
    """The broken files that a run has named, whichever of its data sets met them. Loader processes share the list.

    Args:
        most: files that are remembered; more are named each time they are met.

    Attributes:
        silent: what is met is counted, and named by another process.
    """

    def __init__(self, most: int = 4096) -> None:
        self._marks = torch.zeros(most, dtype=torch.int64).share_memory_()
        self.silent = False

    def __len__(self) -> int:
        return int(self._marks.count_nonzero())

    def name(self, error: UserError, file: Path | None = None) -> None:
        """Warns of a file that is broken by ``error``, once. ``file``: None where the error's words say which it is."""
        key = str(file if file is not None else error.args[0])
        mark = 1 + int.from_bytes(hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()[:7], "big")
        count = len(self)
        if bool((self._marks == mark).any()):
            return
        if count < len(self._marks):
            self._marks[count] = mark
        if not self.silent:
            log.warning("Left out (%d so far): %s", count + 1, error.args[0])


class LeftOut:
    """Which items of a set turned out to be broken. Loader processes share the list.

    Attributes:
        named: the files that were named; the sets of a run share one.
    """

    def __init__(self, count: int, named: NamedFiles | None = None) -> None:
        self._broken = torch.zeros(count, dtype=torch.bool).share_memory_()
        self.named = NamedFiles() if named is None else named

    def __contains__(self, index: int) -> bool:
        return bool(self._broken[index])

    def __len__(self) -> int:
        """How many were found so far."""
        return int(self._broken.sum())

    def note(self, index: int, error: UserError, file: Path | None = None) -> None:
        """Leaves item ``index`` out from now on; ``file``: see ``NamedFiles.name``."""
        if index not in self:
            self._broken[index] = True
            self.named.name(error, file)
