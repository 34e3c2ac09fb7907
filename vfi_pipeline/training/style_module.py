"""Fits a style network: content of the film's frames, style of one picture, consistent from frame to frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from vfi_pipeline.data.batch import Triplet
from vfi_pipeline.data.style_pictures import DRAWN, shrunk_picture
from vfi_pipeline.errors import USAGE, UserError
from vfi_pipeline.losses.perceptual import STYLE_LAYERS, STYLE_POOLING, StyleObjective, StyleTarget, temporal_distance
from vfi_pipeline.media.stills import read_rgb8
from vfi_pipeline.models.checkpoint import load_model
from vfi_pipeline.models.flow_interpolator import FlowInterpolator
from vfi_pipeline.models.shipped import locate
from vfi_pipeline.models.style import StyleTransfer, advected
from vfi_pipeline.nets.features import Features, features
from vfi_pipeline.training.loggers import log_picture
from vfi_pipeline.training.triplet_module import OptimizerFactory, SchedulerFactory, named_tensors, refuse_divergence

SEQUENCES = ((), (), (1,), (1,), (0, 1), (0, 1, 0, 1))
"""Which of the frames first (0) and middle (1) are stylised, each from the one before it, ahead of the last frame: a
third of the steps has none, as a film's first frame; some have as many as a few frames have."""


