"""Scores models trained by ``experiment=synthetic_l2`` on scenes with ground truth between the frames.

    python train.py experiment=synthetic_l2 field=svf hydra.run.dir=outputs/ablation/svf-0.1       (and others)
    python -m benchmarks.ablation outputs/ablation/* --out docs/figures

Scenes are of textures that training never saw. PSNR is over the inside of the frame (a border of a tenth of the side is
left out: what enters there is not in the first frame), per frame, then averaged. Blend is the cross-fade, hold the
first frame.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from vfi_pipeline.data.batch import Triplet, collate
from vfi_pipeline.data.synthetic import Recipe, SyntheticMotion
from vfi_pipeline.data.textures import bundled_textures, split_textures
from vfi_pipeline.evaluation.digits import run_weights
from vfi_pipeline.geometry import folding, pixel_grid, resize_flow, warp
from vfi_pipeline.losses.penalties import smoothness
from vfi_pipeline.metrics import psnr
from vfi_pipeline.models.checkpoint import load_model
from vfi_pipeline.ode import SampledVelocity, Solver, flow_map, flow_maps

log = logging.getLogger(__name__)

TIMES = (0.25, 0.5, 0.75, 1.0)
SOLVERS = (
    Solver("euler", 4), Solver("euler", 8), Solver("euler", 16), Solver("euler", 32),
    Solver("midpoint", 4), Solver("midpoint", 8), Solver("midpoint", 16),
    Solver("rk4", 4), Solver("rk4", 8), Solver("dopri5"),
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A line of a table: PSNR, dB, at each of ``TIMES``; folds over those times; NFE of the one solve for all."""

    name: str
    psnr: dict[str, float]
    min_det: float
    folded: float
    inverse_px: float | None
    nfe: int
    seconds: float
    off_px: float | None = None  # largest distance from the map of a much finer solve, at t = 1


def scenes(count: int = 64, size: int = 32, seed: int = 77) -> Triplet:
    """Smooth motion of held-out textures with true frames at 1/4, 1/2, 3/4."""
    drawn = SyntheticMotion(
        size, split_textures(bundled_textures(), held=True), Recipe.smooth(), times=TIMES[:-1], seed=seed
    )
    batch = collate([drawn[k] for k in range(count)])
    assert isinstance(batch, Triplet)
    return batch


def inside(frames: Tensor) -> Tensor:
    """Without a border of a tenth of each side."""
    rows, columns = (max(1, round(n / 10)) for n in frames.shape[-2:])
    return frames[..., rows:-rows, columns:-columns]


def by_time(frames: Tensor, true: Tensor) -> dict[str, float]:
    """Mean PSNR at each time of (B, T, C, H, W) frames; equal frames count as 100 dB."""
    scores = [psnr(inside(frames[:, k]), inside(true[:, k])).clamp(max=100).mean() for k in range(len(TIMES))]
    return {f"{t:g}": round(float(score), 2) for t, score in zip(TIMES, scores)}


@torch.no_grad()
def row(name: str, model: nn.Module, batch: Triplet, true: Tensor, exact: Tensor | None = None) -> Row:
    """Scores one model with the solver that it has."""
    times = torch.tensor(TIMES).expand(len(batch.first), -1)
    kept = model.path_times, model.there_and_back
    model.path_times, model.there_and_back = 1, False
    began = time.monotonic()
    motion = model(batch.first, batch.last, times)
    seconds = time.monotonic() - began
    frames = motion.frame
    if "one_sided/first" in motion.auxiliary:
        # At t = 1 the last frame is the truth itself; only the first frame's pixels are scored there.
        frames = torch.cat((frames[:, :-1], motion.auxiliary["one_sided/first"][:, -1:]), dim=1)
    model.there_and_back = True
    backward = model(batch.first, batch.last, torch.ones(len(batch.first), 1)).backward
    model.path_times, model.there_and_back = kept
    dets = [folding(motion.flow[:, k]) for k in range(len(TIMES))]
    forward = motion.flow[:, -1]
    return Row(
        name=name,
        psnr=by_time(frames, true),
        min_det=round(float(torch.stack([low for low, _ in dets]).min()), 3),
        folded=float(torch.stack([share for _, share in dets]).mean()),
        inverse_px=round(float((backward + warp(forward, backward)).norm(dim=1).mean()), 4),
        nfe=motion.nfe,
        seconds=round(seconds, 3),
        off_px=None if exact is None else round(float((forward - exact).norm(dim=1).max()), 5),
    )


def baselines(batch: Triplet, true: Tensor) -> list[Row]:
    """Cross-fade, and the first frame held."""
    share = torch.tensor(TIMES).view(1, -1, 1, 1, 1)
    blend = (1 - share) * batch.first[:, None] + share * batch.last[:, None]
    hold = batch.first[:, None].expand_as(true)
    return [
        Row(name, by_time(frames, true), 1.0, 0.0, None, 0, 0.0) for name, frames in (("blend", blend), ("hold", hold))
    ]


