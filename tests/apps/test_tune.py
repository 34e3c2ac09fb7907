"""``vfi tune``: what is measured, how it is judged, and what it says to type."""

from __future__ import annotations

import json
import shlex
from fractions import Fraction

import numpy as np
import pytest
import torch
from clips import make_clip
from films import panning, write_film

from interpolate import option_names
from vfi_pipeline import commands
from vfi_pipeline.apps import tune
from vfi_pipeline.apps.tune import Measured, Setting, advise, pace
from vfi_pipeline.errors import UserError
from vfi_pipeline.jobs.command_line import parse
from vfi_pipeline.metrics.psnr import psnr
from vfi_pipeline.models.blend import Blend
from vfi_pipeline.models.hold import Hold
from vfi_pipeline.synthesis import stream

HOUR = 3600


def result(name: str, speed: float, hours: float, quality: float | None) -> Measured:
    return Measured(Setting((("model", name),)), speed, hours * HOUR, 1e6, quality)


def advice(*results: Measured) -> list[str]:
    return [each.result.setting.label.removeprefix("model=") for each in advise(results)]


def test_best_balanced_and_in_time():
    slow, middle, fast = result("slow", 1, 40, 36.0), result("middle", 4, 10, 35.7), result("fast", 50, 1, 31.0)
    assert advice(fast, middle, slow) == ["slow", "middle", "middle"]


def test_what_makes_no_difference_is_decided_by_speed():
    a, b, c = result("a", 1, 5, 36.03), result("b", 2, 4, 36.0), result("c", 9, 1, 35.4)
    assert advice(a, b, c) == ["b", "b", "b"]


def test_where_nothing_is_done_by_tomorrow_it_is_said():
    slow, fast = result("slow", 1, 400, 36.0), result("fast", 4, 100, 30.0)
    best, balanced, tomorrow = advise([slow, fast])

    assert (best.result, balanced.result, tomorrow.result) == (slow, slow, fast)
    assert tomorrow.note == "nothing is done in 12 h here: the fastest takes 100:00:00"


def test_settings_that_could_not_be_judged_come_last():
    assert advice(result("blind", 99, 1, None), result("seen", 1, 2, 20.0)) == ["seen", "seen", "seen"]
    assert advice(result("blind", 99, 1, None)) == ["blind"] * 3
    assert advise([]) == []


def test_speed_is_taken_once_the_threads_run():
    moments = [10 + 0.1 * k for k in range(40)]  # ten seconds until the first
    assert pace(0, [*moments, moments[-1]]) == pytest.approx(30 / 3.0)
    assert pace(0, [1.0, 2.0, 3.0]) == pytest.approx(2 / 3)  # few: over all


@pytest.fixture
def film(tmp_path):
    return write_film(tmp_path / "a b.mkv", panning(30), "25")


def planned(film, **options):
    request = tune.film_request([film], {"fps": "50", "model": "blend", **options})
    return tune.prepare(request.film, request.options, request.model_choice, [film], many=False), request


@pytest.mark.parametrize("model", [Blend(), Hold()])
def test_quality_is_that_of_every_second_frame_made_from_its_neighbours(film, model):
    plan, request = planned(film)
    stretch = tune.choose_stretch(plan, request)
    found = tune.judged(model, stream.Options(scene=False), plan.timeline.times, stretch)
    pictures = torch.from_numpy(panning(30)).permute(0, 3, 1, 2)
    expected = []
    for k in range(stretch.first + 1, stretch.last, 2):
        around = (pictures[k - 1].float() + pictures[k + 1]) / 2 if model.name == "blend" else pictures[k - 1].float()
        expected.append(float(psnr((around + 0.5).floor().to(torch.uint8)[None], pictures[k][None])))

    assert found == pytest.approx(np.mean(expected), abs=0.1)


def test_across_a_cut_nothing_is_judged(tmp_path):
    still = [panning(1, seed=seed).repeat(9, 0) for seed in (1, 2)]
    film = write_film(tmp_path / "a.mkv", np.concatenate(still), "25")
    plan, request = planned(film)
    options = stream.Options(cuts=None, scene=True)
    assert tune.judged(Blend(), options, plan.timeline.times, tune.choose_stretch(plan, request)) is None


def test_the_second_is_where_something_moves(tmp_path):
    still, moving = panning(1).repeat(60, 0), panning(30)
    write_film(tmp_path / "a.mkv", np.concatenate([still, moving, still[:30]]), "25")
    plan, request = planned(tmp_path / "a.mkv")
    stretch = tune.choose_stretch(plan, request)

    assert 60 <= stretch.first + 12 <= 90
    assert tune.MEASURE.least_frames <= len(stretch.frames) <= tune.MEASURE.most_frames


def test_a_stretch_lies_within_the_part_that_is_asked_for(film):
    plan, request = planned(film, start="0.4", end="0.8")
    stretch = tune.choose_stretch(plan, request)
    low, high = plan.timeline.sources_shown

    assert low <= stretch.first and stretch.last <= high and len(stretch.frames) >= 5


