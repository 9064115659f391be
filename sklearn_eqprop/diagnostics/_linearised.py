"""The dynamics linearised at a free equilibrium: products with A and A^T, and systems in them.

A = ∂μ/∂s (A_ij = ∂μ_i/∂s_j) is never formed: with W all weights in one matrix and D = diag(ρ'(s)),
A v is one pass through the connections and A^T v one pass through them in reverse. A unit at
a bound of its range neither moves nor transmits a change: it is not part of the system.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._network import Network, arrival_scales
from sklearn_eqprop._relaxation import AdjointField, DisplacementField, Origin, Result
from sklearn_eqprop._substrates.phases import network_at
from sklearn_eqprop._substrates.pushes import ConstantPush
from sklearn_eqprop._substrates.seam import FreePhase
from sklearn_eqprop.diagnostics._subject import MAX_STEPS, TOLERANCE, Subject


class TangentField(AdjointField):
    """A d + force: the nudged dynamics in the limit β → 0, linear in d = ds/dβ.

    With the force -C_s on the output its fixed point is A^{-1} C_s, that is ds^β/dβ at β = 0
    (Theorem 1, Scellier et al. 2018).
    """

    def signal(self, layer: int, state: Array) -> Array:
        """See `Field.signal`; D d."""
        slope = self.origin.slopes[layer - 1]
        return state if slope is None else slope * state

    def inflow(self, layer: int, signals: Sequence[Any], sources: range) -> Array | None:
        """See `Field.inflow`; nothing into units at a bound."""
        inflow = self.network.inflow(layer, signals, sources)
        return inflow if inflow is None else network_at_bounds(self.origin, layer, inflow)


def network_at_bounds(origin: Origin, layer: int, vector: Array) -> Array:
    """A vector of one layer with 0 for every unit at a bound, changed in place."""
    if origin.lower[layer - 1] is not None or origin.upper[layer - 1] is not None:
        vector *= origin.slopes[layer - 1]  # of bounded units 1 inside the range, 0 at a bound
    return vector


class Jacobian:
    """Products with A and A^T of every sample at its free equilibrium.

    Parameters
    ----------
    network : Network
        As it is at the origin, see `Network.hold`.
    origin : Origin
        With slopes.
    """

    def __init__(self, network: Network, origin: Origin) -> None:
        xp, output = network.backend.xp, origin.states[-1]
        nothing = ConstantPush(xp.zeros_like(output))
        self._origin = origin
        self._forward = TangentField(network, origin, output.shape[0], nothing)
        self._reverse = AdjointField(network, origin, output.shape[0], nothing)

    def restricted(self, vectors: Sequence[Array]) -> list[Array]:
        """Vectors without the units that are at a bound; works in them."""
        return [
            network_at_bounds(self._origin, layer, v) for layer, v in enumerate(vectors, start=1)
        ]

    def times(self, vectors: Sequence[Array]) -> list[Array]:
        """A v, a fresh array a layer; v must be 0 at the bounds."""
        return _velocities(self._forward, vectors)

    def transposed_times(self, vectors: Sequence[Array]) -> list[Array]:
        """A^T v, a fresh array a layer; v must be 0 at the bounds."""
        return _velocities(self._reverse, vectors)


def _velocities(field: DisplacementField, vectors: Sequence[Array]) -> list[Array]:
    signals = field.signals(vectors)
    return [
        field.velocity(layer, field.drive(layer, signals), vector)
        for layer, vector in enumerate(vectors, start=1)
    ]


def displacement_slope(subject: Subject, free: FreePhase, origin: Origin, force: Array) -> Result:
    """ds^β/dβ at β = 0, the solution of A d + force = 0 (Theorem 1), as ``states``.

    Residuals are measured in units of the force as it arrives in each layer, so that
    layers behind weak feedback are as accurate as the output.
    """
    return _solve(TangentField, subject, free, origin, force, arrival_scales(subject.network))


def adjoint(subject: Subject, free: FreePhase, origin: Origin, force: Array) -> Result:
    """Solution λ of A^T λ + force = 0 (Theorem 3): (∂μ/∂θ)^T λ is -dJ/dθ; as ``states``."""
    return _solve(AdjointField, subject, free, origin, force, None)


def _solve(
    kind: type[AdjointField],
    subject: Subject,
    free: FreePhase,
    origin: Origin,
    force: Array,
    scales: Sequence[float] | None,
) -> Result:
    backend = subject.network.backend
    field = kind(network_at(free), origin, force.shape[0], ConstantPush(force), scales=scales)
    tolerance = TOLERANCE * backend.row_max_abs(force)
    # Without a force 0 is the solution: any tolerance will do.
    tolerance += float(backend.xp.finfo(tolerance.dtype).tiny)
    with np.errstate(over="ignore", invalid="ignore"):
        result = subject.relaxation.settle(field, None, tolerance, MAX_STEPS, downward=True)
    subject.check_finite(result, "linearised nudged phase")
    return result
