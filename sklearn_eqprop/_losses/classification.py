"""Costs: what the output is judged by, and the force with which it is nudged."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from sklearn_eqprop._backend import Array, row_max


class Loss(ABC):
    """C(s_L, y) of each sample (Eq. 12, Scellier et al. 2018).

    Attributes
    ----------
    curvature : float
        Upper bound of the eigenvalues of ∂²C/∂s², where it exists. A nudge of -β is stable
        only while β · curvature < 1. Infinity: not bounded, or not known.
    """

    curvature: float

    @abstractmethod
    def value(self, xp: Any, output: Array, target: Array) -> Array:
        """C of each sample, shape (n_samples,)."""

    @abstractmethod
    def force(self, xp: Any, output: Array, target: Array) -> Array:
        """-∂C/∂s_L, shape (n_samples, n_outputs); a fresh array."""

    @abstractmethod
    def constant_loss(self, target: np.ndarray, weight: np.ndarray | None) -> float:
        """Mean loss of the best output that is the same for every sample (on the host)."""

    def velocity(
        self, xp: Any, drive: Array, displacement: Array, origin: Array, target: Array, beta: Array
    ) -> Array:
        """How fast a nudged output moves, ``drive + β force(origin + d) - d``; a fresh array.

        The parameters are those of `resolve`.
        """
        velocity = beta * self.force(xp, origin + displacement, target)
        velocity += drive
        velocity -= displacement
        return velocity

    def resolve(
        self, xp: Any, drive: Array, displacement: Array, origin: Array, target: Array, beta: Array
    ) -> Array:
        """A displacement d closer to where ``drive + β force(origin + d) - d`` vanishes.

        One damped step, which leaves at most ``|β|`` curvature / (2 + β curvature) of the error:
        1/9 for the log loss at β = 0.5. Costs that have a closed form go all the way.

        Parameters
        ----------
        xp : module
        drive, displacement, origin, target : arrays of shape (n_samples, n_outputs)
            `displacement` is where to start.
        beta : float or array of shape (n_samples, 1)
        """
        step = self.velocity(xp, drive, displacement, origin, target, beta)
        step *= 1 / (1 + beta * (self.curvature / 2))
        step += displacement
        return step


class ClassificationLoss(Loss):
    """A loss whose output stands for probabilities of classes or labels."""

    @abstractmethod
    def probabilities(self, xp: Any, output: Array) -> Array:
        """Class probabilities the output stands for, shape (n_samples, n_outputs)."""


class SquaredError(ClassificationLoss):
    """C = ½ ||y - s_L||² (Eq. 11): the output is pulled to its target like a spring."""

    curvature = 1.0

    def value(self, xp: Any, output: Array, target: Array) -> Array:
        """See `Loss.value`."""
        return 0.5 * ((target - output) ** 2).sum(axis=1)

    def force(self, xp: Any, output: Array, target: Array) -> Array:
        """See `Loss.force`; y - s_L."""
        return target - output

    def constant_loss(self, target: np.ndarray, weight: np.ndarray | None) -> float:
        """See `Loss.constant_loss`; half the variance."""
        mean = np.average(target, axis=0, weights=weight)
        return float(0.5 * np.average((target - mean) ** 2, axis=0, weights=weight).sum())

    def probabilities(self, xp: Any, output: Array) -> Array:
        """Nearest point of the probability simplex, which keeps the order of the classes.

        Held, Wolfe & Crowder (1974); Duchi et al. (2008).
        """
        n_outputs = output.shape[1]
        # A shift of all changes nothing; beside large outputs the 1 would be lost in rounding.
        output = output - output.max(axis=1, keepdims=True)
        descending = -xp.sort(-output, axis=1)
        excess = xp.cumsum(descending, axis=1) - 1
        ranks = xp.arange(1, n_outputs + 1)
        n_positive = (descending * ranks > excess).sum(axis=1, keepdims=True)
        shift = xp.take_along_axis(excess, n_positive - 1, axis=1) / n_positive
        return xp.maximum(output - shift, 0).astype(output.dtype)

    def resolve(
        self, xp: Any, drive: Array, displacement: Array, origin: Array, target: Array, beta: Array
    ) -> Array:
        """See `Loss.resolve`; the exact solution (drive + β (y - origin)) / (1 + β)."""
        return (drive + beta * (target - origin)) / (1 + beta)


class MultilabelSquaredError(SquaredError):
    """Squared error of independent 0/1 labels."""

    def probabilities(self, xp: Any, output: Array) -> Array:
        """See `ClassificationLoss.probabilities`; outputs cut off just inside 0 and 1."""
        margin = float(xp.finfo(output.dtype).eps)
        return xp.clip(output, margin, 1 - margin)


class LogLoss(ClassificationLoss):
    """Cross-entropy of a softmax readout, C = log Σ exp(s_L) - y · s_L.

    The readout is not part of the dynamics: the output stays linear and is nudged by
    y - softmax(s_L) (Laborieux et al. 2021).
    """

    curvature = 0.5

    def value(self, xp: Any, output: Array, target: Array) -> Array:
        """See `Loss.value`."""
        largest = row_max(xp, output)
        log_sum = xp.log(xp.exp(output - largest[:, None]).sum(axis=1)) + largest
        return log_sum - (target * output).sum(axis=1)

    def force(self, xp: Any, output: Array, target: Array) -> Array:
        """See `Loss.force`; y - softmax(s_L)."""
        return target - self.probabilities(xp, output)

    def constant_loss(self, target: np.ndarray, weight: np.ndarray | None) -> float:
        """See `Loss.constant_loss`; entropy of the class frequencies."""
        return _entropy(np.average(target, axis=0, weights=weight))

    def probabilities(self, xp: Any, output: Array) -> Array:
        """See `ClassificationLoss.probabilities`; softmax."""
        grown = xp.exp(output - row_max(xp, output)[:, None])
        grown /= grown.sum(axis=1, keepdims=True)
        return grown


class MultilabelLogLoss(ClassificationLoss):
    """Cross-entropy of one logistic readout a label, C = Σ log(1 + exp(s_L)) - y · s_L."""

    curvature = 0.25

    def value(self, xp: Any, output: Array, target: Array) -> Array:
        """See `Loss.value`."""
        return (xp.logaddexp(0, output) - target * output).sum(axis=1)

    def force(self, xp: Any, output: Array, target: Array) -> Array:
        """See `Loss.force`; y - logistic(s_L)."""
        return target - 0.5 * (1 + xp.tanh(0.5 * output))

    def constant_loss(self, target: np.ndarray, weight: np.ndarray | None) -> float:
        """See `Loss.constant_loss`; entropies of the label frequencies."""
        frequency = np.average(target, axis=0, weights=weight)
        return _entropy(frequency) + _entropy(1 - frequency)

    def probabilities(self, xp: Any, output: Array) -> Array:
        """See `ClassificationLoss.probabilities`; the logistic function, small values too."""
        return xp.exp(-xp.logaddexp(0, -output))


def _entropy(frequency: np.ndarray) -> float:
    """-Σ p log p, in nats."""
    present = frequency[frequency > 0].astype(np.float64)
    return float(-(present * np.log(present)).sum())
