"""Temporal consistency of styles, and their distance to the picture: the table and the filmstrips of docs/style.md.

    python -m benchmarks.style clips/a.mp4 clips/b.mp4 style=mosaic picture=docs/figures/style/mosaic.jpg \\
        page=docs/style.md strip=docs/figures/style/strip.jpg gallery=docs/figures/style/films.jpg

Every film is made by ``interpolate.py`` from the first frames of each clip, shrunk; what lies in ``outputs`` is
not made again. Flow and mask of the measurement are OpenCV's DIS on the film's own frames, which no method here used;
the neutral style distances are EfficientNet-Lite0's and SqueezeNet's, which no method saw. ``make features`` first.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.words import words_of
from vfi_pipeline.data.style_pictures import DRAWN, shrunk_picture
from vfi_pipeline.evaluation.dis import dis_flow
from vfi_pipeline.evaluation.page import circumstances, write_section
from vfi_pipeline.losses.perceptual import (
    CONTENT_LAYERS,
    STYLE_LAYERS,
    STYLE_POOLING,
    content_distance,
    gram,
    style_distance,
    upto,
)
from vfi_pipeline.media import probe, reader
from vfi_pipeline.media.ffmpeg import ffmpeg_path
from vfi_pipeline.media.stills import read_rgb8
from vfi_pipeline.models.style import advected
from vfi_pipeline.nets.features import Features, features
from vfi_pipeline.synthesis.rgb import to_rgb
from vfi_pipeline.viz.filmstrip import GENERATED, NEUTRAL, SOURCE, Cell, filmstrip

log = logging.getLogger(__name__)

SCRIPT = Path(__file__).resolve().parents[1] / "interpolate.py"

REFEREES = {
    "lite0": ("stage1", "stage2", "stage3", "stage5"),
    "squeeze": ("conv1", "fire3", "fire5", "fire9"),
}
"""Network that took no part -> its last layers of each size."""


@dataclass(frozen=True)
class Settings:
    """What is measured.

    Attributes:
        frames: of each clip.
        width: px, of the shrunk clips.
        size: longest side, px, of the style picture.
        iterations: of the optimiser, for a frame.
    """

    frames: int = 8
    width: int = 192
    size: int = 256
    iterations: int = 40


def methods(style: str, picture: str, settings: Settings) -> dict[str, list[str]]:
    """Name -> the words of ``interpolate.py``."""
    optimise = [f"style={picture}", f"style_size={settings.size}", f"style_iterations={settings.iterations}", "multi=1"]
    return {
        "unstylised": ["multi=1"],
        "optimised, each frame alone": [*optimise, "long_term=off"],
        "optimised, short-term": [*optimise, "long_term=[1]"],
        "optimised, long-term": [*optimise, "long_term=[1,2,4]"],
        "network, each frame alone": [f"style={style}", "multi=1", "model=hold"],
        "network, consistent": [f"style={style}", "multi=1"],
        "network, consistent, 60 fps": [f"style={style}", "fps=60"],
        "unstylised, 60 fps": ["fps=60"],
    }


@dataclass(frozen=True)
class Measured:
    """Of one film: root of the masked mean squared warp error between neighbours (of 255), style distances relative to
    the unstylised film's (VGG-16 and the referees) and content distance."""

    warp_error: float
    style: float
    lite0: float
    squeeze: float
    content: float