class StyleModule(pl.LightningModule):
    """Fits ``models.style.StyleTransfer`` to triplets of neighbouring frames.

    The loss compares the last frame. Before it, the others are stylised one from another, in either direction, without
    a gradient: as in a film, the network's input is its own output, at the price of its forward pass.

    Args:
        model: the network.
        image: the style: a picture's file, or the name of a drawn one (``data.style_pictures``).
        size: longest side, px, of the style picture: the scale of its texture in the result.
        objective: weights of the terms.
        optimizer, scheduler: as in ``TripletModule``.
        motion: weights of the flow between the frames.
        pooling: of the feature network.
        sizes: at which style is compared: the frame's, half of it ...
        run_dir: where pictures of the validation go; None keeps none.
        seed: of the sequences drawn.
    """

    def __init__(
        self,
        model: StyleTransfer,
        image: str,
        objective: StyleObjective,
        optimizer: OptimizerFactory,
        scheduler: SchedulerFactory | None = None,
        size: int = 256,
        motion: str = "flow",
        pooling: str = STYLE_POOLING,
        sizes: int = 1,
        run_dir: str | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.model, self.objective = model, objective
        self.optimizer, self.scheduler = optimizer, scheduler
        self.run_dir, self.seed = None if run_dir is None else Path(run_dir), seed
        path, digest = locate(motion)
        flow, _ = load_model(path, digest)
        if not isinstance(flow, FlowInterpolator):
            raise UserError(f"training.motion={motion} is no flow model.", "training.motion=flow.", USAGE)
        network = features("vgg", pooling)
        picture = style_picture(image, size)
        # In a tuple: as parts of the module, the fixed networks would be saved in every checkpoint.
        self._fixed: tuple[Features, FlowInterpolator] = (network, flow)
        self._target = StyleTarget.of(network, picture, STYLE_LAYERS, sizes)

    def training_step(self, batch: Triplet, batch_idx: int) -> Tensor:
        random = np.random.default_rng([self.seed, self.global_step])
        terms = self.terms(batch, SEQUENCES[random.integers(len(SEQUENCES))])
        refuse_divergence(terms["total"], self.global_step)
        self.log_dict({f"train/{name}": value.detach() for name, value in terms.items()})
        return terms["total"]

    def validation_step(self, batch: Triplet, batch_idx: int) -> None:
        self._measure(batch, "val", batch_idx)

    def test_step(self, batch: Triplet, batch_idx: int) -> None:
        self._measure(batch, "test", batch_idx)

    def configure_optimizers(self) -> Any:
        optimizer = self.optimizer(list(self.model.parameters()))
        if self.scheduler is None:
            return {"optimizer": optimizer}
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self.scheduler(optimizer), "interval": "step"}}

    def terms(self, batch: Triplet, sequence: Sequence[int]) -> dict[str, Tensor]:
        """The objective's terms for the last frame, after the frames of ``sequence``: by name, and ``total``."""
        network, target = self._network(), self._style_target()
        frames = _frames(batch)
        expected, confidence = self.previous_frame(frames, sequence)
        stylised = self.model(frames[2], expected, confidence)
        content = self.objective.content_of(network, frames[2])
        return self.objective(network, stylised, content, target, expected, confidence)

    @torch.no_grad()
    def previous_frame(self, frames: Sequence[Tensor], sequence: Sequence[int]) -> tuple[Tensor | None, Tensor | None]:
        """The frame before the last one, stylised at the end of ``sequence`` and carried; with its confidence."""
        expected = confidence = None
        flows = self._flows(frames, sequence)
        for place, number in enumerate(sequence):
            stylised = self.model(frames[number], expected, confidence)
            following = sequence[place + 1] if place + 1 < len(sequence) else 2
            forward, backward = flows[number, following]
            expected, confidence = advected(stylised, backward, forward)
        return expected, confidence

    def _flows(self, frames: Sequence[Tensor], sequence: Sequence[int]) -> dict[tuple[int, int], tuple[Tensor, Tensor]]:
        """(from, to) -> (forward, backward) for the steps of the sequence, estimated in one batch."""
        pairs = sorted({tuple(sorted(pair)) for pair in zip(sequence, (*sequence[1:], 2))})
        if not pairs:
            return {}
        starts, ends = (torch.cat([frames[pair[side]] for pair in pairs]) for side in (0, 1))
        forward, backward = self.flow.flows(starts, ends)
        flows = {}
        for (start, end), pair_forward, pair_backward in zip(
            pairs, forward.chunk(len(pairs)), backward.chunk(len(pairs))
        ):
            flows[start, end], flows[end, start] = (pair_forward, pair_backward), (pair_backward, pair_forward)
        return flows

    @torch.no_grad()
    def _measure(self, batch: Triplet, part: str, index: int) -> None:
        network, target = self._network(), self._style_target()
        terms = self.terms(batch, (0, 1))
        figures = {"loss": terms["total"], **{name: value for name, value in terms.items() if name != "total"}}
        # The same without the frame before, and as the unstylised picture would do.
        frames = _frames(batch)
        alone = [self.model(frame) for frame in frames[1:]]
        forward, backward = self._flows(frames, (1,))[1, 2]
        expected, confidence = advected(alone[0], backward, forward)
        figures["temporal_alone"] = temporal_distance(alone[1], expected, confidence)
        content = self.objective.content_of(network, frames[2])
        figures["style_alone"] = self.objective(network, alone[1], content, target)["style"]
        figures["style_source"] = self.objective(network, frames[2], content, target)["style"]
        self.log_dict(
            named_tensors(figures, part, self.device), on_epoch=True, on_step=False, sync_dist=True,
            batch_size=batch.first.shape[0],
        )  # fmt: skip
        if index == 0 and self.run_dir is not None and self.trainer.is_global_zero:
            rows = torch.cat((*frames[1:], *alone), dim=-1)[:4]
            log_picture(
                self.trainer.loggers, self.run_dir, f"{part}/style", torch.cat(list(rows), dim=-2), self.global_step
            )

    @property
    def flow(self) -> FlowInterpolator:
        """The fixed model of the motion between the frames."""
        return self._fixed[1].to(self.device)

    def _network(self) -> Features:
        return self._fixed[0].to(self.device)

    def _style_target(self) -> StyleTarget:
        grams = self._target.grams
        return StyleTarget(tuple({layer: matrix.to(self.device) for layer, matrix in size.items()} for size in grams))


def _frames(batch: Triplet) -> tuple[Tensor, Tensor, Tensor]:
    """First, middle and last; of pairs the first stands in for the middle."""
    return batch.first, batch.targets[:, 0] if batch.targets.shape[1] else batch.first, batch.last


def style_picture(image: str, size: int) -> Tensor:
    """A style's picture as (1, 3, H, W) in [0, 1], its longest side ``size`` px or less.

    Raises:
        UserError: if there is no such file, or it is no picture.
    """
    drawn = DRAWN.get(image) if not Path(image).is_file() else None
    pixels = drawn() if drawn is not None else read_rgb8(Path(image))
    return shrunk_picture(pixels, size)
