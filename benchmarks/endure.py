"""Endurance: kills, broken files, odd files, a film of two hours. ``make endure``.

Four parts, each by itself with ``--only kills,fuzz,odd,long``; each writes a section of its own into BENCHMARKS.md:

- **kills**: a job is killed 20 times at random moments and started again; its result is that of a job in one go;
- **fuzz**: broken files by the thousand through the command (``tests/fuzz``, run as a program);
- **odd**: a folder of awkward files (``--odd FOLDER``), each through the command;
- **long**: two hours of film: frame count, times, sound against pictures, memory (``benchmarks.large``).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import large
from vfi_pipeline.errors import BAD_INPUT, ENVIRONMENT, UserError
from vfi_pipeline.evaluation.page import circumstances, write_section
from vfi_pipeline.media import ffmpeg

ROOT = large.ROOT
SCRIPT = ROOT / "interpolate.py"
ODD = ROOT.parent / "shared" / "odd"


# ------------------------------------------------------------------------------------------------------------- kills

SEGMENT_S = 0.25
KILLED_S = 24
"""Length of the film that is killed: 96 segments."""


def kills(folder: Path, count: int, seconds: int = KILLED_S, seed: int = 0) -> dict[str, Any]:
    """Kills a job so often, starts it again each time, and compares what comes of it with a job in one go.

    Three of four kills come as a segment is finished, at most 50 ms later; one in the first three seconds of a run,
    while it starts. Half of the signals are SIGKILL, the rest SIGTERM and SIGINT.

    Raises:
        UserError: if something is not as it has to be.
    """
    film = large.marked_film(folder / "a.mp4", seconds, "160x120", 25)
    job = [f"input={film.name}", "multi=2", "model=blend", f"segment={SEGMENT_S:g}", "codec=ffv1"]
    _run(folder, [*job, "output=whole.mkv"])
    whole = content_of(folder / "whole.mkv")
    target, work = folder / "b.mkv", folder / "b.mkv.vfi-work"
    dice = random.Random(seed)
    signals: Counter[str] = Counter()
    finished, lost, slowest, starting = 0, 0, 0.0, 0
    begin = time.monotonic()
    while sum(signals.values()) < count:
        done = _segments(work)
        child = _start(folder, [*job, "output=b.mkv"])
        if sum(signals.values()) % 4 == 3:
            time.sleep(dice.uniform(0, 3))
            starting += 1
        else:
            _wait_for(child, work, done + dice.randint(1, 3))
            time.sleep(dice.uniform(0, 0.05))
        number = dice.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
        sent = time.monotonic()
        child.send_signal(number)
        _, output = child.communicate(timeout=120)
        if child.returncode == 0:  # it was faster
            finished += 1
            compare(target, whole)
            target.unlink()
            continue
        signals[number.name] += 1
        if number != signal.SIGKILL:
            slowest = max(slowest, time.monotonic() - sent)
        if target.exists():
            raise UserError("A killed job left a file under the result's name.", "report this: it is a bug.")
        if left := _relatives(folder):
            raise UserError(f"A killed job left processes behind: {left[0][:200]}.", "report this: it is a bug.")
        if "Traceback" in output:
            raise UserError(f"A killed job ended in a traceback: {output[-300:]}", "report this: it is a bug.")
        lost += max(0, done - _segments(work))
    output = _run(folder, [*job, "output=b.mkv"])
    compare(target, whole)
    match = re.search(r"(\d+) of (\d+) segments are done already", output)
    return {
        "kills": dict(sorted(signals.items())), "while_starting": starting, "segments": len(whole[0]) // 50 * 4,
        "frames": len(whole[0]), "finished_segments_lost": lost, "finished_between": finished,
        "slowest_answer_s": round(slowest, 2), "done_before_the_last_run": int(match[1]) if match else None,
        "seconds": round(time.monotonic() - begin, 1),
    }  # fmt: skip


def _start(folder: Path, words: Sequence[str]) -> subprocess.Popen[str]:
    command = [sys.executable, str(SCRIPT), *words]
    return subprocess.Popen(command, cwd=folder, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def _run(folder: Path, words: Sequence[str]) -> str:
    child = _start(folder, words)
    _, output = child.communicate()
    if child.returncode:
        raise UserError(f"interpolate.py failed: {output.strip()[-400:]}", "see there.", ENVIRONMENT)
    return output


def _segments(work: Path) -> int:
    """How many finished segments the journal knows."""
    try:
        return len(json.loads((work / "journal.json").read_text(encoding="utf-8"))["segments"])
    except (OSError, ValueError, KeyError):
        return 0


def _wait_for(child: subprocess.Popen[str], work: Path, number: int) -> None:
    """Until the journal has ``number`` segments, the job has ended, or two minutes have passed."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and child.poll() is None and _segments(work) < number:
        time.sleep(0.005)


