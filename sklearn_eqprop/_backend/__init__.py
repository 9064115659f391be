"""The array library in use, and everything that depends on which one it is."""

from sklearn_eqprop._backend.array_backend import Array, ArrayBackend
from sklearn_eqprop._backend.cuda.cupy_backend import CupyBackend
from sklearn_eqprop._backend.host import (
    DeviceUnavailableError,
    NumpyBackend,
    available_backend,
    batches,
    blocks,
    get_backend,
    ignoring_float_errors,
    row_max,
    stays_sparse,
)
