"""Poisson deviance, for counts."""

import math
from typing import Any

import numpy as np

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._losses.base import Loss

#: Newton steps of `Poisson.resolve`. From its start they approach the solution from one side.
#: They leave less than 1e-13 of the distance, for every strength of the nudge.
NEWTON_STEPS = 8


class Poisson(Loss):
    """Half the Poisson deviance of a log-rate, C = exp(s_L) - y s_L + y log y - y.

    Its curvature exp(s_L) has no bound.
    """

    name = "poisson"
    curvature = math.inf
    predicts_log = True

    def value(self, xp: Any, output: Array, target: Array) -> Array:
        """C of each sample; y log y counts as 0 if y = 0."""
        logarithm = xp.log(xp.where(target > 0, target, 1))
        return (xp.exp(output) - target * (output - logarithm) - target).sum(axis=1)

    def force(self, xp: Any, output: Array, target: Array) -> Array:
        return target - xp.exp(output)

    def constant_loss(self, target: np.ndarray, weight: np.ndarray | None) -> float:
        """Mean deviance from the mean of the targets."""
        target = target.astype(np.float64)
        mean = np.average(target, axis=0, weights=weight)
        # If the mean is 0, the best exp(s_L) is 0, with no deviance. The output 0 stands for it
        # below, and its deviance of 1 is subtracted.
        output = np.log(np.where(mean > 0, mean, 1))
        losses = self.value(np, np.broadcast_to(output, target.shape), target)
        return float(np.average(losses, weights=weight) - (mean == 0).sum())

    def resolve(
        self, xp: Any, drive: Array, displacement: Array, origin: Array, target: Array, beta: Array
    ) -> Array:
        """Solution by Newton's method, to rounding, for β > 0; see `Loss.resolve`.

        d solves d + a (exp(d) - 1) = b with a = β exp(origin) and b = drive + β force(origin).
        The left side is convex, and three upper bounds of d are known: from its tangent at 0, from
        its limit far below 0 and, if b > 0, from the left side without its first term. From the
        smallest of them Newton's method descends to d.
        """
        scale = beta * xp.exp(origin)
        total = drive + beta * self.force(xp, origin, target)
        moved = xp.minimum(total / (1 + scale), total + scale)
        # If exp(origin) has underflowed to 0, the last bound would divide by 0.
        tiny = float(xp.finfo(total.dtype).tiny)
        log_bound = xp.log1p(xp.maximum(total, 0) / xp.maximum(scale, tiny))
        moved = xp.where(total > 0, xp.minimum(moved, log_bound), moved)
        for _ in range(NEWTON_STEPS):
            grown = scale * xp.expm1(moved)
            moved = moved - (moved + grown - total) / (1 + scale + grown)
        return moved
