"""Takes the style optimisation over a film: frames and shots are read once, every pass is kept, so a job goes on.

In the work folder's ``style``: ``source/%08d.png`` the frames as they are seen, ``shots.json``, and
``pass_%03d/%08d.png`` what each pass has painted. Files are written under a draft name and renamed: they are whole.
"""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.data.style_pictures import shrunk_picture
from vfi_pipeline.estimation.window import Observation, Window
from vfi_pipeline.geometry import resize_flow
from vfi_pipeline.jobs.journal import write_durably
from vfi_pipeline.jobs.options import Options
from vfi_pipeline.jobs.plan import Plan
from vfi_pipeline.jobs.progress import Progress
from vfi_pipeline.jobs.style import StyleChoice
from vfi_pipeline.losses.perceptual import STYLE_LAYERS, STYLE_POOLING, STYLE_SIZES, StyleObjective, StyleTarget
from vfi_pipeline.media import reader
from vfi_pipeline.media.stills import read_rgb8
from vfi_pipeline.models.motion import MotionModel
from vfi_pipeline.models.style import advected
from vfi_pipeline.models.style_optimisation import (
    combined,
    later_pass_start,
    long_term_confidence,
    optimised,
    single_pass_start,
)
from vfi_pipeline.nets.features import features
from vfi_pipeline.synthesis import stream, windows
from vfi_pipeline.synthesis.style import Stylist, read_picture, write_picture

log = logging.getLogger(__name__)


class Gallery:
    """A painter whose pictures are painted already; see ``synthesis.style.Painter``."""

    looks_back = False

    def __init__(self, folder: Path, held: object = None) -> None:
        """``held`` is kept as long as the gallery, say a temporary folder."""
        self.folder, self._held = folder, held

    def paint(self, index: int, image: Tensor, expected: Tensor | None, confidence: Tensor | None) -> Tensor:
        picture = read_picture(picture_file(self.folder, index))
        assert picture is not None, f"frame {index} was not painted"
        return picture


def picture_file(folder: Path, index: int) -> Path:
    return folder / f"{index:08d}.png"


def pass_folder(folder: Path, number: int) -> Path:
    return folder / f"pass_{number:03d}"


@dataclass(frozen=True)
class Sequence:
    """The source frames of a job: ``first .. last``, both included, and where new shots begin."""

    first: int
    last: int
    cuts: frozenset[int]

    def shots(self) -> list[range]:
        """The frames of each shot."""
        begins = [self.first, *sorted(cut for cut in self.cuts if self.first < cut <= self.last)]
        return [range(begin, end) for begin, end in zip(begins, [*begins[1:], self.last + 1])]


def paint_film(
    plan: Plan, options: Options, choice: StyleChoice, model: MotionModel, folder: Path, device: str, progress: Progress
) -> Gallery:
    """Paints every source frame in the style of ``choice``'s picture, as far as that is not done yet.

    Raises:
        UserError: if the feature network's weights are missing, or the picture cannot be read.
    """
    network = features("vgg", STYLE_POOLING).to(device)
    temporary = None
    if options.benchmark:  # nothing is kept beside the output
        temporary = tempfile.TemporaryDirectory(prefix="vfi-style-")
        folder = Path(temporary.name)
    picture = shrunk_picture(read_rgb8(choice.source), choice.size or 384).to(device)
    target = StyleTarget.of(network, picture, STYLE_LAYERS, STYLE_SIZES)
    folder.mkdir(exist_ok=True)
    sequence = read_sources(plan, options, choice, folder, progress)
    if model.guide_span is None and choice.long_term:
        log.warning("model=%s estimates no motion: every frame is painted by itself.", model.name)
    painting = Painting(choice, model, folder, device, network, target)
    current = max((int(child.name.removeprefix("pass_")) for child in folder.glob("pass_*")), default=1)
    frames = sequence.last - sequence.first + 1
    before = (current - 1) * frames + len(list(pass_folder(folder, current).glob("*.png")))
    bar = Progress("style", choice.passes * frames, before)  # of all passes: when the film's own frames begin
    for number in range(current, choice.passes + 1):
        bar.label = f"style, pass {number} of {choice.passes}"
        painting.run(number, sequence, bar)
        shutil.rmtree(pass_folder(folder, number - 1), ignore_errors=True)  # only the next pass looks at a pass
    return Gallery(pass_folder(folder, choice.passes), temporary)


