"""Pictures in, animation out: solves every gap, renders its frames, and hands them to the job runner of films.

The runner (``jobs.local``) does what it does for films: journal, resume, encoding, checking, the final name.
"""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vfi_pipeline.apps import pictures as sources
from vfi_pipeline.apps.edits import Edit, check_edit, read_edit
from vfi_pipeline.apps.moments import Moments
from vfi_pipeline.apps.options import DEFAULT_NAME, EDITS, PictureOptions, edit_texts, read_picture_options
from vfi_pipeline.errors import DONE, ENVIRONMENT, UserError
from vfi_pipeline.jobs import local, names, report
from vfi_pipeline.jobs.fingerprint import content_hash
from vfi_pipeline.jobs.journal import write_durably
from vfi_pipeline.jobs.method import ModelChoice, resolve_device
from vfi_pipeline.jobs.options import Options
from vfi_pipeline.jobs.plan import Plan
from vfi_pipeline.jobs.prepare import rehearsed
from vfi_pipeline.jobs.progress import Progress
from vfi_pipeline.jobs.segment_task import SegmentTask
from vfi_pipeline.jobs.sources import select
from vfi_pipeline.media.frames import Frame
from vfi_pipeline.media.timeline import Slot

if TYPE_CHECKING:
    from vfi_pipeline.animation.protocol import PairAnimation
    from vfi_pipeline.synthesis.stream import Statistics

log = logging.getLogger(__name__)

AT_ONCE = 16
"""Frames whose maps are solved for together."""

PREVIEW_S = 1.0
"""Seconds between two states of the preview file."""


def animate(
    options: Options, texts: Mapping[str, object], model_choice: ModelChoice, command: str, say: Callable[[str], None]
) -> int:
    """Does what the options ask of the pictures; returns the exit code.

    Args:
        options: what pictures share with films.
        texts: the options as text, those of pictures among them.
        command: what the user typed, to be shown where it resumes the work.
        say: takes the lines of the result.

    Raises:
        UserError: whatever is wrong.
    """
    selection = select(options.inputs, options.output)
    for line in selection.lines():
        log.warning("%s", line)
    film = sources.film_of(options.inputs, options.output)
    edit = read_edit(texts, model_choice.name)
    asked = read_picture_options(edit_texts(texts, model_choice.name))
    if options.name == DEFAULT_NAME:
        edited = model_choice.name if edit is not None else None
        options = replace(options, name=sources.default_name(film.images, asked, edited))
    _check_model(len(film.images), asked, model_choice)
    pictures = sources.gather(film, asked, options.max_pixels)
    plan, keys = sources.prepare(film, pictures, options, asked, model_choice.name)
    pictures = replace(pictures, profile=plan.info.profile)
    if options.status:
        for line in report.status(plan.target):
            say(line)
        return DONE
    if options.dry_run or options.overwrite or not names.existing(plan.target):
        plan = rehearsed(plan)
    studio = Studio(pictures, asked, model_choice, options, plan, keys, edit)
    if options.dry_run:
        for line in _shown(plan, options, model_choice, pictures):
            say(line)
        if edit is not None:
            say(f"edit      {edit.described()}")
        return DONE
    studio.check_extras()
    model_choice = replace(model_choice, settings={**model_choice.settings, **studio.settings()})
    facts = report.facts_of_plan(plan, film)
    outcome = local.work(plan, film, options, model_choice, command, studio.make)
    for line in [*outcome.lines, *([] if options.benchmark else studio.finish())]:
        say(line)
    report.write(options.report, [{**facts, "state": "done", **outcome.facts}], selection.left_out, command)
    return DONE


def _check_model(count: int, asked: PictureOptions, model_choice: ModelChoice) -> None:
    if model_choice.name in EDITS:
        check_edit(count, asked, model_choice.name)
    elif model_choice.name == "deepsim":
        _check_drawn(count, asked)
    elif count == 1 and model_choice.name != "node" and asked.maps is None:
        raise UserError(
            f"One picture alone does not say where to go, and model={model_choice.name} goes from one to another.",
            "a second picture, input=[a.png,b.png], or weights= of a Warping ODE (train.py) that animates one.",
        )
    gaps = max(1, count - 1) + asked.loop
    if asked.strength != (0, 1) and gaps > 1:
        raise UserError("strength= is for one picture, or one pair.", "leave out strength=.")
    if not all(0 <= end <= 1 for end in asked.strength) and not asked.extrapolate:
        range_text = ",".join(f"{float(end):g}" for end in asked.strength)
        raise UserError(
            f"strength={range_text} goes outside of 0 to 1.", "extrapolate=true to go beyond what was learned."
        )
    if asked.backward and count != 1:
        raise UserError(
            "direction=backward is for one picture.", "leave out direction=, and name the pictures in the other order."
        )
    if asked.maps is not None and asked.points is not None:
        raise UserError("points= guides the solving, and maps= does without it.", "leave out points=.")


