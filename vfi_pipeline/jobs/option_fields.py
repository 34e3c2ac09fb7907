"""An option as a field of a dataclass: its line declares everything about it. Pure.

``crf: float | None = option(NUMBER, OUTPUT, "18", "lower is better")`` declares a typed field whose metadata is an
``Option``. The parser, the help, the page in docs/ and shell completion read these; ``read_fields`` makes the dataclass
from texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Generic, Literal, TypeVar, overload

T = TypeVar("T")
D = TypeVar("D")

Concern = Literal["films", "pictures", "both"]


@dataclass(frozen=True)
class Kind(Generic[T]):
    """How the text of an option becomes a value.

    Attributes:
        read: (name of the option, text) -> value; raises ``UserError``.
        words: values that a shell suggests.
        switch: the name alone means on (``--overwrite``), and ``--no-`` before it off.
        file: the value names a file.
    """

    read: Callable[[str, str], T]
    words: tuple[str, ...] = ()
    switch: bool = False
    file: bool = False


@dataclass(frozen=True)
class Group:
    """Options that the help shows together: a heading, a note in brackets behind it, and lines above the options."""

    title: str
    note: str = ""
    about: tuple[str, ...] = ()


@dataclass(frozen=True)
class Option:
    """One option.

    Attributes:
        name: as typed before ``=``.
        example: a value for the help, or what stands for one (``FILE``); ``""`` for an option that needs none.
        line: what the help says, plain text.
        details: what the page in docs/ says beyond that, Markdown.
        default: the text that is read where the option is not given; None leaves it unset.
        unset: what an option that is left unset means, for the help.
        concerns: an option of ``pictures`` asks for an animation, where one of ``films`` is refused.
        aliases: other names for it, most from other tools.
        shorthands: words that stand for the option with a value (``uhd`` for ``scale=0.5``).
        of_model: it is handed to the model, as ``model.name``.
        changes_frames: frames depend on the value and on nothing else with it, so a job does not go on with another.
    """

    name: str
    kind: Kind[Any]
    group: Group
    example: str
    line: str
    details: str = ""
    default: str | None = None
    unset: str = ""
    concerns: Concern = "both"
    aliases: tuple[str, ...] = ()
    shorthands: Mapping[str, str] = field(default_factory=dict)
    of_model: bool = False
    changes_frames: bool = False


@overload
def option(
    kind: Kind[T], group: Group, example: str, line: str, *, default: str, name: str = "", details: str = "",
    concerns: Concern = "both", aliases: tuple[str, ...] = (), shorthands: Mapping[str, str] = {},
    changes_frames: bool = False,
) -> T: ...  # fmt: skip
@overload
def option(
    kind: Kind[T], group: Group, example: str, line: str, *, unset: str = "", name: str = "", details: str = "",
    concerns: Concern = "both", aliases: tuple[str, ...] = (), shorthands: Mapping[str, str] = {},
    changes_frames: bool = False,
) -> T | None: ...  # fmt: skip
def option(
    kind: Kind[Any], group: Group, example: str, line: str, *, default: str | None = None, name: str = "", **more: Any
) -> Any:
    """A dataclass field for an option; see ``Option``. Its name is the field's unless ``name`` says another.

    To a type checker it is the field's default, which is what reading ``default`` gives, or None.
    """
    row = Option(name, kind, group, example, line, default=default, **more)
    value = None if default is None else kind.read(name, default)
    return field(default=value, metadata={"option": row})


def declared(kind: type) -> dict[str, Option]:
    """Field -> option, of the fields of the dataclass ``kind`` that ``option`` declared, in order."""
    rows = {each.name: each.metadata["option"] for each in fields(kind) if "option" in each.metadata}
    return {name: replace(row, name=row.name or name) for name, row in rows.items()}


def read_fields(kind: type[D], given: Mapping[str, str], **others: Any) -> D:
    """The dataclass ``kind`` from texts.

    Args:
        given: option -> text; options that are missing have their defaults.
        others: fields that are no options.

    Raises:
        UserError: naming the option, what is wrong and what would fit.
    """
    read = {}
    for name, row in declared(kind).items():
        text = given.get(row.name, row.default)
        read[name] = None if text is None else row.kind.read(row.name, text)
    return kind(**others, **read)


def frame_settings(options: Any) -> dict[str, object]:
    """Option -> value, of the options in a dataclass of them that change frames by themselves."""
    return {row.name: getattr(options, name) for name, row in declared(type(options)).items() if row.changes_frames}


def in_groups(rows: Iterable[Option]) -> dict[Group, list[Option]]:
    """The options by group, groups in the order in which they first come."""
    groups: dict[Group, list[Option]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row)
    return groups


def default_of(row: Option) -> str:
    """What holds where the option is not given, in words; ``""`` if there is nothing to say."""
    return row.unset if row.default is None else row.default


def given_texts(texts: Mapping[str, object]) -> dict[str, str]:
    """The options that were given, as text: None, ``""`` and ``null`` mean not given."""
    return {name: str(text) for name, text in texts.items() if text is not None and str(text) not in ("", "null")}


def names(rows: Sequence[Option]) -> tuple[str, ...]:
    """The options' names."""
    return tuple(row.name for row in rows)
