"""Keeps the picture in docs/architecture.md true: who may import whom, and which module is a library's one door."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "vfi_pipeline"

# Library -> the places that may import it. A folder ends with a slash.
DOORS = {
    "torchdiffeq": ["ode/flow_map.py"],
    "scipy": ["models/style_optimisation.py"],
    "ffmpeg": ["media/ffmpeg.py"],
    "imageio_ffmpeg": ["media/ffmpeg.py"],
    "av": ["media/"],
    "wandb": ["training/loggers.py"],
    "lpips": ["nets/perceptual.py"],
    "h5py": ["nets/features.py"],
    "gradio": ["page/"],
    "uvicorn": ["page/server.py"],
    "starlette": ["page/server.py"],
    "fastapi": ["page/server.py"],
    "ray": ["jobs/ray_cluster.py"],
    "submitit": ["jobs/slurm.py"],
    "vapoursynth": ["adapters/vapoursynth.py"],
    "comfy": ["adapters/comfyui.py"],
    "cv2": ["data/", "evaluation/dis.py", "shots/", "synthesis/"],
    "hydra": ["configuration.py", "commands/"],  # whatever else is built gets objects
    "omegaconf": ["configuration.py", "commands/"],
}


def picture() -> dict[str, int]:
    """Package -> its line's number, read from the picture in docs/architecture.md."""
    levels = {}
    for line in (ROOT / "docs" / "architecture.md").read_text("utf-8").splitlines():
        if match := re.match(r"^    (\d+) .*?\s{2,}(\S.*)$", line):
            for name in match.group(2).split():
                levels[name] = int(match.group(1))
    return levels


def imports(source: str, module: str) -> Iterator[str]:
    """Absolute names of everything that ``source`` imports, anywhere in the file; ``module`` is its own dotted name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: -node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            # ``from vfi_pipeline import media`` imports vfi_pipeline.media.
            yield from (f"{base}.{alias.name}" for alias in node.names)


def breaches(source: str, module: str, levels: dict[str, int]) -> list[str]:
    """What ``source`` imports against the picture, as sentences."""
    own = module.split(".")[1]
    found = []
    for name in imports(source, module):
        parts = name.split(".")
        if parts[0] != PACKAGE or len(parts) < 2 or parts[1] in (own, "errors"):
            continue
        if parts[1] in levels and levels[parts[1]] >= levels[own]:
            found.append(f"{module} (line {levels[own]}) imports {name} (line {levels[parts[1]]})")
    return found


LEAVES = ("errors", "extras", "configuration", "starting", "threads")
"""Modules that every layer may import, as they import none themselves."""


@lru_cache
def imported() -> dict[str, set[str]]:
    """File -> top names of what it imports."""
    return {
        path.relative_to(ROOT / PACKAGE).as_posix(): {
            name.split(".")[0] for name in imports(path.read_text("utf-8"), dotted(path))
        }
        for path in modules()
    }


def modules() -> list[Path]:
    return sorted((ROOT / PACKAGE).rglob("*.py"))


def dotted(path: Path) -> str:
    relative = path.relative_to(ROOT).with_suffix("")
    return ".".join(relative.parts)


LEVELS = picture()


def test_the_picture_names_every_package():
    packages = {path.parent.name for path in (ROOT / PACKAGE).glob("*/__init__.py")}

    assert packages == set(LEVELS)


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_imports_point_down_the_picture(path):
    module = dotted(path)
    if module.split(".")[1] in LEVELS:
        assert breaches(path.read_text("utf-8"), module, LEVELS) == []


@pytest.mark.parametrize("leaf", LEAVES)
def test_what_everyone_imports_imports_no_layer(leaf):
    found = set(imports((ROOT / PACKAGE / f"{leaf}.py").read_text("utf-8"), f"{PACKAGE}.{leaf}"))

    assert {name.split(".")[1] for name in found if name.startswith(f"{PACKAGE}.")} <= set(LEAVES)


@pytest.mark.parametrize(
    ("module", "source", "count"),
    [
        ("vfi_pipeline.geometry.warp", "import vfi_pipeline.ode.velocity", 1),  # upward
        ("vfi_pipeline.geometry.warp", "from vfi_pipeline import models", 1),
        ("vfi_pipeline.geometry.warp", "from ..ode import flow_map", 1),
        ("vfi_pipeline.geometry.warp", "def f():\n    import vfi_pipeline.jobs", 1),  # hidden
        ("vfi_pipeline.losses.penalties", "from vfi_pipeline.metrics import psnr", 1),  # beside
        ("vfi_pipeline.ode.flow_map", "from vfi_pipeline.geometry import warp, sample", 0),  # down
        ("vfi_pipeline.geometry.warp", "from vfi_pipeline.geometry.grid import pixel_grid", 0),
        ("vfi_pipeline.geometry.warp", "from vfi_pipeline.errors import UserError", 0),
        ("vfi_pipeline.geometry.warp", "from . import grid", 0),
    ],
)
def test_the_reader_of_imports_sees_each_way_of_writing_them(module, source, count):
    assert len(breaches(source, module, LEVELS)) == count


@pytest.mark.parametrize("library", DOORS)
def test_each_library_has_its_door(library):
    used = {path for path, names in imported().items() if library in names}

    assert [user for user in sorted(used) if not user.startswith(tuple(DOORS[library]))] == []


def test_the_package_does_not_know_the_programs_that_measure_it():
    assert [user for user, names in imported().items() if "benchmarks" in names] == []


def test_grid_sample_is_called_in_one_place():
    callers = [
        dotted(path)
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute | ast.Name)
        and (node.attr if isinstance(node, ast.Attribute) else node.id) == "grid_sample"
    ]

    assert callers == ["vfi_pipeline.geometry.warp"]


def circle(uses: dict[str, set[str]]) -> list[str]:
    """Modules of which each imports the next and the last the first; empty if there are none."""
    try:
        TopologicalSorter(uses).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def used_modules(source: str, own: str, names: set[str]) -> set[str]:
    """Which of the modules ``names`` the module ``own`` imports; a package stands for its ``__init__``, which is what
    ``from package import name`` reads."""
    found = set()
    for word in imports(source, own):
        # ``from package.module import name`` reads as package.module.name.
        for name in (word, word.rpartition(".")[0]):
            found |= {name, f"{name}.__init__"} & names
            if name in names:
                break
    return found - {own}


def test_no_modules_import_each_other_in_a_circle():
    names = {dotted(path) for path in modules()}
    uses = {dotted(path): used_modules(path.read_text("utf-8"), dotted(path), names) for path in modules()}
    uses["vfi_pipeline.__init__"] = set()  # it names modules for type checkers, and loads none (tests/test_import.py)

    assert circle(uses) == []
    # Inside a package, through its ``__init__`` too.
    inside = {"vfi_pipeline.geometry.grid": "from vfi_pipeline.geometry import warp_by", "vfi_pipeline.ode.velocity":
              "from vfi_pipeline.ode.flow_map import flow_map"}  # fmt: skip
    for own, source in inside.items():
        assert len(circle(uses | {own: used_modules(source, own, names)})) > 1
    assert len(circle(uses | {"vfi_pipeline.media.frames": {"vfi_pipeline.media.reader"}})) > 2  # reads through others
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) and not circle({"a": {"b", "c"}, "b": {"c"}, "c": set()})
