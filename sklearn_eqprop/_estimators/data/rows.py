"""Statistics of the columns of X from one pass over it, and what training derives from them.

Training derives scales for the columns, and decides whether to warn about them. The texts of the
warnings are in `column_warnings`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from scipy import sparse

from sklearn_eqprop._backend import ArrayBackend
from sklearn_eqprop._estimators.data import column_warnings
from sklearn_eqprop._estimators.data.inputs import rows_that_count
from sklearn_eqprop._estimators.data.rare_columns import mostly_alike
from sklearn_eqprop._estimators.data.sparse_columns import (
    BLOCK_NUMBERS,
    extremes_of_entries,
    sums_of_entries,
)

#: As `BLOCK_NUMBERS`, for fingerprints: their steps are so simple that a smaller cache pays.
HASHED_NUMBERS = 2**15
#: The same on a device, where larger blocks mean fewer kernels.
DEVICE_BLOCK_NUMBERS = 2**22
#: Largest exponent E such that 2**E and 2**-E are both normal numbers in float64.
LARGEST_EXPONENT = 1022

#: A column is not scaled if its largest magnitude is in this range. This holds for standardised
#: columns, for images in [0, 1] and for scikit-learn's digits. In other columns the largest
#: magnitude is scaled into [2, 4).
ORDINARY_RANGE = (2.0**-4, 2.0**6)
#: Fewer rows than this can all be small, or all be similar, by chance.
TELLING_ROWS = 10
#: A column has a small unit in any case if its largest magnitude is below this, in units of the
#: largest column. Rare entries do not explain it: a standardised indicator that is 0 in all rows
#: seen is so small only if it is 1 in fewer than one of 2**40 rows.
SMALLEST_RARE = 2.0**-20

#: Warn if a column is this many times larger than the median spread.
UNEVEN_RATIO = 300.0
#: A column is constant if its spread, relative to its size, is below this.
SMALLEST_SPREAD = 1e-6
#: Warn if a mean is this many standard deviations from 0. At half of this nothing is lost yet. At
#: twice this the network learns almost nothing from the column.
LARGE_OFFSET = 10.0
#: A column is also constant if its values differ by no more than this many roundings.
ROUNDINGS = 16
#: Columns count as standardised if at least this share of them is.
MOSTLY = 0.9


@dataclass(frozen=True, eq=False)
class Columns:
    """Statistics of each column of X. The arrays are on the host, in float64."""

    #: Number of rows that X stands for. A weight of 2 counts as two rows. Weights never make this
    #: smaller than the number of rows of X.
    n_rows: float
    #: Lowest and highest number, shape (n_features,).
    lowest: np.ndarray
    highest: np.ndarray
    #: Mean and standard deviation without weights, shape (n_features,).
    mean: np.ndarray
    spread: np.ndarray
    #: Of X.
    dtype: Any
    #: Whether X is a CSR matrix.
    is_sparse: bool
    #: Takes a mask of columns, or of channels. Returns for each of these whether more than half of
    #: its entries are alike, from one more pass over them.
    mostly_alike: Callable[[np.ndarray], np.ndarray]

    @property
    def largest(self) -> np.ndarray:
        """Largest magnitude of each column."""
        largest: np.ndarray = np.maximum(self.highest, -self.lowest)
        return largest

    @property
    def varies(self) -> np.ndarray:
        """Which columns vary by more than rounding."""
        varies: np.ndarray = self.spread > SMALLEST_SPREAD * np.hypot(self.mean, self.spread)
        return varies

    @property
    def standardised(self) -> bool:
        """Whether nearly all columns that vary have a mean near 0 and a spread near 1.

        A sparse matrix cannot be centred, so that its means do not count.
        """
        varies = self.spread > 0
        near = (
            (self.spread > 0.5) & (self.spread < 2) & (self.is_sparse | (np.abs(self.mean) < 0.5))
        )
        return bool(varies.any() and near[varies].mean() >= MOSTLY)

    @property
    def sizes(self) -> np.ndarray:
        """Logarithms to base 2 of spreads and of largest magnitudes, shape (2, n_features).

        NaN stands for a column that does not vary, and for a column of zeros.
        """
        spread = np.where(self.varies, self.spread, np.nan)
        return np.log2([spread, np.where(self.largest > 0, self.largest, np.nan)])


def look_over(
    X: Any, weight: np.ndarray | None = None, device: ArrayBackend | None = None
) -> Columns:
    """Statistics of the columns of X, from one pass that never copies X as a whole.

    X holds finite numbers: an array or a CSR matrix that stores each entry once, or an array of the
    device. The samples may have weights.
    """
    found = _statistics(X, device)
    if device is not None:
        found = tuple(map(device.to_host, found))
    lowest, highest, mean, spread = found
    n_rows = X.shape[0] if weight is None else max(X.shape[0], float(weight.sum()))
    alike = partial(mostly_alike, X, device)
    return Columns(n_rows, lowest, highest, mean, spread, X.dtype, sparse.issparse(X), alike)


def _statistics(X: Any, device: ArrayBackend | None) -> tuple[Any, ...]:
    """Lowest, highest, mean and spread of the columns of X, where X lives.

    Sums are in units of a power of two per column. Without a unit, squares of numbers like 1e200 or
    1e-200 would leave the range of float64. They are sums of distances from the first row of a
    dense X: with plain squares, a large mean would hide a small spread in rounding.
    """
    xp = np if device is None else device.xp
    if sparse.issparse(X):
        lowest, highest = extremes_of_entries(X)
        origin: Any = 0.0
    else:
        lowest, highest = X.min(axis=0).astype(np.float64), X.max(axis=0).astype(np.float64)
        origin = X[0].astype(np.float64)
    exponent = xp.frexp(xp.maximum(highest, -lowest))[1]
    exponent = xp.clip(exponent, -LARGEST_EXPONENT, LARGEST_EXPONENT)
    units = xp.ldexp(xp.ones_like(lowest), -exponent)
    sums = sums_of_entries(X, units) if sparse.issparse(X) else _sums(X, units, origin, device)
    distance = squares = xp.zeros_like(lowest)
    for block, block_squares in sums:
        distance, squares = distance + block / X.shape[0], squares + block_squares / X.shape[0]
    variance = xp.maximum(squares - distance * distance, 0)
    mean = xp.ldexp(distance + origin * units, exponent)
    return lowest, highest, mean, xp.ldexp(xp.sqrt(variance), exponent)


def _sums(
    X: Any, units: Any, origin: Any, device: ArrayBackend | None
) -> Iterator[tuple[Any, Any]]:
    """Sums and sums of squares of the columns, a block of rows at a time."""
    for rows in _blocks(X, BLOCK_NUMBERS if device is None else DEVICE_BLOCK_NUMBERS):
        numbers = rows * units  # exact, in float64: units are powers of two
        numbers -= origin * units
        total = numbers.sum(axis=0)
        numbers *= numbers
        yield total, numbers.sum(axis=0)


def _blocks(X: Any, size: int) -> Iterator[Any]:
    """Rows of X, at least one and about `size` stored numbers at a time."""
    n_stored = X.nnz if sparse.issparse(X) else X.size
    n_rows = max(1, size * X.shape[0] // max(1, n_stored))
    for start in range(0, X.shape[0], n_rows):
        yield X[start : start + n_rows]


# ---- scales ------------------------------------------------------------------------------------


def scales_of(columns: Columns, dtype: Any, n_channels: int | None = None) -> np.ndarray | None:
    """Powers of two to divide the columns of X by; None if all are 1.

    A network with weights F that reads x / c is the same as one with weights F / c that reads x.
    The scales c become part of the first layer when training ends. Division by a power of two is
    exact, so nothing is rounded on the way there and back. (A shift of the columns could become
    part of the biases, but it would be rounded, and training would not continue exactly.)

    A column can look small because its large entries are rare. If it was scaled up, these would
    become huge. So a small column counts as being as large as the largest column of X, but at most
    as 1, if most of its entries are alike, or if it has fewer than ten.

    Scales and their inverses stay in the range of `dtype`, that of the weights. If kernels move
    over images of `n_channels` channels, all pixels of a channel have the same scale. The channels
    of a pixel are neighbouring columns.
    """
    n_scales = columns.largest.size if n_channels is None else n_channels
    largest = columns.largest.reshape(-1, n_scales).max(axis=0)
    lower, upper = ORDINARY_RANGE
    reference = min(float(largest.max()), 1.0)
    largest[largest == 0] = reference
    doubted = (largest > SMALLEST_RARE * reference) & (largest < min(lower, reference))
    if doubted.any():
        is_few = columns.n_rows * columns.largest.size < TELLING_ROWS * n_scales
        doubted[doubted] = is_few or columns.mostly_alike(doubted)
        largest[doubted] = reference
    ordinary = (largest == 0) | ((largest >= lower) & (largest <= upper))
    if ordinary.all():
        return None
    _, exponents = np.frexp(largest)
    most = np.finfo(dtype).maxexp - 2
    scales: np.ndarray = np.where(ordinary, 1.0, np.ldexp(1.0, np.clip(exponents - 2, -most, most)))
    return np.tile(scales, columns.largest.size // n_scales)


# ---- rows --------------------------------------------------------------------------------------


def _row_hashes(X: Any, device: ArrayBackend | None) -> Any:
    """Return a number per row that depends on every bit of it: a sum over its columns, mod 2^64."""
    xp, size = (np, HASHED_NUMBERS) if device is None else (device.xp, DEVICE_BLOCK_NUMBERS)
    factors = xp.asarray(_mixed(np.arange(1, X.shape[1] + 1, dtype=np.uint64)) | np.uint64(1))
    hashes = []
    for rows in _blocks(X, size):
        if sparse.issparse(X):
            ends = np.zeros(rows.indices.shape[0] + 1, dtype=np.uint64)
            np.cumsum(_bits(rows.data) * factors[rows.indices], out=ends[1:])
            hashes.append(np.diff(ends[rows.indptr]))
        else:
            hashes.append((_bits(rows) * factors).sum(axis=1))
    return xp.concatenate(hashes)


def _bits(numbers: Any) -> Any:
    """Return the bits of numbers as integers. Those of 0.0 and -0.0 are 0."""
    bits = (numbers.astype(np.float64) + 0.0).view(np.uint64)
    return bits ^ (bits >> np.uint64(32))  # whole numbers have their bits at the upper end only


def _mixed(hashes: np.ndarray) -> np.ndarray:
    """Return a hash of each integer, so that equal sums of integers do not give equal sums."""
    hashes = (hashes ^ (hashes >> np.uint64(31))) * np.uint64(0x9E3779B97F4A7C15)
    return hashes ^ (hashes >> np.uint64(29))


@dataclass(frozen=True, eq=False)
class Rows:
    """Samples that have been checked."""

    #: Array, CSR matrix or array of a device, shape (n_samples, n_features).
    X: Any
    #: Targets in the form that the estimator's targets encode, one or more per sample.
    y: np.ndarray
    #: Weights in training, or in the score if the rows are held out.
    weight: np.ndarray | None
    #: The backend whose array X is. None: X is on the host.
    device: ArrayBackend | None = None
    #: The part of `weight` that does not come from `class_weight`.
    sample_weight: np.ndarray | None = None
    #: Numbers of these rows among those that the user passed. None: all rows.
    index: np.ndarray | None = None

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return int(self.X.shape[0])

    @cached_property
    def columns(self) -> Columns:
        """Statistics of the columns of X. The first access takes a pass over X."""
        return look_over(self.X, self.weight, self.device)

    def fingerprint(self, codes: np.ndarray) -> tuple[int, int, int]:
        """Return numbers that recognise the same rows in a later call without keeping them.

        The order of the rows, the type of their numbers and the layout of X do not matter. `codes`
        are the targets as numbers.
        """
        weight = np.ones(self.n_samples) if self.weight is None else self.weight
        return (*self.X.shape, int(self.hashes(np.column_stack([codes, weight])).sum()))

    def hashes(self, beside: np.ndarray, seed: int = 0) -> np.ndarray:
        """Return a number for each row that depends on every bit of it, of `beside` and of `seed`.

        `beside` has one or more numbers that belong to each row, such as its targets.
        """
        of_others = _row_hashes(beside.reshape(self.n_samples, -1).astype(np.float64), None)
        of_others = _mixed(of_others + np.uint64(seed))
        return _mixed(self._hashes_of_inputs + of_others)

    @cached_property
    def _hashes_of_inputs(self) -> np.ndarray:
        hashes = _row_hashes(self.X, self.device)
        return hashes if self.device is None else self.device.to_host(hashes)

    def part(self, indices: np.ndarray) -> Rows:
        """The rows with these indices."""
        X = self.X[indices] if self.device is None else self.device.take_rows(self.X, indices)
        weight, sample_weight = (
            None if w is None else w[indices] for w in (self.weight, self.sample_weight)
        )
        index = indices if self.index is None else self.index[indices]
        return Rows(X, self.y[indices], weight, self.device, sample_weight, index)

    def that_count(self, name: str = "class_weight") -> Rows:
        """The rows of positive weight; messages call the weights `name`, see `rows_that_count`."""
        indices = rows_that_count(self.weight, name)
        return self if indices is None else self.part(indices)


def check_inputs_fit(rows: Rows, dtype: Any, name: str = "X") -> None:
    """Refuse columns beyond the range of `dtype`; warn about columns below it.

    This is the type of the weights, to which the rows are cast. They come from the argument `name`.
    """
    if np.finfo(rows.X.dtype).max > np.finfo(dtype).max:
        column_warnings.check_range(rows.columns.largest, dtype, name)


def warn_about_columns(
    columns: Columns, scales: np.ndarray | None, n_channels: int | None = None
) -> None:
    """Warn if an offset hides how a column varies, or if one column dominates the others.

    Training divides the columns by `scales`. If kernels move over images of `n_channels` channels,
    channels are judged instead of columns.
    """
    divisors = np.ones(1) if scales is None else scales
    kind = "column"
    mean, spread = columns.mean / divisors, columns.spread / divisors
    if n_channels is not None:
        kind, divisors = "channel", divisors[:n_channels]
        mean, spread = _of_channels(mean, spread, n_channels)
    size = np.hypot(mean, spread)
    hidden = _hidden_by_offset(columns, mean * divisors, spread * divisors)
    spreads = spread[spread > SMALLEST_SPREAD * size]
    is_uneven = spreads.size and size.max() > UNEVEN_RATIO * np.median(spreads)
    if hidden.size:
        column_warnings.warn_about_offset(
            hidden, mean * divisors, spread * divisors, kind, is_sparse=columns.is_sparse
        )
    elif is_uneven:
        column_warnings.warn_about_uneven(size, float(np.median(spreads)), kind)


def _of_channels(
    mean: np.ndarray, spread: np.ndarray, n_channels: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel, from those of its columns."""
    mean_square = (mean**2 + spread**2).reshape(-1, n_channels).mean(axis=0)
    mean = mean.reshape(-1, n_channels).mean(axis=0)
    return mean, np.sqrt(np.maximum(mean_square - mean**2, 0))


def _hidden_by_offset(columns: Columns, mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Indices of the columns, or channels, that vary little compared with their distance from 0.

    A column is not among them if its values include 0, or if 0 is no farther away than the column
    is wide. Its mean is then a frequent value, as in an indicator that is mostly 1.
    """
    far = (np.abs(mean) > LARGE_OFFSET * spread) & (mean != 0)
    if columns.n_rows < TELLING_ROWS or not far.any():
        return np.empty(0, dtype=np.intp)
    lowest = columns.lowest.reshape(-1, mean.size).min(axis=0)
    highest = columns.highest.reshape(-1, mean.size).max(axis=0)
    width = highest - lowest
    varies = width > ROUNDINGS * np.finfo(columns.dtype).eps * np.abs(mean)
    hidden = far & varies & (np.abs(mean) > width)
    # If most columns share their largest number, they are pixels, perhaps on a white background.
    # If few of these are hidden, the reason is the background, not an offset.
    largest = np.maximum(highest, -lowest)
    pixels = largest == np.median(largest)
    n_pixels = np.count_nonzero(pixels)
    if 2 * n_pixels > pixels.size and 2 * np.count_nonzero(hidden & pixels) < n_pixels:
        hidden &= ~pixels
    return np.flatnonzero(hidden)
