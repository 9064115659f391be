"""Warnings about columns on another scale than before: in later calls, and in held-out rows."""

import numpy as np
from scipy import sparse

from sklearn_eqprop._estimators.data.rows import TELLING_ROWS, Columns, Rows
from sklearn_eqprop._warnings import warn_at_call

#: A column has another unit if its spread and its magnitude have grown by more than these factors.
#: All limits here are logarithms to base 2, relative to the most extreme of the earlier calls.
GROWN = (4.0, 3.0)
#: The same for a spread that has shrunk. The first limit is used if the magnitude has shrunk,
#: too, or if the mean is far outside the earlier range. Otherwise the second is used.
SHRUNK = (4.3, 5.6)
#: The same for a magnitude that has grown. It needs no spread, so a few rows are enough.
HUGE = 16.0
#: At most this many columns are looked at more closely.
MOST_DOUBTED = 8
#: Held-out rows have another scale if the mean of a column lies beyond the training rows by this
#: many times their range, and times its own standard deviation.
FAR_BEYOND = 0.5
#: They also have if the spread of most columns has changed by more than this factor (log2).
OTHER_SPREAD = 2.5


def warn_about_other_scale(rows: Rows, seen: np.ndarray, most_rows: int) -> None:
    """Warn if the unit of a column seems to have changed since the calls before.

    Its spread and its magnitude must have changed far more than between earlier calls. A few
    outliers are no evidence. The slow drift of a sorted stream is none, either.

    Of the calls before, `seen` has the smallest and the largest `Columns.sizes`, and `most_rows` is
    the largest number of rows.
    """
    spread, size = rows.columns.sizes
    (low_spread, low_size), (high_spread, high_size) = seen.astype(np.float64)
    changed = size > high_size + HUGE
    if rows.n_samples >= TELLING_ROWS:
        outside = np.log2(np.abs(rows.columns.mean)) > high_size + 1
        elsewhere = (size < low_size - SHRUNK[0]) | outside
        changed |= (spread > high_spread + GROWN[0]) & (size > high_size + GROWN[1])
        changed |= (spread < low_spread - SHRUNK[0]) & elsewhere
        # Rows of a sorted stream vary the less, the fewer of them are in a call.
        changed |= spread < low_spread - SHRUNK[1] - np.log2(max(1, most_rows / rows.n_samples))
    for column in np.flatnonzero(changed)[:MOST_DOUBTED]:
        bounds = np.exp2(seen[:, :, column].astype(np.float64))
        largest = bounds[1, 1] if size[column] > high_size[column] else 0.0
        if _most_are_beyond(rows, column, largest):
            warn_at_call(
                f"The columns of X are on another scale than in earlier calls: column {column} has "
                f"a standard deviation of {rows.columns.spread[column]:.3g} and numbers up to "
                f"{rows.columns.largest[column]:.3g}. Before, it had standard deviations from "
                f"{bounds[0, 0]:.3g} to {bounds[1, 0]:.3g}, and numbers up to {bounds[1, 1]:.3g}. "
                "Scale X alike in every call (fit a StandardScaler beforehand), or fit a fresh "
                "clone."
            )
            return


def _most_are_beyond(rows: Rows, column: int, bound: float, *, zeros: bool = False) -> bool:
    """Return whether most numbers of a column, and enough of them, are beyond a bound.

    Zeros do not count, unless `zeros`: rare entries may all be larger than those seen before.
    """
    numbers = rows.X[:, column : column + 1]
    numbers = numbers if rows.device is None else rows.device.to_host(numbers)
    numbers = np.abs(numbers.data if sparse.issparse(numbers) else numbers)
    n_numbers = rows.n_samples if zeros else int(np.count_nonzero(numbers))
    n_needed = max(n_numbers, min(TELLING_ROWS, rows.n_samples))
    return 2 * int(np.count_nonzero(numbers > bound)) >= n_needed


def warn_about_held_out(
    now: Columns, before: Columns, name: str, of_training: str, rows: Rows | None = None
) -> None:
    """Warn if held-out rows lie so far from those of training that they were not scaled alike.

    `name` and `of_training` are the arguments that the columns `now`, of the held-out rows, and
    `before`, of the training rows, come from. If `rows` are given, the held-out ones, a single
    column that varies far more is noticed.
    """
    if not before.varies.any():
        return
    column = None
    distances = np.abs(now.mean - before.mean)[before.varies] / before.spread[before.varies]
    # The mean of few rows may be far away by chance, or because of an outlier.
    is_elsewhere = np.median(distances) > 1 + 5 / np.sqrt(now.n_rows)
    if now.n_rows >= TELLING_ROWS:
        beyond = np.maximum(now.mean - before.highest, before.lowest - now.mean)
        width = np.maximum(before.highest - before.lowest, now.spread)
        is_elsewhere |= (beyond > FAR_BEYOND * width)[before.varies].any()
        both = before.varies & now.varies
        ratios = np.log2(now.spread[both] / before.spread[both])
        is_elsewhere |= both.any() and bool(abs(np.median(ratios)) > OTHER_SPREAD)
        wider = np.flatnonzero(before.varies & (now.spread > before.highest - before.lowest))
        if rows is not None and not is_elsewhere:
            for doubted in wider[:MOST_DOUBTED]:
                if _most_are_beyond(rows, doubted, before.largest[doubted], zeros=True):
                    column = doubted
                    break
    if not is_elsewhere and column is None:
        return
    if column is None:
        column = np.flatnonzero(before.varies)[distances.argmax()]
    remedy = "y_val has the unit of y: transform it as y (TransformedTargetRegressor does not)."
    if name == "X_val":
        remedy = (
            "Transform X_val as X: a Pipeline does so with transform_input=['X_val'] (see the user "
            "guide)."
        )
    warn_at_call(
        f"{name} is on another scale than {of_training}: column {column} has a mean of "
        f"{now.mean[column]:.3g} and a standard deviation of {now.spread[column]:.3g} there, but "
        f"{before.mean[column]:.3g} and {before.spread[column]:.3g} in {of_training}. Early "
        f"stopping would judge by wrong predictions. {remedy}"
    )
