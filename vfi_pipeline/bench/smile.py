"""Scores ``experiment=smile_l2`` and ``smile_gan`` on people that were not trained on, and draws the paper's figure.

    python train.py experiment=smile_l2 data.first=... data.last=... hydra.run.dir=outputs/smile/l2
    python train.py experiment=smile_gan data.source=... data.target=... hydra.run.dir=outputs/smile/gan
    python -m vfi_pipeline.bench.smile outputs/smile/l2 outputs/smile/gan --out outputs/smile

``--real NEUTRAL SMILING`` names more real pictures for the referee, of people named in the same way.

The referee is a logistic regression on oriented gradients of the mouth's half of a face. It is trained on real pictures
of the people that neither the model nor its critic was trained on, and never of the person that it judges: for each
person held out it learns from the other people held out. Its accuracy on their real pictures stands beside its verdict.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from vfi_pipeline.bench.digits import TIMES, run_weights, way_back
from vfi_pipeline.data.modules import Member, Pairs, Strangers
from vfi_pipeline.data.pairs import picture_of
from vfi_pipeline.data.split import group_of
from vfi_pipeline.data.textures import image_files
from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.geometry import folding, warp
from vfi_pipeline.metrics import psnr
from vfi_pipeline.models.checkpoint import load_model

log = logging.getLogger(__name__)

KINDS = {"Pairs": Pairs, "Strangers": Strangers}
"""Data sets of two sides, by the names that a run's configuration has for them."""

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
    name: str, model: nn.Module, data: Pairs | Strangers, real: tuple[Path, Path] | None = None
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
    model: nn.Module, data: Pairs | Strangers, part: str, without: Sequence[str] = ()
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


def _pictures(members: Sequence[Member], data: Pairs | Strangers) -> Tensor:
    return torch.stack([picture_of(member.file, data.size, data.channels) for member in members])


def referee(model: nn.Module, data: Any) -> dict[str, float]:
    """``train.py``'s referee: the main figures of ``score``, by name. Nothing for other data than two sets of faces."""
    if not isinstance(data, (Pairs, Strangers)):
        return {}
    found, _, _ = score("", model, data)
    figures = {"gain": found.gain, "monotone": float(found.monotone), "accuracy": found.referee_accuracy}
    figures |= {"smile_at_0": found.probability[0], "smile_at_1": found.probability[-1], "min_det": found.min_det}
    figures |= {} if found.psnr is None else {"psnr": found.psnr, "psnr_hold": found.psnr_hold or 0.0}
    return {f"referee/{key}": value for key, value in figures.items()}


def data_of(run: Path) -> Pairs | Strangers:
    """The data set that a run was trained on, as its ``run.json`` says.

    Raises:
        UserError: if the run is none, or was trained on something else.
    """
    try:
        settings: Mapping[str, Any] = json.loads((run / "run.json").read_text())["config"]["data"]
        kind = KINDS[str(settings["_target_"]).rpartition(".")[2]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{run} is no run on pairs or unpaired pictures ({error}).", "a run of experiment=smile_l2 or smile_gan.",
            BAD_INPUT,
        ) from error  # fmt: skip
    return kind(**{key: value for key, value in settings.items() if not key.startswith("_")})


# ------------------------------------------------------------------------------------------------------- what is shown


def verdict(scores: Sequence[Score], beside: Mapping[str, float | None]) -> list[str]:
    """The bars, met or missed, in sentences.

    Args:
        beside: name -> PSNR on the pairs that no model was trained on, where they can be compared.
    """
    lines = []
    for s in scores:
        steps = [after - before for before, after in zip(s.probability, s.probability[1:])]
        rises = "rises at every step" if min(steps) >= 0 else f"falls by {-min(steps):.4f} at one step or more"
        lines.append(
            f"{s.name}: P(second set) of {s.faces} faces of {s.people} people goes from {s.probability[0]:.3f} to "
            f"{s.probability[-1]:.3f} and {rises} (the referee is right about {100 * s.referee_accuracy:.0f} % of the "
            f"real pictures of {s.referee_people} people)."
        )
        lines.append(
            f"{s.name}: {100 * s.folded:.3f} % of the cells fold, smallest determinant {s.min_det:.2f}; "
            f"{s.inverse_px:.3f} px are left after there and back."
        )
        if s.psnr is not None and s.psnr_hold is not None:
            more = s.psnr - s.psnr_hold
            lines.append(
                f"{s.name}: {s.psnr:.2f} dB at t = 1, {abs(more):.2f} dB {'above' if more > 0 else 'BELOW'} hold."
            )
    by_pairs = {s.name: s.psnr is not None for s in scores}
    for gan in (s for s in scores if not by_pairs[s.name]):
        for l2 in (s for s in scores if by_pairs[s.name]):
            word = "better" if gan.gain > l2.gain else "WORSE"
            lines.append(f"By its referee {gan.name} is {word} than {l2.name}: {gan.gain:+.3f} beside {l2.gain:+.3f}.")
            a, b = beside.get(gan.name), beside.get(l2.name)
            if a is not None and b is not None:
                word = "better" if a > b else "WORSE"
                lines.append(f"On pairs that neither was trained on it is {word}: {a:.2f} dB beside {b:.2f} dB.")
    return lines


