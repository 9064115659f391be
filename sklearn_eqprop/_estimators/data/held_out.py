"""Rows held out for early stopping."""

from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split

from sklearn_eqprop._estimators.data.rows import Rows


def check_validation_arguments(
    X_val: Any, y_val: Any, sample_weight_val: Any, *, early_stopping: bool
) -> None:
    """Refuse a validation set that is incomplete, or that would not be used.

    Parameters
    ----------
    X_val, y_val, sample_weight_val : any
        As passed to fit.
    early_stopping : bool

    Raises
    ------
    ValueError
        If only some of the arguments are given, or `early_stopping` is False.
    """
    for missing, value in (("X_val", X_val), ("y_val", y_val)):
        if value is None:
            msg = (
                f"{missing}=None, but another part of the validation set was passed to fit. Pass "
                "X_val and y_val together (sample_weight_val is optional)."
            )
            raise ValueError(msg)
    if not early_stopping:
        msg = (
            "X_val and y_val were passed to fit, but early_stopping=False would ignore them. Set "
            "early_stopping=True, or leave them out."
        )
        raise ValueError(msg)


def split_rows(
    rows: Rows, fraction: float, seed: int, stratify: np.ndarray | None
) -> tuple[Rows, Rows]:
    """Rows to train on, and rows held out for early stopping.

    Parameters
    ----------
    rows : Rows
    fraction : float in (0, 1)
        Fraction of the rows to hold out.
    seed : int
    stratify : ndarray of shape (n_samples,) or None
        Class labels. Both parts then have the same fraction of each class.

    Raises
    ------
    ValueError
        If there are too few rows to hold out at least two.
    """
    n_samples = rows.n_samples
    try:
        train, val = train_test_split(
            np.arange(n_samples), test_size=fraction, random_state=seed, stratify=stratify
        )
    except ValueError as error:
        msg = (
            f"early_stopping=True cannot hold out validation_fraction={fraction} of {n_samples} "
            f"samples: {error} Raise validation_fraction, pass X_val and y_val, or set "
            "early_stopping=False."
        )
        raise ValueError(msg) from None
    if val.shape[0] < 2:
        msg = (
            f"validation_fraction={fraction} leaves {val.shape[0]} of {n_samples} samples for "
            "validation. Raise it, pass X_val and y_val, or set early_stopping=False."
        )
        raise ValueError(msg)
    return rows.part(train), rows.part(val)
