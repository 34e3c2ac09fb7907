"""What the data modules of image folders share."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from vfi_pipeline.data.modules.base import Batches
from vfi_pipeline.data.split import check_shares
from vfi_pipeline.media.stills import read_still, samples

log = logging.getLogger(__name__)


class Member(NamedTuple):
    """A picture of one of two sets: its file, whether it is of the second set, and its group (a person, say)."""

    file: Path
    second: bool
    group: str


class TwoImageSets(Batches):
    """Base of the data modules of two sets of images: what their pictures are made to, and how they are split.

    Args:
        size: side (or (height, width)) that all are resized to; None keeps the images' own.
        flip: share of the training pictures that are mirrored.
        group: which images belong together, so that no group is in two parts; see ``data.split``.
        val_share, test_share: of the groups, for the choice of the best weights and for the final figures.
        channels: of a picture: 1 grey, 3 RGB, 4 RGB and alpha.
        jitter: small random shifts, zooms and turns in training; see ``data.pairs.jittered``.
        **loader: of ``Batches``.
    """

    of_films = False

    def __init__(
        self,
        size: int | tuple[int, int] | None = 64,
        flip: float = 0.5,
        group: str | None = None,
        val_share: float = 0.1,
        test_share: float = 0.1,
        channels: int = 3,
        jitter: float = 0.0,
        **loader: int,
    ) -> None:
        super().__init__(**loader)
        check_shares(val_share, test_share)
        self.size, self.flip, self.group = resize_target(size), flip, group
        self.val_share, self.test_share, self.channels, self.jitter = val_share, test_share, channels, jitter
        self._group: dict[Path, str] = {}


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
