"""Piecewise-linear activations: the state is kept in a range, and transmitted unchanged."""

from typing import Any

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._network.activations.base import Activation


class _PiecewiseLinear(Activation):
    transmits_state = True

    def rate_change(self, xp: Any, s: Array, d: Array) -> Array:
        """The displacement d, because both states are in the range."""
        return d

    def potential(self, xp: Any, s: Array) -> Array:
        return 0.5 * s * s


class HardSigmoid(_PiecewiseLinear):
    """ρ(s) = s between 0 and 1."""

    name = "hard_sigmoid"
    lower = 0.0
    upper = 1.0
    rate_is_bounded = True

    def rate(self, xp: Any, s: Array) -> Array:
        return xp.clip(s, 0, 1)

    def slope(self, xp: Any, s: Array) -> Array:
        return ((s > 0) & (s < 1)).astype(s.dtype)


class ReLU(_PiecewiseLinear):
    """ρ(s) = s above 0."""

    name = "relu"
    lower = 0.0

    def rate(self, xp: Any, s: Array) -> Array:
        return xp.maximum(s, 0)

    def slope(self, xp: Any, s: Array) -> Array:
        return (s > 0).astype(s.dtype)


class Identity(_PiecewiseLinear):
    """ρ(s) = s. The output layer has it by default."""

    name = "identity"
    analytic = True
    rate_is_signed = True

    def rate(self, xp: Any, s: Array) -> Array:
        return s

    def slope(self, xp: Any, s: Array) -> Array:
        return xp.ones_like(s)
