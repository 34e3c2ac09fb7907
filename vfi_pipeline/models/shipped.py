"""Weights that come with the program, by name; their hashes stand beside them in ``weights/index.json``."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vfi_pipeline.errors import BAD_INPUT, UserError

# Which model of conf/model runs weights of which kind.
MODELS = {"warping_ode": "node", "flow": "flow", "single_image": "deepsim"}

FOLDER = Path(__file__).resolve().parent.parent / "weights"


def shipped() -> dict[str, dict[str, str]]:
    """Name -> {file, sha256} of all weights that came with the program."""
    index = FOLDER / "index.json"
    return json.loads(index.read_text(encoding="utf-8")) if index.is_file() else {}


def locate(weights: str | Path, option: str = "weights") -> tuple[Path, str | None]:
    """The file behind a shipped name or a path, and the SHA-256 that it must have (None for the user's own file).

    ``option`` is what the user typed it for: ``weights`` or ``style``.

    Raises:
        UserError: if it is neither a file nor a known name.
    """
    path, known = Path(weights), shipped()
    if str(weights) in known and not path.is_file():
        entry = known[str(weights)]
        return FOLDER / entry["file"], entry["sha256"]
    if not path.is_file():
        fitting = [name for name in known if (kind_of(name) == "style") == (option == "style")]
        names = ", ".join(fitting) or "none"
        raise UserError(
            f"{option}={weights} is neither a file nor a known name.", f"a path, or one of: {names}.", BAD_INPUT
        )
    return path, None


def model_of(weights: str | Path) -> str | None:
    """Which ``model=`` runs these weights, read from the file's header; None if it does not say.

    Raises:
        UserError: if there is no such file or name.
    """
    return MODELS.get(kind_of(weights) or "")


def kind_of(weights: str | Path, option: str = "weights") -> str | None:
    """The kind of model in a weights file (``models.checkpoint.BUILDERS``), from its header; None if it has none.

    Raises:
        UserError: if there is no such file or name; ``option`` is what it was typed for.
    """
    kind = _config(weights, option).get("kind")
    return None if kind is None else str(kind)


def animates_one(config: Mapping[str, Any]) -> bool:
    """Whether a model of this configuration looks at the first picture only: it animates one, and knows of no other."""
    field = config.get("field")
    return isinstance(field, Mapping) and field.get("conditioning") == "first"


def refuse_for_films(weights: str | Path) -> None:
    """UserError if these weights look at the first frame only: between two frames of a film they move what is seen to
    somewhere else than the second one.

    Raises:
        UserError: also if there is no such file or name.
    """
    if animates_one(_config(weights)):
        line = f"python interpolate.py input=picture.png duration=2 {shlex.quote(f'weights={weights}')}"
        raise UserError(
            f"{weights} looks at the first picture only and animates one (field.conditioning=first): it does not know "
            "where the next frame of a film is.",
            f"{line}; films take weights trained with field.conditioning=both.",
            BAD_INPUT,
        )


def _config(weights: str | Path, option: str = "weights") -> dict[str, Any]:
    """The configuration in the file's header; empty if there is none to be read."""
    path, _ = locate(weights, option)
    try:
        with open(path, "rb") as file:
            # safetensors: the header's length, 8 bytes, then the header, JSON.
            length = int.from_bytes(file.read(8), "little")
            facts = json.loads(file.read(length))["__metadata__"] if length < 1 << 24 else {}
        found = json.loads(facts["config"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}