def main(words: Sequence[str] | None = None) -> None:
    """The command; see the module's docstring."""
    words = words_of(__doc__, words, needs=("style", "picture"))
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = dict(word.split("=", 1) for word in words if "=" in word)
    clips = [Path(word) for word in words if "=" not in word]
    usual = Settings()
    settings = Settings(
        **{k: int(options.get(k, getattr(usual, k))) for k in ("frames", "width", "size", "iterations")}
    )
    folder = Path(options.get("output", "outputs/style"))
    table: dict[str, list[Measured]] = {}
    films: dict[str, dict[str, list[Tensor]]] = {}
    for clip in clips:
        films[clip.stem] = make_films(clip, options["style"], options["picture"], folder / clip.stem, settings)
    for name, results in films.items():
        for method, measured in measure(results, options["picture"], settings).items():
            log.info("%s, %s: %s", name, method, measured)
            table.setdefault(method, []).append(measured)
    body = table_text(table)
    log.info(body)
    if "strip" in options:
        strip(films).convert("RGB").save(options["strip"], quality=85)
    if "gallery" in options:
        gallery(clips, folder).convert("RGB").save(options["gallery"], quality=85)
    if "page" in options:
        note = circumstances(["python", "-m", "benchmarks.style", *words])
        write_section(Path(options["page"]), "style", "Measured", f"{body}\n\n{note}")


def make_films(clip: Path, style: str, picture: str, folder: Path, settings: Settings) -> dict[str, list[Tensor]]:
    """Method -> its frames, (1, 3, H, W) in [0, 1]; made where they are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    source = shrunk_clip(clip, folder / "source.mkv", settings.width, settings.frames)
    films = {}
    for name, words in methods(style, picture, settings).items():
        target = folder / f"{name.replace(', ', '_').replace(' ', '-')}.mkv"
        films[name] = interpolated(source, target, *words)
    return films


def shrunk_clip(clip: Path, target: Path, width: int, frames: int) -> Path:
    """The first frames of a clip, ``width`` px wide, without loss; not made again."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.is_file():
        words = ["-y", "-loglevel", "error", "-i", str(clip), "-frames:v", str(frames), "-an"]
        words += ["-vf", f"scale={width}:-2:flags=area", "-c:v", "ffv1", str(target)]
        subprocess.run([ffmpeg_path(), *words], check=True)
    return target


def interpolated(source: Path, target: Path, *words: str) -> list[Tensor]:
    """The frames that ``interpolate.py`` makes of ``source`` with these words; not made again."""
    if not target.is_file():
        log.info("%s", target)
        command = [sys.executable, str(SCRIPT), f"input={source}", f"output={target}", "codec=ffv1", "scene=off"]
        subprocess.run([*command, *words], check=True)
    return frames_of(target)


def frames_of(path: Path) -> list[Tensor]:
    """All frames of a film, (1, 3, H, W) in [0, 1]."""
    with reader.read_frames(probe.probe(path)) as frames:
        return [to_rgb(frame) for frame in frames]


@torch.no_grad()
def measure(films: Mapping[str, Sequence[Tensor]], picture: str, settings: Settings) -> dict[str, Measured]:
    """Of each stylised film, beside the unstylised one."""
    style = shrunk_picture(read_rgb8(Path(picture)), settings.size)
    judges = [(features("vgg", STYLE_POOLING), STYLE_LAYERS)]
    judges += [(features(name), layers) for name, layers in REFEREES.items()]
    grams = [{layer: gram(value) for layer, value in _layers(net, style, layers).items()} for net, layers in judges]
    plain = films["unstylised"]
    apart = [
        fmean(float(style_distance(_layers(net, frame, layers), goal)) for frame in plain)
        for (net, layers), goal in zip(judges, grams)
    ]
    results = {}
    for name, frames in films.items():
        if name.startswith("unstylised, "):
            continue
        own = films["unstylised, 60 fps"] if name.endswith("60 fps") else plain
        distances = [
            fmean(float(style_distance(_layers(net, frame, layers), goal)) for frame in frames) / raw
            for (net, layers), goal, raw in zip(judges, grams, apart)
        ]
        network = judges[0][0]
        content = fmean(
            float(
                content_distance(
                    _layers(network, a, CONTENT_LAYERS), _layers(network, b, CONTENT_LAYERS), CONTENT_LAYERS
                )
            )
            for a, b in zip(frames, own)
        )
        vgg, *referees = distances
        results[name] = Measured(warp_error(frames, own), vgg, referees[0], referees[1], content)
    return results


