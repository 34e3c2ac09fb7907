"""From the flat options of ``conf/data/*.yaml`` to the dataclasses that hold what belongs together."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar, get_type_hints

T = TypeVar("T")


def take_fields(kind: type[T], options: dict[str, Any], **option_of: str) -> T:
    """A dataclass ``kind`` of the options named as its fields; they are taken out of ``options``.

    Args:
        option_of: field -> its option, where the two have different names.

    A field without an option keeps its default.
    """
    names = {field.name: option_of.get(field.name, field.name) for field in fields(kind)}  # type: ignore[arg-type]
    return kind(**{field: options.pop(option) for field, option in names.items() if option in options})


def kinds_of(kind: type, **option_of: str) -> dict[str, Any]:
    """Option -> annotation, of the options that ``take_fields`` takes."""
    return {option_of.get(name, name): annotation for name, annotation in get_type_hints(kind).items()}
