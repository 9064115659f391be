"""The weights of classes that the parameter `class_weight` asks for."""

from typing import Any

import numpy as np
from sklearn.utils import compute_class_weight


def weight_of_classes(
    class_weight: Any, classes: np.ndarray, y: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """Return the weight of each class, given the labels of the samples and their own weights.

    It raises ValueError if `class_weight` does not fit the classes, or leaves out all of them
    except one.
    """
    by_class = _balanced(classes, y, weight) if class_weight == "balanced" else None
    if by_class is None:
        try:
            by_class = compute_class_weight(class_weight, classes=classes, y=y)
        except (ValueError, TypeError) as error:
            msg = (
                f"class_weight={class_weight!r} is not usable: {str(error).rstrip('.')}. Pass a "
                f"number for each of the classes {classes.tolist()}, or 'balanced'."
            )
            raise ValueError(msg) from None
    if np.count_nonzero(by_class) < 2:
        msg = (
            f"class_weight={class_weight!r} leaves out all classes of {classes.tolist()} except "
            "one: at least two need a weight other than 0."
        )
        raise ValueError(msg)
    return by_class


def _balanced(classes: np.ndarray, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return weights that make the classes count alike; absent classes get any weight.

    The counts are sums of weights, so that a weight of 2 equals two rows.
    """
    columns = np.searchsorted(classes, y)
    counts = np.bincount(columns, weights=weight, minlength=classes.shape[0])
    balanced: np.ndarray = weight.sum() / (
        np.count_nonzero(counts) * np.where(counts > 0, counts, 1.0)
    )
    return balanced
