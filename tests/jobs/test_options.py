"""Options that belong together, and cut lists as plain data."""

from __future__ import annotations

import json
import re
from fractions import Fraction as F
from itertools import accumulate
from pathlib import Path

import pytest

from vfi_pipeline.errors import UserError
from vfi_pipeline.jobs.method import choose_model
from vfi_pipeline.jobs.options import read_cuts, read_options
from vfi_pipeline.jobs.plan import cuts_of, max_gap_of
from vfi_pipeline.media.info import SourceInfo, VideoInfo
from vfi_pipeline.media.timeline import SourceTimes


def info(rate):
    video = VideoInfo(0, "h264", 64, 48, "yuv420p", "yuv420p", F(1, 1000), F(rate))
    return SourceInfo(Path("a.mp4"), "mov", video)


@pytest.fixture
def options():
    return lambda **given: read_options(("a.mp4",), given)


def test_defaults_are_valid_and_exact(options):
    read = options(fps="59.94")
    assert read.fps == F(60000, 1001) and read.scene and read.resume and not read.overwrite
    assert read.name == "{stem}_{fps}fps.{ext}" and read.timing == "fps=59.94"
    assert options(slowmo="4").name == "{stem}_slow{slowmo}x.{ext}"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "How smooth"),
        ({"fps": "60", "slowmo": "2"}, "fps and slowmo were both given"),
        ({"fps": "60", "audio": "stretch"}, "only makes sense in slow motion"),
        ({"slowmo": "2", "audio": "keep"}, "cannot keep the sound"),
        ({"fps": "60", "start": "5", "end": "4"}, "not after the start"),
        ({"fps": "60", "scene_threshold": "2"}, "from 0 to 1"),
        ({"fps": "60", "scale": "nan"}, "from 0.05 to 4"),
        ({"fps": "60", "overlay": "maybe"}, "overlay=auto"),
        ({"fps": "60", "cut": "dissolve"}, "cut=hold or cut=blend"),
        ({"fps": "60", "name": "../{stem}.mp4"}, "no.* template"),
        ({"fps": "60", "name": "{stem.__class__}"}, "not a name template"),
        ({"fps": "60", "device": "gpu"}, "device=gpu"),
        ({"fps": "60", "stream": "-1"}, "whole number"),
    ],
)
def test_what_does_not_fit_is_told(options, given, message):
    with pytest.raises(UserError, match=f"(?s){message}".replace("no.* template", "template")):
        options(**given)


TIMES = SourceTimes(range(100), F(1, 25), F(1, 25))


class Info:
    start = F(0)


@pytest.mark.parametrize(
    ("document", "frames"),
    [
        ([24, 48], (24, 48)),
        ({"film": "a", "cuts": [{"frame": 48, "time": "9"}, {"frame": 24}]}, (24, 48)),
        (["1.0", {"time": "0:00:02.01"}, {"time": 3}], (25, 50, 75)),
        ([0, 24, 24], (24,)),
        ([], ()),
    ],
)
def test_cut_lists(tmp_path, document, frames):
    for encoding in ("utf-8", "utf-8-sig"):  # Windows' editors put a byte order mark in front
        (tmp_path / "cuts.json").write_text(json.dumps(document), encoding=encoding)
        assert cuts_of(read_cuts(tmp_path / "cuts.json"), Info, TIMES) == frames


@pytest.mark.parametrize(
    "text",
    ["", "{", "7", '{"cuts": 5}', '["soon"]', "[1.5]", "[true]", "[-3]", '[{"frame": "24"}]', "[[1]]", "[" * 100_000,
     '{"_target_": "os.system", "cuts": [{"_target_": "os.system"}]}', '[{"frame": 1e999}]', "\0"],
)  # fmt: skip
def test_anything_else_in_a_cut_list_is_refused(tmp_path, text):
    (tmp_path / "cuts.json").write_text(text)
    with pytest.raises(UserError, match="cuts.json") as told:
        read_cuts(tmp_path / "cuts.json")
    assert told.value.code == 3


def test_cuts_outside_the_film_are_told():
    with pytest.raises(UserError, match="has 100 frames"):
        cuts_of((100,), Info, TIMES)


SETTINGS = {"_target_": "x.Y", "guide_span": 640, "rate": 0.5, "inner": {"steps": 4}, "device": "cpu"}


@pytest.mark.parametrize(("text", "held"), [("0.5", [2, 6]), ("1", [6]), ("0.2", [2, 5, 6]), ("off", [])])
def test_gaps_are_longer_than_asked_and_than_three_usual_frames(options, text, held):
    steps = [100, 100, 501, 100, 300, 500, 2000, 100]  # ms; the usual frame lasts 100
    times = SourceTimes(tuple(accumulate(steps, initial=0)), F(1, 1000), F(1, 10))
    assert list(times.gaps(max_gap_of(options(fps="60", max_gap=text), info(10)))) == held


def choose(options, nested=None, **given):
    built = {}
    method = choose_model("fit", SETTINGS, nested or {}, options(fps="60", **given), lambda s: built.update(s) or s)
    method.build()
    return method, built


def test_the_models_settings_are_set_and_part_of_the_fingerprint(options):
    method, built = choose(options, {"model.rate": "1", "model.inner.steps": "8"}, scale="0.5", device="cpu")
    assert (built["rate"], built["inner"]["steps"], built["guide_span"], built["device"]) == (1.0, 8, 320, "cpu")
    assert method.settings["inner.steps"] == "8" and method.settings["guide_span"] == "320"
    assert SETTINGS["inner"]["steps"] == 4


@pytest.mark.parametrize(
    ("nested", "given", "message"),
    [
        ({"model.rat": "1"}, {}, "rate"),
        ({"model.inner.stepz": "1"}, {}, "steps"),
        ({"model.inner": "1"}, {}, "another kind"),
        ({"model.rate": "fast"}, {}, "another kind"),
        ({"model.rate": ".inf"}, {}, "another kind"),
        ({}, {"weights": "w.safetensors"}, "takes no weights"),
        ({}, {"precision": "fp16"}, "fp32 only"),
    ],
)
def test_settings_the_model_does_not_have_are_told(options, nested, given, message):
    with pytest.raises(UserError, match=f"(?s){message}"):
        choose(options, nested, **given)


def test_cuts_may_be_typed():
    assert read_cuts("[24, 48]") == (24, 48)
    with pytest.raises(UserError, match="is not JSON"):
        read_cuts("[24 48]")


@pytest.mark.parametrize("text", ["2", "auto", "[cuda:0,auto]", "all,cuda:0", "[cuda:0,cpu]", "[cuda:0", "[]", "gpu"])
def test_devices_that_are_no_list_get_all_as_the_remedy(text):
    with pytest.raises(UserError) as caught:
        read_options(("a.mp4",), {"fps": "60", "devices": text})

    problem, remedy = caught.value.args[:2]
    assert problem.startswith(f"devices={text}") and remedy.startswith("devices=all")
    for accepted in re.findall(r"devices=(\[.*?\]|\w+)", remedy):
        assert read_options(("a.mp4",), {"fps": "60", "devices": accepted}).devices


@pytest.mark.parametrize(("option", "text", "remedy"), [("crf", "-5", "crf=18."), ("scale", "0", "scale=0.5.")])
def test_numbers_out_of_range_get_a_useful_remedy(option, text, remedy):
    with pytest.raises(UserError) as caught:
        read_options(("a.mp4",), {"fps": "60", option: text})
    assert remedy in str(caught.value)
