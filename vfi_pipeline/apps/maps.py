"""Maps as a file: the solved animation of every gap, to be rendered again at any size and frame count, and for the eye.

``film.maps.safetensors`` holds tensors named ``0.velocity`` (gap, then a name of the kind's own) and a JSON header that
says of which kind each gap is, a word of ``animation.maps.KINDS``. Nothing in such a file is executed. Files of
versions up to 0.6 are read as well (``animation.legacy_maps``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from vfi_pipeline.animation.legacy_maps import MODULES, translated
from vfi_pipeline.animation.maps import KINDS
from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.viz.pictures import colour_wheel

FORMAT = "vfi-maps/2"
OLD_FORMAT = "vfi-maps/1"
"""Of versions up to 0.6: the header names a Python module in place of a kind."""

_REMEDY = "a file that save_maps=true wrote (NAME.maps.safetensors)."


@dataclass(frozen=True)
class Maps:
    """One solved gap: its kind (``animation.maps.KINDS``), its state, and the names of its two pictures."""

    kind: str
    state: Mapping[str, Tensor]
    pictures: tuple[str, str]


def maps_name(target: Path) -> Path:
    """Where the maps of ``target`` are kept: ``film.maps.safetensors`` beside it."""
    return target.with_name(f"{_stem(target)}.maps.safetensors")


def maps_folder(target: Path) -> Path:
    """Where they are kept as pictures: ``film.maps/``."""
    return target.with_name(f"{_stem(target)}.maps")


def _stem(target: Path) -> str:
    """The name without its suffix and without the number of an image: ``frames`` if nothing else is there."""
    return re.sub(r"[-_. ]*%0?\d*d", "", target.stem) or "frames"


def packed(gaps: Sequence[Maps], loop: bool) -> bytes:
    """The file's bytes."""
    tensors = {
        f"{number}.{name}": value.detach().cpu().contiguous().clone()
        for number, gap in enumerate(gaps)
        for name, value in gap.state.items()
    }
    header = [{"kind": gap.kind, "pictures": list(gap.pictures)} for gap in gaps]
    return save(tensors, {"format": FORMAT, "gaps": json.dumps(header), "loop": json.dumps(loop)})


def read_maps(path: Path, gaps: int) -> list[Maps]:
    """The maps of each gap.

    Raises:
        UserError: if it is no maps file, is damaged, or is of another number of gaps.
    """
    if not path.is_file():
        raise UserError(f"maps={path} does not exist.", _REMEDY, BAD_INPUT)
    try:
        with safe_open(path, framework="pt") as file:
            facts = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        if facts.get("format") not in (FORMAT, OLD_FORMAT):
            raise ValueError("it does not say that it holds maps")
        maps = [
            _gap(path, number, entry, tensors, old=facts["format"] == OLD_FORMAT)
            for number, entry in enumerate(json.loads(facts["gaps"]))
        ]
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise UserError(f"maps={path} is no readable maps file ({error}).", _REMEDY, BAD_INPUT) from error
    if len(maps) != gaps:
        raise UserError(
            f"maps={path} is of {len(maps)} gap{'s' if len(maps) != 1 else ''}; these pictures have {gaps}.",
            "the pictures that it was made for, and loop= as it was.", BAD_INPUT,
        )  # fmt: skip
    return maps


def _gap(path: Path, number: int, entry: Mapping[str, Any], tensors: Mapping[str, Tensor], old: bool) -> Maps:
    """The maps of one gap, from its entry in the header.

    Raises:
        UserError: if their kind is unknown.
        ValueError, KeyError, TypeError: if something else is wrong.
    """
    prefix = f"{number}."
    state = {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}
    kind = entry["home" if old else "kind"]
    if not state:
        raise ValueError(f"gap {number} holds nothing")
    if kind not in (MODULES if old else KINDS):
        raise UserError(
            f"maps={path}: gap {number} holds maps of a kind that this version does not know, {str(kind)[:60]!r}.",
            f"leave out maps= and solve again; the kinds are {', '.join(KINDS)}.", BAD_INPUT,
        )  # fmt: skip
    if not all(bool(torch.isfinite(value).all()) for value in state.values() if value.is_floating_point()):
        raise ValueError(f"gap {number} holds values that are no numbers")
    if old:
        kind, state = translated(kind, state)
    return Maps(kind, state, (str(entry["pictures"][0]), str(entry["pictures"][1])))


def pictured(gaps: Sequence[Maps]) -> dict[str, Image.Image]:
    """Every map of two or three channels as a picture, by file name.

    Displacements and velocities are colours on a wheel (direction is hue, length saturation); other maps are centred:
    mid grey is 0, the largest value of the map full white or black.
    """
    pictures = {}
    for number, gap in enumerate(gaps):
        for name, value in gap.state.items():
            if value.ndim != 4 or min(value.shape[-2:]) < 2 or not value.is_floating_point():
                continue
            for index, part in enumerate(value.detach().cpu().float()):
                which = f"_{index + 1}" if len(value) > 1 else ""
                image = _image(part[None])
                if image is not None:
                    pictures[f"{number + 1:02d}_{name.replace('.', '_')}{which}.png"] = image
    return pictures


def _image(value: Tensor) -> Image.Image | None:
    channels = value.shape[1]
    if channels == 2:
        shown = colour_wheel(value)
    elif channels in (1, 3):
        shown = (0.5 + 0.5 * value / value.abs().amax().clamp(min=1e-6)).expand(-1, 3, -1, -1)
    else:
        return None
    codes = (shown[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(codes)
