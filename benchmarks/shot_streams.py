"""Streams with known cuts and repeats, joined from real clips: what ``benchmarks.shots`` fits and measures on.

Pictures are uint8 RGB, (h, w, 3). All is drawn from a seed, so a stream is the same on every run.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np

from vfi_pipeline.media.pictures import read_pictures

SPAN = 256  # px, longest side: PySceneDetect shrinks to about that before it looks
WIDE = 640  # px, of the pictures that pans and encoded films are made from
FRAMES = 48  # of a clip, at most
STEPS = (6, 12, 24)  # frames of a fade or dissolve
PAN_SPEEDS = (0.05, 0.1, 0.2)  # widths of the picture per frame


@dataclass(frozen=True)
class Clip:
    """One shot without a cut inside: ``pictures`` of ``SPAN`` px, ``wide``: the first 12 and a few more of ``WIDE``."""

    name: str
    pictures: list[np.ndarray]
    wide: list[np.ndarray]


@dataclass(frozen=True)
class Stream:
    """A film and the numbers of the pictures that start a new shot (none is 0)."""

    kind: str
    pictures: list[np.ndarray]
    cuts: frozenset[int] = frozenset()


def halves(folders: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """The clips of the folders in two halves; all of one source are in one."""
    paths = sorted((path for folder in folders for path in folder.glob("*.mp4")), key=lambda path: path.name)
    sources = sorted({_source(path) for path in paths})
    fit = set(sources[::2])
    return [path for path in paths if _source(path) in fit], [path for path in paths if _source(path) not in fit]


def _source(path: Path) -> str:
    return re.sub(r"_\w+$", "", path.stem).rpartition("-")[2]


def read(path: Path) -> Clip:
    """The clip's first ``FRAMES`` pictures."""
    pictures, wide = [], []
    for k, (_, picture) in enumerate(read_pictures(path, longest=WIDE)):
        if k == FRAMES:
            break
        height, width = picture.shape[:2]
        size = (SPAN, round(SPAN * height / width)) if width >= height else (round(SPAN * width / height), SPAN)
        pictures.append(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
        if k < 12:
            wide.append(picture)
    return Clip(path.stem, pictures, wide)


def streams(clips: Sequence[Clip], seed: int = 0) -> Iterator[Stream]:
    """Every kind of stream from these clips, cuts first."""
    draw = np.random.default_rng(seed)
    for kind, rounds, lengths in (
        ("cuts", 3, (8, 24)), ("cuts, shots of 1 to 3 frames", 2, (1, 3)),
        ("cuts at 15 % of the brightness", 1, (8, 16)), ("cuts without colour", 1, (8, 16)),
    ):  # fmt: skip
        for _ in range(rounds):
            joined = _joined(kind, clips, draw, lengths)
            if "brightness" in kind:
                pictures = [_codes(0.15 * p.astype(np.float32) + draw.normal(0, 0.5, p.shape)) for p in joined.pictures]
                joined = Stream(kind, pictures, joined.cuts)
            if "colour" in kind:
                grey = [cv2.cvtColor(p, cv2.COLOR_RGB2GRAY)[..., None].repeat(3, axis=2) for p in joined.pictures]
                joined = Stream(kind, grey, joined.cuts)
            yield joined
    for clip in clips:
        half = len(clip.pictures) // 2
        mirrored = [np.ascontiguousarray(p[:, ::-1]) for p in clip.pictures[half : half + 10]]
        yield Stream("cuts to the same scene, mirrored", clip.pictures[:10] + mirrored, frozenset({10}))
    for step, kind in ((1, "none: clips"), (2, "none: every 2nd frame"), (4, "none: every 4th frame")):
        for clip in clips:
            yield Stream(kind, clip.pictures[::step])
    for clip in clips:
        yield from (Stream("none: fast pans", pan(clip.wide[0], speed)) for speed in PAN_SPEEDS)
        yield Stream("none: flashes", _flashes(clip.pictures[:40], draw))
    order = draw.permutation(len(clips))
    for first, second in zip(order[::2], order[1::2]):
        for steps in STEPS:
            a, b = _same_size(clips[first].pictures, clips[second].pictures, 8 + steps)
            yield Stream("none: dissolves", dissolve(a, b, steps))
            yield Stream("none: fades", dissolve(a, [0 * p for p in a], steps) + dissolve([0 * p for p in b], b, steps))


def _joined(kind: str, clips: Sequence[Clip], draw: np.random.Generator, lengths: tuple[int, int]) -> Stream:
    """Parts of the clips, each once, in random order; all of the first one's size."""
    pictures: list[np.ndarray] = []
    cuts = set()
    for number in draw.permutation(len(clips)):
        clip = clips[number].pictures
        length = min(len(clip), int(draw.integers(lengths[0], lengths[1] + 1)))
        start = int(draw.integers(0, len(clip) - length + 1))
        if pictures:
            cuts.add(len(pictures))
        size = (SPAN, 144)
        pictures += [cv2.resize(p, size, interpolation=cv2.INTER_AREA) for p in clip[start : start + length]]
    return Stream(kind, pictures, frozenset(cuts))


def _same_size(a: list[np.ndarray], b: list[np.ndarray], count: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    size = (a[0].shape[1], a[0].shape[0])
    a, b = ([side[min(k, len(side) - 1)] for k in range(count)] for side in (a, b))
    return a, [cv2.resize(p, size, interpolation=cv2.INTER_AREA) for p in b]


def dissolve(a: list[np.ndarray], b: list[np.ndarray], steps: int) -> list[np.ndarray]:
    """``a`` becomes ``b`` over ``steps`` frames, with four frames before and after."""
    share = np.clip((np.arange(len(a)) - 3) / steps, 0, 1)
    return [_codes((1 - s) * p.astype(np.float32) + s * q.astype(np.float32)) for p, q, s in zip(a, b, share)]


def pan(wide: np.ndarray, speed: float, most: int = 12) -> list[np.ndarray]:
    """A window of 2/5 of the width that moves by ``speed`` of its own width per frame, blurred by a shutter of half."""
    height, width = wide.shape[:2]
    window = 2 * width // 5
    step = speed * window
    length = max(1, round(step / 2))
    blurred = cv2.blur(wide, (length, 1))
    count = min(most, int((width - window) / step))
    return [np.ascontiguousarray(blurred[: max(16, round(window * height / width)), round(k * step) :][:, :window])
            for k in range(count)]  # fmt: skip


def _flashes(pictures: list[np.ndarray], draw: np.random.Generator) -> list[np.ndarray]:
    """Every 8th picture begins a flash of one or two frames: white, black, blown out or washed out, in turn."""
    lights = (
        lambda p: 0 * p + 255, lambda p: 0 * p, lambda p: 2.5 * p + 30, lambda p: 0.3 * p + 170,
    )  # fmt: skip
    flashed = list(pictures)
    for number, start in enumerate(range(6, len(pictures) - 4, 8)):
        for k in range(start, start + int(draw.integers(1, 3))):
            flashed[k] = _codes(lights[number % len(lights)](pictures[k].astype(np.float32)))
    return flashed


def _codes(picture: np.ndarray) -> np.ndarray:
    return np.clip(np.round(picture), 0, 255).astype(np.uint8)


def on_twos(clip: Clip, crf: int, grain: float, seed: int = 0) -> list[np.ndarray]:
    """The clip's first pictures, each shown twice, with grain of ``grain`` codes, encoded by x264 and read back."""
    draw = np.random.default_rng(seed)
    height, width = (side // 2 * 2 for side in clip.wide[0].shape[:2])
    held = io.BytesIO()
    with av.open(held, "w", format="matroska") as film:
        options = {"crf": str(crf), "preset": "veryfast", "threads": "1"}
        stream = film.add_stream("libx264", rate=24, width=width, height=height, pix_fmt="yuv420p", options=options)
        for picture in (p for p in clip.wide for _ in range(2)):
            grainy = _codes(picture[:height, :width] + draw.normal(0, grain, (height, width, 1))) if grain else picture
            film.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(grainy[:height, :width]), "rgb24")))
        film.mux(stream.encode(None))
    held.seek(0)
    with av.open(held, "r") as encoded:
        return [frame.to_ndarray(format="rgb24") for frame in encoded.decode(video=0)]
