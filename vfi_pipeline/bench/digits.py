"""Scores the paper's 3 -> 4 experiment: does an independent classifier call the warped 3s "4", and are they true warps?

    python train.py experiment=digits_gan hydra.run.dir=outputs/digits/svf
    python train.py experiment=digits_gan field=state hydra.run.dir=outputs/digits/state
    python -m vfi_pipeline.bench.digits outputs/digits/svf outputs/digits/state --out docs/figures

Settings are chosen by ``--part val``; the figure and the table are of the test digits, which no choice has seen.
Two referees, a small convolutional network and a support vector machine, are trained on real digits of all ten classes
that neither the model nor its critic has seen: on the validation digits where test digits are judged, and the other way
round. They have never seen a warped one. Their own accuracy on the judged part's real digits is reported beside.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfi_pipeline.data.digits import DigitSplit, load_digits
from vfi_pipeline.data.modules import Digits
from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.geometry import folding, warp
from vfi_pipeline.models.checkpoint import load_model

log = logging.getLogger(__name__)

TIMES = tuple(k / 10 for k in range(11))


LARGEST = 8000
"""So many digits teach a referee at most: a support vector machine's time grows with their square."""


class Referee:
    """Digit classifiers trained on real digits: ``probability`` by a network, ``verdict`` by network and SVM.

    Args:
        judged: the part whose digits it will be asked about. It learns from the other one that was not trained on.
    """

    def __init__(self, split: DigitSplit, steps: int = 500, seed: int = 0, judged: str = "test") -> None:
        from sklearn.svm import SVC

        taught = split.val if judged == "test" else split.test
        pictures, labels = taught.pictures[:LARGEST], taught.labels[:LARGEST]
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
        self.accuracy = {who: float((digit == real.labels).float().mean()) for who, digit in named.items()}

    @torch.no_grad()
    def probability(self, pictures: Tensor, digit: int) -> Tensor:
        """(N,) probability that the network gives to ``digit``."""
        return self.net(pictures).softmax(1)[:, digit]

    @torch.no_grad()
    def verdict(self, pictures: Tensor) -> dict[str, Tensor]:
        """(N,) digits that each referee names."""
        by_svm = torch.from_numpy(self.svm.predict(pictures.flatten(1).numpy()))
        return {"network": self.net(pictures).argmax(1), "svm": by_svm}


