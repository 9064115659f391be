"""Arrays on a CUDA device, through CuPy."""

import math
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from scipy import sparse

from sklearn_eqprop._backend.array_backend import Array, Feed
from sklearn_eqprop._backend.cuda.feeding import DeviceRows, StreamedRows
from sklearn_eqprop._backend.cuda.kernels import Kernels, range_arguments
from sklearn_eqprop._backend.host import blocks, dense_rows

#: Training rows are kept on the device if they fill at most this fraction of its free memory.
RESIDENT_SHARE = 0.5
#: Bytes of rows that are sent to the device at once. CuPy sends an array through pinned memory of
#: at least its size, rounded up to a power of two, which may be too much for the host.
UPLOADED_AT_ONCE = 2**26
#: Texts that CUDA and its libraries use for a full device, besides CuPy's own error.
OUT_OF_MEMORY = ("cudaErrorMemoryAllocation", "CUDA_ERROR_OUT_OF_MEMORY", "STATUS_ALLOC_FAILED")


class CupyBackend:
    """Arrays on the current CUDA device, products by cuBLAS, sweeps by kernels of our own.

    Everything is queued on CuPy's current stream. The host waits for the device only in `to_host`,
    `numbers` and `norms`, and while training rows are placed on the device.

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
        if not isinstance(array, self.xp.ndarray):
            array = np.asarray(array, dtype=dtype)  # sends the final type over the bus
        # In the same memory order: products with transposed weights rely on it.
        return self.xp.asarray(array, dtype=dtype)

    def to_host(self, array: Array) -> np.ndarray:
        return array if isinstance(array, np.ndarray) else self.xp.asnumpy(array, order="A")

    def take_rows(self, array: Any, rows: np.ndarray) -> Any:
        if isinstance(array, self.xp.ndarray):
            rows = self.xp.asarray(np.flatnonzero(rows) if rows.dtype == bool else rows)
        return array[rows]

    def numbers(self, values: Sequence[Any]) -> list[float]:
        on_device = [value for value in values if isinstance(value, self.xp.ndarray)]
        read = iter(self.xp.asnumpy(self._in_one(on_device)).tolist() if on_device else ())
        return [
            next(read) if isinstance(value, self.xp.ndarray) else float(value) for value in values
        ]

    def _in_one(self, numbers: Sequence[Array]) -> Array:
        """The numbers in one array, copied singly: `stack` would send addresses over the bus."""
        dtype = np.result_type(*(number.dtype for number in numbers))
        joined = self.xp.empty(len(numbers), dtype=dtype)
        for place, number in enumerate(numbers):
            joined[place] = number
        return joined

    def norms(self, arrays: Sequence[Array]) -> list[float]:
        squares = self.numbers([self._square(array) for array in arrays])
        if any(math.isinf(square) for square in squares):
            # In float32 the square overflows long before the norm does.
            squares = self.numbers([self._square(array.astype(np.float64)) for array in arrays])
        return [math.sqrt(square) for square in squares]

    def _square(self, array: Array) -> Array:
        flags = array.flags
        turned = flags.f_contiguous and not flags.c_contiguous
        flat = (array.T if turned else array).ravel()
        return self.xp.dot(flat, flat)

    def project(self, array: Array, lower: Any, upper: Any, out: Array | None = None) -> Array:
        if lower is None and upper is None:
            return array.copy() if out is None else array
        array, lower, upper = self._by_rows(array, lower, upper)
        if out is None:
            out = self.xp.empty_like(array)
        elif not out.flags.c_contiguous:
            out[...] = self.project(array, lower, upper)
            return out
        self._kernels.over_numbers("project", array, *range_arguments(lower, upper), out)
        return out

    def row_max_abs(self, array: Array, *, overwrite: bool = False) -> Array:
        (array,) = self._by_rows(array)
        largest = self.xp.zeros(array.shape[0], dtype=array.dtype)
        self._kernels.over_rows("row_max_abs", array, largest)
        return largest

    def row_residual(self, drive: Array, state: Array, lower: Any, upper: Any) -> Array:
        drive, state, lower, upper = self._by_rows(drive, state, lower, upper)
        largest = self.xp.zeros(drive.shape[0], dtype=drive.dtype)
        sides = range_arguments(lower, upper)
        self._kernels.over_rows("row_residual", drive, state, *sides, largest)
        return largest

    def row_euler(
        self, goal: Array, state: Array, lower: Any, upper: Any, step_size: float
    ) -> tuple[Array, Array]:
        goal, state, lower, upper = self._by_rows(goal, state, lower, upper)
        largest = self.xp.zeros(goal.shape[0], dtype=goal.dtype)
        moved = self.xp.empty_like(goal)
        sides = range_arguments(lower, upper)
        step = float(step_size)
        self._kernels.over_rows("row_euler", goal, state, *sides, step, moved, largest)
        return largest, moved

    def row_solve(self, early: Array, late: Array | None, lower: Any, upper: Any) -> Array:
        early, late, lower, upper = self._by_rows(early, late, lower, upper)
        state = self.xp.empty_like(early)
        sides = range_arguments(lower, upper)
        self._kernels.over_rows("row_solve", early, late, _is_shared(late), *sides, state)
        return state

    def row_check(
        self, early: Array, late: Array | None, state: Array, lower: Any, upper: Any
    ) -> tuple[Array, Array]:
        early, late, state, lower, upper = self._by_rows(early, late, state, lower, upper)
        drive = self.xp.empty_like(early)
        largest = self.xp.zeros(early.shape[0], dtype=early.dtype)
        arguments = (_is_shared(late), state, *range_arguments(lower, upper), drive, largest)
        self._kernels.over_rows("row_check", early, late, *arguments)
        return drive, largest

    def feed(self, inputs: Any, target: Any, dtype: Any, factors: np.ndarray | None = None) -> Feed:
        """Rows that stay on the device if half of its free memory is enough, else streamed rows."""
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
        """All rows on the device; None if they do not fit after all."""
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
        """A copy of the rows on the device, sent piece by piece."""
        there = self.xp.empty(rows.shape, dtype=dtype)
        row_bytes = max(1, rows.shape[1] * there.itemsize)
        current = self.xp.cuda.get_current_stream()
        for some in blocks(rows.shape[0], row_bytes, UPLOADED_AT_ONCE):
            piece = np.ascontiguousarray(rows[some], dtype=dtype)
            there[some].set(piece)
            # The device may read the piece after `set` has returned, and `set` keeps no reference.
            current.synchronize()
        return there

    def inputs(self, X: Any, rows: slice, dtype: Any) -> Array:
        """Some rows of X as a dense array of the device."""
        return self.from_host(dense_rows(X, rows), dtype)

    def free_bytes(self) -> int:
        """Bytes that arrays may still take: free on the device, or kept by CuPy for reuse.

        Limited by the bytes that CuPy may take (``CUPY_GPU_MEMORY_LIMIT``).
        """
        free, _ = self.xp.cuda.runtime.memGetInfo()
        pool = self.xp.get_default_memory_pool()
        free += pool.free_bytes()
        limit = pool.get_limit()  # 0: none
        return int(min(free, limit - pool.used_bytes()) if limit else free)

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Whether an error says that the memory of the device is full."""
        if isinstance(error, self.xp.cuda.memory.OutOfMemoryError):
            return True
        # By their texts, because some of these types exist only on machines with a device.
        return isinstance(error, RuntimeError) and any(text in str(error) for text in OUT_OF_MEMORY)

    @contextmanager
    def explaining_full_memory(self, what: str, remedy: str) -> Iterator[None]:
        """Inside, a full device raises a MemoryError that says what needed memory, and the remedy.

        A MemoryError that an inner block has explained already is not wrapped again. Frames that
        the error has come through are cleared, because their arrays still fill the device. The
        frame that uses this context is not cleared: it should hold no arrays of the device.
        """
        handled = sys.exc_info()[1]  # an error that the caller is handling already
        try:
            yield
        except Exception as error:
            is_full = self.is_out_of_memory(error)
            if is_full or isinstance(error, MemoryError):
                _clear_frames(error, handled)
            if not is_full:
                raise
            reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
            msg = (
                f"The device has no memory left for {what} ({reason}). {remedy}. The estimator is "
                "as it was before."
            )
            raise MemoryError(msg) from error

    def copy_rows(self, target: Array, source: Array, marked: Array) -> None:
        """Overwrite the marked rows of `target`, which must be C-contiguous."""
        if target.ndim == 1:
            target, source = target[:, None], source[:, None]
        (source,) = self._by_rows(source)
        if not target.flags.c_contiguous:
            msg = "rows can be copied only into an array that lies in memory row by row."
            raise ValueError(msg)
        self._kernels.over_rows("row_copy", target, source, marked)

    def adam(self, mean: Array, square: Array, direction: Array, *numbers: float) -> None:
        """Adam's moments and step of one block in one pass; the step replaces the direction.

        The three arrays must have the same memory order. The numbers are β_1, β_2, ε and the rate.
        """
        self._kernels.over_numbers("adam", mean, square, direction, *numbers)

    def _by_rows(self, *arrays: Any) -> list[Any]:
        """The arrays in C order, as kernels need them; a copy only if necessary."""
        return [
            self.xp.ascontiguousarray(array) if getattr(array, "ndim", 0) else array
            for array in arrays
        ]


def _is_shared(late: Array | None) -> int:
    """1 if one row stands for all samples, else 0."""
    return int(late is not None and late.ndim == 1)


def _clear_frames(error: BaseException, handled: BaseException | None) -> None:
    """Clear the frames an error has come through, so that their arrays are freed.

    Whoever catches the error may try again with fewer rows while the error still exists. The frames
    of an error that was being handled before are the caller's and stay.
    """
    cause: BaseException | None = error
    while cause is not None and cause is not handled:
        traceback.clear_frames(cause.__traceback__)
        cause = cause.__cause__ or cause.__context__
