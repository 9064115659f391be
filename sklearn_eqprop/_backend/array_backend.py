"""The interface between the mathematics and the library that holds the arrays."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np

#: An array of the backend in use.
Array = Any


def read(xp: Any, array: Array) -> np.ndarray:
    """An array of the module `xp` as a NumPy array, for callers that have no backend."""
    return np.asarray(array) if xp is np else xp.asnumpy(array)


class Feed(Protocol):
    """Training rows, in minibatches of arrays of the backend."""

    def minibatches(
        self, order: np.ndarray | None, batch_size: int
    ) -> Iterator[tuple[Any, Array, Array]]:
        """Every row once: the numbers of the rows on the host, their inputs, and their targets.

        `order`, on the host, is the order in which the rows come; None: their own. Use the arrays
        before asking for the next minibatch: buffers are used again. Inputs may be a CSR array on
        the host, see `ArrayBackend.inputs`.
        """


class ArrayBackend(Protocol):
    """The operations that the package needs from an array library."""

    #: Name the user chooses it by, 'numpy' or 'cupy'.
    name: str
    #: The array module itself (``numpy`` or a module with its interface).
    xp: Any
    #: Whether arrays live on a device that computes asynchronously. Every number that the host
    #: reads makes it wait for all queued work. So numbers are read rarely and several together, and
    #: kernels that do more in one pass are faster.
    is_device: bool

    def from_host(self, array: Any, dtype: Any) -> Array:
        """Array of this backend with the given dtype, in the memory order of the given array.

        It is copied only if necessary. Arrays of this backend may be given too: they stay in place.
        """

    def to_host(self, array: Array) -> np.ndarray:
        """NumPy array with the same content and the same memory order."""

    def take_rows(self, array: Any, rows: np.ndarray) -> Any:
        """Rows of an array of the host or of this backend, by a mask or row numbers of the host."""

    def numbers(self, values: Sequence[Any]) -> list[float]:
        """Arrays without dimensions as Python floats, all read together."""

    def norms(self, arrays: Sequence[Array]) -> list[float]:
        """Euclidean (Frobenius) norm of each array, all read together.

        Infinite if its square overflows float64.
        """

    def project(self, array: Array, lower: Any, upper: Any, out: Array | None = None) -> Array:
        """Clip to [lower, upper], numbers or arrays; None leaves that side open.

        The result is written into `out`, which may be `array`. None: into a fresh array.
        """

    def row_max_abs(self, array: Array, *, overwrite: bool = False) -> Array:
        """Largest magnitude in each row, shape (n_samples,); NaN for rows that hold a NaN.

        With `overwrite` the array may be used as a work space.
        """

    def row_residual(self, drive: Array, state: Array, lower: Any, upper: Any) -> Array:
        """Largest ``|clip(drive) - state|`` in each row; the range is given as in `project`."""

    def feed(self, inputs: Any, target: Any, dtype: Any, factors: np.ndarray | None = None) -> Feed:
        """Training rows, stored where minibatches are taken from them fastest.

        The inputs may be an array of the host or of this backend, or a CSR matrix. Each of their
        columns is multiplied by its factor, if there are `factors`.
        """

    def inputs(self, X: Any, rows: slice, dtype: Any) -> Array:
        """Some rows of X as the network reads them: an array, or a CSR array on the host.

        Sparse X stays sparse on the host if products with it are faster then. X may be an array of
        the host or of this backend, or a CSR matrix.
        """

    def copy_rows(self, target: Array, source: Array, marked: Array) -> None:
        """Overwrite the rows of `target` that a mask marks with those of `source`."""

    def explaining_full_memory(self, what: str, remedy: str) -> AbstractContextManager[None]:
        """A context in which a full device raises a MemoryError that a user can act on.

        The message is "The device has no memory left for {what} (...). {remedy}."
        """


class DeviceBackend(ArrayBackend, Protocol):
    """Operations that only a backend with a device offers: more work in one pass over memory."""

    def row_euler(
        self, goal: Array, state: Array, lower: Any, upper: Any, step_size: float
    ) -> tuple[Array, Array]:
        """Largest ``|clip(goal) - state|`` in each row, and ``clip(state + ε (goal - state))``."""

    def row_solve(self, early: Array, late: Array | None, lower: Any, upper: Any) -> Array:
        """``clip(early + late)``; `late` may be one row for all samples, or None."""

    def row_check(
        self, early: Array, late: Array | None, state: Array, lower: Any, upper: Any
    ) -> tuple[Array, Array]:
        """``early + late`` as in `row_solve`, and its largest ``|clip(sum) - state|`` by row."""
