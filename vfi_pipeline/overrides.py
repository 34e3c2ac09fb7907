"""From what a user types to Hydra's overrides: paths are taken as typed, and a name nobody knows gets a hint. Pure.

Hydra's grammar gives ``= , [ ] { } ( ) : ' "`` and some more a meaning of their own, so that ``data.root=/films/a=b``
is an error there. A value that is a path has no use for that meaning: it is quoted here before Hydra sees it.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

# Words whose text Hydra takes for itself, quotes or not.
_PLAIN = re.compile(r"[A-Za-z0-9_./-]+")
# Texts of that kind that Hydra reads as a number or a constant.
_TYPED = re.compile(r"(?i)[+-]?(\d[\d_]*(\.[\d_]*)?|\.[\d_]+)(e[+-]?\d+)?|[+-]?(inf|nan)|true|false")
# An element of a list: quoted, with commas inside the quotes, or plain.
_PIECE = re.compile(r"\s*(?:'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\")\s*(?=,|$)|[^,]+")
_FUNCTION = re.compile(r"(choice|range|interval|glob|sort|shuffle|tag|extend_list)\(.*\)", re.DOTALL)
_INTERPOLATION = re.compile(r"\$\{.*\}", re.DOTALL)

# Keys that hold a path in one data set and a digit in another.
NUMBERS = ("data.source", "data.target")

# What fingers know from other training programs -> what it is called here.
MEANT = {
    "epochs": "steps", "max_epochs": "steps", "num_epochs": "steps", "n_epochs": "steps", "max_steps": "steps",
    "iters": "steps", "iterations": "steps", "num_steps": "steps", "total_steps": "steps", "num_iterations": "steps",
    "lr": "optimizer.lr", "learning_rate": "optimizer.lr", "learningrate": "optimizer.lr",
    "weight_decay": "optimizer.weight_decay", "betas": "optimizer.betas",
    "warmup": "scheduler.warmup", "warmup_steps": "scheduler.warmup",
    "batch_size": "data.batch_size", "batch": "data.batch_size", "bs": "data.batch_size",
    "workers": "data.workers", "num_workers": "data.workers", "crop": "data.crop", "crop_size": "data.crop",
    "patch_size": "data.crop", "size": "data.size", "image_size": "data.size",
    "root": "data.root", "input": "data.root", "data_root": "data.root", "data_dir": "data.root", "dataset": "data",
    "gpus": "trainer.devices", "devices": "trainer.devices", "num_gpus": "trainer.devices", "device": "trainer",
    "precision": "trainer.precision", "fp16": "trainer.precision", "amp": "trainer.precision",
    "grad_clip": "trainer.gradient_clip_val", "accumulate": "trainer.accumulate_grad_batches",
    "resume": "ckpt_path", "checkpoint": "ckpt_path", "resume_from": "ckpt_path", "ckpt": "ckpt_path",
    "output": "hydra.run.dir", "out": "hydra.run.dir", "output_dir": "hydra.run.dir", "save_dir": "hydra.run.dir",
    "log_dir": "hydra.run.dir", "model": "net", "loss": "objective", "patience": "callbacks.stop.patience",
    "ema": "callbacks.ema.decay", "ema_decay": "callbacks.ema.decay", "wandb": "logger", "log": "logger",
    "random_seed": "seed", "val_every": "validate_every", "save_every": "checkpoint_every",
}  # fmt: skip


def as_typed(
    words: Sequence[str],
    paths: Collection[str],
    sweep: bool = False,
    exists: Callable[[str], bool] = os.path.lexists,
    texts: Collection[str] = (),
) -> list[str]:
    """``key=value`` words with the values of ``paths`` and ``texts`` quoted for Hydra: it reads the very text typed.

    ``null`` and texts that are quoted already stay. In ``[a,b]`` each element is a path; where an element holds a
    comma, what exists decides. ``${...}`` stays an interpolation unless a file has that name.

    Args:
        paths: keys whose values are paths, or lists of them.
        sweep: whether a comma outside a list separates the values of a sweep; a file whose name holds it comes first.
        exists: whether there is a file or folder of that name.
        texts: keys whose values are one text, such as a regular expression: no list, no ``~``. In a sweep commas
            separate plain and quoted texts alone, since an expression may hold some.
    """
    return [_text_word(word, sweep) if key_of(word) in texts else _word(word, paths, sweep, exists) for word in words]


def key_of(word: str) -> str:
    """The configuration key that a word sets, ``+`` and ``~`` in front aside; empty for a switch of Hydra's own."""
    return "" if word.startswith("-") else word.partition("=")[0].lstrip("+~")


