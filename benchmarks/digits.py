"""Scores the paper's 3 -> 4 experiment: does an independent classifier read the warped 3s as 4, and are they warps?

    python train.py experiment=digits_gan hydra.run.dir=outputs/digits/svf
    python train.py experiment=digits_gan field=state hydra.run.dir=outputs/digits/state
    python -m benchmarks.digits outputs/digits/svf outputs/digits/state --out docs/figures

Settings are chosen by ``--part val``; the figure and the table are of the test digits, which no choice has seen. The
referees: ``vfi_pipeline.evaluation.digits``.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vfi_pipeline.data.digits import load_digits
from vfi_pipeline.evaluation.digits import TIMES, Referee, Score, run_weights, score
from vfi_pipeline.models.checkpoint import load_model

log = logging.getLogger(__name__)


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
    for name, _, _, facts in named:
        called = ", ".join(f"{100 * share:.0f} % ({who})" for who, share in facts.called_target.items())
        axis.plot(TIMES, facts.probability, marker="o", label=f"{name}: {called} called 4 at t = 1")
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
    accuracies = ", ".join(f"{who} {100 * share:.1f} %" for who, share in facts["referee_accuracy"].items())
    judged = f"{models[0]['digits']} 3s of the part `{facts['part']}`. Referees right about real digits: {accuracies}."
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
        result, frames = score(name, model, judge, sources)
        named.append((name, model, frames, Score(**{**asdict(result), "critic_gradient_norm": slope})))
    figure(options.out / "digits_gan.png", named, sources)
    facts = {
        "part": options.part,
        "referee_accuracy": judge.accuracy,
        "models": [asdict(result) for *_, result in named],
    }
    (options.out / "digits_gan.json").write_text(json.dumps(facts, indent=1) + "\n")
    (options.out / "digits_gan.md").write_text(table(facts))
    log.info("%s", json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
