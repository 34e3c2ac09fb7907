"""Options of DFI and of exemplars: what was typed, what it means for a film, and the painter that comes of it.

Pictures take the same options; ``apps.edits`` reads them there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vfi_pipeline.errors import UserError
from vfi_pipeline.jobs.option_fields import Group, declared, names, option, read_fields
from vfi_pipeline.jobs.option_kinds import FILE, real, whole
from vfi_pipeline.jobs.progress import Progress

if TYPE_CHECKING:
    from torch import Tensor

    from vfi_pipeline.editing.dfi import Dfi, DfiSettings
    from vfi_pipeline.synthesis.style import Painter, StyleSettings

log = logging.getLogger(__name__)

FACES = Group(
    "FACES: AN ATTRIBUTE, OR THE LOOK OF EXEMPLARS",
    "docs/faces.md",
    ("Of a picture: model=dfi sources= targets= strength=, or exemplars=. `make features` once for the first.",),
)

EDIT_SIZE = 128
"""Longest side, px, at which an attribute is solved for unless told."""


@dataclass(frozen=True)
class FaceOptions:
    """What was typed of sets and exemplars."""

    sources: str | None = option(
        FILE, FACES, "neutral/", "model=dfi: pictures without the attribute, aligned as the picture is: a folder",
    )  # fmt: skip
    targets: str | None = option(FILE, FACES, "smiling/", "model=dfi: pictures with it")
    neighbours: int = option(
        whole(1, 100_000, "40"), FACES, "40", "model=dfi: of each set, those most like the picture", default="40"
    )
    edit_size: int = option(
        whole(32, 2048, "192"), FACES, "192", "model=dfi: longest side at which the change is found; it is added to the"
        " whole picture", default=str(EDIT_SIZE),
    )  # fmt: skip
    attribute: float | None = option(
        real(-2, 2, "0.4"), FACES, "0.4", "a film: so much of the attribute in every source frame", concerns="films"
    )
    exemplars: str | None = option(
        FILE, FACES, "portraits/", "a picture or a film in the look of the pictures of a folder, of each what fits best"
    )


NAMES = names(tuple(declared(FaceOptions).values()))

OF_DFI = ("sources", "targets", "neighbours", "edit_size")


def read_sets(asked: FaceOptions) -> tuple[list[Path], list[Path]]:
    """The files of both sets.

    Raises:
        UserError: if one is missing, or both are the same folder.
    """
    from vfi_pipeline.data.picture_sets import set_files

    for name, other in (("sources", "targets"), ("targets", "sources")):
        if getattr(asked, name) is None:
            raise UserError(
                f"An attribute is the difference of two sets of pictures, and {name}= is not given.",
                "sources=neutral/ targets=smiling/: folders of aligned faces without and with it."
                if getattr(asked, other) is None
                else f"{name}= a folder of pictures {'without' if name == 'sources' else 'with'} the attribute.",
            )
    sources, targets = (
        set_files(folder or "", name) for folder, name in ((asked.sources, "sources"), (asked.targets, "targets"))
    )
    if [path.resolve() for path in sources] == [path.resolve() for path in targets]:
        raise UserError("sources= and targets= are the same pictures: their difference is nothing.", "another folder.")
    return sources, targets


def build_dfi(
    sources: Sequence[Path], targets: Sequence[Path], size: tuple[int, int], settings: DfiSettings, device: str,
    progress: Callable[[str, float], None],
) -> Dfi:  # fmt: skip
    """The method with its sets on ``size`` (height, width); tells what is done and which share of it.

    Raises:
        UserError: if the feature network's weights are missing, or no picture of a set can be read.
    """
    from vfi_pipeline.data.picture_sets import read_set
    from vfi_pipeline.editing.dfi import Dfi
    from vfi_pipeline.nets.features import features

    network = features("vgg").to(device)
    sets = [
        read_set(files, size, name, lambda share, name=name: progress(f"reading {name}=", share))  # type: ignore[misc]
        for files, name in ((sources, "sources"), (targets, "targets"))
    ]
    least = min(len(each) for each in sets)
    if least < settings.neighbours:
        log.info("neighbours=%d, but a set has only %d pictures: all of them are taken.", settings.neighbours, least)
    return Dfi(network, sets[0], sets[1], settings, device, lambda share: progress("features of the sets", share))


def warn_unless_aligned(picture: Tensor, sets: Sequence[Tensor], what: str) -> bool:
    """Warns if a picture (1, C, h, w) lies elsewhere than those of the sets (N, 3, h, w), uint8. Whether it did."""
    import torch

    from vfi_pipeline.editing.alignment import placement

    mean = torch.cat([each.float().mean(dim=0, keepdim=True) for each in sets]).mean(dim=0, keepdim=True) / 255
    place = placement(picture.cpu(), mean)
    if place.aligned():
        return False
    log.warning(
        "%s is not aligned with the sets: what it shows lies %s. The change will appear where the sets have it.\n"
        "  Try: the picture cut as those of the sets are, with the eyes in the same place.",
        what, place.described(),
    )  # fmt: skip
    return True


@dataclass(frozen=True)
class EditChoice:
    """How every source frame of a film is edited: by an attribute, or by exemplars.

    Attributes:
        strength, sources, targets: of the attribute; None and empty for exemplars.
        exemplars: the files.
        size: longest side, px, at which frames are worked on; None is their own.
    """

    strength: float | None
    sources: tuple[Path, ...]
    targets: tuple[Path, ...]
    exemplars: tuple[Path, ...]
    neighbours: int
    size: int | None
    preview: Path | None = None

    def facts(self) -> dict[str, str]:
        """All that changes the pictures, for the fingerprint."""
        from vfi_pipeline.data.picture_sets import set_digest

        if self.strength is None:
            return {"style": f"exemplars {set_digest(self.exemplars)}"}
        sets = f"{set_digest(self.sources)} {set_digest(self.targets)}"
        return {
            "style": f"attribute {sets}", "style.attribute": str(self.strength), "style.size": str(self.size),
            "style.neighbours": str(self.neighbours),
        }  # fmt: skip

    def describe(self) -> str:
        """The edit in a few words, for the plan."""
        if self.strength is None:
            return f"in the look of {len(self.exemplars)} exemplar{'s' * (len(self.exemplars) > 1)}"
        sets = f"{len(self.sources)} and {len(self.targets)} pictures"
        return f"attribute {self.strength:g} of {sets}, {self.neighbours} neighbours, found at {self.size} px"

    def settings(self) -> StyleSettings:
        """How edited frames are shown."""
        from vfi_pipeline.synthesis.style import StyleSettings

        return StyleSettings(
            strength=0.0 if self.strength == 0 else 1.0, size=self.size, preview=self.preview,
            adds=self.strength is not None,
        )  # fmt: skip

    def painter(self, device: str, progress: Progress) -> Painter:
        """What edits the frames.

        Raises:
            UserError: if the feature network's weights are missing, or a set cannot be read.
        """
        from vfi_pipeline.data.picture_sets import read_set
        from vfi_pipeline.editing.dfi import DfiSettings
        from vfi_pipeline.editing.painters import AttributePainter, ExemplarPainter
        from vfi_pipeline.nets.features import features

        def tell(text: str, share: float) -> None:
            progress.passing(text, share)

        if self.strength is None:
            return ExemplarPainter(lambda size: read_set(self.exemplars, size, "exemplars").float() / 255)
        features("vgg")  # before any frame is read, for it may not be there

        def make(size: tuple[int, int]) -> Dfi:
            return build_dfi(self.sources, self.targets, size, DfiSettings(neighbours=self.neighbours), device, tell)

        def first_seen(image: Tensor, dfi: Dfi) -> None:
            warn_unless_aligned(image, (dfi.sources.pictures, dfi.targets.pictures), "The film's first frame")

        return AttributePainter(make, self.strength, first_seen)


def read_edit(texts: Mapping[str, str]) -> EditChoice | None:
    """What was asked of a film, checked; None if nothing was.

    Raises:
        UserError: naming the option, what is wrong and what would fit.
    """
    given = [name for name in NAMES if name in texts]
    if not given:
        return None
    from vfi_pipeline.data.picture_sets import set_files

    asked: Any = read_fields(FaceOptions, texts)
    if "style" in texts:
        raise UserError(
            f"style= and {given[0]}= both repaint the frames.", f"one after the other, or leave out {given[0]}=."
        )
    if asked.attribute is not None and asked.exemplars is not None:
        raise UserError("attribute= and exemplars= both repaint the frames.", "one of the two.")
    preview = None if texts.get("preview") is None else Path(texts["preview"])
    if asked.exemplars is not None:
        wrong = [name for name in OF_DFI if name in texts]
        if wrong:
            raise UserError(f"{wrong[0]}= is for an attribute, and exemplars= is not one.", f"leave out {wrong[0]}=.")
        files = tuple(set_files(asked.exemplars, "exemplars"))
        return EditChoice(None, (), (), files, 0, None, preview)
    if asked.attribute is None:
        raise UserError(
            f"{given[0]}= is about an attribute; how much of it a film is to have was not said.",
            "attribute=0.4 for a film, model=dfi strength=0.4 for a picture.",
        )
    sources, targets = read_sets(asked)
    return EditChoice(
        asked.attribute, tuple(sources), tuple(targets), (), asked.neighbours, asked.edit_size, preview
    )  # fmt: skip
