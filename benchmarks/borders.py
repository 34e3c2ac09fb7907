"""Content that enters at the border: a camera pan with ground truth, by ours and with a replicated border.

    python -m benchmarks.borders docs/figures/border.png      also writes its section of BENCHMARKS.md

The window moves over a photograph by ``PAN`` px from frame to frame, so at t = 1/2 only the later
frame shows the last ``PAN / 2`` columns, and only the earlier frame the first ones.
"""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.scene import photograph
from benchmarks.words import words_of
from vfi_pipeline.estimation.window import Window
from vfi_pipeline.evaluation.baselines import Gaps, baseline, to_rgb
from vfi_pipeline.evaluation.page import circumstances, write_section
from vfi_pipeline.geometry import resize_flow, warp
from vfi_pipeline.media.frames import Colour, Frame, pixel_format
from vfi_pipeline.models.flow import load_flow
from vfi_pipeline.models.motion import IntermediateMotion, MotionModel
from vfi_pipeline.synthesis import compose
from vfi_pipeline.synthesis.guide import guide
from vfi_pipeline.viz.filmstrip import GENERATED, NEUTRAL, SOURCE, Cell, filmstrip

PAN, WIDTH, HEIGHT = 48, 480, 270


def window(moment: Fraction) -> Frame:
    """What the camera shows at a moment from -1 to 2, in frames: the pan's own are the whole numbers."""
    big = photograph("motorcycle_left.png")[0]
    left = 400 + round(2 * PAN * moment)
    codes = (255 * big[:, 300 : 300 + 2 * HEIGHT : 2, left : left + 2 * WIDTH : 2]).round().byte().numpy()
    planes = tuple(np.ascontiguousarray(codes[c]) for c in (1, 2, 0))
    colour = Colour(matrix="gbr", range="pc")
    return Frame(planes, pixel_format("gbrp"), WIDTH, HEIGHT, (moment + 1) / 24, colour)


def figure(model: MotionModel) -> tuple[Image.Image, dict[str, float]]:
    """The strip of the right border, and the mean error (codes) in the columns that enter."""
    shots = [window(Fraction(k)) for k in (-1, 0, 1, 2)]
    first, truth, last = shots[1], window(Fraction(1, 2)), shots[2]
    guide_first, guide_last = (guide(frame, model.guide_span or WIDTH) for frame in (first, last))
    between = model.motion(Window.of(guide_first, guide_last)).at([0.5])[0]
    ours = compose.intermediate_frame(first, last, between, truth.time)
    kept = _without_hand_over(first, last, between, truth.time)
    minterpolated = baseline("minterpolate")(Gaps(shots, to_rgb(shots), (0.5,))).rgb[1]
    true = to_rgb([truth])[0]
    shown = {
        "earlier frame": (to_rgb([first])[0], SOURCE),
        "later frame": (to_rgb([last])[0], SOURCE),
        "truth between": (true, NEUTRAL),
        "ours": (to_rgb([ours])[0], GENERATED),
        "border replicated": (to_rgb([kept])[0], GENERATED),
        "ffmpeg minterpolate": (minterpolated, GENERATED),
    }
    enters = np.s_[:, WIDTH - PAN // 2 :]
    errors = {
        name: float(np.abs(picture[enters].astype(float) - true[enters]).mean()) for name, (picture, _) in shown.items()
    }
    cells = []
    for name, (picture, colour) in shown.items():
        note = "" if colour != GENERATED else f"{errors[name]:.1f} codes off"
        cells.append(Cell(picture[40:220, WIDTH - 160 :], colour, name, note))
    return filmstrip([cells[:3], cells[3:]]), errors


def _without_hand_over(first: Frame, last: Frame, between: IntermediateMotion, time: Fraction) -> Frame:
    """The same motion and weights, each side's border continued outwards: what most programs do."""
    sides = [torch.cat([torch.from_numpy(p)[None, None].float() for p in f.planes], dim=1) for f in (first, last)]
    flows = [resize_flow(u, HEIGHT, WIDTH) for u in (between.flow_to_first, between.flow_to_last)]
    mixed = 0.5 * warp(sides[0], flows[0]) + 0.5 * warp(sides[1], flows[1])
    planes = tuple(plane.numpy() for plane in mixed[0].round().clamp(0, 255).byte())
    return Frame(planes, first.format, WIDTH, HEIGHT, time, first.colour)


def main() -> None:
    """The command; see the module's docstring."""
    path = Path(next(iter(words_of(__doc__)), "outputs/border.png"))
    image, errors = figure(load_flow("flow"))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, optimize=True)
    command = f"python -m benchmarks.borders {path}"
    methods = ("ours", "border replicated", "ffmpeg minterpolate")
    errors_text = ", ".join(f"{name} {errors[name]:.1f}" for name in methods)
    body = (
        f"{circumstances(command)}\n\nA pan of {PAN} px a frame, `model=flow`; the right third. Mean absolute error, "
        f"in codes of 255, in the {PAN // 2} columns that only the later frame sees: {errors_text}. "
        f"*Border replicated* is the same motion and each side's last column drawn out.\n\n"
        f"![What enters the picture]({path.as_posix()})\n"
    )
    write_section(Path("BENCHMARKS.md"), "borders", "What enters the picture", body)
    sys.stdout.write(errors_text + "\n")


if __name__ == "__main__":
    main()
