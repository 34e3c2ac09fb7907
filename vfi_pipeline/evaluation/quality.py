"""Quality of interpolated frames: drop frames of films, rebuild them by every method, compare with the dropped ones.

At factor n every n-th frame is kept and the n - 1 between are rebuilt. PSNR over RGB bytes, SSIM on luma, LPIPS where
its weights are installed; a clip's figure is the mean over its rebuilt frames, a group's the mean over its clips. On a
standard set the figures of its published convention are measured as well (``conventions``).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from vfi_pipeline.errors import BAD_INPUT, USAGE, UserError
from vfi_pipeline.estimation.visibility import visible
from vfi_pipeline.evaluation.baselines import Gaps, Method, RebuiltFrames
from vfi_pipeline.evaluation.conventions import CEILING, Column, Convention
from vfi_pipeline.evaluation.dis import dis_flow
from vfi_pipeline.evaluation.rgb import CHROMA, rgb_frame, to_rgb, unrounded_rgb
from vfi_pipeline.evaluation.samples import Sample
from vfi_pipeline.media.frames import Frame
from vfi_pipeline.metrics import psnr, ssim, warp_error
from vfi_pipeline.nets.perceptual import MIN_SIDE_PX, Perceptual

log = logging.getLogger(__name__)

PLANES = ("film", "rgb")
"""The planes that are interpolated: the film's own, as in the product, or RGB pictures converted from them."""


@dataclass(frozen=True)
class Row:
    """One method on one clip at one factor. ``frames`` holds (PSNR, SSIM) of each rebuilt frame, in order.

    ``warp_error`` is that of the whole rebuilt film against the true film's motion (``metrics.warp_error``); ``nfe`` is
    the mean per pair, ``min_det`` the smallest Jacobian determinant and ``folded`` the mean share of folded area, None
    for methods without an ODE. ``seconds`` is wall time per rebuilt frame. ``published`` maps the titles of the group's
    convention to the values of the rebuilt frames; ``scene`` names the row of a table of the group.
    """

    clip: str
    group: str
    method: str
    rate: int
    psnr: float
    ssim: float
    lpips: float | None
    warp_error: float | None
    seconds: float
    nfe: float | None
    min_det: float | None
    folded: float | None
    frames: tuple[tuple[float, float], ...] = field(repr=False, default=())
    published: Mapping[str, tuple[float, ...]] = field(repr=False, default_factory=dict)
    scene: str = ""


@dataclass(frozen=True)
class Picture:
    """The rebuilt frame of a clip on which the methods differ most; ``frames`` maps method to (H, W, 3) uint8."""

    clip: str
    rate: int
    truth: np.ndarray
    frames: Mapping[str, np.ndarray]
    psnr: Mapping[str, float]


@dataclass
class Results:
    """Everything measured.

    Attributes:
        truth: clip -> the warp error of the true film; a blurred film can be below it.
        skipped: names of the samples that could not be read.
        conventions: group -> the convention of a standard set.
        sizes: group -> the (width, height) of its pictures.
        rounding: methods that return no unrounded frames where a convention needs them.
        planes, chroma: how films were interpolated and converted (``PLANES``, ``rgb.CHROMA``).
    """

    rows: list[Row] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    truth: dict[str, float] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    conventions: dict[str, Convention] = field(default_factory=dict)
    sizes: dict[str, set[tuple[int, int]]] = field(default_factory=dict)
    rounding: dict[str, None] = field(default_factory=dict)
    planes: str = "film"
    chroma: str = "nearest"