def _check_drawn(count: int, asked: PictureOptions) -> None:
    """UserError over what primitives that are drawn cannot do."""
    if count == 1 and (asked.places is None or any(asked.places)):
        raise UserError(
            "One primitive alone does not say where to go.",
            "a second primitive, input=[a.png,b.png]; or no duration=, to have this one drawn.",
        )
    if asked.maps is not None or asked.save_maps:
        raise UserError("maps= and save_maps= hold motion alone, and model=deepsim draws.", "leave it out.")


def _shown(plan: Plan, options: Options, model_choice: ModelChoice, pictures: sources.Pictures) -> list[str]:
    """The plan for people, for ``dry_run=true``."""
    lines = [line for line in report.show(plan, options, model_choice) if not line.startswith(("input ", "cuts "))]
    return [f"pictures  {len(pictures)}: {sources.digest(pictures)}", *lines]


@dataclass
class GapFacts:
    """Facts of a solved gap.

    Attributes:
        kind, state: of its maps, where they are to be kept.
        block: its rows of the contact sheet, where there is to be one.
        shares: see ``PairAnimation.shares``.
    """

    kind: str = ""
    state: Any = None
    block: Any = None
    shares: dict[str, float] | None = None


def _judge(animation: PairAnimation, t: float, facts: Statistics) -> None:
    """Adds the folds of the maps behind the frame at ``t``, which has just been made, to the summary.

    A map counts where the frame shows what it moves: of one picture, and of weights that move the first one only, there
    is one map. The share is the mean over the made frames, the determinant the smallest of all.
    """
    from vfi_pipeline.geometry import folding

    maps = animation.maps(t)
    shown = [maps.flow_to_first] if bool((maps.blend_weight > 0).any()) else []
    shown += [maps.flow_to_last] if bool((maps.blend_weight < 1).any()) else []
    judged = [folding(flow.float()) for flow in shown if min(flow.shape[-2:]) > 1]
    if judged:
        facts.min_det = min(facts.min_det, *(float(low) for low, _ in judged))
        share = sum(float(share) for _, share in judged) / len(judged)
        facts.folded += (share - facts.folded) / facts.made  # a mean over the frames, kept running


def _announce(animation: PairAnimation, gap: int, coming: Sequence[int | tuple[int, float]]) -> None:
    """Tells an animation which of its times come next."""
    times = [what[1] for what in coming if not isinstance(what, int) and what[0] == gap]
    if all(0 <= t <= 1 for t in times):
        animation.prepare(times)


