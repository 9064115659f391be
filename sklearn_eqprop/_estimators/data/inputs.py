"""X, y and sample weights that users pass, checked and converted to arrays.

Arrays of libraries other than NumPy and SciPy, and arrays on a CUDA device, are handled in
`array_home`.
"""

from collections.abc import Iterator
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from scipy import sparse

from sklearn_eqprop._backend import ArrayBackend
from sklearn_eqprop._estimators.data import array_home
from sklearn_eqprop._estimators.data.array_home import Home
from sklearn_eqprop._sklearn_compat import _check_sample_weight, validate_data

#: Arrays and tables of these libraries are in main memory, and results for them are NumPy arrays.
_HOST_LIBRARIES = ("builtins", "numpy", "scipy", "pandas", "polars", "pyarrow")
#: Names of data types for dates and times begin so, in NumPy, pandas, polars and Arrow.
_TIMES = ("date", "time", "duration", "timestamp")
#: Options of scikit-learn's validation: sparse X stays sparse, as CSR.
_ACCEPTED: dict[str, Any] = {"dtype": [np.float64, np.float32], "accept_sparse": "csr"}
#: Remedy if the network needs the memory of a device, besides fewer samples at once.
SMALLER_NETWORK = "fewer or smaller hidden layers, dtype='float32', or backend='numpy'"
#: Remedy if rows that the user has put on the device need its memory.
FEWER_ROWS = (
    "Pass fewer rows, rows in float32 or float64 (others are copied), or a NumPy array "
    "(cupy.asnumpy(X)), of which a part at a time is brought to the device"
)


class HostHome:
    """Results are NumPy arrays, as those of scikit-learn."""

    on_device: ClassVar[bool] = False

    def give_back(self, result: Any) -> Any:
        """The result, unchanged."""
        return result


# ---- X and y -----------------------------------------------------------------------------------


def validated_inputs(estimator: Any, X: Any, backend: ArrayBackend) -> tuple[Any, Home]:
    """X for a fitted estimator, in float32 or float64, and how to give results back.

    X is as passed by the user, and becomes an array, a CSR matrix or an array of the device.
    Results go back to the library, and to the device, that X came from.

    It raises ValueError if X does not fit the estimator in its number or names of features, holds
    NaN, infinity, masked entries or dates, or is on a device that the backend does not compute on.
    """
    refuse_unusable(X, "X")
    X, home = received(X, backend)
    if home.on_device:
        X, _ = array_home.validated_on_device(estimator, X, None, backend, reset=False)
        return X, home
    return validate_data(estimator, X, reset=False, **_ACCEPTED), home


def validated_pair(
    estimator: Any, X: Any, y: Any, backend: ArrayBackend, *, reset: bool = False
) -> tuple[Any, Any, Home]:
    """X as from `validated_inputs`, y of the same length on the host, and how to give results back.

    A CSR matrix X stores each entry once. With `reset` the estimator learns the number and the
    names of the features from X. Otherwise they are checked.

    It raises ValueError as `validated_inputs`, or if y is masked, has missing values or has another
    length than X.
    """
    refuse_unusable(X, "X")
    refuse_unusable_targets(y)
    X, home = received(X, backend)
    y = _on_host(y)
    if home.on_device and y is not None:
        X, y = array_home.validated_on_device(estimator, X, y, backend, reset=reset)
        return X, y, home
    X, y = validate_data(estimator, X, y, multi_output=True, reset=reset, **_ACCEPTED)
    return _stored_once(X), y, home


def received(X: Any, backend: ArrayBackend) -> tuple[Any, Home]:
    """X as an array of the host or of the backend, and how to give results back."""
    X, home = (X, None) if _is_of_host(X) else array_home.received(X, backend)
    return X, HostHome() if home is None else home


def _on_host(array: Any) -> Any:
    """Targets or weights in main memory."""
    return array if _is_of_host(array) else array_home.on_host(array)


def _is_of_host(array: Any) -> bool:
    """Whether `array_home` is not needed for an argument."""
    if isinstance(array, np.ndarray):
        return True
    return type(array).__module__.partition(".")[0] in _HOST_LIBRARIES


def _stored_once(X: Any) -> Any:
    """X; if X is sparse and stores entries in parts, or has unused entries, a copy without them.

    Matrix products accept such matrices, but `columns` does not.
    """
    if not sparse.issparse(X) or (X.has_canonical_format and X.data.shape[0] == X.nnz):
        return X
    X = X.copy()
    X.sum_duplicates()
    X.prune()
    return X


