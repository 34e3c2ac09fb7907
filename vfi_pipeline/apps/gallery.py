"""Draws the README's picture of animations: ``python -m vfi_pipeline.apps.gallery docs/figures``.

The pictures come with scikit-image. One pair is the same photograph turned, enlarged and moved (its true way is
known), the other a face and a cat's face, which have nothing in common but their places.
"""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.apps.sheet import block, picture
from vfi_pipeline.bench.filmstrip import MADE, NEUTRAL, SOURCE, Cell, filmstrip
from vfi_pipeline.geometry import pixel_grid, sample
from vfi_pipeline.models.animation import PairAnimation, animator
from vfi_pipeline.models.blend import Blend
from vfi_pipeline.models.fit import FitModel

log = logging.getLogger(__name__)

SIDE = 160
TIMES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def crop_of(name: str, left: int, top: int, side: int) -> Tensor:
    """A square of a scikit-image photograph, (1, 3, SIDE, SIDE) in [0, 1]."""
    from skimage import data

    samples = getattr(data, name)()[top : top + side, left : left + side, :3]
    image = torch.from_numpy(np.ascontiguousarray(samples)).permute(2, 0, 1)[None].float() / 255
    return F.interpolate(image, (SIDE, SIDE), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)


def turned(image: Tensor, angle: float, zoom: float, dx: float, dy: float) -> Tensor:
    """``image`` turned about its middle by ``angle`` (radians), enlarged by ``zoom`` and moved by (dx, dy) px."""
    grid = pixel_grid(SIDE, SIDE, like=image)
    centre, move = (SIDE - 1) / 2, image.new_tensor([dx, dy]).view(1, 2, 1, 1)
    turn = image.new_tensor([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]) / zoom
    return sample(image, torch.einsum("ij,bjhw->bihw", turn, grid - centre - move) + centre)


def solved(model: Any, first: Tensor, last: Tensor) -> PairAnimation:
    torch.manual_seed(0)
    return animator(model).solve(first, last)


def row(animation: PairAnimation, name: str) -> list[Cell]:
    """The frames at ``TIMES``; the pictures themselves are framed in their own colour."""
    cells = []
    for t in TIMES:
        with torch.no_grad():
            shown = np.asarray(picture(animation.frame(t)))
        colour = SOURCE if t in (0, 1) else (NEUTRAL if name == "cross-fade" else MADE)
        cells.append(Cell(shown, colour, name if t == 0 else "", f"t = {t:g}"))
    return cells


def main(arguments: Sequence[str]) -> int:
    """Writes ``pictures.png`` and ``pictures_sheet.png`` into the folder named (default: docs/figures)."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    folder = Path(arguments[0] if arguments else "docs/figures")
    folder.mkdir(parents=True, exist_ok=True)
    face = crop_of("astronaut", 150, 5, 190)
    pairs = {"near": (face, turned(face, 0.16, 1.12, 9, -6)), "far": (face, crop_of("chelsea", 95, 40, 215))}
    models: list[tuple[str, Callable[[], Any], tuple[str, ...]]] = [("model=fit", FitModel, ("near", "far"))]
    try:
        from vfi_pipeline.models.morph import MorphModel

        models.append(("model=morph", MorphModel, ("far",)))
    except ImportError:
        log.warning("model=morph is not there.")
    models.append(("cross-fade", Blend, ("near", "far")))
    rows: dict[str, list[list[Cell]]] = {"near": [], "far": []}
    for name, build, wanted in models:
        for pair in wanted:
            log.info("%s, %s", name, pair)
            animation = solved(build(), *pairs[pair])
            rows[pair].append(row(animation, name))
            if name == "model=fit" and pair == "near":
                sheet = block(animation, "a photograph, and the same turned, enlarged and moved   (model=fit)")
                smaller = sheet.resize((sheet.width * 3 // 4, sheet.height * 3 // 4))
                smaller.quantize(192).save(folder / "pictures_sheet.png", optimize=True)
            strip = filmstrip([*rows["near"], *rows["far"]], width=150, legend=LEGEND)
            strip.quantize(224).save(folder / "pictures.png", optimize=True)
    return 0


LEGEND = ((SOURCE, "the two pictures"), (MADE, "made"), (NEUTRAL, "for comparison"))

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
