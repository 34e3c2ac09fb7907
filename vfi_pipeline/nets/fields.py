"""Velocity fields given by a network: ``svf``, ``state`` and ``time``, behind one protocol.

From the first frame, or both, a field gives a conditioned velocity ``v(t, x)`` in pixels per unit t along the pull-back
path: ``x_t = x_0 o phi_t`` with ``dphi/dt = v(t, phi)``. Content moves by minus that.

| field | equation | network calls | is a flow |
|---|---|---|---|
| ``svf`` | ``v(x)``: the network's field read off at x | 1 a pair | yes: one-parameter group |
| ``time`` | ``v(t, x)``: a polynomial in t of such fields | 1 a pair | yes |
| ``state`` | ``F(first, u)(p)`` at pixel p for the map ``u`` so far: the paper's code | 1 a step | no: may fold |
"""

from __future__ import annotations

from dataclasses import asdict
from math import comb
from typing import ClassVar, Protocol

import torch
from torch import Tensor, nn

from vfi_pipeline.geometry import pixel_grid, sample, warp
from vfi_pipeline.nets.unet import UNet, UNetShape

CONDITIONINGS = ("first", "both")
SMALL = UNetShape()


class Conditioned(Protocol):
    """A velocity conditioned on its frames; also a ``Velocity`` of ``ode``.

    The adjoint method must give gradients to ``tensors``.
    """

    tensors: tuple[Tensor, ...]

    def __call__(self, t: Tensor, x: Tensor) -> Tensor:
        """Velocity (B, 2, H, W) at positions ``x`` (B, 2, H, W); ``t`` a scalar or (B, 1, 1, 1)."""

    def picture(self, t: Tensor | float = 0.0) -> Tensor:
        """The velocity on the pixel grid at time t, (B, 2, H, W): for smoothness penalties and for the eye."""

    def reversed(self) -> Conditioned:
        """``w(s, x) = -v(1 - s, x)``: its flow from the identity undoes the flow of ``v`` over [0, 1]."""


class Field(nn.Module):
    """A network that turns frames into a conditioned velocity.

    Args:
        channels: of a frame: 1 grey, 3 RGB, 4 RGBA.
        conditioning: ``first`` (animate one picture) or ``both`` (interpolate).
        unet: the network's shape.
    """

    kind: ClassVar[str]

    def __init__(self, channels: int = 3, conditioning: str = "both", unet: UNetShape = SMALL) -> None:
        super().__init__()
        if conditioning not in CONDITIONINGS:
            raise ValueError(f"No conditioning {conditioning!r}. Use one of {', '.join(CONDITIONINGS)}.")
        self.channels, self.conditioning, self.shape = channels, conditioning, unet

    def config(self) -> dict:
        """JSON from which ``field_from_config`` makes the same field, weights aside."""
        return {
            "kind": self.kind, "channels": self.channels, "conditioning": self.conditioning, "unet": asdict(self.shape)
        }  # fmt: skip

    def forward(self, first: Tensor, last: Tensor | None = None) -> Conditioned:
        """The velocity for frames (B, C, H, W) in [0, 1]. ``last`` is ignored when the first frame alone conditions."""
        raise NotImplementedError

    @property
    def _frames(self) -> int:
        return self.channels * (2 if self.conditioning == "both" else 1)

    def _network_input(self, first: Tensor, last: Tensor | None) -> Tensor:
        """The frames as the network takes them, about zero mean and unit variance."""
        if first.shape[1] != self.channels:
            raise ValueError(f"This field was made for frames of {self.channels} channels, got {first.shape[1]}.")
        if self.conditioning == "first":
            return (first - 0.5) * 4
        if last is None:
            raise ValueError("A field conditioned on both frames needs the last frame too.")
        return (torch.cat((first, last), dim=1) - 0.5) * 4


class StationaryField(Field):
    """``svf``: one network call; its field is sampled bilinearly along the path. A true flow."""

    kind = "svf"

    def __init__(self, channels: int = 3, conditioning: str = "both", unet: UNetShape = SMALL) -> None:
        super().__init__(channels, conditioning, unet)
        self.net = UNet(self._frames, 2, unet)

    def forward(self, first: Tensor, last: Tensor | None = None) -> Conditioned:
        return PolynomialVelocity(self.net(self._network_input(first, last)).to(first.dtype)[:, None])


class TimeField(Field):
    """``time``: a field that changes with t, as a Bernstein polynomial with fields as coefficients. Asked once.

    ``degree`` 0 is ``svf``; at t = 0 the velocity is the first coefficient, at t = 1 the last.
    """

    kind = "time"

    def __init__(self, channels: int = 3, conditioning: str = "both", unet: UNetShape = SMALL, degree: int = 2) -> None:
        super().__init__(channels, conditioning, unet)
        if degree < 0:
            raise ValueError(f"A polynomial in t needs a degree of 0 or more, got {degree}.")
        self.degree = degree
        self.net = UNet(self._frames, 2 * (degree + 1), unet)

    def config(self) -> dict:
        return {**super().config(), "degree": self.degree}

    def forward(self, first: Tensor, last: Tensor | None = None) -> Conditioned:
        fields = self.net(self._network_input(first, last)).to(first.dtype)
        return PolynomialVelocity(fields.unflatten(1, (self.degree + 1, 2)))


