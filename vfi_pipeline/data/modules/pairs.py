"""``conf/data/image_pairs.yaml``."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from vfi_pipeline.data.dataset import SizedDataset
from vfi_pipeline.data.modules.base import content
from vfi_pipeline.data.modules.image_sets import Member, TwoImageSets, longest_side, warn_if_nothing_is_held
from vfi_pipeline.data.pairs import ImagePairs, Pair, groups_of, listed_pairs, matched_pairs
from vfi_pipeline.data.sampler import Shuffled
from vfi_pipeline.data.split import PARTS, counted, split_groups
from vfi_pipeline.errors import UserError

log = logging.getLogger(__name__)


class Pairs(TwoImageSets):
    """Image pairs for paired L2: from a list, or from two folders whose images are named alike.

    Args:
        pairs: a text file with two paths a line, and perhaps a group; else ``first`` and ``last``, two folders.
        **pictures: of ``TwoImageSets``; what ``group`` is here: ``data.pairs.groups_of``.
    """

    def __init__(
        self, pairs: str | None = None, first: str | None = None, last: str | None = None, **pictures: Any
    ) -> None:
        super().__init__(**{"batch_size": 16, **pictures})
        self.pairs, self.first, self.last = pairs, first, last
        self._parts: dict[str, list[Pair]] | None = None

    def all_pairs(self) -> list[Pair]:
        """All pairs."""
        if self.pairs is not None:
            return listed_pairs(Path(self.pairs).expanduser())
        if self.first is None or self.last is None:
            raise UserError(
                "No image pairs are given.", "Give data.pairs=list.txt, or data.first and data.last folders."
            )
        return matched_pairs(Path(self.first).expanduser(), Path(self.last).expanduser())

    def parts(self) -> dict[str, list[Pair]]:
        """The pairs of each part."""
        if self._parts is None:
            pairs = self.all_pairs()
            groups = groups_of(pairs, self.group)
            self._group = {file: g for p, g in zip(pairs, groups) for file in (p.first, p.last)}
            named = split_groups(groups, self.val_share, self.test_share)
            part_of = {name: part for part, names in named.items() for name in names}
            self._parts = {part: [p for p, g in zip(pairs, groups) if part_of[g] == part] for part in PARTS}
            log.info("%s pairs, of %s groups.", counted(self._parts), counted(named))
            warn_if_nothing_is_held(self._parts)
        return self._parts

    def people(self, part: str) -> list[Member]:
        """Every file of a part, with its side and its group."""
        sides = [{pair.first for pair in self.parts()[part]}, {pair.last for pair in self.parts()[part]}]
        return [Member(file, side == 1, self._group[file]) for side in (0, 1) for file in sorted(sides[side])]

    def train_set(self) -> SizedDataset:
        return Shuffled(self._set("train", self.flip, self.jitter), self.seed)

    def val_set(self) -> SizedDataset:
        return self._set("val" if self.parts()["val"] else "train")

    def test_set(self) -> SizedDataset:
        return self._set("test") if self.has_test() else self.built("val")

    def has_test(self) -> bool:
        return bool(self.parts()["test"])

    def _set(self, part: str, flip: float = 0.0, jitter: float = 0.0) -> ImagePairs:
        files = [(pair.first, pair.last) for pair in self.parts()[part]]
        return ImagePairs(files, self.size, flip, self.channels, jitter)

    def span(self) -> int | None:
        return longest_side(self.size, self.parts()["train"][0].first)

    def facts(self) -> dict[str, Any]:
        counts = {part: len(pairs) for part, pairs in self.parts().items()}
        return {
            **counts,
            "list": self.pairs,
            "folders": [self.first, self.last],
            "size": self.size,
            "group": self.group,
        }

    def identity(self) -> Any:
        files = [
            (f"{part} {name.as_posix()}", path)
            for part, pairs in self.parts().items()
            for pair in pairs
            for name, path in zip(pair.names, (pair.first, pair.last))
        ]
        return {"size": self.size, "channels": self.channels, "content": content(files)}
