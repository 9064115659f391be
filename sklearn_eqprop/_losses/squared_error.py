"""Squared error, for classes, labels and numbers."""

from typing import Any

import numpy as np

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._losses.base import ClassificationLoss


class SquaredError(ClassificationLoss):
    """C = ½ ||y - s_L||² (Eq. 11): a spring pulls the output to its target."""

    name = "squared_error"
    targets: tuple[str, ...] = ("labels", "numbers")
    curvature = 1.0
    analytic = True
    clampable = True
    bounded_outputs = True
    label_threshold = 0.5

    def value(self, xp: Any, output: Array, target: Array) -> Array:
        return 0.5 * ((target - output) ** 2).sum(axis=1)

    def force(self, xp: Any, output: Array, target: Array) -> Array:
        return target - output

    def constant_loss(self, target: np.ndarray, weight: np.ndarray | None) -> float:
        """Half the variance of the targets, summed over the outputs."""
        mean = np.average(target, axis=0, weights=weight)
        return float(0.5 * np.average((target - mean) ** 2, axis=0, weights=weight).sum())

    def probabilities(self, xp: Any, output: Array) -> Array:
        """Nearest point of the probability simplex. It keeps the order of the classes.

        Held, Wolfe & Crowder (1974); Duchi et al. (2008).
        """
        n_outputs = output.shape[1]
        # Shifting all outputs changes nothing. Next to large outputs, rounding would lose the 1.
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
        """The exact solution (drive + β (y - origin)) / (1 + β), see `Loss.resolve`."""
        return (drive + beta * (target - origin)) / (1 + beta)


class MultilabelSquaredError(SquaredError):
    """Squared error of independent 0/1 labels."""

    targets = ("multilabel",)

    def probabilities(self, xp: Any, output: Array) -> Array:
        """The outputs, clipped just inside 0 and 1 so that their logarithms are finite."""
        margin = float(xp.finfo(output.dtype).eps)
        return xp.clip(output, margin, 1 - margin)
