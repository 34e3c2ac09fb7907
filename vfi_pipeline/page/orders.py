"""From what the page's controls say to a job in the queue. Nothing here knows the page."""

from __future__ import annotations

import json
import os
import stat
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vfi_pipeline.errors import UserError
from vfi_pipeline.jobs.journal import write_durably
from vfi_pipeline.jobs.names import free_name
from vfi_pipeline.page import looks
from vfi_pipeline.page.facts import Cut, Look
from vfi_pipeline.page.queue import DONE, FAILED, Job, Queue
from vfi_pipeline.page.roots import Roots, shown
from vfi_pipeline.page.settings import PictureSettings, Settings, words_of

Call = Callable[..., Any]
"""``call(function, *arguments)``: the function's result, from the helper process."""


def add_film(
    queue: Queue, roots: Roots, call: Call, film: str, settings: Settings, cuts: Sequence[int] | None = None
) -> Job:
    """A job for one film.

    Args:
        cuts: first frames of the shots; None: the job looks for them.

    Raises:
        UserError: if the film lies outside of the roots, or cannot be interpolated so.
    """
    path, plain = roots.inside(film), settings.texts()
    look: Look = call(looks.look, str(path), plain, settings.suffix)
    target = free_target(queue, roots, look.target)

    def words(number: int) -> tuple[str, ...]:
        given = dict(plain)
        if cuts is not None:
            listed = queue.file(number, "cuts.json")
            entries = [{"frame": cut} for cut in sorted(cuts)]
            write_durably(listed, json.dumps({"cuts": entries}).encode() + b"\n")
            given["cuts"] = str(listed)
        return words_of([str(path)], given, target, str(queue.file(number, "report.json")))

    return queue.add(f"{look.label}, {settings.label}", words, target, look.frames)


def add_pictures(queue: Queue, roots: Roots, call: Call, pictures: Sequence[str], settings: PictureSettings) -> Job:
    """A job for an animation of pictures, in their order.

    Raises:
        UserError: if there are fewer than two, one lies outside of the roots, or they do not fit together.
    """
    paths, plain = [str(roots.inside(picture)) for picture in pictures], settings.texts()
    look: Look = call(looks.look_at_pictures, paths, plain, settings.suffix)
    target = free_target(queue, roots, look.target)
    return queue.add(
        f"{look.label}, {plain['duration']} s",
        lambda number: words_of(paths, plain, target, str(queue.file(number, "report.json"))),
        target,
        look.frames,
    )


def kept_cuts(cuts: Sequence[Cut], off: Sequence[int]) -> list[int] | None:
    """The cuts that are left where some were switched off; None: the job looks for itself, with the same result."""
    return [cut.frame for cut in cuts if cut.frame not in off] if off else None


def free_target(queue: Queue, roots: Roots, target: str) -> str:
    """``target``, or the same with a number, where no file is and no other job writes to.

    Where its folder lies outside of the roots (that of a root whose pictures are one film), it goes into the first.
    """
    folder = Path(os.path.realpath(Path(target).parent))
    folder = folder if roots.holds(folder) else roots.folders[0]
    taken = {job.target for job in queue.jobs() if job.state not in (DONE, FAILED)}
    wanted = folder / Path(target).name
    candidate, number = free_name(wanted), 2
    while str(candidate) in taken:
        candidate = free_name(wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}"))
        number += 1
    return str(candidate)


def take_upload(roots: Roots, temporary: Path, uploaded: str) -> Path:
    """Moves a file that the web server has received to the first root's uploads; returns its new name.

    Raises:
        UserError: if it is none that was just uploaded.
    """
    real = Path(os.path.realpath(uploaded))
    if not real.is_relative_to(Path(os.path.realpath(temporary))) or not real.is_file():
        raise UserError(f"{shown(Path(uploaded).name)} was not uploaded.", "drop the file again.")
    target = roots.upload_name(Path(uploaded).name)
    try:
        _give_mode_of_new_file(real, target.parent)
        os.replace(real, target)
    except OSError as error:
        raise UserError(f"{shown(target.name)} cannot be kept ({error.strerror}).", "free some space.") from error
    return target


def _give_mode_of_new_file(file: Path, folder: Path) -> None:
    """Makes ``file``, which its owner alone may read, as open to others as any file that is made in ``folder``."""
    new = folder / f".{uuid.uuid4().hex}.part"
    new.touch(exist_ok=False)
    try:
        os.chmod(file, stat.S_IMODE(new.stat().st_mode))
    finally:
        new.unlink()
