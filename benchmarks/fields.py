"""The figure of docs/method.md: the fields that ``model=flow`` estimates of a drawn pair.

``python -m benchmarks.fields docs/figures/fields.jpg``
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.scene import demo_scene
from benchmarks.words import words_of
from vfi_pipeline.estimation.window import Window
from vfi_pipeline.geometry import synthesise
from vfi_pipeline.models.flow import FlowModel, load_flow
from vfi_pipeline.viz.filmstrip import GENERATED, NEUTRAL, SOURCE, Cell, filmstrip
from vfi_pipeline.viz.pictures import colour_wheel

WIDTH, HEIGHT = 512, 288
TIMES = tuple(k / 15 for k in (10, 11, 12, 13))
"""Seconds of the drawn film: the frames before, first, last and after of a pair at 15 frames a second."""


def main() -> None:
    """The command; see the module's docstring."""
    path = Path(next(iter(words_of(__doc__)), "outputs/fields.jpg"))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure(load_flow("flow")).convert("RGB").save(path, quality=84)


def figure(model: FlowModel) -> Image.Image:
    """Above: first frame, frame made at t = 1/2, last frame. Below: velocity, blend weight and confidence there."""
    scene = demo_scene(WIDTH, HEIGHT)
    frames = [scene.draw(time) for time in TIMES]
    before, first, last, after = (_tensor(frame) for frame in frames)
    motion = model.motion(Window.of(first, last, before, after))
    (half,) = motion.at([0.5])
    with torch.no_grad():
        middle = synthesise(
            first, last, half.flow_to_first, half.flow_to_last, half.blend_weight, half.confidence
        ).frame
    rows, columns = half.blend_weight.shape[-2:]
    velocity = (motion.fields.first + motion.fields.last)[..., :rows, :columns] / 2 * (WIDTH / columns)
    fastest = float(velocity.square().sum(dim=1).max()) ** 0.5
    confidence = torch.ones_like(half.blend_weight) if half.confidence is None else half.confidence
    return filmstrip([
        [
            Cell(frames[1], SOURCE, "first frame"),
            Cell(_bytes(middle), GENERATED, "made, t = 1/2"),
            Cell(frames[2], SOURCE, "last frame"),
        ],
        [
            Cell(_enlarged(_bytes(colour_wheel(velocity, fastest))), NEUTRAL, "velocity", f"up to {fastest:.0f} px"),
            Cell(_enlarged(_bytes(half.blend_weight)), NEUTRAL, "weight of first", "white: 1"),
            Cell(_enlarged(_bytes(confidence)), NEUTRAL, "confidence", "white: 1"),
        ],
    ])  # fmt: skip


def _enlarged(picture: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((WIDTH, HEIGHT), Image.Resampling.NEAREST))


def _tensor(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255


def _bytes(field: torch.Tensor) -> np.ndarray:
    """A picture or a field (1, C, h, w) in [0, 1] as uint8 (h, w, 3)."""
    return (field[0].expand(3, -1, -1).permute(1, 2, 0).clamp(0, 1) * 255).round().byte().numpy()


if __name__ == "__main__":
    main()
