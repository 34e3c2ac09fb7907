"""The queue below the tabs: every job with its progress, and what can be done with it. The same in every tab.

A fixed number of rows is filled in, and only what has changed is sent: the keyboard's place in the list stays.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import gradio as gr

from vfi_pipeline.errors import UserError
from vfi_pipeline.page import looks, texts
from vfi_pipeline.page.parts import QUIET, Films, hide, problem, show, visible
from vfi_pipeline.page.progress import how_far, result_of, tail
from vfi_pipeline.page.queue import DONE, FAILED, STOPPED, WAITING, WORKING, Job, Queue

ROWS = 10
"""Jobs that are shown at a time."""

NO_JOBS = texts.empty(
    "The queue is empty", "What you add is made here, one after another, also when this page is closed."
)

SCROLL = "() => { document.getElementById('vfi-watch')?.scrollIntoView({block: 'nearest'}); }"

LIGHT: dict[str, Any] = {**QUIET, "concurrency_limit": None}
"""Of events that only look: no tab waits for another one."""


class Shown(NamedTuple):
    """What a row shows: nothing where ``number`` is 0."""

    number: int = 0
    state: str = ""
    stopping: bool = False
    content: str = ""
    link: str = ""


@dataclass(frozen=True)
class Row:
    """The controls of a row. ``number`` is the job it shows, which the browser sends along with a press."""

    box: Any
    number: Any
    content: Any
    link: Any
    watch: Any
    stop: Any
    go_on: Any
    remove: Any
    log: Any

    @property
    def outputs(self) -> list[Any]:
        return [self.box, self.number, self.content, self.link, self.watch, self.stop, self.go_on, self.remove]


def _row() -> Row:
    def button(label: str, variant: Any = "secondary") -> gr.Button:
        return gr.Button(label, size="sm", variant=variant, elem_classes="vfi-small", visible=label == "Log")

    with gr.Column(visible=False, elem_classes="vfi-job-box") as box:
        number = gr.Number(0, precision=0, elem_classes="vfi-hidden")  # hidden by Gradio, it shows up with its value
        content = gr.HTML()
        with gr.Row(elem_classes="vfi-buttons"):
            watch = button("Watch", "primary")
            link = gr.HTML(visible=False)
            stop, go_on, remove, log = map(button, ("Stop", "Go on", "Remove", "Log"))
    return Row(box, number, content, link, watch, stop, go_on, remove, log)


def shown(queue: Queue, job: Job) -> Shown:
    """What the row of ``job`` shows now."""
    far = how_far(job, tail(queue.file(job.number, "log")), time.time())
    link = texts.download(job, result_of(queue.file(job.number, "report.json"), job.target))
    return Shown(job.number, job.state, job.stopping, texts.job_row(job, far), link)


def filled(queue: Queue, first: int) -> list[Shown]:
    """What the rows show, from the ``first`` newest job on."""
    jobs = queue.jobs()[::-1][first : first + ROWS]
    return [shown(queue, job) for job in jobs] + [Shown()] * (ROWS - len(jobs))


def changes(row: Row, before: Shown, now: Shown) -> dict[Any, Any]:
    """The controls of a row that have to change."""
    if before == now:
        return {}
    if not now.number:
        return {row.box: hide(), row.number: 0}
    new = {row.content: now.content, row.link: visible(now.link) if now.link else hide()}
    if before[:3] == now[:3]:
        return new
    at_rest = not now.stopping
    return new | {
        row.box: show(),
        row.number: now.number,
        row.watch: show(now.state == DONE),
        row.stop: show(at_rest and now.state in (WAITING, WORKING)),
        row.go_on: gr.update(
            visible=now.state in (STOPPED, FAILED), value="Try again" if now.state == FAILED else "Go on"
        ),
        row.remove: gr.update(
            visible=now.state != WORKING, value="Remove from list" if now.state == DONE else "Remove"
        ),
    }


def queue_part(films: Films, blocks: gr.Blocks, changed: gr.State) -> None:
    """The list of jobs. ``changed`` is counted up when one is added in this tab."""
    queue = films.queue
    gr.HTML('<div class="vfi-section" role="heading" aria-level="2">Queue</div>')
    message = gr.HTML(visible=False)
    with gr.Column(visible=False, elem_classes="vfi-job-box", elem_id="vfi-watch") as opened:
        content = gr.HTML()
        close = gr.Button("Close", size="sm", elem_classes="vfi-small")
    nothing = gr.HTML(NO_JOBS, visible=False)
    rows = [_row() for _ in range(ROWS)]
    with gr.Row(visible=False, elem_classes="vfi-buttons") as pages:
        newer = gr.Button("Newer", size="sm", elem_classes="vfi-small")
        older = gr.Button("Older", size="sm", elem_classes="vfi-small")
        where = gr.HTML()
    before, first = gr.State(None), gr.State(0)
    clock = gr.Timer(1.0)

    def fill(last: list[Shown] | None, begin: int) -> Any:
        count = len(queue.jobs())
        begin = max(0, min(begin, (count - 1) // ROWS * ROWS))
        now = filled(queue, begin)
        if now == last:
            return gr.skip()
        new: dict[Any, Any] = {before: now, first: begin, nothing: show(not count), pages: show(count > ROWS)}
        new[where] = texts.line(f"{begin + 1} to {min(count, begin + ROWS)} of {count}")
        for row, was, is_now in zip(rows, last or [Shown(-1)] * ROWS, now):
            new |= changes(row, was, is_now)
        return new

    def act(verb: str, number: float) -> Any:
        try:
            getattr(queue, verb)(int(number))
        except UserError as error:
            return problem(error)
        return hide()

    def log(number: float) -> dict[Any, Any]:
        try:
            job = queue.get(int(number))
        except UserError as error:
            return {opened: show(), content: texts.error(error)}
        return {opened: show(), content: texts.log(job, tail(queue.file(job.number, "log")))}

    def watch(number: float) -> dict[Any, Any]:
        try:
            job = queue.get(int(number))
            path = films.roots.inside(result_of(queue.file(job.number, "report.json"), job.target))
            played = films.converter.call(looks.watchable, str(path), str(queue.file(job.number, "watch.mp4")))
        except UserError as error:
            return {opened: show(), content: texts.error(error)}
        return {opened: show(), content: texts.player(job, played, played == str(path))}

    drawn = [before, first, nothing, pages, where, *(output for row in rows for output in row.outputs)]
    gr.on([blocks.load, clock.tick, changed.change], fill, [before, first], drawn, **LIGHT)
    newer.click(lambda begin: begin - ROWS, first, first, **LIGHT).then(fill, [before, first], drawn, **LIGHT)
    older.click(lambda begin: begin + ROWS, first, first, **LIGHT).then(fill, [before, first], drawn, **LIGHT)
    for row in rows:
        for button, verb in ((row.stop, "stop"), (row.go_on, "go_on"), (row.remove, "remove")):
            pressed = button.click(partial(act, verb), row.number, message, **LIGHT)
            pressed.then(fill, [before, first], drawn, **LIGHT)
        for button, function in ((row.watch, watch), (row.log, log)):
            shown_below = button.click(function, row.number, [opened, content], **QUIET)
            shown_below.then(None, None, None, js=SCROLL, api_visibility="private")
    close.click(lambda: {opened: hide(), content: ""}, None, [opened, content], **LIGHT)
