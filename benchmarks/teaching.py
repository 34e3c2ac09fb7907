"""What teaching is worth: a small network trained from scratch with each kind, judged on clips that were left out.

``python -m benchmarks.teaching FOLDER left=NAME,NAME,... page=docs/training.md``
``[out=outputs/teaching] [clips=12] [steps=500] [seeds=0,1] [arms=baseline,teacher,...] [train=false]``

FOLDER holds films; those whose names begin with a NAME are left out of training, and ``clips`` of the others, evenly
spread, are trained on. A run that ``out`` holds already is not made again; ``train=false`` judges what there is. One
run after another, one thread each: its time is processor time, so that others on the machine count little.
"""

from __future__ import annotations

import json
import logging
import os
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from torch import Tensor

from benchmarks.words import words_of
from vfi_pipeline.errors import UserError
from vfi_pipeline.estimation.window import Window
from vfi_pipeline.evaluation.digits import run_weights
from vfi_pipeline.evaluation.page import circumstances, write_section
from vfi_pipeline.geometry import synthesise
from vfi_pipeline.media.pictures import read_pictures
from vfi_pipeline.metrics import psnr
from vfi_pipeline.models.flow import FlowModel, load_flow

log = logging.getLogger(__name__)

LONGEST_PX = 160
"""Longest side of the films, in training and where the weights are judged."""

SPANS = (2, 8)
"""Frames from first to last of the pairs that judge; the frame at t = 1/2 is compared."""

PLACES = 8
"""Pairs of each span from each film that was left out, evenly spread."""

BASELINE = "baseline"
START = "start"


@dataclass(frozen=True)
class Arm:
    """A kind of teaching: its name, what it is in words, and what ``train.py`` is given for it."""

    name: str
    what: str
    words: tuple[str, ...] = ()


ARMS = (
    Arm(BASELINE, "`experiment=flow` as it is (0.15 synthetic)"),
    Arm("teacher", "a network that sees the true frame", ("+teacher@training.teacher=privileged",)),
    Arm("aligned", "Lucas-Kanade steps to the true frame", ("+teacher@training.teacher=lucas_kanade",)),
    Arm("growth", "spans grow over half of the run", ("data.grow=0.5",)),
    Arm("gate", "learned gate of the Lucas-Kanade steps", ("net.gate=true",)),
    Arm("around", "four frames: acceleration in training", ("data.around=true",)),
    Arm("noscenes", "no synthetic scenes", ("data.synthetic=0.0",)),
    Arm("scenes", "0.3 synthetic scenes", ("data.synthetic=0.3",)),
    Arm("edges", "finest level twice as wide and deep", ("net.refinement.hidden=24", "net.refinement.depth=2")),
    Arm("noedges", "finest level cut to two channels", ("net.refinement.hidden=2", "net.refinement.depth=0")),
)


@dataclass(frozen=True)
class Plan:
    """What is trained on, how long, and where the runs are kept."""

    out: Path
    films: tuple[Path, ...]
    left: tuple[Path, ...]
    steps: int = 500

    def words(self, arm: Arm, seed: int, steps: int | None = None) -> list[str]:
        """What ``train.py`` is given for a run."""
        steps = self.steps if steps is None else steps
        return [
            "experiment=flow", "net=flow_small", "trainer=cpu", f"data.root={self.out / 'train'}",
            f"data.val_root={self.out / 'left' / self.left[0].name}", f"data.cache={self.out / 'cache'}",
            f"data.longest={LONGEST_PX}", "data.crop=64", "data.val_crop=64", "data.batch_size=4", "data.val_samples=8",
            f"steps={steps}", f"validate_every={steps}", f"checkpoint_every={steps}", "test=false",
            "~callbacks.panels", "training.lpips=false", "logger=none", f"seed={seed}", f"data.seed={seed}",
            f"hydra.run.dir={self.folder(arm.name, seed)}", *arm.words,
        ]  # fmt: skip

    def folder(self, arm: str, seed: int) -> Path:
        """Of a run."""
        return self.out / f"{arm}-{seed}"


@dataclass(frozen=True)
class Score:
    """A run's figures: PSNR, dB, at t = 1/2 by span, of the pair alone and as films get it (with the pairs around)."""

    arm: str
    seed: int
    alone: dict[str, float]
    around: dict[str, float]
    cpu_s: float