def _shifted(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Each moved by up to one pixel: the referee shall not mind where a digit stands."""
    dx, dy = (int(torch.randint(-1, 2, (1,), generator=generator)) for _ in range(2))
    return torch.roll(F.pad(pictures, (1, 1, 1, 1)), (dy, dx), (2, 3))[..., 1:-1, 1:-1]


@dataclass(frozen=True)
class Score:
    """Facts of one model on source digits that it was not trained on.

    Attributes:
        called_target: share that each referee calls the target at t = 1 (and at t = 0, for comparison).
        probability: mean probability of the target at each of ``TIMES``.
        rising: share of the digits whose own probability never falls by more than 0.05 from one time to the next.
        monotone: the mean never falls.
        min_det, folded: smallest Jacobian determinant and share of cells with det <= 0, over all digits and times.
        inverse_px: mean length of what is left after going there and back.
        outside_range: largest distance of a made pixel from the source's range of values (a warp makes no colours).
        nfe: velocity calls for one pass to t = 1.
        seconds: to make all frames of all digits.
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
    began = time.monotonic()
    times = torch.tensor(TIMES).expand(len(sources), -1)
    motion = model(sources, None, times)
    seconds = time.monotonic() - began
    frames = motion.frame
    single = model(sources, None, torch.ones(len(sources), 1))
    chance = torch.stack([referee.probability(frames[:, k], target) for k in range(len(TIMES))], dim=1)
    mean = chance.mean(0)
    dets = [folding(motion.flow[:, k]) for k in range(len(TIMES))]
    last, first = referee.verdict(frames[:, -1]), referee.verdict(sources)
    back = way_back(model, sources)
    low, high = sources.amin((1, 2, 3), True)[:, None], sources.amax((1, 2, 3), True)[:, None]
    return Score(
        name=name,
        digits=len(sources),
        called_target={who: float((digit == target).float().mean()) for who, digit in last.items()},
        called_target_before={who: float((digit == target).float().mean()) for who, digit in first.items()},
        probability=[round(float(p), 4) for p in mean],
        rising=float((chance.diff(dim=1) > -0.05).all(1).float().mean()),
        monotone=bool((mean.diff() > -1e-4).all()),
        min_det=float(torch.stack([low_ for low_, _ in dets]).min()),
        folded=float(torch.stack([share for _, share in dets]).mean()),
        inverse_px=float((back + warp(motion.flow[:, -1], back)).norm(dim=1).mean()),
        outside_range=float(torch.maximum(low - frames, frames - high).clamp(min=0).max()),
        nfe=single.nfe,
        seconds=round(seconds, 3),
        weights=sum(p.numel() for p in model.parameters()),
    ), frames


def way_back(model: nn.Module, sources: Tensor, targets: Tensor | None = None) -> Tensor:
    """The model's own backward map over the whole way, (N, 2, H, W); ``targets`` for a model that looks at both."""
    kept = model.there_and_back
    model.there_and_back = True
    try:
        return model(sources, targets, torch.ones(len(sources), 1)).backward
    finally:
        model.there_and_back = kept


def referee(model: nn.Module, data: Any) -> dict[str, float]:
    """``train.py``'s referee: the main figures of ``score`` on the test digits, by name. Nothing for other data."""
    if not isinstance(data, Digits) or data.channels != 1:
        return {}
    split = data.split()
    found, _ = score("", model, Referee(split), split.of(data.source, "test"), data.target)
    figures = {f"called_{data.target}/{who}": share for who, share in found.called_target.items()}
    figures |= {"rising": found.rising, "folded": found.folded, "min_det": found.min_det}
    return {f"referee/{name}": value for name, value in figures.items()}


def run_weights(run: Path) -> Path:
    """The weights that a training run exported.

    Raises:
        UserError: if there are none.
    """
    found = sorted((run / "export").glob("*.safetensors"))
    if not found:
        raise UserError(f"{run} holds no exported weights.", "Let its training end, or name another run.", BAD_INPUT)
    return found[0]


def gradient_norm(run: Path) -> float | None:
    """The critic's last gradient norm in the run's CSV log; None without one."""
    values = []
    for table in sorted(run.rglob("metrics.csv")):
        with table.open() as lines:
            values += [
                float(row["train/gradient_norm"]) for row in csv.DictReader(lines) if row.get("train/gradient_norm")
            ]
    return round(float(np.mean(values[-20:])), 4) if values else None


def figure(path: Path, named: Sequence[tuple[str, nn.Module, Tensor, Score]], sources: Tensor, shown: int = 4) -> None:
    """Strips over t as in the paper's Fig. 5 of the first few ``sources``, the velocity of what is seen, and the
    referee's probability over t."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = shown * len(named)
    chart = plt.figure(figsize=(8, 1.05 * rows + 3), dpi=80)
    grid = chart.add_gridspec(rows + 3, 7, hspace=0.08, wspace=0.05)
    strip = [0, 2, 4, 6, 8, 10]
    for block, (name, model, frames, _) in enumerate(named):
        with torch.no_grad():
            velocity = -model.field(sources[:shown]).picture(0.0)  # content moves by minus the pull-back velocity
        for k in range(shown):
            for column, at in enumerate(strip):
                axis = chart.add_subplot(grid[block * shown + k, column])
                axis.imshow(frames[k, at, 0], cmap="gray", vmin=0, vmax=1)
                axis.set_axis_off()
                if block == 0 and k == 0:
                    axis.set_title(f"t = {TIMES[at]:.1f}", fontsize=8)
                if column == 0:
                    axis.text(-2, frames.shape[-1] / 2, name if k == 0 else "", ha="right", va="center", fontsize=9)
            axis = chart.add_subplot(grid[block * shown + k, 6])
            axis.imshow(frames[k, 0, 0], cmap="gray", vmin=0, vmax=2)
            step = max(1, frames.shape[-1] // 8)
            y, x = np.mgrid[0 : frames.shape[-2] : step, 0 : frames.shape[-1] : step]
            v = velocity[k, :, ::step, ::step].numpy()
            axis.quiver(x, y, v[0], v[1], color="tab:orange", angles="xy", scale_units="xy", scale=1, width=0.012)
            axis.set_axis_off()
            if block == 0 and k == 0:
                axis.set_title("motion", fontsize=8)
    axis = chart.add_subplot(grid[rows + 1 :, :6])
    for name, _, _, found in named:
        called = ", ".join(f"{100 * share:.0f} % ({who})" for who, share in found.called_target.items())
        axis.plot(TIMES, found.probability, marker="o", label=f"{name}: {called} called 4 at t = 1")
    axis.set_xlabel("t")
    axis.set_ylabel("mean P(4), unseen 3s")
    axis.set_ylim(0, 1)
    axis.legend(fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    chart.savefig(path, bbox_inches="tight")
    plt.close(chart)


def table(facts: Mapping[str, Any]) -> str:
    """Markdown of what ``main`` writes as JSON: a column for each model."""
    models = facts["models"]
    whos = list(models[0]["called_target"])
    shown = range(0, len(TIMES), 2)
    rows: dict[str, Callable[[Mapping[str, Any]], str]] = {
        f"called 4 at t = 1, {' / '.join(whos)}": lambda m: _shares(m["called_target"]),
        "called 4 at t = 0": lambda m: _shares(m["called_target_before"]),
        f"mean P(4) at t = {', '.join(f'{TIMES[k]:g}' for k in shown)}": lambda m: ", ".join(
            f"{m['probability'][k]:.2f}" for k in shown
        ),
        "the mean rises / digits whose own P(4) rises": lambda m: (
            f"{'yes' if m['monotone'] else 'no'} / {100 * m['rising']:.0f} %"
        ),
        "cells with det <= 0; smallest det": lambda m: f"{100 * m['folded']:.3f} %; {m['min_det']:.2f}",
        "what is left after the way and back, mean px": lambda m: f"{m['inverse_px']:.2f}",
        "made pixels outside the source's range, largest": lambda m: f"{m['outside_range']:.3f}",
        "critic's gradient norm": lambda m: (
            "-" if m["critic_gradient_norm"] is None else f"{m['critic_gradient_norm']:.2f}"
        ),
        "velocity calls": lambda m: str(m["nfe"]),
    }
    lines = ["| | " + " | ".join(f"`{m['name']}`" for m in models) + " |", "|--|" + "--|" * len(models)]
    lines += [f"| {title} | " + " | ".join(cell(m) for m in models) + " |" for title, cell in rows.items()]
    known = ", ".join(f"{who} {100 * share:.1f} %" for who, share in facts["referee_accuracy"].items())
    judged = f"{models[0]['digits']} 3s of the part `{facts['part']}`. Referees right about real digits: {known}."
    return judged + "\n\n" + "\n".join(lines) + "\n"


def _shares(by_referee: Mapping[str, float]) -> str:
    return " / ".join(f"{100 * share:.0f} %" for share in by_referee.values())


def main() -> None:
    """The command; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, help="folders of training runs")
    parser.add_argument("--out", type=Path, default=Path("outputs/digits"), help="where digits_gan.png, .json, .md go")
    parser.add_argument("--mnist", default=None, help="the user's MNIST, if the runs were trained on it")
    parser.add_argument("--part", choices=("val", "test"), default="test", help="val while settings are being chosen")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    models = [(run.name, load_model(run_weights(run))[0], gradient_norm(run)) for run in options.runs]
    split = load_digits(models[0][1].guide_span, options.mnist)
    judge, sources = Referee(split, judged=options.part), split.of(3, options.part)
    named = []
    for name, model, slope in models:
        found, frames = score(name, model, judge, sources)
        named.append((name, model, frames, Score(**{**asdict(found), "critic_gradient_norm": slope})))
    figure(options.out / "digits_gan.png", named, sources)
    facts = {
        "part": options.part,
        "referee_accuracy": judge.accuracy,
        "models": [asdict(found) for *_, found in named],
    }
    (options.out / "digits_gan.json").write_text(json.dumps(facts, indent=1) + "\n")
    (options.out / "digits_gan.md").write_text(table(facts))
    log.info("%s", json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
