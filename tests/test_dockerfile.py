"""The Dockerfile, read as Docker reads it: nothing here can build it, so what a linter would say is checked."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
KNOWN = {"ARG", "FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "EXPOSE", "ENTRYPOINT", "CMD"}


def instructions(text: str) -> list[tuple[str, str]]:
    """(instruction, arguments) with continued lines joined and comments left out."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(line.split(None, 1)[0], line.split(None, 1)[1].strip()) for line in joined.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def steps() -> list[tuple[str, str]]:
    return instructions((ROOT / "Dockerfile").read_text("utf-8"))


def stages(steps: list[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    begins = [number for number, (name, _) in enumerate(steps) if name == "FROM"]
    return [steps[begin:end] for begin, end in zip(begins, [*begins[1:], len(steps)])]


def test_every_instruction_is_known(steps):
    assert {name for name, _ in steps} <= KNOWN


def test_images_are_of_a_stated_version(steps):
    values = dict(argument.split("=", 1) for name, argument in steps if name == "ARG")
    for name, argument in steps:
        if name == "FROM":
            image = re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], argument.split()[0])
            assert re.fullmatch(r"python:\d+\.\d+-slim-\w+", image), image
    assert "latest" not in " ".join(argument for _, argument in steps)


def test_what_apt_fetches_is_removed_in_the_same_layer(steps):
    layers = [argument for name, argument in steps if name == "RUN" and "apt-get install" in argument]
    assert layers
    for layer in layers:
        assert "apt-get update" in layer and layer.endswith("rm -rf /var/lib/apt/lists/*")
        assert "--no-install-recommends" in layer and ("--yes" in layer or " -y " in layer)
    assert all("apt-get upgrade" not in argument and "sudo" not in argument for _, argument in steps)


def test_the_command_runs_as_a_plain_user(steps):
    last = stages(steps)[-1]
    names = [name for name, _ in last]
    (user,) = [argument for name, argument in last if name == "USER"]

    assert user not in ("root", "0") and f" {user}" in " ".join(a for n, a in last if n == "RUN" and "useradd" in a)
    assert all(name not in ("RUN", "COPY") for name in names[names.index("USER") :])  # nothing is installed after


def test_the_entrypoint_is_vfi(steps):
    entrypoint = json.loads(next(argument for name, argument in steps if name == "ENTRYPOINT"))
    command = json.loads(next(argument for name, argument in steps if name == "CMD"))

    assert entrypoint[-1] == "vfi" and command == ["--help"]


def test_what_is_copied_exists_and_is_let_through(steps):
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    for name, argument in steps:
        if name == "COPY":
            *sources, _ = shlex.split(argument)
            for source in sources:
                assert (ROOT / source).exists() and source not in ignored, source


def test_the_wheel_gets_all_that_it_is_built_of(steps):
    copied = {part for name, argument in stages(steps)[0] if name == "COPY" for part in shlex.split(argument)[:-1]}
    assert copied == {"vfi_pipeline", "conf", "requirements", "pyproject.toml", "setup.py", "README.md", "LICENSE"}


def test_cpu_and_cuda_are_chosen_by_an_argument(steps):
    last = stages(steps)[-1]
    assert ("ARG", "TORCH=cpu") in last and ("ARG", "EXTRA=none") in last
    (install,) = [argument for name, argument in last if name == "RUN" and "pip install" in argument]
    assert "whl/${TORCH}" in install and "[${EXTRA}]" in install
