"""Means of rows, and Markdown tables of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from vfi_pipeline.evaluation.quality import Row

MAX_ROWS = 50
"""Rows of one table; the others are in results.json."""


def means(rows: Sequence[Row]) -> list[dict]:
    """Per group, factor and method: means of the clips' figures (smallest determinant: the smallest), table order."""
    keys = list(dict.fromkeys((row.group, row.rate, row.method) for row in rows))
    rows_of_means = []
    for group, rate, method in keys:
        chosen = [row for row in rows if (row.group, row.rate, row.method) == (group, rate, method)]
        mean = {name: mean_of([getattr(row, name) for row in chosen]) for name in FIGURES if name != "min_det"}
        dets = [row.min_det for row in chosen if row.min_det is not None]
        mean["min_det"] = min(dets) if dets else None
        rows_of_means.append({"group": group, "rate": rate, "method": method, "clips": len(chosen), **mean})
    return rows_of_means


FIGURES = ("psnr", "ssim", "lpips", "warp_error", "seconds", "nfe", "min_det", "folded")


def table(head: str, names: Sequence[str], methods: Sequence[str], cell: Callable[[str, str], str]) -> list[str]:
    """A table with a row for each name and a column for each method."""
    lines = [f"| {head} | " + " | ".join(methods) + " |", "|--|" + "--:|" * len(methods)]
    lines += [f"| {name} | " + " | ".join(cell(name, method) for method in methods) + " |" for name in names[:MAX_ROWS]]
    if len(names) > MAX_ROWS:
        lines.append(f"| ... {len(names) - MAX_ROWS} more in results.json |" + " |" * len(methods))
    return lines


def facts(total: dict[str, dict], methods: Sequence[str]) -> list[str]:
    """The table of all figures but PSNR and SSIM, methods as rows; ``total`` maps method to its ``means``."""
    columns = [
        ("LPIPS", "lpips", lambda x: f"{x:.4f}"),
        ("warp error, 1e-3", "warp_error", lambda x: f"{1e3 * x:.3f}"),
        ("s per made frame", "seconds", lambda x: f"{x:.3f}"),
        ("NFE per pair", "nfe", lambda x: f"{x:.0f}"),
        ("smallest det", "min_det", lambda x: f"{x:.3f}"),
        ("folded area", "folded", lambda x: f"{100 * x:.3f} %"),
    ]
    columns = [c for c in columns if any(total[m][c[1]] is not None for m in methods)]
    lines = ["| mean | " + " | ".join(c[0] for c in columns) + " |", "|--|" + "--:|" * len(columns)]
    for method in methods:
        values = [total[method][name] for _, name, _ in columns]
        cells = ["-" if value is None else form(value) for value, (_, _, form) in zip(values, columns)]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def quality(decibel: float, similarity: float) -> str:
    """``32.10 / 0.9200``"""
    return f"{decibel:.2f} / {similarity:.4f}"


def mean_of(values: Sequence[float | None]) -> float | None:
    """The mean of the values that are not None; None if there are none."""
    numbers = [value for value in values if value is not None]
    return float(np.mean(numbers)) if numbers else None
