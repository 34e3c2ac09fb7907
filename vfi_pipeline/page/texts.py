"""What the page shows, as HTML in which every stranger's text is escaped. Pure."""

from __future__ import annotations

import base64
import html
import shlex
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from urllib.parse import quote

from vfi_pipeline.errors import UserError
from vfi_pipeline.jobs.values import clock_text, rate_text, size_text
from vfi_pipeline.page.facts import SHOWN_AS_IMAGES, Cut, Look, Preview
from vfi_pipeline.page.progress import HowFar, state_text
from vfi_pipeline.page.queue import DONE, FAILED, WORKING, Job
from vfi_pipeline.page.roots import shown


def text(value: object) -> str:
    """A stranger's text for HTML: escaped, on one line."""
    return html.escape(shown(str(value)))


def error(problem: UserError | str) -> str:
    """An error as its two lines."""
    lines = str(problem).splitlines() or [""]
    head, rest = lines[0], " ".join(line.strip() for line in lines[1:])
    remedy = f'<div class="vfi-remedy">{text(rest)}</div>' if rest else ""
    return f'<div class="vfi-error" role="alert"><div>{text(head)}</div>{remedy}</div>'


def note(words: str) -> str:
    """A line that tells what has been done."""
    return f'<div class="vfi-note" role="status">{text(words)}</div>'


def line(words: str) -> str:
    """A line of explanation."""
    return f'<div class="vfi-line">{text(words)}</div>'


def empty(head: str, words: str) -> str:
    """What stands where there is nothing yet."""
    return f'<div class="vfi-empty"><strong>{text(head)}</strong><span>{text(words)}</span></div>'


def facts(look: Look, frame_s: float | None) -> str:
    """Facts of the film and the plan, as a table. ``frame_s``: seconds that a made frame takes here, if known."""
    rows = [
        ("Film", f"{look.width} x {look.height}, {_rate(look.source_rate)}, {_length(look.duration_s)}"),
        ("Result", text_of_result(look)),
        ("Frames", f"{look.frames:,} in all, {look.made:,} of them made"),
        ("Time", work_time(look.made, frame_s)),
        ("Disk", disk(look)),
    ]
    if look.source_rate == 0:  # pictures
        rows = [("Pictures", look.lines[0][1]), ("Result", text_of_result(look)),
                ("Frames", f"{look.frames:,} in {_length(look.duration_s)}"), ("Disk", disk(look))]  # fmt: skip
    body = "".join(f"<tr><th scope='row'>{text(name)}</th><td>{text(words)}</td></tr>" for name, words in rows)
    parts = [f'<h3 class="vfi-film">{text(look.label)}</h3><table class="vfi-facts">{body}</table>']
    if look.kept or look.lost:
        items = "".join(f'<li class="vfi-kept">{text(words)}</li>' for words in look.kept)
        items += "".join(f'<li class="vfi-lost">{text(words)}</li>' for words in look.lost)
        parts.append(f'<div class="vfi-head">Sound, subtitles and the rest</div><ul class="vfi-streams">{items}</ul>')
    notes = [words for words in look.notes if words not in (*look.lost, *look.kept)]
    if notes:
        items = "".join(f"<li>{text(words)}</li>" for words in notes)
        parts.append(f'<div class="vfi-head">Please note</div><ul class="vfi-notes">{items}</ul>')
    return f'<div class="vfi-plan">{"".join(parts)}</div>'


def text_of_result(look: Look) -> str:
    """The result's name and how it is encoded."""
    line_of_output = next((words for name, words in look.lines if name == "output"), "")
    encoded = line_of_output.rpartition(": ")[2].partition(",")[0] if line_of_output else ""
    return Path(look.target).name + (f" ({encoded})" if encoded else "")


def work_time(made: int, frame_s: float | None) -> str:
    """About how long the work takes. ``frame_s``: seconds that a made frame takes, None while that is measured."""
    if not made:
        return "moments: nothing has to be made"
    if frame_s is None:
        return "being measured"
    return f"about {_about(made * frame_s)} on this machine, measured on some frames of this film"


def disk(look: Look) -> str:
    """About how much room the work takes, and what there is."""
    have = "" if look.free_bytes is None else f"; {size_text(look.free_bytes)} free"
    short = look.free_bytes is not None and look.disk_bytes > look.free_bytes
    return f"about {size_text(look.disk_bytes)} while working{have}" + (" - too little" if short else "")


