"""``make demo``: a film with known motion goes through ``interpolate.py`` and is measured against the truth."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
import wave
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.scene import Scene, demo_scene
from vfi_pipeline.errors import ENVIRONMENT, UserError
from vfi_pipeline.evaluation.baselines import Gaps, baseline, to_rgb
from vfi_pipeline.evaluation.samples import read_film
from vfi_pipeline.media import ffmpeg
from vfi_pipeline.media.frames import Frame
from vfi_pipeline.metrics import psnr, ssim
from vfi_pipeline.viz.filmstrip import GENERATED, NEUTRAL, SOURCE, Cell, beside, crop, filmstrip

OURS = "ours"


@dataclass(frozen=True)
class Timing:
    """Which pictures the film holds. The truth runs at ``rate``; the source shows every ``step``-th of its pictures."""

    rate: int = 60
    step: int = 4
    frames: int = 180
    cut: int = 96
    """First true picture of the second shot."""
    held: tuple[int, int] = (32, 44)
    """Source frames [from, to) in which every second frame repeats the one before it, as in film on twos."""

    @property
    def sources(self) -> int:
        return -(-self.frames // self.step)

    def shown(self, source: int) -> int:
        """The true picture that source frame ``source`` shows."""
        repeats = self.held[0] <= source < self.held[1] and (source - self.held[0]) % 2
        return self.step * (source - 1 if repeats else source)

    def pair(self, index: int) -> tuple[int, int, Fraction] | None:
        """The distinct source pictures around true picture ``index``, as numbers of the truth, and its t between them.

        None where a source frame shows it, where the two lie in different shots, and after the last source frame.
        """
        keys = sorted({self.shown(source) for source in range(self.sources)})
        before = max(key for key in keys if key <= index)
        after = min((key for key in keys if key > index), default=None)
        if after is None or before == index or before < self.cut <= after:
            return None
        return before, after, Fraction(index - before, after - before)

    def groups(self) -> dict[str, list[int]]:
        """The indices of the interpolated pictures, grouped by difficulty."""
        rebuilt = [index for index in range(self.frames) if self.pair(index)]
        twos = range(self.held[0] * self.step, self.held[1] * self.step)
        return {
            "all": rebuilt,
            "pan, zoom, occlusion": [index for index in rebuilt if index < self.cut],
            "on twos": [index for index in rebuilt if index in twos],
        }


@dataclass(frozen=True)
class Row:
    """A method's figures: means of per-frame values in each group, and made frames per second of wall time."""

    method: str
    psnr_db: dict[str, float]
    ssim: dict[str, float]
    made_per_s: float


@dataclass(frozen=True)
class Facts:
    """What ``interpolate.py`` said of its work; None where its model has no such figure."""

    seconds: float
    nfe_per_pair: float | None
    min_det: float | None
    folded_percent: float | None


# ------------------------------------------------------------------------------------------------------- the run


def run(
    root: Path,
    folder: Path,
    words: Sequence[str],
    say: Callable[[str], None],
    timing: Timing = Timing(),
    size: tuple[int, int] = (640, 360),
) -> None:
    """Draws the film, interpolates it as a user would, measures, and leaves everything in ``folder``.

    Args:
        root: where ``interpolate.py`` is.
        words: further options for it, as ``model=blend``.
        say: takes lines for the person at the terminal.

    Raises:
        UserError: if ``interpolate.py`` or ffmpeg fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    source, truth, film = folder / "source_15fps.mp4", folder / "truth_60fps.mkv", folder / "film_60fps.mp4"
    say(f"Drawing {timing.frames} pictures with known motion; every {timing.step}th becomes the film to interpolate.")
    draw(demo_scene(*size, cut=timing.cut / timing.rate), timing, source, truth)
    facts = interpolate(root, source, film, timing.rate, words, say)
    true, ours = read(truth)[1], read(film)[1]
    frames, given = read(source)
    if len(ours) != timing.frames:
        raise UserError(f"{film.name} holds {len(ours)} frames, not {timing.frames}.", "report this as a bug.")
    say(f"Measuring, and the same frames by {', '.join(BASELINES.values())}.")
    rebuilt, seconds = {OURS: ours}, {OURS: facts.seconds}
    gaps = Gaps(frames, given, tuple(k / timing.step for k in range(1, timing.step)))
    for name in BASELINES:
        rebuilt[name], seconds[name] = rebuild(name, gaps, timing)
    rows, worth = score(rebuilt, seconds, true, timing)
    table = "\n".join(table_lines(rows, facts, timing))
    (folder / "table.md").write_text(table + "\n", encoding="utf-8")
    record = {"rows": [asdict(row) for row in rows], "interpolate": asdict(facts), "options": list(words)}
    (folder / "table.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    strip(rebuilt, true, worth, timing).save(folder / "filmstrip.png", optimize=True)
    write_beside(given, ours, film, folder / "side_by_side.mp4", timing)
    say("\n" + table + "\n")
    for path in (film, folder / "side_by_side.mp4", folder / "filmstrip.png", folder / "table.md", truth):
        say(f"  {path}")


def draw(scene: Scene, timing: Timing, source: Path, truth: Path) -> None:
    """Writes the true film (FFV1, lossless) and the film that shows ``timing``'s share of it (H.264), with beeps."""
    indices = {timing.shown(number) for number in range(timing.sources)}
    kept: dict[int, np.ndarray] = {}
    sound = truth.with_suffix(".wav")
    beeps(sound, timing)

    def pictures() -> Iterator[np.ndarray]:
        for index in range(timing.frames):
            picture = scene.draw(index / timing.rate)
            if index in indices:
                kept[index] = picture
            yield picture

    size = scene.width, scene.height
    write_film(truth, pictures(), size, Fraction(timing.rate), sound, vcodec="ffv1", acodec="flac")
    shown = (kept[timing.shown(number)] for number in range(timing.sources))
    rate = Fraction(timing.rate, timing.step)
    write_film(source, shown, size, rate, sound, vcodec="libx264", crf=8, acodec="aac", audio_bitrate="160k")
    sound.unlink()


