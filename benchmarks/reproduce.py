"""The paper's experiments, several seeds each, from training to the page: ``make reproduce``.

    python -m benchmarks.reproduce                                   all that needs no data of your own
    python -m benchmarks.reproduce --faces /faces --mnist mnist.npz  the faces and MNIST, too
    python -m benchmarks.reproduce --only digits_gan --seeds 0,1

Every run has its folder under ``--out``; what is finished there is not trained again, what was stopped goes on. The
tables say the mean and the range over the seeds, not the best of them.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from benchmarks import ablation
from benchmarks import digits as digit_runs
from benchmarks import smile as smile_runs
from vfi_pipeline.data.digits import load_digits
from vfi_pipeline.data.modules import Digits
from vfi_pipeline.errors import DONE, ENVIRONMENT, UserError
from vfi_pipeline.evaluation import digits, smile
from vfi_pipeline.evaluation.page import circumstances, write_section
from vfi_pipeline.geometry import folding, warp
from vfi_pipeline.metrics import psnr
from vfi_pipeline.models.checkpoint import load_model

log = logging.getLogger(__name__)

TRAIN = Path(__file__).resolve().parents[1] / "train.py"

Figures = dict[str, float]


@dataclass(frozen=True)
class Own:
    """What the user has: None where they do not."""

    faces: Path | None = None
    mnist: Path | None = None

    def hidden(self, text: str) -> str:
        """``text`` without the places where these lie: the page is for others."""
        for name, path in (("<faces>", self.faces), ("<mnist>", self.mnist)):
            text = text.replace(str(path), name) if path is not None else text
        return text


@dataclass(frozen=True)
class Experiment:
    """One table.

    Attributes:
        name: of the experiment, its folder and its section.
        title: of the section.
        trials: row -> words for ``train.py``.
        judge: run's folder -> figures by name, of data that were not trained on.
        shown: figure -> (column's heading, how a number is written).
        note: what a reader has to know.
        draw: (run's folders of the first seed by row, folder of figures) -> names of what was drawn.
    """

    name: str
    title: str
    trials: Mapping[str, tuple[str, ...]]
    judge: Callable[[Path], Figures]
    shown: Mapping[str, tuple[str, str]]
    note: str
    draw: Callable[[Mapping[str, Path], Path], list[str]] | None = None


PERCENT, DECIBEL, PIXEL, NUMBER = "{:.1%}", "{:.2f}", "{:.3f}", "{:.2f}"

FOLDS = {"folded": ("det <= 0", "{:.3%}"), "min_det": ("smallest det", NUMBER), "inverse_px": ("inverse, px", PIXEL)}


def experiments(own: Own) -> dict[str, Experiment]:
    """All that can be run with what the user has."""
    mnist = () if own.mnist is None else (f"data.mnist={own.mnist}",)
    whose = (
        "MNIST, whose test digits are by other writers than its training digits."
        if own.mnist is not None
        else "scikit-learn's digits, which do not say who wrote which: test digits come from writers seen in training. "
        "With `--mnist` (`make reproduce MNIST=...`) the test is on other writers, and that is the headline."
    )
    all_experiments = [
        Experiment(
            "digits_gan",
            "3 becomes 4, unpaired (the paper's Fig. 5)",
            {
                "svf": ("experiment=digits_gan", *mnist),
                "state (the paper's network)": ("experiment=digits_gan", "field=state", *mnist),
            },
            lambda run: judge_digits(run, own.mnist),
            {
                "network": ("called 4 at t = 1, network", PERCENT),
                "svm": ("SVM", PERCENT),
                "network_before": ("at t = 0, network", PERCENT),
                "rising": ("rises in t, each digit", PERCENT),
                **FOLDS,
            },
            f"On {whose} The referees, a convolutional network and a support vector machine, learned from digits that "
            "neither the model nor its critic has seen; their own accuracy is in the JSON.",
            lambda runs, folder: draw_digits(runs, folder, own.mnist),
        ),
        Experiment(
            "digits_l2",
            "Each 3 and its nearest 4, paired (the paper's Fig. 6 on digits)",
            {"svf": ("experiment=digits_l2", *mnist)},
            judge_pairs,
            {"psnr": ("PSNR at t = 1, dB", DECIBEL), "hold": ("the 3 unmoved", DECIBEL), **FOLDS},
            f"On {whose} Pairs of different handwriting cannot match exactly.",
        ),
        Experiment(
            "synthetic_l2",
            "What fitting t = 0 and t = 1 says of the middle: synthetic scenes whose truth is known",
            {
                "svf, the preset": ("experiment=synthetic_l2",),
                "svf, 500 steps": ("experiment=synthetic_l2", "steps=500"),
                "svf, 500 steps, JD and OG off": (
                    "experiment=synthetic_l2", "steps=500", "objective.folding=0", "objective.out_of_grid=0",
                ),
                "time, 500 steps": ("experiment=synthetic_l2", "steps=500", "field=time"),
                "svf, 500 steps, first frame's pixels": (
                    "experiment=synthetic_l2", "steps=500", "net.sides=first", "training.ends=[1.0]", "data.pool=512",
                ),
                "state, 500 steps, first frame's pixels": (
                    "experiment=synthetic_l2", "steps=500", "net.sides=first", "training.ends=[1.0]", "data.pool=512",
                    "field=state",
                ),
            },
            judge_scenes,
            {f"{t:g}": (f"t = {t:g}", DECIBEL) for t in ablation.TIMES} | {"blend": ("blend at 0.5", DECIBEL), **FOLDS},
            "PSNR, dB, of the inside of 64 scenes with textures that no training scene has; at t = 1 of the first "
            "frame's pixels alone.",
        ),
    ]  # fmt: skip
    if own.faces is not None:
        all_experiments += faces_of(own.faces)
    return {experiment.name: experiment for experiment in all_experiments}


def faces_of(root: Path) -> list[Experiment]:
    """The two experiments on faces: ``root`` has ``neutral`` and ``smiling``, and perhaps ``paired`` with the same two.

    Raises:
        UserError: if it has not.
    """
    paired = root / "paired" if (root / "paired").is_dir() else root
    for folder in (root / "neutral", root / "smiling", paired / "neutral", paired / "smiling"):
        if not folder.is_dir():
            raise UserError(f"{folder} is no folder.", "--faces: a folder with neutral/ and smiling/ in it.")
    real = (root / "neutral", root / "smiling")

    def judge(run: Path) -> Figures:
        return judge_faces(run, real)

    columns = {
        "gain": ("P(smile) gains", "{:+.3f}"), "monotone": ("never falls", PERCENT),
        "largest_fall": ("falls by at most", "{:.4f}"),
        "accuracy": ("referee right", PERCENT), "psnr": ("PSNR at t = 1, dB", DECIBEL), "hold": ("hold", DECIBEL),
        **FOLDS,
    }  # fmt: skip
    note = (
        "On people that were not trained on. The referee learned from people whom neither the model nor its critic has "
        "seen, and never from the one it judges."
    )
    return [
        Experiment(
            "smile_l2",
            "A neutral face smiles, paired (the paper's Fig. 6)",
            {"svf": ("experiment=smile_l2", f"data.first={paired / 'neutral'}", f"data.last={paired / 'smiling'}")},
            judge,
            columns,
            note,
            lambda runs, folder: draw_faces(runs, folder, "smile_l2", real),
        ),
        Experiment(
            "smile_gan",
            "A neutral face smiles, unpaired (the paper's Fig. 7)",
            {"svf": ("experiment=smile_gan", f"data.source={root / 'neutral'}", f"data.target={root / 'smiling'}")},
            judge,
            columns,
            note,
            lambda runs, folder: draw_faces(runs, folder, "smile_gan", real),
        ),
    ]


# ------------------------------------------------------------------------------------------------------------ judges


@lru_cache
def digit_referee(size: int, mnist: Path | None) -> tuple[digits.Referee, Any]:
    """The referees of one size of digits, and the split; the same for every run."""
    split = load_digits(size, mnist)
    return digits.Referee(split), split


def judge_digits(run: Path, mnist: Path | None) -> Figures:
    """See ``evaluation.digits.score``."""
    model, _ = load_model(digits.run_weights(run))
    referee, split = digit_referee(model.guide_span, mnist)
    facts, _ = digits.score("", model, referee, split.of(3, "test"))
    figures = {**facts.called_target, **{f"{who}_before": v for who, v in facts.called_target_before.items()}}
    figures |= {f"{who}_accuracy": share for who, share in referee.accuracy.items()}
    return figures | {key: getattr(facts, key) for key in ("rising", "folded", "min_det", "inverse_px")}


@torch.no_grad()
def judge_pairs(run: Path) -> Figures:
    """PSNR and folds of a paired fit on the test digits."""
    model, _ = load_model(digits.run_weights(run))
    settings = json.loads((run / "run.json").read_text())["config"]["data"]
    data = Digits(**{key: value for key, value in settings.items() if not key.startswith("_")})
    tested: Any = data.built("test")
    pairs = [tested[k] for k in range(len(tested))]
    first, last = torch.stack([pair.first for pair in pairs]), torch.stack([pair.last for pair in pairs])
    motion = model(first, last, torch.tensor(digits.TIMES).expand(len(first), -1))
    low, share = zip(*(folding(motion.flow[:, k]) for k in range(len(digits.TIMES))))
    backward = digits.backward_flow(model, first, last)
    left = backward + warp(motion.flow[:, -1], backward)
    return {
        "psnr": float(psnr(motion.frame[:, -1], last).mean()),
        "hold": float(psnr(first, last).mean()),
        "folded": float(torch.stack(share).mean()),
        "min_det": float(torch.stack(low).min()),
        "inverse_px": float(left.norm(dim=1).mean()),
    }


@lru_cache
def scenes(size: int) -> tuple[Any, torch.Tensor]:
    """The scenes of ``benchmarks.ablation`` and their true frames."""
    batch = ablation.scenes(size=size)
    return batch, torch.cat((batch.targets, batch.last[:, None]), dim=1)


def judge_scenes(run: Path) -> Figures:
    """See ``benchmarks.ablation.row``."""
    model, _ = load_model(digits.run_weights(run))
    batch, true = scenes(model.guide_span)
    facts = ablation.row("", model, batch, true)
    blend, _ = ablation.baselines(batch, true)
    assert facts.inverse_px is not None
    folds = {"folded": facts.folded, "min_det": facts.min_det, "inverse_px": facts.inverse_px}
    return {**facts.psnr, "blend": blend.psnr["0.5"], **folds}


def judge_faces(run: Path, real: tuple[Path, Path]) -> Figures:
    """See ``evaluation.smile.score``."""
    model, _ = load_model(digits.run_weights(run))
    facts, _, _ = smile.score("", model, smile_runs.data_of(run), real)
    figures = {"gain": facts.gain, "monotone": float(facts.monotone), "accuracy": facts.referee_accuracy}
    figures |= {key: getattr(facts, key) for key in ("largest_fall", "folded", "min_det", "inverse_px")}
    return figures | ({} if facts.psnr is None else {"psnr": facts.psnr, "hold": facts.psnr_hold or math.nan})


def draw_digits(runs: Mapping[str, Path], folder: Path, mnist: Path | None) -> list[str]:
    """The paper's Fig. 5 of the first seed."""
    named = []
    for row, run in runs.items():
        model, _ = load_model(digits.run_weights(run))
        referee, split = digit_referee(model.guide_span, mnist)
        sources = split.of(3, "test")
        facts, frames = digits.score(row.split(" ")[0], model, referee, sources)
        named.append((facts.name, model, frames, facts))
    digit_runs.figure(folder / "digits_gan.png", named, sources)
    return ["digits_gan.png"]


def draw_faces(runs: Mapping[str, Path], folder: Path, name: str, real: tuple[Path, Path]) -> list[str]:
    """The paper's figure and a GIF of the first seed. They show the user's faces: ``folder`` is theirs, too."""
    results = []
    for run in runs.values():
        model, _ = load_model(digits.run_weights(run))
        facts, sources, frames = smile.score(name, model, smile_runs.data_of(run), real)
        results.append((facts, model, sources, frames))
    smile_runs.figure(folder / f"{name}.png", results)
    smile_runs.animation(folder / f"{name}.gif", results[0][3])
    return [f"{name}.png", f"{name}.gif"]


# -------------------------------------------------------------------------------------------------------- the runs


@dataclass
class Outcome:
    """What became of an experiment: row -> figures of each seed; and the runs that failed."""

    figures: dict[str, list[Figures]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)


def trained(run: Path, words: Sequence[str], seed: int, more: Sequence[str] = ()) -> bool:
    """Trains one run, or goes on with it, unless it is finished; whether it is finished then."""
    if finished(run):
        log.info("%s is finished.", run)
        return True
    command = [
        sys.executable, str(TRAIN), *words, f"seed={seed}", f"data.seed={seed}", *more, f"hydra.run.dir={run}",
        "ckpt_path=auto",
    ]  # fmt: skip
    log.info("%s", " ".join(command[1:]))
    return subprocess.run(command).returncode == DONE and finished(run)


def finished(run: Path) -> bool:
    """Whether a run has come to its end."""
    try:
        return json.loads((run / "run.json").read_text()).get("state") == "finished"
    except (OSError, ValueError, AttributeError):
        return False


def spread(values: Sequence[float], form: str) -> str:
    """Mean and range, as ``97.1% (93.5% to 100.0%)``; one value stands alone."""
    numbers = [value for value in values if not math.isnan(value)]
    if not numbers:
        return ""
    mean = form.format(sum(numbers) / len(numbers))
    return mean if len(numbers) == 1 else f"{mean} ({form.format(min(numbers))} to {form.format(max(numbers))})"


def table(experiment: Experiment, outcome: Outcome) -> str:
    """Mean and range of every figure over the seeds, as Markdown."""
    present = {key for rows in outcome.figures.values() for row in rows for key in row}
    shown = {key: how for key, how in experiment.shown.items() if key in present}
    lines = ["| | " + " | ".join(heading for heading, _ in shown.values()) + " |", "|--|" + "--|" * len(shown)]
    for row, figures_of_seeds in outcome.figures.items():
        cells = [
            spread([figures.get(key, math.nan) for figures in figures_of_seeds], form)
            for key, (_, form) in shown.items()
        ]
        lines.append(f"| `{row}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def section(experiment: Experiment, outcome: Outcome, seeds: Sequence[int], drawn: Sequence[str], command: str) -> str:
    """The experiment's part of the page."""
    trained_by = [f"    python train.py {' '.join(words)}" for words in experiment.trials.values()]
    pictures = [f"![{experiment.title}](figures/{name})" for name in drawn if name.endswith(".png")]
    failed = [f"**Failed:** {', '.join(outcome.failed)}."] if outcome.failed else []
    return "\n\n".join(
        [
            "\n".join(trained_by), *pictures, f"{experiment.note} Mean and range over seeds "
            f"{', '.join(map(str, seeds))}.", table(experiment, outcome), *failed, circumstances(command),
        ]
    )  # fmt: skip


def record(path: Path, experiment: Experiment, outcome: Outcome, seeds: Sequence[int], own: Own) -> None:
    """Puts the figures of every seed into the JSON beside the page; other experiments' stay."""
    try:
        held = json.loads(path.read_text())
    except (OSError, ValueError):
        held = {}
    held[experiment.name] = {
        "seeds": list(seeds),
        "words": {row: [own.hidden(word) for word in words] for row, words in experiment.trials.items()},
        **asdict(outcome),
    }
    draft = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    draft.write_text(json.dumps(held, indent=1) + "\n")
    os.replace(draft, path)


def reproduce(
    chosen: Sequence[Experiment], seeds: Sequence[int], out: Path, page: Path, figures: Path, more: Sequence[str],
    command: str, own: Own,
) -> list[str]:  # fmt: skip
    """Trains, judges and writes each experiment as soon as its runs are done; returns the runs that failed.

    Args:
        more: further words for every ``train.py`` (fewer steps, another trainer).
    """
    failed = []
    for experiment in chosen:
        outcome = Outcome()
        first: dict[str, Path] = {}
        for row, words in experiment.trials.items():
            for seed in seeds:
                run = out / experiment.name / folder_name(row) / str(seed)
                if not trained(run, words, seed, more):
                    outcome.failed.append(f"{row}, seed {seed}")
                    continue
                outcome.figures.setdefault(row, []).append({"seed": seed, **experiment.judge(run)})
                first.setdefault(row, run)
        failed += [f"{experiment.name}: {failure}" for failure in outcome.failed]
        if not outcome.figures:
            continue
        drawn = experiment.draw(first, figures) if experiment.draw else []
        record(figures / "reproduction.json", experiment, outcome, seeds, own)
        text = own.hidden(section(experiment, outcome, seeds, drawn, command))
        write_section(page, experiment.name, experiment.title, text, HEAD)
        log.info("%s", table(experiment, outcome))
    return failed


def folder_name(row: str) -> str:
    """A row's words as a folder: ``svf, 500 steps`` -> ``svf_500_steps``."""
    return "_".join("".join(c if c.isalnum() else " " for c in row).split())


HEAD = """# The paper's experiments

Every section below was written by `make reproduce`; run it again and the section is replaced.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The command; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", default="0,1,2", help="of every run, as in 0,1,2")
    parser.add_argument("--only", default="", help="names of experiments, as in digits_gan,smile_l2")
    parser.add_argument("--faces", type=Path, help="folder with neutral/ and smiling/ (and paired/ with the same two)")
    parser.add_argument("--mnist", type=Path, help="MNIST, an .npz or the folder of its idx files")
    parser.add_argument("--out", type=Path, default=Path("outputs/reproduce"), help="where the runs go")
    parser.add_argument("--page", type=Path, default=Path("docs/reproduction.md"), help="the page that is rewritten")
    parser.add_argument("--figures", type=Path, default=Path("docs/figures"), help="where figures and JSON go")
    parser.add_argument(
        "--tables-only", action="store_true", help="no figures: where the faces may not be shown to others"
    )
    parser.add_argument("words", nargs="*", help="further words for every train.py, as in trainer=gpu")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    typed = list(sys.argv[1:] if argv is None else argv)
    try:
        own = Own(*(path and path.expanduser().resolve() for path in (options.faces, options.mnist)))
        places = {str(options.faces): "<faces>", str(options.mnist): "<mnist>"}
        command = " ".join(["python -m benchmarks.reproduce", *(places.get(word, word) for word in typed)])
        all_experiments = experiments(own)
        names = [name for name in options.only.split(",") if name] or list(all_experiments)
        for name in names:
            if name not in all_experiments:
                missing = " (it needs --faces)" if name.startswith("smile") else ""
                raise UserError(
                    f"No experiment is called {name}{missing}.", f"--only: some of {', '.join(all_experiments)}."
                )
        seeds = [int(seed) for seed in options.seeds.split(",")]
        chosen = [all_experiments[name] for name in names]
        if options.tables_only:
            chosen = [replace(experiment, draw=None) for experiment in chosen]
        failed = reproduce(
            chosen, seeds, options.out.resolve(), options.page, options.figures,
            options.words, command, own,
        )  # fmt: skip
    except (UserError, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        return error.code if isinstance(error, UserError) else 2
    for failure in failed:
        log.warning("failed: %s", failure)
    return ENVIRONMENT if failed else DONE


if __name__ == "__main__":
    sys.exit(main())
