"""A training run that takes a second: 16 px digits, a small network, every part of the real thing."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from vfi_pipeline.data.modules import Digits
from vfi_pipeline.losses import triplet_objective
from vfi_pipeline.models.warping_ode import WarpingODE
from vfi_pipeline.nets.critic import Critic
from vfi_pipeline.nets.fields import StationaryField
from vfi_pipeline.nets.unet import UNetShape
from vfi_pipeline.ode import Solver
from vfi_pipeline.training.adversarial_module import AdversarialModule
from vfi_pipeline.training.callbacks import EMA, Meters, Panels, ProgressLines
from vfi_pipeline.training.explain import silence_lightning
from vfi_pipeline.training.resume import AtomicCheckpoints
from vfi_pipeline.training.schedules import warmup_cosine
from vfi_pipeline.training.triplet_module import TripletModule

SHAPE = UNetShape(widths=(8, 8), final=8, head=0.1)
STEPS = 12
silence_lightning()


def model(conditioning: str = "both", sides: str = "first", kind: type = StationaryField) -> WarpingODE:
    return WarpingODE(kind(1, conditioning, SHAPE), sides, Solver("midpoint", 2), path_times=2)


def paired(seed: int = 0, **options) -> TripletModule:
    torch.manual_seed(seed)
    return TripletModule(
        model(),
        triplet_objective(l2=1.0, folding=0.1, margin=0.2, smooth=0.01, out_of_grid=0.01),
        partial(torch.optim.Adam, lr=3e-3),
        partial(warmup_cosine, steps=STEPS, warmup=2),
        lpips=False,
        **options,
    )


def adversarial(seed: int = 0, **options) -> AdversarialModule:
    torch.manual_seed(seed)
    return AdversarialModule(
        model("first"),
        Critic(1, (8, 16)),
        triplet_objective(folding=1.0, margin=0.2, smooth=0.01),
        # eps above the rounding of gradients: Adam would make whole steps of it.
        partial(torch.optim.Adam, lr=1e-3, betas=(0.5, 0.9), eps=1e-5),
        partial(torch.optim.Adam, lr=1e-3, betas=(0.5, 0.9), eps=1e-5),
        partial(warmup_cosine, steps=STEPS),
        **{"n_critic": 2, **options},
    )


def digits(paired: bool = True, batch_size: int = 4, steps: int = 5) -> Digits:
    return Digits(size=16, paired=paired, batch_size=batch_size, steps=steps)


def trainer(run_dir: Path, steps: int = STEPS, every: int = 6, callbacks=(), logger=False, **options) -> pl.Trainer:
    checkpoints = {"dirpath": run_dir / "checkpoints", "enable_version_counter": False, "save_top_k": 1}
    return pl.Trainer(
        **{
            "accelerator": "cpu",
            "devices": 1,
            "max_steps": steps,
            "max_epochs": -1,
            "val_check_interval": 4,
            "check_val_every_n_epoch": None,
            "limit_val_batches": 1,
            "limit_test_batches": 1,
            "log_every_n_steps": 1,
            "num_sanity_val_steps": 1,
            "use_distributed_sampler": False,
            "inference_mode": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "default_root_dir": run_dir,
            "logger": logger,
            "plugins": [AtomicCheckpoints()],
            "callbacks": [
                ModelCheckpoint(filename="last", every_n_train_steps=every, **checkpoints),
                EMA(0.9),
                Meters(),
                Panels(str(run_dir), rows=2, frames=3),
                ProgressLines(0.0),
                *callbacks,
            ],
            **options,
        }
    )
