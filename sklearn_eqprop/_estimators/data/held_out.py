"""Rows to train on, and rows held out to judge training by."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.model_selection import train_test_split

from sklearn_eqprop._backend import ArrayBackend


class Rows(NamedTuple):
    """Samples that belong together.

    Attributes
    ----------
    X : ndarray, CSR matrix or array of a device of shape (n_samples, n_features)
    y : ndarray with one row a sample
    weight : ndarray of shape (n_samples,) or None
    device : ArrayBackend or None
        Where X lives; None: on the host.
    """

    X: Any
    y: np.ndarray
    weight: np.ndarray | None
    device: ArrayBackend | None = None

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return int(self.X.shape[0])

    @property
    def fingerprint(self) -> tuple[Any, ...]:
        """What tells the inputs from others, without keeping them."""
        total = self.X.sum(dtype=np.float64)
        if self.device is not None:
            [total] = self.device.numbers([total])
        return (*self.X.shape, float(total))

    def part(self, indices: np.ndarray) -> Rows:
        """Some of the rows."""
        weight = None if self.weight is None else self.weight[indices]
        X = self.X[indices] if self.device is None else self.device.take_rows(self.X, indices)
        return Rows(X, self.y[indices], weight, self.device)


def check_validation_arguments(
    X_val: Any, y_val: Any, sample_weight_val: Any, *, early_stopping: bool
) -> None:
    """Refuse a validation set that is incomplete, or that nothing would use.

    Raises
    ------
    ValueError
        Naming the argument and what to pass.
    """
    if X_val is None and y_val is None and sample_weight_val is None:
        return
    for missing, value in (("X_val", X_val), ("y_val", y_val)):
        if value is None:
            msg = (
                f"{missing}=None, but another part of the validation set was passed to fit: pass "
                "X_val and y_val together (sample_weight_val may be left out)."
            )
            raise ValueError(msg)
    if not early_stopping:
        msg = (
            "X_val and y_val were passed to fit, but early_stopping=False would ignore them: set "
            "early_stopping=True, or leave them out."
        )
        raise ValueError(msg)


def split_rows(
    rows: Rows, fraction: float, seed: int, stratify: np.ndarray | None
) -> tuple[Rows, Rows]:
    """Rows to train on, and the fraction of them held out for early stopping.

    Raises
    ------
    ValueError
        If they cannot be divided so that both parts are of use.
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
            "validation; raise it, pass X_val and y_val, or set early_stopping=False."
        )
        raise ValueError(msg)
    return rows.part(train), rows.part(val)
