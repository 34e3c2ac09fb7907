"""Speed of interpolation on a device and on the same machine's CPU: ``make bench-gpu``, below two minutes on a GPU.

It needs Python, torch, numpy, OpenCV and safetensors, and this checkout: the film is drawn in memory. What needs more
(ffmpeg, PyAV) or does not fit the time is left out with a line that says so.

The rate is that of the stream as films run through it (``synthesis.stream``: detectors, guides, motion, composition,
rounding, copies to and from the device), without decoder and encoder. Stages are timed apart, one after another, each
until the device has finished; in the stream they may overlap, so their sum is no prediction of the rate.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from vfi_pipeline import __version__
from vfi_pipeline.errors import ENVIRONMENT, USAGE, UserError
from vfi_pipeline.estimation.window import Window
from vfi_pipeline.evaluation.page import circumstances, cores, processor, write_section
from vfi_pipeline.media.frames import Colour, Frame, pixel_format
from vfi_pipeline.media.timeline import Slot
from vfi_pipeline.models.flow import FlowModel, load_flow
from vfi_pipeline.models.motion import IntermediateMotion
from vfi_pipeline.models.replay import ReplaySettings
from vfi_pipeline.synthesis import compose
from vfi_pipeline.synthesis.guide import device_guide, guide
from vfi_pipeline.synthesis.options import Options
from vfi_pipeline.synthesis.statistics import Statistics
from vfi_pipeline.synthesis.stream import interpolate

SIZES = "1280x720,1920x1080,3840x2160"
RATES = "2,8"
FILM_FPS = 24
DISTINCT = 8
"""Frames that are drawn; a film runs through them forwards and backwards."""

LEAST_DB, MOST_DIFFERENCE = 45.0, 1e-3
"""Parity with fp32 on the CPU: of the network in half precision, dB; of fp32 on the device, of 1."""

SHARE_DEVICE, SHARE_CPU = 0.4, 0.3
"""Of the time, what the rates on the device and those on the CPU may take together."""


@dataclass
class Figures:
    """All that a run found, as it is saved."""

    machine: dict[str, Any]
    rates: list[dict[str, Any]] = field(default_factory=list)
    stages: list[dict[str, Any]] = field(default_factory=list)
    launches: dict[str, Any] = field(default_factory=dict)
    parity: dict[str, Any] = field(default_factory=dict)
    file: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    seconds: float = 0.0


# ------------------------------------------------------------------------------------------------------------ the film


def drawn_frames(width: int, height: int, number: int = DISTINCT) -> list[Frame]:
    """A textured picture that moves by about 1 % of its width a frame, with a part that moves the other way; 4:2:0."""
    generator = torch.Generator().manual_seed(0)
    form, step = pixel_format("yuv420p"), max(2, round(width / 200) * 2)
    frames = []
    grounds = []
    for sub, low, high in ((1, 16, 235), (2, 64, 192), (2, 64, 192)):
        h, w = -(-height // sub), -(-width // sub) + number * step // sub
        coarse, fine = (torch.rand(1, 1, max(2, h // n), max(2, w // n), generator=generator) for n in (48, 6))
        rough, smooth = (F.interpolate(each, (h, w), mode="bilinear")[0, 0] for each in (fine, coarse))
        texture = torch.lerp(smooth, rough, 0.3)
        grounds.append((low + (high - low) * texture).round().to(torch.uint8).numpy())
    for k in range(number):
        planes = []
        for ground, sub in zip(grounds, (1, 2, 2)):
            w, move = -(-width // sub), k * step // sub
            plane = ground[:, move : move + w].copy()
            top, side, left = plane.shape[0] // 3, plane.shape[0] // 4, w // 3
            steps_back = (number - 1 - k) * step // sub
            part = ground[top : top + side, steps_back : steps_back + side]
            plane[top : top + part.shape[0], left : left + part.shape[1]] = part
            planes.append(plane)
        frames.append(Frame(tuple(planes), form, width, height, Fraction(k, FILM_FPS), Colour()))
    return frames


def film(frames: Sequence[Frame]) -> Iterator[tuple[int, Frame]]:
    """An endless film that runs through the frames forwards and backwards."""
    order = [*range(len(frames)), *range(len(frames) - 2, 0, -1)]
    for index in count():
        picture = frames[order[index % len(order)]]
        yield (
            index,
            Frame(
                picture.planes, picture.format, picture.width, picture.height, Fraction(index, FILM_FPS), picture.colour
            ),
        )


def slots(rate: int) -> Iterator[Slot]:
    for index in count():
        t = Fraction(index % rate, rate)
        yield Slot(index, Fraction(index, rate * FILM_FPS), index // rate, t)


# ------------------------------------------------------------------------------------------------------- measurements


def generated_rate(
    model: FlowModel, frames: Sequence[Frame], rate: int, device: str, budget_s: float
) -> dict[str, Any]:
    """Made frames a second of the stream, after two pairs that do not count, for ``budget_s`` seconds."""
    begin = time.perf_counter()
    reset_peak(device)
    facts, first_s, began, before, until = Statistics(), None, 0.0, 0, 0.0
    options = Options(device=device)
    with closing(interpolate(film(frames), slots(rate), model, options, statistics=facts)) as outputs:  # type: ignore[type-var]
        for output in outputs:
            now = time.perf_counter()
            if output.made and first_s is None:
                first_s = now - begin
            if not began and output.slot.source >= 2:
                began, before, settled = now, facts.made, dict(facts.seconds)
            until = now
            if began and facts.made > before and now - begin >= budget_s:
                break
    frame_count, spent = facts.made - before, until - began
    return {
        "width": frames[0].width, "height": frames[0].height, "rate": rate, "device": device,
        "made_per_s": frame_count / spent, "made": frame_count, "seconds": spent, "first_frame_s": first_s,
        "host_s_per_made": {
            name: (s - settled.get(name, 0.0)) / frame_count for name, s in sorted(facts.seconds.items())
        },
        "peak_device_mb": peak_mb(device),
    }  # fmt: skip


def stage_times(model: FlowModel, frames: Sequence[Frame], device: str, budget_s: float) -> dict[str, Any]:
    """Milliseconds of each stage of a pair, medians; each stage until the device has finished it."""
    taken: dict[str, list[float]] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        wait(device)
        begin = time.perf_counter()
        result = work()
        wait(device)
        taken.setdefault(name, []).append(1000 * (time.perf_counter() - begin))
        return result

    begin, rounds = time.perf_counter(), 0
    while rounds < 2 or (rounds < 20 and time.perf_counter() - begin < budget_s):
        _pair_stages(model, [frames[(rounds + k) % len(frames)] for k in range(4)], device, timed)
        rounds += 1
        if rounds == 1:
            taken.clear()  # results that are computed once for each size
    return {
        "width": frames[0].width, "height": frames[0].height, "device": device, "rounds": rounds - 1,
        "ms": {name: statistics.median(times) for name, times in taken.items()},
    }  # fmt: skip


@torch.inference_mode()
def _pair_stages(
    model: FlowModel, four: list[Frame], device: str, timed: Callable[[str, Callable[[], Any]], Any]
) -> None:
    layout, span = compose.layout_of(four[0]), model.guide_span or 512
    codes = timed("planes to the device (4 frames)", lambda: [compose.to_codes(each, device) for each in four])

    def guide_of(frame: Frame, planes: list[Tensor]) -> Tensor:
        if torch.device(device).type == "cpu":
            return guide(frame, span)
        return device_guide(frame, [compose.as_values(group) for group in planes], span)

    before, first, last, after = timed("guides (4 frames)", lambda: [guide_of(*each) for each in zip(four, codes)])
    window = Window.of(first, last, before, after)
    timed("encode (4 frames)", lambda: [model.encoded(each) for pair in window.pairs() for each in pair])

    def estimate() -> None:
        for pair in window.pairs():
            model.prepare(*pair)

    timed("estimate (3 pairs)", estimate)
    motion = timed("acceleration", lambda: model.motion(window))
    moves = timed("ODE and maps (7 times)", lambda: motion.at([k / 8 for k in range(1, 8)]))
    sources_first, sources_last = timed(
        "what is read of frames (2)", lambda: [compose.sources(each, layout) for each in codes[1:3]]
    )
    frame = timed("composition (1 frame)", lambda: compose.composed(sources_first, sources_last, [moves[3]], layout))
    timed("back (1 frame)", lambda: compose.Arriving(frame, layout, four[1], Fraction(0)).frame())
    timed("facts read", motion.report)


class _Operators(TorchDispatchMode):
    """Counts what PyTorch is asked to do, on any device. Views cost nothing and are left out."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += not func.is_view
        return func(*args, **(kwargs or {}))


