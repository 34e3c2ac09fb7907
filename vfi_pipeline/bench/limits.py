"""What of the error is whose: how far a better search could go, and what no search between two frames can know.

    python -m vfi_pipeline.bench.limits FOLDER [--rate 2]

For pairs of each film in the folder the true frame in the middle is searched in both frames. What that says is put
into the model's motion in two parts: the **match**, which pixel of one frame is which of the other (half the difference
of both sides' errors), and the **path**, where it is in between (their mean). With the match put right the rest is the
path's: motion that the frames do not show, because it speeds up, shakes or turns between them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.bench.rivals import to_rgb
from vfi_pipeline.bench.samples import samples
from vfi_pipeline.errors import UserError
from vfi_pipeline.geometry import resize_flow
from vfi_pipeline.metrics import psnr, ssim
from vfi_pipeline.models.dis import dis_flow
from vfi_pipeline.models.flow import FlowModel, Maps, load_flow, synthesise
from vfi_pipeline.models.motion import Context
from vfi_pipeline.synthesis.guide import guide_size

FRAMES, PAIRS = 33, 3
PARTS = ("as found", "match put right", "path put right", "both put right")
Figures = dict[str, tuple[float, float]]


@torch.no_grad()
def parts(model: FlowModel, frames: Sequence[Tensor], at: int, step: int) -> Figures:
    """PSNR and SSIM of the frame ``at + step`` made from ``at`` and ``at + 2 * step``, by what was put right.

    Args:
        frames: (1, 3, H, W) in [0, 1].
    """
    span = 2 * step
    first, middle, last = (_guide(frames[k], model.guide_span) for k in (at, at + step, at + span))
    before, after = (
        _guide(frames[k], model.guide_span) if 0 <= k < len(frames) else None for k in (at - span, at + 2 * span)
    )
    model.reset()
    found = model.motion(first, last, Context(before, after)).at([0.5])[0]
    size = found.there.shape[-2:]
    true = [resize_flow(dis_flow(middle, side, "medium", finest=0), *size) for side in (first, last)]
    missed = [flow - ours for flow, ours in zip(true, (found.there, found.back))]
    match, path = (missed[0] - missed[1]) / 2, (missed[0] + missed[1]) / 2
    nothing = torch.zeros_like(match)
    figures = {}
    for name, to_match, to_path in zip(PARTS, (nothing, match, nothing, match), (nothing, nothing, path, path)):
        maps = Maps(found.there + to_match + to_path, found.back - to_match + to_path, found.share)
        made = synthesise(frames[at], frames[at + span], maps)[0]
        figures[name] = float(psnr(made, frames[at + step])), float(ssim(made, frames[at + step]))
    return figures


def _guide(frame: Tensor, span: int | None) -> Tensor:
    height, width = frame.shape[-2:]
    return F.interpolate(frame, guide_size(width, height, span or max(height, width)), mode="area")


def measured(folder: Path, model: FlowModel, rate: int) -> Iterator[tuple[str, Figures]]:
    """The mean figures of each film in the folder."""
    step = rate // 2
    for sample in samples(folder, frames=FRAMES):
        pictures = torch.from_numpy(to_rgb(sample.load())).permute(0, 3, 1, 2).float() / 255
        last = len(pictures) - 1 - 2 * step
        if last < 0:
            continue
        places = sorted({round(last * k / (PAIRS + 1)) for k in range(1, PAIRS + 1)})
        found = [parts(model, pictures.split(1), at, step) for at in places]
        yield sample.name, {name: _mean([figures[name] for figures in found]) for name in PARTS}


def _mean(rows: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return sum(a for a, _ in rows) / len(rows), sum(b for _, b in rows) / len(rows)


def main(words: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m vfi_pipeline.bench.limits", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rate", type=int, default=2, help="even: 2, 4, 8; the frame in the middle is looked at")
    parser.add_argument("--weights", default="flow")
    asked = parser.parse_args(words)
    if asked.rate < 2 or asked.rate % 2:
        parser.error("the rate is an even number: there has to be a frame in the middle")
    try:
        rows = dict(measured(asked.folder, load_flow(asked.weights), asked.rate))
    except UserError as error:
        parser.error(str(error))
    if not rows:
        parser.error(f"no film of more than {asked.rate} frames in {asked.folder}")
    rows["**mean**"] = {name: _mean([figures[name] for figures in rows.values()]) for name in PARTS}
    lines = [f"| film | {' | '.join(PARTS)} |", "|--" * (len(PARTS) + 1) + "|"]
    for name, figures in rows.items():
        lines.append(f"| {name} | " + " | ".join(f"{p:.2f} / {s:.4f}" for p, s in (figures[x] for x in PARTS)) + " |")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
