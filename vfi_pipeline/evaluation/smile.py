"""The referee of faces of people that were not trained on: does a warped face smile, and is it a true warp?

``train.py`` asks it at the end of a run (``referee``); ``benchmarks/smile.py`` compares runs and draws the figure.

The referee is a logistic regression on oriented gradients of the mouth's half of a face. It is trained on real pictures
of the people that neither the model nor its critic was trained on, and never of the person that it judges: for each
person held out it learns from the other people held out. Its accuracy on their real pictures stands beside its verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfi_pipeline.data.modules import Member, Pairs, UnpairedImages
from vfi_pipeline.data.pairs import picture_of
from vfi_pipeline.data.split import group_of
from vfi_pipeline.data.textures import image_files
from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.evaluation.digits import TIMES, way_back
from vfi_pipeline.geometry import folding, warp
from vfi_pipeline.metrics import psnr

LEVEL = 1e-3
"""Largest fall of a mean probability from one time to the next that is put down to the referee's grain."""


class Referee:
    """Says how much a face is like those of the second set: ``probability``, by people other than the one asked about.

    Args:
        faces: real pictures (N, C, H, W) of the people held out.
        second: (N,) whether each is of the second set.
        people: whose each is.

    Raises:
        UserError: if fewer than three people, or one set only, are held out.
    """

    def __init__(self, faces: Tensor, second: Sequence[bool], people: Sequence[str]) -> None:
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        known, label, whose = _features(faces), np.array(second), np.array(people)
        mirrored = _features(faces.flip(-1))
        self._by_person: dict[str, Any] = {}
        for person in sorted(set(people)):
            others = whose != person
            if len(set(whose[others])) < 2 or len(set(label[others])) < 2:
                raise UserError(
                    "A referee needs real pictures of both sets, of three people or more that were not trained on.",
                    "more people, or larger data.val_share and data.test_share.",
                    BAD_INPUT,
                )
            made = make_pipeline(StandardScaler(), LogisticRegression(C=3e-3, max_iter=1000))
            self._by_person[person] = made.fit(
                np.concatenate((known[others], mirrored[others])), np.tile(label[others], 2)
            )
        right = self.probability(faces, people) > 0.5
        self.accuracy = float((right == label).mean())

    def probability(self, faces: Tensor, people: Sequence[str]) -> np.ndarray:
        """(N,) for faces (N, C, H, W) of ``people``; a person who is not held out is judged by all that are."""
        chances = np.zeros(len(faces))
        plain, mirrored = _features(faces), _features(faces.flip(-1))
        for k, person in enumerate(people):
            asked = [self._by_person[person]] if person in self._by_person else list(self._by_person.values())
            looks = np.stack((plain[k], mirrored[k]))
            chances[k] = np.mean([one.predict_proba(looks)[:, 1].mean() for one in asked])
        return chances