def evaluate(
    samples: Iterable[Sample],
    methods: Mapping[str, Method],
    rates: Sequence[int] | None = None,
    perceptual: Perceptual | None = None,
    temporal: bool = True,
    keep_pictures: int = 20,
    say: Callable[[str], None] = log.info,
    after: Callable[[Results], object] = lambda results: None,
    planes: str = "film",
    chroma: str = "nearest",
) -> Results:
    """Rebuilds the dropped frames of every sample at every factor by every method.

    Args:
        samples: clips or triplets; unreadable ones are left out with a warning.
        methods: name -> method, in the table's order.
        rates: factors; a sample is left out at those for which it is too short, or which its set does not have. None:
            those of a standard set; 2 for films.
        perceptual: LPIPS, or None to leave it out.
        temporal: whether to measure temporal consistency of films (the flow of the true film is computed once a clip).
        keep_pictures: number of clips with a picture in the report.
        say: is called with a line for each clip and factor.
        after: is called with the results so far after each clip, to save them.
        planes: one of ``PLANES``. ``rgb``: films become RGB pictures first, as in papers.
        chroma: how chroma becomes RGB, one of ``rgb.CHROMA``.

    Raises:
        UserError: if nothing could be measured, or a standard set has none of ``rates``.
    """
    for option, value, choices in (("planes", planes, PLANES), ("chroma", chroma, CHROMA)):
        if value not in choices:
            raise UserError(f"{option}={value} is not known.", f"{option}= one of {', '.join(choices)}.", USAGE)
    results = Results(planes=planes, chroma=chroma)
    for sample in samples:
        factors = _rates(sample, rates)
        try:
            frames = sample.load()
            _check(sample, frames, factors)
            if planes == "rgb" and not sample.convention:
                frames = [replace(rgb_frame(p), time=f.time) for p, f in zip(to_rgb(frames, chroma), frames)]
        except UserError as error:
            log.warning("%s is left out: %s", label(sample.group, sample.name), error.args[0])
            results.skipped.append(label(sample.group, sample.name))
            continue
        _evaluate_sample(sample, frames, methods, factors, perceptual, temporal, keep_pictures, say, results)
        after(results)
    if not results.rows:
        raise UserError(
            "Nothing could be measured.", "name a folder of films or a data set's root: input=folder.", BAD_INPUT
        )
    return results


def _evaluate_sample(
    sample: Sample,
    frames: list[Frame],
    methods: Mapping[str, Method],
    rates: Sequence[int],
    perceptual: Perceptual | None,
    temporal: bool,
    keep_pictures: int,
    say: Callable[[str], None],
    results: Results,
) -> None:
    rgb = to_rgb(frames, results.chroma)
    deep = None
    if sample.convention:
        results.conventions[sample.group] = sample.convention
        if sample.convention.unrounded or frames[0].format.depth > 8:
            deep = unrounded_rgb(frames)
            frames = [rgb_frame(picture) for picture in deep]
    results.sizes.setdefault(sample.group, set()).add((frames[0].width, frames[0].height))
    motion = _true_motion(rgb) if temporal and not sample.convention else None
    if motion:
        results.truth[sample.name] = _flicker(rgb, motion)
    for rate in rates:
        last_kept = (len(frames) - 1) // rate * rate
        if not last_kept:
            continue
        kept = slice(0, last_kept + 1, rate)
        times = tuple(k / rate for k in range(1, rate))
        gaps = Gaps(frames[kept], rgb[kept], times, None if deep is None else deep[kept], results.chroma)
        missing = [i for i in range(last_kept) if i % rate]
        films: dict[str, np.ndarray] = {}
        for name, method in methods.items():
            rebuilt = method(gaps)
            row, film = _score(sample, name, rate, rebuilt, rgb[: last_kept + 1], missing, motion, perceptual)
            if sample.convention:
                if sample.convention.unrounded and rebuilt.unrounded is None:
                    results.rounding[name] = None
                truth = (rgb if deep is None else deep)[missing]
                row = replace(row, published={c.title: _column(c, rebuilt, truth) for c in sample.convention.columns})
            results.rows.append(row)
            films[name] = film
        rows = results.rows[-len(methods) :]
        say(f"{label(sample.group, sample.name)} {rate}x{_summary_line(rows, sample.convention)}")
        if len(results.pictures) < keep_pictures:
            disagreement = np.std([[value for value, _ in row.frames] for row in rows], axis=0)
            k = int(np.argmax(disagreement))
            results.pictures.append(
                Picture(
                    label(sample.group, sample.name),
                    rate,
                    rgb[missing[k]].copy(),
                    {name: film[missing[k]].copy() for name, film in films.items()},
                    {row.method: row.frames[k][0] for row in rows},
                )
            )


def _score(
    sample: Sample,
    name: str,
    rate: int,
    rebuilt: RebuiltFrames,
    truth: np.ndarray,
    missing: list[int],
    motion: list[tuple[Tensor, Tensor]] | None,
    perceptual: Perceptual | None,
) -> tuple[Row, np.ndarray]:
    assert len(rebuilt.rgb) == len(missing), (name, len(rebuilt.rgb), len(missing))
    values, distances = [], []
    for picture, index in zip(rebuilt.rgb, missing):
        a, b = _tensor(picture), _tensor(truth[index])
        values.append((min(psnr(a, b).item(), CEILING), ssim(a, b).item()))
        if perceptual is not None and min(picture.shape[:2]) >= MIN_SIDE_PX:
            with torch.inference_mode():
                distances.append(perceptual.each(a / 255, b / 255).item())
    film = truth.copy()
    film[missing] = rebuilt.rgb
    reports = rebuilt.reports
    moving = bool(reports) and any(report.nfe for report in reports)
    row = Row(
        sample.name,
        sample.group,
        name,
        rate,
        float(np.mean([decibel for decibel, _ in values])),
        float(np.mean([similarity for _, similarity in values])),
        float(np.mean(distances)) if distances else None,
        _flicker(film, motion) if motion else None,
        rebuilt.seconds / len(missing),
        float(np.mean([report.nfe for report in reports])) if moving else None,
        min(report.min_det for report in reports) if moving else None,
        float(np.mean([report.folded for report in reports])) if moving else None,
        tuple(values),
        scene=sample.scene or sample.name,
    )
    return row, film


