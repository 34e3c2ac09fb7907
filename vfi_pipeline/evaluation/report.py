"""The tables and pictures of an evaluation: JSON with every value, Markdown, and one HTML page."""

from __future__ import annotations

import base64
import html
import io
import json
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from vfi_pipeline.evaluation.page import circumstances
from vfi_pipeline.evaluation.published import LEGEND, scenes, section, set_means, set_of
from vfi_pipeline.evaluation.quality import Picture, Results, label
from vfi_pipeline.evaluation.tables import facts, quality, table
from vfi_pipeline.evaluation.tables import means as means  # beside ``markdown`` and ``save``, for callers
from vfi_pipeline.viz.filmstrip import GENERATED, NEUTRAL, Cell, crop, filmstrip


def markdown(results: Results, command: str) -> str:
    """The tables: a standard set's published figures; PSNR / SSIM per clip of films; then all means."""
    lines = [f"`{command}`", ""]
    for name in dict.fromkeys(set_of(group) for group in results.conventions):
        lines += section(results, name)
    for group, rate in dict.fromkeys((row.group, row.rate) for row in results.rows):
        chosen = [row for row in results.rows if (row.group, row.rate) == (group, rate)]
        methods = list(dict.fromkeys(row.method for row in chosen))
        total = {m["method"]: m for m in means(chosen)}
        if group in results.conventions:
            lines += [f"## {group}, {rate}x", "", *scenes(chosen, results.conventions[group], methods)]
            lines += facts(total, methods)
            continue
        clips = list(dict.fromkeys(row.clip for row in chosen))
        lines += [f"## {group}, {rate}x: PSNR dB / SSIM", ""]
        at = {(row.clip, row.method): quality(row.psnr, row.ssim) for row in chosen}
        lines += table("clip", clips, methods, lambda *cell, at=at: at[cell])
        cells = [f"**{quality(total[m]['psnr'], total[m]['ssim'])}**" for m in methods]
        lines += ["| **mean** | " + " | ".join(cells) + " |", ""]
        lines += facts(total, methods)
    lines.append(_note(results))
    if results.skipped:
        lines += ["", f"Left out, not readable or too short: {', '.join(results.skipped)}."]
    return "\n".join(lines) + "\n"


def _note(results: Results) -> str:
    """A note on averaging, rounding and colours."""
    notes = []
    if any(row.group not in results.conventions for row in results.rows):
        description = {
            "film": "Frames are made in the film's own planes; then made and true ones become RGB",
            "rgb": "Films become RGB pictures of 8 bits first, which the methods are given, as in papers",
        }[results.planes]
        chroma = {
            "nearest": "chroma repeated, ffmpeg's default (chroma=bicubic interpolates it; docs/evaluation.md)",
            "bicubic": "chroma interpolated (chroma=nearest repeats it, ffmpeg's default; docs/evaluation.md)",
        }[results.chroma]
        notes.append(
            "Means of per-frame values over a clip's made frames, then over clips. PSNR over RGB rounded to bytes, "
            f"SSIM Gaussian (sigma 1.5) on BT.601 luma. {description}: {chroma}."
        )
    if results.conventions:
        notes.append(LEGEND)
    if results.truth:
        floor = 1e3 * float(np.nanmean(list(results.truth.values())))
        notes.append(f"Warp error: masked, along the true motion, in 1e-3; the true films have {floor:.3f}.")
    return " ".join(notes)


def quality_section(results: Results, command: str) -> str:
    """The tables for BENCHMARKS.md: headings one level lower, with the machine and the command."""
    words = markdown(results, command).split("\n", 2)[2]
    return f"{circumstances(command)}\n\n{words}".replace("\n## ", "\n### ")