def _features(faces: Tensor) -> np.ndarray:
    """(N, F) oriented gradients (Dalal and Triggs 2005) of the lower half of aligned faces.

    All are softened first: moving a picture by parts of a pixel softens it, and that is not to be judged.
    """
    from skimage.feature import hog

    soft = F.avg_pool2d(F.pad(faces[:, :3].mean(dim=1, keepdim=True), (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    grey = soft[:, 0].clamp(0, 1).double().numpy()
    height, width = grey.shape[1:]
    half = grey[:, height * 7 // 16 :, width // 8 : width - width // 8]
    cell = max(2, min(half.shape[1:]) // 6)
    cells = {"orientations": 8, "pixels_per_cell": (cell, cell), "cells_per_block": (2, 2)}
    return np.stack([hog(face, **cells) for face in half])


@dataclass(frozen=True)
class Score:
    """Facts of one model on faces of people that it was not trained on.

    Attributes:
        people, faces: how many are judged.
        referee_people, referee_accuracy: who the referee learned from, and how often it is right about real pictures.
        probability: mean probability of the second set at each of ``TIMES``.
        gain: what it gains from t = 0 to 1; monotone: it never falls by more than ``LEVEL``.
        psnr, psnr_hold: of the frame at t = 1, and of the first picture in its place, dB; None without pairs.
        min_det, folded: smallest Jacobian determinant and share of cells with det <= 0, over all faces and times.
        inverse_px: mean length of what is left after going there and back.
        outside_range: largest distance of a made pixel from the source's range of values (a warp makes no colours).
        nfe: velocity calls for one pass to t = 1.
    """

    name: str
    people: int
    faces: int
    referee_people: int
    referee_accuracy: float
    probability: list[float]
    gain: float
    monotone: bool
    psnr: float | None
    psnr_hold: float | None
    min_det: float
    folded: float
    inverse_px: float
    outside_range: float
    nfe: int


@torch.no_grad()
def score(
    name: str, model: nn.Module, data: Pairs | UnpairedImages, real: tuple[Path, Path] | None = None
) -> tuple[Score, Tensor, Tensor]:
    """Scores ``model`` on the test people of ``data`` (the validation's, where there is no test).

    Args:
        real: two folders of real pictures, of the first and of the second set: the referee learns from those of the
            people that were not trained on, too.

    Returns:
        The facts, the sources (N, C, H, W) and the frames (N, times, C, H, W).
    """
    part = "test" if data.has_test() else "val"
    judged = _distinct([member for member in data.people(part) if not member.second])
    held = [member for name_ in ("val", "test") for member in data.people(name_)]
    if real is not None:
        taught = {member.group for member in data.people("train")}
        held = [member for member in members_of(real, data.group) if member.group not in taught]
    held = _distinct(held)
    referee = Referee(_pictures(held, data), [member.second for member in held], [member.group for member in held])
    sources, people = _pictures(judged, data), [member.group for member in judged]
    motion = model(sources, None, torch.tensor(TIMES).expand(len(sources), -1))
    frames = motion.frame
    mean = [float(referee.probability(frames[:, k], people).mean()) for k in range(len(TIMES))]
    low, shares = zip(*(folding(motion.flow[:, k]) for k in range(len(TIMES))))
    back = way_back(model, sources)
    least, most = sources.amin((1, 2, 3), True)[:, None], sources.amax((1, 2, 3), True)[:, None]
    quality, held_quality = pair_quality(model, data, part)
    return Score(
        name=name,
        people=len(set(people)),
        faces=len(sources),
        referee_people=len({member.group for member in held}),
        referee_accuracy=round(referee.accuracy, 4),
        probability=[round(p, 4) for p in mean],
        gain=round(mean[-1] - mean[0], 4),
        monotone=all(after > before - LEVEL for before, after in zip(mean, mean[1:])),
        psnr=quality,
        psnr_hold=held_quality,
        min_det=round(float(torch.stack(low).min()), 3),
        folded=float(torch.stack(shares).mean()),
        inverse_px=round(float((back + warp(motion.flow[:, -1], back)).norm(dim=1).mean()), 4),
        outside_range=float(torch.maximum(least - frames, frames - most).clamp(min=0).max()),
        nfe=model(sources[:1], None, torch.ones(1, 1)).nfe,
    ), sources, frames  # fmt: skip


@torch.no_grad()
def pair_quality(
    model: nn.Module, data: Pairs | UnpairedImages, part: str, without: Sequence[str] = ()
) -> tuple[float | None, float | None]:
    """PSNR at t = 1, and of holding the first picture, over the pairs of a part; None where there are none.

    Args:
        without: people who are left out, since another model was trained on them.
    """
    if not isinstance(data, Pairs):
        return None, None
    whose = {member.file: member.group for member in data.people(part)}
    pairs = [pair for pair in data.parts()[part] if whose[pair.first] not in without]
    if not pairs:
        return None, None
    size = (data.size, data.channels)
    first, last = (
        torch.stack([picture_of(file, *size) for file in side]) for side in zip(*((p.first, p.last) for p in pairs))
    )
    made = model(first, None, torch.ones(len(first), 1)).frame[:, 0]
    return round(float(psnr(made, last).mean()), 3), round(float(psnr(first, last).mean()), 3)


def _distinct(members: Sequence[Member]) -> list[Member]:
    """Without copies of one picture under several names, as sets of pairs have them."""
    found: dict[tuple[bool, str, bytes], Member] = {}
    for member in members:
        found.setdefault((member.second, member.group, member.file.read_bytes()), member)
    return list(found.values())


def members_of(real: tuple[Path, Path], rule: str | None) -> list[Member]:
    """The pictures of two folders, with their people, as ``rule`` tells them apart (None: by the names)."""
    found = []
    for root, second in zip(real, (False, True)):
        files = image_files(root)
        found += [Member(file, second, group_of(file.relative_to(root), rule or "name")) for file in files]
    return found


def _pictures(members: Sequence[Member], data: Pairs | UnpairedImages) -> Tensor:
    return torch.stack([picture_of(member.file, data.size, data.channels) for member in members])


def referee(model: nn.Module, data: Any) -> dict[str, float]:
    """``train.py``'s referee: the main figures of ``score``, by name. Nothing for other data than two sets of faces."""
    if not isinstance(data, (Pairs, UnpairedImages)):
        return {}
    found, _, _ = score("", model, data)
    figures = {"gain": found.gain, "monotone": float(found.monotone), "accuracy": found.referee_accuracy}
    figures |= {"smile_at_0": found.probability[0], "smile_at_1": found.probability[-1], "min_det": found.min_det}
    figures |= {} if found.psnr is None else {"psnr": found.psnr, "psnr_hold": found.psnr_hold or 0.0}
    return {f"referee/{key}": value for key, value in figures.items()}
