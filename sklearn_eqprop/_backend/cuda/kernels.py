"""The text of the device kernels, and how they are launched."""

from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from sklearn_eqprop._backend.array_backend import Array

#: Most threads per block; a multiple of the 32 that run together.
BLOCK = 256
#: Most blocks of a kernel that strides over all numbers.
MOST_BLOCKS = 4096
#: Number types of NumPy and their names in the kernels' text.
C_TYPES = {"float32": "float", "float64": "double"}


@cache
def kernel_source() -> str:
    """Text of all kernels, in CUDA C++; REAL must be defined by the compiler's options."""
    return resources.files(__package__).joinpath("kernels.cu").read_text(encoding="utf-8")


def compile_options(dtype: Any) -> tuple[str, ...]:
    """Options for the compiler, for arrays of that type.

    Products and sums are rounded separately, as in NumPy: memory limits the speed anyway. CuPy
    adds ``-ftz=true``: float32 numbers below the smallest normal one, 1.2e-38, become 0.
    """
    return ("-std=c++17", "--fmad=false", f"-DREAL={C_TYPES[np.dtype(dtype).name]}")


class Kernels:
    """Launches the kernels through the interface of CuPy's ``RawModule``.

    They are compiled at their first use, once per type. CuPy caches the result on disk.
    """

    def __init__(self, cp: Any) -> None:
        self._cp = cp
        self._modules: dict[str, Any] = {}
        self._functions: dict[tuple[str, str], Any] = {}

    def over_rows(self, name: str, array: Array, *arguments: Any) -> None:
        """Run a kernel with one block per row of the array, its first argument.

        The number of columns is its last argument.
        """
        n_rows, n_columns = array.shape
        if n_rows and n_columns:
            threads = min(BLOCK, 32 * -(-n_columns // 32))
            self._launch(name, n_rows, threads, array, *arguments, n_columns)

    def over_numbers(self, name: str, array: Array, *arguments: Any) -> None:
        """Run a kernel that strides over all numbers of the array, its first argument.

        Their count is its last argument.
        """
        if array.size:
            blocks = min(MOST_BLOCKS, -(-array.size // BLOCK))
            self._launch(name, blocks, BLOCK, array, *arguments, array.size)

    def _launch(self, name: str, blocks: int, threads: int, *arguments: Any) -> None:
        dtype = np.dtype(arguments[0].dtype)
        _check_types(name, dtype, arguments)
        kernel = self._functions.get((name, dtype.name))
        if kernel is None:
            kernel = self._functions[name, dtype.name] = self._compiled(name, dtype)
        kernel((blocks,), (threads,), tuple(_argument(value, dtype) for value in arguments))

    def _compiled(self, name: str, dtype: np.dtype) -> Any:
        if dtype.name not in self._modules:
            self._modules[dtype.name] = self._cp.RawModule(
                code=kernel_source(), options=compile_options(dtype)
            )
        return self._modules[dtype.name].get_function(name)


def range_arguments(lower: Any, upper: Any) -> tuple[Any, ...]:
    """A range as kernel arguments: two arrays or nulls, then two numbers to use instead."""
    sides = []
    for side, is_open in ((lower, -np.inf), (upper, np.inf)):
        is_array = getattr(side, "ndim", 0) > 0
        sides.append((side if is_array else None, is_open if is_array or side is None else side))
    (lower_array, least), (upper_array, most) = sides
    return lower_array, upper_array, float(least), float(most)


def _check_types(name: str, dtype: np.dtype, arguments: tuple[Any, ...]) -> None:
    """Refuse arrays of another type, which a kernel would misread; masks may have theirs."""
    for value in arguments:
        if value is None or isinstance(value, (int, float)):
            continue
        other = value.dtype
        if other != dtype and other.kind != "b":
            msg = f"the kernel {name!r} runs on {dtype} here, but was given an array of {other}."
            raise TypeError(msg)


def _argument(value: Array | float | int | None, dtype: np.dtype) -> Any:
    """Integers are 64 bits wide, other numbers of the kernel's type; None is the null pointer."""
    if value is None:
        return np.uint64(0)
    if isinstance(value, float):
        return dtype.type(value)
    return np.int64(value) if isinstance(value, int) else value
