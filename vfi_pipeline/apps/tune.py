"""Settings measured on a second of a film, on this machine: ``vfi tune film.mkv fps=60``.

Speed: the second goes through the job's own threads, from the decoder to the encoder. Quality: every other frame of the
second is left out, made again from its neighbours and compared with the truth, so the step that is bridged is twice the
film's own: figures are lower than what the film gets, and their order is what counts.
"""

from __future__ import annotations

import logging
import math
import shlex
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from vfi_pipeline.errors import UserError
from vfi_pipeline.jobs.frame_maker import FrameMaker
from vfi_pipeline.jobs.method import SPANS, resolve_device
from vfi_pipeline.jobs.plan import Plan, Segment
from vfi_pipeline.jobs.prepare import prepare
from vfi_pipeline.jobs.progress import Progress
from vfi_pipeline.jobs.request import Request, film_request
from vfi_pipeline.jobs.values import clock_text, size_text
from vfi_pipeline.media import reader
from vfi_pipeline.media.frames import Frame, pixel_format
from vfi_pipeline.media.timeline import Moments, SourceTimes
from vfi_pipeline.media.writer import FrameWriter, open_writer, segment_name
from vfi_pipeline.shots import thumbnails

log = logging.getLogger(__name__)

MODELS = ("blend", "flow")
"""Models that are compared where the user names none."""

FASTER = {"libx264": "veryfast", "libx265": "superfast", "libsvtav1": "11", "libvpx-vp9": "8"}
"""Encoder -> a preset with which it takes a fraction of its usual time."""


@dataclass(frozen=True)
class Measure:
    """What is measured, and what counts as a difference; chosen by hand.

    Attributes:
        length_s: s of the film that are measured...
        least_frames, most_frames: ...source frames of them...
        most_bytes: ...and fewer where their pictures take more bytes than this.
        places: shares of the film's duration; the place with most motion is taken.
        scales: values of ``scale=``, where the model knows it.
        encoder_share: share of a setting's time that the encoder alone takes, from which on a faster preset is tried.
        encoded_frames: frames on which the encoder alone is measured.
        night_h: h; what "in time for tomorrow" means.
        same_db: dB of PSNR that make no difference.
        balanced_db: dB of PSNR that "balanced" gives away for speed.
        patience_s: s; a setting is not tried where a lighter one has taken longer for its second.
    """

    length_s: Fraction = Fraction(1)
    least_frames: int = 9
    most_frames: int = 31
    most_bytes: int = 400_000_000
    places: tuple[Fraction, ...] = (Fraction(1, 4), Fraction(1, 2), Fraction(3, 4))
    scales: tuple[float, ...] = (2.0, 1.0, 0.5, 0.25)
    encoder_share: float = 0.25
    encoded_frames: int = 14
    night_h: float = 12
    same_db: float = 0.05
    balanced_db: float = 0.5
    patience_s: float = 90


MEASURE = Measure()


@dataclass(frozen=True)
class Setting:
    """Options to try, beside the user's own: name -> text."""

    options: tuple[tuple[str, str], ...]

    @property
    def label(self) -> str:
        return " ".join(f"{name}={value}" for name, value in self.options) or "as asked"


@dataclass(frozen=True)
class Measured:
    """What a setting gives.

    Attributes:
        frames_per_s: output frames, from the decoder to the encoder, once it runs.
        seconds, bytes: estimated for the whole film.
        psnr: of left-out source frames, dB over RGB bytes, mean over frames; None if none could be judged.
    """

    setting: Setting
    frames_per_s: float
    seconds: float
    bytes: float
    psnr: float | None


@dataclass(frozen=True)
class Stretch:
    """The second: source frames ``first .. last`` by number, and all their pictures."""

    first: int
    frames: tuple[Frame, ...]

    @property
    def last(self) -> int:
        return self.first + len(self.frames) - 1


