"""Films edited frame by frame: painters for ``synthesis.style``, each frame in the light of the one before.

A painter's frame may have channels beyond the picture's three: they are moved along the flow with it, kept over stops,
and handed back for the next frame.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vfi_pipeline.editing.dfi import AttributeChange, Dfi
from vfi_pipeline.editing.exemplars import ExemplarSettings, most_alike, stylised
from vfi_pipeline.editing.inversion import InversionObjective

TEMPORAL = 3.0
"""Weight of the temporal term beside the features' relative distance."""


class AttributePainter:
    """An attribute in every frame. What it paints is the change, which is added to the film's own pixels.

    A frame's inversion starts from its own plus the change of the frame before, moved along the flow, and is held to
    that where the flow can be trusted.

    Args:
        make: (height, width) -> the method, with sets of that size; called once.
        strength: of the attribute.
        first_seen: is called with the first frame (1, 3, h, w) and the method.
    """

    looks_back = True

    def __init__(
        self, make: Callable[[tuple[int, int]], Dfi], strength: float,
        first_seen: Callable[[Tensor, Dfi], None] = lambda image, dfi: None,
    ) -> None:  # fmt: skip
        self.make, self.strength, self.first_seen = make, strength, first_seen
        self._dfi: Dfi | None = None

    def paint(self, index: int, image: Tensor, expected: Tensor | None, confidence: Tensor | None) -> Tensor:
        """(1, 3, h, w): 1/2 plus half the change."""
        if self._dfi is None or self._dfi.size != tuple(image.shape[-2:]):
            height, width = image.shape[-2:]
            self._dfi = self.make((height, width))
            self.first_seen(image, self._dfi)
        change = self._dfi.change(image)
        if expected is None or confidence is None:
            found = change.at(self.strength)
        else:
            found = self._held(change, 2 * expected - 1, confidence)
        return ((found.clamp(-1, 1) + 1) / 2).expand(-1, 3, -1, -1)

    def _held(self, change: AttributeChange, carried: Tensor, confidence: Tensor) -> Tensor:
        settings = change.settings
        objective = InversionObjective(settings.layers, settings.total_variation, TEMPORAL)
        base = change.inversion(0.0, change.picture, 2 * settings.iterations)
        start = base + confidence * carried
        return change.inversion(
            self.strength, start, settings.iterations, objective, (base + carried, confidence)
        ) - base  # fmt: skip


class ExemplarPainter:
    """The look of exemplars in every frame; the weights of the exemplars are carried along the flow.

    Args:
        exemplars: (height, width) -> (N, 3, height, width) in [0, 1].
    """

    looks_back = True

    def __init__(
        self, exemplars: Callable[[tuple[int, int]], Tensor], settings: ExemplarSettings = ExemplarSettings()
    ) -> None:
        self.exemplars, self.settings = exemplars, settings
        self._known: Tensor | None = None

    @torch.no_grad()
    def paint(self, index: int, image: Tensor, expected: Tensor | None, confidence: Tensor | None) -> Tensor:
        """(1, 3 + 2 most, h, w): the picture, the weight of each exemplar, and which ones they are."""
        height, width = image.shape[-2:]
        if self._known is None or self._known.shape[-2:] != image.shape[-2:]:
            self._known = self.exemplars((height, width)).to(image)
        most = min(self.settings.most, len(self._known))
        if expected is None or confidence is None:
            which = most_alike(image, self._known, most, self.settings.patches)
            held = None
        else:
            # A film's exemplars are those of the shot's first frame: the numbers are the same at every pixel.
            codes = expected[0, 3 + most :, height // 2, width // 2]
            which = [min(len(self._known) - 1, round(float(code) * 2048)) for code in codes]
            held = expected[:, 3 : 3 + most] * confidence
        found = stylised(image, self._known[which], self.settings, held)
        numbers = image.new_tensor(which).view(1, most, 1, 1).expand(-1, -1, height, width) / 2048
        return torch.cat((found.made.clamp(0, 1), found.weights, numbers), dim=1)
