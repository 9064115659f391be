"""The array module in use, and everything that depends on which one it is."""

from sklearn_eqprop._backend.array_backend import ArrayBackend
from sklearn_eqprop._backend.cuda.cupy_backend import CupyBackend
from sklearn_eqprop._backend.numpy_backend import NumpyBackend
from sklearn_eqprop._backend.selection import (
    DeviceUnavailableError,
    available_backend,
    get_backend,
)

__all__ = [
    "ArrayBackend",
    "CupyBackend",
    "DeviceUnavailableError",
    "NumpyBackend",
    "available_backend",
    "get_backend",
]
