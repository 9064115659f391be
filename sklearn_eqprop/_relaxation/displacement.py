"""Fields of displacements: how far a push moves a network from its free equilibrium.

A nudged equilibrium s^β and the free one s^0 differ by very little, by β Π γ in a layer that
feedback reaches through many loops: less than the rounding of s itself. So nudged phases are
settled in the coordinate d = s^β - s^0, in which the free equilibrium is the origin and
nothing large is ever subtracted. For the paper's rule that is a change of coordinate and
nothing else: the same dynamics, the same fixed points.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._network import Network
from sklearn_eqprop._relaxation.field import Field, Push


@dataclass(frozen=True)
class Origin:
    """A free equilibrium, as displacements from it need it; entries are None where not needed.

    Attributes
    ----------
    states : list of array or None
        s^0 of each layer; of the output always.
    offsets : list of array or None
        Drive of d = 0: what a unit at a bound would have to overcome to leave it. None: 0.
    lower, upper : list of array or None
        Range of d. None: open on that side.
    slopes : list of array or None
        ρ'(s^0), 0 for units at a bound. None: 1 for every unit of the layer.
    """

    states: list[Any]
    offsets: list[Array | None]
    lower: list[Array | None]
    upper: list[Array | None]
    slopes: list[Array | None]

    def each(self, change: Callable[[Array], Array]) -> Origin:
        """The same of every array changed alike: some of its rows, or all of them repeated."""

        def of(arrays: list[Array | None]) -> list[Any]:
            return [None if array is None else change(array) for array in arrays]

        return Origin(
            *(of(x) for x in (self.states, self.offsets, self.lower, self.upper, self.slopes))
        )


def origin_of(
    network: Network,
    states: Sequence[Array],
    drives: Sequence[Array],
    *,
    literal: bool,
    with_slopes: bool = False,
) -> Origin:
    """Origin where a free phase ended.

    Parameters
    ----------
    network : Network
    states, drives : lists of array
        Where the free phase ended, and the drive of every layer there.
    literal : bool
        True starts from the states as they are, with what the free phase has left unsettled.
        False counts that as settled: a unit is then where its drive puts it, and so either at
        rest or held at a bound.
    with_slopes : bool, default=False
        Whether the slopes are needed.

    Returns
    -------
    Origin
    """
    xp = network.backend.xp
    origin = Origin([], [], [], [], [])
    for layer, (state, drive) in enumerate(zip(states, drives, strict=True), start=1):
        activation = network.activations[layer - 1]
        bounded = activation.lower is not None or activation.upper is not None
        if not literal:
            state = network.project(layer, drive) if bounded else drive
        is_seen = literal or not activation.transmits_state or layer == network.n_layers
        origin.states.append(state if is_seen else None)
        origin.offsets.append(drive - state if literal or bounded else None)
        origin.lower.append(None if activation.lower is None else activation.lower - state)
        origin.upper.append(None if activation.upper is None else activation.upper - state)
        needed = with_slopes and activation.name != "identity"
        origin.slopes.append(activation.slope(xp, state) if needed else None)
    return origin


def clamped_origin(origin: Origin, displacement: Array) -> Origin:
    """The same origin with the output held: its range is the one displacement given."""
    return replace(
        origin,
        lower=[*origin.lower[:-1], displacement],
        upper=[*origin.upper[:-1], displacement],
    )


class DisplacementField(Field):
    """μ^β(s^0 + d), the nudged dynamics seen from the free equilibrium (Eqs. 13-16).

    Parameters
    ----------
    network : Network
        As it is at the origin, see `Network.hold`.
    origin : Origin
    n_samples : int
    push : Push or None
        None where the output is held by its range instead, see `clamped_origin`.
    n_phases : int, default=1
    scales : sequence of float or None, default=None
        Size of a displacement in each layer: residuals are divided by it. None: 1.
    """

    def __init__(
        self,
        network: Network,
        origin: Origin,
        n_samples: int,
        push: Push | None,
        n_phases: int = 1,
        scales: Sequence[float] | None = None,
    ) -> None:
        super().__init__(network, n_samples, push, n_phases)
        self.origin = origin
        self._scales = scales

    def signal(self, layer: int, state: Array) -> Any:
        """See `Field.signal`; the change of the rate, ρ(s^0 + d) - ρ(s^0)."""
        return self.network.rate_change(layer, self.origin.states[layer - 1], state)

    def inflow(self, layer: int, signals: Sequence[Any], sources: range) -> Array | None:
        """See `Field.inflow`."""
        return self.network.inflow(layer, signals, sources)

    def constant(self, layer: int) -> Array | None:
        """See `Field.constant`."""
        return self.origin.offsets[layer - 1]

    def bounds(self, layer: int) -> tuple[Any, Any]:
        """See `Field.bounds`; the activation's, less the origin."""
        return self.origin.lower[layer - 1], self.origin.upper[layer - 1]

    def measured(self, layer: int, size: Array) -> Array:
        """See `Field.measured`."""
        size = super().measured(layer, size)
        return size if self._scales is None else size / self._scales[layer - 1]

    def take(self, rows: Array) -> DisplacementField:
        """See `Field.take`."""
        origin = self.origin.each(lambda array: array[rows])
        n_samples = origin.states[-1].shape[0]
        push = None if self.push is None else self.push.take(rows)
        network = self.network.each(lambda array: array[rows])
        field = type(self)(network, origin, n_samples, push, self.n_phases, self._scales)
        field.allowances = self.allowances_of(rows)
        return field


