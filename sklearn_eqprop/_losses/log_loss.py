"""Log loss: the cross-entropy of a softmax, or of one logistic function per label."""

from typing import Any

import numpy as np

from sklearn_eqprop._backend import Array, row_max, row_sums
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
        log_sum = xp.log(row_sums(xp, xp.exp(output - largest[:, None]))) + largest
        return log_sum - row_sums(xp, target * output)

    def force(self, xp: Any, output: Array, target: Array) -> Array:
        return target - self.probabilities(xp, output)

    def constant_loss(self, target: np.ndarray, weight: np.ndarray | None) -> float:
        """Entropy of the class frequencies."""
        return _entropy(np.average(target, axis=0, weights=weight))

    def probabilities(self, xp: Any, output: Array) -> Array:
        grown = xp.exp(output - row_max(xp, output)[:, None])
        grown /= row_sums(xp, grown)[:, None]
        return grown

    # Every sweep of a classifier calls these two. They do what `Loss` does, in fewer calls.

    def velocity(
        self, xp: Any, drive: Array, displacement: Array, origin: Array, target: Array, beta: Array
    ) -> Array:
        """``drive + β (y - softmax(origin + d)) - d``, see `Loss.velocity`."""
        velocity = beta * (target - self.probabilities(xp, origin + displacement))
        velocity += drive
        velocity -= displacement
        return velocity

    def resolve(
        self, xp: Any, drive: Array, displacement: Array, origin: Array, target: Array, beta: Array
    ) -> Array:
        """One damped step, see `Loss.resolve`; at β = 0.5 it leaves at most 1/9 of the error."""
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
        return row_sums(xp, xp.logaddexp(0, output) - target * output)

    def force(self, xp: Any, output: Array, target: Array) -> Array:
        return target - 0.5 * (1 + xp.tanh(0.5 * output))

    def constant_loss(self, target: np.ndarray, weight: np.ndarray | None) -> float:
        """Sum of the entropies of the label frequencies."""
        frequency = np.average(target, axis=0, weights=weight)
        return _entropy(frequency) + _entropy(1 - frequency)

    def probabilities(self, xp: Any, output: Array) -> Array:
        """Logistic function of the output; small values keep their relative accuracy."""
        return xp.exp(-xp.logaddexp(0, -output))


def _entropy(frequency: np.ndarray) -> float:
    """-Σ p log p, in nats."""
    present = frequency[frequency > 0].astype(np.float64)
    return float(-(present * np.log(present)).sum())