def _relatives(folder: Path) -> list[str]:
    """Processes that were told of ``folder`` or stand in it, a moment after the kill."""
    time.sleep(0.2)
    processes = []
    for entry in Path("/proc").glob("[0-9]*"):
        if int(entry.name) == os.getpid():
            continue
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace")
            inside = Path(os.readlink(entry / "cwd")) == folder
        except OSError:
            continue
        if inside or str(folder) in words:
            processes.append(words.replace("\0", " "))
    return processes


def content_of(path: Path) -> tuple[list[str], str]:
    """Time stamp and checksum of each frame, decoded; and of the packets of sound."""
    url = ffmpeg.file_url(path)
    quiet = ["-nostdin", "-v", "error", "-i", url]
    frames = ffmpeg.run([*quiet, "-map", "0:v", "-f", "framemd5", "-"], "hashing frames").stdout.decode()
    sound = ffmpeg.run([*quiet, "-map", "0:a", "-c", "copy", "-f", "md5", "-"], "hashing sound").stdout.decode()
    return [line for line in frames.splitlines() if not line.startswith("#")], sound


def compare(target: Path, whole: tuple[list[str], str]) -> None:
    if content_of(target) != whole:
        raise UserError("A resumed result is not that of a job in one go.", "report this: it is a bug.", ENVIRONMENT)


def kills_section(facts: Mapping[str, Any], command: str) -> str:
    """The figures as Markdown."""
    how = ", ".join(f"{count} {name}" for name, count in facts["kills"].items())
    return "\n".join((
        circumstances(command), "",
        f"A job of {facts['segments']} segments was stopped {sum(facts['kills'].values())} times ({how}; "
        f"{facts['while_starting']} while it started) and started again each time. Its {facts['frames']:,} frames, "
        "their times and the sound are those of a job in one go, bit for bit.",
        f"Finished segments lost: {facts['finished_segments_lost']}. Files under the final name, processes left "
        f"behind, tracebacks: none. SIGTERM and SIGINT were answered within {facts['slowest_answer_s']:.1f} s. "
        f"The whole took {facts['seconds']:.0f} s.",
    ))  # fmt: skip


# -------------------------------------------------------------------------------------------------------------- fuzz


def fuzz(folder: Path, cases: int, jobs: int = 1) -> dict[str, Any]:
    """Runs ``tests/fuzz`` on ``cases`` broken files in a process of its own and returns its figures.

    Raises:
        UserError: if a case went wrong, or the tests are not here.
    """
    if not (ROOT / "tests" / "fuzz").is_dir():
        raise UserError("tests/fuzz is not here.", "run it in a checkout of the project.", ENVIRONMENT)
    record = folder / "fuzz.json"
    environment = {
        **os.environ,
        "VFI_FUZZ_CASES": str(cases),
        "VFI_FUZZ_JOBS": str(jobs),
        "VFI_FUZZ_FACTS": str(record),
    }
    words = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "tests/fuzz"]
    done = subprocess.run(words, cwd=ROOT, env=environment, check=False, capture_output=True, text=True)
    if not record.is_file():
        raise UserError(f"tests/fuzz did not run: {done.stdout.strip()[-400:]}", "see there.", ENVIRONMENT)
    facts: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
    if facts["wrong"]:
        raise UserError(f"{len(facts['wrong'])} cases went wrong: {facts['wrong'][0][:300]}", "VFI_FUZZ_ONLY=...")
    return facts


def fuzz_section(facts: Mapping[str, Any], command: str) -> str:
    """The figures as Markdown."""
    codes = {int(code): count for code, count in facts["codes"].items()}
    others = ", ".join(
        f"{count:,} with code {code}" for code, count in sorted(codes.items()) if code not in (0, BAD_INPUT)
    )
    return "\n".join((
        circumstances(command), "",
        f"{facts['cases']:,} broken MP4, MKV, WebM, GIF, PNG and APNG files through the command: {codes.get(0, 0):,} "
        f"became verified results (or plans), {codes.get(BAD_INPUT, 0):,} were refused with code {BAD_INPUT}"
        f"{', ' + others if others else ''}.",
        f"No traceback, no output under the final name of a run that failed, {facts['messages']} different messages, "
        f"at most {facts['largest_mb']:.0f} MB of memory, {facts['seconds']:,.0f} s of processor time, the slowest "
        f"{facts['slowest_s']:.1f} s.",
    ))  # fmt: skip


# --------------------------------------------------------------------------------------------------------------- odd

ODD_S = 1800
"""Seconds after which a file counts as one that never ends."""


