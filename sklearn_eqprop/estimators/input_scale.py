"""Inputs on very uneven scales: noticed before training, in words a user can act on."""

from __future__ import annotations

import warnings

import numpy as np

#: A column this many times larger than the median column drowns most of the others.
UNEVEN_RATIO = 100.0


def warn_about_uneven_columns(X: np.ndarray) -> None:
    """Warn where one column of X is so large that the network hardly sees the others.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
    """
    with np.errstate(over="ignore"):
        rms = np.sqrt(np.einsum("ij,ij->j", X, X, dtype=np.float64) / X.shape[0])
    sizes = rms[rms > 0]
    if not sizes.size:
        return
    largest = int(rms.argmax())
    if not rms[largest] <= UNEVEN_RATIO * np.median(sizes):
        warnings.warn(
            f"The columns of X are on very uneven scales: column {largest} has root mean square "
            f"{rms[largest]:.3g}, the median column {np.median(sizes):.3g}. The network will "
            "learn little from the small ones. Put a StandardScaler in front: "
            "make_pipeline(StandardScaler(), ...).",
            UserWarning,
            stacklevel=4,
        )