def warp_error(frames: Sequence[Tensor], own: Sequence[Tensor]) -> float:
    """Root of the mean squared difference, of 255, of each frame and the one before it moved there, where both see it.

    Args:
        frames: the stylised film.
        own: the same film without a style, on which the motion is estimated.
    """
    errors, counts = 0.0, 0.0
    for k in range(1, len(frames)):
        backward, forward = dis_flow(own[k], own[k - 1]), dis_flow(own[k - 1], own[k])
        expected, confidence = advected(frames[k - 1], backward, forward)
        errors += float((confidence * (frames[k] - expected).square()).sum())
        counts += 3 * float(confidence.sum())
    return 255 * float(np.sqrt(errors / max(counts, 1.0)))


def table_text(table: Mapping[str, Sequence[Measured]]) -> str:
    """The means over clips as Markdown."""
    lines = [
        "| | masked warp error | style, VGG-16 | style, EfficientNet-Lite0 | style, SqueezeNet | content |",
        "|--|--:|--:|--:|--:|--:|",
    ]
    for name, rows in table.items():
        error, *distances, content = (fmean(getattr(row, each.name) for row in rows) for each in fields(Measured))
        lines.append(f"| {name} | {error:.2f} | {' | '.join(f'{each:.3f}' for each in distances)} | {content:.2f} |")
    return "\n".join(lines)


def gallery(clips: Sequence[Path], folder: Path, width: int = 480, count: int = 5) -> Image.Image:
    """Rows for each clip: two source frames and a made one between, of the film and of each shipped style."""
    rows = []
    for clip in clips:
        source = shrunk_clip(clip, folder / clip.stem / f"source{width}.mkv", width, count)
        films = {"the film": interpolated(source, folder / clip.stem / "gallery.mkv", "multi=2")}
        for style in DRAWN:
            films[style] = interpolated(
                source, folder / clip.stem / f"gallery_{style}.mkv", "multi=2", f"style={style}"
            )
        for name, frames in films.items():
            first = 2 * count - 4
            labels = (name, "made", "")
            rows.append(
                [
                    Cell(_bytes(frames[first + k]), GENERATED if k == 1 else SOURCE, label)
                    for k, label in enumerate(labels)
                ]
            )
    return filmstrip(rows, 320)


def strip(films: Mapping[str, Mapping[str, Sequence[Tensor]]]) -> Image.Image:
    """A row for each clip and method: three neighbours, and what changes from the second to the third beside motion."""
    rows = []
    shown = (
        "unstylised",
        "optimised, each frame alone",
        "optimised, long-term",
        "network, each frame alone",
        "network, consistent",
    )
    for clip, methods_ in films.items():
        own = methods_["unstylised"]
        for name in shown:
            frames = methods_[name]
            last = len(frames) - 1
            backward, forward = dis_flow(own[last], own[last - 1]), dis_flow(own[last - 1], own[last])
            expected, confidence = advected(frames[last - 1], backward, forward)
            change = (3 * confidence * (frames[last] - expected).abs()).clamp(0, 1)
            colour = SOURCE if name == "unstylised" else GENERATED
            labels = (name, clip if name == "unstylised" else "", "")
            cells = [Cell(_bytes(frames[k]), colour, label) for k, label in zip(range(last - 2, last + 1), labels)]
            rows.append([*cells, Cell(_bytes(change), NEUTRAL, "change x 3")])
    return filmstrip(rows, 240)


def _layers(network: Features, image: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    features = network(image, upto=upto(network, layers))
    return {layer: features[layer] for layer in layers}


def _bytes(picture: Tensor) -> np.ndarray:
    return (picture[0].clamp(0, 1) * 255 + 0.5).byte().permute(1, 2, 0).numpy()


if __name__ == "__main__":
    main()
