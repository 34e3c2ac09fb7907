"""``model=deepsim``: primitives that move, and a generator that draws each frame from them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from vfi_pipeline.animation.picture_fit import picture_fit
from vfi_pipeline.animation.protocol import PairAnimation, PairModel, Points, Progress
from vfi_pipeline.errors import UserError
from vfi_pipeline.models.motion import IntermediateMotion
from vfi_pipeline.models.single_image import SingleImageGenerator, load_single_image
from vfi_pipeline.models.unmoved import Unmoved


class PrimitiveAnimator:
    """A ``PairModel``: another ``PairModel`` moves two primitives, and a generator draws the pictures.

    Unlike other models it also draws the ends, ``t = 0`` and ``t = 1``.
    """

    draws_ends = True

    def __init__(self, generator: SingleImageGenerator, motion: PairModel) -> None:
        self.generator, self.motion = generator, motion

    def solve(
        self, first: Tensor, last: Tensor, *, points: Points | None = None, progress: Progress | None = None
    ) -> DrawnAnimation:
        """See ``PairModel``."""

        def report(share: float, animation: PairAnimation) -> None:
            assert progress is not None
            progress(share, DrawnAnimation(self.generator, animation))

        inner = self.motion.solve(first, last, points=points, progress=None if progress is None else report)
        return DrawnAnimation(self.generator, inner)

    def still(self, primitive: Tensor) -> DrawnAnimation:
        """One primitive: the same picture at every t."""
        return DrawnAnimation(self.generator, _Still(primitive))


class DrawnAnimation:
    """An animation of primitives as the pictures that a generator draws of them; see ``PairAnimation``."""

    def __init__(self, generator: SingleImageGenerator, primitives: PairAnimation) -> None:
        self.generator, self.primitives = generator, primitives

    def frame(self, t: float) -> Tensor:
        return self.generator.draw(self.primitives.frame(t))

    def sides(self, t: float) -> tuple[Tensor, Tensor]:
        first, last = self.primitives.sides(t)
        return self.generator.draw(first), self.generator.draw(last)

    def maps(self, t: float) -> IntermediateMotion:
        return self.primitives.maps(t)

    def velocity(self) -> Tensor:
        return self.primitives.velocity()

    def shares(self) -> dict[str, float]:
        return self.primitives.shares()

    def prepare(self, times: Sequence[float]) -> None:
        self.primitives.prepare(times)


class _Still(Unmoved):
    """One picture at every t."""

    def __init__(self, picture: Tensor) -> None:
        self.picture = picture

    def frame(self, t: float) -> Tensor:
        return self.picture


def load_primitive_animator(
    weights: str | None = None, quality: str = "balanced", guide_span: int | None = 256, device: str = "cpu"
) -> PrimitiveAnimator:
    """``model=deepsim``: the generator of a picture, and the fit that moves its primitives.

    Raises:
        UserError: if the weights are missing, or of another kind of model.
    """
    if not weights:
        raise UserError(
            "model=deepsim draws one picture, and no weights= say which.",
            "python train.py experiment=single_image image=y.png, then weights= what it exports.",
        )
    return PrimitiveAnimator(load_single_image(weights, device), picture_fit(guide_span, quality, None, device))
