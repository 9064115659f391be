"""Log loss: the cross-entropy of a softmax, or of one logistic function per label."""

from typing import Any

import numpy as np
from scipy.special import entr

from sklearn_eqprop._backend import Array, row_max
from sklearn_eqprop._losses.base import ClassificationLoss


class LogLoss(ClassificationLoss):
    """Cross-entropy of a softmax readout, C = log Σ exp(s_L) - y · s_L.

    The readout is not part of the dynamics. The output stays linear and is nudged by
    y - softmax(s_L) (Laborieux et al. 2021).
    """

    name = "log_loss"
    targets = ("labels",)
    curvature = 0.5
    analytic = True
    label_threshold = 0.0

    def value(self, xp: Any, output: Array, target: Array) -> Array:
        """C of each sample; the largest output is subtracted so that no exponential overflows."""
        largest = row_max(xp, output)
        log_sum = xp.log(xp.exp(output - largest[:, None]).sum(axis=1)) + largest
        return log_sum - (target * output).sum(axis=1)

    def force(self, xp: Any, output: Array, target: Array) -> Array:
        return target - self.probabilities(xp, output)

    def constant_loss(self, target: np.ndarray, weight: np.ndarray | None) -> float:
        """Entropy of the class frequencies."""
        frequency = np.average(target, axis=0, weights=weight)
        return float(entr(frequency.astype(np.float64)).sum())

    def probabilities(self, xp: Any, output: Array) -> Array:
        grown = xp.exp(output - row_max(xp, output)[:, None])
        grown /= grown.sum(axis=1, keepdims=True)
        return grown

    # As in `Loss`, written out: a reader of the default fit need not open another file.

    def velocity(
        self, xp: Any, drive: Array, displacement: Array, origin: Array, target: Array, beta: Array
    ) -> Array:
        velocity = beta * (target - self.probabilities(xp, origin + displacement))
        velocity += drive
        velocity -= displacement
        return velocity

    def resolve(
        self, xp: Any, drive: Array, displacement: Array, origin: Array, target: Array, beta: Array
    ) -> Array:
        """One damped step; at β = 0.5 it leaves at most 1/9 of the error."""
        step = self.velocity(xp, drive, displacement, origin, target, beta)
        step *= 1 / (1 + beta * (self.curvature / 2))
        step += displacement
        return step


class MultilabelLogLoss(ClassificationLoss):
    """Cross-entropy of one logistic readout per label, C = Σ log(1 + exp(s_L)) - y · s_L."""

    name = "log_loss"
    targets = ("multilabel",)
    curvature = 0.25
    analytic = True
    label_threshold = 0.0

    def value(self, xp: Any, output: Array, target: Array) -> Array:
        return (xp.logaddexp(0, output) - target * output).sum(axis=1)

    def force(self, xp: Any, output: Array, target: Array) -> Array:
        return target - 0.5 * (1 + xp.tanh(0.5 * output))

    def constant_loss(self, target: np.ndarray, weight: np.ndarray | None) -> float:
        """Sum of the entropies of the label frequencies."""
        frequency = np.average(target, axis=0, weights=weight).astype(np.float64)
        return float((entr(frequency) + entr(1 - frequency)).sum())

    def probabilities(self, xp: Any, output: Array) -> Array:
        """Logistic function of the output; small values keep their relative accuracy."""
        return xp.exp(-xp.logaddexp(0, -output))
