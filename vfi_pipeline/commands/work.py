"""A worker for a job of several: ``vfi work JOB``, where JOB is its work folder (docs/cluster.md)."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from vfi_pipeline.errors import DONE
from vfi_pipeline.threads import yield_idle_cores

HELP = """One more worker for a job that several share (executor=, devices=, workers=2 and more), until that job ends.

  vfi work film_60fps.mkv.vfi-work                  the folder beside the output, from any machine that sees it
  vfi work film_60fps.mkv.vfi-work device=cuda:1    on a certain device
  vfi work film_60fps.mkv.vfi-work name=attic       as the job is to call it; else the machine and the process

Exit codes: 0 the job is done, 3 no such job, 4 this machine cannot or would make other frames, 130 interrupted.
"""


def main(argv: Sequence[str] | None = None, program: Sequence[str] = ("vfi", "work")) -> int:
    """The command; returns its exit code. ``program`` is how it was called: the words do not depend on it."""
    words = list(sys.argv[1:] if argv is None else argv)
    if {"-h", "--help", "help"} & set(words):
        sys.stdout.write(HELP)
        return DONE
    yield_idle_cores()
    from vfi_pipeline.jobs.work import main as work

    return work(words)
