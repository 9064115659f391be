"""Rows held out for early stopping."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split

from sklearn_eqprop._estimators.data.rows import Rows

_OTHER_WAYS = "pass X_val and y_val to fit, or set early_stopping=False."


def check_validation_arguments(
    X_val: Any, y_val: Any, sample_weight_val: Any, *, early_stopping: bool
) -> None:
    """Refuse a validation set that is incomplete, or that would not be used."""
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
    """Rows to train on, and a fraction of the rows, held out for early stopping.

    If class labels are given in `stratify`, both parts have the same fraction of each class. The
    rows to train on have positive weights. Those of the others do not contain `class_weight`.

    It raises ValueError if a class has one row only, or one of the parts would have too few rows.
    """
    n_samples, n_classes = rows.n_samples, 1
    if stratify is not None:
        labels, counts = np.unique(stratify, return_counts=True)
        n_classes = len(labels)
        if counts.min() < 2:
            msg = (
                "early_stopping=True trains on one part of each class and holds out another, but "
                f"the least populated classes in y, {labels[counts < 2].tolist()}, have only 1 "
                f"member. Add samples of them, leave them out, {_OTHER_WAYS}"
            )
            raise ValueError(msg)
    n_val, fewest = math.ceil(fraction * n_samples), max(n_classes, 2)
    if not fewest <= n_val <= n_samples - n_classes:
        remedy = _OTHER_WAYS[0].upper() + _OTHER_WAYS[1:]
        if fewest + n_classes <= n_samples:
            n_better = fewest if n_val < fewest else n_samples - n_classes
            # The number of rows is rounded up.
            remedy = f"Set validation_fraction={(n_better - 0.5) / n_samples:.4g}, {_OTHER_WAYS}"
        each = " (one of each class)" if n_classes > 1 else ""
        msg = (
            f"validation_fraction={fraction} holds out {n_val} of {n_samples} samples, but at "
            f"least {fewest} must be held out, and {n_classes} must be left to train on{each}. "
            f"{remedy}"
        )
        raise ValueError(msg)
    train, val = train_test_split(
        np.arange(n_samples), test_size=fraction, random_state=seed, stratify=stratify
    )
    held_out = rows.part(val)
    return rows.part(train).that_count(), replace(held_out, weight=held_out.sample_weight)
