"""Where an input lives, and how results go back there.

NumPy arrays and whatever NumPy turns into them are at home on the host. Arrays on a CUDA device are
taken as they are by the backend that computes there, and results stay there. Arrays of any other
namespace of the array API are at home in it where scikit-learn's ``array_api_dispatch`` is on.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Protocol

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

#: DLPack's numbers for memory of CUDA devices: their own, and managed.
CUDA_MEMORY = (2, 13)


class Home(Protocol):
    """The way between an input's home and the backend.

    Attributes
    ----------
    on_device : bool
        Whether inputs are arrays of the backend's device, and results are best left there.
    """

    on_device: bool

    def give_back(self, result: Any) -> Any:
        """A result, of NumPy's or of the backend's, as an array of the input's home."""
        ...


class HostHome:
    """Results are NumPy arrays, as scikit-learn's own."""

    on_device = False

    def give_back(self, result: Any) -> Any:
        """See `Home.give_back`."""
        return result


class DeviceHome:
    """Results are arrays of the backend's device.

    Parameters
    ----------
    backend : ArrayBackend
        One whose arrays live on a device.
    namespace : module or None, default=None
        That of the input, if it is another and can take device arrays over (``from_dlpack``).
    """

    on_device = True

    def __init__(self, backend: ArrayBackend, namespace: Any = None) -> None:
        self._backend = backend
        self._namespace = namespace

    def give_back(self, result: Any) -> Any:
        """See `Home.give_back`; text cannot live on a device and stays on the host."""
        if isinstance(result, np.ndarray) and result.dtype.kind not in "biuf":
            return result
        result = self._backend.from_host(result, result.dtype)
        return result if self._namespace is None else self._namespace.from_dlpack(result)


class NamespaceHome:
    """Results are arrays of another namespace, on the device of the input.

    Parameters
    ----------
    namespace : module
    device : object
    """

    on_device = False

    def __init__(self, namespace: Any, device: Any) -> None:
        self._namespace = namespace
        self._device = device

    def give_back(self, result: Any) -> Any:
        """See `Home.give_back`; text has no place in the array API and stays NumPy's."""
        if result.dtype.kind not in "biuf":
            return result
        return self._namespace.asarray(result, device=self._device)


def received(X: Any, backend: ArrayBackend) -> tuple[Any, Home]:
    """X as the estimators compute with it, and the way back.

    Parameters
    ----------
    X : array-like
    backend : ArrayBackend

    Returns
    -------
    X, home : array-like or array of the backend, Home

    Raises
    ------
    ValueError
        If X lives on a CUDA device and the backend does not compute there, or on another one
        than the current.
    """
    if isinstance(X, np.ndarray):
        return X, HostHome()
    if _is_on_cuda(X):
        if not backend.is_device:
            msg = (
                f"X is a {_kind(X)} on a CUDA device, but backend={backend.name!r} computes on the "
                "host, and nothing is copied unasked: use backend='cupy', or pass a NumPy array "
                "(cupy.asnumpy(X))."
            )
            raise ValueError(msg)
        _refuse_other_device(X, backend)
        if isinstance(X, backend.xp.ndarray):
            return X, DeviceHome(backend)
        namespace, has_one = get_namespace(X)
        return _taken_over(X, backend), DeviceHome(backend, namespace if has_one else None)
    namespace, has_one = get_namespace(X) if hasattr(X, "shape") else (np, False)
    if not has_one or _is_numpy(namespace):
        return X, HostHome()
    return _as_numpy(X, "X", namespace), NamespaceHome(namespace, array_device(X))


def on_host(array: Any) -> Any:
    """Targets or weights as NumPy can take them: what has to be known on the host anyway."""
    if array is None or isinstance(array, np.ndarray):
        return array
    if _is_on_cuda(array):
        if hasattr(array, "get"):
            return array.get()
        array = _detached(array)
        return array.cpu().numpy() if hasattr(array, "cpu") else np.asarray(array)
    namespace, has_one = get_namespace(array) if hasattr(array, "shape") else (np, False)
    if not has_one or _is_numpy(namespace):
        return array
    return _as_numpy(array, "an array", namespace)


