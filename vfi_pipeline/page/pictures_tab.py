"""The tab of pictures: choose two or more, say how long, add the animation to the queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from vfi_pipeline.errors import UserError
from vfi_pipeline.page import looks, texts
from vfi_pipeline.page.orders import add_pictures
from vfi_pipeline.page.parts import (
    EACH,
    LAST,
    OPEN,
    QUIET,
    Films,
    choices_of,
    controls_changed,
    folder_choices,
    folder_update,
    hide,
    listing_line,
    picture_choices,
    problem,
    read_controls,
    taken,
    visible,
)
from vfi_pipeline.page.settings import PICTURE_CONTAINERS, PICTURE_MODELS, PictureSettings

NO_PICTURES = texts.empty("No pictures yet", "Two or more become an animation, in the order chosen.")


def pictures_tab(films: Films, changed: gr.State) -> None:
    """The tab's controls and what they do; see ``film_tab``."""
    first = films.roots.listing(films.roots.folders[0])
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=320):
            upload = gr.File(
                label="Pictures", show_label=False, file_count="multiple", file_types=["image"], height=130
            )
            folder = gr.Dropdown(
                folder_choices(films.roots, first), value=str(first.folder), label="Folder", allow_custom_value=True
            )
            chosen = gr.Dropdown(
                picture_choices(first), label="Pictures, in their order", multiselect=True, allow_custom_value=True
            )
            message = gr.HTML(visible=False)
            with gr.Row():
                duration = gr.Textbox("2", label="Seconds", min_width=80, max_lines=1)
                fps = gr.Textbox("30", label="Frames/s", min_width=80, max_lines=1)
                container = gr.Dropdown(list(PICTURE_CONTAINERS), value="mp4", label="File format", min_width=110)
            model = gr.Dropdown(choices_of(PICTURE_MODELS), value="fit", label="Motion", filterable=False)
            with gr.Row():
                loop = gr.Checkbox(False, label="Back to the first picture")
                smooth = gr.Checkbox(False, label="Rest at every picture")
            add = gr.Button("Add to queue", variant="primary", elem_id="vfi-add-pictures")
            done = gr.HTML(visible=False)
        with gr.Column(scale=6, min_width=320):
            facts = gr.HTML(NO_PICTURES)
            thumbnails = gr.HTML()
    controls = [duration, fps, model, loop, smooth, container]
    assert len(controls) == len(fields(PictureSettings))
    settings_of = partial(read_controls, PictureSettings)

    def open_folder(wanted: str) -> dict[Any, Any]:
        try:
            listing = films.roots.listing(wanted)
        except UserError as error:
            return {message: problem(error)}
        return {
            folder: folder_update(films.roots, listing),
            chosen: gr.update(choices=picture_choices(listing)),
            message: listing_line(listing),
        }

    def take(uploaded: Sequence[str] | None, before: Sequence[str] | None) -> dict[Any, Any]:
        try:
            names = taken(films, uploaded)
        except UserError as error:
            return {upload: None, message: problem(error)}
        if not names:
            return {message: hide()}
        listing = films.roots.listing(names[0].parent)
        value = [*(before or ()), *map(str, names)]
        return {
            upload: None,
            folder: folder_update(films.roots, listing),
            chosen: gr.update(choices=picture_choices(listing), value=value),
            message: hide(),
        }

    def plan(names: Sequence[str] | None, *values: Any) -> dict[Any, Any]:
        if not names:
            return {facts: NO_PICTURES, thumbnails: "", message: hide()}
        try:
            paths = [str(films.roots.inside(str(name))) for name in names]
            small = texts.thumbnails(films.looker.call(looks.thumbnails, paths))
            if len(paths) == 1:
                return {facts: texts.empty("One picture", "Choose a second one."), thumbnails: small, message: hide()}
            settings = settings_of(values)
            new = films.looker.call(looks.look_at_pictures, paths, settings.texts(), settings.suffix)
        except UserError as error:
            return {message: problem(error)}
        return {facts: texts.facts(new, None), thumbnails: small, message: hide()}

    def queue_them(names: Sequence[str] | None, count: int, *values: Any) -> dict[Any, Any]:
        try:
            paths = [str(name) for name in names or ()]
            if len(paths) < 2:
                raise UserError("An animation leads from one picture to another.", "choose two pictures or more.")
            job = add_pictures(films.queue, films.roots, films.looker.call, paths, settings_of(values))
        except UserError as error:
            return {done: problem(error)}
        line = f"Job {job.number} is in the queue: {Path(job.target).name}"
        return {done: visible(texts.note(line)), changed: count + 1}

    planned, asked = [facts, thumbnails, message], [chosen, *controls]
    folder.input(open_folder, folder, [folder, chosen, message], **QUIET, **LAST)
    upload.upload(take, [upload, chosen], [upload, folder, chosen, message], **OPEN, **EACH).then(
        plan, asked, planned, show_progress_on=facts, **OPEN, **LAST
    )
    gr.on(controls_changed([chosen, *controls]), plan, asked, planned, show_progress_on=facts, **OPEN, **LAST)
    add.click(queue_them, [chosen, changed, *controls], [done, changed], show_progress_on=done, **OPEN)
