"""Targets: from what a user calls y to what the output layer is nudged towards, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils.multiclass import unique_labels

from sklearn_eqprop._backend import ArrayBackend
from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._estimators.data.array_home import on_host
from sklearn_eqprop._estimators.data.inputs import refuse_missing

#: Standard deviation, in units of the largest magnitude, up to which targets count as constant.
CONSTANT = 10 * float(np.finfo(np.float64).eps)


def one_hot(y: np.ndarray, classes: np.ndarray, dtype: Any) -> np.ndarray:
    """Indicator matrix (n_samples, n_classes) of labels that are all in `classes`."""
    columns = np.searchsorted(classes, y)
    target = np.zeros((y.shape[0], classes.shape[0]), dtype=dtype)
    target[np.arange(y.shape[0]), columns] = 1
    return target


def without_nullable_type(y: Any) -> Any:
    """Labels of pandas' nullable integer or boolean types as plain ones; all else as it is.

    scikit-learn's validation would turn them into floats.
    """
    dtypes = getattr(y, "dtypes", None)  # of a frame, one a column
    if dtypes is None or not np.iterable(dtypes):
        dtypes = [getattr(y, "dtype", None)]
    plain = [getattr(dtype, "numpy_dtype", None) for dtype in dtypes]
    if not plain or any(dtype is None or dtype.kind not in "iub" for dtype in plain):
        return y
    return y if np.any(y.isna()) else y.to_numpy(dtype=np.result_type(*plain))


def refuse_odd_labels(y: np.ndarray) -> None:
    """Refuse objects that are no labels, or not labels of one kind.

    Raises
    ------
    ValueError
        Naming the remedy.
    """
    if y.dtype != object:
        return
    # scikit-learn has a remedy of its own for bytes and for rows of labels.
    known = (str, bytes, list, tuple, set, np.ndarray)
    types = {type(label).__name__ for label in y.ravel() if not isinstance(label, known)}
    if types:
        has_text = any(isinstance(label, str) for label in y.ravel())
        held = " and ".join([*sorted(types), *(["text"] if has_text else [])])
        whole = types <= {"int", "bool"} and not has_text
        msg = (
            f"Unknown label type: y is an array of objects that holds {held}. Labels are all text, "
            f"or an array of integers or booleans: use y.astype({'int' if whole else 'str'})."
        )
        raise ValueError(msg)


def checked_classes(classes: Any) -> np.ndarray:
    """Sorted class labels of partial_fit's ``classes``.

    Raises
    ------
    ValueError
        If they are not a sequence of labels.
    """
    classes = on_host(classes)
    refuse_missing(classes, "classes", "name labels alone")
    labels = np.asarray(without_nullable_type(classes))
    if labels.ndim != 1 or labels.size == 0:
        msg = f"classes={classes!r} must be a sequence of all class labels to come."
        raise ValueError(msg)
    if labels.dtype.kind == "f" and np.isnan(labels).any():
        msg = f"classes={classes!r} contains NaN, which is no label."
        raise ValueError(msg)
    return unique_labels(labels)


def _magnitudes(y: np.ndarray) -> np.ndarray:
    """Largest magnitude of each column, 1 where all are 0."""
    largest: np.ndarray = np.abs(y).max(axis=0)
    return np.where(largest == 0, 1.0, largest)


def vary(y: np.ndarray) -> bool:
    """Whether targets (n_samples, n_outputs) tell how each output varies, beyond rounding."""
    unit = _magnitudes(y)
    return bool(((y / unit).std(axis=0) > CONSTANT).all())


def joined(
    some: tuple[np.ndarray, np.ndarray | None], more: tuple[np.ndarray, np.ndarray | None]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Targets and sample weights of two calls together; None stands for weights of 1."""
    y = np.concatenate([targets for targets, _ in (some, more)])
    if some[1] is None and more[1] is None:
        return y, None
    weights = [
        np.ones(targets.shape[0]) if weight is None else weight for targets, weight in (some, more)
    ]
    return y, np.concatenate(weights)


@dataclass(frozen=True)
class Standardisation:
    """Shift and scale that bring each target to mean 0 and variance 1.

    Attributes
    ----------
    mean, scale : ndarray of shape (n_outputs,)
    """

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def of_counts(cls, y: np.ndarray, sample_weight: np.ndarray | None) -> Standardisation:
        """Weighted mean of each column as its unit, not shifted; columns of zeros keep scale 1."""
        unit = _magnitudes(y)
        means = [_mean_and_spread(*_counted(column, sample_weight))[0] for column in (y / unit).T]
        scale = unit * np.array(means)
        return cls(np.zeros_like(scale), np.where(scale > 0, scale, 1.0))

    @classmethod
    def of(cls, y: np.ndarray, sample_weight: np.ndarray | None) -> Standardisation:
        """Weighted mean and standard deviation of the columns of y; a constant keeps scale 1.

        Parameters
        ----------
        y : ndarray of shape (n_samples, n_outputs), float64
        sample_weight : ndarray of shape (n_samples,) or None
        """
        # In units of the largest magnitude nothing overflows on the way.
        unit = _magnitudes(y)
        moments = [_mean_and_spread(*_counted(column, sample_weight)) for column in (y / unit).T]
        mean, scale = np.array(moments).T
        # Rounding leaves a constant column a spread of a few units in the last place.
        constant = scale <= CONSTANT
        return cls(mean * unit, np.where(constant, 1.0, scale * unit))

    def apply(self, y: np.ndarray, dtype: Any) -> np.ndarray:
        """Standardised targets.

        Raises
        ------
        ValueError
            If one is beyond the largest number of `dtype`.
        """
        with np.errstate(over="ignore"):
            # Near the largest number, only what is halved can be subtracted; halving is exact.
            part = 0.5 if np.isinf(y - self.mean).any() else 1.0
            standardised: np.ndarray = part * y - part * self.mean
            standardised = (standardised / (part * self.scale)).astype(dtype)
        row, column = np.unravel_index(np.argmax(np.abs(standardised)), standardised.shape)
        if np.isinf(standardised[row, column]):
            msg = (
                f"y holds {y[row, column]:.4g}, too far from the targets that training started "
                f"with (mean {self.mean[column]:.4g}, scale {self.scale[column]:.4g}): in units "
                f"of that scale it is beyond the largest number of {np.dtype(dtype)}. Leave out "
                "such targets, or fit a fresh clone on data that includes them."
            )
            raise ValueError(msg)
        return standardised

    def invert(self, standardised: Array, dtype: Any, backend: ArrayBackend) -> Array:
        """Targets in the units of y; float64 where the type asked for could not hold them.

        `standardised` and what is returned are arrays of the backend.
        """
        scale, mean = (backend.from_host(x, x.dtype) for x in (self.scale, self.mean))
        restored = standardised * scale + mean
        limits = np.finfo(dtype)
        [largest] = backend.numbers([abs(restored).max()])
        fits = largest <= float(limits.max) and self.scale.min() >= limits.tiny
        return restored.astype(dtype) if fits else restored


def _counted(column: np.ndarray, weight: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Distinct numbers in ascending order, and the weight of each.

    However rows are ordered or repeated, sums over these are the same to the last bit.
    """
    values, where = np.unique(column, return_inverse=True)
    return values, np.bincount(where, weight)


def _mean_and_spread(values: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    mean = np.average(values, weights=weight)
    return mean, np.sqrt(np.average((values - mean) ** 2, weights=weight))
