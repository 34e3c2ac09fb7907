"""The options of ``interpolate.py`` as typed, checked values: what belongs together is checked here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.jobs import values
from vfi_pipeline.jobs.faces import read_edit
from vfi_pipeline.jobs.option_fields import given_texts, read_fields
from vfi_pipeline.jobs.option_table import Options as Options
from vfi_pipeline.jobs.sources import is_film
from vfi_pipeline.jobs.style import read_style


def read_options(inputs: tuple[str, ...], texts: Mapping[str, object], kind: type[Options] = Options) -> Options:
    """Check and convert the option texts.

    Args:
        inputs: the inputs as typed.
        texts: option name -> text or plain value; None, ``""`` and ``null`` mean: not given.
        kind: the dataclass whose fields are the options.

    Raises:
        UserError: naming the option, what is wrong and what would fit.
    """
    given = given_texts(texts)
    status = values.switch("status", given.get("status", "off"))
    if not inputs and not (status and "output" in given):
        raise UserError("No input was given.", "python interpolate.py input=clip.mp4 fps=60 (--help shows more).")
    timing = [name for name in ("fps", "multi", "slowmo", "at") if name in given]
    if len(timing) > 1:
        raise UserError(
            f"{' and '.join(timing)} were both given; one of them decides the timing.", f"{timing[0]}= alone."
        )
    if not timing and not status:
        others = "at=12.48 for one frame of it" if any(map(is_film, inputs)) else "duration=2 to animate pictures"
        remedy = "fps=60, multi=2 (twice the frames, same duration), slowmo=4 (same rate, four times as long)"
        if "size" in given or "shutter" in given:
            remedy = "multi=1 (the frames of the source, and no others), fps=60"
        raise UserError("How smooth? No fps=, multi= or slowmo= was given.", f"{remedy}, or {others}.")
    if "at" in given:
        for name in ("start", "end", "audio", "segment"):
            if name in given:
                raise UserError(f"{name}= has no meaning beside at=, which names each frame.", f"leave out {name}=.")
        given |= {"audio": "drop", "subtitles": "drop"}
        given.setdefault("name", "{stem}_at_{at}.{ext}")
    if "slowmo" in given:
        given.setdefault("name", "{stem}_slow{slowmo}x.{ext}")
    edit = read_edit(given)
    style = edit or read_style(given)
    options = read_fields(kind, given, inputs=inputs, style=style)
    if options.audio in ("stretch", "silence") and "slowmo" not in given:
        raise UserError(
            f"audio={options.audio} only makes sense in slow motion: fps= and multi= keep the duration.", "audio=keep."
        )
    if options.audio == "keep" and "slowmo" in given:
        raise UserError("Slow motion cannot keep the sound as it is.", "audio=stretch, audio=silence or audio=drop.")
    if options.end is not None and options.end <= (options.start or 0):
        start, end = given.get("start", "0"), given["end"]
        swapped = options.start is not None and 0 < options.end < options.start
        remedy = f"start={end} end={start}." if swapped else "leave out end=."
        raise UserError(f"end={end} is not after the start, {start}.", remedy)
    if options.fit_size is not None and options.size is None:
        raise UserError(
            f"fit_size={options.fit_size} needs a size to fit to.", f"size=1280x720 fit_size={options.fit_size}."
        )
    _refuse_workers(options, given)
    return options


def _refuse_workers(options: Options, given: Mapping[str, str]) -> None:
    """UserError where options of workers do not go together."""
    for name, executors in (("devices", ("local",)), ("address", ("ray",)), ("slurm", ("slurm",)),
                            ("worker_cpus", ("ray", "slurm"))):  # fmt: skip
        if name in given and options.executor not in executors:
            instead = "device=cuda (each worker gets one)" if name == "devices" else f"executor={executors[0]}"
            raise UserError(f"{name}= has no meaning with executor={options.executor}.", f"{instead}.")
    if "devices" in given and "device" in given:
        raise UserError("device= and devices= were both given.", f"devices={given['devices']} alone.")
    if not options.distributed:
        return
    if options.style is not None:
        raise UserError(
            "style= paints each frame from the one before: a film in a style has one worker.",
            "leave executor=, workers= and devices= out, or style=.",
        )
    if options.benchmark:
        raise UserError(
            "benchmark=true measures one process.",
            "leave executor=, workers= and devices= out; python -m benchmarks.workers measures several.",
        )


def read_cuts(given: Path | str) -> tuple[int | Fraction, ...]:
    """The cut list of a JSON file, or as typed (``[24,48]``): ints are source frame numbers from 0, Fractions are
    seconds of the film.

    The file is a list, or an object whose ``cuts`` is one. An entry is a frame number, a time as text (``"0:01:02"``),
    or an object with ``frame`` or ``time``. A cut names the first frame of the new shot. Nothing in it is executed.

    Raises:
        UserError: if the file is missing, is no JSON, or holds anything else.
    """
    path = Path(given)
    typed = str(given).strip()
    example = 'write [24, 48] or {"cuts": [{"frame": 24}, {"time": "0:00:02"}]}.'
    try:
        if typed.startswith("[") and typed.endswith("]") and not path.exists():
            document = json.loads(typed)
        elif path.stat().st_size > 50_000_000:
            raise UserError(f"cuts={path} is larger than any cut list.", example, BAD_INPUT)
        else:
            document = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"cuts={path} cannot be read ({error.strerror}).", "check the name.", BAD_INPUT) from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"cuts={path} is not JSON ({error}).", example, BAD_INPUT) from error
    entries = document.get("cuts") if isinstance(document, dict) else document
    if not isinstance(entries, list):
        raise UserError(f"cuts={path} holds no list of cuts.", example, BAD_INPUT)
    return tuple(_cut(path, entry, example) for entry in entries)


def _cut(path: Path, entry: object, example: str) -> int | Fraction:
    if isinstance(entry, dict):
        frame = entry.get("frame")
        entry = str(entry.get("time")) if frame is None else frame if isinstance(frame, int) else None
    if isinstance(entry, int) and not isinstance(entry, bool) and 0 <= entry < 10**9:
        return entry
    if isinstance(entry, str):
        try:
            return values.moment("time", entry)
        except UserError:
            pass
    raise UserError(f"cuts={path}: {str(entry)[:60]!r} is neither a frame number nor a time.", example, BAD_INPUT)
