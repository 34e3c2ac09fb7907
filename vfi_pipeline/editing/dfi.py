"""Deep Feature Interpolation: an attribute in any strength (Upchurch et al. 2017), added as a residual.

    x(t) = x + up(invert(phi(x) + t w) - invert(phi(x)))        w as long as phi(x), see ``attributes.relative``

Both inversions lose the same details of the picture, so that their difference is the change alone: it is computed on a
small picture and added to a large one, and t = 0 gives the picture bit for bit. The change is solved for at ``step``,
2 ``step``..., each from the one before, and interpolated linearly between these, so that t may be any number in any
order.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.editing.attributes import PictureSet, add_attribute, attribute_of, relative
from vfi_pipeline.editing.inversion import InversionObjective, features_of, inverted
from vfi_pipeline.losses.perceptual import FeatureNetwork
from vfi_pipeline.models.unmoved import Unmoved

Progress = Callable[[float], None]


@dataclass(frozen=True)
class DfiSettings:
    """Parameters of the method.

    Attributes:
        layers: of the feature network, ascending, as in the paper.
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
    """One picture's change by an attribute, solved for on demand.

    Args:
        picture: (1, C, h, w), C = 1 or 3, of the working size.
        attribute: see ``attributes.attribute_of``.
        features: of the picture, layer -> (1, c, h, w).
    """

    def __init__(
        self, picture: Tensor, features: Mapping[str, Tensor], attribute: Mapping[str, Tensor],
        network: FeatureNetwork, settings: DfiSettings,
    ) -> None:  # fmt: skip
        self.picture, self.features, self.attribute = picture, dict(features), relative(attribute, features)
        self.network, self.settings = network, settings
        self.objective = InversionObjective(settings.layers, settings.total_variation)
        self._inversions: dict[int, Tensor] = {}  # multiple of the step -> inversion
        self._base: Tensor | None = None

    def solve(self, strengths: Sequence[float], progress: Progress = lambda share: None) -> None:
        """Solves for all multiples of the step that ``strengths`` need and that are not solved yet, from 0 outward."""
        step = self.settings.step
        highest = [math.ceil(max(0.0, s) / step - 1e-9) for s in strengths]
        lowest = [math.ceil(max(0.0, -s) / step - 1e-9) for s in strengths]
        knots = [*range(1, max(highest, default=0) + 1), *range(-1, -max(lowest, default=0) - 1, -1)]
        missing = [knot for knot in knots if knot not in self._inversions]
        if not missing:
            return
        count = len(missing) + (2 if self._base is None else 0)
        done = count - len(missing)
        iterations = self.settings.iterations
        if self._base is None:
            self._base = self.inversion(
                0.0, self.picture, 2 * iterations, progress=lambda share: progress(2 * share / count)
            )
            self._inversions[0] = self._base
        for knot in missing:
            start = self._inversions[knot - (1 if knot > 0 else -1)]
            self._inversions[knot] = self.inversion(
                knot * step,
                start,
                iterations,
                progress=lambda share, done=done: progress((done + share) / count),  # type: ignore[misc]
            )
            done += 1

    @property
    def reached(self) -> float:
        """The largest strength that is solved for so far."""
        return self.settings.step * max(self._inversions, key=abs, default=0)

    def at(self, strength: float) -> Tensor:
        """The change to add to the picture, (1, C, h, w); zero at strength 0."""
        if strength == 0:
            return torch.zeros_like(self.picture)
        self.solve([strength])
        assert self._base is not None
        position = strength / self.settings.step
        knot = math.floor(position + 1e-9)
        share = max(0.0, position - knot)
        change = self._inversions[knot] - self._base
        return change if share < 1e-9 else (1 - share) * change + share * (self._inversions[knot + 1] - self._base)

    def inversion(
        self, strength: float, start: Tensor, iterations: int, objective: InversionObjective | None = None,
        expectation: tuple[Tensor, Tensor] | None = None, progress: Progress = lambda share: None,
    ) -> Tensor:  # fmt: skip
        """The picture whose features are those of this one plus ``strength`` times the attribute; see ``inverted``."""
        target = add_attribute(self.features, self.attribute, strength)
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
    """``picture`` (1, C, H, W) plus a change (1, c, h, w) of any size, clipped to [0, 1]; alpha stays, and
    premultiplied colours are clipped to it."""
    change = resized_change(change, picture.shape[-2:]).to(picture)
    if picture.shape[1] == 4:
        alpha = picture[:, 3:]
        colours = picture[:, :3] + alpha * change
        return torch.cat((torch.minimum(colours.clamp(min=0), alpha), alpha), dim=1)
    if change.shape[1] != picture.shape[1]:
        change = change.mean(dim=1, keepdim=True) if picture.shape[1] == 1 else change.expand_as(picture)
    return (picture + change).clamp(0, 1)


def resized_change(change: Tensor, size: Sequence[int]) -> Tensor:
    """A change at another size, bicubic; the same tensor where it has that size."""
    if tuple(change.shape[-2:]) == tuple(size):
        return change
    return F.interpolate(change, tuple(size), mode="bicubic", align_corners=False, antialias=True)


class Dfi:
    """The method with its two sets of pictures; ``edit`` gives the animation of a picture.

    Args:
        network: see ``nets.features``.
        sources, targets: pictures (N, 3, h, w) without and with the attribute, of the working size.
        progress: is called with the share of the sets whose features are computed, in [0, 1].
    """

    def __init__(
        self, network: FeatureNetwork, sources: Tensor, targets: Tensor, settings: DfiSettings = DfiSettings(),
        device: str | torch.device = "cpu", progress: Progress = lambda share: None,
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

    def working_picture(self, picture: Tensor) -> Tensor:
        """A picture (1, C, H, W) as the method takes it: grey or RGB, alpha over mid grey, of the working size."""
        if picture.shape[1] == 4:
            picture = picture[:, :3] + 0.5 * (1 - picture[:, 3:])
        if tuple(picture.shape[-2:]) == self.size:
            return picture
        return F.interpolate(picture, self.size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)

    def change(self, picture: Tensor) -> AttributeChange:
        """The change of a picture of the working size, without any solution yet."""
        features = features_of(self.network, picture, self.settings.layers)
        attribute = attribute_of(features, self.sources, self.targets, self.settings.neighbours)
        return AttributeChange(picture, features, attribute, self.network, self.settings)

    def edit(
        self, picture: Tensor, strengths: Sequence[float] = (),
        progress: Callable[[float, AttributeAnimation], None] | None = None,
    ) -> AttributeAnimation:  # fmt: skip
        """The animation of ``picture`` (1, C, H, W) of any size.

        Args:
            strengths: to solve for in advance.
            progress: is called with the share of the work done and the present animation, at most four times a second.
        """
        animation = AttributeAnimation(picture, self.change(self.working_picture(picture)))
        last_call = 0.0

        def report(share: float) -> None:
            nonlocal last_call
            if progress is not None and time.monotonic() - last_call > 0.25:
                last_call = time.monotonic()
                progress(share, animation)

        animation.change.solve(strengths, report)
        return animation