def read_sources(plan: Plan, options: Options, choice: StyleChoice, folder: Path, progress: Progress) -> Sequence:
    """Keeps the source frames at the size at which they are painted, and finds the shots."""
    shots_file = folder / "shots.json"
    try:
        shots = json.loads(shots_file.read_text())
        return Sequence(int(shots["first"]), int(shots["last"]), frozenset(map(int, shots["cuts"])))
    except (OSError, ValueError, KeyError, TypeError):
        pass
    first, last = plan.timeline.sources_shown
    for segment in plan.segments:  # an exposure reaches beyond what the trim leaves
        first, last = min(first, segment.first), max(last, segment.last)
    stylist = Stylist(Gallery(folder), choice.settings())
    (folder / "source").mkdir(exist_ok=True)
    settings = stream.Options(scene=options.scene, scene_threshold=options.scene_threshold, cuts=plan.cuts)
    facts = stream.Statistics()
    begin = max(0, first - stream.CONTEXT_BEFORE)
    cuts, seen = [], first - 1
    with reader.read_numbered(
        plan.info,
        begin,
        None,
        allow_damaged=options.allow_damaged,
        max_pixels=options.max_pixels,
        decode=options.decode,
    ) as frames:
        for index, frame, starts_shot in windows.shots(windows.checked(frames, facts), settings, facts):
            if index < first:
                continue
            if index > last:
                break
            if starts_shot and index > first:
                cuts.append(index)
            write_picture(picture_file(folder / "source", index), stylist.seen(frame))
            seen = index
            progress.passing("reading the film", (index - first) / max(1, last - first))
    sequence = Sequence(first, seen, frozenset(cuts))
    write_durably(shots_file, json.dumps({"first": first, "last": seen, "cuts": cuts}).encode())
    return sequence


class Painting:
    """The passes over one film."""

    def __init__(
        self, choice: StyleChoice, model: MotionModel, folder: Path, device: str, network: torch.nn.Module,
        target: StyleTarget,
    ) -> None:  # fmt: skip
        self.choice, self.model, self.folder, self.device = choice, model, folder, device
        self.network, self.target = network, target
        self.distances = () if model.guide_span is None else choice.long_term

    def run(self, number: int, sequence: Sequence, progress: Progress) -> None:
        """Pass ``number``, from 1: forward if it is odd. What it has painted before a stop stays."""
        pass_folder(self.folder, number).mkdir(exist_ok=True)
        try:
            for index, shot in self._order(number, sequence):
                if self._painted(number, index) is None:
                    self._paint(number, index, shot, progress)
                    progress.add(True)
        finally:
            progress.clear()

    def settling(self, number: int) -> bool:
        """Whether the pass is one of the first third of several: frames find their style before they are held."""
        return number <= self.choice.passes // 3

    def _order(self, number: int, sequence: Sequence) -> Iterator[tuple[int, range]]:
        for shot in sequence.shots() if number % 2 else reversed(sequence.shots()):
            yield from ((index, shot) for index in (shot if number % 2 else reversed(shot)))

    def _paint(self, number: int, index: int, shot: range, progress: Progress) -> None:
        choice, image = self.choice, self._source(index)
        step = 1 if number % 2 else -1
        others = [(d, index - step * d) for d in self.distances if index - step * d in shot]
        near = next((other for d, other in others if d == 1), None)
        if near is not None and torch.equal(image, self._source(near)):
            painted = self._painted(number, near)
            assert painted is not None
            self._keep(number, index, painted)  # a held picture is held
            return
        moved = {other: self._carried(number, other, index) for _, other in others}
        expected, confidence = moved[near] if near is not None else (None, None)
        if choice.passes == 1:
            start = single_pass_start(image, expected, confidence)
        elif number == 1:
            start = image
        else:
            own = self._painted(number - 1, index)
            assert own is not None
            start = later_pass_start(own, expected, confidence)
        held = [] if self.settling(number) else list(moved.values())
        weights = long_term_confidence([c for _, c in held])
        objective = StyleObjective(choice.content, choice.style, choice.temporal, choice.smoothness)
        painted, losses = optimised(
            start, image, self.network, self.target, objective, choice.iterations,
            combined([w for w, _ in held], weights),
            lambda share: progress.passing(f"frame {index}", share, 1.0),
        )  # fmt: skip
        log.debug("pass %d, frame %d: %s", number, index, losses)
        self._keep(number, index, painted)

    def _carried(self, number: int, other: int, index: int) -> tuple[Tensor, Tensor]:
        """The painted frame ``other``, moved to frame ``index``, and where that can be trusted."""
        painted = self._painted(number, other)
        assert painted is not None
        first, last = (Observation(k, self._look(k)) for k in sorted((other, index)))
        start, end = self.model.motion(Window(first, last)).at([0.0, 1.0])
        forward, backward = (
            resize_flow(flow.to(self.device).float(), *painted.shape[-2:])
            for flow in (start.flow_to_last, end.flow_to_first)
        )
        if other > index:
            forward, backward = backward, forward
        return advected(painted, backward, forward)

    def _look(self, index: int) -> Callable[[int | None], Tensor]:
        def look(span: int | None) -> Tensor:
            image = self._source(index)
            longest = max(image.shape[-2:])
            if span is None or longest <= span:
                return image
            size = [max(1, round(side * span / longest)) for side in image.shape[-2:]]
            return F.interpolate(image, size, mode="area")

        return look

    def _source(self, index: int) -> Tensor:
        picture = read_picture(picture_file(self.folder / "source", index))
        assert picture is not None, f"source frame {index} was not kept"
        return picture.to(self.device)

    def _painted(self, number: int, index: int) -> Tensor | None:
        picture = read_picture(picture_file(pass_folder(self.folder, number), index))
        return None if picture is None else picture.to(self.device)

    def _keep(self, number: int, index: int, painted: Tensor) -> None:
        write_picture(picture_file(pass_folder(self.folder, number), index), painted)
        if self.choice.preview is not None:
            write_picture(self.choice.preview, painted)
