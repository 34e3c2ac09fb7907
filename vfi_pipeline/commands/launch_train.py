"""``vfi train``: the process becomes ``python -m vfi_pipeline.commands.train``, which the processes of DDP and the runs
of a sweep can be started as again."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence


def main(argv: Sequence[str], program: Sequence[str] = ("vfi", "train")) -> int:
    """Starts training; returns its exit code, where the system cannot replace this process by it."""
    line = [sys.executable, "-m", "vfi_pipeline.commands.train", *argv]
    if sys.platform == "win32":
        return subprocess.call(line)
    sys.stdout.flush()
    os.execv(sys.executable, line)
