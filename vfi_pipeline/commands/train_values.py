"""Whether the values of a composed configuration can be used: none missing, and each of its default's kind."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError, InterpolationResolutionError, OmegaConfBaseException

from vfi_pipeline.commands.signatures import parameters_of, permits
from vfi_pipeline.errors import USAGE, UserError

MISSING = "???"

_READS_OTHERWISE = re.compile(r"|[-+.\d_e]*\d[-+.\d_e]*|true|false|null|nan|[-+]?inf", re.IGNORECASE)
"""Texts that are no text without quotes."""


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


def check_kinds(cfg: DictConfig, default: DictConfig) -> None:
    """UserError for the first value of ``cfg`` that is of another kind than ``default``'s, and that what takes it does
    not permit either: a word where a number belongs, say.

    Args:
        cfg: as composed, references kept.
        default: the same choices of groups without any other value.
    """
    values, plain = OmegaConf.to_container(cfg), OmegaConf.to_container(default)
    _compare(default, cast(dict[str, Any], values), cast(dict[str, Any], plain), "")


def _compare(default: DictConfig, values: Mapping[str, Any], plain: Mapping[str, Any], prefix: str) -> None:
    target = values.get("_target_", plain.get("_target_"))
    changed = [name for name, value in values.items() if name in plain and value != plain[name] and name != "_target_"]
    kinds = parameters_of(target) if changed and isinstance(target, str) else {}
    for name in changed:
        key, value, usual = f"{prefix}{name}", values[name], plain[name]
        if isinstance(value, Mapping) and isinstance(usual, Mapping):
            _compare(default, value, usual, f"{key}.")
            continue
        if isinstance(usual, str) and "${" in usual:
            usual = _resolved(default, key)
        lacks = complaint(value, usual, kinds.get(name, kinds.get("**", Any)))
        if lacks:
            such = "" if usual in (None, [], MISSING) or isinstance(usual, Mapping) else f", such as {written(usual)}"
            raise UserError(f"{key}={written(value)} is {lacks}.", f"{key}= {WANTED[lacks]}{such}.", USAGE)


NUMBER, WHOLE, TRUTH, LIST, NUMBERS, GROUP = (
    "no number", "no whole number", "neither true nor false", "no list", "no list of numbers", "no group of values",
)  # fmt: skip
WANTED = {
    NUMBER: "a number", WHOLE: "a whole number", TRUTH: "true or false", LIST: "a list in brackets",
    NUMBERS: "numbers in brackets", GROUP: "null, or give its values one by one, with a dot before their names",
}  # fmt: skip


def complaint(value: Any, usual: Any, annotation: Any = Any) -> str | None:
    """What is wrong with ``value`` where ``usual`` is the default; None if nothing is, or it cannot be told.

    Args:
        annotation: of the parameter that takes it; what it permits is right whatever the default is.
    """
    told = annotation is not Any
    if value == usual or value == MISSING or isinstance(value, str) and "${" in value:
        return None
    if isinstance(value, list) and any(isinstance(one, str) and "${" in one for one in value):
        return None
    if told and permits(annotation, value):
        return None
    if value is None and isinstance(usual, bool):
        return None  # as good as false
    if usual is None or value is None or usual == []:
        return _by_annotation(value, annotation) if told else None
    if isinstance(usual, bool):
        return None if isinstance(value, (bool, int, float)) else TRUTH
    if is_number(usual):
        if not is_number(value):
            return NUMBER
        return WHOLE if told and isinstance(value, float) and not permits(annotation, value) else None
    if isinstance(usual, list):
        if not isinstance(value, list):
            return NUMBERS if all(map(is_number, usual)) else LIST
        return NUMBERS if all(map(is_number, usual)) and not all(map(is_number, value)) else None
    return GROUP if isinstance(usual, Mapping) and value else None


def _by_annotation(value: Any, annotation: Any) -> str | None:
    """What a value lacks that the annotation does not permit, if that takes nothing but numbers, truths or lists."""
    samples = {NUMBER: 0.5, WHOLE: 1, TRUTH: True, NUMBERS: [1, 1]}
    taken = [lacks for lacks, sample in samples.items() if permits(annotation, sample)]
    if is_number(value) and not isinstance(value, int) and taken and taken[0] == WHOLE:
        return WHOLE
    if permits(annotation, "a word") or not taken:
        return None
    return NUMBER if taken[0] == WHOLE else taken[0]


def is_number(value: Any) -> bool:
    """Whether it is a number, and not a truth."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def written(value: Any) -> str:
    """As a user types it."""
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}: {written(one)}" for key, one in value.items()) + "}"
    if isinstance(value, str):
        return f"'{value}'" if _READS_OTHERWISE.fullmatch(value) else value
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _resolved(default: DictConfig, key: str) -> Any:
    try:
        value = OmegaConf.select(default, key)
    except OmegaConfBaseException:
        return None
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
