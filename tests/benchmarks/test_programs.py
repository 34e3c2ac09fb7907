"""The programs of benchmarks/ find the scripts beside them, and every one can be imported."""

import importlib
import pkgutil

import pytest

import benchmarks
from benchmarks import large, reproduce, style


def test_the_scripts_that_are_started_are_those_of_the_checkout(root):
    assert reproduce.TRAIN == root / "train.py" and reproduce.TRAIN.is_file()
    assert style.SCRIPT == large.ROOT / "interpolate.py" == root / "interpolate.py" and style.SCRIPT.is_file()


@pytest.mark.parametrize("name", [module.name for module in pkgutil.iter_modules(benchmarks.__path__)])
def test_every_program_can_be_imported(name):
    assert importlib.import_module(f"benchmarks.{name}").__doc__
