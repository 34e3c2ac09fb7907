"""``conf/data/unpaired.yaml``."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from vfi_pipeline.data.dataset import SizedDataset
from vfi_pipeline.data.modules.base import content
from vfi_pipeline.data.modules.image_sets import Member, TwoImageSets, longest_side, warn_if_nothing_is_held
from vfi_pipeline.data.pairs import UnpairedFolders
from vfi_pipeline.data.split import PARTS, counted, group_of, split_sides, usual_rule
from vfi_pipeline.data.textures import image_files

log = logging.getLogger(__name__)


class UnpairedImages(TwoImageSets):
    """Two folders of unrelated images, for WGAN-GP.

    Args:
        source, target: the folders.
        **pictures: of ``TwoImageSets``; groups reach over both sides.
    """

    def __init__(self, source: str, target: str, **pictures: Any) -> None:
        super().__init__(**{"batch_size": 32, **pictures})
        self.roots = (Path(str(source)).expanduser(), Path(str(target)).expanduser())
        self._parts: dict[str, tuple[list[Path], list[Path]]] | None = None

    def parts(self) -> dict[str, tuple[list[Path], list[Path]]]:
        """The files of each part: sources and targets."""
        if self._parts is None:
            sides = [image_files(root) for root in self.roots]
            names = [[file.relative_to(root) for file in files] for files, root in zip(sides, self.roots)]
            rule = self.group or usual_rule([[name] for side in names for name in side])
            source_groups, target_groups = ([group_of(name, rule) for name in side] for side in names)
            self._group = dict(zip(sides[0] + sides[1], source_groups + target_groups))
            places = split_sides(source_groups, target_groups, self.val_share, self.test_share)
            self._parts = {
                part: ([sides[0][k] for k in places[part][0]], [sides[1][k] for k in places[part][1]]) for part in PARTS
            }
            for what, place in (("sources", 0), ("targets", 1)):
                log.info("%s %s.", counted({part: files[place] for part, files in self._parts.items()}), what)
            warn_if_nothing_is_held({part: sum(files, []) for part, files in self._parts.items()})
        return self._parts

    def people(self, part: str) -> list[Member]:
        """Every file of a part, with its side and its group."""
        sides = self.parts()[part]
        return [Member(file, side == 1, self._group[file]) for side in (0, 1) for file in sides[side]]

    def train_set(self) -> SizedDataset:
        sources, targets = self.parts()["train"]
        return UnpairedFolders(
            sources, targets, self.size, self.flip, self.seed, channels=self.channels, jitter=self.jitter
        )

    def val_set(self) -> SizedDataset:
        return self._finite_set("val" if all(self.parts()["val"]) else "train")

    def test_set(self) -> SizedDataset:
        return self._finite_set("test") if self.has_test() else self.built("val")

    def has_test(self) -> bool:
        return all(self.parts()["test"])

    def _finite_set(self, part: str) -> UnpairedFolders:
        sources, targets = self.parts()[part]
        length = max(16, len(sources))
        return UnpairedFolders(sources, targets, self.size, 0.0, self.seed, length, self.channels)

    def span(self) -> int | None:
        return longest_side(self.size, self.parts()["train"][0][0])

    def facts(self) -> dict[str, Any]:
        counts = {part: [len(files) for files in sides] for part, sides in self.parts().items()}
        return {**counts, "folders": [str(root) for root in self.roots], "size": self.size, "group": self.group}

    def identity(self) -> Any:
        files = [
            (f"{part} {place} {file.relative_to(root).as_posix()}", file)
            for part, sides in self.parts().items()
            for place, (side, root) in enumerate(zip(sides, self.roots))
            for file in side
        ]
        return {"size": self.size, "channels": self.channels, "content": content(files)}
