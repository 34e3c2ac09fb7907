"""Weights that come with the program, by name; their hashes stand beside them in ``weights/index.json``."""

from __future__ import annotations

import json
import logging
import shlex
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from vfi_pipeline.errors import BAD_INPUT, UserError

log = logging.getLogger(__name__)

# Which model of conf/model runs weights of which kind.
MODELS = {"warping_ode": "node", "flow": "flow", "single_image": "deepsim"}

FOLDER = Path(__file__).resolve().parent.parent / "weights"


def shipped() -> dict[str, dict[str, str]]:
    """Name -> {file, sha256} of all weights that came with the program."""
    path = FOLDER / "index.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def locate(weights: str | Path, option: str = "weights") -> tuple[Path, str | None]:
    """The file behind a shipped name or a path, and the SHA-256 that it must have (None for the user's own file).

    ``option`` is the option that the user typed it for: ``weights`` or ``style``.

    Raises:
        UserError: if it is neither a file nor a known name.
    """
    path, index = Path(weights), shipped()
    if str(weights) in index and not path.is_file():
        entry = index[str(weights)]
        return FOLDER / entry["file"], entry["sha256"]
    if not path.is_file():
        names = ", ".join(name for name in index if (kind_of(name) == "style") == (option == "style")) or "none"
        raise UserError(
            f"{option}={weights} is neither a file nor a known name.", f"a path, or one of: {names}.", BAD_INPUT
        )
    return path, None


def model_of(weights: str | Path) -> str | None:
    """The ``model=`` that runs these weights, by the file's header; None if the header does not say.

    Raises:
        UserError: if there is no such file or name.
    """
    return MODELS.get(kind_of(weights) or "")


def kind_of(weights: str | Path, option: str = "weights") -> str | None:
    """The kind of model in a weights file (``models.checkpoint.BUILDERS``), from its header; None if it has none.

    ``option`` is the option that the user typed it for.

    Raises:
        UserError: if there is no such file or name.
    """
    kind = _config(weights, option).get("kind")
    return None if kind is None else str(kind)


def animates_single_picture(config: Mapping[str, Any]) -> bool:
    """Whether a model of this configuration sees the first picture only, and so animates a single picture."""
    field = config.get("field")
    return isinstance(field, Mapping) and field.get("conditioning") == "first"


def moves_first_picture_only(config: Mapping[str, Any]) -> bool:
    """Whether a model of this configuration makes its frames of the first picture's pixels alone."""
    return config.get("sides") == "first"


def check_for_films(weights: str | Path) -> None:
    """Refuses weights that see the first frame only: what they make between two frames does not lead to the second.

    Weights that see both, but show the pixels of the first alone, get a warning: how far their frames end from the
    second one is a matter of the film.

    Raises:
        UserError: for weights that see one frame, or if there is no such file or name.
    """
    config = _config(weights)
    if animates_single_picture(config):
        line = f"python interpolate.py input=picture.png duration=2 {shlex.quote(f'weights={weights}')}"
        raise UserError(
            f"{weights} looks at the first picture only and animates one (field.conditioning=first): it does not know "
            "where the next frame of a film is.",
            f"{line}; films take weights trained with field.conditioning=both.",
            BAD_INPUT,
        )
    if moves_first_picture_only(config):
        _warn_of_jumps(str(weights))


@cache  # one job may ask several times
def _warn_of_jumps(weights: str) -> None:
    log.warning(
        "%s moves the first frame's pixels alone (net.sides=first): the picture may jump at each frame of the film. "
        "Weights trained with net.sides=both lead to the next frame.",
        weights,
    )


def _config(weights: str | Path, option: str = "weights") -> dict[str, Any]:
    """The configuration in the file's header; empty if the header holds none."""
    path, _ = locate(weights, option)
    try:
        with open(path, "rb") as file:
            # safetensors: the header's length, 8 bytes, then the header, JSON.
            length = int.from_bytes(file.read(8), "little")
            facts = json.loads(file.read(length))["__metadata__"] if length < 1 << 24 else {}
        config = json.loads(facts["config"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return config if isinstance(config, dict) else {}
