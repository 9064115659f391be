"""Inputs of any size: scaled inside, folded into the first layer; what that cannot mend is said."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from sklearn_eqprop.backend import ArrayBackend

#: Columns whose largest magnitude lies in this range are left as they are: standardised ones,
#: images in [0, 1], the digits of scikit-learn. In others the largest is brought into [2, 4).
ORDINARY_RANGE = (2.0**-4, 2.0**6)
#: A column this many times larger than the median spread drowns what the others say.
UNEVEN_RATIO = 300.0
#: Spread, relative to its size, below which a column counts as constant.
SMALLEST_SPREAD = 1e-6
#: A later slice of data this many times larger or smaller than the first is another scale.
OTHER_SCALE = 1e3
#: Fewer rows may all be small by chance.
TELLING_ROWS = 10
#: Entries this much smaller than the largest of their column are nothing beside it.
DWARFED = 1e-6
#: Rows looked at in one go.
CHUNK_ROWS = 4096


def column_scales(X: Any, dtype: Any, backend: ArrayBackend | None = None) -> np.ndarray | None:
    """Powers of two to divide the columns of X by; None where all are 1.

    A network that sees x / c with weights F is the network that sees x with weights F / c, so the
    scales are folded into the first layer when training ends. Division by a power of two is
    exact: nothing is rounded on the way, there or back.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
    dtype : dtype
        Of the weights: neither a scale nor its inverse leaves its range.
    backend : ArrayBackend or None, default=None
        Where X lives; None: on the host.

    Returns
    -------
    ndarray of shape (n_features,) or None
    """
    return _powers_of_two(_largest(X, backend), dtype)


def channel_scales(
    X: Any, dtype: Any, n_channels: int, backend: ArrayBackend | None = None
) -> np.ndarray | None:
    """The same where kernels move over X: one scale for all columns of a channel.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        Flattened images, the channels of a pixel side by side.
    dtype : dtype
    n_channels : int
    backend : ArrayBackend or None, default=None
        Where X lives; None: on the host.

    Returns
    -------
    ndarray of shape (n_features,) or None
    """
    of_channel = _largest(X, backend).reshape(-1, n_channels).max(axis=0)
    return _powers_of_two(np.tile(of_channel, X.shape[1] // n_channels), dtype)


def _largest(X: Any, backend: ArrayBackend | None) -> np.ndarray:
    """Largest magnitude in every column, on the host."""
    read = _row if backend is None else backend.to_host
    largest: np.ndarray = np.maximum(read(X.max(axis=0)), -read(X.min(axis=0)))
    return largest.astype(np.float64)


def _powers_of_two(largest: np.ndarray, dtype: Any) -> np.ndarray | None:
    lowest, highest = ORDINARY_RANGE
    ordinary = (largest == 0) | ((largest >= lowest) & (largest <= highest))
    if ordinary.all():
        return None
    _, exponents = np.frexp(largest)
    most = np.finfo(dtype).maxexp - 2
    scales: np.ndarray = np.where(ordinary, 1.0, np.ldexp(1.0, np.clip(exponents - 2, -most, most)))
    return scales


def scaled(X: Any, scales: np.ndarray | None, backend: ArrayBackend | None = None) -> Any:
    """X with its columns divided by the scales; X itself where there are none."""
    if scales is None:
        return X
    scales = scales.astype(X.dtype)
    return X / (scales if backend is None else backend.from_host(scales, X.dtype))


def warn_about_input_scale(
    X: Any, scales: np.ndarray | None, backend: ArrayBackend | None = None
) -> None:
    """Warn where a column of X, as training sees it, drowns what the others say.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
    scales : ndarray of shape (n_features,) or None
        What training divides the columns by.
    backend : ArrayBackend or None, default=None
        Where X lives; None: on the host.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # numbers that large end training anyway
        size, spread = _size_and_spread(X, scales, backend)
    spreads = spread[spread > SMALLEST_SPREAD * size]
    if not spreads.size:
        return
    typical = np.median(spreads)
    largest = int(size.argmax())
    if not size[largest] <= UNEVEN_RATIO * typical:
        warnings.warn(
            f"The columns of X vary on very uneven scales: column {largest} has a root mean square "
            f"of {size[largest]:.3g}, while the median standard deviation of a column is "
            f"{typical:.3g} (columns divided by powers of two). The network will learn little from "
            "the small ones. Put a StandardScaler in front: make_pipeline(StandardScaler(), ...).",
            ConvergenceWarning,
            stacklevel=7,
        )


