"""The array module in use, and everything that depends on which one it is."""

from sklearn_eqprop.backend.array_backend import ArrayBackend, NumpyBackend, get_backend

__all__ = ["ArrayBackend", "NumpyBackend", "get_backend"]
