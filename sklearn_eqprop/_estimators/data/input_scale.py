"""Inputs of any size: scaled inside by powers of two, folded into the first layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from sklearn_eqprop._backend import ArrayBackend
from sklearn_eqprop._estimators.data.column_statistics import largest_sizes

#: Columns whose largest magnitude lies in this range are left as they are: standardised ones,
#: images in [0, 1], the digits of scikit-learn. In others the largest is brought into [2, 4).
ORDINARY_RANGE = (2.0**-4, 2.0**6)
#: Fewer rows may all be small, or alike, by chance.
TELLING_ROWS = 10
#: How rarely all numbers of a column are as small, beside what is typical, as counts as chance.
RARE = 1e-3
#: Columns from which on their median says what is typical.
TELLING_COLUMNS = 5


def column_scales(
    X: Any, dtype: Any, backend: ArrayBackend | None = None, n_rows: float | None = None
) -> np.ndarray | None:
    """Powers of two to divide the columns of X by; None where all are 1.

    A network that sees x / c with weights F is the network that sees x with weights F / c, so the
    scales are folded into the first layer when training ends. Division by a power of two is
    exact: nothing is rounded on the way, there or back. A shift could be folded into the biases
    likewise, but would be rounded each way: training would not go on exactly where it ended.

    What fewer than ten rows, as those of a first slice, hold in a column may be small by chance. It
    then counts as no smaller than what they hold in others, or than 1.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
    dtype : dtype
        Of the weights: neither a scale nor its inverse leaves its range.
    backend : ArrayBackend or None, default=None
        Where X lives; None: on the host.
    n_rows : float or None, default=None
        Rows that those of X stand for, where they have weights.

    Returns
    -------
    ndarray of shape (n_features,) or None
    """
    largest = largest_sizes(X, backend)
    largest = _not_small_by_chance(largest, X.shape[0] if n_rows is None else n_rows)
    return _powers_of_two(largest, dtype)


def channel_scales(
    X: Any,
    dtype: Any,
    n_channels: int,
    backend: ArrayBackend | None = None,
    n_rows: float | None = None,
) -> np.ndarray | None:
    """The same where kernels move over X: one scale for all columns of a channel.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        Flattened images, the channels of a pixel side by side.
    dtype : dtype
    n_channels : int
    backend, n_rows : as for `column_scales`

    Returns
    -------
    ndarray of shape (n_features,) or None
    """
    n_pixels = X.shape[1] // n_channels
    of_channel = largest_sizes(X, backend).reshape(-1, n_channels).max(axis=0)
    n_images = X.shape[0] if n_rows is None else n_rows
    of_channel = _not_small_by_chance(of_channel, n_pixels * n_images)
    return _powers_of_two(np.tile(of_channel, n_pixels), dtype)


def _not_small_by_chance(largest: np.ndarray, n_numbers: float) -> np.ndarray:
    """Largest magnitudes of columns, raised where few numbers do not say that they are small."""
    if n_numbers >= TELLING_ROWS:
        return largest
    seen = largest[largest > 0]
    typical = min(float(np.median(seen)), 1.0) if seen.size >= TELLING_COLUMNS else 1.0
    by_chance = (largest > RARE ** (1 / max(n_numbers, 1)) * typical) & (largest < typical)
    return np.where(by_chance & (largest < ORDINARY_RANGE[0]), typical, largest)


def _powers_of_two(largest: np.ndarray, dtype: Any) -> np.ndarray | None:
    lowest, highest = ORDINARY_RANGE
    ordinary = (largest == 0) | ((largest >= lowest) & (largest <= highest))
    if ordinary.all():
        return None
    _, exponents = np.frexp(largest)
    most = np.finfo(dtype).maxexp - 2
    scales: np.ndarray = np.where(ordinary, 1.0, np.ldexp(1.0, np.clip(exponents - 2, -most, most)))
    return scales
