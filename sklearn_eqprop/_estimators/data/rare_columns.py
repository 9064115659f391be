"""Columns whose entries are mostly alike, such as the indicator of a rare category."""

from typing import Any

import numpy as np
from scipy import sparse

from sklearn_eqprop._backend import ArrayBackend
from sklearn_eqprop._estimators.data.sparse_columns import BLOCK_NUMBERS, mostly_zero

#: Entries are alike if they differ by at most this share of the largest magnitude of their column.
ALIKE = 1 / 64


def mostly_alike(X: Any, device: ArrayBackend | None, doubted: np.ndarray) -> np.ndarray:
    """Whether more than half of the entries of a column are alike, for the `doubted` columns of X.

    X is an array or a CSR matrix, or an array of the device. The mask `doubted` has an entry for
    each column, or for each channel: a channel counts as one column. The result has one entry for
    each column that is looked at.
    """
    if X.shape[1] != doubted.size:
        X = X.reshape(-1, doubted.size)
    columns = np.flatnonzero(doubted)
    rare = np.zeros(doubted.size, dtype=bool)
    if sparse.issparse(X):
        X = X.tocsr()
        rare = mostly_zero(X)
        columns = columns[~rare[columns]]  # these few become dense, a block at a time
    xp = np if device is None else device.xp
    width = max(1, BLOCK_NUMBERS // X.shape[0])
    for start in range(0, columns.size, width):
        block = columns[start : start + width]
        numbers = X[:, block if device is None else device.from_host(block, block.dtype)]
        numbers = numbers.toarray() if sparse.issparse(numbers) else numbers
        # If more than half of the entries are alike, one of these is the middle one of all sorted.
        distances = abs(numbers - xp.sort(numbers, axis=0)[X.shape[0] // 2])
        n_alike = (distances <= ALIKE * abs(numbers).max(axis=0)).sum(axis=0)
        rare[block] = 2 * (n_alike if device is None else device.to_host(n_alike)) > X.shape[0]
    return rare[doubted]
