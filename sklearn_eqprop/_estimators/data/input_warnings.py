"""What no scale of the inputs can mend, said before training."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from sklearn_eqprop._backend import ArrayBackend
from sklearn_eqprop._estimators.data.column_statistics import (
    extremes,
    largest_sizes,
    mean_and_spread,
    mostly_below,
)
from sklearn_eqprop._estimators.data.input_scale import ORDINARY_RANGE, TELLING_ROWS
from sklearn_eqprop._warnings import warn_at_call

#: A column this many times larger than the median spread drowns what the others say.
UNEVEN_RATIO = 300.0
#: Spread, relative to its size, below which a column counts as constant.
SMALLEST_SPREAD = 1e-6
#: A mean this many standard deviations from 0 hides how its column varies: at half as many nothing
#: is lost yet, at twice as many next to everything.
LARGE_OFFSET = 10.0
#: A column that is no wider than this many roundings of its mean is meant to be constant.
ROUNDINGS = 16
#: A later slice of data this many times larger or smaller than the first is another scale.
OTHER_SCALE = 1e3
#: Entries this much smaller than the largest of their column are nothing beside it.
DWARFED = 1e-6
#: Columns that a message names besides the first.
MOST_NAMED = 5


def check_inputs_fit(
    X: Any, dtype: Any, backend: ArrayBackend | None = None, name: str = "X"
) -> None:
    """Refuse columns beyond the largest number of the network's type; warn of those below it.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
    dtype : dtype
        Of the weights, which X is cast to.
    backend : ArrayBackend or None, default=None
        Where X lives; None: on the host.
    name : str, default="X"
        What the user calls X.

    Raises
    ------
    ValueError
        Naming the column and the remedy.
    """
    limits = np.finfo(dtype)
    if np.finfo(X.dtype).max <= limits.max:
        return
    largest = largest_sizes(X, backend)
    column = int(largest.argmax())
    if largest[column] > limits.max:
        msg = (
            f"Column {column} of {name} holds numbers up to {largest[column]:.3g}, beyond the "
            f"largest of {limits.dtype} ({limits.max:.3g}): set dtype='float64', or divide the "
            "column by a constant."
        )
        raise ValueError(msg)
    lost = np.flatnonzero((largest > 0) & (largest < limits.tiny))
    if lost.size:
        warn_at_call(
            f"Column {lost[0]} of {name} holds numbers of at most {largest[lost[0]]:.3g}, below "
            f"the smallest of {limits.dtype} ({limits.tiny:.3g}){_and_others(lost)}: the network "
            "sees few of their digits, or zeros. Set dtype='float64', or multiply the column by a "
            "constant.",
        )


def warn_about_input_scale(
    X: Any,
    scales: np.ndarray | None,
    backend: ArrayBackend | None = None,
    n_channels: int | None = None,
) -> None:
    """Warn where offset hides how a column varies, or a column drowns what the others say.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
    scales : ndarray of shape (n_features,) or None
        What training divides the columns by.
    backend : ArrayBackend or None, default=None
        Where X lives; None: on the host.
    n_channels : int or None, default=None
        Of images that kernels move over, which see all columns of a channel as one.
    """
    of_one = 1.0 if scales is None else scales[:n_channels]
    kind = "Column" if n_channels is None else "Channel"
    message: str | None
    with np.errstate(over="ignore", invalid="ignore"):  # numbers that large end training anyway
        mean, spread = mean_and_spread(X, scales, backend)
        if n_channels is not None:
            mean, spread = _of_channels(mean, spread, n_channels)
        hidden = _hidden_by_offset(X, mean * of_one, spread * of_one, backend)
        if hidden.size:
            message = _about_offset(
                hidden, mean * of_one, spread * of_one, kind, sparse.issparse(X)
            )
        else:
            message = _about_uneven(np.hypot(mean, spread), spread, kind.lower())
    if message is not None:
        warn_at_call(message)


def _of_channels(
    mean: np.ndarray, spread: np.ndarray, n_channels: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel, from those of its columns."""
    mean_square = (mean**2 + spread**2).reshape(-1, n_channels).mean(axis=0)
    mean = mean.reshape(-1, n_channels).mean(axis=0)
    return mean, np.sqrt(np.maximum(mean_square - mean**2, 0))


