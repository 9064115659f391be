"""Rows of a single minibatch, brought to one form: in an order of their own, equal ones merged."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from scipy import sparse

from sklearn_eqprop._backend import blocks

#: Numbers looked at in one go, which stay in the cache.
CACHE_NUMBERS = 2**15
#: An odd number without pattern (that of splitmix64), to scatter the bits of others.
SCATTER = np.uint64(0x9E3779B97F4A7C15)


def merged_rows(
    X: Any, target: np.ndarray, weight: np.ndarray | None
) -> tuple[Any, np.ndarray, np.ndarray | None]:
    """Rows of a single minibatch in an order of their own, equal ones merged into one.

    In one minibatch the order of the rows means nothing, and a row that stands there twice
    means a weight of 2. Brought to one form, training is the same to the last bit for all of
    them. Rounding alone would not do: a unit that hovers at the kink of its activation
    multiplies a difference in the last place until it shows, within some hundred epochs.

    The order goes by a number worked out from each row, the same whether X is sparse or dense.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        As validated: a CSR matrix stores each number once.
    target : ndarray of shape (n_samples, n_outputs)
    weight : ndarray of shape (n_samples,) or None

    Returns
    -------
    X, target, weight : as given
        Weight stays None where no two rows are equal.
    """
    marks = _marks(X, target)
    order = np.argsort(marks, kind="stable")
    is_first = ~_equals_the_one_before(X, target, marks, order)
    if weight is not None or not is_first.all():
        groups = np.cumsum(is_first) - 1
        weight = np.bincount(groups, None if weight is None else weight[order]).astype(np.float64)
    first = order[is_first]
    return X[first], target[first], weight


def _marks(X: Any, target: np.ndarray) -> np.ndarray:
    """A number for each row that tells it from others: equal rows have the same.

    A sum over its entries modulo 2^64, to which zeros add nothing, stored or not.
    """
    n_columns = X.shape[1]
    drawn = _factors(n_columns + target.shape[1])
    return _sums(X, drawn[:n_columns]) + _sums(target, drawn[n_columns:])


@lru_cache(maxsize=2)
def _factors(n_columns: int) -> np.ndarray:
    """A number for each column; kept, as a stream of small slices asks for the same again."""
    factors = np.random.RandomState(0).randint(2**64 - 1, size=n_columns, dtype=np.uint64)
    factors.flags.writeable = False
    return factors


def _sums(X: Any, factors: np.ndarray) -> np.ndarray:
    """Σ factor · scattered bits over each row."""
    if sparse.issparse(X):
        totals = np.zeros(X.nnz + 1, dtype=np.uint64)
        np.cumsum(_scattered(X.data) * factors[X.indices], out=totals[1:])
        return totals[X.indptr[1:]] - totals[X.indptr[:-1]]
    sums = np.empty(X.shape[0], dtype=np.uint64)
    for rows in blocks(X.shape[0], X.shape[1], CACHE_NUMBERS):
        np.matmul(_scattered(X[rows]), factors, out=sums[rows])
    return sums


def _scattered(numbers: np.ndarray) -> np.ndarray:
    """Bits of float64 numbers, each made to depend on those above and below; 0 stays 0."""
    # Adding 0 turns -0.0 into 0.0, whose bits would differ.
    bits: np.ndarray = np.add(numbers, 0.0, dtype=np.float64).view(np.uint64)
    bits ^= bits >> np.uint64(32)
    bits *= SCATTER
    bits ^= bits >> np.uint64(32)
    return bits


def _equals_the_one_before(
    X: Any, target: np.ndarray, marks: np.ndarray, order: np.ndarray
) -> np.ndarray:
    """Which rows, in this order, equal those before them: the same mark, and every number."""
    in_order = marks[order]
    equal = np.zeros(order.shape[0], dtype=bool)
    doubtful = 1 + np.flatnonzero(in_order[1:] == in_order[:-1])
    for some in blocks(doubtful.shape[0], X.shape[1], CACHE_NUMBERS):
        at = doubtful[some]
        rows, before = order[at], order[at - 1]
        equal[at] = _are_equal(X, rows, before) & _are_equal(target, rows, before)
    return equal


def _are_equal(X: Any, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Whether each row equals its counterpart in every number."""
    if sparse.issparse(X):
        return np.diff((X[rows] != X[others]).indptr) == 0  # only differences are stored
    return np.asarray((X[rows] == X[others]).all(axis=1))
