"""Speed and memory of the product, of ffmpeg's minterpolate and of DIS flow: ``evaluate.py speed=true``.

Everything is measured in one run on one machine, because only ratios carry over to another one. Each table is saved
when it is complete. Steps that do not fit the time are left out and named.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.large import Measured, interpolate
from benchmarks.scene import demo_scene
from vfi_pipeline.errors import UserError
from vfi_pipeline.estimation.window import Window
from vfi_pipeline.evaluation import page as pages
from vfi_pipeline.evaluation.baselines import Gaps, baseline, minterpolate_filter, to_rgb
from vfi_pipeline.evaluation.samples import read_film
from vfi_pipeline.media import ffmpeg
from vfi_pipeline.media.frames import Frame
from vfi_pipeline.media.timeline import SourceTimes, Timeline
from vfi_pipeline.models.motion import MotionModel, PairMotion
from vfi_pipeline.synthesis import stream

RATE = 30
ENCODING = ("codec=x264", "preset=veryfast", "crf=18")
X264 = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-pix_fmt", "yuv420p")
BASELINES = {"dis-fast": "DIS flow, blended", "blend": "cross-fade"}


@dataclass(frozen=True)
class Film:
    """What is measured on: a drawn film with camera motion and an object that crosses, H.264, ``RATE`` per second."""

    width: int = 1280
    height: int = 720
    frames: int = 61


@dataclass
class Spent:
    """Wall and processor seconds; those of finished child processes count as ours."""

    wall: float = 0.0
    cpu: float = 0.0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        wall, cpu = time.perf_counter(), _cpu()
        try:
            yield
        finally:
            self.wall += time.perf_counter() - wall
            self.cpu += _cpu() - cpu


def _cpu() -> float:
    parts = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(part.ru_utime + part.ru_stime for part in parts)


@dataclass
class Cost:
    """Seconds that a method takes per made frame at a factor; ``pair`` and ``frame`` split ours, by wall time."""

    method: str
    rate: int
    wall: float
    cpu: float
    ours: bool = False
    pair: float | None = None  # once for each pair: guide, network, ODE
    frame: float | None = None  # for each rebuilt frame: warps, blend, rounding


@dataclass
class Figures:
    """All figures of a run, in the order of their measurement; ``missing`` names the others with the reason."""

    costs: list[Cost] = field(default_factory=list)
    stages: dict[str, dict[str, float]] = field(default_factory=dict)  # model: stage: wall seconds per pair at 2x
    ends: list[dict[str, Any]] = field(default_factory=list)
    profile: dict[str, dict[str, float]] = field(default_factory=dict)
    memory: list[dict[str, Any]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    load: list[float | None] = field(default_factory=list)


MEMORY = (("1920x1080", 8, ""), ("3840x2160", 4, ""), ("320x180", 6 * RATE, "6 s"), ("320x180", 60 * RATE, "60 s"))
LIMITS_MB = {"1920x1080": 1500, "3840x2160": 4000}


def report(
    folder: Path,
    models: dict[str, MotionModel],
    command: str,
    say: Callable[[str], None],
    page: Path | None = None,
    minutes: float = 15.0,
    film: Film = Film(),
    held: Sequence[tuple[str, int, str]] = MEMORY,
) -> str:
    """Measures and returns the tables as Markdown; ``speed.md`` and ``speed.json`` in ``folder`` grow with each step.

    Args:
        models: motion models by name, built; the first one is the one that the longer measurements are made of.
        page: the file whose section ``speed`` is replaced when the run ends.
        minutes: steps that would begin later are left out, and named.
        held: the films whose memory is measured: size, frames, and how long that is.

    Raises:
        UserError: if ffmpeg is not there. A step that fails is named in ``missing``.
    """
    begin = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    figures = Figures(load=[pages.load()])
    first = next(iter(models))
    say(f"Drawing {film.frames} frames of {film.width}x{film.height}.")
    path = drawn_film(folder, film)

    def keep() -> str:
        text = pages.circumstances(command) + "\n\n" + tables(figures, film, first)
        (folder / "speed.json").write_text(json.dumps(asdict(figures), indent=1) + "\n", encoding="utf-8")
        (folder / "speed.md").write_text(text, encoding="utf-8")
        return text

    with tempfile.TemporaryDirectory(dir=folder) as place:
        work = Path(place)
        steps: list[tuple[str, Iterator[None]]] = [
            ("a made frame", per_frame(path, models, figures)),
            ("where the time goes", profile(path, models[first], work, figures)),
            ("file to file", end_to_end(path, list(models), work, figures, film)),
            ("memory", memory(first, work, figures, held)),
        ]
        for name, step in steps:
            say(f"Measuring {name} ({(time.monotonic() - begin) / 60:.1f} min so far).")
            try:
                while (late := time.monotonic() - begin > 60 * minutes) or next(step, "end") != "end":
                    if late:
                        figures.missing.append(f"{name}, or the rest of it (the {minutes:g} minutes were over)")
                        break
                    keep()
            except UserError as error:
                figures.missing.append(f"{name} ({error.args[0]})")
            keep()
    figures.load.append(pages.load())
    text = keep()
    if page is not None:
        pages.write_section(page, "speed", f"Speed and memory, {film.width}x{film.height}", text)
    return text


def drawn_film(folder: Path, film: Film) -> Path:
    """The film to be measured on, drawn once a folder: a camera that pans and zooms, a cup that crosses."""
    path = folder / f"drawn_{film.width}x{film.height}_{film.frames}.mp4"
    return _drawn(path, film, vcodec="libx264", preset="veryfast", crf=17, pix_fmt="yuv420p")


def demo_film(folder: Path) -> Path:
    """A lossless film of 33 small pictures of the same kind, to measure quality on where no other is given."""
    return _drawn(folder / "drawn.mkv", Film(640, 360, 33), vcodec="ffv1", pix_fmt="yuv444p")


def _drawn(path: Path, film: Film, **encoding: Any) -> Path:
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        scene = demo_scene(film.width, film.height, cut=max(1.6, film.frames / RATE))  # one shot
        data = b"".join(scene.draw(index / RATE).tobytes() for index in range(film.frames))
        draft = path.with_name("draft_" + path.name)
        spec = ffmpeg.raw_input("rgb24", film.width, film.height, RATE).video.output(ffmpeg.file_url(draft), **encoding)
        ffmpeg.run(spec, f"drawing {path.name}", stdin=data)
        os.replace(draft, path)
    return path


# ------------------------------------------------------------------------------------------------------ a made frame


class Clocked:
    """A motion model that measures its time: ``network`` for the estimate of a pair, ``ode`` for the maps."""

    def __init__(self, model: MotionModel) -> None:
        self.model, self.name, self.guide_span = model, model.name, model.guide_span
        self.spent = {"network": Spent(), "ode": Spent()}

    def motion(self, window: Window) -> PairMotion:
        """The model's own, timed."""
        with self.spent["network"]():
            motion = self.model.motion(window)
        return _ClockedMotion(motion, self.spent["ode"])


