"""Pictures that explain a result: framed thumbnails in rows, and two films side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SOURCE, GENERATED, NEUTRAL = "#4c8dff", "#ff9f1c", "#8a8f98"
PAPER, INK, FAINT = "#15171c", "#f2f3f5", "#a9aeb8"
GAP, FRAME, CAPTION = 14, 5, 40


@dataclass(frozen=True)
class Cell:
    """A thumbnail: its picture, uint8 (h, w, 3), the colour of its frame, and a caption in two strengths."""

    picture: np.ndarray
    colour: str
    label: str
    note: str = ""


def filmstrip(rows: Sequence[Sequence[Cell]], width: int = 320, legend: Sequence[tuple[str, str]] = ()) -> Image.Image:
    """Rows of thumbnails, each ``width`` px wide, captions below them.

    Args:
        rows: pictures of one row share their height; all rows hold the same number of cells.
        legend: (colour, what it means), written above.
    """
    scaled = [[_scaled(cell.picture, width) for cell in row] for row in rows]
    head = CAPTION if legend else GAP
    height = head + sum(row[0].height + CAPTION + GAP for row in scaled)
    sheet = Image.new("RGB", (GAP + len(rows[0]) * (width + GAP), height), PAPER)
    draw = ImageDraw.Draw(sheet)
    x: float = GAP
    for colour, text in legend:
        draw.rectangle((x, head / 2 - 7, x + 14, head / 2 + 7), fill=colour)
        draw.text((x + 24, head / 2), text, INK, font(19), anchor="lm")
        x += 24 + draw.textlength(text, font(19)) + 36
    y = head
    for row, pictures in zip(rows, scaled):
        for column, (cell, picture) in enumerate(zip(row, pictures)):
            x = GAP + column * (width + GAP)
            draw.rectangle((x, y, x + width - 1, y + picture.height - 1), fill=cell.colour)
            inner = picture.crop((FRAME, FRAME, width - FRAME, picture.height - FRAME))
            sheet.paste(inner, (x + FRAME, y + FRAME))
            middle = y + picture.height + CAPTION / 2 - 4
            draw.text((x + 1, middle), cell.label, INK, font(19), anchor="lm")
            draw.text((x + width - 2, middle), cell.note, FAINT, font(19), anchor="rm")
        y += pictures[0].height + CAPTION + GAP
    return sheet


def crop(picture: np.ndarray, centre: tuple[float, float], width: int, height: int) -> np.ndarray:
    """A ``width x height`` cut-out around ``centre`` (x, y), moved inwards where it would leave the picture."""
    left = int(min(max(centre[0] - width / 2, 0), picture.shape[1] - width))
    top = int(min(max(centre[1] - height / 2, 0), picture.shape[0] - height))
    return picture[top : top + height, left : left + width]


def beside(left: np.ndarray, right: np.ndarray, labels: tuple[str, str], strip: int = 40) -> np.ndarray:
    """Two pictures of one size side by side with a caption strip below; height and width even, uint8."""
    height, width = left.shape[:2]
    canvas = Image.new("RGB", (2 * width, height + strip), PAPER)
    draw = ImageDraw.Draw(canvas)
    for column, (picture, label) in enumerate(zip((left, right), labels)):
        canvas.paste(Image.fromarray(picture), (column * width, 0))
        x = column * width + 14
        draw.rectangle((x, height + 13, x + 13, height + 26), fill=(SOURCE, GENERATED)[column])
        draw.text((x + 24, height + strip / 2), label, INK, font(18), anchor="lm")
    return np.asarray(canvas)


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font that ships with Pillow."""
    return ImageFont.load_default(size)


def _scaled(picture: np.ndarray, width: int) -> Image.Image:
    image = Image.fromarray(np.ascontiguousarray(picture))
    return image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)