def save(results: Results, folder: Path, command: str, settings: dict, unfinished: bool = False) -> list[Path]:
    """Writes ``results.json``, ``results.md``, ``results.html`` and ``pictures/``; returns the files' paths.

    ``unfinished``: only the JSON, which says so; for a run that is still going on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    record = {
        "command": command,
        "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": machine(),
        "settings": settings,
        "means": means(results.rows),
        "clips": [{k: v for k, v in asdict(row).items() if k != "frames"} for row in results.rows],
        "sets": set_means(results),
        "frames": {f"{label(row.group, row.clip)} {row.rate}x {row.method}": row.frames for row in results.rows},
        "truth_warp_error": results.truth,
        "skipped": results.skipped,
        **({"unfinished": True} if unfinished else {}),
    }
    if unfinished:
        (folder / "results.json").write_text(_json(record), encoding="utf-8")
        return [folder / "results.json"]
    text = markdown(results, command)
    strips = [(f"{p.clip}_{p.rate}x", _strip(p)) for p in results.pictures]
    pictures = []
    if strips:
        (folder / "pictures").mkdir(exist_ok=True)
    for name, image in strips:
        path = folder / "pictures" / f"{_safe(name)}.png"
        image.save(path, optimize=True)
        pictures.append(path)
    if pictures:
        text += "\n## Pictures\n\nThe made frame on which the methods differ most.\n\n"
        text += "\n".join(f"![{path.stem}](pictures/{path.name})\n" for path in pictures)
    written = {"results.json": _json(record), "results.md": text, "results.html": _page(text, strips, command)}
    for name, content in written.items():
        (folder / name).write_text(content, encoding="utf-8")
    return [folder / name for name in written] + pictures


class Keeper:
    """Saves the results of a long run so far, at most every ``every_s`` seconds; called after each clip."""

    def __init__(self, folder: Path, command: str, settings: dict, every_s: float = 30) -> None:
        self.folder, self.command, self.settings, self.every_s = folder, command, settings, every_s
        self._due = 0.0

    def __call__(self, results: Results) -> None:
        if time.monotonic() >= self._due:
            save(results, self.folder, self.command, self.settings, unfinished=True)
            self._due = time.monotonic() + self.every_s


def machine() -> str:
    """The machine, for the page."""
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    threads = f"{torch.get_num_threads()} threads{gpu}"
    return f"{platform.system()} {platform.machine()}, {threads}, torch {torch.__version__}"


def _strip(picture: Picture, width: int = 320, height: int = 180) -> Image.Image:
    """The truth and every method, cropped where the methods differ most."""
    frames_by_method = picture.frames
    stack = np.stack([frame.astype(np.float32).mean(axis=2) for frame in frames_by_method.values()])
    error = np.abs(stack - picture.truth.astype(np.float32).mean(axis=2)).max(axis=0)
    height, width = min(height, error.shape[0]), min(width, error.shape[1])
    # The cut-out with the largest error: box sums from an integral image.
    total = np.pad(error.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    sums = total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
    y, x = np.unravel_index(sums.argmax(), sums.shape)
    centre = float(x + width / 2), float(y + height / 2)
    cells = [Cell(crop(picture.truth, centre, width, height), NEUTRAL, "truth", f"{picture.rate}x")]
    for name, frame in frames_by_method.items():
        cells.append(Cell(crop(frame, centre, width, height), GENERATED, name, f"{picture.psnr[name]:.2f} dB"))
    return filmstrip([cells])


def _page(text: str, strips: Sequence[tuple[str, Image.Image]], command: str) -> str:
    """The Markdown's tables and the pictures as one self-contained HTML page."""
    body, table = [], []
    for line in [*text.split("## Pictures")[0].splitlines(), ""]:
        if line.startswith("|"):
            if not set(line) <= set("|-: "):
                table.append([cell.strip() for cell in line.strip("|").split("|")])
            continue
        if table:
            rows = ["".join(f"<td>{_bold(cell)}</td>" for cell in row) for row in table]
            body.append("<table>" + "".join(f"<tr>{row}</tr>" for row in rows) + "</table>")
            table = []
        if line.startswith("## "):
            body.append(f"<h2>{html.escape(line[3:])}</h2>")
        elif line:
            body.append(f"<p>{html.escape(line)}</p>")
    for name, image in strips:
        data = io.BytesIO()
        image.save(data, "PNG", optimize=True)
        source = base64.b64encode(data.getvalue()).decode()
        body.append(f'<h3>{html.escape(name)}</h3><img alt="{html.escape(name)}" src="data:image/png;base64,{source}">')
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Evaluation</title><style>"
        "body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:1500px;padding:0 1em}"
        "table{border-collapse:collapse;margin:1em 0}td{border:1px solid #ccd;padding:.3em .7em;text-align:right}"
        "td:first-child{text-align:left}tr:first-child{background:#eef;font-weight:600}img{max-width:100%}"
        f"</style><h1>Evaluation</h1>{''.join(body)}</html>\n"
    )


def _bold(cell: str) -> str:
    text = html.escape(cell)
    return f"<b>{text[2:-2]}</b>" if text.startswith("**") and text.endswith("**") else text


def _json(record: dict) -> str:
    # NaN is no JSON: a film without one visible point has no warp error.
    def clean(x: object) -> object:
        if isinstance(x, dict):
            return {key: clean(value) for key, value in x.items()}
        if isinstance(x, list | tuple):
            return [clean(value) for value in x]
        return None if isinstance(x, float) and x != x else x

    return json.dumps(clean(record), indent=1) + "\n"


def _safe(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name)
