"""Speed of several workers beside that of a single one: ``python -m benchmarks.workers --workers 1,2``.

The model is ``blend`` that also sleeps over each pair, so that the figures show how work is shared, not how many
processors this machine has.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vfi_pipeline.jobs import local, work
from vfi_pipeline.jobs.distribute import Head
from vfi_pipeline.jobs.executor import Executor
from vfi_pipeline.jobs.journal import work_folder
from vfi_pipeline.jobs.method import ModelChoice, choose_model, instantiate
from vfi_pipeline.jobs.options import Options, read_options
from vfi_pipeline.jobs.plan import Plan, Segment
from vfi_pipeline.jobs.prepare import fingerprint, prepare
from vfi_pipeline.jobs.processes import Processes
from vfi_pipeline.jobs.progress import Progress
from vfi_pipeline.jobs.ray_cluster import RayCluster
from vfi_pipeline.jobs.segment_task import SegmentTask
from vfi_pipeline.jobs.slurm import Slurm
from vfi_pipeline.jobs.sources import Film, films
from vfi_pipeline.media import ffmpeg

MODULE = "benchmarks.workers"
BLEND = {"_target_": "vfi_pipeline.models.blend.Blend"}


class Sleeping:
    """A model that sleeps over each pair before it answers."""

    def __init__(self, model: Any, seconds: float) -> None:
        self._model, self._seconds = model, seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def motion(self, window: Any) -> Any:
        time.sleep(self._seconds)
        return self._model.motion(window)


class _Timed(Progress):
    """Notes when the first worker was there, and each time that frames were finished."""

    ready: float | None = None

    def at(self, done: int, made: int, note: str = "") -> None:
        if self.ready is None and note != "waiting for workers":
            self.ready = time.monotonic()
        super().at(done, made, note)


class _Making:
    """``MakeFrames`` with a clock."""

    def __init__(self, head: Head) -> None:
        self._head = head
        self.started = self.ready = self.ended = 0.0

    def __call__(self, task: SegmentTask) -> None:
        timed = _Timed("bench", task.plan.timeline.count)

        def noted(segment: Segment, frames: int, facts: Any) -> None:
            task.finished(segment, frames, facts)
            self.ended = time.monotonic()

        self.started = time.monotonic()
        self._head(replace(task, finished=noted, progress=timed))
        timed.clear()
        self.ready = timed.ready or self.started


def measure(folder: Path, kind: str, workers: int, pair_s: float, segments: int, size: str) -> dict[str, float]:
    """A film by several workers: seconds to start, to interpolate, to join and verify; frames a second."""
    clip = folder / "clip.mkv"
    if not clip.exists():
        source = f"testsrc2=size={size}:rate=25:duration={segments * 0.24}"
        ffmpeg.run(["-nostdin", "-y", "-f", "lavfi", "-i", source, "-c:v", "ffv1", ffmpeg.file_url(clip)], "drawing")
    target = folder / f"out_{kind}_{workers}.mkv"
    words = {"multi": "2", "segment": "0.24", "output": str(target), "executor": kind, "overwrite": "true",
             "workers": str(workers), "scene": "off", "device": "cpu"}  # fmt: skip
    options = read_options((str(clip),), words)
    model_choice = choose_model("blend", BLEND, {}, options, instantiate)
    (film,) = films([str(clip)])
    plan = prepare(film, options, model_choice, [], False)
    making = _Making(_head(plan, film, options, model_choice, workers, pair_s))
    begin = time.monotonic()
    local.work(plan, film, options, model_choice, "bench", making)
    end = time.monotonic()
    return {
        "start_s": making.ready - making.started,
        "make_s": making.ended - making.ready,
        "finish_s": end - making.ended,
        "total_s": end - begin,
        "frames_per_s": plan.timeline.count / (making.ended - making.ready),
    }


def _head(plan: Plan, film: Film, options: Options, model_choice: ModelChoice, workers: int, pair_s: float) -> Head:
    module = ["-m", MODULE, "work", str(pair_s)]
    program = [sys.executable, *module]

    def opened() -> Executor:
        if options.executor == "ray":
            return RayCluster(workers, None, 1, "cpu", module)
        if options.executor == "slurm":
            return Slurm(workers, 1, "cpu", {"cluster": "local"}, program)
        return Processes(workers, (), 1, program)

    return Head(opened, film, fingerprint(plan, film, options, model_choice), work_folder(plan.target))


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["work"]:
        seconds = float(words[1])
        return work.main(words[2:], lambda settings: Sleeping(instantiate(settings), seconds))
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workers", default="1,2", help="numbers of workers, 1 first (1,2,4)")
    parser.add_argument(
        "--executor", default="local", choices=("local", "ray", "slurm"), help="slurm: its local stand-in"
    )
    parser.add_argument("--pair", type=float, default=0.25, help="seconds of sleep over each pair of source frames")
    parser.add_argument("--segments", type=int, default=40, help="segments of the film, 6 pairs each")
    parser.add_argument("--size", default="160x120", help="of the pictures")
    parser.add_argument("--repeat", type=int, default=1, help="times; the medians are shown")
    given = parser.parse_args(words)
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    say = sys.stdout.write
    say(f"{given.executor}: {given.segments} segments of 12 frames, asleep for {given.pair} s over each of 6 pairs\n")
    say("workers  start s  make s  join and check s  frames/s  times one\n")
    baseline = 0.0
    with tempfile.TemporaryDirectory() as name:
        for workers in map(int, given.workers.split(",")):
            runs = [
                measure(Path(name), given.executor, workers, given.pair, given.segments, given.size)
                for _ in range(given.repeat)
            ]
            row = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
            baseline = baseline or row["frames_per_s"]
            say(
                f"{workers:7d}  {row['start_s']:7.1f}  {row['make_s']:6.1f}  {row['finish_s']:16.1f}  "
                f"{row['frames_per_s']:8.2f}  {row['frames_per_s'] / baseline:9.2f}\n"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
