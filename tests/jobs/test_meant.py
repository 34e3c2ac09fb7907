"""Words of other programs, slips of the finger and spaces: what is proposed can be typed, and is meant."""

from __future__ import annotations

import re
import shlex

import pytest

from interpolate import option_names
from vfi_pipeline.errors import UserError
from vfi_pipeline.jobs.command_line import parse
from vfi_pipeline.jobs.meant import MEANINGS, REMEDIES
from vfi_pipeline.jobs.option_table import TABLE

KNOWN, MODELS = option_names()


def read(*words: str):
    return parse(words, KNOWN, {"model": MODELS})


def proposed(*words: str) -> str:
    with pytest.raises(UserError) as caught:
        read(*words)
    return caught.value.args[1]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("typed", "remedy"),
    [
        ("-r 60", "fps=60"), ("--rate 59.94", "fps=59.94"), ("framerate=30", "fps=30"), ("hz=120", "fps=120"),
        ("quality=18", "crf=18"), ("-q:v 2", "crf=2"), ("quality=90", "crf=18"), ("-qp 20", "crf=20"),
        ("bitrate=5M", "crf=18"), ("-b:v 5M", "crf=18"), ("c:v=libx264", "codec=libx264"), ("-c:v hevc", "codec=hevc"),
        ("-s 1280x720", "size=1280x720"), ("resolution=2x", "size=2x"), ("--out_dir done/", "output=done/"),
        ("-f a.mp4", "input=a.mp4"), ("source=a.mp4", "input=a.mp4"), ("times=4", "multi=4"), ("-g 0", "device=cpu"),
        ("-an", "audio=drop"), ("--ivtc", "deinterlace=film"), ("ckpt=w.safetensors", "weights=w.safetensors"),
        ("-vf minterpolate", "size="), ("--force", "overwrite=true"), ("begin=1:30", "start=1:30"),
        ("output_path='my film.mkv'", "output='my film.mkv'"), ("motion_blur=180", "shutter=180"),
    ],
)  # fmt: skip
def test_other_programs_words(typed, remedy):
    assert remedy in proposed(*shlex.split(typed))


@pytest.mark.parametrize(
    ("typed", "remedy"),
    [
        ("fsp=60", "fps=60"), ("imput=a.mp4", "input=a.mp4"), ("--outptu x.mkv", "--output x.mkv"),
        ("mutli=3", "multi=3"), ("--overwite", "--overwrite"), ("slomwo=4", "slowmo=4"), ("shuter=90", "shutter=90"),
        ("model=flwo", "model=flow"), ("deinterlacing=on", "deinterlace=on"),
    ],
)  # fmt: skip
def test_slips_keep_the_value(typed, remedy):
    assert proposed(*typed.split()).startswith(remedy)


@pytest.mark.parametrize(
    "typed", ["xyz=3", "--zzz", "gop=12", "tune=film", "threads=8", "-z", "-Z 4", "qq=1", "ab12=1"]
)
def test_nothing_is_guessed_where_nothing_is_near(typed):
    assert proposed(*typed.split()) == "python interpolate.py --help lists all of them."


def test_no_word_is_an_option_already_and_every_proposal_is_read():
    taken = {*KNOWN, "model", *(alias for row in TABLE for alias in (*row.aliases, *row.shorthands))}
    assert not taken & {*MEANINGS, *REMEDIES} and not MEANINGS.keys() & REMEDIES.keys()
    for word in {*MEANINGS, *REMEDIES}:
        remedy = proposed(f"--{word}", "@") if ":" not in word else proposed(f"{word}=@")
        for name, value in re.findall(r"\b([a-z_]+)=([\w./-]+)", remedy):
            if name != "model":
                next(row for row in TABLE if row.name == name).kind.read(name, value.rstrip("."))


@pytest.mark.parametrize(
    ("typed", "remedy"),
    [
        ("input = a.mp4 fps=60", "input=a.mp4"), ("fps =60 a.mp4", "fps=60"), ("a.mp4 fps= 60", "fps=60"),
        ("input= a.mp4", "input=a.mp4"), ("--fps = 60 a.mp4", "fps=60"), ("o = b.mkv", "output=b.mkv"),
        ("a.mp4 output= b.mkv", "output=b.mkv"), ("model = flow", "model=flow"),
        ("input = 'my film.mp4'", "input='my film.mp4'"), ("a.mp4 fps =", "fps=..."),
    ],
)  # fmt: skip
def test_spaces_around_the_equals_sign(typed, remedy):
    with pytest.raises(UserError, match="spaces around the ="):
        read(*shlex.split(typed))
    assert proposed(*shlex.split(typed)) == f"{remedy} (no spaces around the =)."


def test_an_option_without_its_sign():
    assert proposed("a.mp4", "fps", "60").startswith("fps=60 (")
    assert proposed("a.mp4", "overwrite").startswith("overwrite=true (")


def test_what_is_a_file_stays_one_and_empty_values_stay_empty(tmp_path):
    for name in ("fps", "=x", "a.mp4"):
        (tmp_path / name).touch()
    assert read("fps", "=x").inputs == ["fps", "=x"]
    assert read("output=", "a.mp4").inputs == ["a.mp4"] and read("fps=", "multi=2").values == {"fps": "", "multi": "2"}
