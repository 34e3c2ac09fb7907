"""What ``train.py`` makes of the words after its name before Hydra reads them, and of Hydra's complaints after."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vfi_pipeline.errors import USAGE, UserError
from vfi_pipeline.overrides import as_typed, hint, key_of, merged, quoted

PATHS = frozenset(
    ("ckpt_path", "run_dir", "hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir", "net.init_from")
    + ("data.root", "data.val_root", "data.cache", "data.pairs", "data.first", "data.last")
    + ("data.source", "data.target", "data.textures", "data.mnist", "data.image", "data.primitive", "toy.mnist")
    + ("image", "primitive", "style.image", "training.image", "training.motion", "training.run_dir")
    + ("logger.run_dir", "trainer.default_root_dir", "callbacks.best.dirpath", "callbacks.last.dirpath")
    + ("callbacks.panels.run_dir", "callbacks.clock.run_dir")
)
"""Keys whose values are paths, or perhaps the name of weights or of a drawing; taken as typed."""

TEXTS = frozenset(("data.group",))
"""Keys whose values are regular expressions, taken as typed."""

TYPED = "VFI_TRAIN_TYPED"
"""Environment variable: the keys typed beside the ``ckpt_path=`` of a run that goes on, for all its processes."""

SWEEPING = ("-m", "--multirun")
ASKING = ("-h", "--help", "--hydra-help", "-c", "--cfg", "-i", "--info", "-p", "--package", "-v", "--version")


SWITCHES = (
    "--resolve", "--run", "--shell-completion", "--config-path", "--config-name", "--config-dir",
    "--experimental-rerun", *SWEEPING, *ASKING,
)  # fmt: skip
"""Hydra's own switches; everything else is ``key=value``."""


def words_for_hydra(typed: Sequence[str], conf: Path) -> list[str]:
    """Paths quoted; and the words of a run that goes on in front of what was typed beside its ``ckpt_path=``.

    Raises:
        UserError: if ``ckpt_path=`` names no run, a value was given as ``--key value``, or a group was given a number,
            a truth or nothing in place of a choice.
    """
    for word in typed:
        name = word.partition("=")[0]
        if name.startswith("--") and name not in SWITCHES:
            near = hint(name[2:], configuration_keys(conf)) or name[2:].replace("-", "_")
            raise UserError(f"{name} is no option: values are given as key=value.", f"did you mean {near}=?", USAGE)
        _check_choice(word, conf)
    words = as_typed(typed, PATHS, sweep=is_sweep(typed), texts=TEXTS)
    named = [word.partition("=")[2] for word in typed if key_of(word) == "ckpt_path"]
    if TYPED in os.environ or not named or named[-1].strip("'\"") in ("", "null", "auto"):
        return words
    from vfi_pipeline.training.resume import find_resume

    resume = find_resume(named[-1])
    os.environ[TYPED] = json.dumps([key_of(word) for word in words if key_of(word) not in ("", "ckpt_path")])
    folder = [] if any(key_of(word) == "hydra.run.dir" for word in words) else [f"hydra.run.dir={resume.run_dir}"]
    return merged(resume.words, [*words, *as_typed(folder, PATHS, exists=lambda _: True)])


NO_NAME = re.compile(r"|null|true|false|[-+]?[\d.][\d.e+-]*", re.IGNORECASE)
"""What Hydra takes for a number, a truth or nothing, where a group wants the name of a choice."""


def _check_choice(word: str, conf: Path) -> None:
    """UserError if ``word`` gives a group no name, or takes the group away."""
    name, _, value = word.partition("=")
    group = key_of(word).partition("@")[0]
    if not group or not (conf / group).is_dir():
        return
    options = _options(conf, group)
    if word == f"~{group}":
        raise UserError(f"{word} takes away what has to be there.", _one_of(group, options), USAGE)
    text = value.strip("'\" ")
    if "~" not in name and text not in options and NO_NAME.fullmatch(text):
        raise UserError(f"{word} is none of its choices.", _one_of(group, options), USAGE)


def _options(conf: Path, group: str) -> list[str]:
    return sorted(path.stem for path in (conf / group).glob("*.yaml"))


def _one_of(group: str, options: Sequence[str]) -> str:
    return f"{group}= one of {', '.join(options)}."


def is_sweep(words: Sequence[str]) -> bool:
    """Whether the words ask for a run of each combination."""
    return any(word in SWEEPING for word in words) and not any(word in ASKING for word in words)