def tune(
    path: str, options: Mapping[str, str], tell: Callable[[str], None] = log.info
) -> tuple[Plan, Stretch, list[Measured]]:
    """Measures the settings that fit.

    Args:
        path: the film, as ``input=``.
        options: the job's, as typed; what they fix is not varied.
        tell: hears of each setting before it is measured.

    Raises:
        UserError: if the film or the options are no job, or the film is too short.
    """
    request = film_request([path], options)
    if request.options.at is not None or request.options.style is not None:
        raise UserError("tune measures films; at= and style= are something else.", "fps=60, multi= or slowmo= alone.")
    film = request.film
    plan = prepare(film, request.options, request.model_choice, film.files, many=False)
    stretch = choose_stretch(plan, request)
    results: list[Measured] = []
    slow: set[str] = set()
    with tempfile.TemporaryDirectory(prefix="vfi-tune-") as folder:
        waiting = settings_of(plan, request, options)
        while waiting:
            setting = waiting.pop(0)
            name = dict(setting.options)
            if _kind(name) in slow:
                tell(f"{setting.label}: left out, a lighter setting has taken more than {MEASURE.patience_s} s")
                continue
            tell(f"measuring {setting.label}")
            start = time.monotonic()
            result, encoder_share = measure(path, options, setting, plan, stretch, Path(folder))
            results.append(result)
            if time.monotonic() - start > MEASURE.patience_s:
                slow.add(_kind(name))
            preset = FASTER.get(plan.encoding.encoder)
            if preset and "preset" not in {**options, **name} and encoder_share > MEASURE.encoder_share:
                waiting.insert(0, Setting((*setting.options, ("preset", preset))))
    return plan, stretch, results


def _kind(options: Mapping[str, str]) -> str:
    """Settings of one kind differ by the scale alone."""
    return " ".join(f"{name}={value}" for name, value in options.items() if name not in ("scale", "preset"))


def settings_of(plan: Plan, request: Request, given: Mapping[str, str]) -> list[Setting]:
    """What is tried: models, scales and devices that the user has not chosen, the lightest first."""
    devices = [given["device"]] if "device" in given else list(dict.fromkeys([resolve_device("auto"), "cpu"]))
    fixed = "model" in given or "weights" in given or any(name.startswith("model.") for name in given)
    models = [request.model_choice.name] if fixed else list(MODELS)
    settings = []
    for device in devices:
        for model in models:
            for scale in scales_of(model, plan, given):
                options = [] if len(devices) == 1 else [("device", device)]
                options += [] if fixed else [("model", model)]
                options += [] if scale is None else [("scale", f"{scale:g}")]
                settings.append(Setting(tuple(options)))
    return settings


def scales_of(model: str, plan: Plan, given: Mapping[str, str]) -> list[float | None]:
    """Scales that make a difference: those up to the picture's own size."""
    from vfi_pipeline.configuration import compose_model

    settings = compose_model(model).settings
    spans = [settings[name] for name in SPANS if settings.get(name)]
    if not spans or "scale" in given:
        return [None]
    longest = max(plan.info.video.width, plan.info.video.height)
    useful = [
        scale for scale in MEASURE.scales if (scale <= 1 or max(spans) * scale <= longest) and min(spans) * scale >= 64
    ]
    return [*sorted(useful)] or [1.0]


