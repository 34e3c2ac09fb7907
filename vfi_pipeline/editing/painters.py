"""Films edited frame by frame: painters for ``synthesis.style``, each frame consistent with the one before.

A painter's frame may have channels beyond the picture's three. ``synthesis.style`` warps them along the flow with the
picture, stores them when a job stops, and passes them to the next frame.
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
    """An attribute in every frame. It paints the change, which is added to the film's own pixels.

    A frame's inversion starts from its own plus the change of the frame before, warped along the flow; a temporal term
    keeps it there where the flow has confidence.

    Args:
        make: (height, width) -> the method, with sets of that size; called once.
        strength: of the attribute.
        on_first_frame: is called with the first frame (1, 3, h, w) and the method.
    """

    looks_back = True

    def __init__(
        self, make: Callable[[tuple[int, int]], Dfi], strength: float,
        on_first_frame: Callable[[Tensor, Dfi], None] = lambda image, dfi: None,
    ) -> None:  # fmt: skip
        self.make, self.strength, self.on_first_frame = make, strength, on_first_frame
        self._dfi: Dfi | None = None

    def paint(self, index: int, image: Tensor, expected: Tensor | None, confidence: Tensor | None) -> Tensor:
        """(1, 3, h, w): 1/2 plus half the change."""
        if self._dfi is None or self._dfi.size != tuple(image.shape[-2:]):
            height, width = image.shape[-2:]
            self._dfi = self.make((height, width))
            self.on_first_frame(image, self._dfi)
        change = self._dfi.change(image)
        if expected is None or confidence is None:
            solution = change.at(self.strength)
        else:
            solution = self._inversion_beside(change, 2 * expected - 1, confidence)
        return ((solution.clamp(-1, 1) + 1) / 2).expand(-1, 3, -1, -1)

    def _inversion_beside(self, change: AttributeChange, advected: Tensor, confidence: Tensor) -> Tensor:
        settings = change.settings
        objective = InversionObjective(settings.layers, settings.total_variation, TEMPORAL)
        base = change.inversion(0.0, change.picture, 2 * settings.iterations)
        start = base + confidence * advected
        return change.inversion(
            self.strength, start, settings.iterations, objective, (base + advected, confidence)
        ) - base  # fmt: skip


class ExemplarPainter:
    """The look of exemplars in every frame; the weights of the exemplars are warped along the flow.

    Args:
        exemplars: (height, width) -> (N, 3, height, width) in [0, 1].
    """

    looks_back = True

    def __init__(
        self, exemplars: Callable[[tuple[int, int]], Tensor], settings: ExemplarSettings = ExemplarSettings()
    ) -> None:
        self.exemplars, self.settings = exemplars, settings
        self._pictures: Tensor | None = None

    @torch.no_grad()
    def paint(self, index: int, image: Tensor, expected: Tensor | None, confidence: Tensor | None) -> Tensor:
        """(1, 3 + 2 most, h, w): the picture, the weight of each exemplar, and the exemplars' indices."""
        height, width = image.shape[-2:]
        if self._pictures is None or self._pictures.shape[-2:] != image.shape[-2:]:
            self._pictures = self.exemplars((height, width)).to(image)
        count = min(self.settings.most, len(self._pictures))
        if expected is None or confidence is None:
            indices = most_alike(image, self._pictures, count, self.settings.patches)
            earlier_weights = None
        else:
            # A shot keeps the exemplars of its first frame: the indices are the same at every pixel.
            codes = expected[0, 3 + count :, height // 2, width // 2]
            indices = [min(len(self._pictures) - 1, round(float(code) * 2048)) for code in codes]
            earlier_weights = expected[:, 3 : 3 + count] * confidence
        choice = stylised(image, self._pictures[indices], self.settings, earlier_weights)
        numbers = image.new_tensor(indices).view(1, count, 1, 1).expand(-1, -1, height, width) / 2048
        return torch.cat((choice.result.clamp(0, 1), choice.weights, numbers), dim=1)