class _ClockedMotion:
    def __init__(self, motion: PairMotion, spent: Spent) -> None:
        self.motion, self.spent = motion, spent

    def at(self, times: Sequence[float]) -> Any:
        with self.spent():
            return self.motion.at(times)

    def report(self) -> Any:
        return self.motion.report()


def run_stream(
    model: MotionModel, frames: Sequence[Frame], rate: int, prefetch: int = stream.Options.prefetch
) -> tuple[dict[str, float], Spent, int]:
    """Runs the product's own stream over frames in memory at ``rate`` times theirs.

    Args:
        prefetch: see ``stream.Options``; 0 does one thing after another, so that the stages add up to the whole.

    Returns:
        Wall seconds by stage (guide, network, ode, compose), the whole, and the number of made frames.
    """
    clocked, facts, total = Clocked(model), stream.Statistics(), Spent()
    times = SourceTimes(range(len(frames)), Fraction(1, RATE), Fraction(1, RATE))
    slots = [slot for slot in Timeline(times, Fraction(RATE * rate)).slots() if slot.source < len(frames) - 1]
    with total():
        options = stream.Options(scene=False, prefetch=prefetch)
        for _ in stream.interpolate(enumerate(frames), slots, clocked, options, times, facts):
            pass
    parts = {name: spent.wall for name, spent in clocked.spent.items()}
    guide = facts.seconds.get("guide", 0.0)
    parts["network"] -= guide  # the model asks for the guides
    stages = {"guide": guide, **parts, "compose": facts.seconds.get("compose", 0.0)}
    return stages, total, facts.made


