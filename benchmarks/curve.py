"""Quality against time of ``model=flow``: the sizes of its pictures and the steps of its closed form.

``python -m benchmarks.curve BENCHMARKS.md a.mp4 b.mp4 ...``
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.words import words_of
from vfi_pipeline.evaluation.baselines import Method, baseline, by_model
from vfi_pipeline.evaluation.page import circumstances, write_section
from vfi_pipeline.evaluation.quality import evaluate
from vfi_pipeline.evaluation.samples import named, samples
from vfi_pipeline.evaluation.tables import means, quality
from vfi_pipeline.models.flow import FlowModel, load_flow

BASELINE = "minterpolate"
RATES = (2, 8)
FRAMES = 9


@dataclass(frozen=True)
class Setting:
    """One point of the curve.

    Attributes:
        guide_span, network_span: longest sides, px, of the working picture and of the network's.
        steps: of Lucas-Kanade, see ``estimation.lucas_kanade.LucasKanade``.
    """

    guide_span: int = 512
    network_span: int = 448
    steps: tuple[tuple[int, int], ...] = ((2, 1), (1, 1))

    def __str__(self) -> str:
        steps = ", ".join(f"{count} at 1/{shrink}" for shrink, count in self.steps) or "none"
        return f"{self.guide_span} / {self.network_span} px, steps: {steps}"


SETTINGS = (
    Setting(),
    Setting(steps=()),
    Setting(steps=((1, 1),)),
    Setting(steps=((2, 2), (1, 2))),
    Setting(320, 320),
    Setting(448, 384),
    Setting(512, 384),
    Setting(640, 448),
    Setting(640, 640),
)
"""The first is what ships."""


def model_of(setting: Setting, weights: str = "flow") -> FlowModel:
    """The shipped model at a setting."""
    model = load_flow(weights, setting.guide_span, setting.network_span)
    settings = model.model.settings
    steps = replace(settings.lucas_kanade, steps=setting.steps)
    model.model.settings = replace(settings, lucas_kanade=steps)
    return model


def curve_table(means_of: Sequence[Mapping], settings: Sequence[Setting]) -> str:
    """Markdown: a row per setting; times as shares of minterpolate's in the same run.

    Args:
        means_of: ``report.means`` of a run whose methods are the settings' names and ``BASELINE``.
    """
    rates = list(dict.fromkeys(mean["rate"] for mean in means_of))
    at = {(mean["method"], mean["rate"]): mean for mean in means_of}
    head = " | ".join(f"{rate}x, dB / SSIM | time, of minterpolate's" for rate in rates)
    lines = [f"| working picture / network's | {head} |", "|--|" + "--:|" * (2 * len(rates))]
    for index, name in enumerate([*map(str, settings), BASELINE]):
        cells = []
        for rate in rates:
            mean = at[name, rate]
            cells += [quality(mean["psnr"], mean["ssim"]), f"{mean['seconds'] / at[BASELINE, rate]['seconds']:.2f}"]
        shown = f"**{name}** (ships)" if index == 0 else name
        lines.append(f"| {shown} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(words: Sequence[str]) -> None:
    """The command; see the module's docstring."""
    page, *clips = words_of(__doc__, words, least=2)
    methods: dict[str, Method] = {str(setting): by_model(model_of(setting)) for setting in SETTINGS}
    methods[BASELINE] = baseline(BASELINE)
    loaded = [sample for clip in clips for source in named(clip) for sample in samples(source, "films", FRAMES)]
    results = evaluate(loaded, methods, RATES, temporal=False, keep_pictures=0, say=lambda line: None)
    names = ", ".join(sample.name for sample in loaded)
    body = (
        f"{circumstances(shlex.join(['python', '-m', 'benchmarks.curve', *words]))}\n\n"
        f"Frames 0 to {FRAMES - 1} of: {names}. The default was chosen on these clips; nothing was learned from them.\n"
        "Time is wall time of a made frame, frames in memory, pair by pair, over minterpolate's in the same run.\n\n"
        f"{curve_table(means(results.rows), SETTINGS)}"
    )
    write_section(Path(page), "curve", "Quality against time", body)


if __name__ == "__main__":
    main(sys.argv[1:])
