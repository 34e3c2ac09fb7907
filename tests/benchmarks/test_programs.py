"""The programs of benchmarks/ find the scripts beside them, and every one can be imported."""

import importlib
import inspect
import pkgutil

import pytest

import benchmarks
from benchmarks import large, reproduce, style
from benchmarks.words import words_of


def test_the_scripts_that_are_started_are_those_of_the_checkout(root):
    assert reproduce.TRAIN == root / "train.py" and reproduce.TRAIN.is_file()
    assert style.SCRIPT == large.ROOT / "interpolate.py" == root / "interpolate.py" and style.SCRIPT.is_file()


@pytest.mark.parametrize("name", [module.name for module in pkgutil.iter_modules(benchmarks.__path__)])
def test_every_program_can_be_imported(name):
    assert importlib.import_module(f"benchmarks.{name}").__doc__


PROGRAMS = [
    name
    for _, name, _ in pkgutil.iter_modules(benchmarks.__path__)
    if hasattr(importlib.import_module(f"benchmarks.{name}"), "main")
]


def run_main(name, words, monkeypatch):
    """The program's exit, as of ``python -m benchmarks.NAME WORDS``."""
    main = importlib.import_module(f"benchmarks.{name}").main
    monkeypatch.setattr("sys.argv", [name, *words])
    with pytest.raises(SystemExit) as exit_of_program:
        main(words) if inspect.signature(main).parameters else main()
    return exit_of_program.value.code


@pytest.mark.parametrize("name", PROGRAMS)
def test_help_is_printed_and_nothing_is_made(name, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    assert run_main(name, ["--help"], monkeypatch) == 0
    printed = capsys.readouterr().out
    assert "usage:" in printed or f"python -m benchmarks.{name}" in printed
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_option_that_is_none_is_no_name_of_a_file(name, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    assert run_main(name, ["--nonsense"], monkeypatch) == 2
    assert capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_words_are_taken_as_they_stand_and_missing_ones_are_named(capsys):
    assert words_of("usage", ["a.mp4", "style=mosaic"], least=1, needs=["style"]) == ["a.mp4", "style=mosaic"]
    with pytest.raises(SystemExit) as stopped:
        words_of("usage", ["a.mp4"], least=2, needs=["style"])
    assert stopped.value.code == 2
    assert "style= is missing" in (said := capsys.readouterr().err) and "at least 2" in said
