"""Huber loss, for regression with outliers."""

from typing import Any

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._losses.base import Loss

#: δ: errors up to this are squared, in units of the standardised targets.
HUBER_DELTA = 1.0


class Huber(Loss):
    """C = ½ e² for e = ``|y - s_L|`` up to δ, and δ (e - δ/2) beyond (Huber 1964), summed.

    δ is `HUBER_DELTA`.
    """

    name = "huber"
    curvature = 1.0
    bounded_outputs = True

    def value(self, xp: Any, output: Array, target: Array) -> Array:
        error = xp.abs(target - output)
        quadratic = xp.minimum(error, HUBER_DELTA)
        return (quadratic * (error - 0.5 * quadratic)).sum(axis=1)

    def force(self, xp: Any, output: Array, target: Array) -> Array:
        return xp.clip(target - output, -HUBER_DELTA, HUBER_DELTA)

    def resolve(
        self, xp: Any, drive: Array, displacement: Array, origin: Array, target: Array, beta: Array
    ) -> Array:
        """The exact solution, see `Loss.resolve`: the error (drive - y) / (1 + β) is clipped."""
        error = (drive + (origin - target)) / (1 + beta)
        return drive - beta * xp.clip(error, -HUBER_DELTA, HUBER_DELTA)