class StateField(Field):
    """``state``: the paper's code, a U-Net that reads the map so far at every solver step.

    Args:
        reads: ``displacement`` (the code's ``init_img_y``, both published experiments) or ``warped``, the first frame
            under the map so far (``warp_init_img``).
    """

    kind = "state"

    def __init__(
        self,
        channels: int = 3,
        conditioning: str = "first",
        unet: UNetShape = SMALL,
        reads: str = "displacement",
    ) -> None:
        super().__init__(channels, conditioning, unet)
        if reads not in ("displacement", "warped"):
            raise ValueError(f"A state field reads 'displacement' or 'warped', not {reads!r}.")
        self.reads = reads
        self.net = UNet(self._frames + (2 if reads == "displacement" else channels), 2, unet)

    def config(self) -> dict:
        return {**super().config(), "reads": self.reads}

    def forward(self, first: Tensor, last: Tensor | None = None) -> Conditioned:
        return StateVelocity(self.net, self._network_input(first, last), first, self.reads, sign=1)


class PolynomialVelocity:
    """``sum_k b_k(t) c_k(x)`` with Bernstein's ``b_k``; (B, K + 1, 2, H, W) coefficients, read off bilinearly."""

    def __init__(self, coefficients: Tensor) -> None:
        self.coefficients = coefficients
        self.tensors: tuple[Tensor, ...] = (coefficients,)

    def __call__(self, t: Tensor, x: Tensor) -> Tensor:
        return sample(self.picture(t), x)

    def picture(self, t: Tensor | float = 0.0) -> Tensor:
        degree = self.coefficients.shape[1] - 1
        if degree == 0:
            return self.coefficients[:, 0]
        total = torch.zeros_like(self.coefficients[:, 0])
        for k in range(degree + 1):
            total = total + comb(degree, k) * t**k * (1 - t) ** (degree - k) * self.coefficients[:, k]
        return total

    def reversed(self) -> PolynomialVelocity:
        # b_k(1 - t) = b_(K - k)(t), so time turns round when the coefficients do.
        return PolynomialVelocity(-self.coefficients.flip(1))


class StateVelocity:
    """``sign * F(frames, u)`` with ``u = x - grid``. Time does not enter."""

    def __init__(self, net: nn.Module, network_input: Tensor, first: Tensor, reads: str, sign: int) -> None:
        self.net, self.network_input, self.first, self.reads, self.sign = net, network_input, first, reads, sign
        # The frames receive gradients as well where someone asks for them, say in an adversarial chain.
        frames = (network_input,) if network_input.requires_grad else ()
        self.tensors = (*(p for p in net.parameters() if p.requires_grad), *frames)

    def __call__(self, t: Tensor, x: Tensor) -> Tensor:
        displacement = x - pixel_grid(*self.first.shape[-2:], like=x)
        if self.reads == "displacement":
            # A tenth, so that displacements of about 10 px and pictures weigh alike at the start.
            state = displacement * 0.1
        else:
            state = (warp(self.first, displacement.expand(self.first.shape[0], -1, -1, -1)) - 0.5) * 4
        state = state.expand(self.network_input.shape[0], -1, -1, -1).to(self.network_input.dtype)
        return self.sign * self.net(torch.cat((self.network_input, state), dim=1)).to(x.dtype)

    def picture(self, t: Tensor | float = 0.0) -> Tensor:
        """At the identity map, where every path begins; of the other times only a solve knows."""
        return self(torch.as_tensor(t), pixel_grid(*self.first.shape[-2:], like=self.first))

    def reversed(self) -> StateVelocity:
        # The paper's backward warp: minus the velocity, again from the identity, still looking at the first frame.
        # It inverts the forward warp to first order only; the round trip penalty asks for the rest.
        return StateVelocity(self.net, self.network_input, self.first, self.reads, -self.sign)


FIELDS: dict[str, type[Field]] = {field.kind: field for field in (StationaryField, TimeField, StateField)}


def field_from_config(config: dict) -> Field:
    """The field that ``Field.config`` described. ValueError for an unknown kind."""
    options = dict(config)
    kind = options.pop("kind", None)
    if kind not in FIELDS:
        raise ValueError(f"No velocity field {kind!r}. Known: {', '.join(FIELDS)}.")
    return FIELDS[kind](**{**options, "unet": UNetShape(**options["unet"])})
