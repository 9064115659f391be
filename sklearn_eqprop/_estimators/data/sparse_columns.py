"""Statistics of the columns of a CSR matrix, from its stored entries."""

from collections.abc import Iterator
from typing import Any

import numpy as np

#: Numbers of X that are read together. Smaller blocks slow down X in Fortran order, which data
#: frames have. Larger ones do not stay in the cache.
BLOCK_NUMBERS = 2**18


def extremes_of_entries(X: Any) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest number of the columns of a CSR matrix."""
    n_rows, n_columns = X.shape
    lowest, highest = np.full(n_columns, np.inf), np.full(n_columns, -np.inf)
    n_stored = np.zeros(n_columns, dtype=np.intp)
    for columns, values in _entries(X):
        np.minimum.at(lowest, columns, values)
        np.maximum.at(highest, columns, values)
        n_stored += np.bincount(columns, minlength=n_columns)
    has_zeros = n_stored < n_rows
    np.minimum(lowest, 0, out=lowest, where=has_zeros)
    np.maximum(highest, 0, out=highest, where=has_zeros)
    return lowest, highest


def sums_of_entries(X: Any, units: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Sums and sums of squares of the columns of a CSR matrix, a block of entries at a time."""
    for columns, values in _entries(X):
        numbers = values * units[columns]
        total = np.bincount(columns, numbers, minlength=units.size)
        numbers *= numbers
        yield total, np.bincount(columns, numbers, minlength=units.size)


def mostly_zero(X: Any) -> np.ndarray:
    """Whether more than half of the entries of a column are 0, for each column of a CSR matrix."""
    n_present = np.zeros(X.shape[1])
    for columns, values in _entries(X):
        n_present += np.bincount(columns, values != 0, minlength=X.shape[1])
    return np.asarray(2 * n_present < X.shape[0])


def _entries(X: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Columns and values, in float64, of the entries of a CSR matrix, a block at a time."""
    size = max(BLOCK_NUMBERS, 4 * X.shape[1])  # every block also costs time for each column
    for start in range(0, X.data.shape[0], size):
        block = slice(start, start + size)
        yield X.indices[block], X.data[block].astype(np.float64)
