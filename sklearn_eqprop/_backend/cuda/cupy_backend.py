"""Arrays on a CUDA device, through CuPy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from sklearn_eqprop._backend.array_backend import Array, Feed
from sklearn_eqprop._backend.cuda.kernels import Kernels, range_arguments
from sklearn_eqprop._backend.feeding import DeviceRows, StreamedRows, dense_rows, host_rows

#: Training rows are kept on the device if they take up at most this share of its free memory.
RESIDENT_SHARE = 0.5
#: Bytes of rows that are put on the device at once. What CuPy makes an array of goes through pinned
#: memory as a whole, its size rounded up to a power of two: on the host that may be too much.
UPLOADED_AT_ONCE = 2**26
#: What errors of CUDA and its libraries say where they run out of memory, besides CuPy's own.
OUT_OF_MEMORY = ("cudaErrorMemoryAllocation", "CUDA_ERROR_OUT_OF_MEMORY", "STATUS_ALLOC_FAILED")


class CupyBackend:
    """Arrays on the current CUDA device, products by cuBLAS, sweeps by kernels of our own.

    Everything is queued on CuPy's current stream. The host waits for the device in `to_host`,
    `numbers` and `norms`, where rows are put on the device to stay, and nowhere else.

    Parameters
    ----------
    cp : module
        ``cupy``, or a module with its interface.
    """

    name = "cupy"
    is_device = True

    def __init__(self, cp: Any) -> None:
        self.xp = cp
        self._kernels = Kernels(cp)

    def from_host(self, array: Any, dtype: Any) -> Array:
        """See `ArrayBackend.from_host`."""
        if not isinstance(array, self.xp.ndarray):
            array = np.asarray(array, dtype=dtype)  # what crosses the bus is of the final type
        # In the order it has: products with transposed weights rely on how they lie in memory.
        return self.xp.asarray(array, dtype=dtype)

    def to_host(self, array: Array) -> np.ndarray:
        """See `ArrayBackend.to_host`."""
        return array if isinstance(array, np.ndarray) else self.xp.asnumpy(array, order="A")

    def take_rows(self, array: Any, rows: np.ndarray) -> Any:
        """See `ArrayBackend.take_rows`."""
        if isinstance(array, self.xp.ndarray):
            rows = self.xp.asarray(np.flatnonzero(rows) if rows.dtype == bool else rows)
        return array[rows]

    def numbers(self, values: Sequence[Any]) -> list[float]:
        """See `ArrayBackend.numbers`."""
        on_device = [value for value in values if isinstance(value, self.xp.ndarray)]
        read = iter(self.xp.asnumpy(self._in_one(on_device)).tolist() if on_device else ())
        return [
            next(read) if isinstance(value, self.xp.ndarray) else float(value) for value in values
        ]

    def _in_one(self, numbers: Sequence[Array]) -> Array:
        """Copied one by one: CuPy's `stack` sends the addresses of more than 8 across the bus."""
        dtype = np.result_type(*(number.dtype for number in numbers))
        joined = self.xp.empty(len(numbers), dtype=dtype)
        for place, number in enumerate(numbers):
            joined[place] = number
        return joined

    def norms(self, arrays: Sequence[Array]) -> list[float]:
        """See `ArrayBackend.norms`."""
        squares = self.numbers([self._square(array) for array in arrays])
        if not any(math.isinf(square) for square in squares):
            return [math.sqrt(square) for square in squares]
        # Only the squares may be too large.
        largest = self.numbers([abs(array).max() for array in arrays])
        scales = [size if 0 < size < math.inf else 1.0 for size in largest]
        parts = [self._square(a / scale) for a, scale in zip(arrays, scales, strict=True)]
        return [
            math.inf if math.isinf(size) else scale * math.sqrt(square)
            for size, scale, square in zip(largest, scales, self.numbers(parts), strict=True)
        ]

    def _square(self, array: Array) -> Array:
        flags = array.flags
        turned = flags.f_contiguous and not flags.c_contiguous
        flat = (array.T if turned else array).ravel()
        return self.xp.dot(flat, flat)

    def project(self, array: Array, lower: Any, upper: Any, out: Array | None = None) -> Array:
        """See `ArrayBackend.project`."""
        if lower is None and upper is None:
            return array.copy() if out is None else array
        array, lower, upper = self._by_rows(array, lower, upper)
        if out is None:
            out = self.xp.empty_like(array)
        elif not out.flags.c_contiguous:
            out[...] = self.project(array, lower, upper)
            return out
        sides = range_arguments(lower, upper)
        self._kernels.over_numbers("project", array.size, array.dtype, array, *sides, out)
        return out

    def row_max_abs(self, array: Array, *, overwrite: bool = False) -> Array:
        """See `ArrayBackend.row_max_abs`."""
        (array,) = self._by_rows(array)
        largest = self.xp.zeros(array.shape[0], dtype=array.dtype)
        self._kernels.over_rows("row_max_abs", array.shape, array.dtype, array, largest)
        return largest

    def row_residual(self, drive: Array, state: Array, lower: Any, upper: Any) -> Array:
        """See `ArrayBackend.row_residual`."""
        drive, state, lower, upper = self._by_rows(drive, state, lower, upper)
        largest = self.xp.zeros(drive.shape[0], dtype=drive.dtype)
        sides = range_arguments(lower, upper)
        arguments = (drive, state, *sides, largest)
        self._kernels.over_rows("row_residual", drive.shape, drive.dtype, *arguments)
        return largest

    def row_euler(
        self, goal: Array, state: Array, lower: Any, upper: Any, step_size: float
    ) -> tuple[Array, Array]:
        """See `DeviceBackend.row_euler`."""
        goal, state, lower, upper = self._by_rows(goal, state, lower, upper)
        largest = self.xp.zeros(goal.shape[0], dtype=goal.dtype)
        moved = self.xp.empty_like(goal)
        sides = range_arguments(lower, upper)
        arguments = (goal, state, *sides, float(step_size), moved, largest)
        self._kernels.over_rows("row_euler", goal.shape, goal.dtype, *arguments)
        return largest, moved

    def row_solve(self, early: Array, late: Array | None, lower: Any, upper: Any) -> Array:
        """See `DeviceBackend.row_solve`."""
        early, late, lower, upper = self._by_rows(early, late, lower, upper)
        state = self.xp.empty_like(early)
        sides = range_arguments(lower, upper)
        arguments = (early, late, _is_shared(late), *sides, state)
        self._kernels.over_rows("row_solve", early.shape, early.dtype, *arguments)
        return state

    def row_check(
        self, early: Array, late: Array | None, state: Array, lower: Any, upper: Any
    ) -> tuple[Array, Array]:
        """See `DeviceBackend.row_check`."""
        early, late, state, lower, upper = self._by_rows(early, late, state, lower, upper)
        drive = self.xp.empty_like(early)
        largest = self.xp.zeros(early.shape[0], dtype=early.dtype)
        sides = range_arguments(lower, upper)
        arguments = (early, late, _is_shared(late), state, *sides, drive, largest)
        self._kernels.over_rows("row_check", early.shape, early.dtype, *arguments)
        return drive, largest

    def feed(self, inputs: Any, target: Any, dtype: Any, factors: np.ndarray | None = None) -> Feed:
        """See `ArrayBackend.feed`; on the device where they are, or leave half of it free."""
        if factors is not None:
            factors = self.from_host(factors, dtype)
        if isinstance(inputs, self.xp.ndarray):
            return DeviceRows(self.xp, inputs, self.from_host(target, dtype), dtype, factors)
        n_bytes = (inputs.size + target.size) * np.dtype(dtype).itemsize
        # Sparse rows become dense a minibatch at a time, on the host.
        fits = not sparse.issparse(inputs) and n_bytes <= RESIDENT_SHARE * self.free_bytes()
        resident = self._resident_rows(inputs, target, dtype, factors) if fits else None
        return resident or StreamedRows(self.xp, inputs, target, dtype, factors)

    def _resident_rows(
        self, inputs: Any, target: Any, dtype: Any, factors: Array | None
    ) -> DeviceRows | None:
        """All rows, put on the device; None where they turn out not to fit."""
        try:
            placed = self._uploaded(inputs, dtype)
            there = self._uploaded(target, dtype)
        except Exception as error:
            if not self.is_out_of_memory(error):
                raise
            return None
        if factors is not None:
            placed *= factors
        return DeviceRows(self.xp, placed, there, dtype)

    def _uploaded(self, rows: np.ndarray, dtype: Any) -> Array:
        """A copy on the device, made piece by piece."""
        there = self.xp.empty(rows.shape, dtype=dtype)
        row_bytes = max(1, rows.shape[1] * there.itemsize)
        current = self.xp.cuda.get_current_stream()
        for some in host_rows(rows.shape[0], None, max(1, UPLOADED_AT_ONCE // row_bytes)):
            piece = np.ascontiguousarray(rows[some], dtype=dtype)
            there[some].set(piece)
            # The piece may be read only after `set` has returned, which does not keep it alive.
            current.synchronize()
        return there

    def inputs(self, X: Any, rows: slice, dtype: Any) -> Array:
        """See `ArrayBackend.inputs`; dense."""
        return self.from_host(dense_rows(X, rows), dtype)

    def free_bytes(self) -> int:
        """Memory that arrays may still take up: free on the device, or held by CuPy for reuse.

        No more than CuPy may take (``CUPY_GPU_MEMORY_LIMIT``).
        """
        free, _ = self.xp.cuda.runtime.memGetInfo()
        pool = self.xp.get_default_memory_pool()
        free += pool.free_bytes()
        limit = pool.get_limit()  # 0: none
        return int(min(free, limit - pool.used_bytes()) if limit else free)

    def is_out_of_memory(self, error: BaseException) -> bool:
        """See `ArrayBackend.is_out_of_memory`; CUDA's libraries may run out of it as well."""
        if isinstance(error, self.xp.cuda.memory.OutOfMemoryError):
            return True
        # Known by what they say: some of their types can be asked for only where a device is.
        return isinstance(error, RuntimeError) and any(what in str(error) for what in OUT_OF_MEMORY)

    def copy_rows(self, target: Array, source: Array, marked: Array) -> None:
        """See `ArrayBackend.copy_rows`; a target that does not lie row by row is refused."""
        if target.ndim == 1:
            target, source = target[:, None], source[:, None]
        (source,) = self._by_rows(source)
        if not target.flags.c_contiguous:
            msg = "rows can be copied only into an array that lies in memory row by row."
            raise ValueError(msg)
        self._kernels.over_rows("row_copy", target.shape, target.dtype, target, source, marked)

    def adam(
        self,
        mean: Array,
        square: Array,
        direction: Array,
        fade_mean: float,
        fade_square: float,
        epsilon: float,
        rate: float,
    ) -> None:
        """Adam's moments and step of one block in one pass; the step replaces the direction.

        The three arrays lie in memory alike.
        """
        numbers = (fade_mean, fade_square, epsilon, rate)
        arrays = (mean, square, direction)
        self._kernels.over_numbers("adam", mean.size, mean.dtype, *arrays, *numbers)

    def _by_rows(self, *arrays: Any) -> list[Any]:
        """Arrays as kernels need them; a copy only where one lies in memory in another way."""
        return [
            self.xp.ascontiguousarray(array) if getattr(array, "ndim", 0) else array
            for array in arrays
        ]


def _is_shared(late: Array | None) -> int:
    """1 where one row stands for all samples."""
    return int(late is not None and late.ndim == 1)
