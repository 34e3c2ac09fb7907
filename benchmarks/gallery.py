"""Draws the figure of docs/pictures.md: ``python -m benchmarks.gallery docs/figures``.

The pictures come with scikit-image: a photograph and the same one turned, enlarged and moved; that one in another
light; and a cat, led by four points. Below each, a cross-fade.
"""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.words import words_of
from vfi_pipeline.animation.morph import morph_model
from vfi_pipeline.animation.motion_animation import animator
from vfi_pipeline.animation.picture_fit import picture_fit
from vfi_pipeline.animation.protocol import PairAnimation, Points
from vfi_pipeline.apps.sheet import block, picture
from vfi_pipeline.geometry import pixel_grid, sample
from vfi_pipeline.models.blend import Blend
from vfi_pipeline.viz.filmstrip import GENERATED, NEUTRAL, SOURCE, Cell, filmstrip

log = logging.getLogger(__name__)

SIDE = 160
JPEG: dict[str, Any] = {"quality": 88, "subsampling": 0, "optimize": True}
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


def solved(model: Any, first: Tensor, last: Tensor, points: Points | None = None) -> PairAnimation:
    torch.manual_seed(0)
    return animator(model).solve(first, last, points=points)


def row(animation: PairAnimation, name: str) -> list[Cell]:
    """The frames at ``TIMES``; the pictures themselves are framed in their own colour."""
    cells = []
    for t in TIMES:
        with torch.no_grad():
            shown = np.asarray(picture(animation.frame(t)))
        colour = SOURCE if t in (0, 1) else (NEUTRAL if name == "fade" else GENERATED)
        cells.append(Cell(shown, colour, name if t == 0 else "", f"t = {t:g}" if t else ""))
    return cells


def main(arguments: Sequence[str]) -> int:
    """Writes ``pictures.jpg`` and ``pictures_sheet.jpg`` into the folder named (default: docs/figures)."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    folder = Path(next(iter(words_of(__doc__, arguments)), "docs/figures"))
    folder.mkdir(parents=True, exist_ok=True)
    face, cat = crop_of("astronaut", 150, 5, 190), crop_of("chelsea", 75, 0, 300)
    moved = turned(face, 0.16, 1.12, 9, -6)
    evening = (moved * moved.new_tensor([1.0, 0.72, 0.55]).view(1, 3, 1, 1) + 0.02).clamp(0, 1)
    jobs: list[tuple[str, Any, Tensor, Points | None]] = [
        ("fit", picture_fit(), moved, None),
        ("fade", Blend(), moved, None),
        ("morph", morph_model(), evening, None),
        ("fade", Blend(), evening, None),
        ("morph, points", morph_model(), cat, FACE_TO_CAT),
        ("fade", Blend(), cat, None),
    ]
    rows = []
    for name, model, last, points in jobs:
        log.info("%s", name)
        animation = solved(model, face, last, points)
        log.info("%s", animation.shares())
        rows.append(row(animation, name))
        if name == "fit":
            sheet = block(animation, "a photograph, and the same turned, enlarged and moved   (model=fit)")
            smaller = sheet.resize((sheet.width * 3 // 4, sheet.height * 3 // 4))
            smaller.save(folder / "pictures_sheet.jpg", **JPEG)
        filmstrip(rows, width=150, legend=LEGEND).save(folder / "pictures.jpg", **JPEG)
    return 0


FACE_TO_CAT: Points = (
    torch.tensor([[44.0, 80.0], [81.5, 82.0], [62.5, 102.0], [62.0, 118.0]]),
    torch.tensor([[51.5, 61.0], [130.0, 73.0], [101.5, 131.0], [100.0, 145.0]]),
)
"""Both eyes, nose and mouth, (x, y) on the squares above."""

LEGEND = ((SOURCE, "the two pictures"), (GENERATED, "made"), (NEUTRAL, "for comparison"))

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
