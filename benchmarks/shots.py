"""Fits the constants of ``vfi_pipeline.shots`` on half of a folder of clips and measures them on the other half.

    pip install --no-deps scenedetect==0.7.2 click platformdirs tqdm
    python -m benchmarks.shots FOLDER [FOLDER ...] [--page BENCHMARKS.md] [--every N]

Clips (``*.mp4``) without cuts or repeats inside. Beside ours stand PySceneDetect's two detectors, with the thresholds
that they come with and with those that are best on the clips of the fit; their least length of a scene is one frame.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from benchmarks.shot_streams import Clip, Stream, halves, on_twos, read, streams
from vfi_pipeline.data.index import SETTINGS
from vfi_pipeline.errors import UserError
from vfi_pipeline.evaluation.page import circumstances, write_section
from vfi_pipeline.shots import cuts, duplicates
from vfi_pipeline.shots.cuts import (
    CutDetector,
    CutRule,
    Signature,
    differences,
    logistic_odds,
    odds_by_rule,
    signature,
)
from vfi_pipeline.shots.stillness import RULE, StillnessRule, is_same_picture, stillness_picture
from vfi_pipeline.shots.thumbnails import rgb_frame

Detect = Callable[[list[np.ndarray]], set[int]]
"""Pictures of a film to the numbers of those that start a shot."""

FITTED = ("with_colour", "without_colour", "plain", "bar_offset", "bar_limit")
"""Fields of ``CutRule`` that ``fit`` finds; the others were chosen by hand."""

ABOUT = """Cuts found + reported where there is none (the right frame, not one beside it).
*Content* and *Adaptive* are PySceneDetect's, with a least scene of one frame: with a threshold chosen on clips of the
fit, and with their own (27 and 3). Fades, dissolves, pans and flashes are interpolated, so nobody should report them;
data sets want both ends of a flash, which count as wrong here."""

ENCODED = ((18, 0.0), (23, 0.0), (30, 0.0), (23, 6.0))  # x264's CRF; deviation of the grain added before, codes


@dataclass
class Score:
    """Counts for a kind of stream: true cuts, those detected, those reported in other places, and pairs compared."""

    cuts: int = 0
    detected: int = 0
    false: int = 0
    pairs: int = 0

    def add(self, stream: Stream, reported: set[int]) -> None:
        """Counts what a detector ``reported``: the right frame, not one beside it."""
        self.cuts += len(stream.cuts)
        self.detected += len(reported & stream.cuts)
        self.false += len(reported - stream.cuts)
        self.pairs += len(stream.pictures) - 1

    def __add__(self, other: Score) -> Score:
        return Score(*(getattr(self, key) + getattr(other, key) for key in ("cuts", "detected", "false", "pairs")))

    @property
    def precision(self) -> float:
        """Share of the reported cuts that are there."""
        return self.detected / max(1, self.detected + self.false)

    @property
    def recall(self) -> float:
        """Share of the cuts that are reported."""
        return self.detected / max(1, self.cuts)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2 * self.precision * self.recall / max(1e-9, self.precision + self.recall)


def ours(threshold: float = cuts.THRESHOLD, flashes: bool = False, rule: CutRule = cuts.RULE) -> Detect:
    """This project's detector."""

    def detect(pictures: list[np.ndarray]) -> set[int]:
        signatures = (signature(rgb_frame(picture), rule) for picture in pictures)
        return _reported(CutDetector(threshold, flashes, rule), signatures)

    return detect


def scenedetect(kind: str, **options: float) -> Detect:
    """``ContentDetector`` or ``AdaptiveDetector`` of PySceneDetect, with a least scene of one frame.

    Raises:
        UserError: if it is not installed.
    """
    try:
        from scenedetect import FrameTimecode, detectors
    except ImportError as error:
        raise UserError(
            "PySceneDetect is not installed.", "pip install --no-deps scenedetect==0.7.2 click platformdirs tqdm"
        ) from error

    def detect(pictures: list[np.ndarray]) -> set[int]:
        detector = getattr(detectors, kind)(min_scene_len=1, **options)
        reported: set[int] = set()
        moment = FrameTimecode(0, 24.0)
        for k, picture in enumerate(pictures):
            moment = FrameTimecode(k, 24.0)
            reported.update(cut.frame_num for cut in detector.process_frame(moment, picture[..., ::-1].copy()))
        reported.update(cut.frame_num for cut in detector.post_process(moment))
        return reported

    return detect


Labelled = tuple[Stream, list[Signature]]
"""A stream without its pictures, and what the detector keeps of each."""


