"""``adapt=true``: fine-tunes the learned model on the film itself before the job; its own frames are the truth.

Of three frames in a row the middle one is dropped and predicted. Every fifth triplet, spread over the film, is held
out; the adapted weights are kept only if they predict those better than the weights that they began with. They stand
beside the output, and a resumed job, or the same job again, takes them from there. docs/fit.md says what it gains.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vfi_pipeline.errors import ENVIRONMENT, UserError
from vfi_pipeline.jobs.fingerprint import content_hash
from vfi_pipeline.jobs.method import Method, resolve_device
from vfi_pipeline.jobs.options import Options
from vfi_pipeline.jobs.plan import Plan
from vfi_pipeline.jobs.prepare import input_fingerprint
from vfi_pipeline.jobs.sources import Film

if TYPE_CHECKING:
    import numpy as np

    from vfi_pipeline.data.batch import Triplet
    from vfi_pipeline.models.flow import FlowInterpolator

log = logging.getLogger(__name__)

LOOK_AT = 60
"""Triplets taken of a film, evenly spread; each holds 9 MB while the weights are adapted."""

HELD_OUT = 5
"""Every so-manieth triplet is not learned from but judged by."""

CROP, BATCH, LEARNING_RATE = 256, 4, 1e-4
STILL, CUT = 0.002, 0.25
"""Mean absolute difference of neighbours (of 1) below which nothing moves, and above which nothing is followed."""


@dataclass(frozen=True)
class Gain:
    """PSNR of the held-out frames before and after, steps made and seconds taken."""

    before: float
    after: float
    steps: int
    seconds: float
    triplets: int


def adapted(plan: Plan, film: Film, options: Options, method: Method) -> Method:
    """The method with weights adapted to the film, or as it is where that was not asked for or does not help.

    Raises:
        UserError: if the model has no weights, or the result cannot be stored.
    """
    if not options.adapt:
        return method
    assert method.weights is not None and method.reweighted is not None, "choose_method has refused the others"
    path = adapted_path(plan.target)
    asked = {
        "film": str(sorted(input_fingerprint(film).items())),
        "base": content_hash(method.weights),
        "steps": options.adapt_steps,
        "minutes": float(options.adapt_minutes),
    }
    known = _known(path, asked)
    if known is None:
        known = _learn(plan, film, options, method.weights, path, asked)
    if not known:
        return method
    log.info("%s: weights adapted to the film are taken from %s.", film.label, path.name)
    return method.reweighted(path)


def adapted_path(target: Path) -> Path:
    """Where the adapted weights of an output stand."""
    return target.with_name(f"{target.stem.replace('%', '_')}.adapted.safetensors")


def _known(path: Path, asked: dict) -> bool | None:
    """Whether weights made for this very task are there and help; None if they have to be made."""
    from vfi_pipeline.models.checkpoint import load_model

    if not path.is_file():
        return None
    try:
        _, card = load_model(path)
    except UserError:
        return None  # half a file of a job that was cut off, or of another version
    if card.data.get("asked") != asked:
        return None
    return bool(card.data.get("helps"))


def _learn(plan: Plan, film: Film, options: Options, base: Path, path: Path, asked: dict) -> bool:
    from vfi_pipeline.models.checkpoint import Card, load_model, save_model
    from vfi_pipeline.models.flow import FlowInterpolator

    model, card = load_model(base)
    if not isinstance(model, FlowInterpolator):
        raise UserError(f"{base.name} holds weights of another model.", "adapt=true with model=flow.")
    span = max(CROP, min(model.guide_span, round(model.guide_span * options.scale)))
    triplets = list(read_triplets(plan, options, span, model.net.stride, model.start))
    if len(triplets) < 2 * HELD_OUT:
        log.warning("%s: too little moves in it to adapt to (%d triplets).", film.label, len(triplets))
        return False
    model.to(resolve_device(options.device))
    gain = fine_tune(model, triplets, options.adapt_steps, 60 * float(options.adapt_minutes), film.label)
    helps = gain.after > gain.before
    told = "" if helps else "; the weights stay as they were"
    log.info(
        "%s: adapted in %d steps, %.0f s: %.2f dB on frames held out, %.2f dB before%s.",
        film.label, gain.steps, gain.seconds, gain.after, gain.before, told,
    )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = {"asked": asked, "helps": helps, "triplets": gain.triplets}
    training = {"begun with": card.name, "steps": gain.steps, "seconds": round(gain.seconds)}
    metrics = {"held-out PSNR before": gain.before, "held-out PSNR": gain.after}
    try:
        save_model(path, model.cpu(), Card(f"{card.name}, adapted to {film.label}", training, facts, metrics))
    except OSError as error:
        raise UserError(f"{path} could not be written ({error}).", "adapt=false.", ENVIRONMENT) from error
    return helps


def read_triplets(plan: Plan, options: Options, span: int, stride: int, search: bool) -> Iterator[Triplet]:
    """Three frames in a row from evenly spread places, as the network sees them; moving ones only.

    H and W are cut to multiples of ``stride``. With ``search``, what a search finds comes along: between the outer two,
    and from them to the frames two before and two after, as when the film is made.
    """
    import torch

    from vfi_pipeline.data.batch import Triplet, searched_around
    from vfi_pipeline.media import reader
    from vfi_pipeline.models.start import both_ways
    from vfi_pipeline.synthesis.guide import guide

    first, last = plan.timeline.sources(0, plan.timeline.count)
    places = max(0, last - first - 1)
    count = min(LOOK_AT, places)
    for k in (first + round(i * (places - 1) / max(1, count - 1)) for i in range(count)):
        begin, end = (max(first, k - 2), min(last + 1, k + 5)) if search else (k, k + 3)
        with reader.read_numbered(
            plan.info, begin, end,
            allow_damaged=options.allow_damaged, max_pixels=options.max_pixels,
        ) as frames:  # fmt: skip
            seen = {index: guide(frame, span) for index, frame in frames}
        if not {k, k + 1, k + 2} <= seen.keys():
            continue
        height, width = (n // stride * stride for n in seen[k].shape[-2:])
        seen = {index: picture[..., :height, :width].contiguous() for index, picture in seen.items()}
        one, middle, two = (seen[k + place] for place in range(3))
        changes = [float((b - a).abs().mean()) for a, b in ((one, middle), (middle, two))]
        if min(height, width) < stride or min(changes) <= STILL or max(changes) >= CUT:
            continue
        before, after = (
            near if near is not None and float((near - known).abs().mean()) < CUT else None
            for near, known in ((seen.get(k - 2), one), (seen.get(k + 4), two))
        )
        found = None
        if search:
            ways = [None if a is None or b is None else both_ways(a, b) for a, b in ((before, one), (two, after))]
            found = searched_around(ways[0], both_ways(one, two), ways[1])
        yield Triplet(one[0], middle, two[0], torch.tensor([0.5]), searched=found)


def fine_tune(
    model: FlowInterpolator,
    triplets: Sequence[Triplet],
    steps: int,
    seconds: float,
    label: str = "film",
    rate: float = LEARNING_RATE,
    seed: int = 0,
) -> Gain:
    """Adapts ``model`` in place; the same triplets, steps and seed give the same weights (unless time runs out).

    Args:
        triplets: three frames in a row each.
        seconds: stop after so long.
        rate: AdamW's, at its highest: it warms up for a tenth of the steps and falls along a cosine.
    """
    import numpy as np
    import torch

    from vfi_pipeline.data.batch import Triplet, collate
    from vfi_pipeline.losses import TripletObjective
    from vfi_pipeline.models.prediction import Motion

    began = time.monotonic()
    held, learned = list(triplets[::HELD_OUT]), [x for k, x in enumerate(triplets) if k % HELD_OUT]
    device = next(model.parameters()).device
    # The terms of conf/objective/flow.yaml that a single film can teach.
    objective = TripletObjective(charbonnier=1.0, laplacian=1.0, folding=0.1, margin=0.05, edge_smooth=0.004)
    random = np.random.default_rng(seed)
    before = _judged(model, held)
    start = {name: value.clone() for name, value in model.state_dict().items()}
    model.train().requires_grad_(True)
    optimizer = torch.optim.AdamW(model.parameters(), rate, betas=(0.9, 0.99), weight_decay=0.0)
    done = 0
    for step in range(steps):
        if time.monotonic() - began > seconds:
            log.info("%s: adapting stops after %d steps: the time is over.", label, done)
            break
        share = min(1.0, (step + 1) / max(1, steps // 10)) * (0.5 + 0.5 * np.cos(np.pi * step / steps))
        optimizer.param_groups[0]["lr"] = rate * share
        drawn = collate([_crop(learned[random.integers(len(learned))], random, model) for _ in range(BATCH)])
        assert isinstance(drawn, Triplet)
        first, middle, last, t = (part.to(device) for part in drawn[:4])
        motion: Motion = model(first, last, t, drawn.searched)
        loss = objective(motion, middle, first)["total"]
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        if bool(torch.isfinite(norm)):
            optimizer.step()
        done += 1
    model.eval().requires_grad_(False)
    after = _judged(model, held)
    if not after > before:
        model.load_state_dict(start)
    return Gain(before, after, done, time.monotonic() - began, len(triplets))


def _judged(model: FlowInterpolator, triplets: Sequence[Triplet]) -> float:
    """Mean PSNR of the middle frames."""
    import torch

    from vfi_pipeline.metrics import psnr

    device = next(model.parameters()).device
    values = []
    with torch.no_grad():
        for triplet in triplets:
            first, middle, last, t = (part[None].to(device) for part in triplet[:4])
            found = None if triplet.searched is None else triplet.searched[None]
            made = model(first, last, t, found).frame[:, 0]
            values.append(float(psnr(made.clamp(0, 1), middle[:, 0]).clamp(max=100)))
    return sum(values) / len(values)


def _crop(whole: Triplet, random: np.random.Generator, model: FlowInterpolator) -> Triplet:
    """A random square of a triplet, turned over and played backwards at random."""
    from vfi_pipeline.data.augment import CELL, Placed
    from vfi_pipeline.data.batch import Triplet, played_backwards

    stride = model.net.stride
    height, width = whole.first.shape[-2:]
    side = min(CROP, height // stride * stride, width // stride * stride)
    top, left = (CELL * int(random.integers((n - side) // CELL + 1)) for n in (height, width))
    mirrored, backwards = (bool(chance < 0.5) for chance in random.random(2))
    part = (..., slice(top, top + side), slice(left, left + side))
    first, middle, last = (x[part].flip(-1) if mirrored else x[part] for x in (whole.first, whole.middle, whole.last))
    found = whole.searched
    if found is not None:
        found = Placed(side, top, left, side, side, mirrored=mirrored).flows(found)
    if backwards:
        first, last, found = last, first, None if found is None else played_backwards(found)
    return Triplet(first, middle, last, 1 - whole.t if backwards else whole.t, searched=found)