def odd(folder: Path, files: Path) -> list[dict[str, Any]]:
    """Puts every file of the folder ``files`` through the command, alone; what became of each, in order.

    Raises:
        UserError: if there is no such folder, or a run ends in a traceback or not at all.
    """
    if not files.is_dir():
        raise UserError(f"There is no folder {files.name} of odd files.", "--odd FOLDER", BAD_INPUT)
    rows = []
    for file in sorted(path for path in files.iterdir() if path.is_file() and path.suffix != ".md"):
        report = folder / "report.json"
        report.unlink(missing_ok=True)
        words = [f"input={file}", "multi=2", "model=hold", f"output={folder}/", f"report={report}", "overwrite=true"]
        begin = time.monotonic()
        command = [sys.executable, str(SCRIPT), *words]
        try:
            done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=ODD_S)
        except subprocess.TimeoutExpired as error:
            raise UserError(f"{file.name} does not end.", "report this: it is a bug.", ENVIRONMENT) from error
        if "Traceback" in done.stderr or done.returncode not in (0, 2, BAD_INPUT, ENVIRONMENT):
            raise UserError(f"{file.name} ends in {done.stderr.strip()[-300:]}", "report this: it is a bug.")
        outcome = _outcome(done.stdout, done.stderr, report if done.returncode == 0 else None, file)
        rows.append({"file": file.name, "code": done.returncode, "told": outcome, "seconds": time.monotonic() - begin})
    return rows


def _outcome(out: str, err: str, report: Path | None, file: Path) -> str:
    if report is None:
        lines = err[err.rfind("error: ") + len("error: ") :].strip().splitlines()
        return " ".join(line.strip() for line in lines).replace(f"{file.parent}{os.sep}", "")
    facts = json.loads(report.read_text(encoding="utf-8"))["films"][0]
    lost = f"; left out: {', '.join(facts['lost'])}" if facts["lost"] else ""
    seen = "verified" if ", verified." in out else "not verified"
    return f"{facts['source_frames']} -> {facts['frames']} frames, {facts['duration_s']:.3f} s, {seen}{lost}"


def odd_section(rows: Sequence[Mapping[str, Any]], command: str) -> str:
    """The figures as Markdown."""
    done = sum(row["code"] == 0 for row in rows)
    cells = (row["told"].replace("|", "\\|").replace("\n", " ") for row in rows)
    return "\n".join((
        circumstances(command), "",
        f"{len(rows)} awkward files, each by `python interpolate.py input=FILE multi=2 model=hold`: {done} verified, "
        f"{len(rows) - done} refused in one line with a remedy.", "",
        "| file | exit | result |", "|--|--|--|",
        *(f"| `{row['file']}` | {row['code']} | {cell} |" for row, cell in zip(rows, cells)),
    ))  # fmt: skip


# --------------------------------------------------------------------------------------------------------- the command


def main() -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.endure", description=__doc__)
    parser.add_argument("--only", default="kills,fuzz,odd,long", help="parts, separated by commas")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--cases", type=int, default=2000, help="broken files")
    parser.add_argument("--jobs", type=int, default=1, help="broken files at the same time")
    parser.add_argument("--odd", type=Path, default=ODD, help="folder of odd files")
    parser.add_argument("--seconds", type=int, default=7200, help="length of the long film")
    parser.add_argument(
        "--output", type=Path, default=Path("outputs/bench/endure"), help="folder of the figures (JSON)"
    )
    parser.add_argument("--page", type=Path, help="file that gets a section for each part, as BENCHMARKS.md")
    options = parser.parse_args()
    parts: dict[str, tuple[str, Callable[[Path], Any], Callable[[Any, str], str]]] = {
        "kills": ("Killed and resumed", lambda place: kills(place, options.kills), kills_section),
        "fuzz": ("Broken files", lambda place: fuzz(place, options.cases, options.jobs), fuzz_section),
        "odd": ("Odd files", lambda place: odd(place, options.odd), odd_section),
        "long": (
            "A film of two hours", lambda place: large.long_film(place, options.seconds, "hold"),
            lambda facts, command: large.section({"long": facts}, command),
        ),
    }  # fmt: skip
    chosen = [part.strip() for part in options.only.split(",") if part.strip()]
    if unknown := [part for part in chosen if part not in parts]:
        parser.error(f"--only={options.only}: {unknown[0]} is none of {', '.join(parts)}")
    options.output.mkdir(parents=True, exist_ok=True)
    worst = 0
    for part in chosen:
        title, measure, section = parts[part]
        sys.stderr.write(f"{part}: begun\n")
        try:
            with tempfile.TemporaryDirectory(dir=options.output) as place:
                facts = measure(Path(place).resolve())
        except UserError as error:  # the others are worth having all the same
            sys.stderr.write(f"{part}: error: {error}\n")
            worst = max(worst, error.code)
            continue
        (options.output / f"{part}.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        text = section(facts, f"make endure ONLY={part}")
        if options.page:
            write_section(options.page, part, title, text)
        sys.stdout.write(f"{title}\n{text}\n\n")
        sys.stdout.flush()
    return worst


if __name__ == "__main__":
    sys.exit(main())
