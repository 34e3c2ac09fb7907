"""Dataclasses as JSON and back by their type hints: what a job's head tells its workers. Pure; nothing is executed.

``decode(kind, encode(value)) == value`` for dataclasses of plain values, fractions, paths, bytes, tuples, lists, ranges
and mappings of texts, and for the two kinds of ``Timeline``. Private fields are left out and get their defaults.
"""

from __future__ import annotations

import base64
import os
import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from vfi_pipeline.media.timeline import Moments, SourceTimes, Timeline

T = TypeVar("T")


def encode(value: Any) -> Any:
    """``value`` as what JSON holds. Paths become absolute: whoever reads them may stand elsewhere.

    Raises:
        TypeError: if it has no place here.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Fraction):
        return str(value)
    if isinstance(value, Path):
        return os.path.abspath(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, range):
        return {"range": [value.start, value.stop, value.step]}
    if isinstance(value, Moments):
        return {"times": encode(value.times), "rate": encode(value.rate), "moments": encode(value.moments)}
    if isinstance(value, Timeline):
        return {name: encode(getattr(value, name)) for name in ("times", "rate", "slowdown", "begin", "end")}
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: encode(getattr(value, each.name)) for each in fields(value) if each.name[0] != "_"}
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: encode(part) for key, part in value.items()}
    if isinstance(value, Sequence):
        return [encode(part) for part in value]
    raise TypeError(f"{type(value).__name__} has no place in a job's description")


def decode(kind: type[T], plain: Any) -> T:
    """The value of type ``kind`` that ``encode`` made ``plain`` of.

    Raises:
        ValueError: if ``plain`` is of another form, which is named.
    """
    value: T = _decode(kind, plain, getattr(kind, "__name__", str(kind)))
    return value


def _decode(kind: Any, plain: Any, where: str) -> Any:
    origin, parts = get_origin(kind), get_args(kind)
    if kind is Any:
        return plain
    if origin in (Union, types.UnionType):
        return _either(parts, plain, where)
    if kind is type(None) or kind in (bool, int, str):
        return _plain(kind, plain, where)
    if kind is float:
        return float(_plain((int, float), plain, where))
    if kind is Fraction:
        return _read(Fraction, _plain(str, plain, where), where)
    if kind is Path:
        return Path(_plain(str, plain, where))
    if kind is bytes:
        return _read(lambda text: base64.b64decode(text, validate=True), _plain(str, plain, where), where)
    if kind is Timeline:
        return _timeline(_plain(dict, plain, where), where)
    if is_dataclass(kind):
        return _dataclass(kind, _plain(dict, plain, where), where)
    if origin in (dict, Mapping):
        return {key: _decode(parts[1], part, f"{where}.{key}") for key, part in _plain(dict, plain, where).items()}
    if origin is Sequence and isinstance(plain, dict):
        bounds = _decode(tuple[int, int, int], plain.get("range"), where)
        return _read(lambda three: range(*three), bounds, where)
    if origin is tuple and parts[-1] is not Ellipsis:
        items = _plain(list, plain, where)
        if len(items) != len(parts):
            raise ValueError(f"{where} has {len(items)} parts, not {len(parts)}")
        return tuple(_decode(part, each, where) for part, each in zip(parts, items))
    if origin in (tuple, list, Sequence):
        items_of_list = [_decode(parts[0], each, where) for each in _plain(list, plain, where)]
        return items_of_list if origin is list else tuple(items_of_list)
    raise TypeError(f"{where}: {kind} has no place in a job's description")


def _either(kinds: Sequence[Any], plain: Any, where: str) -> Any:
    problem = ValueError(f"{where} is of no kind that it may be")
    for kind in kinds:
        try:
            return _decode(kind, plain, where)
        except ValueError as error:
            problem = error if kind is not type(None) else problem
    raise problem


def _plain(kind: Any, plain: Any, where: str) -> Any:
    if not isinstance(plain, kind) or (isinstance(plain, bool) and kind is not bool):
        raise ValueError(f"{where} is a {type(plain).__name__}")
    return plain


def _read(kind: Any, plain: Any, where: str) -> Any:
    try:
        return kind(plain)
    except (ValueError, TypeError, ZeroDivisionError) as error:
        raise ValueError(f"{where}: {error}") from None


def _dataclass(kind: Any, plain: dict[str, Any], where: str) -> Any:
    hints = get_type_hints(kind)
    names = {each.name for each in fields(kind) if each.init and each.name[0] != "_"}
    if plain.keys() != names:
        raise ValueError(f"{where} lacks or has beyond its fields: {', '.join(sorted(plain.keys() ^ names))}")
    return kind(**{name: _decode(hints[name], plain[name], f"{where}.{name}") for name in plain})


def _timeline(plain: dict[str, Any], where: str) -> Timeline:
    times = _decode(SourceTimes, plain.get("times"), f"{where}.times")
    rate = _decode(Fraction, plain.get("rate"), f"{where}.rate")
    if "moments" in plain:
        return Moments(times, rate, _decode(tuple[Fraction, ...], plain["moments"], f"{where}.moments"))
    slowdown, begin, end = (_decode(Fraction, plain.get(name), where) for name in ("slowdown", "begin", "end"))
    return Timeline(times, rate, slowdown, begin, end)