def _as_numpy(array: Any, name: str, namespace: Any) -> np.ndarray:
    """An array of another library in main memory.

    Raises
    ------
    ValueError
        If its numbers are of a type that NumPy has not.
    """
    try:
        converted: np.ndarray = _convert_to_numpy(_detached(array), namespace)
    except TypeError as error:
        msg = (
            f"{name} is a {_kind(array)} of {array.dtype}, which NumPy cannot take over ({error}): "
            "pass float32 or float64."
        )
        raise ValueError(msg) from error
    return converted


def validated_on_device(
    estimator: Any, X: Array, y: Any, backend: ArrayBackend, *, reset: bool
) -> tuple[Array, np.ndarray | None]:
    """What scikit-learn's ``validate_data`` does, for an X on the backend's device.

    One number is read: whether all of X is finite.

    Raises
    ------
    ValueError
        If X is no table of real, finite numbers, or does not fit the estimator or y.
    """
    name = type(estimator).__name__
    if X.ndim != 2:
        msg = f"Expected 2D array, got {X.ndim}D array instead: X has the shape {X.shape}."
        raise ValueError(msg)
    if X.dtype.kind not in "biuf":
        msg = f"X has the type {X.dtype}; {name} needs real numbers."
        raise ValueError(msg)
    for size, what in zip(X.shape, ("sample(s)", "feature(s)"), strict=True):
        if size == 0:
            msg = f"Found array with 0 {what} (shape={X.shape}) while a minimum of 1 is required."
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


def _refuse_other_device(X: Any, backend: ArrayBackend) -> None:
    """Refuse what CuPy would copy to the current device in silence.

    Raises
    ------
    ValueError
        If X says that it lives on another CUDA device.
    """
    if not hasattr(X, "__dlpack_device__"):
        return
    _, its_own = X.__dlpack_device__()
    current = backend.xp.cuda.runtime.getDevice()
    if its_own != current:
        msg = (
            f"X is a {_kind(X)} on CUDA device {its_own}, but the current device is {current}, and "
            f"nothing is copied unasked: call inside `with cupy.cuda.Device({its_own}):`, or move "
            "X there."
        )
        raise ValueError(msg)


def _is_on_cuda(array: Any) -> bool:
    """Whether an array says that it lives on a CUDA device.

    DLPack is asked first: PyTorch refuses its other interface where a tensor needs gradients, or
    holds numbers that NumPy has no type for.
    """
    with suppress(Exception):  # it has no such method, or is on a device that DLPack does not know
        kind, _ = array.__dlpack_device__()
        return int(kind) in CUDA_MEMORY
    return hasattr(array, "__cuda_array_interface__")


def _taken_over(X: Any, backend: ArrayBackend) -> Array:
    """An array of another library as one of the backend's, without a copy.

    By DLPack: it makes the backend's stream wait for what the library has yet to do to the array.

    Raises
    ------
    ValueError
        If its numbers are of a type that the backend has not.
    """
    if not hasattr(X, "__dlpack__"):
        return backend.xp.asarray(X)
    try:
        return backend.xp.from_dlpack(_detached(X))
    except (BufferError, NotImplementedError, TypeError) as error:
        dtype = getattr(X, "dtype", "an unknown type")
        msg = (
            f"X is a {_kind(X)} of {dtype}, which CuPy cannot take over ({error}): pass float32 or "
            "float64."
        )
        raise ValueError(msg) from error


def _detached(array: Any) -> Any:
    """The array without a record of gradients, which PyTorch's tensors may carry."""
    return array.detach() if hasattr(array, "detach") else array


def _is_numpy(namespace: Any) -> bool:
    return namespace is np or namespace.__name__.rpartition(".")[2] == "numpy"


def _kind(array: Any) -> str:
    return f"{type(array).__module__}.{type(array).__qualname__}"
