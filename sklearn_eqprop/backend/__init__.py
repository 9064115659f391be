"""The array module in use, and everything that depends on which one it is."""

from sklearn_eqprop.backend.array_backend import ArrayBackend
from sklearn_eqprop.backend.cupy_backend import CupyBackend
from sklearn_eqprop.backend.numpy_backend import NumpyBackend
from sklearn_eqprop.backend.selection import (
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
