"""The tab of films: choose one, say what to make, see the plan, a preview and the cuts, add it to the queue."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import astuple, fields
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from vfi_pipeline.errors import UserError
from vfi_pipeline.page import looks, texts
from vfi_pipeline.page.facts import Cut, Look, Preview
from vfi_pipeline.page.orders import add_film, kept_cuts
from vfi_pipeline.page.parts import (
    EACH,
    LAST,
    OPEN,
    QUIET,
    Films,
    choices_of,
    controls_changed,
    film_choices,
    folder_update,
    hide,
    listing_line,
    problem,
    read_controls,
    show,
    taken,
    visible,
)
from vfi_pipeline.page.roots import Listing
from vfi_pipeline.page.settings import (
    CODECS,
    CONTAINERS,
    MODELS,
    PRESETS,
    SOUNDS,
    TIMINGS,
    Settings,
    preset_of,
    with_preset,
)

CHUNK = 200
"""Frames in which cuts are looked for at a time: what is shown of the search, and how soon it can be stopped."""

CUTS_A_PAGE = 24

OLD_S = 900
"""Previews are deleted after so many seconds."""

FACTORS = ("2x", "4x", "8x")
PLACES = {
    "where most moves": None,
    "middle": (0.5, 0.5),
    "top left": (0.2, 0.2), "top": (0.5, 0.2), "top right": (0.8, 0.2),
    "left": (0.2, 0.5), "right": (0.8, 0.5),
    "bottom left": (0.2, 0.8), "bottom": (0.5, 0.8), "bottom right": (0.8, 0.8),
}  # fmt: skip

NOTHING_CHOSEN = texts.empty("No film yet", "Drop one, or choose one from a folder.")
NO_PREVIEW = texts.empty("No preview yet", "Choose a film first.")
ABOUT_CUTS = texts.line(
    "Nothing is made across a cut. A job finds cuts by itself; look for them here to switch off what is none."
)

Handled = dict[Any, Any]
"""What a handler returns: component -> new value; what is missing stays."""


def film_tab(films: Films, blocks: gr.Blocks, changed: gr.State) -> None:
    """The tab's controls and what they do. ``changed`` is counted up when something is added to the queue."""
    remembered = gr.BrowserState({}, storage_key="vfi-film", secret="vfi")
    look, preview_shown, preview_settings = gr.State(None), gr.State(None), gr.State(None)
    pace, pace_of = gr.State(None), gr.State(None)
    here = gr.State(None)  # the folder that is listed
    cuts_found, off, searched = gr.State(()), gr.State(()), gr.State(False)
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=320):
            upload = gr.File(label="Films", show_label=False, file_count="multiple", height=130)
            with gr.Row():
                folder = gr.Dropdown([], label="Folder", allow_custom_value=True, min_width=150)
                film = gr.Dropdown([], label="Film", allow_custom_value=True, min_width=150)
            message = gr.HTML(visible=False)
            preset = gr.Radio(list(PRESETS), value="60 fps", label="What to make")
            with gr.Row():
                amount = gr.Textbox("60", label="Amount", min_width=80, max_lines=1, scale=1)
                timing = gr.Dropdown(
                    choices_of(TIMINGS), value="fps", label="Unit", min_width=190, scale=2, filterable=False
                )
            model = gr.Dropdown(choices_of(MODELS), value="flow", label="Motion", filterable=False)
            with gr.Accordion("More options", open=False):
                dedup = gr.Checkbox(False, label="Drawn on twos or threes: re-time repeated frames")
                with gr.Row():
                    container = gr.Dropdown(list(CONTAINERS), value=CONTAINERS[0], label="File format", min_width=130)
                    codec = gr.Dropdown(list(CODECS), value=CODECS[0], label="Codec", min_width=130)
                with gr.Row():
                    sound = gr.Dropdown(list(SOUNDS), value=SOUNDS[0], label="Sound", min_width=130)
                    size = gr.Textbox("", label="Size", placeholder="as it is; 1280x720, 2x", min_width=130)
                with gr.Row():
                    start = gr.Textbox("", label="From", placeholder="start; 0:01:30", min_width=130)
                    end = gr.Textbox("", label="To", placeholder="end; 0:02:00", min_width=130)
                more = gr.Textbox("", label="Further options", placeholder="crf=18 scene_threshold=0.4", max_lines=1)
            add = gr.Button("Add to queue", variant="primary", elem_id="vfi-add")
            every = gr.Button("Add every film of this folder", size="sm", visible=False, elem_classes="vfi-small")
            done = gr.HTML(visible=False)
        with gr.Column(scale=6, min_width=320):
            facts = gr.HTML(NOTHING_CHOSEN, elem_id="vfi-facts")
            slider = gr.ImageSlider(
                label="the film as it is | the made frame", type="filepath", interactive=False, visible=False,
                buttons=["fullscreen"], max_height=460, elem_id="vfi-preview", show_label=True,
            )  # fmt: skip
            preview_line = gr.HTML(NO_PREVIEW)
            with gr.Row(visible=False) as moment_part:
                moment = gr.Slider(0, 1, value=0, step=0.001, label="Moment, seconds", scale=4, min_width=200)
                ask = gr.Button("Preview", scale=1, min_width=90)
            with gr.Accordion("The made frame enlarged", open=False, visible=False) as detail_part:
                with gr.Row():
                    place = gr.Dropdown(list(PLACES), value="where most moves", label="Where", filterable=False)
                    factor = gr.Radio(list(FACTORS), value="4x", label="How much")
                detail = gr.Image(
                    type="filepath", interactive=False, show_label=False, buttons=["fullscreen"], elem_id="vfi-detail"
                )
            with gr.Accordion("Cuts", open=False, visible=False) as cuts_part:
                gr.HTML(ABOUT_CUTS)
                with gr.Row(elem_classes="vfi-buttons"):
                    search = gr.Button("Find cuts", size="sm", elem_classes="vfi-small")
                    halt = gr.Button("Stop looking", size="sm", visible=False, elem_classes="vfi-small")
                search_line = gr.HTML(visible=False)
                cuts_page = gr.Slider(1, 2, value=1, step=1, label="Page", visible=False)
                _cut_boxes(cuts_found, off, cuts_page)

    controls = [timing, amount, model, dedup, sound, container, codec, size, start, end, more]
    of_a_film = [slider, moment_part, detail_part, cuts_part]
    settings_of = partial(read_controls, Settings)

    # ------------------------------------------------------------------------------------------------ which film

    def listed(listing: Listing, chosen: str | None) -> Handled:
        return {
            here: str(listing.folder),
            folder: folder_update(films.roots, listing),
            film: gr.update(choices=film_choices(listing), value=chosen),
            every: show(len(listing.films) > 1),
        }

    def open_folder(wanted: str, listed_now: str | None) -> Handled:
        if wanted == listed_now:  # passed through by keyboard: the film that was chosen meanwhile stays
            return gr.skip()
        try:
            listing = films.roots.listing(wanted)
        except UserError as error:
            return {message: problem(error)}
        return {**listed(listing, None), message: listing_line(listing)}

    def take(uploaded: Sequence[str] | None) -> Handled:
        try:
            names = taken(films, uploaded)
        except UserError as error:
            return {upload: None, message: problem(error)}
        if not names:
            return {message: hide()}
        line = f"{len(names)} file{'s' * (len(names) > 1)} in {names[0].parent.name}/"
        listing = films.roots.listing(names[0].parent)
        return {upload: None, **listed(listing, str(names[0])), message: visible(texts.note(line))}

    def remember(chosen: str | None, *values: Any) -> dict[str, Any]:
        return {"film": chosen, "values": list(values)}

    def restore(kept: Any) -> Handled:
        """After a reload: the film and the controls as they were, as far as they are still allowed."""
        kept = kept if isinstance(kept, dict) else {}
        try:
            settings = settings_of(kept.get("values") or astuple(Settings()))
            settings.texts()
        except (UserError, TypeError):
            settings = Settings()
        try:
            path = films.roots.inside(str(kept.get("film") or ""))
            listing = films.roots.listing(path if path.is_dir() else path.parent)
        except UserError:
            path, listing = None, films.roots.listing(films.roots.folders[0])
        named = zip(controls, astuple(settings))
        return {**listed(listing, None if path is None else str(path)), preset: preset_of(settings), **dict(named)}

    # ------------------------------------------------------------------------------------- its plan and a preview

    def plan(chosen: str | None, before: Look | None, frame_s: float | None, *values: Any) -> Handled:
        nothing = {
            preview_shown: None,
            preview_settings: None,
            cuts_found: (),
            off: (),
            searched: False,
            pace: None,
            pace_of: None,
        }
        if not chosen:
            hidden = {part: hide() for part in (*of_a_film, message)}
            return {facts: NOTHING_CHOSEN, look: None, preview_line: NO_PREVIEW, **hidden, **nothing}
        try:
            settings, path = settings_of(values), films.roots.inside(chosen)
            new = films.looker.call(looks.look, str(path), settings.texts(), settings.suffix)
        except UserError as error:
            return {message: problem(error)}
        if before is not None and before.path == new.path:
            return {facts: texts.facts(new, frame_s), look: new, message: hide(), moment: _range(new)}
        shown = {part: show() for part in of_a_film}
        placed = {moment: _range(new, new.first_s + (new.end_s - new.first_s) / 3)}
        return {facts: texts.facts(new, None), look: new, message: hide(), **placed, **shown, **nothing}

    def preview(
        chosen: str | None, current: Look | None, at: float, cuts: Any, without: Any, *values: Any
    ) -> Handled:  # fmt: skip
        if not chosen or current is None:
            return gr.skip()
        _tidy(films.temporary)
        try:
            settings, path = settings_of(values), films.roots.inside(chosen)
            new = films.looker.call(
                looks.preview, str(path), settings.texts(), float(at), str(films.temporary), kept_cuts(cuts, without)
            )
        except UserError as error:
            return {preview_line: texts.error(error)}
        line = texts.preview_line(new)
        return {slider: (new.before, new.after), preview_shown: new, preview_settings: settings, preview_line: line}

    def mark(shown: Preview | None, shown_for: Settings | None, *values: Any) -> Any:
        """What the preview shows, or that it was made for other settings than the controls have."""
        if shown is None or shown_for is None:
            return gr.skip()
        try:
            fresh = shown_for.picture_texts() == settings_of(values).picture_texts()
        except UserError:
            fresh = False
        return texts.preview_line(shown) if fresh else texts.stale_preview_line(shown_for.label)

    def measure(
        chosen: str | None, current: Look | None, key: Any, at: float, frame_s: float | None, *values: Any
    ) -> Handled:
        """How long a frame takes, measured beside the previews; once for a film and what changes the work."""
        if not chosen or current is None:
            return gr.skip()
        try:
            settings = settings_of(values)
            now = (current.path, settings.timing, settings.amount, settings.model, settings.size, settings.more)
            if key == now and frame_s is not None:
                return gr.skip()
            path = films.roots.inside(chosen)
            took = films.converter.call(looks.pace, str(path), settings.texts(), float(at))
        except UserError:  # the plan tells it
            return gr.skip()
        return {pace: took, pace_of: now}

    def redraw(current: Look | None, frame_s: float | None) -> Any:
        """The plan with the time that was measured: of the settings by now, not of those the measuring began with."""
        return gr.skip() if current is None else texts.facts(current, frame_s)

    def enlarge(current: Preview | None, where: str, much: str) -> str | None:
        if current is None or where not in PLACES or much not in FACTORS:
            return None
        spot = PLACES[where] or current.busiest
        try:
            return films.looker.call(looks.enlarged, current.after, spot, int(much[0]), str(films.temporary))
        except (UserError, OSError):  # deleted meanwhile
            return None

    # -------------------------------------------------------------------------------------------------- its cuts

    def find_cuts(chosen: str | None, current: Look | None, *values: Any) -> Iterator[Handled]:
        if not chosen or current is None:
            yield gr.skip()
            return
        seen: tuple[Cut, ...] = ()
        idle = {search: show(), halt: hide()}
        try:
            settings, path = settings_of(values), films.roots.inside(chosen)
            for first in range(0, current.source_frames, CHUNK):
                line = f"Looking: {100 * first / current.source_frames:.0f} %, {_count(seen)} so far"
                progress = {search_line: visible(texts.note(line)), cuts_page: _pages(seen)}
                yield {cuts_found: seen, off: (), searched: False, search: hide(), halt: show(), **progress}
                stop = min(first + CHUNK, current.source_frames)
                seen += tuple(films.converter.call(looks.cuts_in, str(path), settings.texts(), first, stop))
        except UserError as error:
            yield {search_line: problem(error), **idle}
            return
        line = f"{_count(seen)} in {current.source_frames} frames."
        line += " Take the mark off what is none." if seen else ""
        yield {
            cuts_found: seen,
            searched: True,
            search_line: visible(texts.note(line)),
            cuts_page: _pages(seen),
            **idle,
        }

    def stop_looking() -> Handled:
        line = "Stopped: the job looks for cuts itself."
        return {searched: False, search_line: visible(texts.note(line)), search: show(), halt: hide()}

    # -------------------------------------------------------------------------------------------- into the queue

    def queue_one(chosen: str | None, cuts: Any, without: Any, complete: bool, count: int, *values: Any) -> Handled:
        try:
            if not chosen:
                raise UserError("No film was chosen.", "drop one above, or choose one.")
            kept = kept_cuts(cuts, without) if complete else None
            job = add_film(films.queue, films.roots, films.looker.call, chosen, settings_of(values), kept)
        except UserError as error:
            return {done: problem(error)}
        line = f"Job {job.number} is in the queue: {Path(job.target).name}"
        return {done: visible(texts.note(line)), changed: count + 1}

    def queue_every(where: str, count: int, *values: Any) -> Handled:
        wrong, right = [], 0
        try:
            listing, settings = films.roots.listing(where), settings_of(values)
        except UserError as error:
            return {done: problem(error)}
        for name in listing.films:
            try:
                add_film(films.queue, films.roots, films.looker.call, str(listing.folder / name), settings)
                right += 1
            except UserError as error:
                wrong.append(texts.error(error))
        note = texts.note(f"{right} job{'s' * (right != 1)} added to the queue.")
        return {done: visible(note + "".join(wrong)), changed: count + 1}

    def apply_preset(name: str, *values: Any) -> Handled:
        try:
            return dict(zip(controls, astuple(with_preset(settings_of(values), name))))
        except UserError as error:
            return {message: problem(error)}

    def name_preset(*values: Any) -> str | None:
        try:
            return preset_of(settings_of(values))
        except UserError:
            return None

    # -------------------------------------------------------------------------------------------- what leads to what

    assert len(controls) == len(fields(Settings))
    planned = [
        facts,
        look,
        message,
        moment,
        *of_a_film,
        preview_line,
        preview_shown,
        preview_settings,
        cuts_found,
        off,
        searched,
        pace,
        pace_of,
    ]
    asked = [film, look, moment, cuts_found, off, *controls]
    previewed = [slider, preview_shown, preview_settings, preview_line]
    chosen = [upload, folder, film, every, message, here]

    def then_plan(event: Any, with_preview: bool) -> None:
        event = event.then(plan, [film, look, pace, *controls], planned, show_progress_on=facts, **OPEN, **LAST)
        event = event.then(mark, [preview_shown, preview_settings, *controls], preview_line, **QUIET, **LAST)
        if with_preview:
            event = event.then(preview, asked, previewed, show_progress_on=slider, **OPEN, **LAST)
        event = event.then(measure, [film, look, pace_of, moment, pace, *controls], [pace, pace_of], **QUIET, **LAST)
        event = event.then(redraw, [look, pace], facts, **QUIET, **LAST)
        event.then(remember, [film, *controls], remembered, **QUIET, **LAST)

    loaded = blocks.load(restore, remembered, [folder, film, every, here, preset, *controls], **QUIET)
    # Remembering comes last: what is restored must not be overwritten by an empty page before.
    then_plan(loaded, True)
    folder.input(open_folder, [folder, here], chosen, **QUIET, **LAST)
    then_plan(upload.upload(take, upload, chosen, **OPEN, **EACH), True)
    then_plan(film.input(lambda: None, None, None, **QUIET, **LAST), True)
    then_plan(preset.input(apply_preset, [preset, *controls], [*controls, message], **QUIET, **LAST), False)
    then_plan(gr.on(controls_changed(controls), name_preset, controls, preset, **QUIET, **LAST), False)
    gr.on([ask.click, moment.release], preview, asked, previewed, show_progress_on=slider, **OPEN, **LAST)
    preview_settings.change(
        mark, [preview_shown, preview_settings, *controls], preview_line, **QUIET
    )  # a plan may have come in between
    gr.on(
        [preview_shown.change, place.input, factor.input],
        enlarge,
        [preview_shown, place, factor],
        detail,
        show_progress_on=detail,
        **OPEN,
        **LAST,
    )
    looking = search.click(
        find_cuts, [film, look, *controls], [cuts_found, off, searched, search_line, cuts_page, search, halt], **QUIET
    )
    halt.click(stop_looking, None, [searched, search_line, search, halt], cancels=[looking], **QUIET)
    add.click(
        queue_one, [film, cuts_found, off, searched, changed, *controls], [done, changed], show_progress_on=done, **OPEN
    )
    every.click(queue_every, [folder, changed, *controls], [done, changed], show_progress_on=done, **OPEN)