def choose_stretch(plan: Plan, request: Request) -> Stretch:
    """The second with most motion, of those at ``MEASURE.places``.

    Raises:
        UserError: if the film has too few frames to leave some out.
    """
    times, (low, high) = plan.timeline.times, plan.timeline.sources_shown
    if high - low < 4:
        raise UserError(
            f"{plan.info.path.name} has {high - low + 1} frames: too few to leave some out.", "a film of five or more."
        )
    begin, end = times.time(low), times.time(high)
    starts = []
    for place in MEASURE.places:
        middle = begin + (end - begin) * place
        first = max(low, times.shown_at(max(times.first, middle - MEASURE.length_s / 2)))
        starts.append(max(low, min(first, high + 1 - MEASURE.least_frames)))
    video = plan.info.video
    form = pixel_format(video.working_format)
    size = sum(math.prod(form.plane_size(k, video.width, video.height)) for k in range(len(form.planes)))
    most = max(MEASURE.least_frames, min(MEASURE.most_frames, MEASURE.most_bytes // (size * form.dtype.itemsize)))
    best: tuple[float, Stretch] | None = None
    for first in dict.fromkeys(starts):
        last = max(
            first + MEASURE.least_frames - 1,
            times.shown_at(min(times.time(first) + MEASURE.length_s, times.time(high))),
        )
        last = min(last, high, first + most - 1)
        with reader.read_numbered(
            plan.info, first, last + 1,
            allow_damaged=request.options.allow_damaged, max_pixels=request.options.max_pixels,
        ) as source:  # fmt: skip
            stretch = Stretch(first, tuple(frame for _, frame in source))
        if len(stretch.frames) < 5:
            continue
        lumas = [thumbnails.luma(frame, 96).astype(np.float32) for frame in stretch.frames]
        # The median: a cut is no motion.
        motion = float(np.median([np.abs(b - a).mean() for a, b in zip(lumas, lumas[1:])]))
        if best is None or motion > best[0]:
            best = motion, stretch
    if best is None:
        raise UserError(f"{plan.info.path.name} cannot be read in one piece.", "allow_damaged=true.")
    return best[1]


def measure(
    path: str, given: Mapping[str, str], setting: Setting, whole: Plan, stretch: Stretch, folder: Path
) -> tuple[Measured, float]:
    """A setting, and the share of its time that the encoder alone would take."""
    times, start = whole.timeline.times, whole.info.start
    output = f"%08d{Path(whole.encoding.pattern).suffix}" if whole.encoding.finish == "images" else whole.target.name
    own: dict[str, object] = {**given, **dict(setting.options), "output": folder / output, "name": None, "report": None}
    request = film_request([path], own)
    asked = replace(
        request.options, start=times.time(stretch.first) - start, end=times.time(stretch.last) - start, overwrite=True
    )
    request = replace(request, options=asked)
    film = request.film
    plan = prepare(film, request.options, request.model_choice, film.files, many=False)
    maker = FrameMaker(plan, request.options, request.model_choice, Progress(film.label, plan.timeline.count))
    model, options = maker.tools
    moments: list[float] = []
    shown: list[Frame] = []

    def open_segment(segment: Segment) -> AbstractContextManager[FrameWriter]:
        name = segment_name(plan.encoding, segment.number)
        return _keeping(open_writer(folder / name, plan.spec, plan.encoding, segment.start), shown)

    began = time.perf_counter()
    maker.run(
        list(plan.segments), open_segment, lambda segment, frames, facts: None,
        lambda interpolated: moments.append(time.perf_counter()),
    )  # fmt: skip
    moments.append(time.perf_counter())  # the encoder has ended
    speed = pace(began, moments)
    size = sum(_bytes(folder / segment_name(plan.encoding, segment.number)) for segment in plan.segments)
    share = speed * _encoding_s(plan, shown, folder)
    count = whole.timeline.count
    psnr = judged(model, options, whole.timeline.times, stretch)
    return Measured(setting, speed, count / speed, size * count / plan.timeline.count, psnr), share


@contextmanager
def _keeping(opened: FrameWriter, shown: list[Frame]) -> Iterator[FrameWriter]:
    """The writer, whose first frames are kept in ``shown``."""
    with opened as writer:
        write = writer.write

        def keep(frame: Frame) -> None:
            if len(shown) < MEASURE.encoded_frames:
                shown.append(frame)
            write(frame)

        writer.write = keep  # type: ignore[method-assign]
        yield writer


def _encoding_s(plan: Plan, frames: Sequence[Frame], folder: Path) -> float:
    """Seconds a frame that the encoder alone takes: its start, which two frames show, is taken off."""
    took = []
    for some in (frames[:2], frames):
        start = time.perf_counter()
        with open_writer(folder / segment_name(plan.encoding, 0), plan.spec, plan.encoding) as writer:
            for frame in some:
                writer.write(frame)
        took.append(time.perf_counter() - start)
    return max(0.0, took[1] - took[0]) / max(1, len(frames) - 2)


def pace(start: float, moments: Sequence[float]) -> float:
    """Frames per second once the threads run: over the last three quarters of the frames, of many; over all, of few.

    Args:
        start: when it began, s.
        moments: when each frame was written, and when all had ended.
    """
    frames = len(moments) - 1
    skipped = frames // 4 if frames >= 16 else 0
    since = moments[skipped - 1] if skipped else start
    return (frames - skipped) / max(1e-6, moments[-1] - since)


def judged(model: Any, options: Any, times: SourceTimes, stretch: Stretch) -> float | None:
    """Mean PSNR of every second frame of the stretch, made again from its neighbours; None where all are held."""
    import torch

    from vfi_pipeline.metrics.psnr import psnr
    from vfi_pipeline.synthesis import stream
    from vfi_pipeline.synthesis.rgb import to_rgb

    frames = stretch.frames[: len(stretch.frames) - 1 + len(stretch.frames) % 2]
    pts = [times.pts[stretch.first + k] for k in range(len(frames))]
    kept = SourceTimes(pts[::2], times.time_base, Fraction(1))
    timeline = Moments(kept, Fraction(1), [p * times.time_base for p in pts[1::2]])
    free = replace(options, scaling=None, exposure_s=None, max_gap_s=None, cuts=None, dedup=False, mask=None)
    values = []
    outputs: Iterator[Any] = stream.interpolate(enumerate(frames[::2]), timeline.slots(), model, free, kept)
    for output in outputs:
        truth = frames[2 * output.slot.index + 1]
        if output.made:
            frame_made, true = ((to_rgb(frame) * 255 + 0.5).floor().to(torch.uint8) for frame in (output.frame, truth))
            values.append(float(psnr(frame_made, true, offset=1e-10)))
    return sum(values) / len(values) if values else None


def _bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in (path.iterdir() if path.is_dir() else [path]))


# ------------------------------------------------------------------------------------------------------- what is told


@dataclass(frozen=True)
class Advice:
    """A setting to take, what for, and a sentence where that needs one."""

    name: str
    result: Measured
    note: str = ""


def advise(results: Sequence[Measured], night_h: float = MEASURE.night_h) -> list[Advice]:
    """ "best", "balanced" and "in time for tomorrow". Pure.

    - best: the highest PSNR; of those within ``MEASURE.same_db`` the fastest.
    - balanced: the fastest within ``MEASURE.balanced_db`` of it.
    - in time for tomorrow: the best of those that end within ``night_h`` hours, else the fastest of all.
    """
    if not results:
        return []
    best = _best(results)
    near = [each for each in results if _quality(each) >= _quality(best) - MEASURE.balanced_db]
    balanced = max(near, key=lambda each: each.frames_per_s)
    done = [each for each in results if each.seconds <= 3600 * night_h]
    if done:
        tomorrow = Advice("in time for tomorrow", _best(done))
    else:
        fastest = max(results, key=lambda each: each.frames_per_s)
        note = f"nothing is done in {night_h:g} h here: the fastest takes {clock_text(fastest.seconds)}"
        tomorrow = Advice("in time for tomorrow", fastest, note)
    return [Advice("best", best), Advice("balanced", balanced), tomorrow]


def _quality(result: Measured) -> float:
    return -np.inf if result.psnr is None else result.psnr


def _best(results: Iterable[Measured]) -> Measured:
    candidates = list(results)
    top = max(map(_quality, candidates))
    return max(
        (each for each in candidates if _quality(each) >= top - MEASURE.same_db), key=lambda each: each.frames_per_s
    )


def command(path: str, options: Mapping[str, str], setting: Setting) -> str:
    """The line to type for a setting."""
    words = {**options, **dict(setting.options)}
    return shlex.join(["vfi", "interpolate", f"input={path}", *(f"{name}={value}" for name, value in words.items())])


def report(
    path: str, options: Mapping[str, str], plan: Plan, stretch: Stretch, results: Sequence[Measured]
) -> list[str]:
    """Lines for people: the table, and the commands."""
    times, start = plan.timeline.times, plan.info.start
    begin, end = (float(times.time(k) - start) for k in (stretch.first, stretch.last))
    video = plan.info.video
    lines = [
        f"{plan.info.path.name}: {video.width} x {video.height}, {plan.timeline.count} frames to write; measured on "
        f"{begin:.2f} s to {end:.2f} s ({len(stretch.frames)} frames), with {plan.encoding.encoder}",
        "",
    ]
    rows = [("setting", "frames/s", "whole film", "size", "PSNR")]
    for each in results:
        quality = "-" if each.psnr is None else f"{each.psnr:.2f} dB"
        rows.append(
            (each.setting.label, f"{each.frames_per_s:.2f}", clock_text(each.seconds), size_text(each.bytes), quality)
        )
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))]
        lines.append("  ".join(cells).rstrip())
    lines += [
        "",
        "PSNR: every other source frame left out and made again, against the truth. Time and size: the second's, times",
        "the film's length. The machine was as busy as it is now.",
    ]
    for advice in advise(results):
        lines += ["", f"{advice.name}{_reason(advice)}", f"  {command(path, options, advice.result.setting)}"]
    return lines


def _reason(advice: Advice) -> str:
    why = {
        "best": "",
        "balanced": f" (at most {MEASURE.balanced_db:g} dB below the best)",
        "in time for tomorrow": f" (done in {MEASURE.night_h} h, if the machine is left alone)",
    }[advice.name]
    return f" ({advice.note})" if advice.note else why


def as_json(
    path: str, options: Mapping[str, str], plan: Plan, stretch: Stretch, results: Sequence[Measured]
) -> dict[str, Any]:
    """The same for programs."""

    def row(each: Measured) -> dict[str, Any]:
        figures = {"frames_per_s": each.frames_per_s, "seconds": each.seconds, "bytes": each.bytes, "psnr": each.psnr}
        return {"options": dict(each.setting.options), **figures, "command": command(path, options, each.setting)}

    return {
        "input": path,
        "frames": plan.timeline.count,
        "measured": {"first": stretch.first, "last": stretch.last},
        "settings": [row(each) for each in results],
        "advice": {advice.name: {**row(advice.result), "note": advice.note} for advice in advise(results)},
    }
