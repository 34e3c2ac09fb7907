"""The command as a user has it: in this process where that is enough (it saves loading torch), else as its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPT = ROOT / "interpolate.py"


@dataclass
class Result:
    """What a run of the command gave."""

    code: int
    out: str
    err: str


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """``command("input=a.mkv", "fps=60")`` runs interpolate.py in an empty folder, with model=blend unless told."""
    import interpolate

    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Result:
        model = () if any("model" in word for word in words) else ("model=blend",)
        code = interpolate.main([*words, *model])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Result(code, captured.out, captured.err)

    return run


@pytest.fixture
def good(command):
    """The same, for runs that must succeed."""

    def run(*words: str) -> Result:
        result = command(*words)
        assert result.code == 0, result.err
        return result

    return run


@pytest.fixture
def process(tmp_path):
    """Starts interpolate.py as a process of its own in ``tmp_path``; ended with the test."""
    running: list[subprocess.Popen[str]] = []

    def start(*words: str, cwd: Path = tmp_path) -> subprocess.Popen[str]:
        model = () if any("model" in word for word in words) else ("model=blend",)
        child = subprocess.Popen(
            [sys.executable, str(SCRIPT), *words, *model], cwd=cwd, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        running.append(child)
        return child

    yield start
    for child in running:
        child.kill()
        child.communicate()
