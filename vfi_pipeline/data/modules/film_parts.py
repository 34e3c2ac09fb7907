"""Parts of ``Clips`` and ``Films``: films, validation, the share of synthetic scenes, where batches are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vfi_pipeline.data.device_batches import Stage
from vfi_pipeline.data.split import check_shares
from vfi_pipeline.data.synthetic import Recipe
from vfi_pipeline.errors import UserError


@dataclass(frozen=True)
class FilmRoots:
    """Which films train, validate and test.

    Attributes:
        root: a folder of films, or several (searched to any depth). Split by file, so that either side holds a triplet;
            where one film alone holds any, that film is split by time into three parts with gaps between.
        val_root: films of their own for validation. None keeps ``val_share`` of the films for it.
        val_share: of the films, for validation. 0 keeps none and validates on what is trained on.
        test_share: of the films, for the final test. 0: there is none, and the figures are of the validation films.
    """

    root: str | Sequence[str]
    val_root: str | None = None
    val_share: float = 0.1
    test_share: float = 0.0

    def __post_init__(self) -> None:
        check_shares(self.val_share, self.test_share)

    @property
    def roots(self) -> list[str]:
        """The folders of ``root``."""
        return [self.root] if isinstance(self.root, str) else list(self.root)


@dataclass(frozen=True)
class Validation:
    """Triplets that judge: side of their crops, px, and their number. Not augmented, target at t = 1/2."""

    crop: int = 192
    samples: int = 64


@dataclass(frozen=True)
class SyntheticShare:
    """Scenes with true velocity among the training samples.

    Attributes:
        share: of the samples. The bundled photographs and frames of the training films are their textures.
        recipe: the distribution of scenes; None is ``Recipe()``.
        scenes: scenes that are made once, at the start, where batches are made on the device.
    """

    share: float = 0.0
    recipe: Recipe | None = None
    scenes: int = 512


@dataclass(frozen=True)
class BatchMaking:
    """Where training batches are made.

    Attributes:
        where: ``loader`` (crops cut on the host, by ``workers``), ``device`` (all frames are kept on the device that
            trains, see ``data.device_batches``), ``auto``: on a GPU, the device.
        stages: later parts of the run with other crops and batches; batches are made on the device then.
    """

    where: str = "auto"
    stages: tuple[Stage, ...] = ()

    def __post_init__(self) -> None:
        if self.where not in ("auto", "device", "loader"):
            raise UserError(f"data.batches={self.where} is none of the three.", "data.batches=auto, device or loader.")
