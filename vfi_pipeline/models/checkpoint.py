"""Weights as they leave training: safetensors with the model's configuration and card inside, checked when read.

Nothing in such a file is executed: the configuration is JSON, it names its model by a word of ``BUILDERS``, and
pickles are refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import os
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from vfi_pipeline.errors import BAD_INPUT, ENVIRONMENT, UserError
from vfi_pipeline.models.shipped import animates_single_picture, moves_first_picture_only

FORMAT = "vfi-pipeline/1"

PAIRS = "pairs of pictures"
"""``Card.data["shows"]`` of weights that never saw a film."""

# Which class builds which kind: a file can name only these.
BUILDERS = {
    "warping_ode": "vfi_pipeline.models.warping_ode:WarpingODE",
    "flow": "vfi_pipeline.models.flow_interpolator:FlowInterpolator",
    "style": "vfi_pipeline.models.style:StyleTransfer",
    "single_image": "vfi_pipeline.models.single_image:SingleImageGenerator",
}


@dataclass(frozen=True)
class Card:
    """A model's card: its training, data, metrics and limits. JSON types only.

    Attributes:
        name: of the model, as the experiment calls it.
        training: command, steps, hardware, hours, versions, git state.
        data: sets, counts, licences, fingerprint.
        metrics: by name.
        notes: limits and known failures.
    """

    name: str = "unnamed"
    training: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    notes: str = ""


def save_model(path: Path | str, model: nn.Module, card: Card = Card(), half: bool = False) -> str:
    """Writes weights, configuration and card to one file, and the card beside it as Markdown.

    The file is written under a draft name and renamed, so that a file under its final name is whole.

    Args:
        path: ends in ``.safetensors``; its folder is created.
        model: has ``config()`` whose ``kind`` is one of ``BUILDERS``.
        half: store float16, half the size; ``load_model`` returns float32.

    Returns:
        The file's SHA-256, hexadecimal.

    Raises:
        ValueError: if ``load_model`` would know no such kind.
        UserError: if the file cannot be written.
    """
    path = Path(path)
    config = config_of(model)
    if config["kind"] not in BUILDERS:
        raise ValueError(f"models.checkpoint.BUILDERS has no {config['kind']!r}: load_model could not read the file.")
    tensors = {
        name: value.detach()
        .to("cpu", torch.float16 if half and value.is_floating_point() else value.dtype)
        .contiguous()
        for name, value in model.state_dict().items()
    }
    facts = {"config": config, "card": vars(card)}
    metadata = {"format": FORMAT, "config": json.dumps(facts["config"]), "card": json.dumps(facts["card"])}
    metadata["content"] = _content_hash(tensors, metadata)
    draft = path.with_name(path.name + f".{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:  # ``save_file`` makes a file that its owner alone may read
            file.write(save(tensors, metadata))
            file.flush()
            os.fsync(file.fileno())
        digest = sha256(draft)
        text = card_text(card, config, path.name, digest, sum(v.numel() for v in tensors.values()))
        card_draft = draft.with_suffix(".md.part")
        card_draft.write_text(text, encoding="utf-8")
        os.replace(card_draft, path.with_suffix(".md"))
        os.replace(draft, path)
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{path} could not be written ({error}).", "Free some space or name another folder.", ENVIRONMENT
        ) from error
    finally:
        for unfinished in (draft, draft.with_suffix(".md.part")):
            with contextlib.suppress(OSError):
                unfinished.unlink(missing_ok=True)
    return digest


def load_model(path: Path | str, expected: str | None = None) -> tuple[nn.Module, Card]:
    """The model, in evaluation mode with float32 weights, and its card.

    Args:
        path: a file that ``save_model`` wrote.
        expected: the SHA-256 that the file must have, e.g. of weights that ship with the program.

    Raises:
        UserError: if the file is missing, not safetensors (a pickle, say), damaged, of another hash or of unknown kind.
    """
    path = Path(path)
    retrain = "Give weights that train.py exported (export/model.safetensors in the run's folder)."
    if not path.is_file():
        raise UserError(f"{path} does not exist.", retrain, BAD_INPUT)
    if expected is not None and sha256(path) != expected:
        raise UserError(
            f"{path} is not the file it should be: its SHA-256 is {sha256(path)[:12]}..., not {expected[:12]}...",
            "Fetch it again; a partial download or another version looks like this.", BAD_INPUT,
        )  # fmt: skip
    metadata, tensors = _read(path, retrain)
    if metadata.get("format") != FORMAT:
        raise UserError(f"{path} holds tensors, but not weights of this program ({FORMAT}).", retrain, BAD_INPUT)
    if metadata.get("content") != _content_hash(tensors, metadata):
        raise UserError(
            f"{path} is damaged: its content does not match its own hash.", "Copy or export it again.", BAD_INPUT
        )
    try:
        model = build_model(json.loads(metadata["config"]))
        model.load_state_dict({name: _full(value) for name, value in tensors.items()})
        card = Card(**json.loads(metadata["card"]))
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        first = str(error).strip().splitlines()[0]
        raise UserError(f"{path} does not fit this version of the program ({first}).", retrain, BAD_INPUT) from error
    return model.eval().requires_grad_(False), card


def config_of(model: nn.Module) -> dict[str, Any]:
    """The configuration of a model of a kind in ``BUILDERS``. (``nn.Module`` hides the type of its method.)"""
    return cast(Any, model).config()


def build_model(config: dict[str, Any]) -> nn.Module:
    """The model that ``config`` describes, with fresh weights. ValueError for an unknown kind."""
    kind = config.get("kind")
    if kind not in BUILDERS:
        raise ValueError(f"no model of kind {kind!r}; known: {', '.join(BUILDERS)}")
    module, name = BUILDERS[kind].split(":")
    return getattr(importlib.import_module(module), name).from_config(config)


def sha256(path: Path | str) -> str:
    """Of a file's bytes, hexadecimal."""
    with open(path, "rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def card_text(card: Card, config: dict[str, Any], file: str, digest: str, weights: int) -> str:
    """The card as Markdown, for people."""
    option = "style" if config["kind"] == "style" else "weights"
    lines = [
        f"# {card.name}", "", f"`{file}`, {weights:,} weights, SHA-256 `{digest}`.", "",
        f"    python interpolate.py {_inputs(card, config)} {shlex.quote(f'{option}={file}')}", "",
    ]  # fmt: skip
    if card.metrics:
        lines += ["## Metrics", "", "| metric | value |", "|--|--|"]
        lines += [f"| {name} | {value:.4g} |" for name, value in sorted(card.metrics.items())] + [""]
    for title, facts in (("Training", card.training), ("Data", card.data)):
        if facts:
            lines += [f"## {title}", "", *(f"- {key}: {_line(value)}" for key, value in facts.items()), ""]
    if card.notes:
        lines += ["## Notes", "", card.notes, ""]
    lines += ["## Configuration", "", "```json", json.dumps(config, indent=2), "```", ""]
    return "\n".join(lines)


def _inputs(card: Card, config: dict[str, Any]) -> str:
    """What the weights are for, as options of ``interpolate.py``."""
    if animates_single_picture(config):
        return "input=picture.png duration=2"
    if config["kind"] == "single_image" or moves_first_picture_only(config):
        return "input=[a.png,b.png] duration=2"
    of_films = config["kind"] == "style" or card.data.get("shows") != PAIRS
    return "input=film.mp4 fps=60" if of_films else "input=[a.png,b.png] duration=2"


def _line(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        text = ", ".join(map(str, value[:20]))
        return text + (f", ... ({len(value)} in all)" if len(value) > 20 else "")
    if isinstance(value, dict):
        return json.dumps(value)
    return str(value)


def _read(path: Path, remedy: str) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    with open(path, "rb") as file:
        start = file.read(9)
    if start[8:] != b"{" and (start[:2] == b"PK" or start[:1] == b"\x80"):
        # A zip or pickle protocol byte: torch.save and friends. Reading a pickle can run any program. The length that
        # opens a safetensors file may begin with the same byte; its header's brace follows.
        raise UserError(f"{path} is a pickle, which can run any program when it is read.", remedy, BAD_INPUT)
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {}), {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path} is no readable safetensors file ({error}).", remedy, BAD_INPUT) from error


def _content_hash(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> str:
    digest = hashlib.sha256((metadata.get("config", "") + metadata.get("card", "")).encode())
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.contiguous().view(-1).view(torch.uint8).numpy().tobytes() if value.numel() else b"")
    return digest.hexdigest()


def _full(value: torch.Tensor) -> torch.Tensor:
    return value.float() if value.dtype == torch.float16 else value