def per_frame(path: Path, models: dict[str, MotionModel], figures: Figures, rounds: int = 3) -> Iterator[None]:
    """Fills ``costs`` and ``stages``: ours and the baselines in turn, ``rounds`` times, medians.

    Yields after each factor, as the other steps do after each of their rows. Ours starts anew each time: 30 pairs, or 7
    at 8x, the start included.
    """
    frames = read_film(path, 61)
    for rate, kept in ((2, frames[::2]), (8, frames[::8])):
        gaps = Gaps(kept, to_rgb(kept), tuple(k / rate for k in range(1, rate)))
        expected_count = (len(kept) - 1) * (rate - 1)
        runs_of: dict[tuple[str, bool], list[tuple[Spent, dict[str, float] | None]]] = {}
        for turn in range(rounds + 1):
            for name, model in models.items():
                stages, spent, count = run_stream(model, kept, rate)
                assert count == expected_count, (name, count, expected_count)
                if turn:  # the first turn warms up
                    runs_of.setdefault((name, True), []).append((spent, stages))
            for name in BASELINES:
                spent = Spent()
                with spent():
                    baseline(name)(gaps)
                if turn:
                    runs_of.setdefault((name, False), []).append((spent, None))
            if turn in (1, rounds):
                runs_of.setdefault(("minterpolate", False), []).append((_filtered(kept, rate), None))
        for (name, ours), runs in runs_of.items():
            wall, cpu = (
                statistics.median(getattr(run, key) for run, _ in runs) / expected_count for key in ("wall", "cpu")
            )
            cost = Cost(name, rate, wall, cpu, ours)
            parts = [stages for _, stages in runs if stages is not None]
            if parts:
                middle = {key: statistics.median(part[key] for part in parts) for key in parts[0]}
                cost.pair = sum(middle[key] for key in ("guide", "network", "ode")) / (len(kept) - 1)
                cost.frame = middle["compose"] / expected_count
                figures.stages[f"{name} {rate}x"] = {
                    key: value / (expected_count if key == "compose" else len(kept) - 1)
                    for key, value in middle.items()
                }
            figures.costs.append(cost)
        yield


def _filtered(frames: Sequence[Frame], rate: int) -> Spent:
    """ffmpeg's filter alone: with it, less the same without it (start, reading). Its output is thrown away."""
    taken = []
    for filtered in (True, False):
        spent = Spent()
        with spent():
            minterpolate_filter(frames, rate, filtered)
        taken.append(spent)
    return Spent(taken[0].wall - taken[1].wall, taken[0].cpu - taken[1].cpu)


# --------------------------------------------------------------------------------------------------------- a profile


def profile(path: Path, model: MotionModel, work: Path, figures: Figures) -> Iterator[None]:
    """Fills ``profile``: every stage of a 2x job by itself, one after another, wall and processor seconds."""
    spent: dict[str, Spent] = {}
    with spent.setdefault("decode", Spent())():
        frames = read_film(path, 31)
    rebuilt: list[Frame] = []
    clocked, facts = Clocked(model), stream.Statistics()
    times = SourceTimes(range(len(frames)), Fraction(1, RATE), Fraction(1, RATE))
    slots = Timeline(times, Fraction(2 * RATE)).slots()
    whole = Spent()
    with whole():
        for output in stream.interpolate(enumerate(frames), slots, clocked, stream.Options(prefetch=0), times, facts):
            rebuilt.append(output.frame)
    spent["cut detection"] = _share(whole, facts.seconds.get("detect", 0.0))
    spent["colour conversion (guide)"] = _share(whole, facts.seconds.get("guide", 0.0))
    spent["network"], spent["ODE"] = clocked.spent["network"], clocked.spent["ode"]
    spent["synthesis"] = _share(whole, facts.seconds.get("compose", 0.0))
    first = rebuilt[0]
    spec = ffmpeg.raw_input(first.format.name, first.width, first.height, 2 * RATE).video.output(
        ffmpeg.file_url(work / "encoded.mp4"), vcodec="libx264", preset="veryfast", crf=18
    )
    data = b"".join(plane.tobytes() for frame in rebuilt for plane in frame.planes)
    with spent.setdefault("encode", Spent())():
        ffmpeg.run(spec, "encoding", stdin=data)
    figures.profile = {stage: {**asdict(part), "frames": len(rebuilt)} for stage, part in spent.items()}
    yield