def fit(films: Sequence[Stream]) -> CutRule:
    """``CutRule`` with the constants that are best on these films: the logistic model by regression, then, with it, how
    much the surroundings of a pair raise the bar, by F1."""
    labelled: list[Labelled] = [(film, [signature(rgb_frame(picture)) for picture in film.pictures]) for film in films]
    memory: dict[tuple[Signature, Signature], tuple[float, ...]] = {}

    def terms(a: Signature, b: Signature, rule: CutRule) -> tuple[float, ...]:
        if (a, b) not in memory:
            memory[a, b] = differences(a, b, rule)
        return memory[a, b]

    def compare(a: Signature, b: Signature, rule: CutRule) -> float:
        decided = odds_by_rule(a, b, rule)
        return logistic_odds(a, b, terms(a, b, rule), rule) if decided is None else decided

    def f1(rule: CutRule) -> float:
        score = Score()
        for film, signatures in labelled:
            score.add(film, _reported(CutDetector(rule=rule, compare=compare), signatures))
        return score.f1

    rows: dict[bool, list[tuple[float, ...]]] = {True: [], False: []}
    for film, signatures in labelled:
        if "flashes" in film.kind:  # a rule of their own
            continue
        for k, (a, b) in enumerate(pairwise(signatures), start=1):
            if odds_by_rule(a, b) is None:
                rows[k in film.cuts].append(terms(a, b, cuts.RULE))
    candidates = [
        replace(cuts.RULE, with_colour=_weights(rows, slice(0, 5), strength),
                without_colour=_weights(rows, slice(0, 4), strength),
                plain=plain, bar_offset=offset, bar_limit=limit)
        for strength in (0.3, 1.0, 3.0) for plain in (2.0, 3.0, 4.0, 5.0)
        for offset in (3.0, 4.0, 5.0) for limit in (1.5, 3.0, 4.5)
    ]  # fmt: skip
    return max(candidates, key=f1)


def _weights(rows: dict[bool, list[tuple[float, ...]]], terms: slice, strength: float) -> cuts.Weights:
    """Logistic regression with both classes counting alike; terms left out have the weight 0."""
    values = np.array(rows[True] + rows[False])[:, terms]
    labels = np.repeat([1, 0], [len(rows[True]), len(rows[False])])
    model = LogisticRegression(C=strength, class_weight="balanced", max_iter=1000).fit(values, labels)
    constant, *others = (round(float(w), 2) for w in [model.intercept_[0], *model.coef_[0]])
    best, worst, residual, tones, colours = (*others, 0.0)[:5]
    return constant, best, worst, residual, tones, colours


def _reported(detector: CutDetector, signatures: Iterable[Signature]) -> set[int]:
    verdicts = [verdict for each in signatures for verdict in detector.push(each)]
    return {k for k, is_cut in enumerate([*verdicts, *detector.flush()]) if is_cut}


def measured(detect: Detect, films: Iterable[Stream]) -> dict[str, Score]:
    """A ``Score`` for each kind of stream."""
    scores: dict[str, Score] = {}
    for film in films:
        scores.setdefault(film.kind, Score()).add(film, detect(film.pictures))
    return scores


def total(scores: dict[str, Score]) -> Score:
    """All kinds together."""
    return sum(scores.values(), Score())


@dataclass
class RepeatScore:
    """Counts for an encoding: true repeats, those detected, new pictures, and those taken for repeats."""

    repeats: int = 0
    detected: int = 0
    new: int = 0
    taken: int = 0


Sweep = dict[float, dict[str, RepeatScore]]
"""``StillnessRule.codes`` to what they gave, by encoding."""


def repeats(clips: Sequence[Clip], rules: Sequence[StillnessRule]) -> list[dict[str, RepeatScore]]:
    """Films on twos after x264, by encoding, for each rule: each picture against the one before it. The rules look at
    pictures of one size."""
    scores: list[dict[str, RepeatScore]] = [{} for _ in rules]
    for crf, grain in ENCODED:
        name = f"CRF {crf}" + (f", grain {grain:.0f}" if grain else "")
        for clip in clips:
            small = [stillness_picture(rgb_frame(picture), rules[0]) for picture in on_twos(clip, crf, grain)]
            for rule, by_encoding in zip(rules, scores):
                score = by_encoding.setdefault(name, RepeatScore())
                for k, (a, b) in enumerate(pairwise(small), start=1):
                    same = is_same_picture(a, b, duplicates.THRESHOLD, rule)
                    if k % 2:
                        score.repeats, score.detected = score.repeats + 1, score.detected + same
                    else:
                        score.new, score.taken = score.new + 1, score.taken + same
    return scores


def tuned(kind: str, key: str, values: Sequence[float], films: Sequence[Stream]) -> float:
    """The threshold with the largest F1 on ``films``."""
    return max(values, key=lambda value: total(measured(scenedetect(kind, **{key: value}), films)).f1)