class Studio:
    """Solves the gaps, one at a time, and makes the frames of an animation."""

    def __init__(
        self, pictures: sources.Pictures, asked: PictureOptions, model_choice: ModelChoice, options: Options,
        plan: Plan, keys: Sequence[int], edit: Edit | None = None,
    ) -> None:  # fmt: skip
        self.edit = edit
        self.draws_ends = model_choice.name == "deepsim"
        self.pictures, self.asked, self.model_choice, self.options = pictures, asked, model_choice, options
        self.plan, self.keys = plan, tuple(keys)
        self.gap_of: list[int] = []  # the gap that begins at each key, or would
        gap = 0
        for key, after in zip(self.keys, self.keys[1:]):
            self.gap_of.append(gap)
            gap += key != after
        self.points = (
            sources.read_points(Path(asked.points), pictures) if asked.points else (None,) * len(pictures.gaps)
        )
        self.maps = None
        if asked.maps is not None:
            from vfi_pipeline.apps.maps import read_maps

            self.maps = read_maps(Path(asked.maps), len(pictures.gaps))
        self.facts: dict[int, GapFacts] = {}
        self._solved: tuple[int, PairAnimation] | None = None
        self._keys: dict[int, Frame] = {}
        self._model: Any = None

    # ------------------------------------------------------------------------------------------------- the frames

    def make(self, task: SegmentTask) -> None:
        """See ``jobs.segment_task.MakeFrames``."""
        from vfi_pipeline.synthesis.stream import Statistics

        for segment in task.segments:
            facts = Statistics()
            seen: set[int] = set()
            slots = list(task.plan.timeline.slots(segment.start, segment.stop))
            shown = [self.drawn(self.place(slot)) if self.draws_ends else self.place(slot) for slot in slots]
            with task.open_segment(segment) as writer:
                for index, (slot, what) in enumerate(zip(slots, shown)):
                    if isinstance(what, int):
                        frame, made = self.key(what), False
                        facts.copied += 1
                    else:
                        gap, t = what
                        animation = self.solved(gap, task.progress)
                        if index % AT_ONCE == 0 or shown[index - 1] != what and isinstance(shown[index - 1], int):
                            _announce(animation, gap, shown[index : index - index % AT_ONCE + AT_ONCE])
                        frame, made = self._frame(animation, t), True
                        facts.made += 1
                        _judge(animation, t, facts)
                        if gap not in seen:
                            seen.add(gap)
                            facts.pairs += 1
                            counted = getattr(animation, "report", None)
                            facts.nfe += counted().nfe if counted is not None else 0
                    writer.write(replace(frame, time=slot.time))
                    task.progress.add(made)
            task.finished(segment, writer.frames, facts)

    def place(self, slot: Slot) -> int | tuple[int, float]:
        """The picture that a slot shows as it is, or the gap and the model's t that make it."""
        asked, listed = self.asked, isinstance(self.plan.timeline, Moments)
        ease = (lambda s: s * s * (3 - 2 * s)) if asked.smooth and not listed else (lambda s: s)
        single = len(self.pictures) == 1
        key = slot.source
        if single or asked.strength != (0, 1):
            at: Fraction = ease(slot.t) if key == 0 or self.keys[key] == 0 else 1 + slot.t
            low, high = asked.strength
            at = low + (high - low) * at
            if at == 0 or (at == 1 and not single):
                return int(at)
            return 0, float(at)
        if slot.t == 0 or self.keys[key] == self.keys[key + 1]:
            return self.keys[key]
        return self.gap_of[key], float(ease(slot.t))

    def drawn(self, what: int | tuple[int, float]) -> tuple[int, float]:
        """A place where no picture is shown as it is: the end of a gap in place of a picture."""
        if not isinstance(what, int):
            return what
        gaps = self.pictures.gaps
        begins = next((gap for gap, (first, _) in enumerate(gaps) if first == what), None)
        return (begins, 0.0) if begins is not None else (len(gaps) - 1, 1.0)

    def key(self, number: int) -> Frame:
        """Picture ``number`` on the canvas: what the animation shows, sample for sample, when it gets there."""
        if number not in self._keys:
            while len(self._keys) > 1:
                self._keys.pop(next(iter(self._keys)))
            self._keys[number] = self.pictures.placed(number).frame
        return self._keys[number]

    def _frame(self, animation: PairAnimation, t: float) -> Frame:
        import torch

        from vfi_pipeline.apps.canvas import frame_of

        try:
            with torch.no_grad():
                return frame_of(animation.frame(t), self.key(0) if 0 in self._keys else next(iter(self._keys.values())))
        except ValueError as error:
            if 0 <= t <= 1:
                raise
            raise UserError(
                f"model={self.model_choice.name} cannot go to t={t:g}, beyond its pictures ({error}).", "t from 0 to 1."
            ) from error

    # ------------------------------------------------------------------------------------------------- the solving

    def solved(self, gap: int, progress: Progress | None = None) -> PairAnimation:
        """The animation of a gap; solved when it is first asked for, and kept until another one is."""
        if self._solved is not None and self._solved[0] == gap:
            return self._solved[1]
        self._solved = None  # frees its pictures before the next are read
        import torch

        from vfi_pipeline.apps.canvas import tensor_of

        first, last = self.pictures.gaps[gap]
        device = resolve_device(self.options.device)
        start, goal = (tensor_of(self.key(number)).to(device) for number in (first, last))
        if self._model is None and self.maps is None:
            self._model = self.model_choice.build()
        # After the model is built, which draws random numbers as well: a gap's are the same when the work is resumed.
        torch.manual_seed(self.asked.seed + gap)
        if self.maps is not None:
            animation = self._restored(gap, start, goal)
        else:
            animation = self._solve(gap, start, goal, progress)
        self._solved = gap, animation
        self._note(gap, animation)
        return animation

    def _solve(self, gap: int, first: Any, last: Any, progress: Progress | None) -> PairAnimation:
        from vfi_pipeline.animation.motion_animation import animate_single, animator

        if self.edit is not None:
            return self._edited(self.edit, first, progress)
        if len(self.pictures) == 1:
            return (
                self._model.still(first) if self.draws_ends else animate_single(self._model, first, self.asked.backward)
            )
        if getattr(self._model, "sides", None) == "first":
            log.warning("These weights move the first picture only: the second one is shown at the end, all at once.")
        names_ = [self.pictures.paths[number].name for number in self.pictures.gaps[gap]]
        preview = Path(self.asked.preview) if self.asked.preview else None
        shown = 0.0

        def tell(share: float, animation: PairAnimation) -> None:
            nonlocal shown
            if progress is not None:
                count = len(self.pictures.gaps)
                where = f"{gap + 1} of {count}, " if count > 1 else ""
                progress.passing(f"solving {where}{names_[0]} to {names_[1]}", share, progress.total / count)
            if preview is not None and (time.monotonic() - shown >= PREVIEW_S or share >= 1):
                self._preview(preview, animation)
                shown = time.monotonic()

        points = self.points[gap]
        animation = animator(self._model).solve(
            first, last, points=None if points is None else (points[0].to(first), points[1].to(first)), progress=tell
        )
        if preview is not None:
            self._preview(preview, animation)
        return animation

    def _edited(self, edit: Edit, picture: Any, progress: Progress | None) -> PairAnimation:
        """One picture by the strength of an edit; all strengths of the plan are solved for at once."""
        preview = Path(self.asked.preview) if self.asked.preview else None
        shown = 0.0
        wanted = [what if isinstance(what, int) else what[1] for what in map(self.place, self.plan.timeline.slots())]

        def tell(text: str, share: float, ahead: float = 0.0) -> None:
            if progress is not None:
                progress.passing(text, share, ahead)

        def tell_solving(share: float, animation: PairAnimation) -> None:
            nonlocal shown
            tell("solving for the change", share, progress.total if progress is not None else 0)
            if preview is not None and time.monotonic() - shown >= PREVIEW_S:
                self._preview(preview, animation, getattr(animation, "reached", 0.0))
                shown = time.monotonic()

        animation = edit.solve(
            picture, self._model, wanted, resolve_device(self.options.device), tell, tell_solving,
            self.pictures.paths[0].name,
        )  # fmt: skip
        if preview is not None:
            self._preview(preview, animation, wanted[-1])
        return animation

    def _restored(self, gap: int, first: Any, last: Any) -> PairAnimation:
        from vfi_pipeline.animation.maps import animation_of
        from vfi_pipeline.animation.motion_animation import MotionAnimation, SinglePictureAnimation

        assert self.maps is not None
        maps = self.maps[gap]
        own = tuple(self.pictures.paths[number].name for number in self.pictures.gaps[gap])
        if own != maps.pictures:
            log.warning("maps= was made from %s, and is used on %s.", " and ".join(maps.pictures), " and ".join(own))
        try:
            animation = animation_of(maps.kind, maps.state, first, last)
        except ValueError as error:
            raise UserError(
                f"maps={self.asked.maps} cannot be used: {error}.", "solve again: leave out maps=."
            ) from error
        if len(self.pictures) == 1 and isinstance(animation, MotionAnimation):
            return SinglePictureAnimation(animation.motion, first, self.asked.backward)
        return animation

    # ----------------------------------------------------------------------------------------- what lies beside it

    def extras(self) -> list[Path]:
        """Files beside the animation that were asked for."""
        from vfi_pipeline.apps.maps import maps_folder, maps_name

        files = [Path(name) for name in (self.asked.sheet, self.asked.preview) if name]
        return files + ([maps_name(self.plan.target), maps_folder(self.plan.target)] if self.asked.save_maps else [])

    def check_extras(self) -> None:
        """UserError if one of them exists, is an input, or could not be written."""
        for path in self.extras():
            path = path.absolute()
            names.refuse_input_as_output(path, self.pictures.paths)
            if path == self.plan.target:
                raise UserError(f"{path.name} is the animation's own name.", "another name for one of the two.")
            if not path.parent.is_dir() and path.parent != self.plan.target.parent:
                raise UserError(
                    f"The folder {path.parent} does not exist.",
                    f"mkdir -p {shlex.quote(str(path.parent))}",
                    ENVIRONMENT,
                )
            if not self.options.overwrite:
                names.refuse_overwriting(path)

    def settings(self) -> dict[str, str]:
        """What decides the frames besides the model's own settings, for the journal's fingerprint."""
        silent = ("sheet", "preview", "save_maps")
        facts = {
            f"pictures.{field.name}": str(getattr(self.asked, field.name))
            for field in fields(self.asked) if field.name not in silent
        }  # fmt: skip
        facts |= {} if self.edit is None else self.edit.facts()
        facts["pictures.canvas"] = f"{self.pictures.size} {self.pictures.format.name}"
        for name in ("points", "maps"):
            path = getattr(self.asked, name)
            if path is not None:
                facts[f"pictures.{name}"] = content_hash(Path(path))
        return facts

    def finish(self) -> list[str]:
        """Writes the sheet and the maps; returns what there is to tell of them and of the gaps."""
        wanted = self.asked.sheet is not None or self.asked.save_maps
        for gap in range(len(self.pictures.gaps)) if wanted else ():
            if gap not in self.facts:
                self.solved(gap)
        lines = []
        for gap, facts in sorted(self.facts.items()):
            if facts.shares:
                parts = ", ".join(f"{name} {round(100 * share)} %" for name, share in facts.shares.items())
                first, last = (self.pictures.paths[number].name for number in self.pictures.gaps[gap])
                lines.append(f"{first} to {last}: of the change, {parts}.")
        try:
            if self.asked.sheet is not None:
                lines.append(self._write_sheet(Path(self.asked.sheet)))
            if self.asked.save_maps:
                lines.append(self._write_maps())
        except OSError as error:
            raise UserError(
                f"{self.plan.target.name} is done, but what was to lie beside it cannot be written: {error}.",
                "free some space, then again with overwrite=true.", ENVIRONMENT,
            ) from error  # fmt: skip
        return lines

    def _note(self, gap: int, animation: PairAnimation) -> None:
        if gap in self.facts:
            return
        facts = self.facts[gap] = GapFacts(shares=animation.shares())
        first, last = (self.pictures.paths[number].name for number in self.pictures.gaps[gap])
        single = len(self.pictures) == 1
        if self.asked.sheet is not None:
            from vfi_pipeline.apps.sheet import block

            low, high = (float(end) for end in self.asked.strength)
            title = (
                f"{first} to {last}" if not single else f"{first}, {'backward' if self.asked.backward else 'forward'}"
            )
            facts.block = block(animation, f"{title}   (model={self.model_choice.name})", (low, high), single)
        if self.asked.save_maps:
            from vfi_pipeline.animation.maps import state_of

            facts.kind, facts.state = state_of(animation)

    def _write_sheet(self, path: Path) -> str:
        from vfi_pipeline.apps.sheet import encoded, stacked

        blocks = [self.facts[gap].block for gap in sorted(self.facts)]
        write_durably(path, encoded(stacked(blocks), path))
        return f"{path}: contact sheet."

    def _write_maps(self) -> str:
        from vfi_pipeline.apps import maps
        from vfi_pipeline.apps.sheet import encoded

        gaps = []
        for gap, facts in sorted(self.facts.items()):
            first, last = (self.pictures.paths[number].name for number in self.pictures.gaps[gap])
            gaps.append(maps.Maps(facts.kind, facts.state, (first, last)))
        path, folder = maps.maps_name(self.plan.target), maps.maps_folder(self.plan.target)
        write_durably(path, maps.packed(gaps, self.pictures.loop))
        folder.mkdir(exist_ok=True)
        for name, image in maps.pictured(gaps).items():
            write_durably(folder / name, encoded(image, folder / name))
        return f"{path}: maps, to be rendered again with maps={path.name}; as pictures in {folder.name}/."

    def _preview(self, path: Path, animation: PairAnimation, t: float = 0.5) -> None:
        """The frame at ``t`` as it stands; a preview that cannot be written is no reason to stop."""
        import torch

        from vfi_pipeline.apps.sheet import encoded, picture

        try:
            with torch.no_grad():
                write_durably(path, encoded(picture(animation.frame(t)), path))
        except OSError as error:
            log.warning("preview=%s cannot be written (%s).", path, error.strerror)
