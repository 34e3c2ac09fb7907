"""From ``make reproduce`` to the page: several seeds, mean and range, what is done is kept, what fails is named."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from benchmarks import reproduce
from benchmarks.reproduce import Experiment, Outcome, Own, experiments, section, spread, table
from vfi_pipeline.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


def test_mean_and_range_are_said_not_the_best():
    assert spread([0.5, 1.0, 0.75], "{:.1%}") == "75.0% (50.0% to 100.0%)"
    assert spread([2.0], "{:.2f}") == "2.00" and spread([float("nan")], "{:.2f}") == ""
    one = Experiment("x", "X", {"a": (), "b": ()}, dict, {"p": ("P", "{:.0f}"), "q": ("Q", "{:.0f}")}, "Note.")
    outcome = Outcome(
        {"a": [{"seed": 0, "p": 1.0}, {"seed": 1, "p": 3.0}], "b": [{"seed": 0, "p": 5.0}]}, ["b, seed 1"]
    )

    assert table(one, outcome).splitlines() == ["| | P |", "|--|--|", "| `a` | 2 (1 to 3) |", "| `b` | 5 |"]
    text = section(one, outcome, [0, 1], [], "make reproduce")
    assert "**Failed:** b, seed 1." in text and "over seeds 0, 1" in text


def test_every_experiment_of_the_paper_is_there_with_what_it_needs(tmp_path):
    assert list(experiments(Own())) == ["digits_gan", "digits_l2", "synthetic_l2"]
    assert "test digits come from writers seen in training" in experiments(Own())["digits_gan"].note
    for side in ("neutral", "smiling"):
        (tmp_path / side).mkdir()
    found = experiments(Own(tmp_path, tmp_path / "mnist.npz"))
    assert list(found) == ["digits_gan", "digits_l2", "synthetic_l2", "smile_l2", "smile_gan"]
    assert f"data.first={tmp_path / 'neutral'}" in found["smile_l2"].trials["svf"]
    assert f"data.mnist={tmp_path / 'mnist.npz'}" in found["digits_gan"].trials["svf"]
    assert "by other writers" in found["digits_gan"].note
    with pytest.raises(UserError, match="neutral is no folder"):
        experiments(Own(tmp_path / "neutral"))


def test_names_that_are_none_are_refused(capsys):
    assert reproduce.main(["--only", "smile_gan"]) == 2
    assert "it needs --faces" in capsys.readouterr().err


def test_places_of_the_users_data_do_not_reach_the_page(tmp_path):
    own = Own(tmp_path / "my faces", tmp_path / "mnist.npz")
    assert own.hidden(f"data.first={tmp_path / 'my faces' / 'neutral'} {tmp_path / 'mnist.npz'}") == (
        "data.first=<faces>/neutral <mnist>"
    )


@pytest.mark.parametrize("words", [(), ("--tables-only",)])
def test_figures_are_left_out_where_only_tables_are_asked_for(tmp_path, monkeypatch, words):
    def draw(runs, folder):
        return ["face.png"]

    one = Experiment("x", "X", {"a": ()}, lambda run: {"p": 1.0}, {"p": ("P", "{:.0f}")}, "Note.", draw)
    monkeypatch.setattr(reproduce, "experiments", lambda own: {"x": one})
    monkeypatch.setattr(reproduce, "trained", lambda *arguments: True)
    page = tmp_path / "page.md"
    places = ["--seeds", "0", "--out", str(tmp_path / "out"), "--page", str(page), "--figures", str(tmp_path)]
    assert reproduce.main([*places, *words]) == 0
    assert "| `a` | 1 |" in page.read_text()
    assert ("face.png" in page.read_text()) is not bool(words)


def test_the_target_hands_its_words_on(root):
    words = ["FACES=/my faces", "MNIST=m.npz", "SEEDS=0,1", "ONLY=digits_l2,smile_l2", "WORDS=trainer=gpu"]
    done = subprocess.run(["make", "-n", "reproduce", *words], capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
    line = " ".join(done.stdout.replace("\\\n", " ").split())
    assert (
        "-m benchmarks.reproduce --seeds 0,1 --only digits_l2,smile_l2 --faces '/my faces' --mnist 'm.npz' "
        "trainer=gpu" in line
    )


@pytest.mark.slow
def test_an_experiment_is_trained_judged_and_written_and_then_kept(tmp_path, monkeypatch):
    page, figures = tmp_path / "page.md", tmp_path / "figures"
    page.write_text("# Mine\n\nWords of my own.\n")
    words = ["--only", "digits_l2", "--seeds", "0,1", "--out", str(tmp_path / "out"), "--page", str(page),
             "--figures", str(figures), "steps=4", "data.size=16", "field.unet.widths=[8,8]", "field.unet.final=8",
             "scheduler.warmup=1", "logger=none", "validate_every=4", "callbacks.panels.every=9"]  # fmt: skip
    assert reproduce.main(words) == 0
    text, held = page.read_text(), json.loads((figures / "reproduction.json").read_text())["digits_l2"]

    assert "Words of my own." in text and "python train.py experiment=digits_l2" in text
    assert re.search(r"\| `svf` \| \d+\.\d\d \(\d+\.\d\d to \d+\.\d\d\) \|", text)
    assert held["seeds"] == [0, 1] and [row["seed"] for row in held["figures"]["svf"]] == [0, 1]
    assert held["figures"]["svf"][0]["psnr"] != held["figures"]["svf"][1]["psnr"]

    monkeypatch.setattr(reproduce.subprocess, "run", None)  # nothing is trained again
    assert reproduce.main(words) == 0
    assert page.read_text().count("digits_l2: begin") == 1


@pytest.mark.slow
def test_a_run_that_fails_is_named_and_the_others_are_written(tmp_path):
    words = ["--only", "digits_l2", "--seeds", "0", "--out", str(tmp_path / "out"), "--page", str(tmp_path / "p.md"),
             "--figures", str(tmp_path), "data.size=nonsense"]  # fmt: skip
    assert reproduce.main(words) != 0
    assert not (tmp_path / "p.md").exists()
