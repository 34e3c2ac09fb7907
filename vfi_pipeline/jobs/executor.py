"""What starts workers: the one interface of local processes, Ray and Slurm."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import vfi_pipeline

PROGRAM = (sys.executable, "-m", "vfi_pipeline.jobs.work")
"""The worker, as this machine starts it."""

PACKAGE = str(Path(vfi_pipeline.__file__).resolve().parent.parent)
"""The folder that this program is imported from."""

CHECKOUT = "" if Path(PACKAGE).name in ("site-packages", "dist-packages") else PACKAGE
"""The same where it is not installed: workers elsewhere take it from there if they see it."""


class Executor(Protocol):
    """Starts workers somewhere, tells which of them have ended, and ends them all. It knows nothing of segments.

    Attributes:
        workers: how many there are to be.
        poll_s: how often head and workers look at the session's folder.
        patience_s: how long a worker may say nothing before it counts as lost, and the head before workers end.
    """

    workers: int
    poll_s: float
    patience_s: float

    def start(self, session: Path, names: Sequence[str]) -> None:
        """Starts a worker of each name on the session.

        Raises:
            UserError: if it cannot.
        """

    def ended(self) -> dict[str, str]:
        """Workers that have ended since the last call, and what they said last."""

    def stop(self) -> None:
        """Ends all workers, within seconds."""


def words(session: Path, name: str, device: str | None = None, parent: int | None = None) -> list[str]:
    """The words behind ``vfi work``."""
    more = [f"device={device}"] if device else []
    return [str(session), f"name={name}", *more, *([f"parent={parent}"] if parent else [])]


def worker_environment(threads: int | None = None) -> dict[str, str]:
    """The environment of a worker on this machine: it finds this very program, and its share of the processors."""
    search_path = os.environ.get("PYTHONPATH")
    environment = {**os.environ, "PYTHONPATH": PACKAGE + (os.pathsep + search_path if search_path else "")}
    if threads is not None:
        environment.setdefault("OMP_NUM_THREADS", str(threads))
    return environment


def tail(path: Path, lines: int = 1) -> str:
    """The last lines of a log that are not empty; ``""`` if there are none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 4096))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join([line.strip() for line in text.splitlines() if line.strip()][-lines:])
