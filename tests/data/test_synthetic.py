"""Synthetic motion: shifts are exact, the velocity is what the frames show, the counter alone draws the scene."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from films import texture
from PIL import Image

from vfi_pipeline.data.augment import Augmentation
from vfi_pipeline.data.batch import collate
from vfi_pipeline.data.modules import Synthetic
from vfi_pipeline.data.synthetic import Layer, Motion, Recipe, Scene, SyntheticMotion, draw_scene
from vfi_pipeline.data.textures import bundled_textures, own_textures, split_textures
from vfi_pipeline.errors import UserError
from vfi_pipeline.geometry import pixel_grid, warp
from vfi_pipeline.ode import SampledVelocity, Solver, flow_map

SIZE = 48, 64  # height, width
FINE = Solver("rk4", steps=16)


def photo() -> torch.Tensor:
    return torch.from_numpy(texture(100, 120)).permute(2, 0, 1)[None].float() / 255


def shift(dx: float, dy: float) -> Motion:
    return Motion(torch.tensor([[0, 0, dx], [0, 0, dy]], dtype=torch.float64))


@pytest.mark.parametrize("broken", [1, 2])
def test_each_broken_texture_is_named_once_and_counted(tmp_path, caplog, broken):
    for k in range(6):
        Image.fromarray(texture(80, 80, seed=k)).save(tmp_path / f"t{k}.png")
    for k in range(broken):
        (tmp_path / f"t{k}.png").write_bytes(b"no picture")
    module = Synthetic(crop=32, textures=str(tmp_path), val_samples=1, batch_size=1)
    for part in ("train", "val", "test"):
        module.built(part)[0]

    assert "one texture only" not in caplog.text
    assert [caplog.text.count(f"t{k}.png") for k in range(6)] == [1] * broken + [0] * (6 - broken)
    assert f"Left out ({broken} so far)" in caplog.text and module.left_out() == broken


def test_of_several_processes_one_names_the_broken_textures(tmp_path, caplog):
    for k in range(4):
        Image.fromarray(texture(80, 80, seed=k)).save(tmp_path / f"t{k}.png")
    (tmp_path / "t1.png").write_bytes(b"no picture")
    for rank in (0, 1):
        module = Synthetic(crop=32, textures=str(tmp_path), val_samples=1, batch_size=2)
        module.trainer = SimpleNamespace(global_rank=rank, world_size=2)
        module.built("train")
        assert module.left_out() == 1

    assert caplog.text.count("t1.png") == 1


def test_a_single_texture_is_told_once(tmp_path, caplog):
    Image.fromarray(texture(80, 80)).save(tmp_path / "t.png")
    module = Synthetic(crop=32, textures=str(tmp_path), val_samples=1, batch_size=1)
    for part in ("train", "val", "test"):
        module.built(part)[0]

    assert caplog.text.count("one texture only") == 1


def test_a_shift_moves_every_pixel_by_whole_steps():
    scene = Scene([Layer(photo(), (20, 20), shift(8, -4))])

    first, middle, last = (scene.frame(t, *SIZE) for t in (0.0, 0.5, 1.0))

    # Content moves right by 8 and up by 4 per unit t.
    assert torch.allclose(last[:, :-4, 8:], first[:, 4:, :-8], atol=1e-6)
    assert torch.allclose(middle[:, :-2, 4:], first[:, 2:, :-4], atol=1e-6)
    assert scene.velocity(*SIZE)[:, 5, 7].tolist() == [8, -4]


def test_a_quarter_turn_turns_the_picture():
    centre, turn = np.array([31.5, 31.5]), math.pi / 2
    matrix = np.array([[0, -turn], [turn, 0]])
    spin = Motion(torch.from_numpy(np.column_stack([matrix, -matrix @ centre])))
    scene = Scene([Layer(photo(), (20, 20), spin)])

    first, last = scene.frame(0.0, 64, 64), scene.frame(1.0, 64, 64)

    # x right and y down: a positive turn is clockwise to the eye, which is minus one of torch's.
    assert torch.allclose(last[:, 2:-2, 2:-2], first.rot90(-1, (1, 2))[:, 2:-2, 2:-2], atol=1e-3)


@pytest.mark.parametrize("counter", range(6))
def test_the_true_velocity_carries_the_first_frame_to_the_others(counter):
    """An independent check: integrate the given field by the ode package and warp; the inside must agree."""
    sample = SyntheticMotion(96, [texture(300, 300)], Recipe.smooth(), times=(0.25, 0.5, 0.75), seed=5)[counter]
    grid = pixel_grid(96, 96, like=sample.first)
    inside = (slice(None), slice(None), slice(20, -20), slice(20, -20))

    for picture, t in zip([*sample.targets, sample.last], [0.25, 0.5, 0.75, 1.0]):
        pull = flow_map(SampledVelocity(-sample.velocity[None]), grid, 0, t, FINE)
        made = warp(sample.first[None], pull)
        unmoved = (sample.first - picture)[None][inside].square().mean()
        misfit = (made - picture[None])[inside].square().mean()
        # What is left is the blur of a second bilinear interpolation.
        assert misfit < 0.06 * unmoved, (t, misfit, unmoved)


def test_wavy_motion_is_solved_to_a_hundredth_of_a_pixel():
    random = np.random.default_rng(0)
    scene = draw_scene(random, Recipe.smooth(), bundled_textures()[:1], 96, 96)
    motion = scene.layers[0].motion

    coarse = motion.follow(0.5, 96, 96)
    exact = flow_map(lambda t, x: motion.velocity(x), pixel_grid(96, 96, like=coarse), 0, 0.5, Solver("rk4", steps=64))

    assert len(motion.waves) and (coarse - pixel_grid(96, 96, like=coarse) - exact).abs().max() < 0.02


def test_what_lies_in_front_hides_what_lies_behind():
    mask = torch.zeros(1, 1, *SIZE)
    mask[..., 16:32, 24:40] = 1
    black = Layer(torch.zeros(1, 3, 9, 9), (0, 0), shift(10, 0), mask)
    white = Layer(torch.ones(1, 3, 9, 9), (0, 0), shift(0, 0))
    scene = Scene([white, black])

    for t, left in ((0.0, 19), (0.5, 24), (1.0, 29)):
        frame = scene.frame(t, *SIZE)
        assert frame[:, 16:32, left : left + 16].max() < 1e-5
        assert frame.sum() == pytest.approx(3 * (48 * 64 - 16 * 16))
    velocity = scene.velocity(*SIZE)
    assert velocity[0, 20, 30] == 10 and velocity[0, 20, 10] == 0


def test_light_shadow_and_blur_do_what_they_say():
    still = Layer(torch.full((1, 3, 9, 9), 0.5), (0, 0), shift(0, 0))
    mask = torch.zeros(1, 1, *SIZE)
    mask[..., 8:24, 24:40] = 1
    thing = Layer(torch.full((1, 3, 9, 9), 0.5), (0, 0), shift(12, 0), mask, shadow=(0.0, 16.0, 0.5))

    lit = Scene([still], gain=(0.9, 1.1))
    assert [round(float(lit.frame(t, *SIZE).mean()), 3) for t in (0, 0.5, 1)] == [0.45, 0.5, 0.55]
    shaded = Scene([still, thing]).frame(0.5, *SIZE)
    assert shaded[0, 32, 32] == pytest.approx(0.25, abs=0.02) and shaded[0, 16, 32] == 0.5 and shaded[0, 4, 32] == 0.5
    black = Layer(torch.zeros(1, 3, 9, 9), (0, 0), shift(12, 0), mask)
    blurred = Scene([still, black], shutter=0.5).frame(0.5, *SIZE)[0, 16]
    assert 0 < blurred[23] < 0.5 and blurred[15] == 0.5 and blurred[31] < 1e-5


def test_a_scene_is_drawn_from_seed_and_counter_alone():
    sets = [SyntheticMotion(48, augmentation=Augmentation(48, noise=1), seed=2) for _ in range(2)]
    sets[0][0]

    assert all(torch.equal(a, b) for a, b in zip(sets[0][77][:5], sets[1][77][:5]))
    assert not torch.equal(sets[0][77].first, sets[0][78].first)


def test_scenes_of_any_shape_are_batches_in_range():
    batch = collate([SyntheticMotion(SIZE, target_count=2, seed=9)[k] for k in range(12)])

    assert batch.first.shape == (12, 3, *SIZE) and batch.targets.shape == (12, 2, 3, *SIZE)
    assert batch.velocity.isfinite().all() and 0 <= batch.targets.min() and batch.targets.max() <= 1
    assert (batch.t.diff(dim=1) > 0).all()
    assert batch.velocity.norm(dim=1).amax() > 5  # some of it is fast


def test_textures_are_photographs_in_colour_and_bad_files_are_named(tmp_path, caplog):
    pictures = bundled_textures()
    (tmp_path / "bad.png").write_bytes(b"not a picture")

    assert len(pictures) >= 12 and all(p.dtype == np.uint8 and p.shape[2] == 3 for p in pictures)
    with pytest.raises(UserError, match="None of the images"):
        own_textures(tmp_path)
    assert "bad.png is not a picture" in caplog.text
    with pytest.raises(UserError, match="at least 64 px"):
        SyntheticMotion(48, textures=[np.zeros((20, 20, 3), np.uint8)])


@pytest.mark.parametrize("count", [2, 3, 5, 11])
def test_no_texture_is_trained_on_and_held_out(count):
    textures = [np.full((64, 64, 3), k, np.uint8) for k in range(count)]
    train, held = ([int(t[0, 0, 0]) for t in split_textures(textures, side)] for side in (False, True))

    assert train and held and sorted(train + held) == list(range(count))


def test_a_kept_pool_is_drawn_from_again_and_again():
    module = Synthetic(48, batch_size=4, pool=6, middles=0, val_samples=3)

    first, second = [batch for _, batch in zip(range(2), module.train_dataloader())]

    seen = {picture.numpy().tobytes() for batch in (first, second) for picture in batch.first}
    assert len(seen) == 6 and first.targets.shape == (4, 0, 3, 48, 48)
    assert [len(batch.t) for batch in module.val_dataloader()] == [3]
    assert module.val_dataloader().dataset[0].t.tolist() == [0.25, 0.5, 0.75]
