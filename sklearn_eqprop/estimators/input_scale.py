"""Inputs a network can hardly learn from: noticed before training, in words to act on."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

#: A column this many times larger than the median spread drowns what the others say.
UNEVEN_RATIO = 300.0


def warn_about_uneven_columns(X: np.ndarray) -> None:
    """Warn where a column of X is so large, or so far from 0, that it drowns the others.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
    """
    with np.errstate(over="ignore", invalid="ignore"):
        mean = X.mean(axis=0, dtype=np.float64)
        mean_square = np.einsum("ij,ij->j", X, X, dtype=np.float64) / X.shape[0]
        spread = np.sqrt(np.maximum(mean_square - mean**2, 0))
        size = np.sqrt(mean_square)
        # What rounding leaves of a constant column is no spread.
        spreads = spread[spread > 1e-6 * size]
    if not spreads.size:
        return
    largest = int(size.argmax())
    if not size[largest] <= UNEVEN_RATIO * np.median(spreads):
        warnings.warn(
            f"The columns of X are on very uneven scales: column {largest} has a root mean square "
            f"of {size[largest]:.3g}, while the median standard deviation of a column is "
            f"{np.median(spreads):.3g}. The network will learn little from the small ones. Put a "
            "StandardScaler in front: make_pipeline(StandardScaler(), ...).",
            ConvergenceWarning,
            stacklevel=5,
        )
