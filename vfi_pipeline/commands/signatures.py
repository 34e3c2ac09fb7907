"""What the classes and functions that a configuration names take, by their annotations."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.errors import HydraException
from hydra.utils import get_object

NUMBER_KINDS = (int, float)


def parameters_of(target: str) -> dict[str, Any]:
    """Name -> annotation of what ``target`` takes, ``**`` for any other name; empty if it cannot be imported.

    Where ``**options`` are handed on, what the classes above or the class that is returned take joins; a module whose
    functions hand them on to several classes has ``option_kinds()``.
    """
    try:
        found = get_object(target)
    except (HydraException, ImportError, AttributeError, ValueError):
        return {}
    further = getattr(inspect.getmodule(found), "option_kinds", None)
    if inspect.isclass(found) or further is None:
        return _parameters(found)
    return {**_parameters(found), **further()}


def _parameters(found: Any) -> dict[str, Any]:
    makers = [found]
    if inspect.isclass(found):
        makers = [vars(kind)["__init__"] for kind in found.__mro__ if "__init__" in vars(kind) and kind is not object]
    kinds: dict[str, Any] = {}
    for maker in makers:
        try:
            parameters, hints = inspect.signature(maker).parameters.values(), typing.get_type_hints(maker)
        except (NameError, TypeError, ValueError, AttributeError):
            return kinds
        named = [one for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
        kinds = {**{one.name: hints[one.name] for one in named if one.name in hints}, **kinds}
        rest = [hints.get(one.name, Any) for one in parameters if one.kind is one.VAR_KEYWORD]
        if not rest:
            return kinds
        if not inspect.isclass(found):
            return {**_parameters(hints["return"]), **kinds} if rest == [Any] else {"**": rest[0], **kinds}
    return kinds


def permits(annotation: Any, value: Any) -> bool:
    """Whether a value of a YAML file is of the annotation's kind; where that cannot be told, it is.

    A list stands for tuples and sequences, a whole number for a float, and 8.0 for 8.
    """
    if annotation is Any or isinstance(annotation, (typing.TypeVar, str)):
        return True
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return any(permits(one, value) for one in arguments)
    if origin is typing.Annotated:
        return permits(arguments[0], value)
    if origin is typing.Literal:
        return value in arguments
    kind = origin or annotation
    if kind is type(None) or value is None:
        return kind is type(None) and value is None
    if kind is float:
        return isinstance(value, NUMBER_KINDS) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, NUMBER_KINDS) and not isinstance(value, bool) and value == int_or_none(value)
    if kind in (bool, str):
        return isinstance(value, kind)
    if isinstance(value, Mapping):
        return True  # of a class of its own, which looks at what it gets
    if isinstance(value, list):
        if not inspect.isclass(kind) or kind in (Mapping, dict) or not issubclass(kind, Sequence | set | frozenset):
            return kind is typing.Iterable or getattr(kind, "__name__", "") in ("Iterable", "Collection")
        elements = [one for one in arguments if one is not Ellipsis]
        return not elements or all(any(permits(one, element) for one in elements) for element in value)
    if isinstance(value, str):
        return getattr(kind, "__name__", "") in ("Path", "PurePath", "PathLike", "object")
    return kind is object


def int_or_none(value: float) -> int | None:
    """The whole number that ``value`` is, or None."""
    try:
        return int(value) if value == int(value) else None
    except (ValueError, OverflowError):  # nan, inf
        return None
