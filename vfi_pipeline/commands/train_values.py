"""Whether the values of a composed configuration can be used: none missing, and each of its default's kind. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError, InterpolationResolutionError, OmegaConfBaseException

from vfi_pipeline.errors import USAGE, UserError

MISSING = "???"


def missing(values: Any, prefix: str = "") -> list[str]:
    """The dotted keys that have to be given and are not; sorted, and nothing is resolved.

    Args:
        values: a configuration as written, references kept.
    """
    if isinstance(values, DictConfig):
        values = OmegaConf.to_container(values, resolve=False)
    if values == MISSING:
        return [prefix]
    if not isinstance(values, Mapping):
        return []
    found = [missing(value, f"{prefix}.{key}" if prefix else str(key)) for key, value in values.items()]
    return sorted(sum(found, []))


def check_given(cfg: DictConfig) -> None:
    """UserError that names what is not given, or the first reference that leads nowhere."""
    lacking = missing(cfg)
    if lacking:
        words = " ".join(f"{key}=..." for key in lacking)
        verb = "is" if len(lacking) == 1 else "are"
        raise UserError(f"{', '.join(lacking)} {verb} not given.", f"python train.py {words}", USAGE)
    try:
        OmegaConf.to_container(cfg, resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(*_leads_nowhere(error), USAGE) from error


def _leads_nowhere(error: OmegaConfBaseException) -> tuple[str, str]:
    key, said = error.full_key or "A value", str(error.msg or error).splitlines()[0].rstrip(".")
    said = re.sub(r"^\w+ raised while resolving interpolation: ", "", said).strip('"')
    if isinstance(error, InterpolationKeyError) and "'" in said:
        name = said.split("'")[1]
        return f"{key} is taken from {name}, which is not given.", f"python train.py {key}=..., or +{name}=..."
    if isinstance(error, InterpolationResolutionError):
        return f"{key} cannot be worked out: {said}.", f"python train.py {key}=... without ${{}}."
    return f"{key} cannot be used: {said}.", f"python train.py {key}=..."
