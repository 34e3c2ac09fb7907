"""From ``argv`` to plain option values. Pure.

The product's own ``key=value`` words are read here, not by Hydra's override grammar, so that a value is whatever the
user typed: quotes, commas, brackets, ``=``, spaces and letters of any script are part of it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from vfi_pipeline.errors import UserError
from vfi_pipeline.jobs.values import unknown

# What fingers already know from other tools (RIFE, rife-ncnn, video2x, Flowframes, ffmpeg).
ALIASES = {
    "i": "input", "video": "input", "img": "input", "in": "input",
    "o": "output", "out": "output",
    "y": "overwrite",
    "factor": "multi", "m": "multi", "interpolate_factor": "multi", "frame_rate_mul": "multi",
    "slow": "slowmo", "slow_motion": "slowmo",
    "ss": "start", "from": "start", "to": "end",
    "scene_thresh": "scene_threshold", "scenechange": "scene",
    "vcodec": "codec", "c": "codec", "encoder": "codec",
    "pixel_format": "pix_fmt",
    "dry": "dry_run",
    "template": "name",
}  # fmt: skip
# Shorthands that stand for a whole setting.
SHORTHANDS = {"fp16": ("precision", "fp16"), "half": ("precision", "fp16"), "bf16": ("precision", "bf16"),
              "uhd": ("scale", "0.5")}  # fmt: skip
SWITCHES = frozenset(
    ("overwrite", "scene", "dedup", "deinterlace", "allow_damaged", "dry_run", "benchmark", "status", "resume",
     "check_space", "loop", "extrapolate", "save_maps", "add_first", *SHORTHANDS)
)  # fmt: skip
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


def parse(argv: Sequence[str], known: Collection[str], groups: Mapping[str, Collection[str]]) -> CommandLine:
    """Read the words after the program's name.

    Accepts ``key=value``, ``--key=value``, ``--key value``, ``--switch``, ``--no-switch`` and bare file names (inputs);
    after ``--`` there are only file names.

    Args:
        known: the option names, without groups' entries.
        groups: group name -> names of its choices (``model`` -> ``fit``, ``blend``...).

    Raises:
        UserError: an option nobody knows (naming the nearest), one given twice, or one without its value.
    """
    line = CommandLine()
    words = list(argv)
    while words:
        word = words.pop(0)
        if word == "--":
            for name in words:
                _set(line, "input", name)
            break
        if word in ("-h", "--help", "help", "-help") and not os.path.lexists(word):
            line.help = True
        elif word == "status" and not os.path.lexists(word):
            _set(line, "status", "on")
        elif word.startswith("-") and "=" not in word and not os.path.lexists(word):
            _dashed(line, word.lstrip("-"), words, known, groups)
        else:
            key, equals, value = word.lstrip("-").partition("=") if not os.path.lexists(word) else (word, "", "")
            # A bare name, or something that cannot be an option's name, is a file.
            if not equals or not _KEY.fullmatch(key):
                _set(line, "input", word)
            else:
                _assign(line, key, value, known, groups)
    return line


def _dashed(line: CommandLine, key: str, words: list[str], known: Collection[str], groups: Mapping) -> None:
    name = _name(key)
    if name.startswith("no_") and _name(name[3:]) in SWITCHES:
        _set(line, _name(name[3:]), "off")
    elif name in SWITCHES:
        stated = bool(words) and words[0].lower() in ("on", "off", "true", "false", "yes", "no", "1", "0")
        _assign(line, name, words.pop(0) if stated else "on", known, groups)
    elif not (name in known or name in groups or name == "exp" or "." in name):
        raise unknown(f"-{key}" if len(key) == 1 else f"--{key}", [f"--{k}" for k in (*known, *groups)])
    elif not words:
        raise UserError(f"--{key} needs a value.", f"{name}=... (python interpolate.py --help has examples).")
    else:
        _assign(line, key, words.pop(0), known, groups)


def _assign(
    line: CommandLine, key: str, value: str, known: Collection[str], groups: Mapping[str, Collection[str]]
) -> None:
    name = _name(key)
    if name in SHORTHANDS:
        name, value = SHORTHANDS[name]
    if name == "exp":
        if not re.fullmatch("[1-9]", value):
            raise UserError(f"exp={value} is not a power of two.", "multi=4 (exp=2 means the same).")
        name, value = "multi", str(2 ** int(value))
    group, dot, entry = name.partition(".")
    if dot and group in groups:
        if any(part.startswith("_") for part in entry.split(".")) or "${" in value:
            raise UserError(
                f"{name} cannot be set on the command line.", f"{group}=<one of {', '.join(groups[group])}>."
            )
        line.nested[name] = value
    elif name in groups:
        if value not in groups[name]:
            raise unknown(value, groups[name], kind=name)
        _set(line, name, value)
    elif name in known:
        _set(line, name, value)
    else:
        raise unknown(key, (*known, *groups))


def _set(line: CommandLine, name: str, value: str) -> None:
    if name == "input":
        line.inputs.append(value)
    elif name in line.values and line.values[name] != value:
        raise UserError(f"{name} was given twice: {line.values[name]} and {value}.", f"{name}={value} alone.")
    else:
        line.values[name] = value


def _name(key: str) -> str:
    plain = key.replace("-", "_")
    return ALIASES.get(plain, plain)
