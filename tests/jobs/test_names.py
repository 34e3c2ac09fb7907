"""Where an output goes, and what it must not replace."""

from __future__ import annotations

import os
import re
from fractions import Fraction as F
from pathlib import Path

import pytest

from vfi_pipeline.errors import ENVIRONMENT, UserError
from vfi_pipeline.jobs import names
from vfi_pipeline.jobs.options import Options, read_options
from vfi_pipeline.jobs.sources import Film


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "films").mkdir()
    (tmp_path / "done").mkdir()
    return tmp_path


def film(text):
    path = Path(text).absolute()
    return Film(path, (), path.stem, path.parent)


def target(options, rate=F(60), multi=F(2), suffix=".mkv", many=False, source="films/a.b.MOV"):
    return names.target_of(film(source), options, rate, multi, "flow", suffix, many)


def options(**given):
    return read_options(("a.mp4",), {"fps": "60", **given} if "slowmo" not in given else given)


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({}, "films/a.b_60fps.mkv"),  # beside the input
        ({"slowmo": "2.5"}, "films/a.b_slow2.5x.mkv"),
        ({"output": "done"}, "done/a.b_60fps.mkv"),
        ({"output": "new/"}, "new/a.b_60fps.mkv"),
        ({"output": "x.mp4"}, "x.mp4"),
        ({"output": "done/../y.webm"}, "y.webm"),
        ({"output": "frames/%06d.png"}, "frames/%06d.png"),
        ({"output": "done", "name": "{model}-{multi}x-{folder}-{source_ext}.{ext}"}, "done/flow-2x-films-mov.mkv"),
    ],
)
def test_outputs_get_their_names(here, given, path):
    assert target(options(**given)) == here / path


@pytest.mark.parametrize(
    ("rate", "multi", "name"),
    [(F(60000, 1001), F(2), "59.94-2"), (F(25, 2), F(5, 2), "12.5-2.5"), (F(24000, 1001), F(1, 3), "23.976-0.333")],
)
def test_rates_and_factors_are_written_short(rate, multi, name):
    assert target(options(name="{fps}-{multi}.{ext}"), rate, multi).name == f"{name}.mkv"


def test_the_users_home_is_written_as_a_tilde(here, monkeypatch):
    monkeypatch.setenv("HOME", str(here / "done"))
    assert target(options(output="~/x.mp4")) == here / "done" / "x.mp4"


@pytest.mark.parametrize("text", ["clip", "clip."])
def test_a_name_without_a_container_is_refused_with_both_ways(text):
    with pytest.raises(UserError, match="no ending") as caught:
        target(options(output=text))
    assert f"output={text}.mkv" in caught.value.args[1] and f"output={text}/ " in caught.value.args[1]


def test_several_films_do_not_go_into_one_file(here):
    with pytest.raises(UserError, match="several inputs") as caught:
        target(options(output="x.mp4"), many=True)
    assert caught.value.args[1].startswith("output=x/ ")
    with pytest.raises(UserError, match="several inputs"):
        names.refuse_one_file(options(output="x.mp4"))
    for folder in ("done", "new/"):
        names.refuse_one_file(options(output=folder))
    names.refuse_one_file(options())


def test_a_name_leaves_room_for_what_is_put_beside_it():
    fits = "x" * (255 - 16 - 4)
    assert target(options(output=f"{fits}.mkv")).stem == fits
    with pytest.raises(UserError, match="too long.*240 bytes"):
        target(options(output=f"{fits}x.mkv"))
    with pytest.raises(UserError, match="too long"):  # bytes are what counts, not letters
        target(options(output="\u00e9" * 120 + ".mkv"))


def paths(*texts):
    return [film(text) for text in texts]


@pytest.mark.parametrize(
    ("given", "sources", "groups"),
    [
        ({}, ["p/a.mp4", "p/a.mkv", "q/a.mp4"], [["a.mp4", "a.mkv"]]),  # beside the inputs
        ({"output": "done"}, ["p/a.mp4", "q/a.mp4", "p/b.mp4"], [["a.mp4", "a.mp4"]]),
        ({"output": "done", "name": "{folder}-{stem}.{ext}"}, ["p/a.mp4", "q/a.mp4"], []),
        ({"output": "done", "name": "{stem}.{source_ext}.{ext}"}, ["p/a.mp4", "p/a.mkv"], []),
        ({"output": "done", "name": "x.{ext}"}, ["p/a.mp4", "p/b.mkv"], [["a.mp4", "b.mkv"]]),
    ],
)
def test_films_that_may_get_one_name_are_found_without_opening_them(given, sources, groups):
    found = names.suspects(paths(*sources), options(**given))
    assert [[film.path.name for film in group] for group in found] == groups


