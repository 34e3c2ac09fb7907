"""One table of options: parser, defaults, help, docs, completion and the typed dataclasses are made of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, fields
from fractions import Fraction as F
from pathlib import Path

import pytest
from PIL import Image

from interpolate import main
from vfi_pipeline.apps.options import as_film_options, asks_for_pictures, read_picture_options
from vfi_pipeline.errors import UserError
from vfi_pipeline.jobs.command_line import parse
from vfi_pipeline.jobs.completion import script
from vfi_pipeline.jobs.help import HELP, help_text
from vfi_pipeline.jobs.option_docs import BEGIN, END, options_section, with_section
from vfi_pipeline.jobs.option_fields import declared, frame_settings, names, option
from vfi_pipeline.jobs.option_kinds import SWITCH, one_of, real
from vfi_pipeline.jobs.option_table import MOTION, TABLE, Options, PictureOptions, table_of
from vfi_pipeline.jobs.options import read_options
from vfi_pipeline.models.shipped import kind_of, shipped

GROUPS = {"model": ("blend", "flow")}


@dataclass(frozen=True)
class More(Options):
    grain: float = option(
        real(0, 9, "0.5"), MOTION, "2", "grain on made frames", default="0.5", concerns="films", aliases=("noise",),
        changes_frames=True, shorthands={"grainy": "3"}, details="Of the source.",
    )  # fmt: skip
    tone: str | None = option(one_of("warm", "cold"), MOTION, "warm", "colour of the made frames", unset="as it is")
    flicker: bool = option(SWITCH, MOTION, "off", "do not even out flicker", default="true")


@dataclass(frozen=True)
class MorePictures(PictureOptions):
    zoom: F | None = option(real(1, 4, "0.5"), MOTION, "2", "slow zoom", concerns="pictures")


MORE = table_of(More, MorePictures)


class TestAnAddedOption:
    """One declaration is enough for each of the places where an option is known."""

    def read(self, *words):
        line = parse(words, names(MORE), GROUPS, MORE)
        return read_options(tuple(line.inputs), line.values, More)

    def test_is_parsed_with_its_aliases_shorthands_and_switches(self):
        assert self.read("a.mp4", "fps=60", "grain=1.5").grain == 1.5
        assert self.read("a.mp4", "fps=60", "--noise", "4").grain == 4
        assert self.read("a.mp4", "fps=60", "--grainy").grain == 3
        assert self.read("a.mp4", "fps=60", "tone=Cold").tone == "cold"
        assert self.read("a.mp4", "fps=60", "--no-flicker").flicker is False

    def test_is_checked(self):
        with pytest.raises(UserError, match="grain=10 is not a number from 0 to 9"):
            self.read("a.mp4", "fps=60", "grain=10")
        with pytest.raises(UserError, match="(?s)no option 'grian'.*grain"):
            self.read("a.mp4", "grian=1")
        with pytest.raises(UserError, match="no option 'grain'"):
            parse(["grain=1"], names(TABLE), GROUPS)

    def test_has_its_default_typed(self):
        options = self.read("a.mp4", "fps=60")
        assert (options.grain, options.tone, options.flicker) == (0.5, None, True)
        assert More(("a.mp4",)).grain == 0.5

    def test_keeps_a_job_from_going_on_with_another_value_if_frames_depend_on_it(self):
        grainy, plain = frame_settings(self.read("a.mp4", "fps=60", "--grainy")), frame_settings(Options(("a.mp4",)))
        assert grainy == {**plain, "grain": 3.0}
        assert plain == {
            "cut": "hold", "dedup": False, "overlay": True, "scale": 1.0, "precision": "auto", "allow_damaged": False,
            "segment": F(20),
        }  # fmt: skip

    def test_is_in_the_help(self):
        text = help_text(MORE)
        assert "\n  grain=2           grain on made frames (default: 0.5)\n" in text
        assert "\n  tone=warm         colour of the made frames (default: as it is)\n" in text
        assert "\n  flicker=off       do not even out flicker\n" in text
        assert "grain" not in HELP

    def test_is_in_the_docs(self):
        row = "| `grain=2` | `0.5` | films | grain on made frames. Of the source. Also `noise`. Short: `--grainy` (3) |"
        assert row in options_section(MORE).splitlines()
        assert "| `tone=warm` | as it is | both | colour of the made frames |" in options_section(MORE).splitlines()

    def test_is_completed(self, tmp_path):
        assert completed(tmp_path, "gra", MORE) == ["grain="]
        assert completed(tmp_path, "tone=", MORE) == ["warm", "cold"]
        assert completed(tmp_path, "--no-fl", MORE) == ["--no-flicker"]

    def test_belongs_to_films_or_pictures(self):
        with pytest.raises(UserError, match="grain= is for films, and duration= animates"):
            as_film_options({}, {"duration": "2", "grain": "1"}, MORE)
        assert asks_for_pictures({"zoom": "2"}, None, MORE) and not asks_for_pictures({"tone": "warm"}, None, MORE)


def test_every_option_is_in_the_help_and_the_docs():
    for row in TABLE:
        assert f"\n  {row.name}{'=' if row.example else ' '}" in HELP
        assert f"\n| `{row.name}{'=' if row.example else '`'}" in options_section()


def test_the_page_has_the_options_of_the_table(root):
    page = (root / "docs" / "interpolate.md").read_text("utf-8")
    assert with_section(page, options_section()) == page, "python -m vfi_pipeline.jobs.option_docs"


def test_a_section_replaces_the_one_before_and_leaves_the_rest():
    page = f"# Page\n\n{BEGIN}\nold\n{END}\n\nEnd.\n"
    assert with_section(page, "new") == f"# Page\n\n{BEGIN}\n\nnew\n\n{END}\n\nEnd.\n"
    for cut in (page.replace(BEGIN, ""), page.replace(END, ""), ""):
        with pytest.raises(UserError, match="no place for the options"):
            with_section(cut, "new")


def test_an_option_that_films_and_pictures_read_differently_is_listed_once():
    assert names(TABLE).count("size") == names(TABLE).count("fit_size") == 1
    assert read_options(("a.mp4",), {"fps": "60", "size": "2x"}).size == 2
    assert read_picture_options({"duration": "2", "size": "largest"}).size == "largest"
    assert not asks_for_pictures({"fps": "60", "size": "2x"}, None)


def test_no_name_means_two_options():
    words = [
        word for row in TABLE for word in (row.name, *row.aliases, *row.shorthands) if word not in ("fp16", "bf16")
    ]
    assert len(words) == len(set(words))


def test_a_row_of_the_docs_has_four_cells():
    rows = [line for line in options_section().splitlines() if line.startswith("| `")]
    assert len(rows) == len(TABLE) == len(set(names(TABLE)))
    assert all(line.replace("\\|", "").count("|") == 5 for line in rows)


def test_lines_of_the_help_fit_a_terminal():
    assert max(map(len, HELP.splitlines())) < 120


def test_fields_are_options_and_options_are_read_into_fields():
    assert [field.name for field in fields(Options)] == ["inputs", "style", *declared(Options)]
    read = read_options(("a.mp4",), {"fps": "60", "max_gap": "off", "segment": "1:30", "scene": "off"})
    assert (read.fps, read.max_gap, read.segment, read.scene) == (60, None, 90, False)
    pictures = read_picture_options({"t": "[0.5,1/3]", "easing": "smooth", "direction": "backward"})
    assert (pictures.places, pictures.smooth, pictures.backward) == ((F(1, 2), F(1, 3)), True, True)


@pytest.mark.parametrize("name", [row.name for row in declared(Options).values()])
def test_null_means_not_given(name):
    given = {"fps": "60"} if name != "fps" else {"multi": "2"}
    assert read_options(("a.mp4",), {**given, name: "null"}) == read_options(("a.mp4",), given)


# ------------------------------------------------------------------------------------------------------ completion


def completed(folder: Path, typed: str, table=TABLE, breaks: str = " \t\n\"'><=;|&(:", program="python interpolate.py"):
    """What bash suggests for the last word of ``program typed``, the way readline asks for it."""
    line = f"{program} {typed}"
    word = line.split(" ")[-1]
    last = word.rpartition("=")[2] if "=" in breaks else word
    test = f"""
{script("bash", GROUPS, table)}
COMP_WORDBREAKS=$TEST_BREAKS COMP_LINE=$TEST_LINE COMP_POINT=${{#TEST_LINE}} COMP_WORDS=(x "$TEST_LAST") COMP_CWORD=1
_vfi_interpolate interpolate.py "$TEST_LAST" x
[[ ${{#COMPREPLY[@]}} -eq 0 ]] || printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    told = subprocess.run(
        ["bash", "--norc", "-c", test], cwd=folder, capture_output=True, text=True, check=True,
        env={**os.environ, "TEST_BREAKS": breaks, "TEST_LINE": line, "TEST_LAST": last},
    )  # fmt: skip
    assert told.stderr == ""
    return told.stdout.splitlines()


@pytest.mark.parametrize(
    ("typed", "suggestions"),
    [
        ("input=a.mp4 cut=", ["hold", "blend"]),
        ("--cut=b", ["blend"]),
        ("--cut b", ["blend"]),
        ("model=f", ["flow"]),
        ("--model ", ["blend", "flow"]),
        ("deinterlace=f", ["film"]),
        ("overwrite=", ["true", "false"]),
        ("--overwrite sca", ["scale="]),
        ("--no-scene sca", ["scale="]),
        ("hold_", ["hold_first=", "hold_last="]),
        ("--hold-", ["--hold-first", "--hold-last"]),
        ("--no-", ["--no-scene", "--no-overlay", "--no-deinterlace", "--no-resume", "--no-check-space"]),
        ("stat", ["status"]),
        ("fps=", []),
        ("input=film", ["film one.mp4", "film-2.mkv"]),
        ("--mask film-", ["film-2.mkv"]),
        ("output=f i", ["input=", "input_fps="]),
        ("ma", ["maps=", "mask=", "max_gap=", "max_pixels=", "many.mp4"]),
    ],
)
def test_bash_suggests(tmp_path, typed, suggestions):
    for name in ("film one.mp4", "film-2.mkv", "many.mp4"):
        (tmp_path / name).touch()
    assert sorted(completed(tmp_path, typed)) == sorted(suggestions)


def test_where_an_equals_sign_breaks_no_words_the_whole_word_is_suggested(tmp_path):
    (tmp_path / "film.mp4").touch()
    assert completed(tmp_path, "cut=b", breaks=" \t\n") == ["cut=blend"]
    assert completed(tmp_path, "--cut=b", breaks=" \t\n") == ["--cut=blend"]
    assert completed(tmp_path, "input=fi", breaks=" \t\n") == ["input=film.mp4"]


def test_other_programs_of_python_are_left_to_bash(tmp_path):
    assert completed(tmp_path, "cut=", program="python train.py") == []


@pytest.mark.parametrize("program", ["vfi interpolate", "/usr/local/bin/vfi  interpolate"])
def test_the_installed_command_is_completed_as_well(tmp_path, program):
    assert completed(tmp_path, "input=a.mp4 cut=", program=program) == ["hold", "blend"]
    assert completed(tmp_path, "inter", program="vfi") == ["interpolate"]
    assert completed(tmp_path, "", program="vfi") == ["interpolate"]
    assert completed(tmp_path, "cut=", program="vfi train") == []


def test_help_and_completion_load_neither_torch_nor_hydra(root):
    code = """
import sys
from interpolate import main
assert main([sys.argv[1]] + sys.argv[2:]) == 0
heavy = {"torch", "numpy", "av", "hydra", "omegaconf", "yaml"} & set(sys.modules)
assert not heavy, heavy
"""
    for words in (["--help"], ["--completion", "bash"], ["completion=bash"]):
        told = subprocess.run(
            [sys.executable, "-c", code, *words], cwd=root, capture_output=True, text=True, check=False
        )
        assert told.returncode == 0, told.stderr
        assert "fps=" in told.stdout


def test_other_shells_are_told_apart(capsys):
    assert main(["--completion", "fish"]) == 2
    assert "completion=fish is not known.\n  Try: completion=bash." in capsys.readouterr().err


# --------------------------------------------------------------------------------------- defaults of an installation


@pytest.fixture
def own(root, tmp_path, monkeypatch):
    """Writes the defaults of an installation, beside the models of the program."""
    shutil.copytree(root / "conf" / "model", tmp_path / "conf" / "model")
    monkeypatch.setattr("vfi_pipeline.configuration.conf_folder", lambda: tmp_path / "conf")
    monkeypatch.chdir(tmp_path)
    text = (root / "conf" / "interpolate.yaml").read_text("utf-8")
    return lambda more: (tmp_path / "conf" / "interpolate.yaml").write_text(text + more)


def test_defaults_of_an_installation_take_the_place_of_the_tables(own, capsys):
    own("scale: 9\nscene: false\nmax_gap: off\n")
    assert main(["input=a.mp4", "fps=60"]) == 2
    assert "scale=9 is not a number from 0.05 to 4." in capsys.readouterr().err
    assert main(["input=a.mp4", "fps=60", "scale=1"]) == 3  # what is typed goes before; there is no film
    assert "a.mp4" in capsys.readouterr().err


def test_they_hold_for_pictures_as_well(own, capsys):
    for name in ("a.png", "b.png"):
        Image.new("RGB", (16, 12)).save(name)
    own("easing: bouncy\n")
    words = ["input=[a.png,b.png]", "duration=1", "output=o.png", "model=blend"]
    assert main(words) == 2 and "easing=bouncy is not known" in capsys.readouterr().err
    assert main([*words[:2], "output=o.mp4", "model=blend", "easing=smooth", "dry_run=true"]) == 0


def test_an_installation_cannot_set_what_is_no_option(own, capsys):
    own("sclae: 0.5\n")
    assert main(["input=a.mp4", "fps=60"]) == 2
    assert "'sclae'" in (told := capsys.readouterr().err) and "Try: scale" in told


def test_the_styles_that_ship_are_suggested(tmp_path):
    styles = [name for name in shipped() if kind_of(name) == "style"]
    (tmp_path / "film.png").touch()
    assert styles and sorted(completed(tmp_path, "style=")) == sorted([*styles, "film.png"])
