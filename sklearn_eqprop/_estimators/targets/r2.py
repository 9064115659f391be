"""Coefficient of determination of predictions that may be wrong by any factor."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import r2_score

from sklearn_eqprop._warnings import warn_at_call

#: Errors that are squared in scores, in units of the targets: larger ones are cut off.
LARGEST_ERROR = 1e140


def r2_of(y: np.ndarray, predicted: np.ndarray, sample_weight: np.ndarray | None) -> float:
    """R², in units in which targets can be squared; errors that cannot be are cut off."""
    unit = np.maximum(np.abs(y).max(axis=0), 1.0)  # of each column
    y, predicted = y / unit, predicted.astype(np.float64) / unit
    # Counted from the first target nothing is left of a constant column, not even rounding.
    y, predicted = y - y[0], predicted - y[0]
    error = predicted - y
    largest = np.abs(error).max()
    if largest > LARGEST_ERROR:
        warn_at_call(
            f"Predictions are wrong by up to {largest:.3g} times the scale of the targets; in the "
            f"score, errors beyond {LARGEST_ERROR:.0e} count as that. Inputs far from those of "
            "training make them so: leave them out, or fit on data that includes them.",
        )
        predicted = y + np.clip(error, -LARGEST_ERROR, LARGEST_ERROR)
    if sample_weight is not None:
        sample_weight = sample_weight / sample_weight.max()
    return float(r2_score(y, predicted, sample_weight=sample_weight))
