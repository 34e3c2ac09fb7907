"""The contact sheet of an animation: frames over t, both one-sided results, motion, Jacobian and velocity field."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from vfi_pipeline.animation.protocol import PairAnimation
from vfi_pipeline.geometry import folding, resize_flow
from vfi_pipeline.viz.filmstrip import FAINT, INK, PAPER, font
from vfi_pipeline.viz.pictures import as_image, colour_wheel, jacobian_map, rgb

COLUMNS = 7
TILE, GAP, LABEL, CAPTION = 176, 6, 150, 26


def block(
    animation: PairAnimation, title: str, span: tuple[float, float] = (0.0, 1.0), single: bool = False
) -> Image.Image:
    """The rows of one gap.

    Args:
        title: written above: which pictures.
        span: the times of the first and the last column.
        single: one picture is animated: there is no other side.
    """
    times = [span[0] + (span[1] - span[0]) * k / (COLUMNS - 1) for k in range(COLUMNS)]
    maps = [animation.maps(t) for t in times]
    sides = [animation.sides(t) for t in times]
    height, width = sides[0][0].shape[-2:]
    size = (
        (max(8, round(TILE * height / width)), TILE)
        if width >= height
        else (TILE, max(8, round(TILE * width / height)))
    )
    moved = [_on(m.flow_to_first, size) for m in maps]
    longest = max(1e-3, *(float(u.norm(dim=1).max()) for u in moved))
    rows: list[tuple[str, str, list[Tensor]]] = [
        ("frame", "", [_shrunk(animation.frame(t), size) for t in times]),
        ("first picture", "alone, moved", [_shrunk(side[0], size) for side in sides]),
    ]
    if not single:
        rows.append(("last picture", "alone, moved", [_shrunk(side[1], size) for side in sides]))
    # What is seen has moved by minus the displacement that pulls it.
    rows.append(("moved since t = 0", f"full colour {longest * width / size[1]:.1f} px", [
        colour_wheel(-u, longest) for u in moved
    ]))  # fmt: skip
    worst = min((float(folding(m.flow_to_first)[0]) for m in maps if min(m.flow_to_first.shape[-2:]) > 1), default=1.0)
    rows.append(("Jacobian, first", f"smallest {worst:.3f}", [_jacobian(m.flow_to_first, size) for m in maps]))
    if not single:
        rows.append(("Jacobian, last", "orange: area grows", [_jacobian(m.flow_to_last, size) for m in maps]))
    wide = LABEL + (COLUMNS + 1) * (size[1] + GAP) + GAP
    tall = 2 * CAPTION + len(rows) * (size[0] + GAP) + GAP
    sheet = Image.new("RGB", (wide, tall), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP + 2, CAPTION / 2 + 2), title, INK, font(15), anchor="lm")
    for column, t in enumerate(times):
        draw.text((LABEL + column * (size[1] + GAP), 1.5 * CAPTION), f"t = {t:.2f}", FAINT, font(13), anchor="lm")
    top = 2 * CAPTION
    for row, (name, note, tiles) in enumerate(rows):
        y = top + row * (size[0] + GAP)
        draw.text((GAP + 2, y + 12), name, INK, font(14), anchor="lm")
        draw.text((GAP + 2, y + 31), note, FAINT, font(12), anchor="lm")
        for column, tile in enumerate(tiles):
            sheet.paste(as_image(tile[0]), (LABEL + column * (size[1] + GAP), y))
    x = LABEL + COLUMNS * (size[1] + GAP)
    draw.text((x, 1.5 * CAPTION), "velocity", FAINT, font(13), anchor="lm")
    _velocity(sheet, draw, animation, (x, top), size, _shrunk(animation.frame(0.5 * (span[0] + span[1])), size), width)
    return sheet


def stacked(blocks: Sequence[Image.Image]) -> Image.Image:
    """The blocks of all gaps below one another."""
    sheet = Image.new("RGB", (max(b.width for b in blocks), sum(b.height for b in blocks)), PAPER)
    y = 0
    for image in blocks:
        sheet.paste(image, (0, y))
        y += image.height
    return sheet


def encoded(image: Image.Image, path: Path) -> bytes:
    """The picture's bytes, of the kind that ``path`` names."""
    buffer = io.BytesIO()
    kind = {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}.get(path.suffix.lower(), "PNG")
    image.save(buffer, kind, **({"quality": 92} if kind != "PNG" else {}))
    return buffer.getvalue()


def picture(image: Tensor) -> Image.Image:
    """A frame (1, C, H, W) as a picture for people: alpha over white."""
    return as_image(rgb_premultiplied(image)[0])


def rgb_premultiplied(image: Tensor) -> Tensor:
    """(1, 3, H, W): grey repeated, premultiplied alpha over white."""
    image = image.detach().float().cpu()
    return image[:, :3] + (1 - image[:, 3:]) if image.shape[1] == 4 else rgb(image)


def _velocity(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, animation: PairAnimation, at: tuple[int, int],
    size: tuple[int, int], frame: Tensor, width: int,
) -> None:  # fmt: skip
    """The field as colours, and as arrows over the frame half-way; how fast the fastest is; what carries the change."""
    field = _on(animation.velocity(), size)
    longest = float(field.norm(dim=1).max())
    sheet.paste(as_image(colour_wheel(field)[0]), at)
    below = (at[0], at[1] + size[0] + GAP)
    tile = as_image(0.45 * frame[0] + 0.5)
    arrows = ImageDraw.Draw(tile)
    step = max(9, min(size) // 12)
    arrow_scale = 1.6 * step / max(longest, 1e-6)
    for y in range(step // 2, size[0], step):
        for x in range(step // 2, size[1], step):
            dx, dy = (float(v) * arrow_scale for v in field[0, :, y, x])
            if dx * dx + dy * dy < 1:
                continue
            arrows.line((x, y, x + dx, y + dy), fill="#b00030", width=1)
            arrows.ellipse((x + dx - 1.5, y + dy - 1.5, x + dx + 1.5, y + dy + 1.5), fill="#b00030")
    sheet.paste(tile, below)
    text = [f"fastest {longest * width / size[1]:.1f} px per t"]
    text += [f"{name} {round(100 * share)} %" for name, share in animation.shares().items()]
    for line, words in enumerate(text):
        draw.text((at[0], below[1] + size[0] + GAP + 10 + 18 * line), words, FAINT, font(12), anchor="lm")


def _on(flow: Tensor, size: tuple[int, int]) -> Tensor:
    return resize_flow(flow.detach().float().cpu(), *size)


def _jacobian(flow: Tensor, size: tuple[int, int]) -> Tensor:
    """Of the map on its own grid: a fold of a few cells would be lost in a smaller one."""
    flow = flow.detach().float().cpu()
    if min(flow.shape[-2:]) < 2:
        return torch.ones(1, 3, *size)
    return F.interpolate(jacobian_map(flow), size, mode="bilinear", antialias=True, align_corners=False)


def _shrunk(image: Tensor, size: tuple[int, int]) -> Tensor:
    shown = rgb_premultiplied(image)
    return F.interpolate(shown, size, mode="bilinear", antialias=True, align_corners=False)
