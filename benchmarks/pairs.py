"""Quality of animations between two pictures: given motions of photographs, true disparity, motion with light.

    python -m benchmarks.pairs [--only motion,stereo,light] [--strips folder] [--page BENCHMARKS.md]

Everything comes from the pictures that scikit-image carries. PSNR is over whole frames, dB, at t = 1/4, 1/2, 3/4,
averaged; end-point errors are in px.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.animation.morph import MorphModel, morph_model
from vfi_pipeline.animation.picture_fit import picture_fit
from vfi_pipeline.animation.protocol import PairAnimation
from vfi_pipeline.evaluation.dis import dis_flow
from vfi_pipeline.evaluation.page import circumstances, write_section
from vfi_pipeline.geometry import pixel_grid, sample
from vfi_pipeline.metrics import psnr
from vfi_pipeline.ode import Solver, flow_map

TIMES = (0.25, 0.5, 0.75)

LEGEND = (
    "Photographs of scikit-image. PSNR in dB over whole frames, mean of t = 1/4, 1/2, 3/4; end-point errors in px, the "
    "motorcycle at a quarter and at half of its size."
)
EXACT = Solver("rk4", 16)


def swirl(t: Tensor, x: Tensor, side: float) -> Tensor:
    """Between 2.5 and 8 px per unit t at a side of 128, different everywhere."""
    a, b = x[:, :1] * (2 * math.pi / side), x[:, 1:] * (2 * math.pi / side)
    return torch.cat((4.5 + 2 * torch.sin(b + 0.5), 4 * torch.sin(a) * torch.cos(b / 2)), dim=1) * (side / 128)


def turn(t: Tensor, x: Tensor, side: float) -> Tensor:
    """A turn and a shift: up to 8 px at a side of 128."""
    centred = (x - side / 2) * 0.09
    return torch.cat((2 - centred[:, 1:], centred[:, :1] - 1), dim=1) * torch.ones_like(x)


def photograph(name: str) -> Tensor:
    """A picture of scikit-image, (1, 3, H, W) in [0, 1], softened so that half of it holds no more detail."""
    from skimage import data

    image = torch.from_numpy(getattr(data, name)()[..., :3].copy()).permute(2, 0, 1)[None].float() / 255
    return F.avg_pool2d(F.pad(image, (1, 1, 1, 1), mode="replicate"), 3, stride=1)


def moved(name: str, velocity: Callable[[Tensor, Tensor, float], Tensor], side: int = 128) -> list[Tensor]:
    """The photograph as it flows along a velocity: frames at t = 0, ``TIMES`` and 1, true at every t.

    What comes in at the border is the photograph's own, not a repeated edge.
    """
    picture, grid = photograph(name), pixel_grid(side, side, like=torch.empty(0))
    step = 256 / side
    start = torch.tensor([60.0, 30.0]).view(1, 2, 1, 1) + (step - 1) / 2
    frames = []
    for t in (0.0, *TIMES, 1.0):
        backward = flow_map(lambda s, x: velocity(s, x, float(side)), grid, t, 0, EXACT) if t else 0 * grid
        fine = sample(picture, start + step * (grid + backward))
        frames.append(fine)
    return frames


def lit(frames: Sequence[Tensor]) -> list[Tensor]:
    """The frames under a light that goes down on the left and turns blue: a gain and an offset that vary smoothly."""
    grid = pixel_grid(*frames[0].shape[-2:], like=frames[0]) / frames[0].shape[-1]
    gain = -0.5 + 0.7 * grid[:, :1]
    offset = torch.cat((0.12 * grid[:, 1:], 0 * grid[:, 1:], 0.1 - 0.15 * grid[:, 1:]), dim=1)
    return [(x * torch.exp(t * gain) + t * offset).clamp(0, 1) for x, t in zip(frames, (0.0, *TIMES, 1.0))]


def score(frames: Sequence[Tensor], true: Sequence[Tensor]) -> float:
    """Mean PSNR, dB."""
    return sum(float(psnr(a, b)) for a, b in zip(frames, true)) / len(true)


def faded(first: Tensor, last: Tensor) -> list[Tensor]:
    """The cross-fade at ``TIMES``."""
    return [torch.lerp(first, last, t) for t in TIMES]


def stereo(shrink: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    """Left and right picture of the motorcycle, 1/``shrink`` of their size, and the true flow from left to right, NaN
    where it is unknown."""
    from skimage import data

    left, right, disparity = data.stereo_motorcycle()
    pictures = [torch.from_numpy(p.copy()).permute(2, 0, 1)[None].float() / 255 for p in (left, right)]
    ground_truth = torch.from_numpy(disparity.copy())[None, None].float()
    ground_truth = torch.where(ground_truth.isfinite(), -ground_truth, torch.full_like(ground_truth, math.nan))
    height, width = (n // shrink for n in ground_truth.shape[-2:])
    a, b, u = (F.avg_pool2d(x[..., : height * shrink, : width * shrink], shrink) for x in (*pictures, ground_truth))
    return a, b, torch.cat((u / shrink, torch.zeros_like(u)), dim=1)


def median_error(flow: Tensor, true: Tensor) -> float:
    """Median end-point error, px, where the ground truth is finite."""
    off = (flow - true).square().sum(dim=1).sqrt()
    return float(off[off.isfinite()].median())


def motion_table() -> list[str]:
    """Each photograph with each motion: fit against cross-fade."""
    lines = ["pair                     fit    cross-fade  gain   seconds"]
    model = picture_fit()
    for name in ("astronaut", "chelsea", "coffee"):
        for velocity in (swirl, turn):
            first, *true, last = moved(name, velocity)
            began = time.monotonic()
            animation = model.solve(first, last)
            took = time.monotonic() - began
            a, b = score([animation.frame(t) for t in TIMES], true), score(faded(first, last), true)
            pair = f"{name} {velocity.__name__}"
            lines.append(f"{pair:22} {a:6.2f} {b:10.2f} {a - b:+9.2f} {took:8.1f}")
    return lines


def stereo_table() -> list[str]:
    """The motorcycle at a quarter and half of its size."""
    lines = ["stereo                median error, px"]
    model = picture_fit()
    for shrink in (4, 2):
        left, right, true = stereo(shrink)
        animation = model.solve(left, right)
        lines.append(f"1/{shrink}  fit                     {median_error(animation.flow(1.0), true):.3f}")
        for preset, finest in (("medium", None), ("medium", 0)):
            error = median_error(dis_flow(left, right, preset, finest), true)
            lines.append(f"1/{shrink}  DIS {preset}{'' if finest is None else ', to full size':16}  {error:.3f}")
    return lines


def light_table(strips: Path | None = None) -> list[str]:
    """Motion and light at once: morph against what explains only one of them."""
    lines = ["motion and light             PSNR   shares"]
    first, *true, last = lit(moved("astronaut", swirl))
    lines.append(f"{'cross-fade':26} {score(faded(first, last), true):6.2f}")
    models: dict[str, MorphModel] = {
        "warp alone": morph_model(mult=0, add=0),
        "morph": morph_model(),
        "morph, original": morph_model("original", span=128),
    }
    for name, model in models.items():
        animation: PairAnimation = model.solve(first, last)
        if name == "warp alone":
            lines.append(f"{'pixels of first, moved':26} {score([animation.sides(t)[0] for t in TIMES], true):6.2f}")
        shares = ", ".join(f"{key} {100 * value:.0f} %" for key, value in animation.shares().items())
        lines.append(f"{name:26} {score([animation.frame(t) for t in TIMES], true):6.2f}   {shares}")
        if strips is not None:
            strip(animation, strips / f"light-{name.replace(', ', '-').replace(' ', '-')}.png")
    return lines


def strip(animation: PairAnimation, path: Path, count: int = 7) -> None:
    """Frames over t in a row, and under them what each picture alone gives."""
    from PIL import Image

    times = [k / (count - 1) for k in range(count)]
    rows = [[animation.frame(t) for t in times], *zip(*(animation.sides(t) for t in times))]
    sheet = torch.cat([torch.cat(list(row), dim=-1) for row in rows], dim=-2)[0, :3]
    pixels = (sheet * 255).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def main(words: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pairs", description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="motion,stereo,light", help="motion, stereo, light; separated by commas")
    parser.add_argument("--strips", type=Path, help="folder for filmstrips")
    parser.add_argument("--page", type=Path, help="Markdown file whose section of pairs is replaced")
    options = parser.parse_args(words)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.manual_seed(0)
    tables = {"motion": motion_table, "stereo": stereo_table, "light": lambda: light_table(options.strips)}
    measured = []
    for name in options.only.split(","):
        if name not in tables:
            parser.error(f"there is no table {name!r}; there are {', '.join(tables)}")
        measured.append("\n".join(tables[name]()))
        sys.stdout.write(measured[-1] + "\n\n")
        sys.stdout.flush()
    if options.page is not None:
        typed = sys.argv[1:] if words is None else words
        fenced = [f"```text\n{text}\n```" for text in measured]
        command = ["python", "-m", "benchmarks.pairs", *typed]
        write_section(options.page, "pairs", "Two pictures", "\n\n".join([circumstances(command), LEGEND, *fenced]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
