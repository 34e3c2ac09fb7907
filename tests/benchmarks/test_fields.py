"""The figure of docs/method.md: it shows the film's own frames, and colours mean directions."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from benchmarks.fields import HEIGHT, TIMES, WIDTH, figure
from benchmarks.scene import demo_scene
from vfi_pipeline.models.flow import FlowModel
from vfi_pipeline.models.flow_interpolator import FlowInterpolator
from vfi_pipeline.viz.filmstrip import FRAME, GAP

SMALL = {
    "widths": (8, 8), "hidden": (8, 8), "context_channels": (4,), "radii": (1, 1), "match": (8, 8), "stem": 8,
    "depth": (1, 1),
}  # fmt: skip


def test_the_figure_shows_the_drawn_frames_in_their_order():
    torch.manual_seed(0)
    sheet = np.asarray(figure(FlowModel(FlowInterpolator(**SMALL))).convert("RGB"))

    scene = demo_scene(WIDTH, HEIGHT)
    width, height = 320, 320 * HEIGHT // WIDTH
    for column, time in ((0, TIMES[1]), (2, TIMES[2])):
        left = GAP + column * (width + GAP)
        drawn = Image.fromarray(scene.draw(time)).resize((width, height), Image.Resampling.LANCZOS)
        inner = sheet[GAP : GAP + height, left : left + width][FRAME:-FRAME, FRAME:-FRAME]
        assert np.array_equal(inner, np.asarray(drawn)[FRAME:-FRAME, FRAME:-FRAME])
