"""The effect of augmentation on a single picture's generator, trained on a frame and judged on other frames.

    python -m benchmarks.single_image film.mp4 --frame 0 --others 4,8,16 --out outputs/single_image
    python -m benchmarks.single_image --drawn --out docs/figures/single_picture

    python -m benchmarks.single_image --run outputs/y --move 22,4,80,62,8,0 --out docs/figures/single_picture

draws what a trained run makes of its primitive, of two edits of it (an area moved, an area painted over), and of the
way to the first of them.

For each of ``tps``, ``crop`` (and flip) and ``none`` the same network is trained from the same start for as many steps.
Error: mean absolute difference, of 255; ``lite0``: relative distance in the features of EfficientNet-Lite0, which took
no part. The frame itself says how well the picture is remembered.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vfi_pipeline.animation.picture_fit import picture_fit
from vfi_pipeline.animation.primitives import PrimitiveAnimator
from vfi_pipeline.data.drawn_faces import drawn_face
from vfi_pipeline.data.modules.single_image import SingleImage
from vfi_pipeline.data.primitives import Palette, primitive_of
from vfi_pipeline.data.single_image import AUGMENTATIONS
from vfi_pipeline.data.style_pictures import shrunk_picture
from vfi_pipeline.errors import UserError, exit_code
from vfi_pipeline.evaluation.rgb import to_rgb
from vfi_pipeline.losses.conditional import ConditionalObjective, discriminator_hinge
from vfi_pipeline.losses.perceptual import content_distance
from vfi_pipeline.media import probe, reader
from vfi_pipeline.media.stills import read_rgb8
from vfi_pipeline.models.single_image import SingleImageGenerator, load_single_image
from vfi_pipeline.nets.conditional_gan import Discriminator
from vfi_pipeline.nets.features import available, features

log = logging.getLogger(__name__)


def frames_of(film: str | None, numbers: list[int], size: int) -> list[np.ndarray]:
    """Frames as (h, w, 3) uint8, the longest side ``size``; of no film a drawn face that smiles more and more."""
    if film is None:
        return [drawn_face(1000, number / 24, size) for number in numbers]
    loaded = {}
    with reader.read_numbered(probe.probe(Path(film)), 0, None) as frames:
        for index, frame in frames:
            if index in numbers:
                loaded[index] = to_rgb([frame])[0]
            if index >= max(numbers):
                break
    missing = [number for number in numbers if number not in loaded]
    if missing:
        raise UserError(f"{film} has no frame {missing[0]}.", "--others with smaller numbers.")
    return [_bytes(shrunk_picture(loaded[number], size)) for number in numbers]


def fitted(data: SingleImage, steps: int, seed: int, turn: int = 3) -> tuple[SingleImageGenerator, float]:
    """The generator after ``steps`` of training as in ``experiment=single_image``, and the seconds of the training."""
    torch.manual_seed(seed)
    model, judge = SingleImageGenerator(colours=data.palette.colours, guide_span=data.size), Discriminator()
    objective, network = ConditionalObjective(), features("vgg") if available("vgg") else None
    optimizers = [torch.optim.Adam(each.parameters(), 1e-3, (0.5, 0.99)) for each in (model, judge)]
    samples, begun = data.train_set(), time.monotonic()
    for step in range(steps):
        sample = samples[step]
        primitive, picture = sample.first[None], sample.last[None]
        for each in optimizers:
            each.param_groups[0]["lr"] = 1e-3 * max(0.02, 0.5 * (1 + math.cos(math.pi * step / steps)))
            each.zero_grad(set_to_none=True)
        if step % turn == turn - 1:
            with torch.no_grad():
                generated = model(primitive)
            discriminator_hinge(judge(primitive, picture), judge(primitive, generated)).backward()
            optimizers[1].step()
        else:
            generated = model(primitive)
            objective(generated, picture, lambda shown, primitive=primitive: judge(primitive, shown), network)[  # type: ignore[misc]
                "total"
            ].backward()
            optimizers[0].step()
    return model.eval(), time.monotonic() - begun


def judged(
    model: SingleImageGenerator, frames: list[np.ndarray], palette: Palette
) -> tuple[list[Tensor], dict[str, float]]:
    """What is drawn of the frames' primitives, the first frame's left out of the figures."""
    referee = features("lite0") if available("lite0") else None
    drawn, errors, far = [], [], []
    for frame in frames:
        picture = model.draw(_tensor(primitive_of(frame, palette)))
        drawn.append(picture)
        errors.append(float((picture - _tensor(frame)).abs().mean()) * 255)
        if referee is not None:
            with torch.no_grad():
                layers = ("stage2", "stage3", "stage5")
                far.append(float(content_distance(referee(picture), referee(_tensor(frame)), layers)))
    mean = {"own": round(errors[0], 2), "others": round(sum(errors[1:]) / len(errors[1:]), 2)}
    if far:
        mean["lite0_others"] = round(sum(far[1:]) / len(far[1:]), 4)
    return drawn, mean


def moved(primitive: np.ndarray, box: list[int]) -> np.ndarray:
    """The area x0, y0, x1, y1 of a primitive moved by dx, dy; what it leaves has the colour that surrounds it most."""
    x0, y0, x1, y1, dx, dy = box
    result = removed(primitive, box[:4])
    area = primitive[y0:y1, x0:x1]
    inside = np.any(area != _around(primitive, box[:4]), axis=2)
    height, width = primitive.shape[:2]
    for y, x in np.argwhere(inside):
        if 0 <= y0 + y + dy < height and 0 <= x0 + x + dx < width:
            result[y0 + y + dy, x0 + x + dx] = area[y, x]
    return result


def removed(primitive: np.ndarray, box: list[int]) -> np.ndarray:
    """The area x0, y0, x1, y1 painted over in the colour that surrounds it most."""
    result = primitive.copy()
    result[box[1] : box[3], box[0] : box[2]] = _around(primitive, box)
    return result


def _around(primitive: np.ndarray, box: list[int]) -> np.ndarray:
    x0, y0, x1, y1 = box
    ring = np.concatenate(
        [
            primitive[max(0, y0 - 1), x0:x1],
            primitive[y0:y1, max(0, x0 - 1)],
            primitive[y0:y1, min(primitive.shape[1], x1) - 1],
        ]
    )
    colours, counts = np.unique(ring.reshape(-1, 3), axis=0, return_counts=True)
    light = colours.sum(axis=1) > 0  # a line surrounds nothing
    return colours[light][counts[light].argmax()]


def edits_figure(run: Path, move: list[int], remove: list[int], out: Path) -> None:
    """``edits.jpg``: primitives above, the generated pictures below; then five frames of the motion between two."""
    exported = run / "export"
    model = load_single_image(next(exported.glob("*.safetensors")))
    primitive, picture = (read_rgb8(exported / name) for name in ("primitive.png", "picture.png"))
    changed = [primitive, moved(primitive, move), removed(primitive, remove)]
    drawn = [_bytes(model.draw(_tensor(each))) for each in changed]
    # PNGs beside it, as an editor would save them: the commands of docs/single-picture.md take these.
    for name, each in zip(("moved.png", "removed.png"), changed[1:]):
        Image.fromarray(each).save(out / name)
    animation = PrimitiveAnimator(model, picture_fit(256, "balanced")).solve(_tensor(primitive), _tensor(changed[1]))
    frames = [_bytes(animation.frame(t)) for t in (0.0, 0.25, 0.5, 0.75, 1.0)]
    error = float(np.abs(drawn[0].astype(float) - picture).mean())
    log.info("the unchanged primitive: mean absolute difference to the picture %.2f of 255", error)
    blank = np.full_like(picture, 255)
    rows = [[picture, *changed, blank], [blank, *drawn, blank], frames]
    sheet = Image.fromarray(np.concatenate([np.concatenate(row, axis=1) for row in rows]))
    sheet.resize((2 * sheet.width, 2 * sheet.height), Image.Resampling.LANCZOS).save(out / "edits.jpg", quality=90)


def _tensor(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float() / 255


def _bytes(picture: Tensor) -> np.ndarray:
    return (picture[0].clamp(0, 1) * 255 + 0.5).byte().permute(1, 2, 0).numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("film", nargs="?")
    parser.add_argument("--drawn", action="store_true")
    parser.add_argument("--run", type=Path, help="a run's folder, to draw edits")
    parser.add_argument("--move", default="22,4,80,62,8,0", help="x0,y0,x1,y1,dx,dy in pixels of the primitive")
    parser.add_argument("--remove", default="12,58,34,84", help="x0,y0,x1,y1")
    parser.add_argument("--frame", type=int, default=0)
    parser.add_argument("--others", default="4,8,16")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("outputs/single_image"))
    options = parser.parse_args()
    if options.run is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        move, remove = ([int(word) for word in text.split(",")] for text in (options.move, options.remove))
        torch.manual_seed(options.seed)
        edits_figure(options.run, move, remove, options.out)
        return
    if (options.film is None) != options.drawn:
        raise UserError("A film is wanted.", "film.mp4, or --drawn.")
    numbers = [options.frame, *(int(word) for word in options.others.split(","))]
    frames = frames_of(options.film, numbers, options.size)
    options.out.mkdir(parents=True, exist_ok=True)
    record: dict[str, Any] = {"size": options.size, "steps": options.steps, "frames": numbers}
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "picture.png"
        Image.fromarray(frames[0]).save(picture)
        rows = []
        for augmentation in AUGMENTATIONS:
            data = SingleImage(str(picture), size=options.size, augmentation=augmentation, seed=options.seed)
            model, seconds = fitted(data, options.steps, options.seed)
            drawn, facts = judged(model, frames, data.palette)
            record[augmentation] = {**facts, "seconds": round(seconds)}
            log.info("%s: %s", augmentation, record[augmentation])
            rows.append(torch.cat(drawn, dim=-1))
        shown = [torch.cat([_tensor(primitive_of(frame, data.palette)) for frame in frames], dim=-1)]
        truth = torch.cat([_tensor(frame) for frame in frames], dim=-1)
        Image.fromarray(_bytes(torch.cat([*shown, *rows, truth], dim=-2))).save(options.out / "augmentation.png")
    (options.out / "augmentation.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    sys.exit(exit_code(main))
