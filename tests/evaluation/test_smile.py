"""The judge of faces: learns from people held out, never from the one it judges, and is fooled by no still picture."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fixed import Fixed
from PIL import Image

from benchmarks import smile as comparison
from vfi_pipeline.data.modules import Pairs, UnpairedImages
from vfi_pipeline.errors import UserError
from vfi_pipeline.evaluation import smile
from vfi_pipeline.models.warping_ode import WarpingODE
from vfi_pipeline.ode import Solver

SIZE, PEOPLE = 32, 12


def face(person: int, smiling: bool, shot: int) -> np.ndarray:
    """A disc with eyes and a mouth whose corners are up or down; people differ in width, shots in where they stand."""
    random = np.random.default_rng([person, shot, smiling])
    y, x = np.mgrid[:SIZE, :SIZE] + random.normal(0, 0.3, (2, 1, 1))
    u, v = (x - 15.5) / (12 + 0.2 * person), (y - 15.5) / 14
    picture = 0.8 * (u**2 + v**2 < 1)
    for side in (-0.4, 0.4):
        picture -= 0.6 * np.exp(-((u - side) ** 2 + (v + 0.3) ** 2) / 0.01)
    mouth = v - 0.5 + (0.35 if smiling else -0.35) * (u**2 - 0.1)
    picture -= 0.7 * np.exp(-(mouth**2) / 0.003) * (np.abs(u) < 0.55)
    return np.round(255 * np.clip(picture + random.normal(0, 0.02, picture.shape), 0, 1)).astype(np.uint8)


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    root = tmp_path_factory.mktemp("faces")
    for side, smiling in (("neutral", False), ("smiling", True)):
        (root / side).mkdir()
        for person in range(PEOPLE):
            for shot in range(3):
                Image.fromarray(face(person, smiling, shot)).save(root / side / f"p{person:02d}_{shot}.png")
    return root


def paired(root, **options):
    sides = {"first": str(root / "neutral"), "last": str(root / "smiling")}
    return Pairs(**sides, size=SIZE, group="^[^_]+", val_share=0.25, test_share=0.25, channels=1, **options)


def unpaired(root):
    sides = (str(root / "neutral"), str(root / "smiling"))
    return UnpairedImages(*sides, size=SIZE, group="^[^_]+", val_share=0.25, test_share=0.25, channels=1)


def still():
    return WarpingODE(Fixed(torch.zeros(1, 2, SIZE, SIZE)), "first", Solver("euler", 2))


def turning_up():
    """Moves the mouth's corners up and its middle down: what is seen moves by minus the field."""
    y, x = torch.meshgrid(torch.arange(SIZE * 1.0), torch.arange(SIZE * 1.0), indexing="ij")
    u = (x - 15.5) / 13
    field = torch.zeros(1, 2, SIZE, SIZE)
    field[0, 1] = 9.8 * (u**2 - 0.1) * torch.exp(-((u / 0.7) ** 6) - ((y - 22.5) / 6) ** 4)
    return WarpingODE(Fixed(field), "first", Solver("midpoint", 6))


@pytest.mark.parametrize("data", [paired, unpaired])
def test_the_referee_knows_real_faces_and_is_not_fooled_by_standing_still(faces, data):
    found, sources, frames = smile.score("still", still(), data(faces))

    assert found.referee_accuracy > 0.9 and found.people == 3 and found.referee_people == 6
    assert found.gain == pytest.approx(0, abs=1e-3) and found.monotone
    assert found.largest_fall < 1e-3
    fallen = replace(found, probability=[0.25, 0.5, 0.375, 0.75, 0.5])
    assert fallen.largest_fall == 0.25 and replace(found, probability=[0.25, 0.5]).largest_fall == 0
    assert found.folded == 0 and found.min_det == 1 and found.inverse_px == 0
    assert torch.allclose(frames[:, -1], sources, atol=1e-5)
    assert (found.psnr is None) == (data is unpaired) and found.psnr == found.psnr_hold