def chosen(folder: Path, left: Sequence[str], clips: int) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """(trained on, left out) films of a folder.

    Raises:
        UserError: if a name is no film's, or none is left to train on.
    """
    films = sorted(path for path in folder.glob("*.mp4"))
    held = [next((film for film in films if film.name.startswith(name)), None) for name in left]
    if None in held or not left:
        lost = [name for name, film in zip(left, held) if film is None]
        raise UserError(f"{folder} holds no film {', '.join(lost)}.", "left=NAME,NAME: beginnings of names.")
    others = [film for film in films if film not in held]
    if not others:
        raise UserError(f"{folder} holds no other films.", "Leave fewer out.")
    count = min(clips, len(others))
    train = tuple(others[k * len(others) // count] for k in range(count))
    return train, tuple(sorted(film for film in held if film is not None))


def linked(folder: Path, films: Sequence[Path]) -> None:
    """A folder that holds links to these films and nothing else."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for film in films:
        (folder / film.name).symlink_to(film.resolve())


def train(plan: Plan, arm: Arm, seed: int, steps: int | None = None) -> None:
    """Makes a run with one thread, unless it is there; its processor time is kept beside it.

    Raises:
        UserError: if ``train.py`` failed.
    """
    folder = plan.folder(arm.name, seed)
    cost = folder / "cost.json"
    if cost.is_file():
        return
    words = [sys.executable, "train.py", *plan.words(arm, seed, steps)]
    log.info("%s", shlex.join(words))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    process = subprocess.Popen(words, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise UserError(f"The run {folder} failed.", f"rm -r {shlex.quote(str(folder))} and start again; see above.")
    cost.write_text(json.dumps({"words": list(arm.words), "cpu_s": usage.ru_utime + usage.ru_stime}) + "\n")


def finished(plan: Plan, arm: str) -> list[int]:
    """Seeds of an arm's runs that are there."""
    runs = [path.parent.name.rpartition("-") for path in plan.out.glob("*/cost.json")]
    return sorted(int(seed) for name, _, seed in runs if name == arm)


def starts(frames: int, span: int, count: int = PLACES) -> list[int]:
    """Numbers of the first frames of ``count`` pairs, evenly spread, with ``span`` frames before and after each."""
    first, last = span, frames - 1 - 2 * span
    if last < first:
        return []
    return sorted({round(first + (last - first) * (k + 0.5) / count) for k in range(count)})


def pictures(film: Path) -> list[Tensor]:
    """A film's frames (1, 3, H, W) in [0, 1], at most ``LONGEST_PX`` on a side."""
    arrays = [picture for _, picture in read_pictures(film, longest=LONGEST_PX)]
    return [torch.from_numpy(np.ascontiguousarray(a)).permute(2, 0, 1)[None].float() / 255 for a in arrays]


@torch.no_grad()
def judged(model: FlowModel, frames: Sequence[Tensor], start: int, span: int) -> tuple[float, float]:
    """PSNR, dB, of the frame at t = 1/2 after ``start``: of the pair alone, and with the pairs around."""
    before, first, last, after = (frames[start + k * span] for k in (-1, 0, 1, 2))
    target = frames[start + span // 2]
    scores = []
    for window in (Window.of(first, last), Window.of(first, last, before, after)):
        (motion,) = model.motion(window).at([0.5])
        made = synthesise(
            first, last, motion.flow_to_first, motion.flow_to_last, motion.blend_weight, motion.confidence
        ).frame
        scores.append(float(psnr(made.clamp(0, 1), target).mean()))
    return scores[0], scores[1]


def score(plan: Plan, arm: str, seed: int, films: Sequence[Sequence[Tensor]]) -> Score:
    """A run judged on films: the mean over each film's pairs, then over the films."""
    folder = plan.folder(arm, seed)
    model = load_flow(str(run_weights(folder)), network_span=LONGEST_PX, enlargement=1.0)
    model.guide_span = None  # the frames themselves
    by_span: dict[int, list[tuple[float, float]]] = {span: [] for span in SPANS}
    for frames in films:
        for span in SPANS:
            pairs = [judged(model, frames, start, span) for start in starts(len(frames), span)]
            if pairs:
                by_span[span].append((mean(alone for alone, _ in pairs), mean(around for _, around in pairs)))
    alone, around = (
        {str(span): round(mean(film[k] for film in of_films), 3) for span, of_films in by_span.items()} for k in (0, 1)
    )
    cost = json.loads((folder / "cost.json").read_text(encoding="utf-8"))
    return Score(arm, seed, alone, around, cost["cpu_s"])


def gain(scores: Sequence[Score], arm: str, which: str, span: int) -> float:
    """PSNR of the arm less that of the baseline, each the mean over its seeds, dB."""
    own, base = ([getattr(s, which)[str(span)] for s in scores if s.arm == name] for name in (arm, BASELINE))
    return mean(own) - mean(base)


def noise(scores: Sequence[Score], span: int) -> float:
    """How far apart two runs of the baseline lie that differ in their seed, dB: the largest of both ways to judge."""
    sides = [[getattr(s, which)[str(span)] for s in scores if s.arm == BASELINE] for which in ("alone", "around")]
    return max(max(values) - min(values) for values in sides)


def table(scores: Sequence[Score], start_s: float, arms: Sequence[Arm] = ARMS) -> str:
    """Markdown: a row per arm.

    Args:
        start_s: processor time of a run of one step: what every run spends beside its steps.
    """
    base = mean(s.cpu_s for s in scores if s.arm == BASELINE) - start_s
    head = " | ".join(f"{span} frames: alone | with those around | gain" for span in SPANS)
    lines = [f"| teaching | seeds | {head} | time of a step |", "|--|--|" + "--:|" * (3 * len(SPANS) + 1)]
    for arm in arms:
        own = [s for s in scores if s.arm == arm.name]
        if not own:
            continue
        cells = [f"**{arm.name}**: {arm.what}", ", ".join(str(s.seed) for s in own)]
        for span in SPANS:
            alone, around = (mean(getattr(s, which)[str(span)] for s in own) for which in ("alone", "around"))
            cells += [f"{alone:.2f}", f"{around:.2f}"]
            cells.append("" if arm.name == BASELINE else f"{gain(scores, arm.name, 'around', span):+.2f}")
        cells.append(f"{(mean(s.cpu_s for s in own) - start_s) / base:.2f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def body(scores: Sequence[Score], start_s: float, plan: Plan, command: str) -> str:
    """The section: how it was made, the noise, the table."""
    spread = " and ".join(f"{noise(scores, span):.2f} dB at {span} frames" for span in SPANS)
    base = mean(s.cpu_s for s in scores if s.arm == BASELINE)
    paragraphs = [
        circumstances(command),
        f"Small: `net=flow_small` from scratch, {plan.steps} steps of 4 crops of 64 px on the "
        f"CPU ({base:.0f} s of one core), on {len(plan.films)} clips at {LONGEST_PX} px. It orders kinds of "
        "teaching by what they give at the start of a training, and cannot say what they give after a night.",
        f"PSNR, dB, at t = 1/2 on {len(plan.left)} clips that were left out, up to {PLACES} pairs of 2 and of 8 frames "
        "from each; of the pair alone, and as films get it, with the pairs around. *Gain*: the latter less that of the "
        f"baselines' mean. **Noise**: baselines that differ in the seed alone lie up to {spread} apart; a gain that "
        "is not clearly larger says nothing. Time of a step: processor time beside the baseline's, without "
        "the start, to about a tenth.",
        f"Left out: {', '.join(film.stem for film in plan.left)}.",
    ]
    text = "\n\n".join(textwrap.fill(part, 120, break_long_words=False, break_on_hyphens=False) for part in paragraphs)
    return f"{text}\n\n{table(scores, start_s)}\n"


HEAD = """# Teaching, measured

What each option is worth that teaches differently. [The guide](training-guide.md#better-teaching) says what they do.
"""


def main(words: Sequence[str]) -> None:
    """The command; see the module's docstring."""
    plain = words_of(__doc__, words, least=1, needs=("left", "page"))
    options = dict(word.split("=", 1) for word in plain if "=" in word)
    (folder,) = [word for word in plain if "=" not in word]
    films, left = chosen(Path(folder), options["left"].split(","), int(options.get("clips", 12)))
    plan = Plan(Path(options.get("out", "outputs/teaching")).resolve(), films, left, int(options.get("steps", 500)))
    seeds = [int(seed) for seed in options.get("seeds", "0,1").split(",")]
    names = options["arms"].split(",") if "arms" in options else [arm.name for arm in ARMS]
    if options.get("train") != "false":
        linked(plan.out / "train", films)
        linked(plan.out / "left", left)
        train(plan, Arm(START, "one step"), 0, steps=1)
        for seed in seeds:
            for arm in ARMS:
                if arm.name in {*names, BASELINE}:
                    train(plan, arm, seed)
    loaded = [pictures(film) for film in left]
    there = [(arm.name, seed) for arm in ARMS for seed in finished(plan, arm.name)]
    scores = [score(plan, arm, seed, loaded) for arm, seed in there]
    start_s = json.loads((plan.folder(START, 0) / "cost.json").read_text(encoding="utf-8"))["cpu_s"]
    page = Path(options["page"])
    text = body(scores, start_s, plan, shlex.join(["python", "-m", "benchmarks.teaching", *words]))
    write_section(page, "teaching", "From scratch, on the CPU", text, HEAD)
    facts = page.parent / "figures" / "teaching.json"
    facts.parent.mkdir(parents=True, exist_ok=True)
    facts.write_text(json.dumps({"start_s": start_s, "scores": [asdict(s) for s in scores]}, indent=1) + "\n")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main(sys.argv[1:])
