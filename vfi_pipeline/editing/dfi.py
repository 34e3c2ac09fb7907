"""Deep Feature Interpolation: an attribute in any strength (Upchurch et al. 2017), by the residual trick.

    x(t) = x + up(invert(phi(x) + t w) - invert(phi(x)))        w as long as phi(x), see ``attributes.relative``

Both inversions lose the same of the picture, so what is added is the change alone: it can be found in a small picture
and added to a large one, and t = 0 gives the picture bit for bit. The change is solved for at ``step``, 2 ``step``...,
each starting from the one before; between these it is interpolated linearly, so t may be any number in any order.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.editing.attributes import PictureSet, attribute_of, moved, relative
from vfi_pipeline.editing.inversion import InversionObjective, features_of, inverted
from vfi_pipeline.losses.perceptual import FeatureNetwork
from vfi_pipeline.models.unmoved import Unmoved

Told = Callable[[float], None]


@dataclass(frozen=True)
class DfiSettings:
    """How an attribute is transferred.

    Attributes:
        layers: of the feature network, ascending: those of the paper.
        neighbours: K, of each set.
        total_variation: see ``InversionObjective``.
        iterations: of L-BFGS for each step of the strength, twice as many for the picture itself.
        step: of the strength between two solutions.
    """

    layers: tuple[str, ...] = ("conv3_1", "conv4_1", "conv5_1")
    neighbours: int = 40
    total_variation: float = 0.1
    iterations: int = 50
    step: float = 0.1


class AttributeChange:
    """One picture's change by an attribute, solved where it is asked for.

    Args:
        picture: (1, C, h, w), C = 1 or 3, of the working size.
        attribute: see ``attributes.attribute_of``.
        features: the picture's own.
    """

    def __init__(
        self, picture: Tensor, features: Mapping[str, Tensor], attribute: Mapping[str, Tensor],
        network: FeatureNetwork, settings: DfiSettings,
    ) -> None:  # fmt: skip
        self.picture, self.features, self.attribute = picture, dict(features), relative(attribute, features)
        self.network, self.settings = network, settings
        self.objective = InversionObjective(settings.layers, settings.total_variation)
        self._solved: dict[int, Tensor] = {}  # multiple of the step -> inversion
        self._base: Tensor | None = None

    def solve(self, strengths: Sequence[float], progress: Told = lambda share: None) -> None:
        """Solves for all that ``strengths`` need, from 0 outward; what is solved already costs nothing."""
        step = self.settings.step
        ends = [math.ceil(max(0.0, s) / step - 1e-9) for s in strengths]
        lows = [math.ceil(max(0.0, -s) / step - 1e-9) for s in strengths]
        knots = [*range(1, max(ends, default=0) + 1), *range(-1, -max(lows, default=0) - 1, -1)]
        todo = [knot for knot in knots if knot not in self._solved]
        if not todo:
            return
        count = len(todo) + (2 if self._base is None else 0)
        done = count - len(todo)
        iterations = self.settings.iterations
        if self._base is None:
            self._base = self.inversion(
                0.0, self.picture, 2 * iterations, progress=lambda share: progress(2 * share / count)
            )
            self._solved[0] = self._base
        for knot in todo:
            before = self._solved[knot - (1 if knot > 0 else -1)]
            self._solved[knot] = self.inversion(
                knot * step,
                before,
                iterations,
                progress=lambda share, done=done: progress((done + share) / count),  # type: ignore[misc]
            )
            done += 1

    @property
    def reached(self) -> float:
        """The largest strength that is solved for so far."""
        return self.settings.step * max(self._solved, key=abs, default=0)

    def at(self, strength: float) -> Tensor:
        """(1, C, h, w) what is added to the picture; zero at 0."""
        if strength == 0:
            return torch.zeros_like(self.picture)
        self.solve([strength])
        assert self._base is not None
        place = strength / self.settings.step
        low = math.floor(place + 1e-9)
        share = max(0.0, place - low)
        change = self._solved[low] - self._base
        return change if share < 1e-9 else (1 - share) * change + share * (self._solved[low + 1] - self._base)

    def inversion(
        self, strength: float, start: Tensor, iterations: int, objective: InversionObjective | None = None,
        expectation: tuple[Tensor, Tensor] | None = None, progress: Told = lambda share: None,
    ) -> Tensor:  # fmt: skip
        """The picture whose features are this one's, moved by ``strength``; see ``inversion.inverted``."""
        target = moved(self.features, self.attribute, strength)
        return inverted(start, self.network, target, objective or self.objective, iterations, expectation, progress)


