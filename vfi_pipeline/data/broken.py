"""One rule for unusable files in every data set: left out, named once, counted; training continues."""

from __future__ import annotations

import logging

import torch

from vfi_pipeline.errors import UserError

log = logging.getLogger(__name__)


class LeftOut:
    """Which items of a set turned out to be broken. Loader processes share the list."""

    def __init__(self, count: int) -> None:
        self._broken = torch.zeros(count, dtype=torch.bool).share_memory_()

    def __contains__(self, index: int) -> bool:
        return bool(self._broken[index])

    def __len__(self) -> int:
        """How many were found so far."""
        return int(self._broken.sum())

    def note(self, index: int, error: UserError) -> None:
        """Leaves item ``index`` out from now on."""
        if index not in self:
            self._broken[index] = True
            log.warning("Left out (%d so far): %s", len(self), error.args[0])
