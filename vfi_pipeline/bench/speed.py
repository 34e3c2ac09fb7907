"""How fast the product is end to end, and whether its memory grows with the film's length."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vfi_pipeline.bench.scene import demo_scene
from vfi_pipeline.errors import ENVIRONMENT, UserError
from vfi_pipeline.media import ffmpeg

ROOT = Path(__file__).resolve().parents[2]
SHORT_S, LONG_S, RATE = 6, 60, 24


@dataclass(frozen=True)
class Run:
    """One run of ``interpolate.py``: frames written, wall seconds, most memory that it held (None: unknown)."""

    name: str
    frames: int
    seconds: float
    peak_mb: float | None


def report(folder: Path, model: str, say: Callable[[str], None]) -> str:
    """Doubles the rate of generated 640x360 films by ``model``, and of a ten times longer one by ``blend``; a table.

    Raises:
        UserError: if ``interpolate.py`` fails.
    """
    say(f"Measuring speed and memory on films of {SHORT_S} and {LONG_S} s.")
    with tempfile.TemporaryDirectory(dir=folder) as place:
        short, long = (pattern_film(Path(place) / f"{s}s.mp4", s) for s in (SHORT_S, LONG_S))
        runs = [
            interpolate(short, "model=blend", f"{SHORT_S} s, blend"),
            interpolate(long, "model=blend", f"{LONG_S} s, blend"),
            interpolate(short, f"model={model}", f"{SHORT_S} s, {model}"),
        ]
    lines = ["| 640x360, 24 to 48 fps, x264 | output frames/s | peak memory, MB |", "|--|--:|--:|"]
    for run in runs:
        peak = "-" if run.peak_mb is None else f"{run.peak_mb:.0f}"
        lines.append(f"| {run.name} | {run.frames / run.seconds:.1f} | {peak} |")
    if runs[0].peak_mb and runs[1].peak_mb:
        growth = runs[1].peak_mb / runs[0].peak_mb - 1
        verdict = "within 10 %" if growth <= 0.10 else "MORE THAN 10 %: memory grows with length"
        lines += ["", f"Ten times the length takes {100 * growth:+.1f} % of memory: {verdict}."]
    text = "\n".join(lines) + "\n"
    (folder / "speed.md").write_text(text, encoding="utf-8")
    return text


def interpolate(film: Path, model: str, name: str) -> Run:
    """Runs ``interpolate.py input=film multi=2`` as a user would, start-up and verification included."""
    output = film.with_name(f"{film.stem}_{model.replace('=', '_')}.mp4")
    command = [sys.executable, str(ROOT / "interpolate.py"), f"input={film}", f"output={output}", "multi=2", model]
    with tempfile.TemporaryFile() as said:
        begin = time.perf_counter()
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, cwd=ROOT)
        status, peak = _wait(process)
        seconds = time.perf_counter() - begin
        if status:
            said.seek(0)
            words = said.read().decode("utf-8", "replace").strip().splitlines() or ["it said nothing"]
            raise UserError(f"interpolate.py failed: {words[-1]}", f"run {' '.join(command[1:])}", ENVIRONMENT)
    return Run(name, 2 * RATE * (LONG_S if film.stem.startswith(str(LONG_S)) else SHORT_S), seconds, peak)


def _wait(process: subprocess.Popen) -> tuple[int, float | None]:
    """Exit status and peak resident memory in MB, of the process itself or the largest of its children."""
    if not hasattr(os, "wait4"):
        return process.wait(), None
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return process.returncode, usage.ru_maxrss * unit / 1e6


def pattern_film(path: Path, seconds: int) -> Path:
    """A moving test pattern, 640x360, 24 fps, H.264."""
    pattern = f"testsrc2=size=640x360:rate={RATE}:duration={seconds}"
    command = ["-nostdin", "-loglevel", "error", "-y", "-f", "lavfi", "-i", pattern, "-c:v", "libx264"]
    command += ["-preset", "ultrafast", "-pix_fmt", "yuv420p", ffmpeg.file_url(path)]
    ffmpeg.run(command, f"drawing {path.name}")
    return path


def demo_film(folder: Path) -> Path:
    """A lossless film of 33 pictures from photographs with a pan, a zoom and an object that crosses; drawn once."""
    path = folder / "drawn.mkv"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        scene = demo_scene()
        data = b"".join(scene.draw(index / 30).tobytes() for index in range(33))
        spec = ffmpeg.raw_input("rgb24", scene.width, scene.height, 30).video.output(
            ffmpeg.file_url(path), vcodec="ffv1", pix_fmt="yuv444p"
        )
        ffmpeg.run(spec, f"drawing {path.name}", stdin=data)
    return path
