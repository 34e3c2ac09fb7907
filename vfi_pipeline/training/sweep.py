"""``train.py -m``: a run for each combination, in a process and a folder of its own. A refused one ends only itself."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vfi_pipeline.errors import INTERRUPTED
from vfi_pipeline.overrides import key_of, quoted
from vfi_pipeline.training.run_folder import RELAY, make_first_free

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """One combination: the words that make it differ, its folder, exit code, and the last line it had to say."""

    words: tuple[str, ...]
    folder: Path
    code: int
    said: str


def sweep(
    program: Sequence[str],
    combinations: Sequence[Sequence[str]],
    varied: Sequence[str],
    folder: Path,
    chosen: bool,
) -> int:
    """Runs every combination one after the other; returns the highest exit code.

    Args:
        program: what starts ``train.py``, without words.
        combinations: the words of each run.
        varied: the keys in which they differ, for the summary.
        folder: of the sweep; each run gets ``<folder>/<number>``. ``summary.md`` is written there.
        chosen: the user named the folder; otherwise one that is taken gives way to the next free name.
    """
    if not chosen:
        folder = make_first_free(folder)
    environment = {key: value for key, value in os.environ.items() if key != RELAY}
    outcomes: list[Outcome] = []
    for number, words in enumerate(combinations):
        own = tuple(word for word in words if key_of(word) in varied)
        _say(f"sweep {number + 1}/{len(combinations)}: {' '.join(own)}")
        place = folder / str(number)
        code, said = _run([*program, *words, f"hydra.run.dir={quoted(str(place))}"], environment)
        outcomes.append(Outcome(own, place, code, said))
        if code == INTERRUPTED or code == -signal.SIGINT:
            break
    text = summary(outcomes, len(combinations))
    _say("\n" + text)
    with contextlib.suppress(OSError):  # without a folder, or with a full disk, it has been said above
        (folder / "summary.md").write_text(text + "\n", encoding="utf-8")
    return max((outcome.code if outcome.code >= 0 else 1 for outcome in outcomes), default=0)


def summary(outcomes: Sequence[Outcome], planned: int) -> str:
    """What became of the combinations, as a Markdown table."""
    done = sum(outcome.code == 0 for outcome in outcomes)
    lines = [f"{done} of {planned} combinations finished.", "", "| | combination | exit code | |", "|--|--|--|--|"]
    for outcome in outcomes:
        lines.append(
            f"| {outcome.folder.name} | {' '.join(outcome.words)} | {outcome.code} | {_result(outcome)} |"
        )  # fmt: skip
    if len(outcomes) < planned:
        lines += ["", f"{planned - len(outcomes)} were not begun."]
    return "\n".join(lines)


def _result(outcome: Outcome) -> str:
    if outcome.code:
        return outcome.said
    try:
        metrics = json.loads((outcome.folder / "run.json").read_text())["metrics"]
    except (OSError, ValueError, KeyError):
        return ""
    return ", ".join(f"{name} {value:.5g}" for name, value in sorted(metrics.items()) if name.split("/")[-1] != "nfe")


def _run(command: Sequence[str], environment: dict[str, str]) -> tuple[int, str]:
    """Exit code of the process, and the last problem that it named. What it says is passed on as it comes."""
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None
        said, before = "", ""

        def forward(number: int, frame: object) -> None:
            process.send_signal(number)

        kept = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            for line in process.stdout:
                sys.stdout.write(line)
                sys.stdout.flush()
                if line.startswith("  Try: "):
                    said = before
                before = line.strip() or before
        finally:
            for number, handler in kept.items():
                signal.signal(number, handler)
        code = process.wait()
    return code, said or before


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
