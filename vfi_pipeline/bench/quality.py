"""How good the made frames are: drop frames of films, rebuild them by every method, compare with what was dropped.

At factor n every n-th frame is kept and the n - 1 between are made. PSNR over RGB bytes, SSIM on luma, LPIPS where its
weights are on this machine; a clip's figure is the mean of its made frames' values, a group's the mean of its clips'.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from vfi_pipeline.bench.rivals import Gaps, Made, Method, to_rgb
from vfi_pipeline.bench.samples import Sample
from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.media.frames import Frame
from vfi_pipeline.metrics import psnr, ssim, warp_error
from vfi_pipeline.models.dis import dis_flow
from vfi_pipeline.models.visibility import seen
from vfi_pipeline.nets.perceptual import LEAST, Perceptual

log = logging.getLogger(__name__)

CEILING = 100.0
"""dB that an exact frame counts as, so that a mean with one stays a number."""


COMPARE = {
    "player": "RGB as ffmpeg and players make it by default (nearest chroma), of the files' own planes",
    "papers": "RGB pictures with interpolated chroma (ffmpeg's bicubic, accurate), which every method was given",
}
"""What frames are compared as. The two differ by up to 0.4 dB."""


@dataclass(frozen=True)
class Row:
    """One method on one clip at one factor. ``frames`` holds (PSNR, SSIM) of each made frame, in order.

    ``warp_error`` is that of the whole rebuilt film against the true film's motion (``metrics.warp_error``); ``nfe`` is
    the mean per pair, ``min_det`` the smallest Jacobian determinant and ``folded`` the mean share of folded area, None
    for methods without an ODE. ``seconds`` is wall time per made frame.
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


@dataclass(frozen=True)
class Picture:
    """The made frame that says most of a clip: where methods differ. ``made`` maps method to (H, W, 3) uint8."""

    clip: str
    rate: int
    truth: np.ndarray
    made: Mapping[str, np.ndarray]
    psnr: Mapping[str, float]


@dataclass
class Results:
    """Everything measured. ``truth`` maps clip to the warp error of the true film itself: what is to be met; a
    blurred film can be below it. ``compare``: how RGB was made of the frames, one of ``COMPARE``."""

    rows: list[Row] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    truth: dict[str, float] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    compare: str = "player"


def evaluate(
    samples: Iterable[Sample],
    methods: Mapping[str, Method],
    rates: Sequence[int],
    perceptual: Perceptual | None = None,
    temporal: bool = True,
    keep_pictures: int = 20,
    say: Callable[[str], None] = log.info,
    after: Callable[[Results], object] = lambda results: None,
    compare: str = "player",
) -> Results:
    """Rebuilds the dropped frames of every sample at every factor by every method.

    Args:
        samples: clips or triplets; one that cannot be read is left out with a warning.
        methods: name -> method, in the table's order.
        rates: factors; those that a sample is too short for are left out.
        perceptual: LPIPS, or None to leave it out.
        temporal: whether to measure temporal consistency (the true film's flow is found once per clip).
        keep_pictures: how many clips get a picture in the report.
        say: takes one line per finished clip and factor.
        after: is called with all that is known after each clip, to keep it.
        compare: one of ``COMPARE``, for the report; the samples are what it says.

    Raises:
        UserError: if nothing could be measured.
    """
    results = Results(compare=compare)
    for sample in samples:
        try:
            frames = sample.load()
            _check(sample, frames, rates)
        except UserError as error:
            log.warning("%s is left out: %s", sample.name, error.args[0])
            results.skipped.append(sample.name)
            continue
        _evaluate_one(sample, frames, methods, rates, perceptual, temporal, keep_pictures, say, results)
        after(results)
    if not results.rows:
        raise UserError(
            "Nothing could be measured.", "name a folder of films or a data set's root: input=folder.", BAD_INPUT
        )
    return results


def _evaluate_one(
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
    rgb = to_rgb(frames)
    motion = _true_motion(rgb) if temporal else None
    if motion:
        results.truth[sample.name] = _flicker(rgb, motion)
    for rate in rates:
        whole = (len(frames) - 1) // rate * rate
        if not whole or rate not in (sample.rates or rates):
            continue
        gaps = Gaps(frames[: whole + 1 : rate], rgb[: whole + 1 : rate], tuple(k / rate for k in range(1, rate)))
        missing = [i for i in range(whole) if i % rate]
        films: dict[str, np.ndarray] = {}
        for name, method in methods.items():
            made = method(gaps)
            row, film = _score(sample, name, rate, made, rgb[: whole + 1], missing, motion, perceptual)
            results.rows.append(row)
            films[name] = film
        rows = results.rows[-len(methods) :]
        say(f"{sample.name} {rate}x: " + ", ".join(f"{r.method} {r.psnr:.2f} / {r.ssim:.4f}" for r in rows))
        if len(results.pictures) < keep_pictures:
            spread = np.std([[value for value, _ in row.frames] for row in rows], axis=0)
            k = int(np.argmax(spread))
            results.pictures.append(
                Picture(
                    sample.name,
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
    made: Made,
    truth: np.ndarray,
    missing: list[int],
    motion: list[tuple[Tensor, Tensor]] | None,
    perceptual: Perceptual | None,
) -> tuple[Row, np.ndarray]:
    assert len(made.rgb) == len(missing), (name, len(made.rgb), len(missing))
    values, distances = [], []
    for picture, index in zip(made.rgb, missing):
        a, b = _tensor(picture), _tensor(truth[index])
        values.append((min(psnr(a, b).item(), CEILING), ssim(a, b).item()))
        if perceptual is not None and min(picture.shape[:2]) >= LEAST:
            with torch.inference_mode():
                distances.append(perceptual.each(a / 255, b / 255).item())
    film = truth.copy()
    film[missing] = made.rgb
    reports = made.reports
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
        made.seconds / len(missing),
        float(np.mean([report.nfe for report in reports])) if moving else None,
        min(report.min_det for report in reports) if moving else None,
        float(np.mean([report.folded for report in reports])) if moving else None,
        tuple(values),
    )
    return row, film


def _check(sample: Sample, frames: list[Frame], rates: Sequence[int]) -> None:
    if len(frames) <= min(sample.rates or rates):
        raise UserError(f"it has only {len(frames)} frames.", "give longer clips or a smaller factor.", BAD_INPUT)
    if min(frames[0].width, frames[0].height) < 11:
        raise UserError("it is smaller than 11 px, the window of SSIM.", "give larger clips.", BAD_INPUT)


def _true_motion(rgb: np.ndarray) -> list[tuple[Tensor, Tensor]]:
    """Per pair of neighbours: flow from the later frame into the earlier one, and the mask of points seen in both.

    In half precision: they are kept for a whole clip.
    """
    found = []
    pictures = [_tensor(picture).float() / 255 for picture in rgb]
    for before, after in zip(pictures, pictures[1:]):
        to_before, to_after = dis_flow(after, before, "fast"), dis_flow(before, after, "fast")
        found.append((to_before.half(), seen(to_before, to_after).half()))
    return found


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