def merged(earlier: Sequence[str], later: Sequence[str]) -> list[str]:
    """Both sets of words as one, for a run that goes on: of two words for one key the later one counts.

    A group that is chosen anew (``logger=wandb``) takes the earlier values inside it (``logger.name``) along.
    """
    keys = {key_of(word) for word in later}
    groups = tuple(f"{key}." for key in keys if key and "." not in key)
    kept = [word for word in earlier if key_of(word) not in keys and not key_of(word).startswith(groups or ("\0",))]
    return kept + list(later)


def hint(name: str, known: Iterable[str], meant: Mapping[str, str] = MEANT) -> str | None:
    """What ``name``, which no configuration has, was probably meant to be; None if nothing is near."""
    known = list(known)
    plain = name.lstrip("+~").replace("-", "_")
    for candidate in (plain, plain.rpartition(".")[2]):
        if candidate in meant:
            return meant[candidate]
    near = difflib.get_close_matches(plain, known, n=1, cutoff=0.75)
    if near:
        return near[0]
    # The last part alone: optimizer.learningrate, or lr_ without its group.
    ends: dict[str, str] = {}
    for key in known:
        ends.setdefault(key.rpartition(".")[2], key)
    near = difflib.get_close_matches(plain.rpartition(".")[2], ends, n=1, cutoff=0.75)
    return ends[near[0]] if near else None


def quoted(text: str, literal: bool = True) -> str:
    """``text`` as Hydra's quoted string. ``literal``: ``${`` is text as well, not an interpolation."""
    if literal:
        text = re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + "\\${", text)
    inner = re.sub(r"(\\*)'", lambda found: found[1] * 2 + "\\'", text)
    inner = re.sub(r"(\\+)$", lambda found: found[1] * 2, inner)
    return f"'{inner}'"


def _text_word(word: str, sweep: bool) -> str:
    key, _, value = word.partition("=")
    if value in ("", "null") or _is_quoted(value):
        return word
    if sweep:
        pieces = [piece.strip() for piece in _PIECE.findall(value)]
        if _FUNCTION.fullmatch(value) or all(_is_quoted(piece) or _PLAIN.fullmatch(piece) for piece in pieces):
            return word
    return f"{key}={quoted(value, literal=not _INTERPOLATION.search(value))}"


def _word(word: str, paths: Collection[str], sweep: bool, exists: Callable[[str], bool]) -> str:
    key, equals, value = word.partition("=")
    if not equals or key_of(word) not in paths:
        return word
    if value.isdecimal() and key_of(word) in NUMBERS:
        return word
    return f"{key}={_value(value, sweep, exists)}"


def _value(text: str, sweep: bool, exists: Callable[[str], bool]) -> str:
    if text in ("", "null") or _is_quoted(text) and not exists(text):
        return text
    if exists(os.path.expanduser(text)):
        return _single(text, True)
    if text.startswith("[") and text.endswith("]"):
        return "[" + ",".join(_single(part) for part in _parts(text[1:-1], exists)) + "]"
    if _FUNCTION.fullmatch(text):
        return text
    if sweep and "," in text:
        return ",".join(_single(part) for part in _parts(text, exists))
    return _single(text)


def _single(text: str, literal: bool = False) -> str:
    if text == "null" or _is_quoted(text) and not literal:
        return text
    if text.startswith("~") and os.path.expanduser(text) != text:
        text = os.path.expanduser(text)
    if _PLAIN.fullmatch(text) and not _TYPED.fullmatch(text):
        return text
    return quoted(text, literal or not _INTERPOLATION.search(text))


def _is_quoted(text: str) -> bool:
    return len(text) > 1 and text[0] in "'\"" and text[-1] == text[0]


def _parts(inner: str, exists: Callable[[str], bool]) -> list[str]:
    """The elements of a list: separated by commas, those inside quotes or inside the name of an existing file aside."""
    pieces = [piece.strip() for piece in _PIECE.findall(inner)]
    found, place = [], 0
    while place < len(pieces):
        for end in range(len(pieces), place, -1):
            joined = ",".join(pieces[place:end])
            if end == place + 1 or exists(os.path.expanduser(joined)):
                found.append(joined)
                place = end
                break
    return found
