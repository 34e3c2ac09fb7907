"""Writes the table of README.md from the results of ``evaluate.py``.

``python -m benchmarks.summary README.md unseen=outputs/eval_only/results.json dev=outputs/dev/results.json``
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.words import words_of
from vfi_pipeline.evaluation.page import write_section
from vfi_pipeline.evaluation.tables import quality

NAMES = {
    "flow": "**ours**", "minterpolate": "ffmpeg `minterpolate`", "blend": "cross-fade", "hold": "frame hold",
    "dis-fast": "DIS flow, blended", "dis-splat": "DIS flow, splatted",
}  # fmt: skip
"""Names of methods in the table; other methods keep their own."""


def summary(records: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown: per set and factor a row, per method a column, PSNR dB / SSIM; below it the commands.

    Args:
        records: title of the set -> the parsed ``results.json`` of one run.

    Raises:
        ValueError: if a run did not end.
    """
    methods = list(dict.fromkeys(mean["method"] for record in records.values() for mean in record["means"]))
    lines = ["| | | " + " | ".join(NAMES.get(name, name) for name in methods) + " |"]
    lines.append("|--|--|" + "--:|" * len(methods))
    for title, record in records.items():
        if record.get("unfinished"):
            raise ValueError(f"The run of {title} did not end.")
        for rate in dict.fromkeys(mean["rate"] for mean in record["means"]):
            at = {mean["method"]: mean for mean in record["means"] if mean["rate"] == rate}
            cells = [quality(at[name]["psnr"], at[name]["ssim"]) if name in at else "-" for name in methods]
            lines.append(f"| {title} | {rate}x | " + " | ".join(cells) + " |")
    commands = "\n".join(f"    {record['command']}" for record in records.values())
    return (
        "\n".join(lines) + f"\n\nPSNR in dB over RGB bytes / SSIM of luma: means over frames, then clips.\n\n{commands}"
    )


def main(words: Sequence[str]) -> None:
    page, *sets = words_of(__doc__, words, least=2)
    named = [text.partition("=") for text in sets]
    records = {title: json.loads(Path(path).read_text(encoding="utf-8")) for title, _, path in named}
    write_section(Path(page), "summary", "What was measured", summary(records))


if __name__ == "__main__":
    main(sys.argv[1:])
