"""The referees of the 3 -> 4 experiment: right on real digits, not fooled by standing still, blind to no fold."""

import json

import pytest
import torch
from fixed import Fixed

from benchmarks.ablation import TIMES, by_time, row, scenes, solver_table
from benchmarks.digits import table
from vfi_pipeline.data.digits import load_digits
from vfi_pipeline.errors import UserError
from vfi_pipeline.evaluation.digits import Referee, run_weights, score
from vfi_pipeline.models.warping_ode import WarpingODE
from vfi_pipeline.ode import Solver


@pytest.fixture(scope="module")
def split():
    return load_digits(16)


@pytest.fixture(scope="module")
def referee(split):
    return Referee(split, steps=250)


def test_the_referees_know_real_digits(split, referee):
    assert min(referee.accuracy.values()) > 0.93
    fours = split.of(4, "test")
    assert (referee.verdict(fours)["svm"] == 4).float().mean() > 0.9 < referee.probability(fours, 4).mean()


def test_a_referee_learns_from_digits_that_no_critic_has_seen(split):
    """Whatever is done to the training digits changes no referee."""
    other = split._replace(train=split.train._replace(pictures=split.train.pictures.flip(-1)))
    first, second = (Referee(digits, steps=20) for digits in (split, other))
    assert torch.equal(first.probability(split.test.pictures, 4), second.probability(split.test.pictures, 4))
    by_val = Referee(split, steps=20, judged="val")
    assert not torch.equal(first.probability(split.val.pictures, 4), by_val.probability(split.val.pictures, 4))


def test_a_model_that_moves_nothing_convinces_nobody(split, referee):
    still = WarpingODE(Fixed(torch.zeros(1, 2, 16, 16)), "first", Solver("euler", 2))

    found, frames = score("still", still, referee, split.of(3, "test"))

    assert max(found.called_target.values()) <= 0.05 and found.folded == 0 and found.min_det == 1
    assert found.inverse_px == 0 and found.outside_range < 1e-6 and found.monotone
    assert torch.allclose(frames[:, -1], split.of(3, "test"), atol=1e-5)


def test_a_model_that_folds_is_found_out(split, referee):
    field = torch.zeros(1, 2, 16, 16)
    field[:, 0, :, 6:10] = torch.tensor([8.0, 4.0, -4.0, -8.0])
    found, _ = score("fold", WarpingODE(Fixed(field), "first", Solver("euler", 1)), referee, split.of(3, "test"))

    assert found.folded > 0 and found.min_det <= 0


def test_the_true_frames_are_perfect_and_a_still_model_is_the_held_frame():
    batch = scenes(4)
    true = torch.cat((batch.targets, batch.last[:, None]), dim=1)
    still = WarpingODE(Fixed(torch.zeros(1, 2, 32, 32), 3), "first", Solver("euler", 2))

    held = row("still", still, batch, true)

    assert held.psnr == by_time(batch.first[:, None].expand_as(true), true)
    assert held.psnr["0.25"] > held.psnr["1"] and set(held.psnr) == {f"{t:g}" for t in TIMES}


def test_more_steps_come_nearer_to_the_exact_map():
    batch = scenes(2)
    true = torch.cat((batch.targets, batch.last[:, None]), dim=1)
    model = WarpingODE(Fixed(-batch.velocity[:1], 3), "first")

    off = {found.name: found.off_px for found in solver_table(model, batch, true)}

    assert off["euler 4"] > off["euler 16"] > off["midpoint 16"] and off["rk4 8"] < off["midpoint 8"]


def test_a_run_without_weights_is_named(tmp_path):
    with pytest.raises(UserError, match="holds no exported weights"):
        run_weights(tmp_path)


def test_the_table_in_the_docs_is_that_of_the_recorded_facts(root):
    facts = json.loads((root / "docs" / "figures" / "digits_gan.json").read_text())
    text = table(facts)

    assert (root / "docs" / "figures" / "digits_gan.md").read_text() == text
    named = [f"`{model['name']}`" for model in facts["models"]]
    assert text.splitlines()[2] == "| | " + " | ".join(named) + " |"
    left = " | ".join(f"{model['inverse_px']:.2f}" for model in facts["models"])
    assert f"| what is left after the way and back, mean px | {left} |" in text
