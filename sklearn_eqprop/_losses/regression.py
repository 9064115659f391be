"""Costs for regression beside the squared error: absolute error, Huber, Poisson."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._losses.classification import Loss

#: Halvings of the interval in which a best constant output is looked for.
BISECTIONS = 60
#: Residual up to which Huber's loss is quadratic, in units of the standardised targets.
HUBER_DELTA = 1.0
#: Newton steps by which an output comes to rest under the Poisson loss: from where they start
#: they approach from one side, and leave less than 1e-13 of it, however strong the nudge.
NEWTON_STEPS = 8


class AbsoluteError(Loss):
    """C = Σ |y - s_L|: every output is pulled with the same force, however far from its target.

    The force jumps at the target, where any force in [-β, β] keeps an output at rest. So the
    output is moved by the exact proximal step, a soft threshold, by every method of relaxation.
    """

    # Of the smooth pieces. A push away is always stable: its force is bounded.
    curvature = 0.0

    def value(self, xp: Any, output: Array, target: Array) -> Array:
        """See `Loss.value`."""
        return xp.abs(target - output).sum(axis=1)

    def force(self, xp: Any, output: Array, target: Array) -> Array:
        """See `Loss.force`; the sign of y - s_L."""
        return xp.sign(target - output)

    def constant_loss(self, target: np.ndarray, weight: np.ndarray | None) -> float:
        """See `Loss.constant_loss`; mean distance from the weighted medians."""
        return _constant_loss(self, target, weight)

    def velocity(
        self, xp: Any, drive: Array, displacement: Array, origin: Array, target: Array, beta: Array
    ) -> Array:
        """See `Loss.velocity`; towards the proximal point, 0 where the output is at rest."""
        moved = self.resolve(xp, drive, displacement, origin, target, beta)
        moved -= displacement
        return moved

    def resolve(
        self, xp: Any, drive: Array, displacement: Array, origin: Array, target: Array, beta: Array
    ) -> Array:
        """See `Loss.resolve`; for β > 0 the soft threshold ``y + S_β(drive - y)``.

        Pushed away, an output leaves on the side of the target on which its drive is.
        """
        beyond = drive + (origin - target)
        pull = xp.clip(beyond, -abs(beta), abs(beta))
        away = beta * xp.sign(beyond)
        if isinstance(beta, float):
            return drive - (pull if beta > 0 else away)
        return drive - xp.where(beta > 0, pull, away)


class Huber(Loss):
    """C = ½ e² for e = ``|y - s_L|`` up to δ, δ (e - δ/2) beyond (Huber 1964), summed.

    δ is `HUBER_DELTA`.
    """

    curvature = 1.0

    def value(self, xp: Any, output: Array, target: Array) -> Array:
        """See `Loss.value`."""
        error = xp.abs(target - output)
        quadratic = xp.minimum(error, HUBER_DELTA)
        return (quadratic * (error - 0.5 * quadratic)).sum(axis=1)

    def force(self, xp: Any, output: Array, target: Array) -> Array:
        """See `Loss.force`; y - s_L, cut off at ±δ."""
        return xp.clip(target - output, -HUBER_DELTA, HUBER_DELTA)

    def constant_loss(self, target: np.ndarray, weight: np.ndarray | None) -> float:
        """See `Loss.constant_loss`; at Huber's estimate of location."""
        return _constant_loss(self, target, weight)

    def resolve(
        self, xp: Any, drive: Array, displacement: Array, origin: Array, target: Array, beta: Array
    ) -> Array:
        """See `Loss.resolve`; the exact solution: force at (drive - y) / (1 + β), cut off."""
        error = (drive + (origin - target)) / (1 + beta)
        return drive - beta * xp.clip(error, -HUBER_DELTA, HUBER_DELTA)


class Poisson(Loss):
    """Half the Poisson deviance of a log-rate, C = exp(s_L) - y s_L + y log y - y.

    Its curvature exp(s_L) has no bound.
    """

    curvature = math.inf

    def value(self, xp: Any, output: Array, target: Array) -> Array:
        """See `Loss.value`."""
        logarithm = xp.log(xp.where(target > 0, target, 1))
        return (xp.exp(output) - target * (output - logarithm) - target).sum(axis=1)

    def force(self, xp: Any, output: Array, target: Array) -> Array:
        """See `Loss.force`; y - exp(s_L)."""
        return target - xp.exp(output)

    def constant_loss(self, target: np.ndarray, weight: np.ndarray | None) -> float:
        """See `Loss.constant_loss`; deviance from the mean."""
        target = target.astype(np.float64)
        mean = np.average(target, axis=0, weights=weight)
        output = np.log(np.where(mean > 0, mean, 1))  # mean 0: no events, nothing to get wrong
        losses = self.value(np, np.broadcast_to(output, target.shape), target)
        return float(np.average(losses, weights=weight) - (mean == 0).sum())

    def resolve(
        self, xp: Any, drive: Array, displacement: Array, origin: Array, target: Array, beta: Array
    ) -> Array:
        """See `Loss.resolve`; β > 0, by Newton's method, to rounding.

        d solves d + a (exp(d) - 1) = b with a = β exp(origin) and b = drive + β force(origin). The
        left side is convex. Its tangent at 0, its limit far below and, where b > 0, the left side
        without d all give upper bounds; from the least, Newton's method descends to d.
        """
        scale = beta * xp.exp(origin)
        total = drive + beta * self.force(xp, origin, target)
        moved = xp.minimum(total / (1 + scale), total + scale)
        # Where exp(origin) has underflowed to 0, the last bound would divide by it.
        tiny = float(xp.finfo(total.dtype).tiny)
        log_bound = xp.log1p(xp.maximum(total, 0) / xp.maximum(scale, tiny))
        moved = xp.where(total > 0, xp.minimum(moved, log_bound), moved)
        for _ in range(NEWTON_STEPS):
            grown = scale * xp.expm1(moved)
            moved = moved - (moved + grown - total) / (1 + scale + grown)
        return moved


def _constant_loss(loss: Loss, target: np.ndarray, weight: np.ndarray | None) -> float:
    """Mean of a convex loss at its best constant output, found by bisection in every column."""
    target = target.astype(np.float64)
    low, high = target.min(axis=0), target.max(axis=0)
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        upwards = np.average(loss.force(np, middle, target), axis=0, weights=weight) > 0
        low, high = np.where(upwards, middle, low), np.where(upwards, high, middle)
    losses = loss.value(np, np.broadcast_to(low, target.shape), target)
    return float(np.average(losses, weights=weight))
