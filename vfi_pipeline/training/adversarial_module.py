"""Learns a motion from unpaired pictures by WGAN-GP: warped sources should look like targets."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from vfi_pipeline.data.batch import Triplet, Unpaired
from vfi_pipeline.losses import TripletObjective, critic_loss, generator_loss, gradient_norm
from vfi_pipeline.models.prediction import Motion, TrainableModel
from vfi_pipeline.training.callbacks import TurnLog
from vfi_pipeline.training.panel_sample import PanelSample
from vfi_pipeline.training.triplet_module import (
    OptimizerFactory,
    SchedulerFactory,
    motion_figures,
    named_tensors,
    refuse_divergence,
)


class AdversarialModule(pl.LightningModule):
    """WGAN-GP on warped frames (Gulrajani et al. 2017; the paper's unpaired fit).

    Every batch (or every ``accumulate`` of them) makes exactly one optimiser step: ``n_critic`` train the critic, each
    on fresh pictures, then one trains the model. So ``global_step`` says whose turn it is, and a resumed run goes on
    in the right turn. (The reference code trains its critic ten times on one batch of stale fakes.)

    Args:
        model: conditioned on the first frame; the target is never shown to it.
        critic: pictures -> scores, without batch normalisation.
        penalties: JD, OG, smoothness, round trip of the model's motion; its photometric weights do not apply.
        optimizer, critic_optimizer: parameters -> optimiser.
        scheduler: optimiser -> schedule counting that optimiser's steps, or None. Used for both.
        n_critic: critic steps for one of the model.
        gradient_penalty: its weight.
        adversarial: weight of the critic's score in the model's loss.
        clip: largest gradient norm of the model; None does not clip.
        accumulate: batches whose mean gradient makes one optimiser step. (The trainer's own clipping and accumulation
            need automatic optimisation.)
    """

    def __init__(
        self,
        model: TrainableModel,
        critic: nn.Module,
        penalties: TripletObjective,
        optimizer: OptimizerFactory,
        critic_optimizer: OptimizerFactory,
        scheduler: SchedulerFactory | None = None,
        n_critic: int = 5,
        gradient_penalty: float = 10.0,
        adversarial: float = 1.0,
        clip: float | None = None,
        accumulate: int = 1,
    ) -> None:
        super().__init__()
        for name, value in (("n_critic", n_critic), ("accumulate", accumulate)):
            if value < 1:
                raise ValueError(f"training.{name} is {value}, give 1 or more.")
        assert isinstance(model, nn.Module)
        conditioning = getattr(getattr(model, "field", None), "conditioning", "first")
        if getattr(model, "sides", "first") != "first" or conditioning != "first":
            raise ValueError(
                "WGAN-GP shows the model the first picture alone: give net.sides=first field.conditioning=first"
            )
        self.model, self.critic, self.penalties = model, critic, penalties
        self.optimizer, self.critic_optimizer, self.scheduler = optimizer, critic_optimizer, scheduler
        self.n_critic, self.gradient_penalty, self.adversarial = n_critic, gradient_penalty, adversarial
        self.clip, self.accumulate = clip, accumulate
        self.turns = TurnLog()
        self._gathered = 0  # batches whose gradients wait for the next step
        self.automatic_optimization = False

    @property
    def turn_of_critic(self) -> bool:
        """Whose step the next batch is."""
        return self.global_step % (self.n_critic + 1) < self.n_critic

    def training_step(self, batch: Unpaired | Triplet, batch_idx: int) -> None:
        source, target = pictures(batch)
        optimizers: Any = self.optimizers()
        model_optimizer, critic_optimizer = optimizers
        if self.turn_of_critic:
            with torch.no_grad():
                fake = self.warped(source).frame[:, 0]
            self._step(critic_optimizer, self._critic_terms(target, fake, self.draw_mix(source)), "critic", 1)
        else:
            motion = self.warped(source)
            terms = self.penalties(motion, source.new_zeros((source.shape[0], 0)), source)
            terms["adversarial"] = generator_loss(self.critic, motion.frame[:, 0])
            terms["total"] = terms["total"] + self.adversarial * terms["adversarial"]
            self._step(model_optimizer, terms, "model", 0, motion_figures(motion))

    def warped(self, source: Tensor) -> Motion:
        """The model's motion of the sources, asked at t = 1."""
        return self.model(source, None, source.new_ones((source.shape[0], 1)))

    def draw_mix(self, source: Tensor) -> Tensor:
        """(B,) weights of the real pictures in the mixtures at which the gradient penalty is taken."""
        return torch.rand(source.shape[0], device=source.device)

    def validation_step(self, batch: Unpaired | Triplet, batch_idx: int) -> None:
        self._measure(batch, "val")

    def test_step(self, batch: Unpaired | Triplet, batch_idx: int) -> None:
        self._measure(batch, "test")

    def configure_optimizers(self) -> Any:
        optimizers = [self.optimizer(self.model.parameters()), self.critic_optimizer(self.critic.parameters())]
        if self.scheduler is None:
            return optimizers, []
        return optimizers, [{"scheduler": self.scheduler(optimizer), "interval": "step"} for optimizer in optimizers]

    @torch.no_grad()
    def panel_sample(self, batch: Unpaired | Triplet) -> PanelSample:
        """The panels' view of a batch: source, warped source, and an unrelated target."""
        source, target = pictures(batch)
        motion = self.warped(source)
        return PanelSample(source, motion.frame[:, 0], None, target, torch.ones_like(source[:, 0, 0, 0]), motion)

    def _critic_terms(self, real: Tensor, fake: Tensor, mix: Tensor) -> dict[str, Tensor]:
        # The penalty differentiates twice; half precision has no room for that.
        with torch.autocast(real.device.type, enabled=False):
            return critic_loss(self.critic, real.float(), fake.float(), mix, self.gradient_penalty)

    def _step(
        self,
        optimizer: Any,
        terms: dict[str, Tensor],
        who: str,
        which: int,
        facts: Mapping[str, float | Tensor] = MappingProxyType({}),
    ) -> None:
        refuse_divergence(terms["total"], self.global_step)
        named = {f"{who}_loss" if name == "total" else name: value.detach() for name, value in terms.items()}
        self.turns.log(self, who, {f"train/{name}": value for name, value in {**named, **facts}.items()})
        if self._gathered == 0:
            optimizer.zero_grad(set_to_none=True)
        self.manual_backward(terms["total"] / self.accumulate)
        # Gradients that flow into the other network are dropped: its own turn begins with none.
        for parameter in (self.critic if who == "model" else self.model).parameters():
            parameter.grad = None
        self._gathered = (self._gathered + 1) % self.accumulate
        if self._gathered:
            return
        optimizer.step()
        schedules: Any = self.lr_schedulers()
        if schedules:
            schedules[which].step()

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        # Here and not before the step: by now 16-mixed has divided its scale out of the gradients.
        optimizers: Any = self.optimizers()
        if self.clip is not None and optimizer is getattr(optimizers[0], "optimizer", optimizers[0]):
            self.clip_gradients(optimizer, gradient_clip_val=self.clip, gradient_clip_algorithm="norm")

    def _measure(self, batch: Unpaired | Triplet, part: str) -> None:
        source, target = pictures(batch)
        motion = self.warped(source)
        fake = motion.frame[:, 0]
        terms = self.penalties(motion, source.new_zeros((source.shape[0], 0)), source)
        figures: dict[str, Any] = {**terms, **motion_figures(motion)}
        figures.pop("total")
        figures["wasserstein"] = self.critic(target).mean() - self.critic(fake).mean()
        slope = gradient_norm(self.critic, target, fake, torch.full_like(source[:, 0, 0, 0], 0.5))
        figures["gradient_norm"] = slope.detach().mean()
        self.log_dict(
            named_tensors(figures, part, self.device),
            on_epoch=True,
            on_step=False,
            sync_dist=True,
            batch_size=source.shape[0],
        )


def pictures(batch: Unpaired | Triplet) -> tuple[Tensor, Tensor]:
    """(source, target) of an unpaired batch; a triplet's first and last frames serve as well."""
    return (batch.source, batch.target) if isinstance(batch, Unpaired) else (batch.first, batch.last)
