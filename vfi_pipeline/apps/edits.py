"""One picture that is edited rather than moved: what ``model=dfi`` and ``exemplars=`` need beside their settings."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vfi_pipeline.apps.options import EDITS, PictureOptions
from vfi_pipeline.errors import UserError
from vfi_pipeline.jobs.faces import NAMES, OF_DFI, FaceOptions, build_dfi, read_sets, warn_unless_aligned
from vfi_pipeline.jobs.option_fields import given_texts, read_fields

if TYPE_CHECKING:
    from torch import Tensor

    from vfi_pipeline.animation.protocol import PairAnimation

log = logging.getLogger(__name__)

Tell = Callable[[str, float], None]
"""Is called with what is being done and which share of it is."""


@dataclass(frozen=True)
class Edit:
    """What a picture is edited by.

    Attributes:
        model: ``dfi`` or ``exemplars``.
        sources, targets, exemplars: files.
    """

    model: str
    asked: FaceOptions
    sources: tuple[Path, ...] = ()
    targets: tuple[Path, ...] = ()
    exemplars: tuple[Path, ...] = ()

    def facts(self) -> dict[str, str]:
        """What decides the frames, for the fingerprint."""
        from vfi_pipeline.data.picture_sets import set_digest

        if self.exemplars:
            return {"edit.exemplars": set_digest(self.exemplars)}
        sets = {"edit.sources": set_digest(self.sources), "edit.targets": set_digest(self.targets)}
        return {**sets, "edit.size": str(self.asked.edit_size), "edit.neighbours": str(self.asked.neighbours)}

    def described(self) -> str:
        """In a few words, for the plan."""
        if self.exemplars:
            return f"in the look of {len(self.exemplars)} exemplar{'s' * (len(self.exemplars) > 1)}"
        return (
            f"an attribute of {len(self.sources)} and {len(self.targets)} pictures, {self.asked.neighbours} neighbours,"
            f" found at {self.asked.edit_size} px"
        )

    def solve(
        self, picture: Tensor, settings: Any, strengths: Sequence[float], device: str, tell: Tell,
        progress: Callable[[float, PairAnimation], None], name: str,
    ) -> PairAnimation:  # fmt: skip
        """The animation of ``picture`` (1, C, H, W) by the strength of the edit.

        Args:
            settings: of the model, as its configuration built them.
            strengths: that will be asked for.
            name: of the picture, for warnings.
        """
        if self.exemplars:
            return self._exemplars(picture, settings, device, tell, name)
        height, width = picture.shape[-2:]
        share = self.asked.edit_size / max(height, width)  # small pictures are enlarged: the network wants to see much
        size = (max(16, round(height * share)), max(16, round(width * share)))
        dfi = build_dfi(
            self.sources, self.targets, size, replace(settings, neighbours=self.asked.neighbours), device, tell
        )
        warn_unless_aligned(dfi.working_picture(picture), (dfi.sources.pictures, dfi.targets.pictures), name)
        return dfi.edit(picture, strengths, progress)

    def _exemplars(self, picture: Tensor, settings: Any, device: str, tell: Tell, name: str) -> PairAnimation:
        from vfi_pipeline.data.picture_sets import read_set
        from vfi_pipeline.editing.exemplars import animated

        height, width = picture.shape[-2:]
        exemplars = read_set(
            self.exemplars, (height, width), "exemplars", lambda share: tell("reading exemplars=", share)
        )
        tell("choosing exemplars", 0.0)
        return animated(picture, exemplars.to(device).float() / 255, settings)


def read_edit(texts: Mapping[str, object], model: str) -> Edit | None:
    """What was typed for ``model``; None where it is no edit.

    Raises:
        UserError: if sets are missing, or do not belong to the model.
    """
    given = given_texts(texts)
    typed = [name for name in NAMES if name in given]
    if model not in EDITS:
        if typed:
            remedy = "model=dfi" if typed[0] != "exemplars" else "leave out model=, or model=exemplars"
            raise UserError(f"{typed[0]}= means nothing to model={model}.", f"{remedy}.")
        return None
    asked = read_fields(FaceOptions, given)
    if model == "dfi":
        if asked.exemplars is not None:
            raise UserError("exemplars= means nothing to model=dfi.", "leave one of the two out.")
        sources, targets = read_sets(asked)
        return Edit(model, asked, tuple(sources), tuple(targets))
    wrong = [name for name in OF_DFI if name in given]
    if wrong:
        raise UserError(f"{wrong[0]}= is for model=dfi, not for exemplars.", f"leave out {wrong[0]}=.")
    if asked.exemplars is None:
        raise UserError("model=exemplars needs pictures to take the look from.", "exemplars=portraits/, a folder.")
    from vfi_pipeline.data.picture_sets import set_files

    return Edit(model, asked, exemplars=tuple(set_files(asked.exemplars, "exemplars")))


def check_edit(count: int, asked: PictureOptions, model: str) -> None:
    """UserError over options that mean something to pairs or to motion only."""
    if count != 1:
        raise UserError(
            f"model={model} edits one picture, and {count} were given.",
            "one picture as input=, the others into the folders of sources= and targets=."
            if model == "dfi"
            else "one picture as input=, the others into the folder of exemplars=.",
        )
    for name, there in (
        ("points", asked.points), ("maps", asked.maps), ("save_maps", asked.save_maps), ("loop", asked.loop),
        ("direction", asked.backward),
    ):  # fmt: skip
        if there:
            remedy = (
                "strength=[-0.4,0] extrapolate=true for the opposite" if name == "direction" else f"leave out {name}="
            )
            raise UserError(f"{name}= is about motion, and model={model} moves nothing.", f"{remedy}.")
