"""What of the error is the match's and what the path's: told apart where both are known."""

import pytest
import torch
from skimage import data

from vfi_pipeline.bench.limits import PARTS, main, parts
from vfi_pipeline.models.flow import load_flow


def shifted(x: int) -> torch.Tensor:
    return torch.from_numpy(data.astronaut()).permute(2, 0, 1)[None, :, 60:316, 80 + x : 400 + x] / 255


def test_motion_that_is_not_even_is_the_paths_error():
    frames = [shifted(x) for x in (0, 8, 10)]  # half the way would be 5
    found = parts(load_flow("flow"), frames, 0, 1)
    assert tuple(found) == PARTS
    psnr = {name: figures[0] for name, figures in found.items()}
    assert psnr["match put right"] == pytest.approx(psnr["as found"], abs=1)
    assert psnr["path put right"] > psnr["as found"] + 8
    assert psnr["both put right"] > psnr["as found"] + 8


def test_even_motion_leaves_little_to_the_path():
    found = parts(load_flow("flow"), [shifted(x) for x in (0, 4, 8)], 0, 1)
    psnr = {name: figures[0] for name, figures in found.items()}
    assert psnr["path put right"] == pytest.approx(psnr["as found"], abs=2)


def test_wrong_calls_are_told(capsys, tmp_path):
    for words in ([str(tmp_path)], [str(tmp_path), "--rate", "3"]):
        with pytest.raises(SystemExit):
            main(words)
        assert "error" in capsys.readouterr().err
