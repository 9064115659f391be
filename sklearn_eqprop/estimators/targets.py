"""Targets: from what a user calls y to what the output layer is nudged towards, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


def one_hot(y: np.ndarray, classes: np.ndarray, dtype: Any) -> np.ndarray:
    """Indicator matrix (n_samples, n_classes) of labels that are all in `classes`."""
    columns = np.searchsorted(classes, y)
    target = np.zeros((y.shape[0], classes.shape[0]), dtype=dtype)
    target[np.arange(y.shape[0]), columns] = 1
    return target


@dataclass(frozen=True)
class Standardisation:
    """Shift and scale that bring each target to mean 0 and variance 1.

    Attributes
    ----------
    mean, scale : ndarray of shape (n_outputs,)
    """

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, y: np.ndarray, sample_weight: np.ndarray | None) -> Standardisation:
        """Weighted mean and standard deviation of the columns of y; a constant keeps scale 1.

        Parameters
        ----------
        y : ndarray of shape (n_samples, n_outputs), float64
        sample_weight : ndarray of shape (n_samples,) or None
        """
        # In units of the largest magnitude nothing overflows on the way.
        unit = np.abs(y).max(axis=0)
        unit[unit == 0] = 1.0
        scaled = y / unit
        mean = np.average(scaled, axis=0, weights=sample_weight)
        scale = np.sqrt(np.average((scaled - mean) ** 2, axis=0, weights=sample_weight))
        # Rounding leaves a constant column a spread of a few units in the last place.
        constant = scale <= 10 * np.finfo(np.float64).eps
        return cls(mean * unit, np.where(constant, 1.0, scale * unit))

    def apply(self, y: np.ndarray, dtype: Any) -> np.ndarray:
        """Standardised targets."""
        standardised: np.ndarray = (y - self.mean) / self.scale
        return standardised.astype(dtype)

    def invert(self, output: np.ndarray) -> np.ndarray:
        """Outputs in the units of y; float64 where a narrower type could not hold them."""
        restored: np.ndarray = output * self.scale + self.mean
        largest = np.finfo(output.dtype).max
        fits = not restored.size or np.abs(restored).max() <= largest
        return restored.astype(output.dtype) if fits else restored