def fitted(batch: Triplet, true: Tensor, steps: int = 80, smooth: float = 2.0) -> list[Row]:
    """What one stationary field can do at best: fitted to each pair alone, both ways, coarse to fine; no network.

    Two rows: the first frame's pixels alone, and both frames' cross-faded along the field.
    """
    began = time.monotonic()
    size, solver = batch.first.shape[-2:], Solver("midpoint", 4)
    grid = pixel_grid(*size, like=batch.first).expand(len(batch.first), -1, -1, -1)
    field = torch.zeros(len(batch.first), 2, *(n // 8 for n in size))
    for cell in (4, 2, 1):
        field = resize_flow(field, *(n // cell for n in size)).requires_grad_()
        optimizer = torch.optim.Adam([field], 0.1)
        for _ in range(steps):
            velocity = resize_flow(field, *size)
            forward = flow_map(SampledVelocity(velocity), grid, 0, 1, solver)
            backward = flow_map(SampledVelocity(-velocity), grid, 0, 1, solver)
            misfit = (warp(batch.first, forward) - batch.last).square() + (
                warp(batch.last, backward) - batch.first
            ).square()
            # Summed over the batch: each pair's field is its own, and Adam does not see the scale.
            loss = misfit.mean((1, 2, 3)).sum() + 1e-3 * smooth * len(field) * smoothness(velocity)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        field = field.detach()
    forward = flow_maps(SampledVelocity(field), grid, 0, TIMES, solver)
    rest = flow_maps(SampledVelocity(-field), grid, 0, [0.25, 0.5, 0.75, 1.0], solver)
    backward = torch.stack([rest[2], rest[1], rest[0], torch.zeros_like(rest[0])])  # 1 - t of each time
    alone = torch.stack([warp(batch.first, u) for u in forward], dim=1)
    other = torch.stack([warp(batch.last, u) for u in backward], dim=1)
    # At t = 1 the other frame is the truth itself; only the first frame's pixels are scored there.
    share = torch.tensor([0.75, 0.5, 0.25, 1.0]).view(1, -1, 1, 1, 1)
    dets = [folding(u) for u in forward]
    low, folds = (torch.stack(parts) for parts in zip(*dets))
    inverse = round(float((rest[-1] + warp(forward[-1], rest[-1])).norm(dim=1).mean()), 4)
    seconds = round(time.monotonic() - began, 1)
    facts = (round(float(low.min()), 3), float(folds.mean()), inverse, 8, seconds)
    both = share * alone + (1 - share) * other
    return [
        Row("svf per pair", by_time(alone, true), *facts),
        Row("svf per pair, both frames", by_time(both, true), *facts),
    ]


def solver_table(model: nn.Module, batch: Triplet, true: Tensor) -> list[Row]:
    """The same weights under each of ``SOLVERS``; ``off_px`` against rk4 with 64 steps."""
    trained = model.solver
    with torch.no_grad():
        model.solver = Solver("rk4", 64)
        exact = model(batch.first, batch.last, torch.ones(len(batch.first), 1)).flow[:, -1]
    rows = []
    for solver in SOLVERS:
        model.solver = solver
        rows.append(
            row(
                f"{solver.method} {solver.steps}" if solver.method != "dopri5" else "dopri5 1e-3",
                model,
                batch,
                true,
                exact,
            )
        )
    model.solver = trained
    return rows


def table(rows: Sequence[Row]) -> str:
    """Markdown."""
    lines = [
        "| model | t=1/4 | t=1/2 | t=3/4 | t=1 | min det | det<=0 | inverse px | NFE | off, px |",
        "|--|--|--|--|--|--|--|--|--|--|",
    ]
    for r in rows:
        scores = " | ".join(f"{r.psnr[f'{t:g}']:.2f}" for t in TIMES)
        inverse, off = ("" if x is None else f"{x:.4f}" for x in (r.inverse_px, r.off_px))
        lines.append(
            f"| {r.name} | {scores} | {r.min_det:.3f} | {100 * r.folded:.2f} % | {inverse} | {r.nfe} | {off} |"
        )
    return "\n".join(lines)


def main() -> None:
    """The command; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, help="folders of training runs")
    parser.add_argument("--out", type=Path, default=Path("outputs/ablation"), help="where ablation.json and .md go")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    models = [(run.name, load_model(run_weights(run))[0]) for run in options.runs]
    batch = scenes(size=models[0][1].guide_span)
    true = torch.cat((batch.targets, batch.last[:, None]), dim=1)
    rows = baselines(batch, true) + [row(name, model, batch, true) for name, model in models] + fitted(batch, true)
    flows = [model for _, model in models if model.field.kind == "svf"]
    solved = solver_table(flows[0], batch, true) if flows else []
    text = table(rows) + "\n\n" + table(solved) + "\n"
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "ablation.md").write_text(text)
    facts = {"models": [asdict(r) for r in rows], "solvers": [asdict(r) for r in solved]}
    (options.out / "ablation.json").write_text(json.dumps(facts, indent=1) + "\n")
    log.info("%s", text)


if __name__ == "__main__":
    main()
