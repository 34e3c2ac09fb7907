"""What a stranger meets first: pins, Makefile, README. The Makefile runs here with a recording stand-in for uv."""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from interpolate import option_names
from vfi_pipeline.extras import EXTRAS

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")

# Import name -> distribution, where they differ.
DISTRIBUTION = {
    "PIL": "pillow", "cv2": "opencv-python-headless", "ffmpeg": "ffmpeg-python", "hydra": "hydra-core",
    "imageio_ffmpeg": "imageio-ffmpeg", "pytorch_lightning": "pytorch-lightning", "skimage": "scikit-image",
    "sklearn": "scikit-learn", "yaml": "pyyaml",
}  # fmt: skip


def pins(name: str) -> list[Requirement]:
    lines = (ROOT / name).read_text("utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith(("#", "-r"))]


def tracked() -> list[Path]:
    """The files that git tracks; without a repository, all that are not built or ignored."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == 0 and done.stdout:
        found = [ROOT / name for name in done.stdout.split("\0") if name]
    else:
        found = [path for path in ROOT.rglob("*") if not {".venv", "outputs", "__pycache__"} & set(path.parts)]
    return [path for path in found if path.is_file()]


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_each_requirement_has_one_exact_pin_on_each_python(name):
    names = {pin.name for pin in pins(name)}

    for python in PYTHONS:
        applies = [pin for pin in pins(name) if not pin.marker or pin.marker.evaluate({"python_version": python})]
        assert sorted(pin.name for pin in applies) == sorted(names)
    assert all(re.fullmatch(r"==[\d.]+", str(pin.specifier)) for pin in pins(name))


def test_everything_imported_is_required_and_nothing_else():
    required = {pin.name for pin in pins("requirements.txt")}
    imported = set()
    for path in [*(ROOT / "vfi_pipeline").rglob("*.py"), *(ROOT / "benchmarks").glob("*.py"), *ROOT.glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.split(".")[0])
    own = {"vfi_pipeline", "benchmarks", "setuptools", *(path.stem for path in ROOT.glob("*.py"))}
    foreign = {name for name in imported if name not in sys.stdlib_module_names} - own

    used = {DISTRIBUTION.get(name, name) for name in foreign}
    features = re.search(r"^FEATURES := (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    optional = {pin.partition("==")[0] for pin in features[1].split()}  # by `make features`, for who wants them
    hosts = {"vapoursynth", "comfy", "triton"}  # adapters are called by the first two; triton is PyTorch's, with CUDA
    optional |= {"scenedetect"}  # a detector beside ours, for who measures
    through_gradio = {"fastapi", "starlette", "uvicorn"}
    assert used <= required | optional | hosts | through_gradio
    # Reached through others: lpips needs the torchvision that fits torch, Lightning's TensorBoard logger tensorboardX.
    assert required - used <= {"torchvision", "tensorboardX", "gradio", "ray", "submitit"}


def bounds(extra: str) -> list[Requirement]:
    return pins(f"requirements/{extra}.txt")


def test_what_a_wheel_asks_for_is_what_is_pinned():
    pinned = {pin.name: pin for pin in pins("requirements.txt")}
    asked = [bound for extra in ("films", *EXTRAS) for bound in bounds(extra)]

    assert sorted(bound.name for bound in asked) == sorted(pinned)  # each in one list, and none forgotten
    for bound in asked:
        for pin in (pin for pin in pins("requirements.txt") if pin.name == bound.name):
            (version,) = pin.specifier
            assert bound.specifier.contains(version.version), pin
            assert sorted(part.operator for part in bound.specifier) in ([">="], ["<", ">="]), bound


@pytest.mark.parametrize("extra", EXTRAS)
def test_each_extra_names_the_modules_that_it_brings(extra):
    assert {DISTRIBUTION.get(name, name) for name in EXTRAS[extra]} == {bound.name for bound in bounds(extra)}


# ------------------------------------------------------------------------------------------------------- Makefile


@pytest.fixture
def machine(tmp_path):
    """A copy of what the Makefile reads, and a PATH on which ``uv`` only writes down how it was called."""
    if not shutil.which("make"):
        pytest.skip("no make")
    for name in ("Makefile", "requirements.txt", "requirements-dev.txt"):
        shutil.copy(ROOT / name, tmp_path)
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, body in {
        "uv": 'echo "$@" >> calls.txt',
        "python3": f'if [ "$1 $2" = "-m venv" ]; then mkdir -p "$3/bin"; ln -s {sys.executable} "$3/bin/python"; fi',
    }.items():
        (tools / name).write_text(f"#!/bin/sh\n{body}\n")
        (tools / name).chmod(0o755)
    outer = ("TORCH", "PYTHON", "MAKEFLAGS", "MAKELEVEL")  # of the make that may be running this test
    environment = {key: value for key, value in os.environ.items() if key not in outer}
    environment["PATH"] = f"{tools}:/usr/bin:/bin"

    def make(*words: str) -> list[str]:
        """Runs make; returns the calls of uv that it caused."""
        calls = tmp_path / "calls.txt"
        calls.unlink(missing_ok=True)
        subprocess.run(["make", *words], cwd=tmp_path, env=environment, check=True, capture_output=True, timeout=60)
        return calls.read_text().splitlines() if calls.exists() else []

    return tmp_path, make


def test_a_second_setup_installs_nothing(machine):
    _, make = machine

    assert len(make("setup")) == 1
    assert make("setup") == []


def test_changed_requirements_are_installed(machine):
    folder, make = machine
    make("setup")
    with (folder / "requirements.txt").open("a") as file:
        file.write("six==1.17.0\n")

    assert len(make("setup")) == 1
    assert make("setup") == []


def test_the_small_build_comes_from_pytorchs_index_and_is_remembered(machine):
    _, make = machine
    (call,) = make("setup", "TORCH=cpu")

    assert "--torch-backend=cpu" in call and "--reinstall" not in call
    assert make("setup") == []  # `make test` after `make demo TORCH=cpu`


def test_another_build_of_torch_replaces_the_installed_one(machine):
    _, make = machine
    make("setup")
    (call,) = make("setup", "TORCH=cpu")

    assert "--torch-backend=cpu" in call and "--reinstall-package=torch " in call + " "
    (call,) = make("setup", "TORCH=default")
    assert "--torch-backend" not in call and "--reinstall-package=torch " in call + " "


def test_without_pytorchs_index_the_ordinary_build_is_taken(machine):
    folder, make = machine
    refuse = '#!/bin/sh\necho "$@" >> calls.txt\ncase "$*" in *--torch-backend*) exit 1;; esac\n'
    (folder / "tools" / "uv").write_text(refuse)
    refused, taken = make("setup", "TORCH=cpu")

    assert "--torch-backend=cpu" in refused and "--torch-backend" not in taken
    assert make("setup") == []


@pytest.mark.parametrize("clips", [[], ["BENCH_CLIPS=my clips"]])
def test_the_words_of_make_bench_are_understood(clips):
    from hydra.core.override_parser.overrides_parser import OverridesParser

    if not shutil.which("make"):
        pytest.skip("no make")
    environment = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL")}
    shown = subprocess.run(
        ["make", "-n", "bench", *clips], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout
    words = shlex.split(shown.split("evaluate.py", 1)[1].replace("\\\n", " "))
    given = {override.key_or_group: override.value() for override in OverridesParser.create().parse_overrides(words)}

    assert given["model"] == "flow" and "minterpolate" in given["methods"]
    assert (given.get("input"), given.get("rates")) == (("my clips", [2, 8]) if clips else (None, None))


def test_help_names_every_target(machine):
    folder, _ = machine
    targets = set(re.findall(r"^([a-z]+):", (folder / "Makefile").read_text(), re.M))
    told = subprocess.run(["make"], cwd=folder, capture_output=True, text=True, check=True).stdout

    assert targets == set(re.findall(r"^  make ([a-z]+)", told, re.M))


def test_continuous_integration_runs_every_test():
    assert "make test" in (ROOT / ".ci" / "run").read_text()
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


# --------------------------------------------------------------------------------------------------------- README


def test_the_readmes_commands_exist():
    text = (ROOT / "README.md").read_text("utf-8")
    options, _ = option_names()
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))

    assert set(re.findall(r"^make ([a-z]+)", text, re.M)) <= targets
    for line in re.findall(r"^python interpolate\.py (.*?)(?:  +#.*)?$", text, re.M):
        assert {word.split("=")[0] for word in line.split() if "=" in word} <= options, line
    for script in re.findall(r"^python (\S+\.py)", text, re.M):
        assert (ROOT / script).is_file(), script


DOCUMENTS = sorted(str(path.relative_to(ROOT)) for folder in (ROOT, ROOT / "docs") for path in folder.glob("*.md"))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document):
    path = ROOT / document
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text("utf-8")):
        if "://" not in target:
            assert (path.parent / target).exists(), f"{document} links to {target}"


def test_no_tracked_file_names_a_path_of_its_authors_machine():
    private = re.compile(rb"/(?:work|root|home)/[a-z]|/tmp/[a-z]")
    own = Path(__file__).resolve()
    suffixes = {".py", ".md", ".yaml", ".toml", ".txt", ".json", ".sh", ""}
    found = [
        str(path.relative_to(ROOT))
        for path in tracked()
        if path.suffix in suffixes and path.resolve() != own and private.search(path.read_bytes())
    ]

    assert found == []