def _share(whole: Spent, wall: float) -> Spent:
    """A stage with only its wall time measured gets the same share of the processor time."""
    return Spent(wall, whole.cpu * wall / whole.wall)


# -------------------------------------------------------------------------------------------------------- end to end


ENDS, LONG = 3, 20.0
"""File to file: the fastest of the first number of runs counts, because load at the start, whose time is subtracted,
would look like speed afterwards. Runs longer than the second number, in seconds, are not repeated."""


def end_to_end(path: Path, models: Sequence[str], work: Path, figures: Figures, film: Film) -> Iterator[None]:
    """Fills ``ends``: files to files at twice the rate; the floor repeats frames.

    ``interpolate.py`` also starts, plans, joins and verifies: a run on a quarter of the film separates these.
    """
    count, url = 2 * film.frames, ffmpeg.file_url(path)

    def filtered(name: str, video_filter: str, frames: int) -> None:
        command = ["-nostdin", "-loglevel", "error", "-y", "-i", url, "-frames:v", str(frames)]
        command += ["-vf", video_filter, *X264, ffmpeg.file_url(work / "minterpolate.mp4")]
        wall, cpu = _fastest(lambda: ffmpeg.run(command, f"measuring {name}"))
        figures.ends.append({"name": name, "frames": frames, "wall": wall, "cpu": cpu, "start": None})

    filtered("floor: decode, repeat, encode", f"fps={2 * RATE}", count)
    yield
    short = Fraction(film.frames // 4, RATE)
    for name in models:
        taken: dict[int, list[tuple[float, float]]] = {}
        for turn in range(ENDS):
            for words, frames in (([f"end={float(short):.4f}"], 2 * (film.frames // 4)), ([], count)):
                target = work / f"{name}_{turn}_{frames}.mp4"
                run, _ = interpolate(
                    f"input={path}", f"output={target}", "multi=2", f"model={name}", "scene=off", *ENCODING, *words
                )
                taken.setdefault(frames, []).append((run.seconds, run.processor_s))
            if run.seconds > LONG:
                break
        (few, (begin, _)), (many, (whole, cpu)) = ((frames, min(runs)) for frames, runs in taken.items())
        rate = (many - few) / max(whole - begin, 1e-9)
        start = max(0.0, whole - many / rate)
        figures.ends.append({"name": name, "frames": many, "wall": whole, "cpu": cpu, "start": start})
        yield
    _dis_end_to_end(path, work, figures)
    yield
    filtered("ffmpeg minterpolate", minterpolate_words(2 * RATE), min(count, 32))
    yield


def _fastest(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor seconds of the fastest of ``ENDS`` runs."""
    runs = []
    for _ in range(ENDS):
        spent = Spent()
        with spent():
            work()
        runs.append((spent.wall, spent.cpu))
    return min(runs)


def minterpolate_words(rate: int) -> str:
    """The filter as typed on a command line."""
    return f"minterpolate=fps={rate}:mi_mode=mci:mc_mode=aobmc:me_mode=bidir:vsbmc=1:scd=none"


def _dis_end_to_end(path: Path, work: Path, figures: Figures, frames: int = 16) -> None:
    """DIS flow with a blend as a program of this kind would do it: decode to RGB, make, encode."""

    def whole() -> None:
        kept = read_film(path, frames)
        rgb = to_rgb(kept)
        rebuilt = baseline("dis-fast")(Gaps(kept, rgb, (0.5,))).rgb
        both = np.stack((rgb[:-1], rebuilt), axis=1).tobytes()
        size = kept[0].width, kept[0].height
        spec = ffmpeg.raw_input("rgb24", *size, 2 * RATE).video.output(
            ffmpeg.file_url(work / "dis.mp4"), vcodec="libx264", preset="veryfast", crf=18, pix_fmt="yuv420p"
        )
        ffmpeg.run(spec, "encoding", stdin=both)

    wall, cpu = _fastest(whole)
    figures.ends.append(
        {"name": "DIS flow, blended", "frames": 2 * (frames - 1), "wall": wall, "cpu": cpu, "start": None}
    )


# ------------------------------------------------------------------------------------------------------------ memory


def memory(model: str, work: Path, figures: Figures, films: Sequence[tuple[str, int, str]]) -> Iterator[None]:
    """Fills ``memory``: the most that ``interpolate.py`` and its ffmpeg together held in core, at three sizes."""
    for size, frames, length in films:
        path = pattern_film(work / f"{size}_{frames}.mp4", size, frames)
        run: Measured = interpolate(
            f"input={path}", f"output={work / 'out.mp4'}", "multi=2", f"model={model}", "overwrite=true", *ENCODING
        )[0]
        name = f"{size}, {length or f'{frames} frames'}"
        figures.memory.append({"name": name, "size": size, "peak_mb": run.peak_mb, "seconds": run.seconds})
        yield


def pattern_film(path: Path, size: str, frames: int) -> Path:
    """A moving test pattern, H.264."""
    pattern = f"testsrc2=size={size}:rate={RATE}"
    command = ["-nostdin", "-loglevel", "error", "-y", "-f", "lavfi", "-i", pattern, "-frames:v", str(frames)]
    command += ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", ffmpeg.file_url(path)]
    ffmpeg.run(command, f"drawing {path.name}")
    return path


# ------------------------------------------------------------------------------------------------------------ tables


def tables(figures: Figures, film: Film, first: str) -> str:
    """The figures so far, as Markdown."""
    parts = [_busy(figures), _cost_table(figures, film), _stage_table(figures), _end_table(figures, film)]
    parts += [_profile_table(figures, first), _memory_table(figures)]
    if figures.missing:
        parts.append("Not measured: " + "; ".join(figures.missing) + ".")
    return "\n\n".join(part for part in parts if part) + "\n"


def _busy(figures: Figures) -> str:
    loads = [load for load in figures.load[:1] if load is not None]
    if loads and loads[0] > 0.5 * pages.cores():
        return f"**The machine was busy** ({loads[0]:.1f} processes when it began): read the ratios with care."
    return ""


def _label(name: str, ours: bool) -> str:
    return f"**ours**, `model={name}`" if ours else {"minterpolate": "ffmpeg minterpolate", **BASELINES}[name]


def _cost_table(figures: Figures, film: Film) -> str:
    if not figures.costs:
        return ""
    at = {(cost.method, cost.ours, cost.rate): cost for cost in figures.costs}
    lines = [
        f"### A made frame, {film.width}x{film.height}",
        "",
        "Wall seconds (processor seconds) per made frame, frames in memory; beside them the multiple of "
        "minterpolate's wall time at the same factor (`mci:aobmc:bidir:vsbmc=1:scd=none`, filter alone).",
        "",
        "| | 2x | of minterpolate | 8x | of minterpolate | 8x / 2x |",
        "|--|--:|--:|--:|--:|--:|",
    ]
    for name, ours in dict.fromkeys((cost.method, cost.ours) for cost in figures.costs):
        at_2x, at_8x = at.get((name, ours, 2)), at.get((name, ours, 8))
        cells = []
        for cost in (at_2x, at_8x):
            beside = at.get(("minterpolate", False, cost.rate)) if cost else None
            cells.append(f"{cost.wall:.4f} ({cost.cpu:.4f})" if cost else "-")
            cells.append(f"{cost.wall / beside.wall:.2f}" if cost and beside else "-")
        cells.append(f"{at_8x.wall / at_2x.wall:.2f}" if at_2x and at_8x else "-")
        lines.append(f"| {_label(name, ours)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _stage_table(figures: Figures) -> str:
    if not figures.stages:
        return ""
    lines = [
        "### Once a pair, and for every made frame",
        "",
        "Wall milliseconds. Motion and synthesis of several pairs run side by side: each takes longer than it would "
        "alone, and together they are more than the whole.",
        "",
        "| | guide, a pair | motion, a pair | ODE, a pair | synthesis, a made frame |",
        "|--|--:|--:|--:|--:|",
    ]
    for name, stage in figures.stages.items():
        cells = [f"{1e3 * stage[key]:.1f}" for key in ("guide", "network", "ode", "compose")]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _end_table(figures: Figures, film: Film) -> str:
    if not figures.ends:
        return ""
    floor = next((row for row in figures.ends if row["name"].startswith("floor")), None)
    lines = [
        f"### File to file, {film.width}x{film.height}, {RATE} to {2 * RATE} fps, x264 veryfast",
        "",
        "Output frames per second of wall time once it runs; start-up, planning, joining and verification are told "
        "apart (from runs on a quarter of the film). The fastest of three runs each; of one, where it takes long.",
        "",
        "| | output frames/s | of the floor | start and end, s | whole run, s | frames | processor s per frame |",
        "|--|--:|--:|--:|--:|--:|--:|",
    ]
    for row in figures.ends:
        ours = row["start"] is not None
        rate = row["frames"] / (row["wall"] - (row["start"] or 0.0))
        share = f"{100 * rate * floor['wall'] / floor['frames']:.0f} %" if floor else "-"
        name = _label(row["name"], True) if ours else row["name"]
        start = f"{row['start']:.1f}" if ours else "-"
        lines.append(
            f"| {name} | {rate:.2f} | {share} | {start} | {row['wall']:.1f} | {row['frames']} | "
            f"{row['cpu'] / row['frames']:.3f} |"
        )
    return "\n".join(lines)


def _profile_table(figures: Figures, first: str) -> str:
    if not figures.profile:
        return ""
    total = sum(part["cpu"] for part in figures.profile.values())
    lines = [
        f"### Where the time goes: `model={first}`, 2x",
        "",
        "Each stage by itself, one after another; in a job they overlap. Per output frame.",
        "",
        "| stage | processor ms | per cent | wall ms |",
        "|--|--:|--:|--:|",
    ]
    for stage, part in figures.profile.items():
        count = part["frames"]
        lines.append(
            f"| {stage} | {1e3 * part['cpu'] / count:.1f} | {100 * part['cpu'] / total:.1f} | "
            f"{1e3 * part['wall'] / count:.1f} |"
        )
    floor = figures.profile["decode"]["cpu"] + figures.profile["encode"]["cpu"]
    lines += ["", f"Decode and encode, which any program pays, are {100 * floor / total:.0f} % of it."]
    return "\n".join(lines)


def _memory_table(figures: Figures) -> str:
    if not figures.memory:
        return ""
    lines = [
        "### Memory",
        "",
        "The most that `interpolate.py` and its ffmpeg together held in core.",
        "",
        "| film | peak, MB | limit, MB |",
        "|--|--:|--:|",
    ]
    for row in figures.memory:
        lines.append(f"| {row['name']} | {row['peak_mb']:.0f} | {LIMITS_MB.get(row['size'], '-')} |")
    short, long = (
        next((row for row in figures.memory if row["name"].endswith(end)), None) for end in (" 6 s", " 60 s")
    )
    if short and long:
        growth = 100 * (long["peak_mb"] / short["peak_mb"] - 1)
        verdict = "within 10 %" if growth <= 10 else "MORE THAN 10 %"
        lines += ["", f"Ten times the length takes {growth:+.1f} % of memory: {verdict}."]
    return "\n".join(lines)
