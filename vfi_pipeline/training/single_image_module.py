"""Fits one picture's generator: a conditional GAN with feature matching and a perceptual loss (Vinker et al. 2020)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from vfi_pipeline.data.batch import Triplet
from vfi_pipeline.losses.conditional import ConditionalObjective, discriminator_hinge
from vfi_pipeline.metrics import psnr
from vfi_pipeline.models.single_image import SingleImageGenerator
from vfi_pipeline.nets.conditional_gan import Discriminator
from vfi_pipeline.nets.features import available, features
from vfi_pipeline.training.callbacks import TurnLog
from vfi_pipeline.training.loggers import log_picture
from vfi_pipeline.training.triplet_module import OptimizerFactory, SchedulerFactory, named_tensors, refuse_divergence

log = logging.getLogger(__name__)


class SingleImageModule(pl.LightningModule):
    """Fits ``models.single_image.SingleImageGenerator``; every batch makes one optimiser step, in turns.

    Args:
        model: the generator; the colours of its primitives come from the data.
        discriminator: judges (primitive, picture).
        optimizer: of both.
        turn: one step in this many is the discriminator's.
        reconstruction, perceptual, matching, adversarial, layers: see ``ConditionalObjective``; the features are VGG's,
            left out, with a warning, where its weights are missing.
        run_dir: where the primitive and pictures of the validation go; None keeps none.
    """

    def __init__(
        self,
        model: SingleImageGenerator,
        discriminator: Discriminator,
        optimizer: OptimizerFactory,
        scheduler: SchedulerFactory | None = None,
        turn: int = 3,
        reconstruction: float = 10.0,
        perceptual: float = 2.0,
        matching: float = 5.0,
        adversarial: float = 0.5,
        layers: Sequence[str] = ("conv1_2", "conv2_2", "conv3_1"),
        run_dir: str | None = None,
    ) -> None:
        super().__init__()
        if turn < 2:
            raise ValueError(f"training.turn is {turn}, give 2 or more: the other steps are the generator's.")
        self.model, self.discriminator = model, discriminator
        self.optimizer, self.scheduler, self.turn = optimizer, scheduler, turn
        self.run_dir = None if run_dir is None else Path(run_dir)
        self.objective = ConditionalObjective(reconstruction, perceptual, matching, adversarial, tuple(layers))
        has_features = bool(perceptual) and available("vgg")
        if perceptual and not has_features:
            log.warning("training.perceptual is left out: vgg's weights are not on this machine.\n  Try: make features")
        # In a tuple: as a part of the module, the fixed network would be saved in every checkpoint.
        self._fixed: tuple[nn.Module, ...] = (features("vgg"),) if has_features else ()
        self.turns = TurnLog()
        self.automatic_optimization = False

    def setup(self, stage: str) -> None:
        data: Any = getattr(self.trainer, "datamodule", None)
        if data is not None and hasattr(data, "palette"):
            self.model.colours = [list(colour) for colour in data.palette.colours]
            if self.run_dir is not None and self.trainer.is_global_zero and stage == "fit":
                data.write_pictures(self.run_dir / "export")
                log.info("To be edited: %s", self.run_dir / "export" / "primitive.png")

    @property
    def turn_of_discriminator(self) -> bool:
        """Whose step the next batch is."""
        return self.global_step % self.turn == self.turn - 1

    def training_step(self, batch: Triplet, batch_idx: int) -> None:
        primitive, picture = batch.first, batch.last
        optimizers: Any = self.optimizers()
        if self.turn_of_discriminator:
            with torch.no_grad():
                fake = self.model(primitive)
            total = discriminator_hinge(self.discriminator(primitive, picture), self.discriminator(primitive, fake))
            self._step(optimizers[1], {"total": total}, "discriminator", 1)
        else:
            self._step(optimizers[0], self.terms(primitive, picture), "generator", 0)

    def terms(self, primitive: Tensor, picture: Tensor) -> dict[str, Tensor]:
        """The generator's terms, unweighted, and ``total``."""
        network: Any = self._fixed[0].to(self.device) if self._fixed else None
        return self.objective(
            self.model(primitive), picture, lambda shown: self.discriminator(primitive, shown), network
        )  # fmt: skip

    def validation_step(self, batch: Triplet, batch_idx: int) -> None:
        self._measure(batch, "val", batch_idx)

    def test_step(self, batch: Triplet, batch_idx: int) -> None:
        self._measure(batch, "test", batch_idx)

    def configure_optimizers(self) -> Any:
        optimizers = [self.optimizer(self.model.parameters()), self.optimizer(self.discriminator.parameters())]
        if self.scheduler is None:
            return optimizers, []
        return optimizers, [{"scheduler": self.scheduler(each), "interval": "step"} for each in optimizers]

    def _step(self, optimizer: Any, terms: dict[str, Tensor], who: str, which: int) -> None:
        refuse_divergence(terms["total"], self.global_step)
        named = {f"{who}_loss" if name == "total" else name: value.detach() for name, value in terms.items()}
        self.turns.log(self, who, {f"train/{name}": value for name, value in named.items()})
        optimizer.zero_grad(set_to_none=True)
        self.manual_backward(terms["total"])
        for parameter in (self.discriminator if who == "generator" else self.model).parameters():
            parameter.grad = None
        optimizer.step()
        schedules: Any = self.lr_schedulers()
        if schedules:
            schedules[which].step()

    @torch.no_grad()
    def _measure(self, batch: Triplet, part: str, index: int) -> None:
        prediction = self.model(batch.first)
        figures = {
            "reconstruction": (prediction - batch.last).abs().mean(),
            "psnr": psnr(prediction.clamp(0, 1), batch.last).mean(),
        }
        if index == 0:  # the picture itself; the others are warped
            figures["psnr_picture"] = psnr(prediction[:1].clamp(0, 1), batch.last[:1]).mean()
        self.log_dict(
            named_tensors(figures, part, self.device), on_epoch=True, on_step=False, sync_dist=True,
            batch_size=batch.first.shape[0],
        )  # fmt: skip
        if index == 0 and self.run_dir is not None and self.trainer.is_global_zero:
            rows = torch.cat((batch.first, prediction, batch.last), dim=-1)[:4]
            picture = torch.cat(list(rows), dim=-2)
            log_picture(self.trainer.loggers, self.run_dir, f"{part}/drawn", picture, self.global_step)
