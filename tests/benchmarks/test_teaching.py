"""Kinds of teaching, side by side: which films, which pairs, and a table of what each gains over the baseline."""

import json

import pytest
import torch
from films import panning, write_film

from benchmarks.teaching import (
    ARMS,
    BASELINE,
    Arm,
    Plan,
    Score,
    chosen,
    finished,
    gain,
    judged,
    linked,
    noise,
    pictures,
    starts,
    table,
)
from vfi_pipeline.errors import UserError
from vfi_pipeline.models.flow import FlowModel
from vfi_pipeline.models.flow_interpolator import FlowInterpolator

NET = {
    "widths": (6, 6), "hidden": (4, 4), "context_channels": (4,), "radii": (1, 2), "match": (4, 4), "stem": 4,
    "depth": (1, 1), "refinement": {"hidden": 4, "context_channels": 4},
}  # fmt: skip


def scored(arm, seed, alone, around, cpu_s=100.0):
    return Score(arm, seed, {"2": alone, "8": alone - 5}, {"2": around, "8": around - 5}, cpu_s)


def test_films_left_out_are_never_trained_on_and_the_others_are_spread(tmp_path):
    for name in "abcdefg":
        (tmp_path / f"{name}_00.mp4").touch()

    train, left = chosen(tmp_path, ["e", "b_0"], 3)

    assert [film.name[0] for film in left] == ["b", "e"]
    assert [film.name[0] for film in train] == ["a", "c", "f"]
    assert len(chosen(tmp_path, ["a"], 99)[0]) == 6
    with pytest.raises(UserError, match="holds no film x"):
        chosen(tmp_path, ["a", "x"], 3)
    with pytest.raises(UserError, match="no other films"):
        chosen(tmp_path, list("abcdefg"), 3)


def test_a_folder_of_links_holds_the_chosen_films_alone(tmp_path):
    films = [tmp_path / name for name in ("a.mp4", "b.mp4")]
    for film in films:
        film.write_text(film.name)
    linked(tmp_path / "links", films)
    linked(tmp_path / "links", films[1:])

    assert [(link.name, link.read_text()) for link in (tmp_path / "links").iterdir()] == [("b.mp4", "b.mp4")]


@pytest.mark.parametrize("frames, span", [(50, 2), (50, 8), (28, 8), (25, 8)])
def test_every_pair_has_its_frames_before_and_after(frames, span):
    begun = starts(frames, span)

    assert begun and begun == sorted(set(begun))
    assert all(start - span >= 0 and start + 2 * span <= frames - 1 for start in begun)


def test_a_film_too_short_gives_no_pair():
    assert starts(24, 8) == [] and starts(25, 8) == [8]


def test_gains_are_those_of_the_means_and_the_noise_that_of_the_baseline():
    scores = [
        scored(BASELINE, 0, 30.0, 31.0), scored(BASELINE, 1, 30.5, 31.2), scored("teacher", 1, 31.0, 31.5, 130.0),
        scored("growth", 0, 29.0, 30.0, 80.0), scored("growth", 1, 30.0, 30.6, 80.0),
    ]  # fmt: skip

    assert gain(scores, "teacher", "around", 2) == pytest.approx(31.5 - 31.1)
    assert gain(scores, "growth", "alone", 8) == pytest.approx(29.5 - 30.25)
    assert noise(scores, 2) == pytest.approx(0.5)
    lines = table(scores, 20.0).splitlines()
    assert (
        lines[2].startswith(f"| **{BASELINE}**") and "| 0, 1 | 30.25 | 31.10 |  | 25.25 | 26.10 |  | 1.00 |" in lines[2]
    )
    assert "| 1 | 31.00 | 31.50 | +0.40 | 26.00 | 26.50 | +0.40 | 1.38 |" in lines[3]
    assert "| 0.75 |" in lines[4] and len(lines) == 5
    assert {line.count("|") for line in lines} == {10}


def test_a_run_is_what_its_words_say(tmp_path):
    plan = Plan(tmp_path, (tmp_path / "a.mp4",), (tmp_path / "b.mp4",), steps=7)
    words = plan.words(Arm("x", "", ("data.grow=0.5",)), 3)

    assert words[-1] == "data.grow=0.5" and {"steps=7", "seed=3", "data.seed=3"} <= set(words)
    assert f"data.root={tmp_path / 'train'}" in words and f"hydra.run.dir={tmp_path / 'x-3'}" in words
    for name in ("x-3", "x-10", "y-3"):
        (tmp_path / name).mkdir()
    for name in ("x-3", "x-10"):
        (tmp_path / name / "cost.json").write_text(json.dumps({"cpu_s": 1.0}))
    assert finished(plan, "x") == [3, 10] and finished(plan, "y") == []


def test_every_arm_is_a_configuration_that_can_be_composed(root):
    from hydra import compose, initialize_config_dir

    with initialize_config_dir(str(root / "conf"), version_base="1.3"):
        for arm in ARMS:
            settings = compose("train", ["experiment=flow", "net=flow_small", "data.root=x", *arm.words])
            assert settings.name == "flow"


def test_pairs_are_judged_by_the_frame_half_way(tmp_path):
    write_film(tmp_path / "pan.mkv", panning(8, speed=6, height=64, width=96))
    frames = pictures(tmp_path / "pan.mkv")
    torch.manual_seed(0)
    model = FlowModel(FlowInterpolator(**NET), network_span=96, enlargement=1.0)
    model.guide_span = None

    still = [frames[0]] * 8
    alone, around = judged(model, frames, 2, 2)

    # The network moves little before it has learned anything: a still film is nearly right, a pan is a cross-fade.
    assert 15 < alone < 30 < min(judged(model, still, 2, 2)) and alone != around
