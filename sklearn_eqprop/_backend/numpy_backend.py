"""Arrays in main memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np

from sklearn_eqprop._backend.array_backend import Array, Feed
from sklearn_eqprop._backend.feeding import HostRows, rows_to_read
from sklearn_eqprop._backend.row_max import row_max

#: Bytes; what glibc keeps of freed memory is twice that.
KEPT_BLOCK = 2**22


class NumpyBackend:
    """Arrays in main memory, products by the BLAS that NumPy was built with."""

    name = "numpy"
    xp: Any = np
    is_device = False

    def __init__(self) -> None:
        _keep_freed_memory()

    def from_host(self, array: Any, dtype: Any) -> Array:
        """See `ArrayBackend.from_host`."""
        return np.asarray(array, dtype=dtype)

    def to_host(self, array: Array) -> np.ndarray:
        """See `ArrayBackend.to_host`."""
        return np.asarray(array)

    def take_rows(self, array: Any, rows: np.ndarray) -> Any:
        """See `ArrayBackend.take_rows`."""
        return array[rows]

    def numbers(self, values: Sequence[Any]) -> list[float]:
        """See `ArrayBackend.numbers`."""
        return [float(value) for value in values]

    def norms(self, arrays: Sequence[Array]) -> list[float]:
        """See `ArrayBackend.norms`."""
        return [_norm(array) for array in arrays]

    def project(self, array: Array, lower: Any, upper: Any, out: Array | None = None) -> Array:
        """See `ArrayBackend.project`."""
        if isinstance(lower, float):
            # One pass for both bounds; a maximum with a number takes as long as that at best.
            return array.clip(lower, math.inf if upper is None else upper, out=out)
        if lower is not None:
            array = out = np.maximum(array, lower, out=out)
        if upper is not None:
            array = out = np.minimum(array, upper, out=out)
        return array.copy() if out is None else array

    def row_max_abs(self, array: Array, *, overwrite: bool = False) -> Array:
        """See `ArrayBackend.row_max_abs`."""
        if array.shape[1] == 0:
            return np.zeros(array.shape[0], dtype=array.dtype)
        return row_max(np, np.abs(array, out=array if overwrite else None))

    def row_residual(self, drive: Array, state: Array, lower: Any, upper: Any) -> Array:
        """See `ArrayBackend.row_residual`."""
        moved = self.project(drive, lower, upper)
        moved -= state
        return self.row_max_abs(moved, overwrite=True)

    def feed(self, inputs: Any, target: Any, dtype: Any, factors: np.ndarray | None = None) -> Feed:
        """See `ArrayBackend.feed`."""
        return HostRows(inputs, target, dtype, factors)

    def inputs(self, X: Any, rows: slice, dtype: Any) -> Array:
        """See `ArrayBackend.inputs`."""
        return rows_to_read(X, rows, dtype)

    def copy_rows(self, target: Array, source: Array, marked: Array) -> None:
        """See `ArrayBackend.copy_rows`."""
        target[marked] = source[marked]

    def is_out_of_memory(self, error: BaseException) -> bool:
        """See `ArrayBackend.is_out_of_memory`."""
        return isinstance(error, MemoryError)


@cache
def _keep_freed_memory() -> None:
    """Let the temporaries of one update use the memory that those of the last have given back.

    glibc hands what is free at the top of its heap back to the kernel once it is more than twice
    the largest block that it has mapped and freed so far (M_MMAP_THRESHOLD in mallopt(3)). The
    temporaries of a small network come to more, and would fetch every page anew in every update:
    half of the time, on a busy machine. One block of 4 MB, never written to, raises that to 8 MB,
    for the whole process, as the first array of this size that anyone frees would. Blocks up to
    4 MB then come from the heap, whose holes are used again but not returned. Other C libraries
    take no notice.
    """
    with suppress(MemoryError):
        np.empty(KEPT_BLOCK, dtype=np.uint8)


def _norm(array: np.ndarray) -> float:
    flat = array.ravel(order="K")
    square = float(np.dot(flat, flat))
    if math.isinf(square):  # only the squares may be too large
        largest = float(abs(flat).max())
        if math.isinf(largest):
            return math.inf
        flat = flat / largest
        return largest * math.sqrt(float(np.dot(flat, flat)))
    return math.sqrt(square)
