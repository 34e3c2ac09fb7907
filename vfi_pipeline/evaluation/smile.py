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
from vfi_pipeline.evaluation.digits import TIMES, backward_flow
from vfi_pipeline.geometry import folding, warp
from vfi_pipeline.metrics import psnr

LEVEL = 1e-3
"""Largest fall of a mean probability from one time to the next that still counts as monotone: noise of the referee."""


class Referee:
    """The probability that a face is of the second set, by classifiers trained on other people.

    Args:
        faces: real pictures (N, C, H, W) of people without training data.
        second: (N,) whether each is of the second set.
        people: (N,) the person of each.

    Raises:
        UserError: if fewer than three people, or one set only, are held out.
    """

    def __init__(self, faces: Tensor, second: Sequence[bool], people: Sequence[str]) -> None:
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        features, label, person_of = _features(faces), np.array(second), np.array(people)
        mirrored = _features(faces.flip(-1))
        self._by_person: dict[str, Any] = {}
        for person in sorted(set(people)):
            others = person_of != person
            if len(set(person_of[others])) < 2 or len(set(label[others])) < 2:
                raise UserError(
                    "A referee needs real pictures of both sets, of three people or more that were not trained on.",
                    "more people, or larger data.val_share and data.test_share.",
                    BAD_INPUT,
                )
            classifier = make_pipeline(StandardScaler(), LogisticRegression(C=3e-3, max_iter=1000))
            self._by_person[person] = classifier.fit(
                np.concatenate((features[others], mirrored[others])), np.tile(label[others], 2)
            )
        right = self.probability(faces, people) > 0.5
        self.accuracy = float((right == label).mean())

    def probability(self, faces: Tensor, people: Sequence[str]) -> np.ndarray:
        """(N,) for faces (N, C, H, W) of ``people``; for a person who is not held out, the mean of all classifiers."""
        chances = np.zeros(len(faces))
        plain, mirrored = _features(faces), _features(faces.flip(-1))
        for k, person in enumerate(people):
            classifiers = [self._by_person[person]] if person in self._by_person else list(self._by_person.values())
            features = np.stack((plain[k], mirrored[k]))
            chances[k] = np.mean([classifier.predict_proba(features)[:, 1].mean() for classifier in classifiers])
        return chances


