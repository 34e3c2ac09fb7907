"""A standard set's figures by its published convention, as tables."""

from __future__ import annotations

from collections.abc import Sequence

from vfi_pipeline.evaluation.conventions import Convention
from vfi_pipeline.evaluation.quality import Results, Row
from vfi_pipeline.evaluation.tables import MAX_ROWS, mean_of, means, table

LEGEND = (
    "PSNR over RGB of each picture, then the mean of all pictures; an exact picture counts as 100 dB. Made pictures "
    "are rounded to 8 bits, except where a column says unrounded. SSIM is that of papers on frame interpolation: RGB "
    "as one volume, Gaussian of 11 x 11 x 11, replicated border (ssim_matlab). SSIM 7x7 is scikit-image's default on "
    "colour pictures, SSIM luma this project's own (Gaussian, BT.601 luma). IE is the mean absolute difference in "
    "codes of 255. A method sees the two given pictures alone; nothing is averaged over flipped copies "
    "(docs/evaluation.md)."
)
"""Explanation of the columns, below the tables."""


def set_means(results: Results) -> list[dict]:
    """For each part of a standard set, factor and method: the means over all rebuilt pictures, as in papers.

    ``published`` maps the convention's titles to means; ``psnr`` and ``ssim`` are this project's own figures of the
    same pictures (rounded, luma). ``of`` is the number of pictures of the whole set.
    """
    rows_of_means = []
    for mean in means([row for row in results.rows if row.group in results.conventions]):
        key = {name: mean[name] for name in ("group", "rate", "method")}
        rows = [row for row in results.rows if (row.group, row.rate, row.method) == tuple(key.values())]
        convention = results.conventions[mean["group"]]
        psnr_ssim = [value for row in rows for value in row.frames]
        figures = {
            "published": {
                c.title: mean_of([x for r in rows for x in r.published[c.title]]) for c in convention.columns
            },
            "psnr": mean_of([decibel for decibel, _ in psnr_ssim]),
            "ssim": mean_of([similarity for _, similarity in psnr_ssim]),
        }
        rows_of_means.append({**key, "pictures": len(psnr_ssim), "of": convention.pictures, **figures})
    return rows_of_means


def set_of(group: str) -> str:
    """The set that a group is a part of: ``xiph`` for ``xiph 2K``."""
    return group.split(" ")[0]


def section(results: Results, name: str) -> list[str]:
    """The section of a standard set: a row for each part and method, and notes on the figures."""
    groups = [group for group in results.conventions if set_of(group) == name]
    convention = results.conventions[groups[0]]
    heads = ["set", "method", "pictures", *(column.title for column in convention.columns), "SSIM luma"]
    lines = [f"## {name}, by its published convention", "", f"| {' | '.join(heads)} |"]
    lines.append("|--|--|" + "--:|" * (len(heads) - 2))
    rows = [mean for mean in set_means(results) if mean["group"] in groups]
    for mean in rows:
        figures = [column.text(mean["published"][column.title]) for column in convention.columns]
        cells = [mean["group"], mean["method"], str(mean["pictures"]), *figures, f"{mean['ssim']:.4f}"]
        lines.append(f"| {' | '.join(cells)} |")
    notes = [f"Convention: {convention.source}.", *dict.fromkeys(results.conventions[g].note for g in groups)]
    partial = [f"{m['pictures']} of {m['of']} pictures of {m['group']}" for m in rows if m["pictures"] != m["of"]]
    if partial:
        notes.append(f"Not the whole set: {', '.join(dict.fromkeys(partial))}. Papers measure all of them.")
    for group in groups:
        size, sizes = results.conventions[group].size, sorted(results.sizes[group])
        if size and sizes != [size]:
            actual = ", ".join(f"{w}x{h}" for w, h in sizes)
            notes.append(f"Pictures of {group} are {actual}; in the published set they are {size[0]}x{size[1]}.")
    if results.rounding and convention.unrounded:
        notes.append(f"Gives bytes only, so that unrounded figures are rounded ones: {', '.join(results.rounding)}.")
    return [*lines, "", " ".join(note for note in notes if note), ""]


def scenes(rows: Sequence[Row], convention: Convention, methods: Sequence[str]) -> list[str]:
    """The convention's first two figures for each scene of a part of a set; no table for a single scene or too many."""
    names = list(dict.fromkeys(row.scene for row in rows))
    if len(names) == 1:
        return []
    if len(names) > MAX_ROWS:
        return [f"{len(names)} scenes: their figures are in results.json.", ""]

    def cell(scene: str, method: str) -> str:
        chosen = [row for row in rows if (row.scene, row.method) == (scene, method)]
        values = [mean_of([x for row in chosen for x in row.published[c.title]]) for c in convention.columns[:2]]
        return " / ".join(c.text(value) for c, value in zip(convention.columns, values) if value is not None)

    head = "scene: " + " / ".join(column.title for column in convention.columns[:2])
    return [*table(head, names, methods, cell), ""]
