"""Workers as they should not be: ``strange_worker.py KIND JOB name=...`` is ``vfi work`` with something wrong."""

from __future__ import annotations

import os
import sys
import time

import vfi_pipeline
from vfi_pipeline.jobs import frame_maker, work
from vfi_pipeline.jobs.method import instantiate

FAULTY = 2
"""The segment that faulty workers stumble over."""


class Slow:
    """A model that takes its time over each pair, as a real one does, and no processor."""

    def __init__(self, model, seconds: float) -> None:
        self._model, self._seconds = model, seconds

    def __getattr__(self, name):
        return getattr(self._model, name)

    def motion(self, window):
        time.sleep(self._seconds)
        return self._model.motion(window)


def stumbling(stumble):
    """The real maker of frames, which stumbles when the faulty segment is asked for."""
    real = frame_maker.FrameMaker.run

    def run(self, todo, *rest):
        if todo[0].number == FAULTY:
            stumble()
        return real(self, todo, *rest)

    return run


def fail():
    raise OSError(5, "Input/output error")


def main(kind: str, words: list[str]) -> int:
    if kind == "old":
        vfi_pipeline.__version__ = "0.1"
    elif kind == "failing":
        frame_maker.FrameMaker.run = stumbling(fail)
    elif kind == "failing-first" and "name=worker-1" in words:
        frame_maker.FrameMaker.run = stumbling(fail)
    elif kind == "dying":
        frame_maker.FrameMaker.run = stumbling(lambda: os._exit(9))
    elif kind == "starved":
        frame_maker.FrameMaker.run = stumbling(lambda: (_ for _ in ()).throw(MemoryError("Unable to allocate")))
    elif kind == "old-first" and "name=worker-1" in words:
        vfi_pipeline.__version__ = "0.1"
    seconds = {"slow": 0.1, "slow-first": 1.0 if "name=worker-1" in words else 0.0}.get(kind, 0.0)
    return work.main(words, lambda settings: Slow(instantiate(settings), seconds) if seconds else instantiate(settings))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
