"""The dynamics linearised at a free equilibrium: products with A and A^T, and linear systems.

A = ∂μ/∂s, that is A_ij = ∂μ_i/∂s_j, is never stored. Let W hold all weights in one matrix, and let
D = diag(ρ'(s)), so that A = W D - 1. The product A v is one pass through the connections, and
A^T v is one pass through them in reverse. A unit at a bound of its range cannot move and does not
transmit a change, so it is not part of A.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from sklearn_eqprop._network import arrival_scales
from sklearn_eqprop._relaxation import AdjointField, DisplacementField, Origin, Result
from sklearn_eqprop._substrates.phases import held_push, network_at
from sklearn_eqprop._substrates.seam import FreePhase
from sklearn_eqprop.diagnostics._subject import TOLERANCE, Subject


class TangentField(AdjointField):
    """A d + force: the nudged dynamics in the limit β → 0, linear in d = ds/dβ.

    With the force -C_s on the output, the fixed point is A^{-1} C_s. This is ds^β/dβ at β = 0
    (Theorem 1, Scellier et al. 2018).
    """

    def signal(self, layer: int, state: np.ndarray) -> Any:
        """D d, the change of the rates to first order."""
        slope = self.origin.slopes[layer - 1]
        return state if slope is None else slope * state

    def inflow(self, layer: int, signals: Sequence[Any], sources: range) -> np.ndarray | None:
        """W D d for one layer. It is 0 for units at a bound."""
        inflow = self.network.inflow(layer, signals, sources)
        return inflow if inflow is None else _without_units_at_bounds(self.origin, layer, inflow)


def _without_units_at_bounds(origin: Origin, layer: int, vector: np.ndarray) -> np.ndarray:
    """Set the entries of units at a bound to 0, in place."""
    if origin.lower[layer - 1] is not None or origin.upper[layer - 1] is not None:
        vector *= origin.slopes[layer - 1]  # bounded units: 1 inside the range, 0 at a bound
    return vector


class Jacobian:
    """Products with A and A^T for every sample, at its free equilibrium."""

    def __init__(self, subject: Subject, free: FreePhase) -> None:
        self._origin = subject.origin(free)
        output = self._origin.states[-1]
        push = held_push(np.zeros_like(output), np)
        arguments = (network_at(free), self._origin, len(output), push)
        self._forward, self._reverse = TangentField(*arguments), AdjointField(*arguments)

    def restricted(self, vectors: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Vectors with 0 for units at a bound. The arrays are changed in place."""
        return [
            _without_units_at_bounds(self._origin, layer, vector)
            for layer, vector in enumerate(vectors, start=1)
        ]

    def times(self, vectors: Sequence[np.ndarray]) -> list[np.ndarray]:
        """A v, one new array per layer. v must be 0 for units at a bound."""
        return _velocities(self._forward, vectors)

    def transposed_times(self, vectors: Sequence[np.ndarray]) -> list[np.ndarray]:
        """A^T v, one new array per layer. v must be 0 for units at a bound."""
        return _velocities(self._reverse, vectors)


def _velocities(field: DisplacementField, vectors: Sequence[np.ndarray]) -> list[np.ndarray]:
    signals = field.signals(vectors)
    return [
        field.velocity(layer, field.drive(layer, signals), vector)
        for layer, vector in enumerate(vectors, start=1)
    ]


def displacement_slope(subject: Subject, free: FreePhase, force: np.ndarray) -> Result:
    """ds^β/dβ at β = 0, the solution d of A d + force = 0 (Theorem 1), as ``states``.

    Residuals are measured relative to the force that arrives in each layer. Layers behind weak
    feedback are then as accurate as the output. If the solution does not stay finite, it raises
    DivergenceError.
    """
    return _solve(TangentField, subject, free, force, arrival_scales(subject.network))


def adjoint(subject: Subject, free: FreePhase, force: np.ndarray) -> Result:
    """Solution λ of A^T λ + force = 0 (Theorem 3), as ``states``; (∂μ/∂θ)^T λ is -dJ/dθ.

    If the solution does not stay finite, it raises DivergenceError.
    """
    return _solve(AdjointField, subject, free, force, None)


def _solve(
    kind: type[AdjointField],
    subject: Subject,
    free: FreePhase,
    force: np.ndarray,
    scales: Sequence[float] | None,
) -> Result:
    push = held_push(force, np)
    field = kind(network_at(free), subject.origin(free), len(force), push, scales=scales)
    # Without a force the solution is 0, and any positive tolerance will do.
    tolerance = TOLERANCE * np.abs(force).max(axis=1) + np.finfo(np.float64).tiny
    result = subject.settle_field(field, None, tolerance, downward=True)
    subject.check_finite(result, "linearised nudged phase")
    return result
