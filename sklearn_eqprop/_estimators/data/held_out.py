"""Rows to train on, and rows held out for early stopping."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.model_selection import train_test_split

from sklearn_eqprop._backend import ArrayBackend
from sklearn_eqprop._estimators.data import column_warnings
from sklearn_eqprop._estimators.data.columns import Columns, look_over


@dataclass(frozen=True, eq=False)
class Rows:
    """Samples, checked and without those of weight 0.

    Attributes
    ----------
    X : ndarray, CSR matrix or array of a device of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Targets, in the form that the estimator's targets encode.
    weight : ndarray of shape (n_samples,) or None
        Positive weights.
    device : ArrayBackend or None, default=None
        The backend whose array X is. None: X is on the host.
    """

    X: Any
    y: np.ndarray
    weight: np.ndarray | None
    device: ArrayBackend | None = None

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return int(self.X.shape[0])

    @cached_property
    def columns(self) -> Columns:
        """Statistics of the columns of X. The first access takes a pass over X."""
        return look_over(self.X, self.weight, self.device)

    @property
    def fingerprint(self) -> tuple[Any, ...]:
        """Shape and sum of X, to recognise the same rows in a later call without keeping them."""
        total = self.X.sum(dtype=np.float64)
        if self.device is not None:
            [total] = self.device.numbers([total])
        return (*self.X.shape, float(total))

    def part(self, indices: np.ndarray) -> Rows:
        """The rows with these indices."""
        weight = None if self.weight is None else self.weight[indices]
        X = self.X[indices] if self.device is None else self.device.take_rows(self.X, indices)
        return Rows(X, self.y[indices], weight, self.device)


def check_inputs_fit(rows: Rows, dtype: Any, name: str = "X") -> None:
    """Refuse columns beyond the range of the network's dtype; warn about columns below it.

    Parameters
    ----------
    rows : Rows
    dtype : dtype
        Of the weights. X is cast to it.
    name : {'X', 'X_val'}, default='X'
        Argument that the rows come from.

    Raises
    ------
    ValueError
        If a number is larger than the largest of `dtype`.
    """
    if np.finfo(rows.X.dtype).max > np.finfo(dtype).max:
        column_warnings.check_range(rows.columns.largest, dtype, name)


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
    if X_val is None and y_val is None and sample_weight_val is None:
        return
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

    Returns
    -------
    train, held_out : Rows

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


def merged_rows(
    X: Any, target: np.ndarray, weight: np.ndarray | None
) -> tuple[Any, np.ndarray, np.ndarray | None]:
    """Rows of a lone minibatch, sorted, with equal rows merged and their weights added.

    Repeated rows then train like weights, and the order of the rows does not matter, to rounding.
    Without this, sums over the rows would be rounded in different orders. Some networks amplify
    such differences within a hundred epochs: homeostasis up to 1e-2, and tied feedback to 1e-6.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        A CSR matrix must store each entry once.
    target : ndarray of shape (n_samples, n_outputs)
    weight : ndarray of shape (n_samples,) or None

    Returns
    -------
    X, target, weight : as given
        Weight stays None if no two rows are equal.
    """
    n_features = X.shape[1]
    # Any numbers without pattern do: they give different rows different sums.
    factors = np.sin(np.arange(1.0, n_features + target.shape[1] + 1))
    with np.errstate(over="ignore", invalid="ignore"):
        order = np.argsort(X @ factors[:n_features] + target @ factors[n_features:], kind="stable")
    X, target = X[order], target[order]
    differs = X[1:] != X[:-1]
    differs = np.diff(differs.indptr) > 0 if sparse.issparse(X) else differs.any(axis=1)
    is_first = np.r_[True, differs | (target[1:] != target[:-1]).any(axis=1)]
    weight = None if weight is None else weight[order]
    if is_first.all():
        return X, target, weight
    weight = np.bincount(np.cumsum(is_first) - 1, weight).astype(np.float64)
    return X[is_first], target[is_first], weight