def launches(model: FlowModel, frames: Sequence[Frame], device: str) -> dict[str, Any]:
    """What one pair in the midst of a film costs in operators and, on CUDA, in launches, copies and waits; one frame is
    made of it. The pair before it is estimated already, as in a film."""
    layout = compose.layout_of(frames[0])

    def run(counted: Callable[[], Any]) -> Any:
        looks = [guide(each, model.guide_span or 512).to(device) for each in frames[:4]]
        window = Window.of(looks[1], looks[2], looks[0], looks[3])
        for pair in window.pairs()[:2]:
            model.prepare(*pair)
        first, last = (compose.sources(compose.to_codes(each, device), layout) for each in frames[1:3])
        wait(device)
        with counted() as operators:
            moves = model.motion(window).at([0.5])
            compose.Arriving(compose.composed(first, last, moves, layout), layout, frames[1], Fraction(0)).frame()
            wait(device)
        return operators

    with torch.inference_mode():
        for _ in range(1 + ReplaySettings().calls_before_recording):  # what is made once for a size, and graphs
            run(_Operators)
        facts: dict[str, Any] = {"operators": run(_Operators).count}
        if torch.device(device).type == "cuda":
            from torch.profiler import ProfilerActivity, profile

            profiled = run(lambda: profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]))
            calls = {event.key: event.count for event in profiled.key_averages() if event.key.startswith("cu")}
            facts["launches"] = sum(n for name, n in calls.items() if "Launch" in name)
            facts["copies"] = sum(n for name, n in calls.items() if "Memcpy" in name)
            facts["waits"] = sum(n for name, n in calls.items() if "Synchronize" in name)
            facts["calls"] = calls
    return facts


