"""The NumPy backend with its minibatches, and the choice between it and CuPy's."""

import ctypes
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import cache, wraps
from importlib import import_module
from typing import Any, TypeVar, cast

import numpy as np
from scipy import sparse

from sklearn_eqprop._backend.array_backend import Array, ArrayBackend, Feed

#: Bytes. glibc keeps twice as many of freed memory.
KEPT_BLOCK = 2**22
#: Numbers of one block of rows that stay in the cache of a core: a megabyte of float32.
CACHE_NUMBERS = 2**18
#: X stays sparse up to this fraction of non-zeros. With 100 to 512 hidden units and one thread,
#: sparse and dense products take equally long at fractions between 0.05 and 0.1.
SPARSE_SHARE = 0.05
#: `row_max` compares up to so many columns one column at a time.
NARROW = 32
#: From so many columns on, NumPy finds the place of a maximum faster than its value.
WIDE = 64
#: With fewer rows `row_max` uses NumPy's own reduction.
FEWEST_ROWS = 32

Function = TypeVar("Function", bound=Callable[..., Any])


def ignoring_float_errors(function: Function) -> Function:
    """Return a public function in which NumPy's floating-point errors are ignored.

    We look at results, not at errors on the way: numbers that are not finite are reported, and a
    probability may underflow. So ``np.seterr`` of the caller has no effect, and no RuntimeWarning
    of ours reaches users. Code of the user that the function calls (losses, scorers, callbacks)
    is under the same setting. An ``np.errstate`` of NumPy 1 as a decorator cannot be entered twice.
    """

    @wraps(function)
    def ignoring(*args: Any, **kwargs: Any) -> Any:
        with np.errstate(all="ignore"):
            return function(*args, **kwargs)

    return cast("Function", ignoring)


class NumpyBackend:
    """Arrays in main memory. Products use the BLAS that NumPy was built with."""

    name = "numpy"
    xp: Any = np
    is_device = False

    def __init__(self) -> None:
        _keep_freed_memory()

    def from_host(self, array: Any, dtype: Any) -> Array:
        return np.asarray(array, dtype=dtype)

    def to_host(self, array: Array) -> np.ndarray:
        return np.asarray(array)

    def take_rows(self, array: Any, rows: np.ndarray) -> Any:
        return array[rows]

    def numbers(self, values: Sequence[Any]) -> list[float]:
        return [float(value) for value in values]

    def norms(self, arrays: Sequence[Array]) -> list[float]:
        return [_norm(array) for array in arrays]

    def project(self, array: Array, lower: Any, upper: Any, out: Array | None = None) -> Array:
        if isinstance(lower, float):
            # One pass for both bounds. `maximum` with a number is not faster than this.
            return array.clip(lower, math.inf if upper is None else upper, out=out)
        if lower is not None:
            array = out = np.maximum(array, lower, out=out)
        if upper is not None:
            array = out = np.minimum(array, upper, out=out)
        return array.copy() if out is None else array

    def row_max_abs(self, array: Array, *, overwrite: bool = False) -> Array:
        if array.shape[1] == 0:
            return np.zeros(array.shape[0], dtype=array.dtype)
        return row_max(np, np.abs(array, out=array if overwrite else None))

    def row_residual(self, drive: Array, state: Array, lower: Any, upper: Any) -> Array:
        moved = self.project(drive, lower, upper)
        moved -= state
        return self.row_max_abs(moved, overwrite=True)

    def feed(self, inputs: Any, target: Any, dtype: Any, factors: np.ndarray | None = None) -> Feed:
        return HostRows(inputs, target, dtype, factors)

    def inputs(self, X: Any, rows: slice, dtype: Any) -> Array:
        return rows_to_read(X, rows, dtype)

    def copy_rows(self, target: Array, source: Array, marked: Array) -> None:
        target[marked] = source[marked]

    def explaining_full_memory(self, what: str, remedy: str) -> AbstractContextManager[None]:
        """A context that does nothing: NumPy's own MemoryError says what it failed to allocate."""
        return nullcontext()


class HostRows:
    """Rows in main memory, for computing there. A minibatch is gathered when it is asked for.

    The parameters are those of `ArrayBackend.feed`.
    """

    def __init__(self, inputs: Any, target: Any, dtype: Any, factors: np.ndarray | None) -> None:
        self._inputs, self._is_sparse = inputs, sparse.issparse(inputs)
        self._target = target
        self._dtype = dtype
        self._factors = None if factors is None else np.asarray(factors, dtype=dtype)

    def minibatches(
        self, order: np.ndarray | None, batch_size: int
    ) -> Iterator[tuple[Any, Array, Array]]:
        for rows in batches(self._inputs.shape[0], batch_size, order):
            if self._is_sparse:
                inputs = rows_to_read(self._inputs, rows, self._dtype, self._factors)
            else:
                inputs = np.asarray(self._inputs[rows], dtype=self._dtype)
                inputs = inputs if self._factors is None else inputs * self._factors
            yield rows, inputs, np.asarray(self._target[rows], dtype=self._dtype)


