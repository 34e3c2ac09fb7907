"""What Lightning's trainer and modules have beside what they declare, with types."""

from __future__ import annotations

from typing import Protocol, cast

import pytorch_lightning as pl
from pytorch_lightning import Callback
from torch import nn


class TrainerParts(Protocol):
    """Attributes that the trainer's connectors set when it is made; its class does not name them."""

    callbacks: list[Callback]
    log_every_n_steps: int
    datamodule: pl.LightningDataModule | None


def parts_of(trainer: pl.Trainer) -> TrainerParts:
    """The trainer, for its undeclared attributes."""
    return cast(TrainerParts, trainer)


def model_of(module: pl.LightningModule) -> nn.Module:
    """The model that a module fits, and that is exported. (``nn.Module`` says "Tensor | Module" of every attribute.)"""
    model = module.model
    assert isinstance(model, nn.Module)
    return model