@pytest.mark.parametrize(
    ("template", "sources"),
    [
        ("{stem}_{fps}fps.{ext}", ["p/a.mp4", "p/a.mkv"]),
        ("{stem}_{fps}fps.{ext}", ["p/a.mp4", "q/a.mp4"]),
        ("{stem}_{fps}fps.{ext}", ["p/a.mp4", "p/a.mkv", "q/a.mp4"]),
        ("smooth.{ext}", ["p/a.mp4", "p/b.mp4"]),
    ],
)
def test_the_template_that_is_proposed_tells_the_films_apart(template, sources):
    def targets(template):
        chosen = options(output="done", name=template)
        return {film: target(chosen, source=str(film.path)) for film in paths(*sources)}

    with pytest.raises(UserError, match="would both become") as caught:
        names.refuse_one_name(targets(template), options(output="done", name=template))
    proposed = re.fullmatch("name='(.*)'", caught.value.args[1])[1]
    assert len(set(targets(proposed).values())) == len(sources)
    names.refuse_one_name(targets(proposed), options(output="done", name=proposed))


def test_films_that_no_template_tells_apart_go_one_by_one():
    sources = paths("p/x/a.mp4", "q/x/a.mp4")
    with pytest.raises(UserError) as caught:
        names.refuse_one_name(dict.fromkeys(sources, Path("done/a.mkv")), options(output="done"))
    assert caught.value.args[1] == "one folder at a time, each with an output= of its own."


@pytest.mark.parametrize(
    ("name", "is_pattern"),
    [("%d.png", True), ("a%06d.tif", True), ("%06d.mp4", False), ("50%.png", False), ("a.png", False)],
)
def test_numbered_images_are_a_pattern(name, is_pattern):
    assert names.is_pattern(Path(name)) is is_pattern


def test_what_an_output_would_replace(here):
    for name in ("f.mp4", "f1.png", "f000002.png", "fx.png", "f3.jpg", "af1.png"):
        (here / name).touch()
    (here / "gone.mp4").symlink_to("nowhere")
    assert names.existing(here / "f.mp4") == [here / "f.mp4"]
    assert names.existing(here / "new.mp4") == []
    assert names.existing(here / "gone.mp4") == [here / "gone.mp4"]  # a link that leads nowhere is there
    assert sorted(path.name for path in names.existing(here / "f%06d.png")) == ["f000002.png", "f1.png"]
    assert names.existing(here / "missing" / "%d.png") == []
    with pytest.raises(UserError, match="2 images like"):
        names.refuse_overwriting(here / "f%06d.png")
    with pytest.raises(UserError, match="exists already") as caught:
        names.refuse_overwriting(here / "f.mp4")
    assert caught.value.code == ENVIRONMENT
    names.refuse_overwriting(here / "new.mp4")


@pytest.mark.parametrize("link", [os.symlink, os.link, None])
def test_the_input_is_not_replaced_under_any_name(here, link):
    source = here / "a.mp4"
    source.touch()
    other = source if link is None else here / "b.mp4"
    if link is not None:
        link(source, other)
    with pytest.raises(UserError, match=f"output {other.name} is the input a.mp4 itself"):
        names.refuse_input_as_output(other, [here / "missing.mp4", source])
    names.refuse_input_as_output(here / "c.mp4", [source])


def test_an_image_of_the_input_is_not_replaced_by_a_numbered_one(here):
    (here / "f1.png").touch()
    with pytest.raises(UserError, match="is the input f1.png itself"):
        names.refuse_input_as_output(here / "f%06d.png", [here / "f1.png"])


def test_folders_are_made_where_the_words_say_so(here):
    names.make_folder(here / "new" / "a.mp4", options(output="new/"))
    assert (here / "new").is_dir()
    names.make_folder(here / "frames" / "%d.png", options(output="frames/%d.png"))
    assert (here / "frames").is_dir()
    with pytest.raises(UserError, match="does not exist") as caught:
        names.make_folder(here / "typo here" / "a.mp4", options(output="typo here/a.mp4"))
    assert caught.value.args[1] == f"mkdir -p '{here / 'typo here'}'" and not (here / "typo here").exists()


def test_a_free_name_is_the_next_number(here):
    assert names.free_name(here / "a.json") == here / "a.json"
    for name in ("a.json", "a-2.json"):
        (here / name).touch()
    (here / "a-3.json").symlink_to("nowhere")
    assert names.free_name(here / "a.json") == here / "a-4.json"


def test_options_without_an_output_leave_it_to_the_film():
    assert target(Options(("a.mp4",), fps=F(60))).name == "a.b_60fps.mkv"