def warn_about_outliers(X: Any, scales: np.ndarray | None) -> None:
    """Warn where few entries of a column are so large that the others are nothing beside them.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
    scales : ndarray of shape (n_features,) or None
        What training divides the columns by; only columns that have one are looked at.
    """
    if scales is None or not (scales > 1).any():
        return
    columns = np.flatnonzero(scales > 1)
    part = X[:, columns]
    if sparse.issparse(part):
        part = part.tocsc()
        of_columns = np.split(part.data, part.indptr[1:-1])
    else:
        of_columns = part.T
    for column, values in zip(columns, of_columns, strict=True):
        sizes = np.abs(values[values != 0])
        if not sizes.size:  # of a channel that has a scale
            continue
        largest = sizes.max()
        typical = np.median(sizes / largest)
        if typical < DWARFED:
            warnings.warn(
                f"Column {column} of X holds numbers up to {largest:.3g}, while half of them are "
                f"at most {typical * largest:.3g}: the network cannot tell those apart. Clip or "
                "leave out the outliers, or take logarithms.",
                ConvergenceWarning,
                stacklevel=7,
            )
            return


def warn_about_other_scale(
    X: Any, scales: np.ndarray | None, backend: ArrayBackend | None = None
) -> None:
    """Warn where later data are on another scale than those that the scales were taken from.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
    scales : ndarray of shape (n_features,) or None
        What training divides the columns by.
    backend : ArrayBackend or None, default=None
        Where X lives; None: on the host.
    """
    sizes = _largest(X, backend) / (1.0 if scales is None else scales)
    sizes = sizes[sizes > 0]
    if not sizes.size:
        return
    lowest, highest = ORDINARY_RANGE
    too_small = X.shape[0] >= TELLING_ROWS and np.median(sizes) < lowest / OTHER_SCALE
    if too_small or sizes.max() > OTHER_SCALE * highest:
        warnings.warn(
            "The columns of X are on another scale than in the call that training started with, "
            "from which their scale was taken: the network will learn little from them. Scale X "
            "alike in every call (fit a StandardScaler beforehand), or fit a fresh clone.",
            ConvergenceWarning,
            stacklevel=7,
        )


def _size_and_spread(
    X: Any, scales: np.ndarray | None, backend: ArrayBackend | None
) -> tuple[np.ndarray, np.ndarray]:
    """Root mean square and standard deviation of each column, without a copy of X."""
    total: Any = 0.0
    squares: Any = 0.0
    if sparse.issparse(X):
        numbers = np.asarray(X.data, dtype=np.float64)
        if scales is not None:
            numbers = numbers / scales[X.indices]
        total = np.bincount(X.indices, numbers, minlength=X.shape[1])
        squares = np.bincount(X.indices, numbers**2, minlength=X.shape[1])
    else:
        for rows in _chunks(X):
            part = scaled(rows, scales, backend)
            total = part.sum(axis=0, dtype=np.float64) + total
            if backend is None:
                squares = np.einsum("ij,ij->j", part, part, dtype=np.float64) + squares
            else:
                squares = (part * part).sum(axis=0, dtype=np.float64) + squares
    if backend is not None:
        total, squares = backend.to_host(total), backend.to_host(squares)
    mean, mean_square = total / X.shape[0], squares / X.shape[0]
    return np.sqrt(mean_square), np.sqrt(np.maximum(mean_square - mean**2, 0))


def _row(extremes: Any) -> np.ndarray:
    """Largest or smallest number of each column, which sparse matrices give as one of their own."""
    return extremes.toarray().ravel() if sparse.issparse(extremes) else np.asarray(extremes)


def _chunks(X: Any) -> Iterator[Any]:
    for start in range(0, X.shape[0], CHUNK_ROWS):
        yield X[start : start + CHUNK_ROWS]