def preview_line(preview: Preview) -> str:
    """What a preview shows."""
    moment = f"{preview.moment_s:.3f} s"
    if preview.kind == "made":
        place = f"{100 * preview.t:.0f} % of the way from source frame {preview.source} to {preview.source + 1}"
        words = f"At {moment}: left the film as it is, right the frame made for that moment, {place}."
    elif preview.kind == "held":
        words = f"At {moment}: the frame before is held here (a cut, a gap or a still picture)."
    else:
        words = f"At {moment}: a source frame, copied. Nothing is made near this moment."
    return line(words)


def stale_preview_line(label: str) -> str:
    """What stands beside a preview once the settings are others; ``label``: what it was made for, as ``60 fps``."""
    return (
        f'<div class="vfi-stale" role="status">{text(f"This preview was made for other settings ({label}).")} '
        "Press Preview to make it again.</div>"
    )


def cut_pair(cut: Cut) -> str:
    """Both sides of a cut as thumbnails; the checkbox beside it says what they are."""
    images = "".join(
        f'<img alt="{side} the cut at {cut.time_s:.2f} s" src="data:image/jpeg;base64,'
        f'{base64.b64encode(data).decode()}">'
        for side, data in (("before", cut.before), ("after", cut.after))
    )
    return f'<div class="vfi-cut">{images}</div>'


def cut_label(cut: Cut) -> str:
    """The words of a cut's checkbox."""
    minutes, seconds = divmod(cut.time_s, 60)
    return f"{int(minutes)}:{seconds:05.2f} (frame {cut.frame})"


def thumbnails(pictures: Sequence[tuple[str, bytes]]) -> str:
    """Pictures in their order, numbered, with their names."""
    items = "".join(
        f'<figure><img alt="picture {number}" src="data:image/jpeg;base64,{base64.b64encode(data).decode()}">'
        f"<figcaption>{number}. {text(name)}</figcaption></figure>"
        for number, (name, data) in enumerate(pictures, 1)
    )
    return f'<div class="vfi-thumbs">{items}</div>'


def job_row(job: Job, far: HowFar) -> str:
    """A job in the queue: name, state, and a bar while it works."""
    state = state_text(job, far)
    parts = [
        f'<div class="vfi-job-head"><span class="vfi-number">{job.number}</span>'
        f'<span class="vfi-title">{text(job.title)}</span>'
        f'<span class="vfi-state vfi-{job.state}">{text(state)}</span></div>'
    ]
    if job.state == WORKING or (0 < far.share < 1):
        value = f"{100 * far.share:.1f}"
        parts.append(
            f'<div class="vfi-bar" role="progressbar" aria-label="job {job.number}" aria-valuemin="0" '
            f'aria-valuemax="100" aria-valuenow="{value}"><div style="width:{value}%"></div></div>'
        )
    if job.state == FAILED and job.problem:
        parts.append(error(job.problem))
    return f'<div class="vfi-job">{"".join(parts)}</div>'


def download(job: Job, result: str) -> str:
    """The link to a finished job's file."""
    if job.state != DONE:
        return ""
    name = text(Path(result).name)
    return f'<a class="vfi-download" href="result/{job.number}/file" download>Download {name}</a>'


def player(job: Job, path: str, whole: bool) -> str:
    """The result in a player, or as a picture. ``whole``: it is the file itself, not a preview of its beginning."""
    address = f"result/{job.number}/watch?{quote(Path(path).suffix.lstrip('.'))}"
    name = text(job.title)
    if Path(path).suffix.lower() in SHOWN_AS_IMAGES:
        shown_ = f'<img class="vfi-player" src="{address}" alt="result of job {job.number}">'
    else:
        shown_ = f'<video class="vfi-player" controls preload="auto" playsinline src="{address}"></video>'
    hint = "" if whole else (
        "<div class='vfi-line'>Browsers do not play this format: these are its first two minutes, encoded again for "
        "looking. The download is the real result.</div>"
    )  # fmt: skip
    return f'<div class="vfi-watch"><div class="vfi-head">{name}</div>{shown_}{hint}</div>'


def log(job: Job, content: str) -> str:
    """A job's log and the command that does the same in a terminal; both hold names of files."""
    lines = "\n".join(map(text, content.splitlines())) or "Nothing was told yet."
    command = text(shlex.join(["python", "interpolate.py", *job.words]))
    return (
        f'<div class="vfi-head">Job {job.number}: what it told</div><pre class="vfi-log" tabindex="0">{lines}</pre>'
        f'<div class="vfi-head">The same in a terminal</div><pre class="vfi-log" tabindex="0">{command}</pre>'
    )


def _rate(rate: float) -> str:
    return f"{rate_text(Fraction(rate).limit_denominator(100_000))} frames per second"


def _length(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds < 60 else clock_text(seconds)


def _about(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