# ---- sample weights ----------------------------------------------------------------------------


def validated_weight(sample_weight: Any, rows: Any, name: str = "sample_weight") -> Any:
    """Sample weights in float64 on the host, one per row; None stays None.

    It raises ValueError if these are not as many finite numbers as there are rows.
    """
    if sample_weight is None:
        return None
    refuse_unusable(sample_weight, name)
    try:
        return _check_sample_weight(_on_host(sample_weight), rows, dtype=np.float64)
    except (ValueError, TypeError) as error:
        if name in str(error):
            raise
        msg = f"{name} does not fit these {rows.shape[0]} samples: {error}"
        raise ValueError(msg) from error


def weight_of_scores(sample_weight: Any, predicted: np.ndarray) -> Any:
    """Sample weights for a score, one per prediction; None stays None."""
    weight = validated_weight(sample_weight, predicted)
    rows_that_count(weight, "sample_weight")
    return weight


def rows_that_count(weight: np.ndarray | None, name: str) -> np.ndarray | None:
    """Numbers of the rows of positive weight; None if these are all rows.

    Messages call the parameter that the weights come from by its `name`.

    It raises ValueError if a weight is negative or not finite, all weights are 0, or their sum is
    too small or too large to divide by.
    """
    if weight is None:
        return None
    wrong = weight[~(np.isfinite(weight) & (weight >= 0))]
    if wrong.size:
        msg = (
            f"{name} gives a sample the weight {wrong[0]:g}. Weights must be finite, 0 or positive."
        )
        raise ValueError(msg)
    counts = weight > 0
    if not counts.any():
        msg = f"{name} gives every sample the weight 0; at least one must be positive."
        raise ValueError(msg)
    total = weight.sum()
    can_divide = 0 < 1 / total < np.inf
    if not can_divide:
        remedy = "divide" if total > 1 else "multiply"
        msg = (
            f"{name} sums to {total:.3g}, with weights up to {weight.max():.3g}. The sum must be "
            f"between the smallest and the largest float: {remedy} all weights by a constant."
        )
        raise ValueError(msg)
    return None if counts.all() else np.flatnonzero(counts)


# ---- masks, dates and missing values -----------------------------------------------------------


def refuse_unusable(values: Any, name: str) -> None:
    """Refuse an argument with masked entries, dates or times; `name` is its name.

    NumPy would use the numbers that a mask hides, and turn dates into very large integers.
    """
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        n_masked = int(np.ma.getmaskarray(values).sum())
        msg = (
            f"{name} is a masked array with {n_masked} masked entries, and NumPy would ignore the "
            f"mask. Fill them ({name}.filled(...)), impute them, or leave out those rows."
        )
        raise ValueError(msg)
    dtypes = getattr(values, "dtypes", None)  # of a frame: one per column
    if dtypes is None:
        dtypes = getattr(getattr(values, "schema", None), "types", None)  # of an Arrow table
    if dtypes is None or not np.iterable(dtypes):
        dtypes = [getattr(values, "dtype", None)]
    for dtype in dtypes:
        if str(dtype).lower().startswith(_TIMES):
            msg = (
                f"{name} holds dates or times ({dtype}), which NumPy would turn into very large "
                "integers. Turn them into numbers, for example days since the first day."
            )
            raise ValueError(msg)


def refuse_unusable_targets(y: Any) -> None:
    """Refuse targets that are masked, dates, times or missing."""
    refuse_unusable(y, "y")
    refuse_missing(y)


def refuse_missing(y: Any, name: str = "y", remedy: str = "leave out those rows") -> None:
    """Refuse missing targets in lists, frames and arrays of objects.

    NumPy would turn NaN in a list of text into text, and has no equivalent of pandas' NA.
    scikit-learn finds NaN in arrays of numbers. The message ends with the `remedy`.

    It raises ValueError if targets are missing, or a list holds both text and numbers.
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
    """Every target of a list or an array, also if a row has several."""
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
            "turn all of it into text. Convert everything to text, or pass numbers only."
        )
        raise ValueError(msg)


def rows_of(X: Any, name: str = "X") -> str:
    """The rows of an argument in words; the argument has not been validated yet."""
    shape = getattr(X, "shape", None)
    if isinstance(shape, tuple) and shape:
        return f"{shape[0]} rows of {name}"
    return f"the rows of {name}"
