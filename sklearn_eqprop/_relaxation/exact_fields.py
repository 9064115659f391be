"""Fields whose displacements are exact gradients, whatever the feedback weights."""

from collections.abc import Sequence
from typing import Any

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._relaxation.fields import DisplacementField


class CorrectedField(DisplacementField):
    """μ^β(s^0 + d) + (A^T - A) d, where A is taken at s^0.

    Its fixed point satisfies A^T d = β C_s + O(β²), so that (∂μ/∂θ)^T d / β is -dJ/dθ in the
    limit of small β (Scurria et al. 2026, arXiv:2602.03670). A = W D - 1 with D = diag(ρ'(s^0)).
    The linear part of W ρ is replaced by D W^T. The rest, W (ρ(s^0 + d) - ρ(s^0) - D d), vanishes
    for activations that transmit the state.

    The parameters are those of `DisplacementField`; the origin must have slopes.
    """

    def signal(self, layer: int, state: Array) -> Any:
        """The displacement, and the non-linear part of the change of the rate."""
        origin = self.origin.states[layer - 1]
        if self.network.activations[layer - 1].transmits_state:
            return state, None
        change = self.network.rate_change(layer, origin, state)
        change -= self.origin.slopes[layer - 1] * state
        return state, change

    def inflow(self, layer: int, signals: Sequence[Any], sources: range) -> Array | None:
        """Inflow of the linear part in reverse direction, and of the rest in forward direction."""
        displacements = [None if signal is None else signal[0] for signal in signals]
        remainders = [None if signal is None else signal[1] for signal in signals]
        linear = self._transposed_inflow(layer, displacements, sources)
        rest = self.network.inflow(layer, remainders, sources)
        return rest if linear is None else self.total(layer, linear, rest)

    def _transposed_inflow(
        self, layer: int, signals: Sequence[Any], sources: range
    ) -> Array | None:
        """D W^T d: inflow through the connections in reverse, times the slope."""
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

    def signal(self, layer: int, state: Array) -> Any:
        return state

    def inflow(self, layer: int, signals: Sequence[Any], sources: range) -> Array | None:
        """Inflow through the connections in reverse, times the slope."""
        return self._transposed_inflow(layer, signals, sources)

    def constant(self, layer: int) -> Array | None:
        """None: apart from the push, the system is homogeneous."""
        return None

    def bounds(self, layer: int) -> tuple[Any, Any]:
        return None, None
