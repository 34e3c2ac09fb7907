"""Scenes on which the default model fails, drawn with ground truth: the pictures of its model card.

    python -m benchmarks.failures docs/figures/failures.jpg

Four scenes over photographs, each from one frame to the next: a thin rod that swings fast, a ball that bounces between
the frames, railings that move by more than half their distance, and a face that passes before a wall, far and close.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from benchmarks.scene import ENLARGE, photograph
from benchmarks.words import words_of
from vfi_pipeline.estimation.window import Window
from vfi_pipeline.geometry import synthesise
from vfi_pipeline.metrics import psnr
from vfi_pipeline.models.flow import load_flow
from vfi_pipeline.models.motion import MotionModel
from vfi_pipeline.viz.filmstrip import GENERATED, NEUTRAL, SOURCE, Cell, filmstrip

HEIGHT, WIDTH = 256, 352
FINE = 4  # factor of the size at which scenes are drawn

Scene = Callable[[float], np.ndarray]


def main() -> None:
    """The command; see the module's docstring."""
    path = Path(next(iter(words_of(__doc__)), "outputs/failures.jpg"))
    path.parent.mkdir(parents=True, exist_ok=True)
    strip, lines = figure(load_flow("flow"))
    strip.convert("RGB").save(path, quality=84)
    sys.stdout.write("\n".join(lines) + "\n")


def figure(model: MotionModel) -> tuple[Image.Image, list[str]]:
    """A row for each scene (first, truth, ours, cross-fade, difference, last) and a line of figures for each."""
    rows, lines = [], []
    for name, scene in SCENES.items():
        before, first, truth, last, after = (scene(t) for t in (-1.0, 0.0, 0.5, 1.0, 2.0))
        pictures = [_tensor(picture) for picture in (before, first, last, after)]
        window = Window.of(pictures[1], pictures[2], pictures[0], pictures[3])
        motion = model.motion(window).at([0.5])[0]
        with torch.no_grad():
            maps = motion.flow_to_first, motion.flow_to_last, motion.blend_weight
            ours = synthesise(pictures[1], pictures[2], *maps, motion.confidence).frame
        faded, true = (pictures[1] + pictures[2]) / 2, _tensor(truth)
        psnr_of = {"ours": float(psnr(ours, true)), "cross-fade": float(psnr(faded, true))}
        lines.append(f"{name}: " + ", ".join(f"{who} {value:.1f} dB" for who, value in psnr_of.items()))
        wrong = (ours - true).abs().amax(dim=1, keepdim=True).expand(-1, 3, -1, -1) * 2
        rows.append([
            Cell(first, SOURCE, name),
            Cell(truth, NEUTRAL, "truth"),
            Cell(_bytes(ours), GENERATED, "ours", f"{psnr_of['ours']:.1f} dB"),
            Cell(_bytes(faded), NEUTRAL, "cross-fade", f"{psnr_of['cross-fade']:.1f} dB"),
            Cell(_bytes(wrong), NEUTRAL, "ours, difference x 2"),
            Cell(last, SOURCE, "last"),
        ])  # fmt: skip
    return filmstrip(rows, width=220), lines


def _wall(name: str) -> Image.Image:
    """A photograph at ``FINE`` times the size."""
    picture = _photograph(name)
    side = min(picture.height / HEIGHT, picture.width / WIDTH)
    part = picture.crop((0, 0, int(side * WIDTH), int(side * HEIGHT)))
    return part.resize((FINE * WIDTH, FINE * HEIGHT), Image.Resampling.BICUBIC)


def _photograph(name: str) -> Image.Image:
    return Image.fromarray(_bytes(photograph(name)))


def _shrunk(fine: Image.Image) -> np.ndarray:
    return np.array(fine.resize((WIDTH, HEIGHT), Image.Resampling.BOX))


def _disc(x: float, y: float, radius: float) -> tuple[float, float, float, float]:
    return FINE * (x - radius), FINE * (y - radius), FINE * (x + radius), FINE * (y + radius)


def _swinging_rod(t: float) -> np.ndarray:
    fine = _wall("brick.png")
    angle = np.radians(20 + 50 * t)
    end = FINE * (150 + 170 * np.cos(angle)), FINE * (30 + 190 * np.sin(angle))
    ImageDraw.Draw(fine).line([(150 * FINE, 30 * FINE), end], (250, 240, 200), 4 * FINE)
    return _shrunk(fine)


def _bouncing_ball(t: float) -> np.ndarray:
    fine = _wall("gravel.png")
    x, y = 130 + 60 * t, 200 - 120 * abs(t - 0.5) ** 0.8
    ImageDraw.Draw(fine).ellipse(_disc(x, y, 26), (40, 80, 220))
    ImageDraw.Draw(fine).ellipse(_disc(x - 8, y - 8, 7), (200, 220, 255))
    return _shrunk(fine)


def _railings(t: float) -> np.ndarray:
    fine = _wall("grass.png")
    for k in range(-4, 16):
        left = round(FINE * (32 * k + 20 * t))
        ImageDraw.Draw(fine).rectangle((left, 40 * FINE, left + 8 * FINE - 1, 230 * FINE), (60, 50, 45))
    return _shrunk(fine)


def _passing_face(t: float) -> np.ndarray:
    fine = _wall("coffee.png")
    corner, side = 20 * ENLARGE, 200 * ENLARGE
    face = _photograph("astronaut.png").crop((6 * corner, corner, 6 * corner + side, corner + side))
    face = face.resize((130 * FINE, 130 * FINE), Image.Resampling.BICUBIC)
    mask = Image.new("L", face.size)
    ImageDraw.Draw(mask).ellipse(_disc(65, 65, 62), 255)
    fine.paste(face, (round(FINE * (20 + 150 * t)), 60 * FINE), mask)
    return _shrunk(fine)


SCENES: dict[str, Scene] = {
    "a rod swings 50 degrees": _swinging_rod,
    "ball bounces in between": _bouncing_ball,
    "railings, 20 of 32 px": _railings,
    "face passes, 150 px": _passing_face,
}


def _tensor(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255


def _bytes(picture: torch.Tensor) -> np.ndarray:
    return (picture[0].permute(1, 2, 0).clamp(0, 1) * 255).round().byte().numpy()


if __name__ == "__main__":
    main()
