"""Fits a model to frames that belong together: paired L2, and all that goes beyond it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from vfi_pipeline.data.batch import Triplet
from vfi_pipeline.errors import UserError
from vfi_pipeline.geometry import folding
from vfi_pipeline.losses import TripletObjective, out_of_grid_penalty
from vfi_pipeline.metrics import psnr, ssim
from vfi_pipeline.models.prediction import Motion, Neighbours, TrainableModel
from vfi_pipeline.nets.perceptual import MIN_SIDE_PX, perceptual_or_none
from vfi_pipeline.training.captured_step import CapturedStep, CudaGraphs, LateFigures, can_capture, set_capturable
from vfi_pipeline.training.distillation import Distillation
from vfi_pipeline.training.panel_sample import PanelSample
from vfi_pipeline.training.trainer import parts_of

log = logging.getLogger(__name__)

OptimizerFactory = Callable[..., Optimizer]
SchedulerFactory = Callable[..., Any]

# A frame equal to its target has no finite PSNR; the mean over frames must stay a number.
BEST_PSNR = 100.0


class TripletModule(pl.LightningModule):
    """Fits a model to frame triplets (or pairs); the maths lives in the layers below.

    Args:
        model: see ``models.prediction.TrainableModel``.
        objective: see ``losses.TripletObjective``.
        optimizer: parameters -> optimiser.
        scheduler: optimiser -> schedule that counts steps, or None.
        ends: times at which a source frame is a target as well: 1.0 (``last``), 0.0 (``first``). With [1.0] and no
            target between, this is the paper's paired L2. A model that blends both frames reproduces each at its own
            end; the loss there takes the frame warped from the other source alone.
        lpips: measure LPIPS in validation where its backbone is at hand.
        teacher: sees the true frames, in training alone; None: there is none. One of weight 0 is left out.
        capture: make the whole step one CUDA graph: True, False, or ``auto``: on one GPU, where nothing is in the way.
            True on a CPU takes the same road without a graph.
    """

    def __init__(
        self,
        model: TrainableModel,
        objective: TripletObjective,
        optimizer: OptimizerFactory,
        scheduler: SchedulerFactory | None = None,
        ends: Sequence[float] = (1.0,),
        lpips: bool = True,
        capture: bool | str = "auto",
        teacher: Distillation | None = None,
    ) -> None:
        super().__init__()
        if capture not in (True, False, "auto"):
            raise UserError(
                f"training.capture={capture} is none of the three.", "training.capture=auto, true or false."
            )
        if teacher is not None and not isinstance(teacher, Distillation):
            raise UserError(
                f"training.teacher={teacher} is no teacher.",
                "+teacher@training.teacher=privileged, or =lucas_kanade (files of conf/teacher).",
            )
        if not set(ends) <= {0.0, 1.0}:
            raise ValueError(
                f"The frames are known at t = 0 and t = 1, so training.ends can hold 0 and 1, not {list(ends)}."
            )
        assert isinstance(model, nn.Module)
        self.model, self.objective = model, objective
        self.optimizer, self.scheduler = optimizer, scheduler
        self.ends = [float(end) for end in ends]
        self.lpips, self.capture = lpips, capture
        self.teacher = teacher if teacher is not None and teacher.weight else None
        self._step: CapturedStep | None = None
        self._late = LateFigures()

    def times_and_targets(self, batch: Triplet) -> tuple[Tensor, Tensor]:
        """Times (B, T + ends) and the true frames there."""
        size = batch.first.shape[0]
        sources = {0.0: batch.first, 1.0: batch.last}
        times = [batch.t, *(batch.t.new_full((size, 1), end) for end in self.ends)]
        frames = [batch.targets, *(sources[end][:, None] for end in self.ends)]
        return torch.cat(times, dim=1), torch.cat(frames, dim=1)

    def training_step(self, batch: Triplet, batch_idx: int) -> Tensor:
        if self._step is not None:
            return self._captured(batch, self._step)
        figures = self._checked_figures(batch)
        self.log_dict({f"train/{name}": x.detach() if isinstance(x, Tensor) else x for name, x in figures.items()})
        return figures["total"]

    def _captured(self, batch: Triplet, step: CapturedStep) -> Tensor:
        """A whole step. Its figures are logged when they arrive, some steps later: the host never waits."""
        figures = step(batch)
        if not (self.global_step + 1) % max(1, parts_of(self.trainer).log_every_n_steps):
            self._late.ask(self.global_step, figures)
        self._log_arrived()
        return figures["total"]

    def _log_arrived(self, wait: bool = False) -> None:
        for step, figures in self._late.arrived(wait):
            refuse_divergence(torch.tensor(figures["total"]), step)
            values = {f"train/{name}": value for name, value in figures.items()}
            for logger in self.trainer.loggers:
                logger.log_metrics(values, step)
            if not wait:
                self.log_dict(values, logger=False)  # for the progress lines

    def figures(self, batch: Triplet) -> dict[str, Any]:
        """The losses by name, ``total``, and the facts of the motion. The host waits for none of them."""
        motion, terms = self.terms(batch)
        if self.teacher is not None:
            _, target = self.times_and_targets(batch)
            taught = self.teacher(motion, batch.first, batch.last, target)
            terms = {**terms, **taught, "total": terms["total"] + taught["total"]}
        return {**motion_figures(motion), **terms}

    def _checked_figures(self, batch: Triplet) -> dict[str, Any]:
        figures = self.figures(batch)
        if self._step is None or not self._step.records:
            refuse_divergence(figures["total"], self.global_step)
        return figures

    # A captured step has done all of these when it returns.

    def on_train_start(self) -> None:
        reason = self._why_not_captured()
        if self.capture is True and reason:
            raise UserError(f"The step cannot be captured: {reason}.", "training.capture=auto.")
        wanted = self.capture is True or (self.capture == "auto" and self.device.type == "cuda")
        if wanted and reason:
            log.info("Steps are launched kernel by kernel: %s.", reason)
        optimizer = self.trainer.optimizers[0]
        if wanted and not reason:
            clip, recorder = self.trainer.gradient_clip_val, CudaGraphs() if self.device.type == "cuda" else None
            self._step = CapturedStep(self._checked_figures, optimizer, clip or None, recorder)
        else:
            set_capturable(optimizer, False)  # of a run that was captured before it was resumed

    def on_train_end(self) -> None:
        self._log_arrived(wait=True)
        self._step = None

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        if self._step is None:
            super().backward(loss, *args, **kwargs)

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Optimizer) -> None:
        if self._step is None:
            super().optimizer_zero_grad(epoch, batch_idx, optimizer)

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        if self._step is None:
            super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        else:
            optimizer_closure()

    def _why_not_captured(self) -> str | None:
        trainer = self.trainer
        if trainer.world_size > 1:
            return "several processes average their gradients"
        if trainer.accumulate_grad_batches > 1:
            return "gradients are accumulated over batches"
        if trainer.precision not in ("32-true", "bf16-mixed", "bf16-true"):
            return f"trainer.precision={trainer.precision} scales its gradients"
        if trainer.gradient_clip_algorithm not in (None, "norm"):
            return "gradients are clipped by value"
        if self.device.type == "cuda" and not getattr(self.model, "capturable", False):
            return f"{type(self.model).__name__} asks the host in every step"
        if self.device.type == "cuda" and self.objective.network is not None:
            return "the perceptual distance asks the host in every step"
        if not can_capture(trainer.optimizers[0]):
            return f"{type(trainer.optimizers[0]).__name__} keeps its state on the host"
        return None

    def validation_step(self, batch: Triplet, batch_idx: int) -> None:
        self._measure(batch, "val")

    def test_step(self, batch: Triplet, batch_idx: int) -> None:
        self._measure(batch, "test")

    def configure_optimizers(self) -> Any:
        learning = [*self.model.parameters(), *(self.teacher.parameters() if self.teacher is not None else ())]
        optimizer = self.optimizer([p for p in learning if p.requires_grad])
        if self.scheduler is None:
            return {"optimizer": optimizer}
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self.scheduler(optimizer), "interval": "step"}}

    @torch.no_grad()
    def panel_sample(self, batch: Triplet) -> PanelSample:
        """The panels' view of a batch: its first target, or the last frame where there is none."""
        times, target = self.times_and_targets(batch)
        motion = self._with_one_sided_ends(self._predict(batch, times[:, :1]), batch, 1)
        return PanelSample(batch.first, motion.frame[:, 0], target[:, 0], batch.last, times[:, 0], motion)

    def terms(self, batch: Triplet) -> tuple[Motion, dict[str, Tensor]]:
        """The motion at the targets' times, and the objective's terms: unweighted by name, and ``total``."""
        times, target = self.times_and_targets(batch)
        motion = self._predict(batch, times)
        alone = self._with_one_sided_ends(motion, batch)
        velocity, velocity_mask = batch.masked_velocity() if batch.velocity is not None else (None, None)
        judged, targets = (motion, {}) if batch.t.shape[1] else self._judged_at_ends(alone, target)
        return alone, self.objective(judged, target, batch.first, velocity, velocity_mask, targets)

    def _judged_at_ends(self, alone: Motion, target: Tensor) -> tuple[Motion, dict[str, Tensor]]:
        """Of a motion at ``ends``, from ``_with_one_sided_ends``: what was made from the other end; its true frames.

        At an end a blend is the truth itself, at every level, and so is what is warped from that end: their losses
        are 0 whatever was learned, and no figures.
        """
        if not any(name.startswith("one_sided") for name in alone.auxiliary):
            return alone, {}
        frames, targets = {}, {}
        for name, made in alone.auxiliary.items():
            end = {"first": 1.0, "last": 0.0}.get(name.rpartition("/")[2])
            if shown := [k for k, other in enumerate(self.ends) if other == end]:
                frames[name], targets[name] = (torch.stack([x[:, k] for k in shown], dim=1) for x in (made, target))
        # Where the objective weighs the one-sided frames by themselves, the ends are not asked for twice.
        weighed = any(weight for name, weight in self.objective.auxiliary.items() if name.startswith("one_sided"))
        return replace(alone, frame=alone.frame[:, :0] if weighed else alone.frame, auxiliary=frames), targets

    def _with_one_sided_ends(self, motion: Motion, batch: Triplet, count: int | None = None) -> Motion:
        """``motion`` with frames at the ends that a loss can compare, for batches without a target between.

        A model that blends both frames reproduces the last one at t = 1. There the frame warped from the first one
        alone takes its place, and at t = 0 the frame warped from the last one.

        Raises:
            UserError: if the model reproduces an end exactly and gives no one-sided frames, or ``ends`` is empty.
        """
        if batch.t.shape[1]:
            return motion
        if not self.ends:
            raise UserError(
                "The data hold no true frame between the two, and training.ends=[] asks for none at the ends: nothing "
                "can be learned or judged.",
                "training.ends=[1.0], or data with frames between.",
            )
        frames = []
        for k, end in enumerate(self.ends[:count]):
            alone = motion.auxiliary.get("one_sided/first" if end == 1.0 else "one_sided/last")
            frame = motion.frame[:, k] if alone is None else alone[:, k]
            source, other = (batch.last, batch.first) if end == 1.0 else (batch.first, batch.last)
            if alone is None and _same(frame, source) and not _same(source, other):
                raise UserError(
                    f"At t = {end:g} this model shows the true frame itself, and the data hold none between: nothing "
                    "can be learned or judged.",
                    "net.sides=first, or data with frames between.",
                )
            frames.append(frame)
        return replace(motion, frame=torch.stack(frames, dim=1))

    def _predict(self, batch: Triplet, times: Tensor) -> Motion:
        if batch.around is None or batch.spans is None:
            return self.model(batch.first, batch.last, times)
        if not getattr(self.model, "uses_neighbours", False):
            raise UserError(
                f"{type(self.model).__name__} looks at a pair alone, and data.around gives it the frames around.",
                "data.around=null, or net=flow.",
            )
        model = cast(Callable[..., Motion], self.model)
        return model(batch.first, batch.last, times, Neighbours(batch.around, batch.spans))

    def _measure(self, batch: Triplet, part: str) -> None:
        motion, terms = self.terms(batch)
        _, target = self.times_and_targets(batch)
        size, between = batch.first.shape[0], batch.t.shape[1]
        # Figures are of the frames between the sources; without a target there, of the ends.
        shown = slice(0, between) if between else slice(0, len(self.ends))
        prediction, target = motion.frame[:, shown].flatten(0, 1).float(), target[:, shown].flatten(0, 1)
        figures = {"loss": terms["total"], **terms, **motion_figures(motion)}
        figures.pop("total")
        if prediction.shape[0]:
            figures |= self._quality(prediction.clamp(0, 1), target)
        self.log_dict(
            named_tensors(figures, part, self.device),
            on_epoch=True,
            on_step=False,
            sync_dist=True,
            batch_size=size,
        )

    def _quality(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        figures = {"psnr": psnr(prediction, target).clamp(max=BEST_PSNR).mean()}
        if min(prediction.shape[-2:]) >= 11:  # the window of SSIM
            figures["ssim"] = ssim(prediction[:, :3], target[:, :3]).mean()
        network = perceptual_or_none() if self.lpips and min(prediction.shape[-2:]) >= MIN_SIDE_PX else None
        if network is not None:
            figures["lpips"] = network.to(prediction.device)(prediction, target)
        return figures


def _same(prediction: Tensor, target: Tensor) -> bool:
    """Whether the prediction is a copy of the target, but for rounding."""
    return bool((prediction.detach() - target).abs().max() < 1e-5)


def refuse_divergence(loss: Tensor, step: int) -> None:
    """UserError if the loss is no finite number. A GPU is asked seldom: the answer makes it wait.

    On a CPU every step counts: the gradient of a lookup at NaN reads memory at random (torch's ``grid_sample``).
    """
    if (loss.device.type == "cpu" or step % 50 == 0) and not bool(torch.isfinite(loss.detach())):
        raise UserError(
            f"Training diverged: the loss at step {step} is {float(loss.detach())}.",
            "Lower optimizer.lr, or raise scheduler.warmup, and start again.",
        )


def motion_figures(motion: Motion) -> dict[str, float | Tensor]:
    """Figures of a motion for the log: NFE, folded share, distance outside the frame and largest displacement, px."""
    path = motion.path.detach().float().flatten(0, 1)
    _, folded = folding(path)
    return {
        "nfe": float(motion.nfe),
        "folded": folded.mean(),
        "outside": out_of_grid_penalty(path),
        "max_displacement": path.norm(dim=1).amax(),
    }


def named_tensors(figures: Mapping[str, Any], part: str, device: torch.device) -> dict[str, Tensor]:
    """Metrics under the names of their part (``val/psnr``), as tensors that DDP can average."""
    return {
        f"{part}/{name}": torch.as_tensor(value, dtype=torch.float32, device=device) for name, value in figures.items()
    }