def _column(column: Column, rebuilt: RebuiltFrames, truth: np.ndarray) -> tuple[float, ...]:
    """One figure of a convention for each rebuilt frame."""
    pictures = rebuilt.rgb if column.rounded or rebuilt.unrounded is None else rebuilt.unrounded
    return tuple(column.of(_image(picture), _image(true)) for picture, true in zip(pictures, truth))


def _summary_line(rows: Sequence[Row], convention: Convention | None) -> str:
    """A line on one clip: every method's PSNR and SSIM, or the first two figures of the convention."""
    if convention is None:
        return ": " + ", ".join(f"{row.method} {row.psnr:.2f} / {row.ssim:.4f}" for row in rows)
    columns = convention.columns[:2]
    figures = [(row.method, [c.text(float(np.mean(row.published[c.title]))) for c in columns]) for row in rows]
    return f", {' / '.join(c.title for c in columns)}: " + ", ".join(f"{name} {' / '.join(x)}" for name, x in figures)


def label(group: str, clip: str) -> str:
    """A clip's name among all groups: parts of a standard set hold pictures of the same name."""
    return clip if group == "films" else f"{group} {clip}"


def read_rates(rates: object, frames: object) -> list[int] | None:
    """``rates=`` as a list, None where the layout decides.

    Raises:
        UserError: if they or ``frames=`` are not numbers, or leave no frame to rebuild.
    """
    listed = rates if isinstance(rates, list) else [rates]
    factors = [rate for rate in listed if isinstance(rate, int) and rate > 1]
    valid = rates is None or (factors == listed and len(factors) > 0)
    if not valid or not (frames is None or (isinstance(frames, int) and frames > min(factors or [1]))):
        problem = f"rates={rates} and frames={frames} leave no frame to make."
        raise UserError(problem, "whole numbers above 1: rates=[2,8] frames=33.", USAGE)
    return None if rates is None else factors


def _rates(sample: Sample, rates: Sequence[int] | None) -> Sequence[int]:
    """The factors to measure a sample at."""
    if rates is None or sample.rates is None:
        return rates or sample.rates or (2,)
    common = [rate for rate in sample.rates if rate in rates]
    if not common:
        set_rates = ", ".join(map(str, sample.rates))
        raise UserError(
            f"{sample.group} is for factor {set_rates}, not {', '.join(map(str, rates))}.", "leave rates= out."
        )
    return common


def _check(sample: Sample, frames: list[Frame], rates: Sequence[int]) -> None:
    if len(frames) <= min(rates):
        raise UserError(f"it has only {len(frames)} frames.", "give longer clips or a smaller factor.", BAD_INPUT)
    if min(frames[0].width, frames[0].height) < 11:
        raise UserError("it is smaller than 11 px, the window of SSIM.", "give larger clips.", BAD_INPUT)


def _true_motion(rgb: np.ndarray) -> list[tuple[Tensor, Tensor]]:
    """For each pair of neighbours: flow from the later frame to the earlier one, and the mask of points that both show.

    In half precision, because those of a whole clip are in memory at once.
    """
    flows = []
    pictures = [_tensor(picture).float() / 255 for picture in rgb]
    for before, after in zip(pictures, pictures[1:]):
        to_before, to_after = dis_flow(after, before, "fast"), dis_flow(before, after, "fast")
        flows.append((to_before.half(), visible(to_before, to_after).half()))
    return flows


def _flicker(film: np.ndarray, motion: list[tuple[Tensor, Tensor]]) -> float:
    """Mean warp error of the film along the given motion."""
    errors = [
        warp_error(_tensor(a), _tensor(b), flow.float(), mask.float()).item()
        for a, b, (flow, mask) in zip(film, film[1:], motion)
    ]
    errors = [error for error in errors if not math.isnan(error)]
    return float(np.mean(errors)) if errors else float("nan")


def _tensor(picture: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture).copy()).permute(2, 0, 1)[None]


def _image(picture: np.ndarray) -> Tensor:
    """(1, 3, H, W): uint8, or float codes 0..255 as float64 in [0, 1]."""
    return _tensor(picture) if picture.dtype == np.uint8 else _tensor(picture).double() / 255
