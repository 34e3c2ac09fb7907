"""Quality against time: every setting is a row beside the baseline that measures the time."""

import pytest
import torch

from benchmarks.curve import BASELINE, Setting, curve_table, model_of
from vfi_pipeline.estimation.window import Window


def test_a_row_for_each_setting_with_times_as_shares_of_the_rivals():
    settings = (Setting(), Setting(320, 256, ()))
    means = [
        {"method": str(settings[0]), "rate": 2, "psnr": 30.0, "ssim": 0.91, "seconds": 0.1},
        {"method": str(settings[1]), "rate": 2, "psnr": 29.0, "ssim": 0.9, "seconds": 0.05},
        {"method": BASELINE, "rate": 2, "psnr": 28.0, "ssim": 0.88, "seconds": 0.4},
    ]
    rows = curve_table(means, settings).splitlines()[2:]

    assert rows[0].startswith("| **512 / 448 px, steps: 1 at 1/2, 1 at 1/1** (ships) | 30.00 / 0.9100 | 0.25 |")
    assert rows[1] == "| 320 / 256 px, steps: none | 29.00 / 0.9000 | 0.12 |"
    assert rows[2] == "| minterpolate | 28.00 / 0.8800 | 1.00 |"


@pytest.mark.parametrize("steps", [(), ((1, 1),)])
def test_a_setting_reaches_the_model(steps):
    model = model_of(Setting(96, 64, steps))
    frames = [torch.rand(1, 3, 72, 96, generator=torch.Generator().manual_seed(k)) for k in (1, 2)]

    assert (model.guide_span, model.network_span) == (96, 64)
    assert model.model.settings.lucas_kanade.steps == steps
    assert torch.isfinite(model.motion(Window.of(*frames)).at([0.5])[0].flow_to_first).all()
