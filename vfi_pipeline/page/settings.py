"""What the page's controls say as options of ``interpolate.py``, and the presets that set them. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from vfi_pipeline.errors import UserError
from vfi_pipeline.jobs.option_fields import given_texts
from vfi_pipeline.jobs.option_table import TABLE
from vfi_pipeline.jobs.values import unknown

TIMINGS = {
    "fps": "frames per second",
    "multi": "times the frames",
    "slowmo": "times slower",
}
MODELS = {
    "flow": "Learned motion (best)",
    "blend": "Cross-fade (fast)",
    "hold": "Repeat frames",
}
CONTAINERS = ("as the source", "mp4", "mkv", "mov", "webm")
CODECS = ("automatic", "h264", "hevc", "av1", "vp9", "prores", "ffv1")
SOUNDS = ("automatic", "keep", "stretch", "silence", "drop")


@dataclass(frozen=True)
class Settings:
    """The controls of the page for a film. Texts are as typed; empty means the program's default."""

    timing: str = "fps"
    amount: str = "60"
    model: str = "flow"
    dedup: bool = False
    sound: str = "automatic"
    container: str = "as the source"
    codec: str = "automatic"
    size: str = ""
    start: str = ""
    end: str = ""
    more: str = ""

    def texts(self) -> dict[str, str]:
        """Option -> text.

        Raises:
            UserError: if a control has no such choice, or ``more`` names an option that cannot be set here.
        """
        for what, value, choices in (
            ("timing", self.timing, TIMINGS), ("model", self.model, MODELS), ("container", self.container, CONTAINERS),
            ("codec", self.codec, CODECS), ("sound", self.sound, SOUNDS),
        ):  # fmt: skip
            if value not in choices:
                raise unknown(str(value), choices, kind=what)
        if not self.amount.strip():
            raise UserError("How smooth? No number was given.", "60 frames per second, or one of the presets.")
        texts = {
            self.timing: self.amount,
            "model": self.model,
            "dedup": "on" if self.dedup else None,
            "audio": None if self.sound == "automatic" else self.sound,
            "codec": None if self.codec == "automatic" else self.codec,
            "size": self.size,
            "start": self.start,
            "end": self.end,
        }
        plain = given_texts({name: text.strip() if isinstance(text, str) else text for name, text in texts.items()})
        for name, text in more_options(self.more).items():
            if name in plain and plain[name] != text:
                raise UserError(f"{name} was given twice: {plain[name]} and {text}.", f"leave {name}= out of the box.")
            plain[name] = text
        return plain

    def picture_texts(self) -> dict[str, str]:
        """The options of ``texts`` that decide what a preview shows.

        Raises:
            UserError: as ``texts`` does.
        """
        return {name: text for name, text in self.texts().items() if name not in _OF_THE_FILE}

    @property
    def label(self) -> str:
        """What is made, in a few words: ``60 fps``, ``2x frames``, ``slow motion 4x``."""
        amount = self.amount.strip().lower().removesuffix("x")
        return {"fps": f"{amount} fps", "multi": f"{amount}x frames"}.get(self.timing, f"slow motion {amount}x")

    @property
    def suffix(self) -> str | None:
        """The ending of the result that was asked for, None for the source's."""
        return None if self.container == CONTAINERS[0] else f".{self.container}"


PRESETS: Mapping[str, Settings] = {
    "60 fps": Settings(),
    "2x frames": Settings(timing="multi", amount="2"),
    "Slow motion 4x": Settings(timing="slowmo", amount="4", sound="stretch"),
    "Anime on twos": Settings(timing="multi", amount="2", dedup=True),
    "Archive": Settings(timing="multi", amount="2", container="mkv", codec="ffv1"),
}
"""Each sets every control that it names, and what it leaves alone (size, part of the film) stays."""


def with_preset(settings: Settings, name: str) -> Settings:
    """``settings`` with those of a preset; size, trim, model and further options stay.

    Raises:
        UserError: if there is no such preset.
    """
    if name not in PRESETS:
        raise unknown(str(name), PRESETS, kind="preset")
    preset = PRESETS[name]
    kept = {key: getattr(settings, key) for key in ("model", "size", "start", "end", "more")}
    return replace(preset, **kept)


def preset_of(settings: Settings) -> str | None:
    """The preset whose controls ``settings`` has, if any."""
    return next((name for name in PRESETS if with_preset(settings, name) == settings), None)


_OF_THE_FILE = ("audio", "subtitles", "codec", "crf", "preset", "pix_fmt", "segment")
"""Options that change how the result is stored, and no picture before it is."""

_ELSEWHERE = (
    "input", "output", "name", "model", "overwrite", "report", "status", "dry_run", "benchmark", "completion", "resume",
    "check_space", "max_pixels", "at",
)  # fmt: skip
"""Options that are the page's own business, or would lift a limit that its owner set."""


def allowed_options(table: Sequence = TABLE) -> tuple[str, ...]:
    """The options that may be typed in the box for further ones: those of films that name no file."""
    return tuple(
        row.name
        for row in table
        if row.concerns != "pictures" and not row.kind.file and not row.of_model and row.name not in _ELSEWHERE
    )


def more_options(text: str) -> dict[str, str]:
    """``crf=18 scene_threshold=0.4`` as option -> text.

    Raises:
        UserError: if a word is no option, or one that cannot be set here.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UserError(f"The further options cannot be read ({error}).", "crf=18 scene_threshold=0.4") from error
    allowed, given = allowed_options(), {}
    for word in words:
        name, equals, value = word.removeprefix("--").partition("=")
        name = name.replace("-", "_")
        if not equals:
            raise UserError(f"{word[:60]} has no value.", "crf=18: a name, = and a value.")
        if name not in allowed:
            raise UserError(
                f"{name[:60]}= cannot be set here.", f"one of {', '.join(allowed[:8])}... (docs/page.md lists them)."
            )
        given[name] = value
    return given


# ------------------------------------------------------------------------------------------------------- pictures

PICTURE_MODELS = {
    "fit": "Fitted to each pair (best)",
    "morph": "Morph: motion, light and colour",
    "flow": "Learned motion of films (fast)",
    "blend": "Cross-fade",
}
PICTURE_CONTAINERS = ("mp4", "gif", "webp", "mkv", "webm")


@dataclass(frozen=True)
class PictureSettings:
    """The controls of the page for pictures."""

    duration: str = "2"
    fps: str = "30"
    model: str = "fit"
    loop: bool = False
    smooth: bool = False
    container: str = "mp4"

    def texts(self) -> dict[str, str]:
        """Option -> text.

        Raises:
            UserError: if a control has no such choice.
        """
        for what, value, choices in (
            ("model", self.model, PICTURE_MODELS), ("container", self.container, PICTURE_CONTAINERS),
        ):  # fmt: skip
            if value not in choices:
                raise unknown(str(value), choices, kind=what)
        texts = {
            "duration": self.duration.strip() or "2",
            "fps": self.fps.strip() or "30",
            "model": self.model,
            "loop": "on" if self.loop else None,
            "easing": "smooth" if self.smooth else None,
        }
        return given_texts(texts)

    @property
    def suffix(self) -> str:
        """The ending of the result."""
        return f".{self.container}"


def words_of(inputs: Sequence[str], texts: Mapping[str, str], output: str, report: str) -> tuple[str, ...]:
    """The command line of a job, without the program: one word an option, paths as they are."""
    return (
        *(f"input={path}" for path in inputs),
        *(f"{name}={text}" for name, text in texts.items()),
        f"output={output}",
        f"report={report}",
    )
