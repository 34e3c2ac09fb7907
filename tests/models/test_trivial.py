"""The two models that estimate nothing."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from vfi_pipeline.estimation.window import Window
from vfi_pipeline.media.frames import Frame, pixel_format
from vfi_pipeline.models.blend import Blend
from vfi_pipeline.models.hold import Hold
from vfi_pipeline.synthesis import compose

NOTHING = Window.of(torch.empty(0), torch.empty(0))


def grey(level):
    fmt = pixel_format("gray")
    return Frame((np.full((9, 7), level, np.uint8),), fmt, 7, 9)


@pytest.mark.parametrize("t, level", [(0.0, 40), (0.25, 90), (0.5, 140), (1.0, 240)])
def test_blend_mixes_by_time(t, level):
    (between,) = Blend().motion(NOTHING).at([t])
    assert (compose.intermediate_frame(grey(40), grey(240), between, Fraction(t)).planes[0] == level).all()


@pytest.mark.parametrize("t", [0.0, 0.01, 0.5, 0.99])
def test_hold_shows_the_first_frame_until_the_last_is_due(t):
    early, due = Hold().motion(NOTHING).at([t, 1.0])
    assert (compose.intermediate_frame(grey(40), grey(240), early, Fraction(t)).planes[0] == 40).all()
    assert (compose.intermediate_frame(grey(40), grey(240), due, Fraction(1)).planes[0] == 240).all()


@pytest.mark.parametrize("model", [Blend(), Hold()])
def test_nothing_is_estimated(model):
    report = model.motion(NOTHING).report()
    assert (report.nfe, report.min_det, report.folded, report.confidence) == (0, 1.0, 0.0, 1.0)
    assert model.guide_span is None and model.name in ("blend", "hold")
