"""Colours that mean something, and files that open."""

import pytest
import torch
from PIL import Image

from vfi_pipeline.geometry import pixel_grid
from vfi_pipeline.viz.pictures import colour_wheel, jacobian_map, save_animation


def constant(dx, dy):
    return torch.tensor([float(dx), float(dy)]).view(1, 2, 1, 1).expand(1, 2, 4, 6)


@pytest.mark.parametrize(
    "direction, colour",
    [((1, 0), (1, 0, 0)), ((-1, 0), (0, 1, 1)), ((-0.5, 3**0.5 / 2), (0, 1, 0)), ((0, 0), (1, 1, 1))],
)
def test_direction_is_hue_and_stillness_is_white(direction, colour):
    wheel = colour_wheel(constant(*direction), full=1.0)
    assert torch.allclose(wheel[0, :, 0, 0], torch.tensor([float(c) for c in colour]), atol=1e-5)


def test_length_is_saturation():
    red = colour_wheel(constant(2, 0), full=8.0)[0, :, 0, 0]
    assert torch.allclose(red, torch.tensor([1, 0.75, 0.75]))


@pytest.mark.parametrize("factor, colour", [(1.0, (1, 1, 1)), (2**0.5, (1, 0.5, 0)), (0.5**0.5, (0, 0.5, 1))])
def test_the_jacobian_map_tells_stretching_from_shrinking(factor, colour):
    flow = (factor - 1) * pixel_grid(5, 7, like=torch.empty(0))  # area changes by factor^2: one octave
    picture = jacobian_map(flow)
    assert picture.shape == (1, 3, 5, 7) and torch.allclose(
        picture[0, :, 2, 2], torch.tensor(colour).float(), atol=1e-4
    )


def test_folds_are_black():
    assert jacobian_map(-2 * pixel_grid(5, 7, like=torch.empty(0)) * torch.tensor([1.0, 0]).view(1, 2, 1, 1)).max() == 0


def test_an_animation_runs_forth_and_back(tmp_path):
    frames = torch.linspace(0, 1, 5).view(5, 1, 1, 1).expand(5, 1, 8, 8)
    with Image.open(save_animation(tmp_path / "a.gif", frames)) as film:
        shades = []
        for index in range(film.n_frames):
            film.seek(index)
            shades.append(film.convert("L").getpixel((5, 5)))
    assert shades == [0, 64, 128, 191, 255, 191, 128, 64]