def _features(faces: Tensor) -> np.ndarray:
    """(N, F) oriented gradients (Dalal and Triggs 2005) of the lower half of aligned faces.

    All pictures are blurred first: a warp by parts of a pixel blurs a picture, which must not count.
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
        people, faces: numbers of those judged.
        referee_people, referee_accuracy: number of people that the referee is trained on, and its accuracy on real
            pictures.
        probability: mean probability of the second set at each of ``TIMES``.
        gain: its increase from t = 0 to 1.
        monotone: whether it never falls by more than ``LEVEL``.
        psnr, psnr_hold: of the frame at t = 1, and of the first picture in its place, dB; None without pairs.
        min_det, folded: smallest Jacobian determinant and share of cells with det <= 0, over all faces and times.
        inverse_px: mean length of the displacement composed with its inverse.
        outside_range: largest distance of a frame's value from the range of the source's (a warp creates no colours).
        nfe: velocity calls of one solve to t = 1.
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

    @property
    def largest_fall(self) -> float:
        """Of the mean probability from one time to the next; 0 if it never falls."""
        return max(0.0, *(before - after for before, after in zip(self.probability, self.probability[1:])))


@torch.no_grad()
def score(
    name: str, model: nn.Module, data: Pairs | UnpairedImages, real: tuple[Path, Path] | None = None
) -> tuple[Score, Tensor, Tensor]:
    """Scores ``model`` on the test people of ``data`` (the validation's, where there is no test).

    Args:
        real: two folders of real pictures, of the first and of the second set, which add to the referee's training
            those of people without training data of the model.

    Returns:
        The facts, the sources (N, C, H, W) and the frames (N, times, C, H, W).
    """
    part = "test" if data.has_test() else "val"
    judged = _distinct([member for member in data.people(part) if not member.second])
    referee_members = [member for name_ in ("val", "test") for member in data.people(name_)]
    if real is not None:
        training_people = {member.group for member in data.people("train")}
        referee_members = [member for member in members_of(real, data.group) if member.group not in training_people]
    referee_members = _distinct(referee_members)
    referee = Referee(
        pictures_of(referee_members, data),
        [member.second for member in referee_members],
        [member.group for member in referee_members],
    )
    sources, people = pictures_of(judged, data), [member.group for member in judged]
    motion = model(sources, None, torch.tensor(TIMES).expand(len(sources), -1))
    frames = motion.frame
    mean = [float(referee.probability(frames[:, k], people).mean()) for k in range(len(TIMES))]
    determinants, shares = zip(*(folding(motion.flow[:, k]) for k in range(len(TIMES))))
    backward = backward_flow(model, sources)
    lowest, highest = sources.amin((1, 2, 3), True)[:, None], sources.amax((1, 2, 3), True)[:, None]
    quality, hold_quality = pair_quality(model, data, part)
    return Score(
        name=name,
        people=len(set(people)),
        faces=len(sources),
        referee_people=len({member.group for member in referee_members}),
        referee_accuracy=round(referee.accuracy, 4),
        probability=[round(p, 4) for p in mean],
        gain=round(mean[-1] - mean[0], 4),
        monotone=all(after > before - LEVEL for before, after in zip(mean, mean[1:])),
        psnr=quality,
        psnr_hold=hold_quality,
        min_det=round(float(torch.stack(determinants).min()), 3),
        folded=float(torch.stack(shares).mean()),
        inverse_px=round(float((backward + warp(motion.flow[:, -1], backward)).norm(dim=1).mean()), 4),
        outside_range=float(torch.maximum(lowest - frames, frames - highest).clamp(min=0).max()),
        nfe=model(sources[:1], None, torch.ones(1, 1)).nfe,
    ), sources, frames  # fmt: skip


@torch.no_grad()
def pair_quality(
    model: nn.Module, data: Pairs | UnpairedImages, part: str, without: Sequence[str] = ()
) -> tuple[float | None, float | None]:
    """PSNR at t = 1, and of holding the first picture, over the pairs of a part; None where there are none.

    Args:
        without: people to leave out, because another model was trained on them.
    """
    if not isinstance(data, Pairs):
        return None, None
    person_of = {member.file: member.group for member in data.people(part)}
    pairs = [pair for pair in data.parts()[part] if person_of[pair.first] not in without]
    if not pairs:
        return None, None
    size = (data.size, data.channels)
    first, last = (
        torch.stack([picture_of(file, *size) for file in side]) for side in zip(*((p.first, p.last) for p in pairs))
    )
    frames = model(first, None, torch.ones(len(first), 1)).frame[:, 0]
    return round(float(psnr(frames, last).mean()), 3), round(float(psnr(first, last).mean()), 3)


def _distinct(members: Sequence[Member]) -> list[Member]:
    """The members without copies of one picture under several names, which sets of pairs have."""
    distinct: dict[tuple[bool, str, bytes], Member] = {}
    for member in members:
        distinct.setdefault((member.second, member.group, member.file.read_bytes()), member)
    return list(distinct.values())


def members_of(real: tuple[Path, Path], rule: str | None) -> list[Member]:
    """The pictures of two folders with their people, who are grouped by ``rule`` (None: by the names)."""
    members = []
    for root, second in zip(real, (False, True)):
        files = image_files(root)
        members += [Member(file, second, group_of(file.relative_to(root), rule or "name")) for file in files]
    return members


def pictures_of(members: Sequence[Member], data: Pairs | UnpairedImages) -> Tensor:
    """The members' pictures, (N, C, H, W) in [0, 1], of the data's size and channels."""
    return torch.stack([picture_of(member.file, data.size, data.channels) for member in members])


def referee(model: nn.Module, data: Any) -> dict[str, float]:
    """The main figures of ``score``, by name, for ``train.py``; none for data other than two sets of faces."""
    if not isinstance(data, (Pairs, UnpairedImages)):
        return {}
    facts, _, _ = score("", model, data)
    figures = {"gain": facts.gain, "monotone": float(facts.monotone), "accuracy": facts.referee_accuracy}
    figures |= {"smile_at_0": facts.probability[0], "smile_at_1": facts.probability[-1], "min_det": facts.min_det}
    figures |= {} if facts.psnr is None else {"psnr": facts.psnr, "psnr_hold": facts.psnr_hold or 0.0}
    return {f"referee/{key}": value for key, value in figures.items()}
