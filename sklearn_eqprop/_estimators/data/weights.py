"""Sample weights: which rows count, and how often."""

from __future__ import annotations

from collections.abc import Callable
from operator import getitem
from typing import Any

import numpy as np

#: Weights of the samples are divided by their sum.
SMALLEST_TOTAL = 1e-290


def check_not_negative(weight: np.ndarray, name: str) -> None:
    """Refuse weights that are negative or not finite.

    Raises
    ------
    ValueError
        Naming where the weights come from, and the first that is wrong.
    """
    wrong = weight[~(np.isfinite(weight) & (weight >= 0))]
    if wrong.size:
        msg = (
            f"{name} gives a sample the weight {wrong[0]:g}; weights must be finite, 0 or positive "
            "numbers."
        )
        raise ValueError(msg)


def rows_that_count(
    X: Any,
    y: np.ndarray,
    weight: np.ndarray | None,
    name: str,
    take_rows: Callable[[Any, np.ndarray], Any] = getitem,
) -> tuple[Any, np.ndarray, np.ndarray | None]:
    """Rows of positive weight, with their weights; a weight of 0 means the row is not there.

    Parameters
    ----------
    X, y : arrays with one row a sample
    weight : ndarray of shape (n_samples,) or None
    name : str
        What the weights come from, for messages.
    take_rows : callable
        How rows of X are chosen by a mask, if it does not live on the host.

    Raises
    ------
    ValueError
        If a weight is negative or not finite, none is positive, or their sum cannot be divided by.
    """
    if weight is None:
        return X, y, None
    check_not_negative(weight, name)
    counts = weight > 0
    if not counts.any():
        msg = f"{name} gives every sample the weight 0; at least one must be positive."
        raise ValueError(msg)
    with np.errstate(over="ignore"):
        total = weight.sum()
    if total < SMALLEST_TOTAL:
        msg = f"{name} sums to {total:.3g}, too little to divide by: multiply it."
        raise ValueError(msg)
    if not np.isfinite(total):
        msg = (
            f"{name} gives samples weights up to {weight.max():.3g}, whose sum is beyond the "
            "largest float: divide all of them by a constant."
        )
        raise ValueError(msg)
    if counts.all():
        return X, y, weight
    return take_rows(X, counts), y[counts], weight[counts]