def figure(path: Path, found: Sequence[tuple[Score, nn.Module, Tensor, Tensor]], shown: int = 4) -> None:
    """Strips over t of the first few faces of different people, their motion, and the referee's opinion over t."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = shown * len(found)
    chart = plt.figure(figsize=(8.5, 1.2 * rows + 2.6), dpi=80)
    grid = chart.add_gridspec(rows + 3, 7, hspace=0.05, wspace=0.05)
    strip = [0, 2, 4, 6, 8, 10]
    for block, (facts, model, sources, frames) in enumerate(found):
        chosen = np.unique(np.linspace(0, len(sources) - 1, shown).round().astype(int))
        with torch.no_grad():
            velocity = -model.field(sources[chosen]).picture(0.0)  # content moves by minus the pull-back velocity
        for row, k in enumerate(chosen):
            for column, at in enumerate([*strip, 0]):
                axis = chart.add_subplot(grid[block * shown + row, column])
                axis.imshow(_shown(frames[k, at]), cmap="gray", vmin=0, vmax=1)
                axis.set_axis_off()
                if block == 0 and row == 0:
                    axis.set_title(f"t = {TIMES[at]:.1f}" if column < 6 else "motion", fontsize=8)
                if column == 0 and row == 0:
                    axis.text(-4, frames.shape[-1] / 2, facts.name, ha="right", va="center", fontsize=9, rotation=90)
            step = max(1, frames.shape[-1] // 12)
            y, x = np.mgrid[0 : frames.shape[-2] : step, 0 : frames.shape[-1] : step]
            v = velocity[row, :, ::step, ::step].numpy()
            axis.quiver(x, y, v[0], v[1], color="tab:orange", angles="xy", scale_units="xy", scale=0.5, width=0.01)
    axis = chart.add_subplot(grid[rows + 1 :, :])
    for facts, _, _, _ in found:
        axis.plot(TIMES, facts.probability, marker="o", label=f"{facts.name}: {facts.gain:+.3f}")
    axis.set_xlabel("t")
    axis.set_ylabel("mean P(second set)")
    axis.legend(fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    chart.savefig(path, bbox_inches="tight")
    plt.close(chart)


def animation(path: Path, frames: Tensor, shown: int = 8, enlarged: int = 2) -> None:
    """A GIF of the first few faces side by side (N, times, C, H, W), forth and back."""
    chosen = np.unique(np.linspace(0, len(frames) - 1, shown).round().astype(int))
    pictures = []
    for at in range(frames.shape[1]):
        row = np.concatenate([_shown(frames[k, at]) for k in chosen], axis=1)
        image = Image.fromarray(np.round(255 * row).astype(np.uint8))
        pictures.append(image.resize((image.width * enlarged, image.height * enlarged), Image.Resampling.BICUBIC))
    loop = [*pictures, *pictures[-2:0:-1]]
    path.parent.mkdir(parents=True, exist_ok=True)
    loop[0].save(path, save_all=True, append_images=loop[1:], duration=100, loop=0)


def _shown(picture: Tensor) -> np.ndarray:
    """(C, H, W) as (H, W), or (H, W, 3) in colour."""
    values = picture.clamp(0, 1).permute(1, 2, 0).numpy()
    return values[..., 0] if values.shape[-1] == 1 else values[..., :3]


def compared(runs: Sequence[tuple[str, nn.Module, Pairs | Strangers]]) -> dict[str, float | None]:
    """PSNR of every model on the pairs of people whom none of them was trained on; empty if there are no such pairs."""
    trained = {member.group for _, _, data in runs for member in data.people("train")}
    pairs = next((data for _, _, data in runs if isinstance(data, Pairs)), None)
    if pairs is None:
        return {}
    part = "test" if pairs.has_test() else "val"
    return {name: pair_quality(model, pairs, part, sorted(trained))[0] for name, model, _ in runs}


def main() -> None:
    """The command; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, help="folders of training runs")
    parser.add_argument("--out", type=Path, default=Path("outputs/smile"), help="where smile.png, .gif and .json go")
    parser.add_argument("--real", nargs=2, type=Path, metavar="FOLDER", help="more real pictures for the referee")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    runs = [(run.name, load_model(run_weights(run))[0], data_of(run)) for run in options.runs]
    found = []
    for name, model, data in runs:
        facts, sources, frames = score(name, model, data, options.real and tuple(options.real))
        found.append((facts, model, sources, frames))
        animation(options.out / f"{name}.gif", frames)
    figure(options.out / "smile.png", found)
    lines = verdict([facts for facts, *_ in found], compared(runs))
    record = {"models": [asdict(facts) for facts, *_ in found], "verdict": lines}
    (options.out / "smile.json").write_text(json.dumps(record, indent=1) + "\n")
    for line in lines:
        log.info("%s", line)


if __name__ == "__main__":
    main()