def parity(load: Callable[[str, str], FlowModel], frames: Sequence[Frame], device: str) -> dict[str, Any]:
    """A made frame against that of fp32 on the CPU: largest difference (of 1) of fp32, dB of the half precisions; and
    how many code values the composition that films get differs by, from one motion (``codes``: 1 at most)."""
    layout = compose.layout_of(frames[0])

    def motions(precision: str, where: str) -> list[IntermediateMotion]:
        model = load(precision, where)
        guides = [guide(each, model.guide_span or 512) for each in frames[:4]]
        return model.motion(Window.of(guides[1], guides[2], guides[0], guides[3])).at([0.5])

    def codes(where: str, moves: list[IntermediateMotion]) -> Tensor:
        with torch.inference_mode():
            first, last = (compose.sources(compose.to_codes(each, where), layout) for each in frames[1:3])
            made = compose.composed(first, last, moves, layout)
            return torch.cat([compose.as_values(group).flatten() for group in made]).cpu()

    def render(precision: str, where: str) -> Tensor:
        moves = motions(precision, where)
        with torch.inference_mode():
            planes_first, planes_last = (compose.to_tensors(each, where) for each in frames[1:3])
            groups = compose.planes(planes_first, planes_last, moves, layout)
        shown = torch.cat([group.flatten() for group in groups]).cpu() / layout.format.peak
        return shown.nan_to_num(nan=-1.0, posinf=2.0, neginf=-1.0)  # as far from a picture as can be, and JSON

    reference = render("fp32", "cpu")
    facts: dict[str, Any] = {"fp32_max_difference": float((render("fp32", device) - reference).abs().max())}
    for precision in ("fp16", "bf16"):
        miss = float((render(precision, device) - reference).square().mean())
        facts[f"{precision}_db"] = round(-10 * math.log10(max(miss, 1e-12)), 2)
    moves = motions("fp32", "cpu")
    facts["kernel"] = compose.is_fused(torch.device(device))
    facts["codes"] = float((codes(device, moves) - codes("cpu", moves)).abs().max())
    facts["holds"] = (
        facts["fp32_max_difference"] < MOST_DIFFERENCE
        and facts["codes"] <= 1
        and all(facts[f"{precision}_db"] >= LEAST_DB for precision in ("fp16", "bf16"))
    )
    return facts


DECODERS = {"cuda": "cuda", "xpu": "qsv", "mps": "videotoolbox"}
"""``decode=`` of the machine's own decoder, by the kind of device."""


