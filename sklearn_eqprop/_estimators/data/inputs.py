"""X, y and sample weights as users pass them, checked and turned into arrays."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Real
from typing import Any

import numpy as np
from scipy import sparse

from sklearn_eqprop._backend import ArrayBackend
from sklearn_eqprop._estimators.data.array_home import Home, on_host, received, validated_on_device
from sklearn_eqprop._estimators.data.weights import rows_that_count
from sklearn_eqprop._sklearn_compat import _check_sample_weight, validate_data

#: How names of types of dates and times begin, in NumPy, pandas, polars and Arrow.
_TIMES = ("date", "time", "duration", "timestamp")
#: What scikit-learn's validation is asked for: sparse X stays sparse, by rows.
_ACCEPTED: dict[str, Any] = {"dtype": [np.float64, np.float32], "accept_sparse": "csr"}


def validated_inputs(estimator: Any, X: Any, backend: ArrayBackend) -> tuple[Any, Home]:
    """X for a fitted estimator: an array, a CSR matrix, or an array of the backend's device.

    Parameters
    ----------
    estimator : estimator
    X : as passed by the user
    backend : ArrayBackend

    Returns
    -------
    X, home : array or CSR matrix, Home

    Raises
    ------
    ValueError
        If X does not fit the estimator or holds what is no number.
    """
    refuse_unusable(X, "X")
    X, home = received(X, backend)
    if home.on_device:
        X, _ = validated_on_device(estimator, X, None, backend, reset=False)
        return X, home
    with np.errstate(invalid="ignore"):  # sums of huge numbers, on the look-out for NaN
        return validate_data(estimator, X, reset=False, **_ACCEPTED), home


def validated_pair(
    estimator: Any, X: Any, y: Any, backend: ArrayBackend, *, reset: bool = False
) -> tuple[Any, Any, Home]:
    """X and y of the same length.

    Parameters
    ----------
    estimator : estimator
    X, y : as passed by the user
    backend : ArrayBackend
    reset : bool, default=False
        Whether the estimator learns number and names of the features, or checks them.

    Returns
    -------
    X, y, home : array or CSR matrix, array of the host, Home

    Raises
    ------
    ValueError
        If they do not fit each other or the estimator, or hold what is no number.
    """
    refuse_unusable(X, "X")
    refuse_unusable_targets(y)
    X, home = received(X, backend)
    y = on_host(y)
    if home.on_device and y is not None:
        X, y = validated_on_device(estimator, X, y, backend, reset=reset)
        return X, y, home
    with np.errstate(invalid="ignore"):  # sums of huge numbers, on the look-out for NaN
        X, y = validate_data(estimator, X, y, multi_output=True, reset=reset, **_ACCEPTED)
    return _stored_once(X), y, home


def _stored_once(X: Any) -> Any:
    """X, or a copy of a sparse one that may store numbers in parts, or more than belong to it.

    Products take care of either; what looks at the columns before training does not.
    """
    if not sparse.issparse(X) or (X.has_canonical_format and X.data.shape[0] == X.nnz):
        return X
    X = X.copy()
    X.sum_duplicates()
    X.prune()
    return X


def validated_weight(sample_weight: Any, rows: Any, name: str = "sample_weight") -> Any:
    """Sample weights in float64 on the host, one a row; None stays None."""
    if sample_weight is None:
        return None
    refuse_unusable(sample_weight, name)
    try:
        return _check_sample_weight(on_host(sample_weight), rows, dtype=np.float64)
    except ValueError as error:
        if name in str(error):
            raise
        msg = f"{name} is of no use for these {rows.shape[0]} samples: {error}"
        raise ValueError(msg) from error


def weight_of_scores(sample_weight: Any, predicted: np.ndarray) -> Any:
    """Sample weights of a score, one a prediction; None stays None.

    Raises
    ------
    ValueError
        If one is negative or not finite, all are 0, or their sum is not finite.
    """
    weight = validated_weight(sample_weight, predicted)
    if weight is not None:
        rows_that_count(predicted, predicted, weight, "sample_weight")
    return weight


def refuse_unusable(values: Any, name: str) -> None:
    """Refuse what would silently be used as something it is not.

    Masked entries, of which NumPy would use what lies underneath; dates and times, which would
    count as very large integers.

    Raises
    ------
    ValueError
        Naming the argument and the remedy.
    """
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        n_masked = int(np.ma.getmaskarray(values).sum())
        msg = (
            f"{name} is a masked array with {n_masked} masked entries, which would be used as if "
            f"they were not masked: fill them ({name}.filled(...)), impute them or leave out those "
            "rows."
        )
        raise ValueError(msg)
    dtypes = getattr(values, "dtypes", None)  # of a frame, one a column
    if dtypes is None:
        dtypes = getattr(getattr(values, "schema", None), "types", None)  # of an Arrow table
    if dtypes is None or not np.iterable(dtypes):
        dtypes = [getattr(values, "dtype", None)]
    for dtype in dtypes:
        if str(dtype).lower().startswith(_TIMES):
            msg = (
                f"{name} holds dates or times ({dtype}), which would count as very large integers: "
                "turn them into numbers that mean something, such as days since a first day."
            )
            raise ValueError(msg)


def refuse_unusable_targets(y: Any) -> None:
    """Refuse targets as `refuse_unusable` does, and where some are missing.

    Raises
    ------
    ValueError
        Naming the remedy.
    """
    refuse_unusable(y, "y")
    refuse_missing(y)


def refuse_missing(y: Any, name: str = "y", remedy: str = "leave out those rows") -> None:
    """Refuse targets that are missing, in lists, frames and arrays of objects.

    In a list of text NumPy would turn NaN and numbers into text too; pandas' NA is no number and
    no label. scikit-learn finds NaN in arrays of numbers.

    Raises
    ------
    ValueError
        Naming the remedy.
    """
    if hasattr(y, "isna"):
        n_missing = int(np.asarray(y.isna()).sum())
    elif isinstance(y, (list, tuple)) or str(getattr(y, "dtype", "")) == "object":
        targets = list(_each(y))
        n_missing = sum(map(_is_missing, targets))
        if not n_missing and isinstance(y, (list, tuple)):
            _refuse_mixed(targets, name)
    else:
        return
    if n_missing:
        msg = f"{name} holds None, NaN or NA {n_missing} times: {remedy}."
        raise ValueError(msg)


def _each(targets: Any) -> Iterator[Any]:
    """Every target of a list or an array, also of rows that hold several."""
    for target in targets.ravel() if hasattr(targets, "ravel") else targets:
        if isinstance(target, (list, tuple)):
            yield from target
        else:
            yield target


def _is_missing(target: Any) -> bool:
    if target is None or type(target).__name__ == "NAType":
        return True
    return isinstance(target, Real) and bool(target != target)


def _refuse_mixed(targets: list[Any], name: str) -> None:
    texts = [target for target in targets if isinstance(target, str)]
    others = [target for target in targets if isinstance(target, Real)]
    if texts and others:
        msg = (
            f"{name} is a list of text ({texts[0]!r}) and numbers ({others[0]!r}), and NumPy would "
            "turn all into text: do so yourself, or pass numbers alone."
        )
        raise ValueError(msg)
