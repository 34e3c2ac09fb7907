"""A worker for a job of several: ``vfi work JOB``, where JOB is its work folder (docs/cluster.md)."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from vfi_pipeline.threads import yield_idle_cores


def main(argv: Sequence[str] | None = None, program: Sequence[str] = ("vfi", "work")) -> int:
    """The command; returns its exit code. ``program`` is how it was called: the words do not depend on it."""
    yield_idle_cores()
    from vfi_pipeline.jobs.work import main as work

    return work(list(sys.argv[1:] if argv is None else argv))