@contextmanager
def film_file(frames: Sequence[Frame]) -> Iterator[Path]:
    """A film of H.264 that lies in a file meanwhile.

    Raises:
        ImportError, UserError: without ffmpeg.
    """
    from vfi_pipeline.media import ffmpeg

    with tempfile.TemporaryDirectory() as folder:
        path, moving = Path(folder) / "film.mp4", film(frames)
        data = b"".join(plane.tobytes() for _ in range(PAIRS) for plane in next(moving)[1].planes)
        written = ffmpeg.raw_input("yuv420p", frames[0].width, frames[0].height, FILM_FPS).video.output(
            ffmpeg.file_url(path), vcodec="libx264", preset="veryfast", crf=18
        )
        ffmpeg.run(written, "drawing a film", stdin=data)
        yield path


PAIRS = 60
"""Pairs of frames in that film."""


def file_to_nothing(
    model: FlowModel, path: Path, device: str, budget_s: float, decode: str | None = None
) -> dict[str, Any]:
    """A film read from a file, made frames thrown away: made frames a second at 2x.

    Args:
        decode: None: software; else the name of the device's decoder, see ``media.hardware``.

    Raises:
        ImportError, UserError: without PyAV, or where that decoder is not there or does not decode the film.
    """
    from vfi_pipeline.media import hardware
    from vfi_pipeline.media.index import index
    from vfi_pipeline.media.opening import MAX_PIXELS
    from vfi_pipeline.media.probe import probe
    from vfi_pipeline.media.reader import read_frames

    info, method = probe(path), decode or hardware.OFF
    if decode is not None:
        hardware.check_listed(decode)
        if not hardware.is_usable(decode, info, index(info), MAX_PIXELS):
            raise UserError(f"no device decodes it by decode={decode}", "decode=off", ENVIRONMENT)
    facts, begin = Statistics(), time.perf_counter()
    times = (slot for slot, _ in zip(slots(2), range(2 * (PAIRS - 1))))
    with read_frames(info, decode=method) as decoded:
        for _ in interpolate(enumerate(decoded), times, model, Options(device=device), statistics=facts):
            if facts.made and time.perf_counter() - begin > budget_s:
                break
    spent = time.perf_counter() - begin
    return {
        "width": info.video.width, "height": info.video.height, "rate": 2, "device": device, "decode": method,
        "made_per_s": facts.made / spent, "made": facts.made,
    }  # fmt: skip


# ---------------------------------------------------------------------------------------------------------- the device


def wait(device: str) -> None:
    """Until the device has done all that it was told."""
    kind = torch.device(device).type
    if kind == "mps":
        torch.mps.synchronize()
    elif kind != "cpu":
        getattr(torch, kind).synchronize(device)


def reset_peak(device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def peak_mb(device: str) -> float | None:
    """The most memory that PyTorch held on the device, MB; None where it does not say."""
    return torch.cuda.max_memory_reserved(device) / 1e6 if torch.device(device).type == "cuda" else None


def machine(device: str) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "version": __version__, "device": device, "processor": processor(), "cores": cores(),
        "torch": torch.__version__, "python": platform.python_version(), "threads": torch.get_num_threads(),
    }  # fmt: skip
    if torch.device(device).type == "cuda":
        properties = torch.cuda.get_device_properties(torch.device(device))
        facts |= {
            "name": properties.name, "memory_gb": round(properties.total_memory / 1e9, 1), "cuda": torch.version.cuda,
            "tf32_convolutions": torch.backends.cudnn.allow_tf32,
        }  # fmt: skip
    else:
        facts["name"] = facts["processor"] if device == "cpu" else device
    return facts


# ----------------------------------------------------------------------------------------------------------------- run


