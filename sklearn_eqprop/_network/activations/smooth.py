"""Smooth activations: the state is free, and its rate is transmitted."""

import math
from typing import Any

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._network.activations.base import Activation


class Tanh(Activation):
    """ρ(s) = tanh(s)."""

    name = "tanh"
    analytic = True
    rate_is_bounded = True
    rate_is_signed = True

    def rate(self, xp: Any, s: Array) -> Array:
        return xp.tanh(s)

    def slope(self, xp: Any, s: Array) -> Array:
        return 1 - xp.tanh(s) ** 2

    def rate_change(self, xp: Any, s: Array, d: Array) -> Array:
        """By the addition theorem, (tanh s + tanh d) / (1 + tanh s tanh d) - tanh s."""
        at_s, change = xp.tanh(s), xp.tanh(d)
        return change * (1 - at_s * at_s) / (1 + at_s * change)

    def potential(self, xp: Any, s: Array) -> Array:
        """By parts, s tanh(s) - log cosh(s)."""
        return s * xp.tanh(s) - xp.logaddexp(s, -s) + math.log(2)


class Logistic(Activation):
    """ρ(s) = 1 / (1 + exp(-s)), which is (1 + tanh(s / 2)) / 2."""

    name = "logistic"
    analytic = True
    rate_is_bounded = True

    def rate(self, xp: Any, s: Array) -> Array:
        """The rate by tanh, which does not overflow for any finite s; exp(-s) does."""
        return 0.5 * (1 + xp.tanh(0.5 * s))

    def slope(self, xp: Any, s: Array) -> Array:
        rate = self.rate(xp, s)
        return rate * (1 - rate)

    def rate_change(self, xp: Any, s: Array, d: Array) -> Array:
        """By the addition theorem of tanh."""
        at_s, change = xp.tanh(0.5 * s), xp.tanh(0.5 * d)
        return 0.5 * (change * (1 - at_s * at_s) / (1 + at_s * change))

    def potential(self, xp: Any, s: Array) -> Array:
        """By parts, s ρ(s) - log(½ (1 + exp(s)))."""
        return s * self.rate(xp, s) - xp.logaddexp(0, s) + math.log(2)
