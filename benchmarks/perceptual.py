"""The effect of a perceptual loss on interpolation: figures at 2x and 8x, and frames side by side.

    python -m benchmarks.perceptual clips/a.mp4 clips/b.mp4 weights=flow,fine.safetensors strip=compared.jpg

Of frames 0 to 32 of each clip every second is kept, or every eighth; the others are made. *Referee* is the distance of
EfficientNet-Lite0's features (``losses.perceptual.content_distance``), which no training here has seen.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from torch import Tensor

from benchmarks.words import words_of
from vfi_pipeline.estimation.window import Window
from vfi_pipeline.geometry import resize_flow, synthesise
from vfi_pipeline.losses.perceptual import content_distance
from vfi_pipeline.media.pictures import read_pictures
from vfi_pipeline.metrics import psnr
from vfi_pipeline.models.flow import FlowModel, load_flow
from vfi_pipeline.models.motion import IntermediateMotion
from vfi_pipeline.nets.features import Features, features
from vfi_pipeline.viz.filmstrip import GENERATED, NEUTRAL, Cell, filmstrip

log = logging.getLogger(__name__)

LAYERS = ("stage1", "stage2", "stage3")


def main(words: Sequence[str] | None = None) -> None:
    """The command; see the module's docstring."""
    words = words_of(__doc__, words, least=2, needs=("weights",))
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = dict(word.split("=", 1) for word in words if "=" in word)
    clips = [Path(word) for word in words if "=" not in word]
    longest, last = int(options.get("longest", "384")), int(options.get("frames", "17")) - 1
    referee = features("lite0")
    films = {clip.stem: [_tensor(picture) for _, picture in _first(clip, last + 1, longest)] for clip in clips}
    rows, lines = [], ["| | 2x PSNR | 2x referee | 8x PSNR | 8x referee |", "|--|--:|--:|--:|--:|"]
    for name in options["weights"].split(","):
        model, cells = load_flow(name), []
        results: dict[int, list[tuple[float, float]]] = {2: [], 8: []}
        for film in films.values():
            for factor in results:
                each = [measured(frame, film[k], referee) for k, frame in rebuilt_frames(model, film, factor)]
                results[factor].append((fmean(p for p, _ in each), fmean(r for _, r in each)))
            middle = dict(rebuilt_frames(model, film[:9], 8))[4]
            cells.append(Cell(_bytes(middle), GENERATED, Path(name).stem, f"{float(psnr(middle, film[4])):.1f} dB"))
        values = [fmean(pair[k] for pair in results[factor]) for factor in results for k in (0, 1)]
        lines.append(f"| {Path(name).stem} | {values[0]:.2f} | {values[1]:.4f} | {values[2]:.2f} | {values[3]:.4f} |")
        log.info(lines[-1])
        rows.append(cells)
    rows.append([Cell(_bytes(film[4]), NEUTRAL, "truth") for film in films.values()])
    log.info("\n".join(lines))
    if "strip" in options:
        filmstrip(rows, 360).convert("RGB").save(options["strip"], quality=88)


@torch.no_grad()
def rebuilt_frames(model: FlowModel, film: Sequence[Tensor], factor: int) -> list[tuple[int, Tensor]]:
    """(number, frame) of those between every ``factor``-th."""
    frames = []
    for k in range(0, len(film) - factor, factor):
        motion = model.motion(Window.of(film[k], film[k + factor]))
        for number, at in enumerate(motion.at([n / factor for n in range(1, factor)]), 1):
            frames.append((k + number, _composed(film[k], film[k + factor], at)))
    return frames


def measured(frames: Tensor, true: Tensor, referee: Features) -> tuple[float, float]:
    """(PSNR in dB, the referee's distance)."""
    with torch.no_grad():
        features, true_features = (referee(image, upto=LAYERS[-1]) for image in (frames, true))
        return float(psnr(frames, true)), float(content_distance(features, true_features, LAYERS))


def _composed(first: Tensor, last: Tensor, at: IntermediateMotion) -> Tensor:
    size = first.shape[-2:]
    weight = torch.nn.functional.interpolate(at.blend_weight, size, mode="bilinear")
    confidence = None
    if at.confidence is not None:
        confidence = torch.nn.functional.interpolate(at.confidence, size, mode="bilinear")
    flow_first, flow_last = (resize_flow(flow, *size) for flow in (at.flow_to_first, at.flow_to_last))
    return synthesise(first, last, flow_first, flow_last, weight, confidence).frame.clamp(0, 1)


def _first(clip: Path, count: int, longest: int) -> list[tuple[int, np.ndarray]]:
    first_files = []
    for item in read_pictures(clip, longest=longest):
        first_files.append(item)
        if len(first_files) == count:
            break
    return first_files


def _tensor(picture: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float() / 255


def _bytes(picture: Tensor) -> np.ndarray:
    return (picture[0].clamp(0, 1) * 255 + 0.5).byte().permute(1, 2, 0).numpy()


if __name__ == "__main__":
    main()