def measure(
    device: str,
    sizes: Sequence[tuple[int, int]],
    rates: Sequence[int],
    seconds: float,
    weights: str = "flow",
    say: Callable[[str], None] = lambda text: None,
    keep: Callable[[Figures], None] = lambda figures: None,
) -> Figures:
    """Everything, in about ``seconds``; calls ``keep`` after each part, so that an interruption loses no figures."""
    begin, figures = time.perf_counter(), Figures(machine(device))

    def load(precision: str, where: str) -> FlowModel:
        return load_flow(weights, precision=precision, device=where)

    def part(name: str, work: Callable[[], None]) -> None:
        if (late := time.perf_counter() - begin) > seconds:
            figures.left_out.append(f"{name}: the {seconds:g} s were over after {late:.0f}")
            return
        try:
            work()
        except (UserError, RuntimeError, ImportError) as error:
            reason = str(error.args[0] if error.args else error).strip().splitlines() or [type(error).__name__]
            figures.left_out.append(f"{name}: {reason[0]}")
        figures.seconds = round(time.perf_counter() - begin, 1)
        keep(figures)

    drawn: dict[tuple[int, int], list[Frame]] = {}

    def frames(size: tuple[int, int]) -> list[Frame]:
        if size not in drawn:
            drawn.clear()  # one size at a time: 8 frames of 2160p are 100 MB
            drawn[size] = drawn_frames(*size)
        return drawn[size]

    say(title(figures))
    middle = sizes[len(sizes) // 2]
    part("parity", lambda: figures.parity.update(parity(load, drawn_frames(*min(sizes), 4), device)))
    if figures.parity:
        say("parity with fp32 on the CPU: " + ", ".join(f"{k} {v:g}" for k, v in figures.parity.items()))
    each = len(sizes) * len(rates)
    for where, share in ((device, SHARE_DEVICE), *((("cpu", SHARE_CPU),) if device != "cpu" else ())):
        model = load("auto", where)
        for size in sizes:
            for rate in rates:
                label = f"rate {size[0]}x{size[1]} {rate}x on {where}"

                def rated(model: FlowModel = model, size: Any = size, rate: int = rate, where: str = where) -> None:
                    budget = share * seconds / each  # noqa: B023  called before the loop goes on
                    figures.rates.append(generated_rate(model, frames(size), rate, where, budget))
                    say(rate_line(figures.rates[-1]))

                part(label, rated)
            if where == device:

                def staged(model: FlowModel = model, size: Any = size) -> None:
                    figures.stages.append(stage_times(model, frames(size), device, 0.02 * seconds))
                    say(stage_lines(figures.stages[-1]))

                part(f"stages {size[0]}x{size[1]}", staged)
        if where == device:
            part("launches", lambda model=model: figures.launches.update(launches(model, frames(middle), device)))  # type: ignore[misc]
            if figures.launches:
                say("a pair: " + ", ".join(f"{v} {k}" for k, v in figures.launches.items() if k != "calls"))

            def files(model: FlowModel = model) -> None:
                with film_file(frames(middle)) as path:

                    def measured(decode: str | None = None) -> None:
                        found = file_to_nothing(model, path, device, 0.05 * seconds, decode)
                        figures.file.append(found)
                        say(f"file to null, decode={found['decode']}: {rate_line(found)}")

                    measured()
                    if (decode := DECODERS.get(torch.device(device).type)) is not None:
                        part(f"file to null, decode={decode}", lambda: measured(decode))

            part("file to null", files)
    figures.seconds = round(time.perf_counter() - begin, 1)
    for line in figures.left_out:
        say(f"left out: {line}")
    keep(figures)
    return figures


def title(figures: Figures) -> str:
    return " · ".join(f"{key} {value}" for key, value in figures.machine.items())


def rate_line(figures: dict[str, Any]) -> str:
    memory = figures.get("peak_device_mb")
    return (
        f"{figures['width']}x{figures['height']} {figures['rate']}x on {figures['device']}: "
        + f"{figures['made_per_s']:.1f} made frames/s"
        + ("" if memory is None else f", at most {memory:.0f} MB on the device")
    )


def stage_lines(figures: dict[str, Any]) -> str:
    lines = [f"stages at {figures['width']}x{figures['height']}, ms:"]
    return "\n".join(lines + [f"  {ms:8.2f}  {name}" for name, ms in figures["ms"].items()])


def save(path: Path, figures: Figures) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".part")
    draft.write_text(json.dumps(vars(figures), indent=1) + "\n", encoding="utf-8")
    draft.replace(path)


