"""Scores ``experiment=smile_l2`` and ``smile_gan`` on people without training data, and draws the paper's figure.

    python train.py experiment=smile_l2 data.first=... data.last=... hydra.run.dir=outputs/smile/l2
    python train.py experiment=smile_gan data.source=... data.target=... hydra.run.dir=outputs/smile/gan
    python -m benchmarks.smile outputs/smile/l2 outputs/smile/gan --out outputs/smile

``--real NEUTRAL SMILING`` names more real pictures for the referee (``vfi_pipeline.evaluation.smile``), of people named
in the same way.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from vfi_pipeline.data.modules import Pairs, UnpairedImages
from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.evaluation.digits import TIMES, run_weights
from vfi_pipeline.evaluation.smile import Score, pair_quality, score
from vfi_pipeline.models.checkpoint import load_model

log = logging.getLogger(__name__)


KINDS = {"Pairs": Pairs, "UnpairedImages": UnpairedImages}
"""Data sets of two sides, by the names that a run's configuration has for them."""


def data_of(run: Path) -> Pairs | UnpairedImages:
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


def figure(path: Path, results: Sequence[tuple[Score, nn.Module, Tensor, Tensor]], shown: int = 4) -> None:
    """Strips over t of the first few faces of different people, their motion, and the referee's opinion over t."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = shown * len(results)
    chart = plt.figure(figsize=(8.5, 1.2 * rows + 2.6), dpi=80)
    grid = chart.add_gridspec(rows + 3, 7, hspace=0.05, wspace=0.05)
    strip = [0, 2, 4, 6, 8, 10]
    for block, (facts, model, sources, frames) in enumerate(results):
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
    for facts, _, _, _ in results:
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


def compared(runs: Sequence[tuple[str, nn.Module, Pairs | UnpairedImages]]) -> dict[str, float | None]:
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
    results = []
    for name, model, data in runs:
        facts, sources, frames = score(name, model, data, options.real and tuple(options.real))
        results.append((facts, model, sources, frames))
        animation(options.out / f"{name}.gif", frames)
    figure(options.out / "smile.png", results)
    lines = verdict([facts for facts, *_ in results], compared(runs))
    record = {"models": [asdict(facts) for facts, *_ in results], "verdict": lines}
    (options.out / "smile.json").write_text(json.dumps(record, indent=1) + "\n")
    for line in lines:
        log.info("%s", line)


if __name__ == "__main__":
    main()
