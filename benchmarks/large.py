"""Large jobs: frames in 8K (``make bench-large``), and a film of two hours (``make endure ONLY=long``).

The film is drawn for the purpose. Its picture turns white, and a tone is heard, for a quarter of a second at its
beginning, its middle and its end: how far the two are apart is measured in the source and in the result, so that
whatever the encoders do shows as the difference.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from vfi_pipeline.errors import ENVIRONMENT, UserError
from vfi_pipeline.evaluation.page import circumstances, write_section
from vfi_pipeline.media import ffmpeg
from vfi_pipeline.media.opening import open_media

ROOT = Path(__file__).resolve().parents[1]
RATE, SOUND_HZ, MARK_S = 24, 16000, Fraction(1, 4)


@dataclass(frozen=True)
class Measured:
    """One run of ``interpolate.py``: what it wrote, how long it took, and its memory on the way.

    Attributes:
        seconds: wall time. processor_s: of all its processes.
        resident_mb: of the process and its children together, four looks a second.
    """

    command: str
    seconds: float
    processor_s: float
    resident_mb: list[float] = field(default_factory=list)

    @property
    def peak_mb(self) -> float:
        """The most that was seen twice in three looks: a process that is just being started counts double for once."""
        seen = self.resident_mb
        if len(seen) < 3:
            return max(seen, default=0.0)
        return max(sorted(three)[1] for three in zip(seen, seen[1:], seen[2:]))

    def mean_mb(self, begin: float, end: float) -> float:
        """Mean resident memory over a part of the run, ``begin`` and ``end`` as shares of it."""
        count = len(self.resident_mb)
        part = self.resident_mb[int(begin * count) : max(int(end * count), int(begin * count) + 1)]
        return sum(part) / len(part) if part else 0.0


def marks(seconds: int) -> tuple[Fraction, ...]:
    """When flash and tone come: a second after the beginning, in the middle, a second before the end."""
    return Fraction(1), Fraction(seconds // 2), Fraction(seconds - 1)


def marked_film(path: Path, seconds: int, size: str = "64x36", rate: int = RATE) -> Path:
    """A moving pattern with flashes and tones at ``marks(seconds)``: H.264 and AAC."""

    def within(variable: str) -> str:
        return "+".join(f"gte({variable},{float(m)})*lt({variable},{float(m + MARK_S)})" for m in marks(seconds))

    picture = f"testsrc2=size={size}:rate={rate}:duration={seconds},eq=brightness=-0.3,"
    picture += f"drawbox=color=white:t=fill:enable='{within('t')}'"
    tone = f"aevalsrc='0.5*sin(2*PI*1000*t)*({within('t')})':sample_rate={SOUND_HZ}:duration={seconds}"
    command = ["-nostdin", "-hide_banner", "-loglevel", "error", "-y", "-f", "lavfi", "-i", picture, "-f", "lavfi"]
    command += ["-i", tone, "-c:v", "libx264", "-preset", "ultrafast", "-crf", "20", "-g", "240", "-bf", "2"]
    command += ["-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "32k", ffmpeg.file_url(path)]
    ffmpeg.run(command, f"drawing {path.name}")
    return path


def pattern(path: Path, size: str, frames: int) -> Path:
    """A moving pattern of a few frames in any size."""
    source = f"testsrc2=size={size}:rate={RATE}"
    command = ["-nostdin", "-hide_banner", "-loglevel", "error", "-y", "-f", "lavfi", "-i", source]
    command += ["-frames:v", str(frames), "-c:v", "libx264", "-preset", "ultrafast", "-threads", "2"]
    ffmpeg.run([*command, "-pix_fmt", "yuv420p", ffmpeg.file_url(path)], f"drawing {path.name}")
    return path


# ------------------------------------------------------------------------------------------------------ running


def interpolate(*words: str) -> tuple[Measured, str]:
    """Runs ``interpolate.py`` as a user would; also what it said.

    Raises:
        UserError: if it fails.
    """
    command = [sys.executable, str(ROOT / "interpolate.py"), *words]
    resident: list[float] = []
    ended = threading.Event()
    begin, before = time.perf_counter(), os.times()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)

        def watch() -> None:
            while not ended.wait(0.25):
                resident.append(_resident_mb(process.pid))

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            status = process.wait()
        finally:
            ended.set()
            watcher.join()
        seconds, after = time.perf_counter() - begin, os.times()
        output.seek(0)
        text = output.read().decode("utf-8", "replace")
    if status:
        raise UserError(f"interpolate.py failed: {text.strip()[-400:]}", "see there.", ENVIRONMENT)
    processor = after.children_user + after.children_system - before.children_user - before.children_system
    command_text = " ".join(word if "/" not in word else word.split("=")[0] + "=" + Path(word).name for word in words)
    return Measured(f"python interpolate.py {command_text}", seconds, processor, resident), text


def _resident_mb(pid: int) -> float:
    """Resident memory of a process and all that descend from it, MB; 0 where ``/proc`` does not tell."""
    parents: dict[int, list[int]] = {}
    sizes: dict[int, float] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
            sizes[int(entry.name)] = int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 1e6
        except (OSError, IndexError, ValueError):
            continue
    total, todo = 0.0, [pid]
    while todo:
        process = todo.pop()
        total += sizes.get(process, 0.0)
        todo += parents.get(process, [])
    return total


# ----------------------------------------------------------------------------------------------------- flash and tone


def sync_errors(path: Path, seconds: int) -> list[float]:
    """Tone minus flash at each mark, in seconds: when the sound begins against when the picture turns white.

    Raises:
        UserError: if a flash or a tone is not within half a second of its mark.
    """
    errors = []
    for mark in marks(seconds):
        flash = _flash(path, mark)
        tone = _tone(path, mark)
        if flash is None or tone is None:
            missing = "flash" if flash is None else "tone"
            raise UserError(f"{path.name} has no {missing} at {float(mark)} s.", "report this: it is a bug.")
        errors.append(tone - flash)
    return errors


def _flash(path: Path, mark: Fraction) -> float | None:
    """When the picture turns white near ``mark``: the time of the first white frame."""
    with open_media(path) as container:
        stream = container.streams.video[0]
        base = stream.time_base or Fraction(1)
        container.seek(int((mark - 1) / base), stream=stream)
        for frame in container.decode(stream):
            at = (frame.pts or 0) * base
            if at > mark + 1:
                return None
            if at > mark - Fraction(1, 2) and _luma(frame) > 200:
                return float(at)
    return None


def _luma(frame: Any) -> float:
    return float(frame.reformat(format="gray").to_ndarray().mean())


def _tone(path: Path, mark: Fraction) -> float | None:
    """When the sound near ``mark`` is first louder than a tenth of its peak."""
    with open_media(path) as container:
        stream = container.streams.audio[0]
        base = stream.time_base or Fraction(1)
        container.seek(max(0, int((mark - 1) / base)), stream=stream)
        for frame in container.decode(stream):
            at = float((frame.pts or 0) * base)
            if at > mark + 1:
                return None
            loud = np.abs(frame.to_ndarray()).max(axis=0) > 0.05
            if at + len(loud) / frame.sample_rate > mark - Fraction(1, 2) and loud.any():
                return at + int(loud.argmax()) / frame.sample_rate
    return None


# ------------------------------------------------------------------------------------------------------ the two jobs


def long_film(folder: Path, seconds: int, model: str) -> dict[str, object]:
    """Figures of a job from 24 to 60 frames a second, on a film of ``seconds``."""
    film = marked_film(folder / "long.mp4", seconds)
    target = folder / "long_60fps.mp4"
    plan, plan_output = interpolate(f"input={film}", "fps=60", f"model={model}", f"output={target}", "dry_run=true")
    run, run_output = interpolate(f"input={film}", "fps=60", f"model={model}", f"output={target}")
    with open_media(target) as container:
        stream = container.streams.video[0]
        base, stamps = stream.time_base or Fraction(1), []
        for packet in container.demux(stream):
            if packet.size and packet.pts is not None:
                stamps.append(packet.pts)
    stamps.sort()
    first = stamps[0]
    off = max(abs((pts - first) * base - Fraction(n, 60)) for n, pts in enumerate(stamps))
    segments = re.search(r"segments  (\d+)", plan_output)
    return {
        "command": run.command, "source_s": seconds, "planned_frames": seconds * 60, "frames": len(stamps),
        "segments": int(segments.group(1)) if segments else None, "most_off_its_time_ms": float(off) * 1000,
        "plan_s": plan.seconds, "plan_processor_s": plan.processor_s, "plan_peak_mb": plan.peak_mb,
        "seconds": run.seconds, "processor_s": run.processor_s, "frames_per_s": len(stamps) / run.seconds,
        "peak_mb": run.peak_mb, "second_tenth_mb": run.mean_mb(0.1, 0.2), "middle_tenth_mb": run.mean_mb(0.45, 0.55),
        "eighth_tenth_mb": run.mean_mb(0.7, 0.8), "resident_mb": [round(mb) for mb in run.resident_mb],
        "tone_after_flash_ms_source": [round(1000 * e, 2) for e in sync_errors(film, seconds)],
        "tone_after_flash_ms_result": [round(1000 * e, 2) for e in sync_errors(target, seconds)],
        "said": run_output.strip().splitlines()[-1],
    }  # fmt: skip


def huge_frames(folder: Path, size: str, model: str, *words: str) -> dict[str, object]:
    """Three frames of any size doubled; the facts."""
    film = folder / f"{size}.mp4"
    if not film.exists():
        pattern(film, size, 3)
    target = folder / f"{size}_{model}.mp4"
    run, _ = interpolate(f"input={film}", "multi=2", f"model={model}", f"output={target}", *words)
    return {"command": run.command, "size": size, "seconds": run.seconds, "peak_mb": run.peak_mb}


def section(facts: Mapping[str, Any], command: str) -> str:
    """The figures as Markdown, for BENCHMARKS.md."""
    lines = [circumstances(command), ""]
    long, huge = facts.get("long"), facts.get("huge")
    if long:
        counted = f"{long['planned_frames']:,} / {long['frames']:,}, {long['segments']} segments"
        apart = [max(map(abs, long[f"tone_after_flash_ms_{which}"])) for which in ("source", "result")]
        rows = (
            ("Frames planned / written", counted),
            ("Most that a frame is off its time", f"{long['most_off_its_time_ms']:.3f} ms"),
            ("Tone against flash, worst of three marks", f"{apart[1]:.2f} ms (source: {apart[0]:.2f} ms)"),
            ("Plan alone", f"{long['plan_processor_s']:.1f} s of processor time, nothing decoded but the first frames"),
            ("Whole job, check included", f"{long['seconds']:.0f} s, {long['processor_s']:.0f} s of processor time"),
            ("Memory at 15 / 50 / 75 % of the way", " / ".join(
                f"{long[f'{part}_tenth_mb']:.0f}" for part in ("second", "middle", "eighth")) + " MB"),
            ("Most memory, all processes together", f"{long['peak_mb']:.0f} MB"),
        )  # fmt: skip
        lines += [
            f"A film of {long['source_s']:,} s, 64x36, from {RATE} to 60 frames a second: `{long['command']}`.",
            "Its picture turns white and a tone sounds at its beginning, middle and end.", "",
            "| | |", "|--|--|", *(f"| {name} | {value} |" for name, value in rows), "",
        ]  # fmt: skip
    if huge:
        lines += ["Three frames doubled, at the peak of all processes together:", ""]
        lines += ["| command | pictures | memory | time |", "|--|--|--:|--:|"]
        for run in huge:
            peak, seconds = f"{run['peak_mb'] / 1000:.2f} GB", f"{run['seconds']:.0f} s"
            lines.append(f"| `{run['command']}` | {run['size']} | {peak} | {seconds} |")
    return "\n".join(lines)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large", description=__doc__)
    parser.add_argument("--seconds", type=int, default=0, help="length of a long film as well; see benchmarks.endure")
    parser.add_argument("--model", default="hold", help="model of the long film")
    parser.add_argument("--size", default="7680x4320", help="of the huge frames; none: leave them out")
    parser.add_argument("--output", type=Path, default=Path("outputs/bench/large.json"))
    parser.add_argument("--page", type=Path, help="file that gets the figures as a section, as BENCHMARKS.md")
    options = parser.parse_args()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    facts: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=options.output.parent) as place:
        if options.seconds:
            facts["long"] = long_film(Path(place), options.seconds, options.model)
        if options.size != "none":
            facts["huge"] = [huge_frames(Path(place), options.size, model, "scale=0.5") for model in ("blend", "flow")]
    text = json.dumps(facts, indent=1)
    options.output.write_text(text + "\n", encoding="utf-8")
    if options.page:
        write_section(options.page, "large", "Large jobs", section(facts, "make bench-large"))
    for chapter in facts.values():
        for entry in chapter if isinstance(chapter, list) else [chapter]:
            shown = {key: value for key, value in entry.items() if key != "resident_mb"}
            sys.stdout.write(json.dumps(shown, indent=1) + "\n")


if __name__ == "__main__":
    main()