def main(words: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--device", default="auto", help="auto, cuda, cuda:1, mps, xpu or cpu")
    parser.add_argument("--sizes", default=SIZES, help=f"of the frames ({SIZES})")
    parser.add_argument("--rates", default=RATES, help=f"factors of the frame rate ({RATES})")
    parser.add_argument("--seconds", type=float, default=100.0, help="about how long it may take (100)")
    parser.add_argument("--weights", default="flow", help="name or file (flow)")
    parser.add_argument("--count", action="store_true", help="without a device: launches, copies and waits of a pair")
    parser.add_argument("--output", type=Path, default=Path("outputs/bench/gpu.json"))
    parser.add_argument("--page", type=Path, help="a page that gets the tables, as BENCHMARKS.md")
    options = parser.parse_args(words)
    command = shlex.join(["python", "-m", "benchmarks.gpu", *(sys.argv[1:] if words is None else words)])
    try:
        if options.count:
            text = counted(_sizes(options.sizes)[0], _rates(options.rates), options.weights)
            say(text)
            if options.page:
                body = f"{COUNT_NOTE}\n\n{text}\n{circumstances(command)}"
                write_section(options.page, "gpu_count", "What a pair asks of a GPU", body)
            return 0
        figures = measure(
            available(options.device), _sizes(options.sizes), _rates(options.rates), options.seconds, options.weights,
            say, lambda figures: save(options.output, figures),
        )  # fmt: skip
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return error.code
    if options.page:
        write_section(options.page, "gpu", "On a device", f"{page_text(figures)}\n\n{circumstances(command)}")
    sys.stdout.write(f"{options.output}, after {figures.seconds:.0f} s\n")
    return 0


COUNT_NOTE = (
    "Counted without a device, on fake tensors: *operators* are PyTorch's calls, *launched* what the stream starts of "
    "them where CUDA graphs and Triton's kernel work; *copies* lie between host and device; at *waits* the host reads "
    "a result. No GPU was at hand to time them."
)


def page_text(figures: Figures) -> str:
    """What was measured, as Markdown."""
    lines = [title(figures), "", "| frames in memory | on | made frames/s | MB on the device |", "|--|--|--:|--:|"]
    for rate in figures.rates:
        memory = rate.get("peak_device_mb")
        lines.append(
            f"| {rate['width']}x{rate['height']}, {rate['rate']}x | {rate['device']} | {rate['made_per_s']:.1f} | "
            + ("" if memory is None else f"{memory:.0f}")
            + " |"
        )
    for found in figures.file:
        lines += ["", f"File to null, decode={found['decode']}: {rate_line(found)}."]
    for stages in figures.stages:
        lines += ["", f"| ms at {stages['width']}x{stages['height']} | |", "|--|--:|"]
        lines += [f"| {name} | {ms:.2f} |" for name, ms in stages["ms"].items()]
    if figures.parity:
        lines += ["", "Against fp32 on the CPU: " + ", ".join(f"{k} {v:g}" for k, v in figures.parity.items()) + "."]
    if figures.launches:
        lines += ["", "A pair: " + ", ".join(f"{v} {k}" for k, v in figures.launches.items()) + "."]
    lines += [f"\nLeft out: {line}" for line in figures.left_out]
    return "\n".join(lines)


def counted(size: tuple[int, int], rates: Sequence[int], weights: str) -> str:
    """The tables of ``launch_counts``, one for each rate."""
    from benchmarks.launch_counts import count as launch_count
    from benchmarks.launch_counts import table

    frames = drawn_frames(*size, 4)
    return "\n".join(
        f"{size[0]}x{size[1]}, {rate}x:\n\n{table(launch_count(frames, weights, times=rate - 1))}\n" for rate in rates
    )


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def available(device: str) -> str:
    """The device asked for; ``auto`` is the first that is there.

    Raises:
        UserError: if it is not.
    """
    if device == "auto":
        devices = (("cuda", torch.cuda), ("xpu", torch.xpu), ("mps", torch.backends.mps))
        return next((kind for kind, module in devices if module.is_available()), "cpu")
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"device={device} is not here: {reason}", "--device cpu", ENVIRONMENT) from None
    return device


def _sizes(text: str) -> list[tuple[int, int]]:
    try:
        sizes = [(int(w), int(h)) for w, h in (each.split("x") for each in text.split(","))]
    except ValueError:
        sizes = []
    if not sizes or min(min(size) for size in sizes) < 16:
        raise UserError(f"--sizes {text} are no sizes of 16 pixels and more.", f"--sizes {SIZES}", USAGE)
    return sizes


def _rates(text: str) -> list[int]:
    rates = [int(each) for each in text.split(",") if each.isdigit()]
    if len(rates) != len(text.split(",")) or min(rates) < 2:
        raise UserError(f"--rates {text} are no factors of 2 and more.", f"--rates {RATES}", USAGE)
    return rates


if __name__ == "__main__":
    raise SystemExit(main())