def batches(n_rows: int, size: int, order: np.ndarray | None = None) -> Iterator[Any]:
    """Row numbers of as few batches of at most `size` rows as possible, in some order.

    Their sizes differ by at most one: a minibatch of a few rows would be a full step of the
    optimiser in a direction of noise. Without an order they are slices, because indexing with a
    slice copies nothing.
    """
    n_batches = -(-n_rows // size)
    for number in range(n_batches):
        rows = slice(number * n_rows // n_batches, (number + 1) * n_rows // n_batches)
        yield rows if order is None else order[rows]


def blocks(n_rows: int, row_numbers: int, most_numbers: int = CACHE_NUMBERS) -> Iterator[Any]:
    """Slices of rows of `row_numbers` each: as many as hold `most_numbers`, and at least one."""
    return batches(n_rows, max(1, most_numbers // max(1, row_numbers)))


def stays_sparse(X: Any) -> bool:
    """Whether a network on the host reads X as a sparse matrix: few of its numbers are not 0."""
    return sparse.issparse(X) and X.nnz <= SPARSE_SHARE * X.shape[0] * X.shape[1]


def rows_to_read(X: Any, rows: Any, dtype: Any, factors: np.ndarray | None = None) -> Array:
    """Some rows of X as a network on the host reads them: an array, or a CSR array.

    Each column is multiplied by its factor, if there are `factors`.
    """
    if stays_sparse(X):
        part = X[rows]
        numbers = part.data.astype(dtype, copy=False)
        if factors is not None:
            numbers = numbers * factors[part.indices]
        # Not a matrix: with a matrix, * would be a matrix product.
        return sparse.csr_array((numbers, part.indices, part.indptr), shape=part.shape)
    inputs = np.asarray(dense_rows(X, rows), dtype=dtype)
    return inputs if factors is None else inputs * factors


def dense_rows(X: Any, rows: Any) -> Array:
    """Some rows of an array or CSR matrix X as a dense array. X itself is never made dense."""
    part = X[rows]
    return part.toarray() if sparse.issparse(part) else part


def row_max(xp: Any, array: Array) -> Array:
    """``array.max(axis=1)``; on the host usually in half the time of NumPy's own reduction.

    The array has at least one column. The result is NaN for rows that hold a NaN.
    """
    n_rows, n_columns = array.shape
    if xp is not np or n_rows < FEWEST_ROWS or not array.flags.c_contiguous:
        return array.max(axis=1)
    if n_columns <= NARROW:
        return np.ascontiguousarray(array.T).max(axis=0)
    if n_columns >= WIDE:
        return array[np.arange(n_rows), array.argmax(axis=1)]
    return array.max(axis=1)


@cache
def _keep_freed_memory() -> None:
    """Let the temporaries of one update reuse the memory of the last, once per process.

    glibc returns free memory at the top of its heap to the operating system if it is more than
    twice the largest block that it has mapped and freed so far (M_MMAP_THRESHOLD in mallopt(3)).
    The temporaries of a small network are more than that, and would request every page anew in
    every update: a default fit of a regressor on digits then takes 1.5 times as long. One block of
    4 MB, which is never written to, raises the limit to 8 MB, as the first array of this size that
    any program frees does. Other C libraries ignore it.
    """
    with suppress(MemoryError):
        np.empty(KEPT_BLOCK, dtype=np.uint8)


def _norm(array: np.ndarray) -> float:
    flat = array.ravel(order="K")
    square = float(np.dot(flat, flat))
    if math.isinf(square):  # in float32 the square overflows long before the norm does
        flat = flat.astype(np.float64)
        square = float(np.dot(flat, flat))
    return math.sqrt(square)


class DeviceUnavailableError(ValueError):
    """``backend='cupy'`` is not usable on this machine; the message says why."""


def get_backend(name: str) -> ArrayBackend:
    """Backend for the estimators' ``backend`` parameter.

    Parameters
    ----------
    name : {'auto', 'numpy', 'cupy'}
        'auto' takes 'cupy' if CuPy and a CUDA device are usable, else 'numpy', without a warning.

    Raises
    ------
    DeviceUnavailableError
        If 'cupy' is asked for by name and not usable: CuPy is not installed, there is no driver
        or no device, the driver or the card is too old, or CUDA's libraries are missing.
    MemoryError
        If 'cupy' is asked for by name and the memory of the device is full.
    """
    if name == "numpy":
        return NumpyBackend()
    if name == "auto":
        return available_backend()
    from sklearn_eqprop._backend.cuda.usability import why_no_device

    reason = why_no_device()
    if reason:
        raise DeviceUnavailableError(reason)
    return _cupy_backend()


def available_backend() -> ArrayBackend:
    """CuPy's backend if a device is usable, else NumPy's; never fails and never warns."""
    try:
        usable = is_usable()
    except MemoryError:  # the device is full at the moment: the next call checks again
        usable = False
    return _cupy_backend() if usable else NumpyBackend()


@cache
def is_usable() -> bool:
    """Whether CuPy and a device are usable. CuPy is imported only if there is a driver.

    It raises MemoryError if the device is full, see `why_no_device`.
    """
    if not _has_driver():
        return False
    from sklearn_eqprop._backend.cuda.usability import why_no_device

    return not why_no_device()


def _has_driver() -> bool:
    """Whether the driver's library can be loaded: this is faster than importing CuPy."""
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def _cupy_backend() -> ArrayBackend:
    from sklearn_eqprop._backend.cuda.cupy_backend import CupyBackend

    return CupyBackend(import_module("cupy"))