def _hidden_by_offset(
    X: Any, mean: np.ndarray, spread: np.ndarray, backend: ArrayBackend | None
) -> np.ndarray:
    """Columns, or channels, that are far from 0 for how they vary, and do not reach it.

    Where 0 is among what a column holds, or no farther than it is wide, its mean stands for
    frequent values, as in indicators that are mostly 1.
    """
    far = (np.abs(mean) > LARGE_OFFSET * spread) & (mean != 0)
    if X.shape[0] < TELLING_ROWS or not far.any():
        return np.empty(0, dtype=np.intp)
    lowest, highest = extremes(X, backend)
    lowest = lowest.reshape(-1, mean.size).min(axis=0)
    highest = highest.reshape(-1, mean.size).max(axis=0)
    width = highest - lowest
    varies = width > ROUNDINGS * np.finfo(X.dtype).eps * np.abs(mean)
    hidden = far & varies & (np.abs(mean) > width)
    alike = _on_one_scale(np.maximum(highest, -lowest))
    if 2 * np.count_nonzero(hidden & alike) < np.count_nonzero(alike):
        hidden &= ~alike
    return np.flatnonzero(hidden)


def _on_one_scale(largest: np.ndarray) -> np.ndarray:
    """Columns that share the largest number of most: pixels, of which the background may be white.

    One that hardly varies, where others do, has little to say rather than an offset of its own.
    """
    alike: np.ndarray = largest == np.median(largest)
    return alike & (2 * np.count_nonzero(alike) > alike.size)


def _about_offset(
    hidden: np.ndarray, mean: np.ndarray, spread: np.ndarray, kind: str, is_sparse: bool
) -> str:
    first = hidden[0]
    remedy = "Put a StandardScaler in front: make_pipeline(StandardScaler(), ...)."
    if is_sparse:
        remedy = "Subtract the mean of such columns, or leave them out of the sparse matrix."
    elif kind == "Channel":
        remedy = "Subtract the mean of the channel, and divide it by the deviation."
    return (
        f"{kind} {first} of X has a mean of {mean[first]:.5g} and a standard deviation of "
        f"{spread[first]:.3g}{_and_others(hidden)}: behind such an offset the network hardly sees "
        f"how it varies. {remedy}"
    )


def _about_uneven(size: np.ndarray, spread: np.ndarray, kind: str) -> str | None:
    spreads = spread[spread > SMALLEST_SPREAD * size]
    if not spreads.size:
        return None
    typical = np.median(spreads)
    largest = int(size.argmax())
    if size[largest] <= UNEVEN_RATIO * typical:
        return None
    return (
        f"The {kind}s of X vary on very uneven scales: {kind} {largest} has a root mean square "
        f"of {size[largest]:.3g}, while the median standard deviation of a {kind} is "
        f"{typical:.3g} ({kind}s divided by powers of two). The network will learn little from "
        "the small ones. Put a StandardScaler in front: make_pipeline(StandardScaler(), ...)."
    )


def _and_others(columns: np.ndarray) -> str:
    """How many columns a message stands for besides the first, and some of them."""
    named = ", ".join(str(column) for column in columns[1 : 1 + MOST_NAMED])
    n_others = columns.size - 1
    if n_others > MOST_NAMED:
        return f" (likewise {n_others} more, such as {named})"
    return f" (likewise {named})" if named else ""


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
    largest = largest_sizes(X, None)
    dwarfed = np.flatnonzero((scales > 1) & mostly_below(X, DWARFED * largest))
    if not dwarfed.size:
        return
    column = dwarfed[0]
    part = X[:, [column]]
    sizes = np.abs(part.data if sparse.issparse(part) else part)
    warn_at_call(
        f"Column {column} of X holds numbers up to {largest[column]:.3g}, while half of them are "
        f"at most {np.median(sizes[sizes > 0]):.3g}: the network cannot tell those apart. Clip or "
        "leave out the outliers, or take logarithms.",
    )


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
    sizes = largest_sizes(X, backend) / (1.0 if scales is None else scales)
    sizes = sizes[sizes > 0]
    if not sizes.size:
        return
    lowest, highest = ORDINARY_RANGE
    too_small = X.shape[0] >= TELLING_ROWS and np.median(sizes) < lowest / OTHER_SCALE
    if too_small or sizes.max() > OTHER_SCALE * highest:
        warn_at_call(
            "The columns of X are on another scale than in the call that training started with, "
            "from which their scale was taken: the network will learn little from them. Scale X "
            "alike in every call (fit a StandardScaler beforehand), or fit a fresh clone.",
        )
