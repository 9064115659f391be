"""Inputs a network can hardly learn from: noticed before training, in words to act on."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

#: A column this many times larger than the median spread drowns what the others say.
UNEVEN_RATIO = 300.0
#: With columns that spread less than this, weights of the usual size hardly tell rows apart.
SMALLEST_SPREAD = 1e-3


def warn_about_input_scale(X: np.ndarray) -> None:
    """Warn where a column of X drowns the others, or all of them are very small.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
    """
    size, spread = _size_and_spread(X)
    # What rounding leaves of a constant column is no spread.
    spreads = spread[spread > 1e-6 * size]
    if not spreads.size:
        return
    typical = np.median(spreads)
    largest = int(size.argmax())
    if not size[largest] <= UNEVEN_RATIO * typical:
        _warn(
            f"The columns of X are on very uneven scales: column {largest} has a root mean square "
            f"of {size[largest]:.3g}, while the median standard deviation of a column is "
            f"{typical:.3g}. The network will learn little from the small ones."
        )
    elif typical < SMALLEST_SPREAD:
        _warn(
            f"The columns of X hardly vary: their median standard deviation is {typical:.3g}. "
            "Training will be very slow."
        )


def _size_and_spread(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Root mean square and standard deviation of each column, without a copy of X."""
    with np.errstate(over="ignore", invalid="ignore"):
        mean = X.mean(axis=0, dtype=np.float64)
        mean_square = np.einsum("ij,ij->j", X, X, dtype=np.float64) / X.shape[0]
        return np.sqrt(mean_square), np.sqrt(np.maximum(mean_square - mean**2, 0))


def _warn(message: str) -> None:
    warnings.warn(
        f"{message} Put a StandardScaler in front: make_pipeline(StandardScaler(), ...).",
        ConvergenceWarning,
        stacklevel=7,
    )