class AttributeAnimation(Unmoved):
    """A picture by an attribute's strength; see ``animation.protocol.PairAnimation``. Nothing moves.

    Args:
        picture: (1, C, H, W); C is 1, 3 or 4 (RGB premultiplied by alpha, alpha).
    """

    def __init__(self, picture: Tensor, change: AttributeChange) -> None:
        self.picture, self.change = picture, change

    @torch.no_grad()
    def frame(self, t: float) -> Tensor:
        """The picture at strength ``t``; ``t = 0`` is the picture, bit for bit."""
        return self.picture if t == 0 else with_change(self.picture, self.change.at(t))

    @property
    def reached(self) -> float:
        """The strength up to which frames need no more solving."""
        return self.change.reached

    def cells(self) -> tuple[int, int]:
        height, width = self.change.picture.shape[-2:]
        return height, width


def with_change(picture: Tensor, change: Tensor) -> Tensor:
    """``picture`` (1, C, H, W) and a change (1, c, h, w) of any size, in [0, 1]; alpha stays, and so do colours at most
    as bright as it."""
    change = resized_change(change, picture.shape[-2:]).to(picture)
    if picture.shape[1] == 4:
        alpha = picture[:, 3:]
        colours = picture[:, :3] + alpha * change
        return torch.cat((torch.minimum(colours.clamp(min=0), alpha), alpha), dim=1)
    if change.shape[1] != picture.shape[1]:
        change = change.mean(dim=1, keepdim=True) if picture.shape[1] == 1 else change.expand_as(picture)
    return (picture + change).clamp(0, 1)


def resized_change(change: Tensor, size: Sequence[int]) -> Tensor:
    """A change at another size, bicubic; the same tensor where the size is right."""
    if tuple(change.shape[-2:]) == tuple(size):
        return change
    return F.interpolate(change, tuple(size), mode="bicubic", align_corners=False, antialias=True)


class Dfi:
    """The method, with its sets: ``edit(picture)`` is what animates.

    Args:
        network: see ``nets.features``.
        sources, targets: pictures (N, 3, h, w) without and with the attribute, of the working size.
        progress: is called with the share of the sets that is looked at.
    """

    def __init__(
        self, network: FeatureNetwork, sources: Tensor, targets: Tensor, settings: DfiSettings = DfiSettings(),
        device: str | torch.device = "cpu", progress: Told = lambda share: None,
    ) -> None:  # fmt: skip
        self.network, self.settings, self.device = network, settings, device
        total = len(sources) + len(targets)
        self.sources = PictureSet(
            network, sources, settings.layers, device, lambda s: progress(s * len(sources) / total)
        )
        self.targets = PictureSet(
            network, targets, settings.layers, device, lambda s: progress((len(sources) + s * len(targets)) / total)
        )

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the working size."""
        height, width = self.sources.pictures.shape[-2:]
        return height, width

    def seen(self, picture: Tensor) -> Tensor:
        """A picture (1, C, H, W) as it is worked on: grey or RGB over mid grey, of the working size."""
        if picture.shape[1] == 4:
            picture = picture[:, :3] + 0.5 * (1 - picture[:, 3:])
        if tuple(picture.shape[-2:]) == self.size:
            return picture
        return F.interpolate(picture, self.size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)

    def change(self, picture: Tensor) -> AttributeChange:
        """The change of a picture of the working size; nothing is solved yet."""
        features = features_of(self.network, picture, self.settings.layers)
        attribute = attribute_of(features, self.sources, self.targets, self.settings.neighbours)
        return AttributeChange(picture, features, attribute, self.network, self.settings)

    def edit(
        self, picture: Tensor, strengths: Sequence[float] = (),
        progress: Callable[[float, AttributeAnimation], None] | None = None,
    ) -> AttributeAnimation:  # fmt: skip
        """The animation of ``picture`` (1, C, H, W) of any size.

        Args:
            strengths: that will be asked for; they are solved for at once.
            progress: is called with the share done and the animation as it stands, at most four times a second.
        """
        animation = AttributeAnimation(picture, self.change(self.seen(picture)))
        told = 0.0

        def tell(share: float) -> None:
            nonlocal told
            if progress is not None and time.monotonic() - told > 0.25:
                told = time.monotonic()
                progress(share, animation)

        animation.change.solve(strengths, tell)
        return animation
