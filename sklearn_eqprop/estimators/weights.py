"""Sample weights: which rows count."""

from __future__ import annotations

import numpy as np


def rows_that_count(
    X: np.ndarray, y: np.ndarray, weight: np.ndarray | None, name: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Rows of positive weight, with their weights; a weight of 0 means the row is not there.

    Parameters
    ----------
    X, y : arrays with one row a sample
    weight : ndarray of shape (n_samples,) or None
    name : str
        What the weights come from, for messages.

    Raises
    ------
    ValueError
        If a weight is negative or not finite, or none is positive.
    """
    if weight is None:
        return X, y, None
    if not (np.isfinite(weight) & (weight >= 0)).all():
        wrong = weight[~(np.isfinite(weight) & (weight >= 0))][0]
        msg = f"{name} gives a sample the weight {wrong:g}; weights must be 0 or positive numbers."
        raise ValueError(msg)
    counts = weight > 0
    if not counts.any():
        msg = f"{name} gives every sample the weight 0; at least one must be positive."
        raise ValueError(msg)
    if counts.all():
        return X, y, weight
    return X[counts], y[counts], weight[counts]