def beeps(path: Path, timing: Timing, samples_per_s: int = 48000) -> None:
    """A beep every half second, and a higher one on the cut: 16-bit mono WAV as long as the film."""
    clock = np.arange(timing.frames * samples_per_s // timing.rate) / samples_per_s
    signal = np.zeros_like(clock)
    moments = [(k / 2, 880.0) for k in range(math.ceil(clock[-1] * 2))] + [(timing.cut / timing.rate, 1320.0)]
    for begin, pitch in moments:
        since = clock - begin
        envelope = np.clip(np.minimum(since / 0.004, (0.09 - since) / 0.03), 0, 1)
        signal += 0.4 * envelope * np.sin(2 * np.pi * pitch * since)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(samples_per_s)
        file.writeframes((signal.clip(-1, 1) * 32767).round().astype("<i2").tobytes())


def interpolate(
    root: Path, source: Path, film: Path, rate: int, words: Sequence[str], say: Callable[[str], None]
) -> Facts:
    """Runs the command that a user would type; its progress goes to the terminal."""
    report = film.with_suffix(".report.json")
    options = [f"input={source}", f"fps={rate}", f"output={film}", "dedup=on", "overwrite=true", *words]
    say("$ python interpolate.py " + " ".join(options))
    options.append(f"report={report}")
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, str(root / "interpolate.py"), *options], stdout=subprocess.PIPE, text=True, check=False
    )
    seconds = time.perf_counter() - begin
    if done.returncode != 0:
        raise UserError(
            f"interpolate.py failed on the demo's film (exit code {done.returncode}).",
            "see its message above.",
            ENVIRONMENT,
        )
    say(done.stdout.rstrip())
    return read_facts(report, seconds)


def read_facts(report: Path, seconds: float) -> Facts:
    """The figures of the one film in ``interpolate.py``'s report."""
    (film,) = json.loads(report.read_text(encoding="utf-8"))["films"]
    folded = film["folded"]
    return Facts(seconds, film["nfe_per_pair"], film["min_det"], None if folded is None else 100 * folded)


# ---------------------------------------------------------------------------------------------------- the baselines

BASELINES = {"minterpolate": "ffmpeg minterpolate", "blend": "linear blend", "hold": "frame hold (nearer)"}


