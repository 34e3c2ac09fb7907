"""``report=out.html``: what was done to each film, as one page that needs no other file and no scripts. Pure.

Names of files, titles and what libraries say come from strangers: all text goes through ``_text``.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vfi_pipeline.jobs.least_certain import Moment
from vfi_pipeline.jobs.values import clock_text

STYLE = """
:root{color-scheme:light dark;--line:#8883;--faint:#7a808c;--source:#2f6fde;--made:#d97a00}
body{font:16px/1.55 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.2rem;margin-top:2.5rem;border-top:1px solid var(--line);padding-top:1.2rem}
h1,h2,td,pre,p,figcaption{overflow-wrap:anywhere}h3{font-size:1rem;margin:1.6rem 0 .4rem}
pre{padding:.7rem;border:1px solid var(--line);white-space:pre-wrap;margin:.4rem 0}
table{border-collapse:collapse}td,th{padding:.15rem 1.2rem .15rem 0;text-align:left;vertical-align:top}
th{font-weight:400;color:var(--faint);white-space:nowrap}.number{text-align:right;font-variant-numeric:tabular-nums}
.strip{display:grid;gap:.6rem;margin:.3rem 0 1rem;
grid-template-columns:repeat(auto-fill,minmax(min(100%,15rem),1fr))}figure{margin:0;max-width:100%}
figure img{display:block;width:100%;border-top:4px solid var(--source)}figure.made img{border-color:var(--made)}
figcaption,.faint{color:var(--faint);font-size:.85rem}.failed{color:#c22}
"""

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""What the page may load: nothing, whatever is in it."""

STAGES = {
    "read": "waiting for decoded frames", "detect": "looking for cuts", "guide": "making small pictures",
    "motion": "estimating motion", "compose": "composing frames", "overlay": "looking for overlays",
    "style": "painting",
}  # fmt: skip


def page(document: Mapping[str, Any], moments: Sequence[Sequence[Moment]], beside: str) -> str:
    """The page of a report.

    Args:
        document: what the JSON holds.
        moments: of each film, those to be shown.
        beside: the name of the JSON.
    """
    films = document["films"]
    title = _name(films[0].get("input")) if len(films) == 1 else f"{len(films)} films"
    body = [f"<h1>{_text(title)}</h1>"]
    if document["command"]:
        body.append(f"<pre>{_text(document['command'])}</pre>")
    for film, shown in zip(films, moments):
        body += _film(film, shown, heading=len(films) > 1)
    if document["left_out"]:
        body.append("<h2>Left out</h2>")
        body.append(_table((_text(left_file["path"]), _text(left_file["why"])) for left_file in document["left_out"]))
    body.append(
        f'<p class="faint">vfi-pipeline {_text(document["version"])}; the same for programs: {_text(beside)}</p>'
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{_text(title)}</title><style>{STYLE}</style></head>\n<body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def _film(film: Mapping[str, Any], moments: Sequence[Moment], heading: bool) -> list[str]:
    parts = [f"<h2>{_text(_name(film.get('input')))}</h2>"] if heading else []
    if film.get("state") == "failed":
        return [*parts, f'<p class="failed">Failed: {_text(film.get("problem", ""))}</p>']
    parts.append(_table(_facts(film)))
    for title, lines in (("Notes", film.get("notes")), ("Lost", film.get("lost")), ("Streams", film.get("streams"))):
        if lines:
            parts.append(f"<h3>{title}</h3>" + "<br>".join(_text(line) for line in lines))
    if moments:
        parts.append("<h3>The least certain moments</h3>")
        parts.append(
            '<p class="faint">Where the estimate trusts its own motion least (1 is full confidence): look here first. '
            "Blue: source frames. Orange: made frames, as they are in the result.</p>"
        )
        parts += [_moment(moment) for moment in moments]
    elif film.get("state") == "done" and film.get("made") and film.get("confidence") is None:
        parts.append('<p class="faint">This model estimates no motion, so it has no confidence to tell of.</p>')
    if film.get("cuts"):
        shown = ", ".join(str(cut) for cut in film["cuts"])
        parts.append(f"<h3>Cuts</h3><p>Source frames that begin a shot: {_text(shown)}.</p>")
    if film.get("stages_s"):
        stages = sorted(film["stages_s"].items(), key=lambda item: -item[1])
        rows = [(_text(STAGES.get(name, name)), _seconds(seconds)) for name, seconds in stages]
        parts.append("<h3>Time spent</h3>" + _table(rows, number=True))
        parts.append('<p class="faint">Seconds of all threads, added up.</p>')
    return parts


def _facts(film: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    yield "state", _text(film.get("state", ""))
    yield "source", _text(film.get("input", ""))
    if film.get("output"):
        yield "result", _text(film["output"])
    if "frames" in film:
        yield "frames", _text(f"{film['frames']} at {film['rate']} per second, {clock_text(film['duration_s'])}")
    if "made" in film:
        counts = (
            f"{film['made']} made, {film['copied']} from the source, {film['held']} held (cuts, gaps, still pictures)"
        )
        repeated = f"; {film['duplicates']} repeated frames re-timed" if film.get("duplicates") else ""
        yield "of these", _text(counts + repeated)
    if film.get("confidence") is not None:
        yield "confidence", _text(f"{film['confidence']:.2f} in the motion, mean over all pairs")
        folded = f"{100 * film['folded']:.2f} % of the area, smallest Jacobian determinant {film['min_det']:.3f}"
        yield "folds", _text(folded)
    if film.get("seconds"):
        yield "took", _text(clock_text(film["seconds"]))


def _moment(moment: Moment) -> str:
    figures = [
        f'<figure class="{"made" if picture.made else "source"}">'
        f'<img alt="{_text(picture.label)}" src="data:image/jpeg;base64,{base64.b64encode(picture.jpeg).decode()}">'
        f"<figcaption>{_text(picture.label)}</figcaption></figure>"
        for picture in moment.pictures
    ]
    when = f"{clock_text(moment.time)} ({moment.time:.3f} s), confidence {moment.confidence:.2f}"
    return f'<h3>{_text(when)}</h3><div class="strip">{"".join(figures)}</div>'


def _table(rows: Iterable[tuple[str, str]], number: bool = False) -> str:
    kind = ' class="number"' if number else ""
    return "<table>" + "".join(f"<tr><th>{left}</th><td{kind}>{right}</td></tr>" for left, right in rows) + "</table>"


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else clock_text(seconds)


def _name(path: object) -> str:
    return str(path or "").replace("\\", "/").rstrip("/").rpartition("/")[2]


def _text(value: object) -> str:
    """Text of any origin as HTML; what is no letter (controls, half surrogates) is shown as what it is."""
    shown = "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in str(value))
    return html.escape(shown, quote=True)
