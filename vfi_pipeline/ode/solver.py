"""How an ODE is solved."""

from __future__ import annotations

from dataclasses import dataclass

FIXED = ("euler", "midpoint", "rk4")
ADAPTIVE = ("dopri5", "bosh3", "fehlberg2", "adaptive_heun", "dopri8")


@dataclass(frozen=True)
class Solver:
    """How the ODE is solved.

    Attributes:
        method: ``euler``, ``midpoint`` or ``rk4`` (fixed steps), or an adaptive one such as ``dopri5``.
        steps: steps per unit t of the fixed-step methods.
        rtol, atol: tolerances of the adaptive ones; atol in pixels.
        adjoint: gradients by the adjoint ODE: memory does not grow with the steps, time about doubles.
            Only tensors named in ``parameters`` of the call and the start receive gradients.
    """

    method: str = "rk4"
    steps: int = 8
    rtol: float = 1e-3
    atol: float = 1e-3
    adjoint: bool = False

    def __post_init__(self) -> None:
        if self.method not in FIXED + ADAPTIVE:
            raise ValueError(f"No solver {self.method!r}. Use one of {', '.join(FIXED + ADAPTIVE)}.")
        if self.steps < 1:
            raise ValueError(f"A solver needs at least one step per unit t, got steps={self.steps}.")
