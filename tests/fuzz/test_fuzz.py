"""Broken files by the hundred: 200 cases here, 2,000 with ``make fuzz``; case n is the same on every run.

Whatever a file holds, the command ends in time and within its memory, says what is wrong in two lines or makes a
verified film, and leaves nothing under the output's name unless it is done. Again alone: ``VFI_FUZZ_ONLY=17,18``.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mutations
import pytest

from vfi_pipeline.errors import BAD_INPUT, DONE, ENVIRONMENT, USAGE

CASES = int(os.environ.get("VFI_FUZZ_CASES", "200"))
ONLY = [int(number) for number in os.environ.get("VFI_FUZZ_ONLY", "").split(",") if number]
JOBS = int(os.environ.get("VFI_FUZZ_JOBS", "1"))
ROOT = Path(__file__).resolve().parents[2]
RSS_MB = 900
"""Resident memory of a case, of which torch takes 400 before it begins."""


@pytest.mark.slow
@pytest.mark.timeout(6 * 3600)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="a warm process that forks for every case")
def test_broken_files_end_in_a_film_or_in_two_plain_lines(tmp_path):
    (tmp_path / "sound").mkdir()
    films = mutations.seeds(tmp_path / "sound")
    program = [sys.executable, str(Path(__file__).with_name("worker.py")), str(tmp_path / "sound" / "plain.mp4")]
    idle: queue.SimpleQueue[subprocess.Popen[str]] = queue.SimpleQueue()
    workers = []
    for _ in range(JOBS):
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        started = subprocess.Popen(
            program, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, cwd=ROOT
        )
        workers.append(started)
        idle.put(started)

    def one(number: int) -> tuple[dict, str | None, str]:
        """What became of a case: its facts, what is wrong with it, what it said."""
        case, folder, worker = mutations.case(films, number), tmp_path / f"case{number}", idle.get()
        try:
            facts = run(worker, folder, case)
        finally:
            idle.put(worker)
        said = (folder / "stderr.txt").read_text(errors="replace").split("error: ")[-1][:100]
        complaints = check(folder, case, facts)
        told = complaints and f"case {number}, {case.how} of {case.name}, {case.options}: {complaints}"
        told = f"{told} ({keep(folder, number)})" if complaints else None
        shutil.rmtree(folder)
        return facts, told, said

    wrong: list[str] = []
    codes: Counter[int] = Counter()
    said: Counter[str] = Counter()
    seconds, slowest, largest = 0.0, 0.0, 0.0
    try:
        with ThreadPoolExecutor(JOBS) as pool:
            for facts, told, words in pool.map(one, ONLY or range(CASES)):
                wrong += [told] if told else []
                said[words] += facts["code"] == BAD_INPUT
                codes[facts["code"]] += 1
                seconds += facts["seconds"]
                slowest, largest = max(slowest, facts["seconds"]), max(largest, facts["rss_mb"])
    finally:
        for started in workers:
            assert started.stdin is not None
            started.stdin.close()
            started.wait(600)
    sys.stdout.write(
        f"{sum(codes.values())} cases: {dict(sorted(codes.items()))} by exit code, {len(+said)} different messages, "
        f"{seconds:.0f} s of processor time, slowest {slowest:.1f} s, largest {largest:.0f} MB\n"
    )
    if told_to := os.environ.get("VFI_FUZZ_FACTS"):  # for benchmarks.endure
        facts = {
            "cases": sum(codes.values()), "codes": codes, "messages": len(+said), "seconds": seconds,
            "slowest_s": slowest, "largest_mb": largest, "wrong": wrong,
        }  # fmt: skip
        Path(told_to).write_text(json.dumps(facts))
    assert not wrong, f"{len(wrong)} of {sum(codes.values())} cases:\n" + "\n".join(wrong)
    assert ONLY or (codes[DONE] > CASES // 20 and codes[BAD_INPUT] > CASES // 5), codes  # breakages of every degree


def run(worker: subprocess.Popen[str], folder: Path, case: mutations.Case) -> dict:
    folder.mkdir()
    (folder / case.name).write_bytes(case.data)
    words = [f"input={case.name}", *case.options, "model=hold"]
    (folder / "words.json").write_text(json.dumps(words))
    assert worker.stdin is not None and worker.stdout is not None
    worker.stdin.write(f"{folder}\n")
    worker.stdin.flush()
    return json.loads(worker.stdout.readline())


def check(folder: Path, case: mutations.Case, facts: dict) -> list[str]:
    """What is not as it should be."""
    wrong = []
    err = (folder / "stderr.txt").read_text(errors="replace")
    left = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    made = [name for name in left if name.startswith("out.") and not name.endswith((".vfi-work", ".cuts.json"))]
    if facts["timed_out"]:
        wrong.append("no end in time")
    if facts["rss_mb"] > RSS_MB:
        wrong.append(f"{facts['rss_mb']:.0f} MB")
    late = facts["code"] == USAGE and "a later end=" in err  # of a film that begins after the end that we gave
    # Sound and covers are copied as they are. What is broken in them shows when the result is joined and checked, and
    # that it is not as it should be is the right word on it.
    checked = facts["code"] == ENVIRONMENT and ("The result was checked" in err or "(joining finished" in err)
    if "Traceback" in err or (facts["code"] not in (DONE, BAD_INPUT) and not late and not checked):
        wrong.append(f"exit code {facts['code']}: {err[-1500:]}")
    if "dry_run=true" in case.options:
        if facts["code"] == DONE and "segments" not in (folder / "stdout.txt").read_text(errors="replace"):
            wrong.append("no plan")
    elif facts["code"] == DONE and (len(made) != 1 or not (folder / made[0]).stat().st_size):
        wrong.append(f"done, and yet {left}")
    if facts["code"] == DONE and any(name.endswith(".vfi-work") for name in left):
        wrong.append(f"done, and yet {left}")
    if made and (facts["code"] != DONE or "dry_run=true" in case.options):
        wrong.append(f"not done, and yet {made}")
    if facts["code"] == BAD_INPUT:
        told = err[err.rfind("error: ") :].splitlines()
        if len(told) != 2 or not told[0].startswith("error: ") or not told[1].startswith("  Try: "):
            wrong.append(f"its error is not one line and one remedy: {err[-600:]}")
    if (folder / case.name).read_bytes() != case.data:
        wrong.append("the input was changed")
    return wrong


def keep(folder: Path, number: int) -> Path:
    """A copy of a failed case, where ``VFI_FUZZ_KEEP`` says or beside the test's folders."""
    where = Path(os.environ.get("VFI_FUZZ_KEEP", folder.parent / "failed")) / f"case{number}"
    shutil.rmtree(where, ignore_errors=True)
    shutil.copytree(folder, where)
    return where