def test_what_the_user_has_chosen_is_not_varied(film):
    def labels(**options):
        plan, request = planned(film, **options)
        given = {"fps": "50", **options}
        if "model" not in options:
            request = tune.film_request([film], given)
        return [setting.label for setting in tune.settings_of(plan, request, given)]

    assert labels(device="cpu") == [
        "model=blend",
        "model=flow scale=0.25",
        "model=flow scale=0.5",
        "model=flow scale=1",
    ]
    assert labels(device="cpu", model="blend") == ["as asked"]
    assert labels(device="cpu", model="flow", scale="0.5") == ["as asked"]
    assert labels(device="cpu", scale="0.5") == ["model=blend", "model=flow"]


def test_larger_estimates_are_tried_for_pictures_that_have_them(tmp_path):
    make_clip(tmp_path / "a.mkv", frames=5, size=(1280, 40), content="grey")
    plan, _ = planned(tmp_path / "a.mkv")

    assert tune.scales_of("flow", plan, {}) == [0.25, 0.5, 1.0, 2.0]
    assert tune.scales_of("blend", plan, {}) == [None]


@pytest.fixture
def cheap(monkeypatch):
    """Cross-fade and repetition alone: seconds in place of minutes."""
    monkeypatch.setattr(tune, "MODELS", ("hold", "blend"))


def option_names_of_films():
    known, models = option_names()
    return known, {"model": models}


def test_the_command_measures_and_says_what_to_type(cheap, film, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    assert commands.main(["tune", "a b.mkv", "multi=2", "device=cpu"]) == 0
    told = capsys.readouterr()
    lines = told.out.splitlines()

    assert lines[0].startswith("a b.mkv: 128 x 96, 60 frames to write; measured on ")
    assert lines[2].split() == ["setting", "frames/s", "whole", "film", "size", "PSNR"]
    assert any(line.startswith("model=blend ") and line.endswith(" dB") for line in lines)
    commands_said = [line.strip() for line in lines if line.startswith("  vfi interpolate ")]
    assert len(commands_said) == 3 and told.err.startswith("measuring model=hold")
    for line in commands_said:
        words = shlex.split(line)[2:]
        assert words[:3] == ["input=a b.mkv", "multi=2", "device=cpu"]
        assert parse(words, *option_names_of_films()).inputs == ["a b.mkv"]
    assert sorted(path.name for path in tmp_path.iterdir()) == before  # nothing is written beside the film


def test_programs_get_the_same_as_json(cheap, film, capsys):
    assert commands.main(["tune", str(film), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)

    assert found["frames"] == 72  # fps=60 of 1.2 s
    quality = {row["options"]["model"]: row["psnr"] for row in found["settings"] if "preset" not in row["options"]}
    assert set(quality) == {"hold", "blend"} and quality["blend"] > quality["hold"]
    assert all(row["seconds"] == pytest.approx(72 / row["frames_per_s"]) for row in found["settings"])
    assert found["advice"]["best"]["options"]["model"] == "blend"


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        ("30000/1001", ["slowmo=2"]),
        ("25", ["fps=60", "output=o/%04d.png"]),
        ("24000/1001", ["size=0.5x", "multi=2"]),
    ],
)
def test_any_job_on_films_is_measured(cheap, tmp_path, monkeypatch, capsys, rate, words):
    monkeypatch.chdir(tmp_path)
    write_film(tmp_path / "a.mkv", panning(12), rate)
    assert commands.main(["tune", "a.mkv", *words, "model=blend"]) == 0
    assert "as asked" in capsys.readouterr().out


def test_the_estimated_size_is_that_of_the_whole(cheap, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_film(tmp_path / "a.mkv", panning(40), "25")
    assert commands.main(["tune", "a.mkv", "fps=50", "model=blend", "codec=ffv1", "output=b.mkv", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["settings"]
    assert commands.main(["interpolate", "a.mkv", "fps=50", "model=blend", "codec=ffv1", "output=b.mkv"]) == 0

    assert row["bytes"] == pytest.approx((tmp_path / "b.mkv").stat().st_size, rel=0.15)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["none.mkv"], "none.mkv"),
        (["a.mkv", "b.mkv"], "2 films were named"),
        (["a.mkv", "at=0.1"], "tune measures films"),
        (["a.mkv", "fsp=3"], "fsp"),
        (["a.mkv", "model=fit"], "pairs of pictures"),
        (["short.mkv"], "3 frames: too few"),
    ],
)
def test_mistakes_are_told(tmp_path, monkeypatch, capsys, words, problem):
    monkeypatch.chdir(tmp_path)
    for name, frames in (("a.mkv", 8), ("b.mkv", 8), ("short.mkv", 3)):
        make_clip(tmp_path / name, frames=frames)
    assert commands.main(["tune", *words]) in (2, 3)
    told = capsys.readouterr().err
    assert problem in told and "Try: " in told and "Traceback" not in told


def test_a_film_too_short_to_leave_frames_out(film):
    plan, request = planned(film, start="0", end="0.1")
    with pytest.raises(UserError, match="too few to leave some out"):
        tune.choose_stretch(plan, request)


def test_times_are_exact(film):
    plan, request = planned(film)
    stretch = tune.choose_stretch(plan, request)
    assert plan.timeline.times.time(stretch.last) - plan.timeline.times.time(stretch.first) <= Fraction(6, 5)
