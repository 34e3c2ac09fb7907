"""What both tabs and the queue share: what they work with, folders and files to choose from, lines that come and go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr

from vfi_pipeline.errors import UserError
from vfi_pipeline.page import texts
from vfi_pipeline.page.helper import Helper
from vfi_pipeline.page.orders import take_upload
from vfi_pipeline.page.queue import Queue
from vfi_pipeline.page.roots import Listing, Roots, shown

T = TypeVar("T")

OPEN: dict[str, Any] = {"api_visibility": "private"}
"""Of every event: no documented programming interface."""

QUIET: dict[str, Any] = {**OPEN, "show_progress": "hidden"}
"""Of events that nobody has to wait for."""

LAST: dict[str, Any] = {"trigger_mode": "always_last"}
"""Of events that show what controls hold. Gradio drops an event whose former run has not ended ("once", its default):
what was changed meanwhile would never be shown. This runs it once more instead."""

EACH: dict[str, Any] = {"trigger_mode": "multiple"}
"""Of uploads: each is taken, also while a former one is."""


@dataclass
class Films:
    """What the handlers work with."""

    roots: Roots
    queue: Queue
    looker: Helper
    converter: Helper
    temporary: Path


def visible(content: str) -> Any:
    """A line that appears."""
    return gr.update(value=content, visible=True)


def problem(error: UserError) -> Any:
    """An error's two lines, appearing."""
    return visible(texts.error(error))


def show(on: bool = True) -> Any:
    return gr.update(visible=on)


def hide() -> Any:
    return gr.update(visible=False)


def choices_of(labels: dict[str, str]) -> list[str | int | float | tuple[str, str | int | float]]:
    """Choices that are shown by their labels."""
    return [(label, value) for value, label in labels.items()]


def controls_changed(controls: Sequence[Any]) -> list[Any]:
    """The events by which people change controls: texts when they have been typed, the others at once."""
    return [
        getattr(control, event)
        for control in controls
        for event in (("submit", "blur") if isinstance(control, gr.Textbox) else ("input",))
    ]


def read_controls(kind: type[T], values: Sequence[Any]) -> T:
    """The dataclass ``kind``, whose fields are texts and switches, from what the controls hold.

    Raises:
        UserError: if one holds what it cannot hold.
    """
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    if len(values) != len(names):
        raise UserError("Some controls are missing.", "reload the page.")
    for name, value in zip(names, values):
        wanted = bool if isinstance(getattr(kind, name), bool) else str  # defaults are class attributes
        if type(value) is not wanted:
            raise UserError(f"{name} holds nothing that can be used.", "reload the page.")
    return kind(**dict(zip(names, values)))


def taken(films: Films, uploaded: Sequence[str] | None) -> list[Path]:
    """The files of an upload, in the folder for uploads.

    Raises:
        UserError: if one was not uploaded, or cannot be kept.
    """
    return [take_upload(films.roots, films.temporary, str(name)) for name in uploaded or ()]


def folder_choices(roots: Roots, listing: Listing) -> list[Any]:
    """The folder itself, the one above, those in it, and the other roots."""
    folder = listing.folder
    choices = [(f"{shown(folder.name) or '/'}/", str(folder))]
    if listing.above is not None:
        choices.append((f"up to {shown(listing.above.name) or '/'}/", str(listing.above)))
    choices += [(f"   {shown(name)}/", str(folder / name)) for name in listing.folders]
    choices += [(shown(str(root)), str(root)) for root in roots.folders if root not in (folder, listing.above)]
    return choices


def folder_update(roots: Roots, listing: Listing) -> Any:
    return gr.update(choices=folder_choices(roots, listing), value=str(listing.folder))


def film_choices(listing: Listing) -> list[Any]:
    """The films of a folder; where there is none, its pictures as one."""
    choices = [(shown(name), str(listing.folder / name)) for name in listing.films]
    if len(listing.pictures) > 1 and not listing.films:
        choices.append((f"these {len(listing.pictures)} pictures as one film", str(listing.folder)))
    return choices


def picture_choices(listing: Listing) -> list[Any]:
    return [(shown(name), str(listing.folder / name)) for name in listing.pictures]


def listing_line(listing: Listing) -> Any:
    """What a listing does not show, as a line; hidden where it shows all."""
    lines = []
    if not (listing.films or listing.pictures):
        lines.append("No films or pictures are directly in this folder.")
    if listing.unreadable:
        lines.append(f"{listing.unreadable} names that are no Unicode are not shown: rename them.")
    if listing.more:
        lines.append(f"{listing.more} more are not shown: type the name.")
    return visible(texts.line(" ".join(lines))) if lines else hide()