@dataclass(frozen=True)
class Beginning:
    """A run as it starts: its folder, claimed; what it goes on from, or None; the words that made its configuration."""

    folder: Any
    resume: Any
    words: list[str]

    def settings(self, composed: Mapping[str, Any]) -> dict[str, Any]:
        """``composed`` with the folder; with the run's own settings, where it goes on and nothing else was typed."""
        from vfi_pipeline.training.resume import restored_settings

        own = dict(composed)
        if self.resume is not None and TYPED in os.environ:
            own = restored_settings(composed, self.resume, json.loads(os.environ[TYPED]))
        return {**own, "run_dir": str(self.folder.path)}


def begin(run_dir: Path, ckpt_path: str | None, words: Sequence[str], chosen: bool) -> Beginning:
    """Claims the run's folder, and finds what it goes on from.

    Args:
        run_dir: where the run goes if it goes on with none; made if it is missing.
        ckpt_path: a run or checkpoint to go on with; ``auto``: what ``run_dir`` holds, if anything.
        words: of the configuration.
        chosen: see ``run_folder.claim``.

    Raises:
        UserError: see ``run_folder.claim`` and ``resume.find_resume``.
    """
    from vfi_pipeline.training.resume import find_resume
    from vfi_pipeline.training.run_folder import claim, relayed

    go_on = ckpt_path == "auto"
    resume = find_resume(ckpt_path) if ckpt_path and not go_on else None
    where, checkpoint = (resume.run_dir, resume.path) if resume else (run_dir, None)
    folder = relayed() or claim(where, chosen, go_on, checkpoint)
    if folder.path != run_dir and run_dir.is_dir() and not any(run_dir.iterdir()):
        run_dir.rmdir()  # Hydra made it for a run that has another folder
    if resume is None and folder.checkpoint is not None:
        resume = find_resume(folder.checkpoint)
    return Beginning(folder, resume, [word for word in words if key_of(word) != "ckpt_path"])


def remedy(problem: str, conf: Path) -> str:
    """What to type instead of what Hydra refuses with ``problem``."""
    listed = "python train.py --cfg job shows every value that can be set, --help the groups."
    if match := re.search(r"Could not (?:override|append to config|delete from config) '([^']+)'", problem):
        near = hint(match[1], configuration_keys(conf))
        if near == match[1]:
            return f"+{near}= adds it, as some choices of groups have it and those made here have not. {listed}"
        return f"did you mean {near}=? {listed}" if near else listed
    if match := re.search(r"Could not find '([^'/]+)/([^']+)'", problem):
        options = _options(conf, match[1])
        near = hint(match[2], options, {})
        return (f"did you mean {match[1]}={near}? " if near else "") + _one_of(match[1], options)
    return listed


def unreadable(word: str, problem: str) -> UserError:
    """What to say of a word that the grammar of Hydra's overrides cannot read, and complains of with ``problem``."""
    key, equals, value = word.partition("=")
    if not equals:
        return UserError(f"{word} has no value.", "values are given as key=value, such as steps=1000.", USAGE)
    if match := re.search(r"while evaluating '.*': (.*)", problem):
        said = f"{word} cannot be read: {match[1]}."
    else:
        said = f"{word} cannot be read."
    inner = value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value.lstrip("'\"")
    in_single = '"' in inner or inner.endswith("\\")
    example = shlex.quote(f"{key}={quoted(inner)}" if in_single else f'{key}="{inner}"')
    brackets = " A list is written [1,2]." if value[:1] == "[" or value[-1:] == "]" else ""
    return UserError(said, f"text with signs goes in quotes inside those of the shell: {example}.{brackets}", USAGE)


def configuration_keys(conf: Path) -> list[str]:
    """Every key that some choice of ``train.py``'s configuration has, dotted."""
    keys: dict[str, None] = {}
    top = yaml.safe_load((conf / "train.yaml").read_text(encoding="utf-8"))
    for path in sorted(conf.glob("*/*.yaml")):
        group = path.parent.name
        if group == "model":  # of interpolate.py
            continue
        text = path.read_text(encoding="utf-8")
        keys.setdefault(group)
        prefix = "" if "@package _global_" in text else f"{group}."
        keys |= dict.fromkeys(_flat(yaml.safe_load(text) or {}, prefix))
    own = {key: value for key, value in top.items() if key not in ("defaults", "hydra")}
    return [*dict.fromkeys([*own, *keys])]


def _flat(values: Mapping[str, Any], prefix: str) -> list[str]:
    keys = []
    for key, value in values.items():
        if key == "defaults" or str(key).startswith("_"):
            continue
        keys.append(f"{prefix}{key}")
        if isinstance(value, Mapping):
            keys += _flat(value, f"{prefix}{key}.")
    return keys
