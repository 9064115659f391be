"""The array library in use, and everything that depends on which one it is."""

from sklearn_eqprop._backend.array_backend import Array, ArrayBackend, DeviceBackend, Feed, read
from sklearn_eqprop._backend.cuda.cupy_backend import CupyBackend
from sklearn_eqprop._backend.host import (
    DeviceUnavailableError,
    NumpyBackend,
    available_backend,
    batches,
    blocks,
    dense_rows,
    get_backend,
    row_max,
    stays_sparse,
)

__all__ = [
    "Array",
    "ArrayBackend",
    "CupyBackend",
    "DeviceBackend",
    "DeviceUnavailableError",
    "Feed",
    "NumpyBackend",
    "available_backend",
    "batches",
    "blocks",
    "dense_rows",
    "get_backend",
    "read",
    "row_max",
    "stays_sparse",
]
