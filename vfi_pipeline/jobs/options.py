"""The options of ``interpolate.py`` as typed, checked values."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.jobs import values

AUDIO = ("keep", "drop", "stretch", "silence")
PRECISIONS = ("auto", "fp32", "fp16", "bf16")


@dataclass(frozen=True)
class Options:
    """What the user asked for; one field per option of ``conf/interpolate.yaml``, which holds the defaults.

    Exactly one of ``fps``, ``multi``, ``slowmo`` and ``at`` is set. Times are seconds from the start of the film.
    """

    inputs: tuple[str, ...]
    output: str | None
    name: str
    overwrite: bool
    fps: Fraction | None
    multi: Fraction | None
    slowmo: Fraction | None
    at: tuple[Fraction, ...] | None
    audio: str | None
    subtitles: str
    input_fps: Fraction | None
    start: Fraction | None
    end: Fraction | None
    stream: int | None
    codec: str | None
    crf: float | None
    preset: str | None
    pix_fmt: str | None
    scene: bool
    scene_threshold: float
    cuts: str | None
    cut: str
    dedup: bool
    shutter: Fraction | None
    size: tuple[int, int] | Fraction | None
    fit_size: str | None
    mask: str | None
    overlay: bool
    max_gap: Fraction | None
    deinterlace: str
    allow_damaged: bool
    max_pixels: int
    device: str
    precision: str
    scale: float
    weights: str | None
    segment: Fraction
    resume: bool
    check_space: bool
    dry_run: bool
    benchmark: bool
    status: bool
    report: str | None

    @property
    def timing(self) -> str:
        """The timing option as typed, for messages and names: ``fps=60``."""
        if self.at is not None:
            return f"at={values.moments_text(self.at)}"
        if self.fps is not None:
            return f"fps={values.rate_text(self.fps)}"
        name, factor = ("multi", self.multi) if self.multi is not None else ("slowmo", self.slowmo)
        return f"{name}={float(factor or 0):g}"


def read_options(inputs: tuple[str, ...], texts: Mapping[str, object]) -> Options:
    """Check and convert the option texts.

    Args:
        inputs: the inputs as typed.
        texts: option name -> text or plain value; None, ``""`` and ``null`` mean: not given.

    Raises:
        UserError: naming the option, what is wrong and what would fit.
    """
    given = {key: str(value) for key, value in texts.items() if value is not None and str(value) not in ("", "null")}

    def maybe(name, convert, *args):
        return convert(name, given[name], *args) if name in given else None

    def on(name: str) -> bool:
        return values.switch(name, given.get(name, "off"))

    status = on("status")
    if not inputs and not (status and "output" in given):
        raise UserError("No input was given.", "python interpolate.py input=clip.mp4 fps=60 (--help shows more).")
    timing = [name for name in ("fps", "multi", "slowmo", "at") if name in given]
    if len(timing) > 1:
        raise UserError(
            f"{' and '.join(timing)} were both given; one of them decides the timing.", f"{timing[0]}= alone."
        )
    if not timing and not status:
        raise UserError(
            "How smooth? No fps=, multi= or slowmo= was given.",
            "fps=60, multi=2 (twice the frames, same duration) or slowmo=4 (same rate, four times as long); "
            "at=12.48 for one frame of a film; duration=2 to animate pictures.",
        )
    if "at" in given:
        for name in ("start", "end", "audio", "segment"):
            if name in given and not (name == "segment" and given[name] == "20"):
                raise UserError(f"{name}= has no meaning beside at=, which names each frame.", f"leave out {name}=.")
        given["audio"] = given["subtitles"] = "drop"
    audio = maybe("audio", values.choice, AUDIO)
    if audio in ("stretch", "silence") and "slowmo" not in given:
        raise UserError(
            f"audio={audio} only makes sense in slow motion: fps= and multi= keep the duration.", "audio=keep."
        )
    if audio == "keep" and "slowmo" in given:
        raise UserError("Slow motion cannot keep the sound as it is.", "audio=stretch, audio=silence or audio=drop.")
    start, end = maybe("start", values.moment), maybe("end", values.moment)
    if end is not None and end <= (start or 0):
        raise UserError(f"end={given['end']} is not after the start.", f"end={float((start or 0) + 10):g}.")
    return Options(
        inputs=inputs,
        output=given.get("output"),
        name=_template(
            given.get("name")
            or (
                "{stem}_slow{slowmo}x.{ext}"
                if "slowmo" in given
                else "{stem}_at_{at}.{ext}"
                if "at" in given
                else "{stem}_{fps}fps.{ext}"
            )
        ),
        overwrite=on("overwrite"),
        fps=maybe("fps", values.rate),
        multi=maybe("multi", values.factor),
        slowmo=maybe("slowmo", values.factor),
        at=maybe("at", values.moments),
        audio=audio,
        subtitles=values.choice("subtitles", given["subtitles"], ("keep", "drop")),
        input_fps=maybe("input_fps", values.rate),
        start=start,
        end=end,
        stream=maybe("stream", values.whole, 0, 999),
        codec=given.get("codec"),
        crf=maybe("crf", values.real, 0, 255),
        preset=given.get("preset"),
        pix_fmt=given.get("pix_fmt"),
        scene=on("scene"),
        scene_threshold=values.real("scene_threshold", given["scene_threshold"], 0, 1),
        cuts=given.get("cuts"),
        cut=values.choice("cut", given["cut"], ("hold", "blend")),
        dedup=on("dedup"),
        shutter=_shutter(given),
        size=maybe("size", values.size),
        fit_size=_fit_size(given),
        mask=given.get("mask"),
        overlay=_overlay(given.get("overlay", "auto")),
        max_gap=_gap(given["max_gap"]),
        deinterlace=_deinterlace(given["deinterlace"]),
        allow_damaged=on("allow_damaged"),
        max_pixels=values.whole("max_pixels", given["max_pixels"], 1, 10**10),
        device=_device(given["device"]),
        precision=values.choice("precision", given["precision"], PRECISIONS),
        scale=values.real("scale", given["scale"], 0.05, 4),
        weights=given.get("weights"),
        segment=values.moment("segment", given["segment"]) or Fraction(20),
        resume=on("resume"),
        check_space=on("check_space"),
        dry_run=on("dry_run"),
        benchmark=on("benchmark"),
        status=status,
        report=given.get("report"),
    )


FIELDS = ("stem", "fps", "multi", "slowmo", "at", "model", "ext", "folder", "source_ext")


def _template(text: str) -> str:
    names = re.findall(r"\{([^{}]*)\}", text)
    wrong = [name for name in names if name not in FIELDS]
    rest = re.sub(r"\{[^{}]*\}", "", text)
    if wrong or "{" in rest or "}" in rest or "/" in text or "\0" in text:
        raise UserError(
            f"name={text} is not a name template.",
            f"name={{stem}}_{{fps}}fps.{{ext}} (fields: {', '.join(FIELDS)}; folders go into output=).",
        )
    return text


def _shutter(given: Mapping[str, str]) -> Fraction | None:
    text = given.get("shutter", "off").strip().lower()
    return None if text in ("off", "false", "no", "none", "0") else values.angle("shutter", text)


def _fit_size(given: Mapping[str, str]) -> str | None:
    if "fit_size" not in given:
        return None
    fit = values.choice("fit_size", given["fit_size"], ("crop", "pad", "stretch"))
    if "size" not in given:
        raise UserError(f"fit_size={fit} needs a size to fit to.", f"size=1280x720 fit_size={fit}.")
    return fit


def _overlay(text: str) -> bool:
    if text.strip().lower() == "auto":
        return True
    try:
        return values.switch("overlay", text)
    except UserError:
        raise UserError(
            f"overlay={text} is not known.",
            "overlay=auto (what stays over a moving picture is left alone) or overlay=off; mask=IMAGE to say where.",
        ) from None


def _deinterlace(text: str) -> str:
    if text.strip().lower() in ("auto", "film"):
        return text.strip().lower()
    try:
        return "on" if values.switch("deinterlace", text) else "off"
    except UserError:
        raise UserError(
            f"deinterlace={text} is not known.",
            "deinterlace=auto (looks), on (one picture per field), film (inverse telecine) or off.",
        ) from None


def _gap(text: str) -> Fraction | None:
    if text.strip().lower() in ("off", "false", "no", "none", "inf"):
        return None
    try:
        return values.moment("max_gap", text)
    except UserError:
        raise UserError(f"max_gap={text} is neither a time nor off.", "max_gap=0.5 (seconds) or max_gap=off.") from None


def _device(text: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|(cuda|xpu)(:\d{1,3})?", text):
        raise UserError(
            f"device={text} is not known.",
            "device=auto, device=cpu, device=cuda, device=cuda:1, device=mps or device=xpu.",
        )
    return text


def read_cuts(path: Path) -> tuple[int | Fraction, ...]:
    """The cut list of a JSON file: ints are source frame numbers from 0, Fractions are seconds of the film.

    The file is a list, or an object whose ``cuts`` is one. An entry is a frame number, a time as text (``"0:01:02"``),
    or an object with ``frame`` or ``time``. A cut names the first frame of the new shot. Nothing in it is executed.

    Raises:
        UserError: if the file is missing, is no JSON, or holds anything else.
    """
    example = 'write [24, 48] or {"cuts": [{"frame": 24}, {"time": "0:00:02"}]}.'
    try:
        if path.stat().st_size > 50_000_000:
            raise UserError(f"cuts={path} is larger than any cut list.", example, BAD_INPUT)
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
