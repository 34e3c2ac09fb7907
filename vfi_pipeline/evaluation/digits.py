"""Classifiers that judge the paper's 3 -> 4 experiment: do they read a warped 3 as 4, and is the motion a warp?

``train.py`` runs them at the end of a training run (``referee``); ``benchmarks/digits.py`` compares runs. Two
classifiers, a small convolutional network and a support vector machine, are trained on real digits of all ten classes
that neither the model nor its critic has seen: on the validation digits to judge test digits, and the reverse. None of
these digits is warped. Their accuracy on the real digits of the judged part is reported as well.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfi_pipeline.data.digits import DigitSplit
from vfi_pipeline.data.modules import Digits
from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.geometry import folding, warp

TIMES = tuple(k / 10 for k in range(11))


MAX_REFEREE_DIGITS = 8000
"""Training digits of a referee: the time of a support vector machine grows with the square of their number."""


class Referee:
    """Digit classifiers trained on real digits: ``probability`` by a network, ``verdict`` by network and SVM.

    Args:
        judged: the part whose digits are to be judged. The training digits are the other part without training data.
    """

    def __init__(self, split: DigitSplit, steps: int = 500, seed: int = 0, judged: str = "test") -> None:
        from sklearn.svm import SVC

        training_part = split.val if judged == "test" else split.test
        pictures, labels = training_part.pictures[:MAX_REFEREE_DIGITS], training_part.labels[:MAX_REFEREE_DIGITS]
        self.svm = SVC(C=10).fit(pictures.flatten(1).numpy(), labels.numpy())
        generator = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            quarter = pictures.shape[-1] // 4
            self.net = nn.Sequential(
                nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
                nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                nn.Linear(32 * quarter**2, 64), nn.ReLU(), nn.Linear(64, 10),
            )  # fmt: skip
        optimizer = torch.optim.Adam(self.net.parameters(), 2e-3)
        for _ in range(steps):
            chosen = torch.randint(len(pictures), (64,), generator=generator)
            loss = F.cross_entropy(self.net(_shifted(pictures[chosen], generator)), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        real = getattr(split, judged)
        named = self.verdict(real.pictures)
        self.accuracy = {name: float((digit == real.labels).float().mean()) for name, digit in named.items()}

    @torch.no_grad()
    def probability(self, pictures: Tensor, digit: int) -> Tensor:
        """(N,) probability that the network gives to ``digit``."""
        return self.net(pictures).softmax(1)[:, digit]

    @torch.no_grad()
    def verdict(self, pictures: Tensor) -> dict[str, Tensor]:
        """Classifier -> (N,) digits."""
        by_svm = torch.from_numpy(self.svm.predict(pictures.flatten(1).numpy()))
        return {"network": self.net(pictures).argmax(1), "svm": by_svm}


def _shifted(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """The pictures shifted by up to one pixel, so that the referee does not depend on a digit's position."""
    dx, dy = (int(torch.randint(-1, 2, (1,), generator=generator)) for _ in range(2))
    return torch.roll(F.pad(pictures, (1, 1, 1, 1)), (dy, dx), (2, 3))[..., 1:-1, 1:-1]


@dataclass(frozen=True)
class Score:
    """Facts of one model on source digits that it was not trained on.

    Attributes:
        called_target: share of the digits that each referee reads as the target at t = 1.
        called_target_before: the same at t = 0, for comparison.
        probability: mean probability of the target at each of ``TIMES``.
        rising: share of the digits whose own probability never falls by more than 0.05 from one time to the next.
        monotone: whether the mean never falls.
        min_det, folded: smallest Jacobian determinant and share of cells with det <= 0, over all digits and times.
        inverse_px: mean length of the displacement composed with its inverse.
        outside_range: largest distance of a frame's value from the range of the source's (a warp creates no colours).
        nfe: velocity calls of one solve to t = 1.
        seconds: for all frames of all digits.
    """

    name: str
    digits: int
    called_target: dict[str, float]
    called_target_before: dict[str, float]
    probability: list[float]
    rising: float
    monotone: bool
    min_det: float
    folded: float
    inverse_px: float
    outside_range: float
    nfe: int
    seconds: float
    critic_gradient_norm: float | None = None
    weights: int = 0


@torch.no_grad()
def score(name: str, model: nn.Module, referee: Referee, sources: Tensor, target: int = 4) -> tuple[Score, Tensor]:
    """Scores ``model`` on ``sources`` (N, 1, H, W); also returns its frames (N, times, 1, H, W)."""
    start = time.monotonic()
    times = torch.tensor(TIMES).expand(len(sources), -1)
    motion = model(sources, None, times)
    seconds = time.monotonic() - start
    frames = motion.frame
    single = model(sources, None, torch.ones(len(sources), 1))
    chance = torch.stack([referee.probability(frames[:, k], target) for k in range(len(TIMES))], dim=1)
    mean = chance.mean(0)
    dets = [folding(motion.flow[:, k]) for k in range(len(TIMES))]
    last, first = referee.verdict(frames[:, -1]), referee.verdict(sources)
    backward = backward_flow(model, sources)
    low, high = sources.amin((1, 2, 3), True)[:, None], sources.amax((1, 2, 3), True)[:, None]
    return Score(
        name=name,
        digits=len(sources),
        called_target={referee_name: float((digit == target).float().mean()) for referee_name, digit in last.items()},
        called_target_before={
            referee_name: float((digit == target).float().mean()) for referee_name, digit in first.items()
        },
        probability=[round(float(p), 4) for p in mean],
        rising=float((chance.diff(dim=1) > -0.05).all(1).float().mean()),
        monotone=bool((mean.diff() > -1e-4).all()),
        min_det=float(torch.stack([min_det for min_det, _ in dets]).min()),
        folded=float(torch.stack([share for _, share in dets]).mean()),
        inverse_px=float((backward + warp(motion.flow[:, -1], backward)).norm(dim=1).mean()),
        outside_range=float(torch.maximum(low - frames, frames - high).clamp(min=0).max()),
        nfe=single.nfe,
        seconds=round(seconds, 3),
        weights=sum(p.numel() for p in model.parameters()),
    ), frames


def backward_flow(model: nn.Module, sources: Tensor, targets: Tensor | None = None) -> Tensor:
    """The model's displacement from t = 1 to t = 0, (N, 2, H, W), px; ``targets`` for models of both pictures."""
    setting = model.there_and_back
    model.there_and_back = True
    try:
        return model(sources, targets, torch.ones(len(sources), 1)).backward
    finally:
        model.there_and_back = setting


def referee(model: nn.Module, data: Any) -> dict[str, float]:
    """The main figures of ``score`` on the test digits, by name, for ``train.py``; none for other data."""
    if not isinstance(data, Digits) or data.channels != 1:
        return {}
    split = data.split()
    facts, _ = score("", model, Referee(split), split.of(data.source, "test"), data.target)
    figures = {f"called_{data.target}/{name}": share for name, share in facts.called_target.items()}
    figures |= {"rising": facts.rising, "folded": facts.folded, "min_det": facts.min_det}
    return {f"referee/{name}": value for name, value in figures.items()}


def run_weights(run: Path) -> Path:
    """The weights that a training run exported.

    Raises:
        UserError: if there are none.
    """
    files = sorted((run / "export").glob("*.safetensors"))
    if not files:
        raise UserError(f"{run} holds no exported weights.", "Let its training end, or name another run.", BAD_INPUT)
    return files[0]
