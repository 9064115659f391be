"""Sample weights: which rows count, and how often."""

from __future__ import annotations

from collections.abc import Callable
from operator import getitem
from typing import Any

import numpy as np

from sklearn_eqprop.backend.feeding import dense_rows

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


def merged_rows(
    X: np.ndarray, target: np.ndarray, weight: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Rows of a single minibatch in an order of their own, equal ones merged into one.

    In one minibatch the order of the rows means nothing, and a row that stands there twice
    means a weight of 2. Brought to one form, training is the same to the last bit for all of
    them. Rounding alone would not do: a unit that hovers at the kink of its activation
    multiplies a difference in the last place until it shows, within some hundred epochs.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
    target : ndarray of shape (n_samples, n_outputs)
    weight : ndarray of shape (n_samples,) or None

    Returns
    -------
    X, target, weight : as given
        Weight stays None where no two rows are equal.
    """
    X = dense_rows(X, slice(None))  # a minibatch is made dense anyway
    # Adding 0 turns -0.0 into 0.0, which the comparison of bytes would tell apart.
    rows = np.ascontiguousarray(np.hstack([X, target]) + 0.0)
    as_bytes = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel()
    _, first, inverse = np.unique(as_bytes, return_index=True, return_inverse=True)
    if weight is not None or first.shape[0] < X.shape[0]:
        weight = np.bincount(inverse.ravel(), weights=weight).astype(np.float64)
    return X[first], target[first], weight
