"""What a run is made of: git state, versions, machine. For the log and the model card."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch


def run_facts() -> dict[str, Any]:
    """The command, versions, machine and git state, as JSON types."""
    names = ("torch", "pytorch-lightning", "torchdiffeq", "numpy")
    return {
        "command": "python " + shlex.join(sys.argv),
        "began": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in names},
        "machine": torch.cuda.get_device_name() if torch.cuda.is_available() else f"{platform.machine()} CPU",
        "threads": torch.get_num_threads(),
        "git": git_state(Path(__file__).resolve().parent),
    }


def git_state(folder: Path) -> dict[str, Any]:
    """Commit and whether tracked files differ from it; empty outside a repository or without git."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        changed = [line[3:] for line in _git(folder, "status", "--porcelain", "--untracked-files=no").splitlines()]
    except (OSError, subprocess.SubprocessError):
        return {}
    return {"commit": commit, "changed": changed}


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=20, check=True)
    return done.stdout.rstrip("\n")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
