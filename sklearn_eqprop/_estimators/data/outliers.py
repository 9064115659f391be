"""The warning about columns with a few entries that are far larger than all others."""

from typing import Any

import numpy as np

from sklearn_eqprop._estimators.data.column_warnings import warn_about_dwarfed
from sklearn_eqprop._estimators.data.rows import TELLING_ROWS, Columns

#: Numbers of X in the sample that is searched.
SAMPLE_NUMBERS = 2**18
#: The network cannot tell entries apart if they are this much smaller than the largest.
DWARFED = 1e-6


def warn_about_outliers(X: Any, columns: Columns, scales: np.ndarray) -> None:
    """Warn if a few entries of a column are so large that the network cannot tell the others apart.

    Only columns that are scaled down are checked, on a sample of evenly spaced rows. X must be on
    the host, and `columns` must be its statistics.
    """
    step = min(X.size // SAMPLE_NUMBERS, X.shape[0] // TELLING_ROWS)
    sample = X[:: max(1, step)]
    limits = DWARFED * columns.largest
    if columns.is_sparse:
        sizes, at = np.abs(sample.data), sample.indices
        below, present = sizes < limits[at], sizes > 0
        n_below = np.bincount(at[below & present], minlength=limits.size)
        n_present = np.bincount(at[present], minlength=limits.size)
    else:
        sizes = np.abs(sample)
        n_present = np.count_nonzero(sizes, axis=0)
        n_below = np.count_nonzero((sizes < limits) & (sizes > 0), axis=0)
    dwarfed = np.flatnonzero((scales > 1) & (2 * n_below > n_present))
    if dwarfed.size:
        column = dwarfed[0]
        warn_about_dwarfed(X[:, [column]], column, columns.largest[column])
