"""Arrays of libraries other than NumPy, arrays on a CUDA device, and how results return to them.

* NumPy arrays, and everything that NumPy converts to them, are used on the host.
* Arrays on a CUDA device are used there if the backend computes there, and results stay there.
* Arrays of any other namespace of the array API are converted to NumPy arrays. If scikit-learn's
  ``array_api_dispatch`` is on, results are converted back.

`inputs` calls this module only for arguments that are not of NumPy, SciPy or a table library.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from sklearn.utils.validation import check_array, check_consistent_length

from sklearn_eqprop._backend.array_backend import Array, ArrayBackend
from sklearn_eqprop._sklearn_compat import (
    _check_feature_names,
    _check_n_features,
    _convert_to_numpy,
    array_device,
    get_namespace,
)

#: DLPack's numbers for the memory of CUDA devices: ordinary memory, and managed memory.
CUDA_MEMORY = (2, 13)


class Home(Protocol):
    """How results return to the library, and to the device, that an argument came from.

    If it is `on_device`, the argument is an array of the backend's device, and results stay there.
    """

    on_device: ClassVar[bool]

    def give_back(self, result: Any) -> Any:
        """Convert a result, a NumPy array or an array of the backend, to such an array."""
        ...


@dataclass(frozen=True)
class DeviceHome:
    """Results are arrays of the backend's device, or of another namespace with ``from_dlpack``."""

    backend: ArrayBackend
    namespace: Any = None

    on_device: ClassVar[bool] = True

    def give_back(self, result: Any) -> Any:
        """An array on the device. Text cannot be stored there and stays a NumPy array."""
        if isinstance(result, np.ndarray) and result.dtype.kind not in "biuf":
            return result
        result = self.backend.from_host(result, result.dtype)
        return result if self.namespace is None else self.namespace.from_dlpack(result)


@dataclass(frozen=True)
class NamespaceHome:
    """Results are arrays of another namespace, on the device of the argument."""

    namespace: Any
    device: Any

    on_device: ClassVar[bool] = False

    def give_back(self, result: Any) -> Any:
        """An array of the namespace. The array API has no text: that stays a NumPy array."""
        if result.dtype.kind not in "biuf":
            return result
        return self.namespace.asarray(result, device=self.device)


def received(X: Any, backend: ArrayBackend) -> tuple[Any, Home | None]:
    """X as an array-like of the host or an array of the backend, and how to give results back.

    Without a way back, results are NumPy arrays.

    It raises ValueError if X is on a CUDA device and the backend does not compute there, if X is on
    another CUDA device than the current one, or if its data type cannot be converted.
    """
    if _is_on_cuda(X):
        if not backend.is_device:
            msg = (
                f"X is a {_kind(X)} on a CUDA device, but backend={backend.name!r} computes on the "
                "host, and X is not copied automatically. Set backend='cupy', or pass a "
                "NumPy array (cupy.asnumpy(X))."
            )
            raise ValueError(msg)
        _refuse_other_device(X, backend)
        if isinstance(X, backend.xp.ndarray):
            return X, DeviceHome(backend)
        namespace, has_one = get_namespace(X)
        return _taken_over(X, backend), DeviceHome(backend, namespace if has_one else None)
    namespace = _namespace_of(X)
    if namespace is None:
        return X, None
    return _as_numpy(X, "X", namespace), NamespaceHome(namespace, array_device(X))


def on_host(array: Any) -> Any:
    """Targets or weights as an array-like that NumPy can convert; None stays None.

    It raises ValueError if NumPy lacks the data type of the array.
    """
    if array is None or isinstance(array, np.ndarray):
        return array
    if _is_on_cuda(array):
        if hasattr(array, "get"):
            return array.get()
        array = _detached(array)
        return array.cpu().numpy() if hasattr(array, "cpu") else np.asarray(array)
    namespace = _namespace_of(array)
    return array if namespace is None else _as_numpy(array, "an array", namespace)