def rebuild(name: str, gaps: Gaps, timing: Timing) -> tuple[np.ndarray, float]:
    """The whole film by a baseline, and its seconds: the source's frames and what it made between them.

    It does not know of the cut and of the repeated frames.
    """
    result = baseline(name)(gaps)
    out = gaps.rgb[np.arange(timing.frames) // timing.step].copy()  # the last frame stays for its own duration
    between = [i for i in range(timing.step * (timing.sources - 1)) if i % timing.step]
    out[between] = result.rgb
    return out, result.seconds


# ------------------------------------------------------------------------------------------------------ the table


def score(
    rebuilt: dict[str, np.ndarray], seconds: dict[str, float], true: np.ndarray, timing: Timing
) -> tuple[list[Row], dict[str, dict[int, float]]]:
    """The rows of the table, and the PSNR of every made picture by method."""
    groups = timing.groups()
    rows, worth = [], {}
    for name, frames in rebuilt.items():
        decibel, similarity = {}, {}
        for index in groups["all"]:
            ours, theirs = _image(frames[index]), _image(true[index])
            decibel[index], similarity[index] = float(psnr(ours, theirs)), float(ssim(ours, theirs))
        worth[name] = decibel
        rows.append(
            Row(
                BASELINES.get(name, name),
                {group: float(np.mean([decibel[i] for i in chosen])) for group, chosen in groups.items()},
                {group: float(np.mean([similarity[i] for i in chosen])) for group, chosen in groups.items()},
                len(groups["all"]) / seconds[name],
            )
        )
    return rows, worth


def table_lines(rows: Sequence[Row], facts: Facts, timing: Timing) -> list[str]:
    """The table in Markdown, and what it counts."""
    groups = list(timing.groups())
    lines = [
        "| made frames, PSNR dB / SSIM | " + " | ".join(groups) + " | made frames/s |",
        "|--|" + "--:|" * (len(groups) + 1),
    ]
    for row in rows:
        cells = [f"{row.psnr_db[group]:.2f} / {row.ssim[group]:.4f}" for group in groups]
        lines.append(f"| {row.method} | " + " | ".join(cells) + f" | {row.made_per_s:.1f} |")
    count = len(timing.groups()["all"])
    lines += [
        "",
        f"{count} of {timing.frames} frames are made; per-frame values against the true pictures, averaged. "
        f"Left out: the {timing.step - 1} frames at the cut and the {timing.step - 1} after the last source frame.",
        f"Our frames/s is wall time from start to finished file ({facts.seconds:.1f} s), loading, codecs and "
        "checking included. The others' is for making the frames alone. Nothing in them looks for repeated frames.",
    ]
    if facts.nfe_per_pair is not None:
        lines.append(
            f"Our motion: {facts.nfe_per_pair:.0f} velocity calls per pair for all t, smallest Jacobian determinant "
            f"{facts.min_det:.3f}, {facts.folded_percent:.2f} % of the area folded."
        )
    return lines


# ---------------------------------------------------------------------------------------------------- the pictures


def strip(
    rebuilt: dict[str, np.ndarray], true: np.ndarray, worth: dict[str, dict[int, float]], timing: Timing
) -> Image.Image:
    """Two source frames, the frames between them, and an enlarged middle frame by each method."""
    source = timing.cut // timing.step // 2 - 1  # in the first shot, as the cup passes the middle
    first, last = timing.shown(source), timing.shown(source + 1)
    frames = rebuilt[OURS]
    top = []
    for index in range(first, last + 1):
        is_source = index in (first, last)
        t = Fraction(index - first, last - first)
        top.append(
            Cell(frames[index], SOURCE if is_source else GENERATED, "source" if is_source else "made", f"t = {t}")
        )
    middle = (first + last) // 2
    # Where a cross-fade errs most, there is the motion: look there.
    ghost = np.abs(rebuilt["blend"][middle].astype(float) - true[middle]).sum(axis=2)
    rows, columns = np.indices(ghost.shape)
    centre = float((columns * ghost).sum() / ghost.sum()), float((rows * ghost).sum() / ghost.sum())
    closer = round(true.shape[2] * 0.4), round(true.shape[1] * 0.4)
    cells = [Cell(crop(true[middle], centre, *closer), NEUTRAL, "truth", "t = 1/2")]
    for name, pictures in rebuilt.items():
        colour = GENERATED if name == OURS else NEUTRAL
        label, note = BASELINES.get(name, name), f"{worth[name][middle]:.1f} dB"
        cells.append(Cell(crop(pictures[middle], centre, *closer), colour, label, note))
    legend = [(SOURCE, "frame of the 15 fps film"), (GENERATED, "made by interpolate.py fps=60")]
    return filmstrip([top, cells], legend=legend)


def write_beside(given: np.ndarray, ours: np.ndarray, film: Path, target: Path, timing: Timing) -> None:
    """The source as a player shows it beside our film, with its sound."""
    low, high = f"source, {timing.rate // timing.step} fps", f"interpolate.py, {timing.rate} fps"
    pictures = (beside(given[i // timing.step], ours[i], (low, high)) for i in range(timing.frames))
    size = 2 * ours.shape[2], ours.shape[1] + 40
    write_film(target, pictures, size, Fraction(timing.rate), film, vcodec="libx264", crf=16, acodec="copy")


def write_film(
    path: Path, pictures: Iterable[np.ndarray], size: tuple[int, int], rate: Fraction, sound: Path, **codecs: object
) -> None:
    """Encodes RGB pictures as 8-bit 4:2:0 BT.709 with the sound of another file."""
    colour = "scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd+full_chroma_int+bicubic,format=yuv420p"
    tags = "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv"
    spec = ffmpeg.raw_input("rgb24", *size, rate).video.output(
        ffmpeg.media_input(sound).audio, ffmpeg.file_url(path), vf=f"{colour},{tags}", **codecs
    )
    with ffmpeg.open_process(spec, f"writing {path.name}", pipe_stdin=True) as process:
        try:
            for picture in pictures:
                process.stdin.write(np.ascontiguousarray(picture).tobytes())
        except BrokenPipeError:
            process.finish()


def read(path: Path) -> tuple[list[Frame], np.ndarray]:
    """All frames of a film, and the same as RGB: uint8 (N, H, W, 3)."""
    frames = read_film(path, None)
    return frames, to_rgb(frames)


def _image(picture: np.ndarray) -> Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1)[None]
