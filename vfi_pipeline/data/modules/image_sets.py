"""What the data modules of image folders share."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from vfi_pipeline.media.stills import read_still, samples

log = logging.getLogger(__name__)


class Member(NamedTuple):
    """A picture of one of two sets: its file, whether it is of the second set, and its group (a person, say)."""

    file: Path
    second: bool
    group: str


def resize_target(size: Any) -> int | tuple[int, int] | None:
    if size is None or isinstance(size, int):
        return size
    return int(size[0]), int(size[1])


def longest_side(size: int | tuple[int, int] | None, example: Path) -> int:
    """Longest side of what training sees, px."""
    if size is None:
        return max(samples(read_still(example)).shape[:2])
    return size if isinstance(size, int) else max(size)


def warn_if_nothing_is_held(parts: Mapping[str, Sequence[Any]]) -> None:
    if not parts["val"]:
        log.warning("Nothing is kept back: validation is on what is trained on, and there is no test.")
    elif not parts["test"]:
        log.warning("There is no third part for a test: the figures will be of the validation set.")