def validated_on_device(
    estimator: Any, X: Array, y: Any, backend: ArrayBackend, *, reset: bool
) -> tuple[Array, np.ndarray | None]:
    """X and y checked as by scikit-learn's ``validate_data``, for X on the backend's device.

    Only one number is read from the device: whether all numbers of X are finite. The targets y are
    on the host, or None. If `reset`, the estimator learns the number of features from X.

    It raises ValueError if X is not a table of real, finite numbers, or does not fit the estimator
    or y.
    """
    name = type(estimator).__name__
    if X.ndim != 2:
        msg = f"Expected 2D array, got {X.ndim}D array instead: X has the shape {X.shape}."
        raise ValueError(msg)
    if X.dtype.kind not in "biuf":
        msg = f"X has the type {X.dtype}, but {name} needs real numbers."
        raise ValueError(msg)
    for size, unit in zip(X.shape, ("sample(s)", "feature(s)"), strict=True):
        if size == 0:
            msg = f"Found array with 0 {unit} (shape={X.shape}) while a minimum of 1 is required."
            raise ValueError(msg)
    if X.dtype not in (np.float32, np.float64):
        X = X.astype(np.float64)
    [is_finite] = backend.numbers([backend.xp.isfinite(X).all()])
    if not is_finite:
        msg = f"Input X contains NaN or infinity, which {name} does not accept."
        raise ValueError(msg)
    _check_feature_names(estimator, X, reset=reset)
    _check_n_features(estimator, X, reset=reset)
    if y is not None:
        y = check_array(
            y, ensure_2d=False, dtype=None, accept_sparse="csr", estimator=estimator, input_name="y"
        )
        check_consistent_length(X, y)
    return X, y


def _namespace_of(array: Any) -> Any:
    """Namespace that results should be converted to; None if that is NumPy's."""
    namespace, has_one = get_namespace(array) if hasattr(array, "shape") else (np, False)
    # scikit-learn may know NumPy by a wrapper.
    if not has_one or namespace in (np, get_namespace(np.empty(0))[0]):
        return None
    return namespace


def _as_numpy(array: Any, name: str, namespace: Any) -> np.ndarray:
    """An array of another library as a NumPy array, or an error that names the data type."""
    try:
        converted: np.ndarray = _convert_to_numpy(_detached(array), namespace)
    except TypeError as error:
        msg = (
            f"{name} is a {_kind(array)} of {array.dtype}, which NumPy cannot take over ({error}). "
            "Pass float32 or float64."
        )
        raise ValueError(msg) from error
    return converted


def _refuse_other_device(X: Any, backend: ArrayBackend) -> None:
    """Refuse an array on a CUDA device that is not the current one; CuPy would copy it silently."""
    if not hasattr(X, "__dlpack_device__"):
        return
    _, its_device = X.__dlpack_device__()
    current = backend.xp.cuda.runtime.getDevice()
    if its_device != current:
        msg = (
            f"X is a {_kind(X)} on CUDA device {its_device}, but the current device is {current}, "
            f"and X is not copied automatically. Call inside `with "
            f"cupy.cuda.Device({its_device}):`, or move X there."
        )
        raise ValueError(msg)


def _is_on_cuda(array: Any) -> bool:
    """Whether an array says that it is on a CUDA device.

    DLPack is asked first. PyTorch's other interface raises an error if a tensor needs gradients,
    or if NumPy lacks its data type.
    """
    with suppress(Exception):  # no such method, or a device that DLPack does not know
        kind, _ = array.__dlpack_device__()
        return int(kind) in CUDA_MEMORY
    return hasattr(array, "__cuda_array_interface__")


def _taken_over(X: Any, backend: ArrayBackend) -> Array:
    """An array of another library as an array of the backend, without a copy.

    DLPack makes the backend's stream wait for pending work on the array.
    """
    if not hasattr(X, "__dlpack__"):
        return backend.xp.asarray(X)
    try:
        return backend.xp.from_dlpack(_detached(X))
    except (BufferError, NotImplementedError, TypeError) as error:
        dtype = getattr(X, "dtype", "an unknown type")
        msg = (
            f"X is a {_kind(X)} of {dtype}, which CuPy cannot take over ({error}). Pass float32 or "
            "float64."
        )
        raise ValueError(msg) from error


def _detached(array: Any) -> Any:
    """The array without its record of gradients, which PyTorch's tensors can have."""
    return array.detach() if hasattr(array, "detach") else array


def _kind(array: Any) -> str:
    return f"{type(array).__module__}.{type(array).__qualname__}"
