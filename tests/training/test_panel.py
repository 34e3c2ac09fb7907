"""The panel of the log: a tile for each heading, sizes that fit, a file that opens."""

import pytest
import torch
from PIL import Image

from vfi_pipeline.models.prediction import Motion
from vfi_pipeline.training.panel import COLUMNS, panel
from vfi_pipeline.training.panel_sample import PanelSample
from vfi_pipeline.viz.pictures import rgb, save_picture


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("known", [True, False])
def test_a_panel_has_a_tile_for_each_heading(tmp_path, channels, known):
    first, made, last = torch.rand(3, 3, channels, 16, 20).unbind(0)
    flow = torch.randn(3, 1, 2, 16, 20)
    look = PanelSample(
        first, made, made if known else None, last, torch.ones(3), Motion(made[:, None], flow, flow[None, :, 0], 4)
    )
    picture = panel(look, rows=2, height=32)
    assert picture.shape == (3, 2 * (2 * 16 + 2), len(COLUMNS) * (2 * 20 + 2))
    tile = picture[:, 1:33, 1:41]
    assert torch.allclose(tile[:, ::2, ::2], rgb(first[:1])[0], atol=1e-6)
    with Image.open(save_picture(tmp_path / "a" / "p.png", picture)) as opened:
        assert opened.size == (picture.shape[2], picture.shape[1])