def main() -> None:
    """The command; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shots")
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--page", type=Path, default=None)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="of the clips of each half, every N-th")
    parser.add_argument(
        "--thresholds", nargs=2, type=float, metavar=("CONTENT", "ADAPTIVE"),
        help="PySceneDetect's; then nothing is fitted, and the constants are measured as they stand",
    )  # fmt: skip
    words = parser.parse_args()
    fit_paths, test_paths = (half[:: words.every] for half in halves(words.folders))
    rule, thresholds = cuts.RULE, words.thresholds
    sweep: Sweep = {}
    if words.thresholds:
        origin = "The constants as they stand"
    else:
        rule, thresholds, sweep = fitted_on([read(path) for path in fit_paths])
        origin = f"Constants fitted on {len(fit_paths)} clips"
    test = [read(path) for path in test_paths]
    columns = measured_columns(list(streams(test, seed=7)), rule, *thresholds)
    body = "\n".join([
        circumstances(command_line(words)), "",
        f"{origin}, measured on {len(test)} clips of other sources than those of the fit. {ABOUT}", "",
        *cut_table(columns), "", *repeat_table(repeats(test, [RULE])[0], sweep),
    ])  # fmt: skip
    _say(body)
    if words.page:
        write_section(words.page, "shots", "Cuts and repeats", body)


def command_line(words: argparse.Namespace) -> str:
    """What to type for the same again, wherever the clips lie."""
    line = ["python -m benchmarks.shots", *(f"CLIPS/{folder.name}" for folder in words.folders)]
    line += [f"--every {words.every}"] if words.every != 1 else []
    line += [f"--thresholds {words.thresholds[0]:g} {words.thresholds[1]:g}"] if words.thresholds else []
    line += [f"--page {words.page}"] if words.page else []
    return " ".join(line)


def fitted_on(train: Sequence[Clip]) -> tuple[CutRule, tuple[float, float], Sweep]:
    """The best ``CutRule`` on these clips, PySceneDetect's best thresholds, and what other ``codes`` give."""
    films = list(streams(train))
    content = tuned("ContentDetector", "threshold", (20.0, 27.0, 35.0, 45.0, 55.0), films[::4])
    adaptive = tuned("AdaptiveDetector", "adaptive_threshold", (1.5, 2.0, 3.0, 4.0, 5.0), films[::4])
    fitted = fit(films)
    _say(f"fitted: { {key: value for key, value in asdict(fitted).items() if key in FITTED} }, {content=}, {adaptive=}")
    codes = (7.0, 14.0, 21.0)
    sweep = dict(zip(codes, repeats(train[::2], [replace(RULE, codes=each) for each in codes])))
    return fitted, (content, adaptive), sweep


def measured_columns(
    films: Sequence[Stream], fitted: CutRule, content: float, adaptive: float
) -> dict[str, dict[str, Score]]:
    """Every detector's scores: ours as shipped, and fitted anew where that differs; PySceneDetect's two, twice."""
    return {
        "ours": measured(ours(), films),
        **({"ours, fitted anew": measured(ours(rule=fitted), films)} if fitted != cuts.RULE else {}),
        "ours, for data sets": measured(ours(flashes=True, rule=SETTINGS.cuts), films),
        f"Content {content:g}": measured(scenedetect("ContentDetector", threshold=content), films),
        "Content 27": measured(scenedetect("ContentDetector"), films),
        f"Adaptive {adaptive:g}": measured(scenedetect("AdaptiveDetector", adaptive_threshold=adaptive), films),
        "Adaptive 3": measured(scenedetect("AdaptiveDetector"), films),
    }


def cut_table(columns: dict[str, dict[str, Score]]) -> Iterator[str]:
    """Lines of the table of cuts: one column for each detector."""
    kinds = list(next(iter(columns.values())))
    yield "| | pairs | cuts | " + " | ".join(columns) + " |"
    yield "|--|--:|--:|" + "--:|" * len(columns)
    for kind in kinds:
        scores = [column[kind] for column in columns.values()]
        counts = [f"{s.detected} + {s.false}" if s.cuts else str(s.false) for s in scores]
        yield f"| {kind} | {scores[0].pairs:,} | {scores[0].cuts or ''} | " + " | ".join(counts) + " |"
    for name in ("precision", "recall"):
        values = [f"**{getattr(total(column), name):.3f}**" for column in columns.values()]
        yield f"| {name} | | | " + " | ".join(values) + " |"


def repeat_table(scores: dict[str, RepeatScore], sweep: Sweep) -> Iterator[str]:
    """Lines of the table of repeats, and of what other values of ``codes`` gave on the clips of the fit."""
    yield "| every picture twice, x264 | repeats found | new pictures taken for repeats |"
    yield "|--|--:|--:|"
    for kind, s in scores.items():
        yield f"| {kind} | {s.detected} of {s.repeats} | {s.taken} of {s.new} |"
    if not sweep:
        return
    yield ""
    sums = {codes: list(by.values()) for codes, by in sweep.items()}
    yield (
        "On the clips of the fit, found and taken: "
        + "; ".join(
            f"`codes={codes:g}` {sum(s.detected for s in by)} of {sum(s.repeats for s in by)} and "
            f"{sum(s.taken for s in by)} of {sum(s.new for s in by)}"
            for codes, by in sums.items()
        )
        + "."
    )


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
