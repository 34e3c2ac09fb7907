"""The wheel as a user gets it: built, installed into an environment of its own, and run outside of the checkout; and
the base install without any of the extras' libraries."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from clips import make_clip
from packaging.requirements import Requirement
from PIL import Image
from setuptools import find_packages

from vfi_pipeline import __version__, extras
from vfi_pipeline.media import probe

pytestmark = pytest.mark.slow

PARTS = ("vfi_pipeline", "conf", "requirements", "pyproject.toml", "setup.py", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def built(root, tmp_path_factory) -> Path:
    """A wheel, built without network and beside a copy of the sources, so that no build/ is left in the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in PARTS:
        if (root / name).is_dir():
            shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(root / name, folder / name)
    (folder / "out").mkdir()
    code = "from setuptools.build_meta import build_wheel; build_wheel('out')"  # as pip does, which may be missing
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (wheel,) = (folder / "out").glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def home(built, tmp_path_factory) -> Path:
    """An environment with the wheel, which borrows its libraries from the running interpreter's."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, symlinks=os.name != "nt", with_pip=True)
    scheme = {"base": str(folder), "platbase": str(folder)}
    target = Path(sysconfig.get_path("purelib", "venv", scheme))
    scripts = Path(sysconfig.get_path("scripts", "venv", scheme))
    line = [str(scripts / "python"), "-m", "pip", "install", "--no-deps", "--no-index", str(built)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (target / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return scripts


def run(home: Path, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """``vfi`` of the environment, with nothing in its own that leads back to the checkout."""
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    return subprocess.run(
        [str(home / "vfi"), *words], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
    )


def test_the_wheel_holds_the_packages_the_configuration_and_the_weights(built, root):
    inside = set(zipfile.ZipFile(built).namelist())
    tracked = {str(path.relative_to(root)) for path in (root / "conf").rglob("*.yaml")}
    weights = {f"vfi_pipeline/weights/{path.name}" for path in (root / "vfi_pipeline" / "weights").iterdir()}
    modules = {str(path.relative_to(root)) for path in (root / "vfi_pipeline").rglob("*.py")}

    assert {f"vfi_pipeline/{name}" for name in tracked} <= inside
    assert weights | modules <= inside
    others = {name.split("/")[0] for name in inside} - {"vfi_pipeline"}
    assert all(name.endswith(".dist-info") for name in others)  # nothing else lands in site-packages
    assert len(find_packages(str(root), include=["vfi_pipeline*"])) > 10


def test_the_wheel_asks_for_what_films_need_and_no_more(built, root):
    name = next(name for name in zipfile.ZipFile(built).namelist() if name.endswith("/METADATA"))
    lines = zipfile.ZipFile(built).read(name).decode().splitlines()
    asked = [line.removeprefix("Requires-Dist: ") for line in lines if line.startswith("Requires-Dist: ")]
    base = {line for line in asked if "extra ==" not in line}
    films = (root / "requirements" / "films.txt").read_text().splitlines()

    wanted = {Requirement(line) for line in films if line and not line.startswith("#")}
    assert {Requirement(line) for line in base} == wanted
    for extra in (*extras.EXTRAS, "all"):
        assert any(f'extra == "{extra}"' in line for line in asked)
    count = sum('extra == "all"' in line for line in asked)
    assert count == sum(any(f'extra == "{name}"' in line for name in extras.EXTRAS) for line in asked)


def test_the_command_makes_a_film_outside_of_the_checkout(home, tmp_path):
    make_clip(tmp_path / "a.mkv", frames=6, audio=("mono",))
    told = run(home, "--version", cwd=tmp_path)
    assert told.stdout == f"vfi-pipeline {__version__}\n", told.stderr

    done = run(
        home, "interpolate", "input=a.mkv", "fps=50", "model.guide_span=64", "model.network_span=64", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert probe.probe(tmp_path / "a_50fps.mkv").video.rate == 50

    refused = run(home, "interpolate", "input=a.mkv", cwd=tmp_path)
    assert refused.returncode == 2 and ".py" not in refused.stderr


def test_the_doctor_finds_the_wheels_own_parts(home, tmp_path):
    done = run(home, "doctor", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    facts = json.loads(done.stdout)

    assert facts["ok"] and facts["trial"]["frames"] == 12
    assert Path(facts["conf"]) == Path(facts["conf"]).parent.parent / "vfi_pipeline" / "conf"
    assert str(home.parent) in facts["conf"]


def test_train_and_evaluate_start_from_the_wheel(home, tmp_path):
    shown = run(home, "train", "--cfg", "job", cwd=tmp_path)
    assert shown.returncode == 0 and "optimizer:" in shown.stdout, shown.stderr
    assert run(home, "train", "nosuch=1", cwd=tmp_path).stderr.count("vfi train --cfg job") == 1
    asked = run(home, "evaluate", "--cfg", "job", cwd=tmp_path)
    assert asked.returncode == 0 and "lpips: true" in asked.stdout, asked.stderr


BLOCK = """
import importlib.abc, runpy, sys

class Missing(importlib.abc.MetaPathFinder):
    blocked = frozenset(sys.argv.pop(1).split(","))

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.blocked:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name in Missing.blocked else found(name, package)
sys.argv[0] = "vfi"
runpy.run_module("vfi_pipeline", run_name="__main__", alter_sys=True)
"""


def base(root: Path, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """``vfi`` where no library of an extra can be imported, nor what those bring."""
    blocked = {module for modules in extras.EXTRAS.values() for module in modules} | {"lightning_fabric", "pandas"}
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-c", BLOCK, ",".join(sorted(blocked)), *words]
    return subprocess.run(line, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize(
    "words",
    [
        ["interpolate", "input=a.mkv", "fps=50", "model.guide_span=64", "model.network_span=64"],
        ["interpolate", "input=a.mkv", "fps=50", "style=mosaic", "style_size=64", "model=blend", "output=b.mkv"],
        ["interpolate", "input=[a.png,b.png]", "duration=0.2", "model=flow", "output=c.mp4"],
        ["doctor"],
        ["evaluate", "input=a.mkv", "model=blend", "methods=[hold]", "rates=[2]", "output=e"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_the_base_needs_none_of_the_extras(root, tmp_path, words):
    make_clip(tmp_path / "a.mkv", frames=6)
    for number, name in enumerate(("a.png", "b.png")):
        Image.linear_gradient("L").resize((48, 36)).rotate(90 * number).convert("RGB").save(tmp_path / name)
    done = base(root, *words, cwd=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr


def test_training_without_its_extra_gives_the_line_to_type(root, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(root)}
    code = BLOCK.replace('"vfi_pipeline", run_name', '"vfi_pipeline.commands.train", run_name')
    line = [sys.executable, "-c", code, "pytorch_lightning,wandb", "data=synthetic", "hydra.run.dir=run"]
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)

    assert done.returncode == 4, done.stdout + done.stderr
    said = (done.stdout + done.stderr).strip().splitlines()
    assert said[-2:] == [
        "Training needs pytorch_lightning, wandb, which are not installed.",
        '  Try: pip install "vfi-pipeline[train]"',
    ]
