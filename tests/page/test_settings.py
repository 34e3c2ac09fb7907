from __future__ import annotations

import dataclasses
from dataclasses import replace

import pytest

from vfi_pipeline.errors import UserError
from vfi_pipeline.jobs.command_line import parse
from vfi_pipeline.jobs.option_fields import names
from vfi_pipeline.jobs.option_table import TABLE
from vfi_pipeline.jobs.options import read_options
from vfi_pipeline.page.settings import (
    PRESETS,
    PictureSettings,
    Settings,
    allowed_options,
    more_options,
    preset_of,
    with_preset,
    words_of,
)

KNOWN = frozenset(names(TABLE)) - {"model"}


def options_of(settings: Settings):
    texts = {name: text for name, text in settings.texts().items() if name != "model"}
    return read_options(("a.mp4",), texts)


def test_the_presets_are_what_their_names_say():
    made = {name: options_of(settings) for name, settings in PRESETS.items()}

    assert made["60 fps"].fps == 60
    assert made["2x frames"].multi == 2
    assert made["Slow motion 4x"].slowmo == 4 and made["Slow motion 4x"].audio == "stretch"
    assert made["Anime on twos"].dedup and made["Anime on twos"].multi == 2
    assert made["Archive"].codec == "ffv1" and PRESETS["Archive"].suffix == ".mkv"


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_seen_in_the_controls_and_recognised(name):
    assert preset_of(with_preset(Settings(amount="17", size="64x64", start="1", more="crf=20"), name)) == name


def test_a_preset_leaves_what_it_does_not_speak_of():
    kept = with_preset(Settings(size="64x64", start="1", end="2", more="crf=20", model="blend"), "Archive")

    assert (kept.size, kept.start, kept.end, kept.more, kept.model) == ("64x64", "1", "2", "crf=20", "blend")


def test_changed_controls_are_no_preset():
    assert preset_of(Settings(amount="50")) is None


def test_empty_controls_leave_the_programs_defaults():
    assert Settings().texts() == {"fps": "60", "model": "flow"}


@pytest.mark.parametrize(
    "wrong",
    [{"timing": "at"}, {"timing": "input"}, {"model": "node"}, {"container": "sh"}, {"codec": "libx264 -f tee"},
     {"sound": "loud"}, {"amount": " "}],
)  # fmt: skip
def test_controls_take_only_their_choices(wrong):
    with pytest.raises(UserError):
        dataclasses.replace(Settings(), **wrong).texts()


@pytest.mark.parametrize(
    "text",
    [
        "output=/etc/x.mp4", "input=/etc/passwd", "report=/x", "mask=/etc/passwd", "weights=/x", "cuts=/x",
        "style=/etc/passwd", "maps=/x", "points=/x", "preview=/x.png", "sheet=/x.png", "overwrite=true", "name=../../x",
        "check_space=off", "max_pixels=99999999999", "--output=/x", "model.weights=/x", "model=flow", "dry_run=true",
        "crf", "-", "unknown=1", "crf=18 'open",
    ],
)  # fmt: skip
def test_further_options_cannot_name_files_or_lift_limits(text):
    with pytest.raises(UserError):
        more_options(text)


def test_no_option_that_reads_a_file_is_allowed():
    filed = {row.name for row in TABLE if row.kind.file}

    assert filed >= {"mask", "weights", "cuts", "output", "report", "input", "style"}
    assert not filed & set(allowed_options())


def test_further_options_are_read_as_typed():
    assert more_options("crf=18 --scene-threshold=0.4 'preset=very slow'") == {
        "crf": "18", "scene_threshold": "0.4", "preset": "very slow",
    }  # fmt: skip
    assert Settings(more="crf=18").texts()["crf"] == "18"


def test_an_option_cannot_contradict_its_control():
    with pytest.raises(UserError, match="given twice"):
        Settings(size="64x64", more="size=32x32").texts()


@pytest.mark.parametrize("name", ["-i.mp4", "$(touch x).mp4", "a=b.mp4", "[x].mp4", "a b\n.mp4", "--help", "<i>.mp4"])
def test_a_jobs_words_mean_what_was_chosen_whatever_the_film_is_called(name, tmp_path):
    words = words_of([f"/films/{name}"], Settings().texts(), f"/films/{name}.mkv", "/q/1.report.json")
    line = parse(words, KNOWN, {"model": ("flow", "blend")})

    assert line.inputs == [f"/films/{name}"]
    assert line.values == {
        "fps": "60", "model": "flow", "output": f"/films/{name}.mkv", "report": "/q/1.report.json",
    }  # fmt: skip
    assert not line.help


def test_what_a_preview_shows_does_not_depend_on_the_file():
    twice = Settings(timing="multi", amount="2")
    assert twice.picture_texts() == {"multi": "2", "model": "flow"}
    assert PRESETS["Archive"].picture_texts() == twice.picture_texts()
    assert (
        replace(twice, sound="drop", codec="hevc", container="mkv", more="crf=18").picture_texts()
        == twice.picture_texts()
    )
    for other in ({"dedup": True}, {"size": "2x"}, {"start": "1"}, {"more": "scene_threshold=0.4"}, {"model": "blend"}):
        assert replace(twice, **other).picture_texts() != twice.picture_texts()


def test_pictures_have_their_options():
    texts = PictureSettings(loop=True, smooth=True).texts()

    assert texts == {"duration": "2", "fps": "30", "model": "fit", "loop": "on", "easing": "smooth"}
    with pytest.raises(UserError):
        PictureSettings(model="hold").texts()
    with pytest.raises(UserError):
        PictureSettings(container="exe").texts()