def test_a_mouth_that_turns_up_gains_the_referee(faces):
    found, _, _ = smile.score("up", turning_up(), paired(faces))

    assert found.gain > 0.4 and found.monotone and found.folded == 0
    assert found.psnr > found.psnr_hold
    lines = comparison.verdict([found], {})
    assert "and rises at every step" in lines[0] and "above hold" in lines[2]


def test_nobody_is_judged_by_what_was_learned_from_them(faces):
    """The pictures of a person change nothing in the opinion about that person, those of others do."""
    data = paired(faces)
    held = [member for part in ("val", "test") for member in data.people(part)]
    pictures, second = smile.pictures_of(held, data), [member.second for member in held]
    people = [member.group for member in held]
    someone = people[0]
    own = torch.tensor([person == someone for person in people])
    plain = smile.Referee(pictures, second, people)
    without = smile.Referee(torch.where(own[:, None, None, None], torch.rand(1), pictures), second, people)

    asked = [someone] * len(pictures)
    assert np.allclose(plain.probability(pictures, asked), without.probability(pictures, asked))
    assert not {member.group for member in data.people("train")} & set(people)


def test_gan_is_told_to_be_worse_where_it_is(faces):
    l2, _, _ = smile.score("l2", turning_up(), paired(faces))
    gan, _, _ = smile.score("gan", still(), unpaired(faces))
    beside = comparison.compared([("l2", turning_up(), paired(faces)), ("gan", still(), unpaired(faces))])
    lines = comparison.verdict([l2, gan], beside)

    assert any("gan is WORSE than l2" in line for line in lines)
    assert any("On pairs that neither was trained on it is WORSE" in line for line in lines)
    assert any("is better than" in line for line in comparison.verdict([still_score(l2), gan_with(gan, 0.2)], {}))


def still_score(score):
    return smile.Score(**{**vars(score), "gain": 0.0})


def gan_with(score, gain):
    return smile.Score(**{**vars(score), "gain": gain})


def test_too_few_people_for_a_referee_say_so(faces):
    with pytest.raises(UserError, match="real pictures of both sets, of three people"):
        smile.Referee(torch.rand(4, 1, SIZE, SIZE), [False, True, False, True], ["a", "a", "b", "b"])


def test_the_figure_and_the_animation_are_written(faces, tmp_path):
    found = smile.score("up", turning_up(), paired(faces))
    comparison.figure(tmp_path / "smile.png", [(found[0], turning_up(), *found[1:])], shown=2)
    comparison.animation(tmp_path / "up.gif", found[2], shown=3)

    with Image.open(tmp_path / "up.gif") as film:
        assert film.n_frames == 2 * len(smile.TIMES) - 2 and film.size == (3 * 2 * SIZE, 2 * SIZE)
    with Image.open(tmp_path / "smile.png") as picture:
        assert picture.width > 400


def test_the_data_of_a_run_are_built_as_it_was_trained(faces, tmp_path):
    settings = {"_target_": "vfi_pipeline.data.modules.Pairs", "first": str(faces / "neutral"),
                "last": str(faces / "smiling"), "size": SIZE, "group": "^[^_]+", "batch_size": 4}  # fmt: skip
    (tmp_path / "run.json").write_text(json.dumps({"config": {"data": settings}}))

    assert isinstance(comparison.data_of(tmp_path), Pairs) and comparison.data_of(tmp_path).batch_size == 4
    with pytest.raises(UserError, match="is no run on pairs"):
        comparison.data_of(tmp_path / "nothing")


SHARED = Path(os.environ.get("VFI_SHARED", Path(__file__).resolve().parents[3] / "shared")) / "faces"


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared faces are not here")
def test_the_shared_faces_become_two_sets_of_people(tmp_path):
    from faces import write_sets

    write_sets(SHARED, tmp_path)
    data = Pairs(first=str(tmp_path / "paired" / "neutral"), last=str(tmp_path / "paired" / "smiling"), group="^[^_]+")
    parts = [{member.group for member in data.people(part)} for part in ("train", "val", "test")]

    assert sum(map(len, parts)) == len(set.union(*parts)) == 28
    assert len(list((tmp_path / "smiling").iterdir())) == 221