def _cut_boxes(cuts_found: gr.State, off: gr.State, cuts_page: gr.Slider) -> None:
    """The cuts with a checkbox each, a page at a time."""

    @gr.render(
        inputs=[cuts_found, off, cuts_page], triggers=[cuts_found.change, cuts_page.change], show_progress="hidden"
    )
    def boxes(cuts: tuple[Cut, ...], without: tuple[int, ...], number: float) -> None:
        first = (int(number) - 1) * CUTS_A_PAGE
        with gr.Row(elem_classes="vfi-cuts"):
            for cut in cuts[first : first + CUTS_A_PAGE]:
                with gr.Column(min_width=140):
                    gr.HTML(texts.cut_pair(cut))
                    box = gr.Checkbox(
                        cut.frame not in without, label=texts.cut_label(cut), container=False, interactive=True
                    )
                    box.input(partial(_switched, cut.frame), [box, off], off, **QUIET, **LAST)


def _switched(frame: int, is_cut: bool, without: tuple[int, ...]) -> tuple[int, ...]:
    rest = tuple(other for other in without if other != frame)
    return rest if is_cut else (*rest, frame)


def _range(look: Look, value: float | None = None) -> Any:
    """The moments of a film that can be asked for; ``value`` places the slider."""
    first = round(look.first_s, 3)
    last = max(first + 0.001, round(look.end_s - 1 / max(1.0, look.source_rate), 3))
    if value is None:
        return gr.update(minimum=first, maximum=last)
    return gr.update(minimum=first, maximum=last, value=round(min(value, last), 3))


def _count(cuts: Sequence[Cut]) -> str:
    return f"{len(cuts)} cut{'s' * (len(cuts) != 1)}"


def _pages(cuts: Sequence[Cut]) -> Any:
    pages = max(1, -(-len(cuts) // CUTS_A_PAGE))
    return gr.update(visible=pages > 1, maximum=max(2, pages))


def _tidy(folder: Path) -> None:
    """Deletes previews that no one looks at any more."""
    for path in folder.glob("*.jpg"):
        try:
            if time.time() - path.stat().st_mtime > OLD_S:
                path.unlink()
        except OSError:
            pass
