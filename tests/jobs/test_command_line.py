"""argv to values: whatever a user types after ``=`` is the value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interpolate import option_names
from vfi_pipeline.errors import UserError
from vfi_pipeline.jobs.command_line import parse
from vfi_pipeline.jobs.help import HELP

KNOWN = frozenset("input output fps multi scene overwrite precision scale name dry_run status dedup".split())
GROUPS = {"model": ("blend", "fit", "hold")}


def read(*words):
    return parse(words, KNOWN, GROUPS)


@given(st.text(min_size=1).filter(lambda text: "\0" not in text))
def test_any_value_is_taken_literally(value):
    line = read(f"input={value}", f"output={value}", "fps=60")
    assert line.inputs == [value]
    assert line.values == {"output": value, "fps": "60"}


@pytest.mark.parametrize(
    ("words", "values", "inputs"),
    [
        (["--fps", "60", "--input", "a.mp4"], {"fps": "60"}, ["a.mp4"]),
        (["--multi=2", "a.mp4"], {"multi": "2"}, ["a.mp4"]),
        (
            ["-i", "a.mp4", "-o", "b.mp4", "-y", "fps=60"],
            {"output": "b.mp4", "overwrite": "on", "fps": "60"},
            ["a.mp4"],
        ),
        (["a.mp4", "b.mp4", "--exp", "3"], {"multi": "8"}, ["a.mp4", "b.mp4"]),
        (["--no-scene", "--fp16", "--uhd", "x"], {"scene": "off", "precision": "fp16", "scale": "0.5"}, ["x"]),
        (["--scene", "off", "--dedup", "x"], {"scene": "off", "dedup": "on"}, ["x"]),
        (
            ["--dry-run", "model=fit", "--", "-odd.mp4", "fps=60"],
            {"dry_run": "on", "model": "fit"},
            ["-odd.mp4", "fps=60"],
        ),
        (["status", "output=x.mp4"], {"status": "on", "output": "x.mp4"}, []),
        (["in=a=b,c[1].mp4"], {}, ["a=b,c[1].mp4"]),
        (["input=-dash.mp4"], {}, ["-dash.mp4"]),
        (["fps=60", "fps=60"], {"fps": "60"}, []),
    ],
)
def test_spellings(words, values, inputs):
    line = read(*words)
    assert (line.values, line.inputs, line.help) == (values, inputs, False)


def test_group_entries_go_to_the_group():
    line = read("model=fit", "model.steps=4", "--model.span", "64")
    assert line.values == {"model": "fit"} and line.nested == {"model.steps": "4", "model.span": "64"}


def test_a_switch_takes_the_words_of_its_own_that_follow():
    options, _ = option_names()

    def values(*words):
        line = parse(words, options, GROUPS)
        return line.values, line.inputs

    assert values("--deinterlace", "film", "a.mp4") == ({"deinterlace": "film"}, ["a.mp4"])
    assert values("--deinterlace", "a.mp4") == ({"deinterlace": "on"}, ["a.mp4"])
    assert values("--overlay", "auto", "--no-scene") == ({"overlay": "auto", "scene": "off"}, [])
    assert values("--overwrite", "auto") == ({"overwrite": "on"}, ["auto"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fsp=60"], "no option 'fsp'.*\n.*fps"),
        (["--overwite"], "--overwrite"),
        (["model=fitt"], "no model 'fitt'.*\n.*fit"),
        (["model._target_=os.system"], "cannot be set"),
        (["model.a=${oc.env:HOME}"], "cannot be set"),
        (["fps=60", "fps=30"], "given twice"),
        (["--fps"], "needs a value"),
        (["hydra.run.dir=x"], "no option"),
        (["exp=99"], "power of two"),
    ],
)
def test_mistakes_are_told_with_the_nearest_option(words, message):
    with pytest.raises(UserError, match=f"(?s){message}"):
        read(*words)


def test_a_file_whose_name_looks_like_an_option_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("fps=60", "-x.mp4", "help", "status"):
        (tmp_path / name).touch()
        assert read(name).inputs == [name]


def test_help_is_asked_for():
    assert read("--help").help and read("-h").help and read("input=a", "help").help


def test_help_names_every_option():
    options, _ = option_names()
    missing = [name for name in options if f"{name}=" not in HELP and f"  {name} " not in HELP]
    assert not missing
