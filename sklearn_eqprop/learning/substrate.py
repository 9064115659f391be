"""The seam between learning and dynamics: two verbs, settle and local change.

A learner never looks inside the dynamics. Anything that settles under a clamped input and
a push on its output, and lets each synapse multiply what it sees on its two sides, can be
trained: the simulated network here, or a noisy, quantised or physical one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sklearn_eqprop.backend.array_backend import Array
from sklearn_eqprop.learning.costs import Cost
from sklearn_eqprop.learning.feedback import attenuations
from sklearn_eqprop.learning.nudging import Nudge
from sklearn_eqprop.network import Network, feedback_gains
from sklearn_eqprop.relaxation import Field, Relaxation, Result

#: Units of rounding that a residual may hold however long a network settles.
ROUNDING_UNITS = 10


@dataclass
class FreePhase:
    """A free equilibrium and what it belongs to.

    Attributes
    ----------
    inputs : array of shape (n_samples, n_features)
    result : Result
    clamped : list of array
        The constant drive, worked out once for both phases.
    """

    inputs: Array
    result: Result
    clamped: list[Array]


class Substrate(Protocol):
    """What a learner can ask of a dynamical system."""

    def settle(self, inputs: Array) -> FreePhase:
        """Free phase: clamp the input and let the system come to rest."""
        ...

    def settle_nudged(
        self, free: FreePhase, cost: Cost, target: Array, strengths: Sequence[float]
    ) -> list[Result]:
        """Nudged phases: from the free equilibrium, push the output with each strength β."""
        ...

    def local_change(self, free: FreePhase, deltas: Sequence[Array]) -> list[Array]:
        """(∂μ/∂θ)^T Δ for each block of parameters, Δ being weighted by sample."""
        ...


@dataclass(frozen=True)
class SettlingLimits:
    """How far, and how long at most, the two phases settle.

    Attributes
    ----------
    tolerance : float
        Largest residual of a settled sample in the free phase; times |β| in a nudged phase.
        Where rounding would not let the states come that close, it is the limit.
    max_free, max_nudged : int
        Most steps or sweeps of each phase.
    smallest_signal : float or None, default=None
        If given, |β|: both tolerances are then multiplied so as to be relative to the nudge as
        it arrives at the first layer, β Π γ, which is what a displacement from the free
        state must resolve.
    """

    tolerance: float
    max_free: int
    max_nudged: int
    smallest_signal: float | None = None


class SimulatedNetwork:
    """A network whose dynamics are simulated by one of the relaxations.

    Parameters
    ----------
    network : Network
    relaxation : Relaxation
    limits : SettlingLimits
    """

    def __init__(self, network: Network, relaxation: Relaxation, limits: SettlingLimits) -> None:
        self.network = network
        self._relaxation = relaxation
        self._limits = limits

    def settle(self, inputs: Array) -> FreePhase:
        """See `Substrate.settle`."""
        clamped = self.network.clamp(inputs)
        field = Field(self.network, clamped, inputs.shape[0])
        result = self._relaxation.settle(
            field,
            None,
            self._free_tolerance(clamped[0]),
            self._limits.max_free,
        )
        return FreePhase(inputs, result, clamped)

    def settle_nudged(
        self, free: FreePhase, cost: Cost, target: Array, strengths: Sequence[float]
    ) -> list[Result]:
        """See `Substrate.settle_nudged`; all strengths settle side by side, as one batch."""
        xp = self.network.backend.xp
        n_samples, n_phases = target.shape[0], len(strengths)
        beta: Any = float(strengths[0])
        if n_phases > 1:
            column = xp.asarray(strengths, dtype=self.network.dtype)
            beta = xp.repeat(column, n_samples)[:, None]
            target = xp.concatenate([target] * n_phases)
        clamped = [
            xp.concatenate([part] * n_phases) if part.ndim > 1 else part for part in free.clamped
        ]
        nudge = Nudge(cost, target, beta, xp)
        field = Field(self.network, clamped, n_phases * n_samples, nudge, n_phases)
        start = [xp.concatenate([state] * n_phases) for state in free.result.states]
        result = self._relaxation.settle(
            field,
            start,
            self._nudged_tolerance(start, abs(strengths[0])),
            self._limits.max_nudged,
            downward=True,
        )
        return [
            _part(result, slice(phase * n_samples, (phase + 1) * n_samples))
            for phase in range(n_phases)
        ]

    def local_change(self, free: FreePhase, deltas: Sequence[Array]) -> list[Array]:
        """See `Substrate.local_change`."""
        return self.network.local_change(free.inputs, free.result.states, deltas)

    def _free_tolerance(self, input_drive: Array) -> Array:
        """Never below what rounding lets the states resolve."""
        backend = self.network.backend
        size = self._finite(backend.row_max_abs(input_drive))
        tolerance = self._limits.tolerance
        if self._limits.smallest_signal is not None:
            tolerance *= self._limits.smallest_signal * self._attenuation()
        return backend.xp.maximum(tolerance, self._rounding() * size)

    def _nudged_tolerance(self, states: Sequence[Array], beta: float) -> Array:
        """Relative to β, but never below what rounding lets the states resolve."""
        backend, xp = self.network.backend, self.network.backend.xp
        largest = backend.row_max_abs(states[0])
        for state in states[1:]:
            largest = xp.maximum(largest, backend.row_max_abs(state))
        tolerance = self._limits.tolerance * beta
        if self._limits.smallest_signal is not None:
            tolerance *= self._attenuation()
        return xp.maximum(tolerance, self._rounding() * self._finite(largest))

    def _attenuation(self) -> float:
        """Factor by which feedback attenuates a nudge on its way to the first layer."""
        return min(1.0, attenuations(feedback_gains(self.network))[0])

    def _finite(self, size: Array) -> Array:
        """Sizes, 1 where one is not finite: infinite states must not mean infinite tolerance."""
        xp = self.network.backend.xp
        return xp.where(xp.isfinite(size), size, xp.ones_like(size))

    def _rounding(self) -> float:
        """Residual, relative to the states, below which a sweep is mostly rounding error."""
        return ROUNDING_UNITS * float(self.network.backend.xp.finfo(self.network.dtype).eps)


def _part(result: Result, rows: slice) -> Result:
    return Result(
        states=[state[rows] for state in result.states],
        n_steps=result.n_steps[rows],
        residual=result.residual[rows],
        converged=result.converged[rows],
        reason=result.reason,
    )
