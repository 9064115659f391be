"""Define losses beyond those of the package, passed to its estimators like any user's loss."""

from __future__ import annotations

import numpy as np


class SmoothedLogLoss:
    """Cross-entropy with smoothed labels (Szegedy et al. 2016).

    There are several classes, with one output each. The target is 1 - smoothing for the class, plus
    smoothing / n_classes for every class. So the outputs do not grow without limit.

    Parameters
    ----------
    smoothing : float
        In [0, 1).
    """

    #: Largest eigenvalue of diag(p) - p p^T for any probabilities p.
    curvature = 0.5

    def __init__(self, smoothing: float = 0.1) -> None:
        self.smoothing = smoothing

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.smoothing:g})"

    def value(self, output, target):
        largest = output.max(axis=1)
        log_sum = largest + np.log(np.exp(output - largest[:, None]).sum(axis=1))
        return log_sum - (self._smoothed(target) * output).sum(axis=1)

    def derivative(self, output, target):
        return self.probabilities(output) - self._smoothed(target)

    def probabilities(self, output):
        grown = np.exp(output - output.max(axis=1, keepdims=True))
        return grown / grown.sum(axis=1, keepdims=True)

    def _smoothed(self, target):
        return (1 - self.smoothing) * target + self.smoothing / target.shape[1]
