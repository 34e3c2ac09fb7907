"""The command ``vfi``: its subcommands, what it says of mistakes, and what it needs."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from vfi_pipeline import commands, extras
from vfi_pipeline.commands.wording import in_words_of, log_in_words_of

ROOT = Path(__file__).resolve().parents[2]


def vfi(*words: str, **settings) -> subprocess.CompletedProcess[str]:
    """``vfi`` in a process of its own."""
    line = [sys.executable, "-m", "vfi_pipeline", *words]
    return subprocess.run(line, capture_output=True, text=True, cwd=ROOT, timeout=200, **settings)


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_every_subcommand_is_there(name):
    assert importlib.util.find_spec(commands.COMMANDS[name].module) is not None
    assert f"  vfi {name} " in commands.help_text()


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_every_subcommand_tells_its_options(name):
    done = vfi(name, "--help")

    assert done.returncode == 0, done.stderr
    assert name in done.stdout and not done.stderr
    assert f"vfi {name}" in done.stdout and ".py" not in done.stdout


def test_help_loads_nothing():
    code = """
import sys
from vfi_pipeline.commands import main
assert main(["--help"]) == 0 and main(["--version"]) == 0 and main(["nonsense"]) == 2
heavy = {"torch", "numpy", "av", "hydra", "omegaconf", "yaml"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "vfi interpolate input=film.mkv fps=60" in done.stdout


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (["evalute"], "vfi evaluate"),
        (["input=a b.mkv", "fps=60"], "vfi interpolate 'input=a b.mkv' fps=60"),
        (["film.mkv", "fps=60"], "vfi interpolate film.mkv fps=60"),
        (["--fps", "60"], "vfi interpolate --fps 60"),
    ],
)
def test_what_is_no_command_is_told_apart(words, remedy, capsys):
    assert commands.main(words) == 2
    assert capsys.readouterr().err == f"error: {words[0]} is no command.\n  Try: {remedy}\n"


def test_messages_name_the_program_as_it_was_called(capsys):
    assert commands.main(["interpolate"]) == 2
    assert "Try: vfi interpolate input=clip.mp4 fps=60" in capsys.readouterr().err
    assert commands.main(["interpolate", "--help"]) == 0
    told = capsys.readouterr().out
    assert "vfi interpolate input=film.mp4 fps=60 style=mosaic" in told and ".py" not in told


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("python interpolate.py a.mkv", "vfi interpolate a.mkv"),
        ("FILE of train.py", "FILE of vfi train"),
        ("my/train.py and re-train.py stay", "my/train.py and re-train.py stay"),
    ],
)
def test_only_the_scripts_are_renamed(text, said):
    assert in_words_of(("vfi", "interpolate"), text) == said
    assert in_words_of(("python", "interpolate.py"), text) == text


@pytest.mark.parametrize("name", ["train", "evaluate"])
def test_scripts_name_themselves(name):
    line = [sys.executable, f"{name}.py", "--help"]
    said = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, timeout=200, check=True).stdout

    assert f"python {name}.py" in said and "vfi " not in said


def test_lines_of_the_log_name_the_program_as_it_was_called(caplog):
    for program, said in (("vfi", "train"), "vfi train"), (("python", "train.py"), "python train.py"):
        caplog.clear()
        log_in_words_of(program)
        logging.getLogger("x").warning("%s goes on", "python train.py ckpt_path=a")
        assert caplog.messages == [f"{said} ckpt_path=a goes on"]


@pytest.mark.parametrize("name", ["tune", "work", "doctor", "app"])
def test_errors_of_every_subcommand_name_the_command(name, monkeypatch, capsys):
    def fail(*_):
        raise extras.UserError("It is so.", "python interpolate.py input=a.mkv, or weights= of train.py.")

    monkeypatch.setattr(importlib.import_module(commands.COMMANDS[name].module), "main", fail)
    assert commands.main([name]) == 2
    assert capsys.readouterr().err.endswith("Try: vfi interpolate input=a.mkv, or weights= of vfi train.\n")


def test_training_starts_and_names_itself():
    done = vfi("train", "nosuch=1")

    assert done.returncode == 2
    assert "Try: vfi train --cfg job" in done.stderr


def test_evaluation_starts_and_names_itself():
    done = vfi("evaluate", "nosuch=1")

    assert done.returncode == 2
    assert "There is no option 'nosuch'" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("extra", extras.EXTRAS)
def test_a_missing_extra_gives_the_line_to_type(extra, monkeypatch):
    modules = extras.EXTRAS[extra]
    monkeypatch.setattr(extras.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(extras.UserError) as caught:
        extras.require(extra, "vfi x")

    assert str(caught.value).splitlines() == [
        f"vfi x needs {', '.join(modules)}, which {'is' if len(modules) == 1 else 'are'} not installed.",
        f'  Try: pip install "vfi-pipeline[{extra}]"',
    ]


def test_an_import_that_failed_on_the_way_is_told_as_well():
    outer = RuntimeError("could not build it")
    outer.__cause__ = ModuleNotFoundError("No module named 'skimage.data'", name="skimage.data")

    assert 'Try: pip install "vfi-pipeline[train]"' in str(extras.explained(outer))
    assert extras.explained(ModuleNotFoundError("x", name="own_module")) is None
    assert extras.explained(RuntimeError("x")) is None
