"""What the columns of X hold: passes over its rows or entries that never copy it as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import sparse

from sklearn_eqprop._backend import ArrayBackend, batches
from sklearn_eqprop._backend import blocks as blocks_of_rows

#: Numbers looked at in one go.
BLOCK_NUMBERS = 2**20


def blocks(X: Any) -> Iterator[Any]:
    """Rows of a dense X, as many at a time as hold `BLOCK_NUMBERS`, and at least one."""
    for rows in blocks_of_rows(X.shape[0], X.shape[1], BLOCK_NUMBERS):
        yield X[rows]


def entries(X: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Columns and values, in float64, of what a CSR matrix stores, a block at a time."""
    for block in batches(X.data.shape[0], BLOCK_NUMBERS):
        yield X.indices[block], X.data[block].astype(np.float64)


def extremes(X: Any, backend: ArrayBackend | None) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest number of each column, on the host.

    Parameters
    ----------
    X : ndarray, CSR matrix or array of a device of shape (n_samples, n_features)
    backend : ArrayBackend or None
        Where X lives; None: on the host.

    Returns
    -------
    lowest, highest : ndarray of shape (n_features,), float64
    """
    if sparse.issparse(X):
        return _extremes_of_entries(X)
    read = np.asarray if backend is None else backend.to_host
    return read(X.min(axis=0)).astype(np.float64), read(X.max(axis=0)).astype(np.float64)


def _extremes_of_entries(X: Any) -> tuple[np.ndarray, np.ndarray]:
    n_columns = X.shape[1]
    lowest, highest = np.full(n_columns, np.inf), np.full(n_columns, -np.inf)
    n_stored = np.zeros(n_columns, dtype=np.intp)
    for columns, values in entries(X):
        np.minimum.at(lowest, columns, values)
        np.maximum.at(highest, columns, values)
        n_stored += np.bincount(columns, minlength=n_columns)
    has_zeros = n_stored < X.shape[0]
    lowest[has_zeros] = np.minimum(lowest[has_zeros], 0)
    highest[has_zeros] = np.maximum(highest[has_zeros], 0)
    return lowest, highest


def largest_sizes(X: Any, backend: ArrayBackend | None) -> np.ndarray:
    """Largest magnitude in each column, on the host; as `extremes`."""
    lowest, highest = extremes(X, backend)
    largest: np.ndarray = np.maximum(highest, -lowest)
    return largest


def mean_and_spread(
    X: Any, scales: np.ndarray | None, backend: ArrayBackend | None
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column of X / scales, on the host.

    Parameters
    ----------
    X : ndarray, CSR matrix or array of a device of shape (n_samples, n_features)
    scales : ndarray of shape (n_features,) or None
    backend : ArrayBackend or None
        Where X lives; None: on the host.

    Returns
    -------
    mean, spread : ndarray of shape (n_features,), float64
    """
    origin: Any = 0.0
    if sparse.issparse(X):
        total, squares = _sums_of_entries(X, scales)
    else:
        origin, total, squares = _sums_of_rows(X, scales, backend)
    distance = total / X.shape[0]  # of the mean from the origin
    mean, variance = distance + origin, squares / X.shape[0] - distance**2
    if backend is not None:
        mean, variance = backend.to_host(mean), backend.to_host(variance)
    return mean, np.sqrt(np.maximum(variance, 0))


def _sums_of_rows(
    X: Any, scales: np.ndarray | None, backend: ArrayBackend | None
) -> tuple[Any, Any, Any]:
    """The first row, and sums and sums of squares of the distances from it.

    Squares of the numbers themselves would lose a small spread beside a large mean.
    """
    factors: Any = 1
    if scales is not None:  # powers of two, of which the inverse is exact
        factors = (1 / scales).astype(X.dtype)
        factors = factors if backend is None else backend.from_host(factors, X.dtype)
    origin = X[0] * factors
    total: Any = 0.0
    squares: Any = 0.0
    for rows in blocks(X):
        part = rows * factors - origin
        total = part.sum(axis=0, dtype=np.float64) + total
        if backend is None:
            squares = np.einsum("ij,ij->j", part, part, dtype=np.float64) + squares
        else:
            squares = (part * part).sum(axis=0, dtype=np.float64) + squares
    return origin, total, squares


def _sums_of_entries(X: Any, scales: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Sums and sums of squares of a CSR matrix: what is not stored needs no look."""
    total, squares = np.zeros(X.shape[1]), np.zeros(X.shape[1])
    for columns, values in entries(X):
        numbers = values if scales is None else values / scales[columns]
        total += np.bincount(columns, numbers, minlength=X.shape[1])
        squares += np.bincount(columns, numbers**2, minlength=X.shape[1])
    return total, squares


def mostly_below(X: Any, limits: np.ndarray) -> np.ndarray:
    """Whether more than half of the numbers of a column that are not 0 are smaller than its limit.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
    limits : ndarray of shape (n_features,)
        Of magnitudes.

    Returns
    -------
    ndarray of bool of shape (n_features,)
    """
    n_columns = X.shape[1]
    n_below, n_present = np.zeros((2, n_columns), dtype=np.intp)
    if sparse.issparse(X):
        for columns, values in entries(X):
            present = values != 0
            below = present & (np.abs(values) < limits[columns])
            n_below += np.bincount(columns[below], minlength=n_columns)
            n_present += np.bincount(columns[present], minlength=n_columns)
    else:
        for rows in blocks(X):
            present = rows != 0
            n_below += np.count_nonzero(present & (np.abs(rows) < limits), axis=0)
            n_present += np.count_nonzero(present, axis=0)
    below_most: np.ndarray = 2 * n_below > n_present
    return below_most
