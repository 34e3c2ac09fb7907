"""From ``argv`` to plain option values. Pure.

The product's own ``key=value`` words are read here, not by Hydra's override grammar, so that a value is whatever the
user typed: quotes, commas, brackets, ``=``, spaces and letters of any script are part of it.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from vfi_pipeline.errors import UserError
from vfi_pipeline.jobs.meant import ALL, foreign_option, misspelt
from vfi_pipeline.jobs.option_fields import Option
from vfi_pipeline.jobs.option_table import TABLE
from vfi_pipeline.jobs.values import nearest, unknown

_SWITCHED = ("on", "off", "true", "false", "yes", "no", "1", "0")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*")


@dataclass
class CommandLine:
    """What the words mean.

    Attributes:
        values: option name -> text as typed. ``input`` is not here.
        inputs: every input named, in order.
        nested: ``group.key`` -> text, such as ``model.steps``.
        help: whether help was asked for.
    """

    values: dict[str, str] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)
    nested: dict[str, str] = field(default_factory=dict)
    help: bool = False


@dataclass(frozen=True)
class _Names:
    """The words that mean something.

    Attributes:
        option_names: the options.
        table: all that is known of them.
        groups: group -> its choices.
        aliases: another name -> the option.
        shorthands: word -> (option, value).
        switches: options and shorthands that need no value, and the words that are one behind them.
    """

    option_names: Collection[str]
    table: tuple[Option, ...]
    groups: Mapping[str, Collection[str]]
    aliases: Mapping[str, str]
    shorthands: Mapping[str, tuple[str, str]]
    switches: Mapping[str, Collection[str]]

    @classmethod
    def of(
        cls, option_names: Collection[str], groups: Mapping[str, Collection[str]], table: Iterable[Option]
    ) -> _Names:
        rows = tuple(table)
        shorthands = {word: (row.name, value) for row in rows for word, value in row.shorthands.items()}
        return cls(
            option_names=option_names,
            table=rows,
            groups=groups,
            aliases={alias: row.name for row in rows for alias in row.aliases},
            shorthands=shorthands,
            switches={row.name: {*_SWITCHED, *row.kind.words} for row in rows if row.kind.switch}
            | dict.fromkeys(shorthands, _SWITCHED),
        )

    def name(self, key: str) -> str:
        """The option that ``key`` names, if any does."""
        plain = key.replace("-", "_")
        return self.aliases.get(plain, plain)

    def named(self, word: str) -> str:
        """The option whose name ``word`` is or begins with, before a ``=``; ``""`` if it is none."""
        name = self.name(word.lstrip("-").partition("=")[0])
        return name if name in self.option_names or name in self.groups or name == "input" else ""

    def unknown(self, key: str, value: str | None, shown: str = "") -> UserError:
        """The error for an option that nobody knows."""
        every = (*self.option_names, *self.groups)
        if error := foreign_option(key, shown or key, value, self.table, every):
            return error
        near = nearest(key, every)
        if not near:
            return unknown(shown or key, every)
        long = shown.startswith("--")
        behind = "" if value is None else shlex.quote(value)
        suggestions = [f"--{name} {behind}".rstrip() if long else f"{name}={behind or '...'}" for name in near]
        return UserError(f"There is no option {shown or key!r}.", f"{' or '.join(suggestions)} ({ALL}).")


def parse(
    argv: Sequence[str],
    option_names: Collection[str],
    groups: Mapping[str, Collection[str]],
    table: Iterable[Option] = TABLE,
) -> CommandLine:
    """Read the words after the program's name.

    Accepts ``key=value``, ``--key=value``, ``--key value``, ``--switch``, ``--no-switch`` and bare file names (inputs);
    after ``--`` there are only file names.

    Args:
        option_names: the option names, without groups' entries.
        groups: group name -> names of its choices (``model`` -> ``fit``, ``blend``...).
        table: tells of each option its other names and whether it is a switch.

    Raises:
        UserError: an option nobody knows (naming the nearest), one given twice, or one without its value.
    """
    line = CommandLine()
    names = _Names.of(option_names, groups, table)
    words = list(argv)
    while words:
        word = words.pop(0)
        files = [each for each in (word, *words[:1]) if os.path.lexists(each)]
        if wrong := misspelt(word, words, names.named(word), names.table, files):
            raise wrong
        if word == "--":
            for name in words:
                _set(line, "input", name)
            break
        if word in ("-h", "--help", "help", "-help") and not os.path.lexists(word):
            line.help = True
        elif word == "status" and not os.path.lexists(word):
            _set(line, "status", "on")
        elif word.startswith("-") and "=" not in word and not os.path.lexists(word):
            _dashed(line, word.lstrip("-"), words, names)
        else:
            key, equals, value = word.lstrip("-").partition("=") if not os.path.lexists(word) else (word, "", "")
            # A bare name, or something that cannot be an option's name, is a file.
            if not equals or not _KEY.fullmatch(key):
                if (
                    equals
                    and ":" in key
                    and (wrong := foreign_option(key, key, value, names.table, names.option_names))
                ):
                    raise wrong  # ffmpeg's c:v=...
                _set(line, "input", word)
            else:
                _assign(line, key, value, names)
    return line


def _dashed(line: CommandLine, key: str, words: list[str], names: _Names) -> None:
    name = names.name(key)
    if name.startswith("no_") and names.name(name[3:]) in names.switches:
        _set(line, names.name(name[3:]), "off")
    elif name in names.switches:
        stated = bool(words) and words[0].lower() in names.switches[name]
        _assign(line, name, words.pop(0) if stated else "on", names)
    elif not (name in names.option_names or name in names.groups or name == "exp" or "." in name):
        value = words[0] if words and not words[0].startswith("-") else None
        raise names.unknown(key, value, f"-{key}" if len(key) == 1 else f"--{key}")
    elif not words:
        raise UserError(f"--{key} needs a value.", f"{name}=... (python interpolate.py --help has examples).")
    else:
        _assign(line, key, words.pop(0), names)


def _assign(line: CommandLine, key: str, value: str, names: _Names) -> None:
    name = names.name(key)
    if name in names.shorthands:
        name, value = names.shorthands[name]
    if name == "exp":
        if not re.fullmatch("[1-9]", value):
            raise UserError(f"exp={value} is not a power of two.", "multi=4 (exp=2 means the same).")
        name, value = "multi", str(2 ** int(value))
    group, dot, entry = name.partition(".")
    if dot and group in names.groups:
        if any(part.startswith("_") for part in entry.split(".")) or "${" in value:
            raise UserError(
                f"{name} cannot be set on the command line.", f"{group}= one of {', '.join(names.groups[group])}."
            )
        line.nested[name] = value
    elif name in names.groups:
        if value not in names.groups[name]:
            near = nearest(value, names.groups[name])
            listed = f"one of {', '.join(names.groups[name])}"
            raise UserError(
                f"There is no {name} {value!r}.", f"{name}={near[0]} ({listed})." if near else f"{name}= {listed}."
            )
        _set(line, name, value)
    elif name in names.option_names:
        _set(line, name, value)
    else:
        raise names.unknown(key, value)


def _set(line: CommandLine, name: str, value: str) -> None:
    if name == "input":
        line.inputs.append(value)
    elif name in line.values and line.values[name] != value:
        raise UserError(f"{name} was given twice: {line.values[name]} and {value}.", f"{name}={value} alone.")
    else:
        line.values[name] = value