class CorrectedField(DisplacementField):
    """μ^β(s^0 + d) + (A^T - A) d, A taken at s^0, whose displacement is an exact gradient.

    Its fixed point satisfies A^T d = β C_s + O(β²), so that (∂μ/∂θ)^T d / β is -dJ/dθ in the
    limit of small β, whatever the feedback weights (Scurria et al. 2026, arXiv:2602.03670).
    A = W D - 1 with D = diag(ρ'(s^0)): the linear part of W ρ is replaced by D W^T, and what is
    left of it, W (ρ(s^0 + d) - ρ(s^0) - D d), vanishes for activations that transmit the state.

    The parameters are those of `DisplacementField`; the origin must have slopes.
    """

    def signal(self, layer: int, state: Array) -> tuple[Array, Array | None]:
        """See `Field.signal`; the displacement, and what is not linear in the change of rate."""
        origin = self.origin.states[layer - 1]
        if self.network.activations[layer - 1].transmits_state:
            return state, None
        change = self.network.rate_change(layer, origin, state)
        change -= self.origin.slopes[layer - 1] * state
        return state, change

    def inflow(self, layer: int, signals: Sequence[Any], sources: range) -> Array | None:
        """See `Field.inflow`."""
        displacements = [None if signal is None else signal[0] for signal in signals]
        remainders = [None if signal is None else signal[1] for signal in signals]
        linear = self._transposed_inflow(layer, displacements, sources)
        rest = self.network.inflow(layer, remainders, sources)
        return rest if linear is None else self.total(layer, linear, rest)

    def _transposed_inflow(
        self, layer: int, signals: Sequence[Any], sources: range
    ) -> Array | None:
        """D W^T d: what comes in through the connections in reverse, times the slope."""
        inflow = self.network.transposed_inflow(layer, signals, sources)
        slope = self.origin.slopes[layer - 1]
        if inflow is not None and slope is not None:
            inflow *= slope
        return inflow


class AdjointField(CorrectedField):
    """A^T λ + force: recurrent backpropagation (Almeida 1987; Pineda 1987), linear in λ.

    With the force -C_s on the output its fixed point is -(A^T)^{-1}(-C_s) = (A^T)^{-1} C_s, and
    (∂μ/∂θ)^T λ is -dJ/dθ (Theorem 3, Scellier et al. 2018).

    The parameters are those of `DisplacementField`; the origin must have slopes.
    """

    def signal(self, layer: int, state: Array) -> Array:
        """See `Field.signal`; λ itself."""
        return state

    def inflow(self, layer: int, signals: Sequence[Any], sources: range) -> Array | None:
        """See `Field.inflow`."""
        return self._transposed_inflow(layer, signals, sources)

    def constant(self, layer: int) -> Array | None:
        """See `Field.constant`; the system is homogeneous but for the push."""
        return None

    def bounds(self, layer: int) -> tuple[Any, Any]:
        """See `Field.bounds`; λ has no range."""
        return None, None
