"""One seam between the mathematics and the arrays it runs on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

#: An array of the backend in use. NumPy's type stands in for all of them.
Array = Any


def read(xp: Any, array: Array) -> np.ndarray:
    """An array of the module `xp` on the host, where only the module is known."""
    return np.asarray(array) if xp is np else xp.asnumpy(array)


class Feed(Protocol):
    """Training rows, in minibatches of arrays of the backend."""

    def minibatches(
        self, order: np.ndarray | None, batch_size: int
    ) -> Iterator[tuple[Any, Array, Array]]:
        """Every row once.

        Parameters
        ----------
        order : ndarray of int or None
            Which row comes when, on the host. None: as they are.
        batch_size : int

        Yields
        ------
        rows, inputs, target : slice or ndarray of int, array, array
            The rows' numbers on the host, and what they hold; to be used before the next are
            asked for. Inputs may be a CSR array on the host, see `ArrayBackend.inputs`.
        """
        ...


class ArrayBackend(Protocol):
    """What the rest of the package needs from an array library.

    Attributes
    ----------
    name : {'numpy', 'cupy'}
        Name the user chooses it by.
    xp : module
        The array module itself (``numpy`` or a module with its interface).
    is_device : bool
        Whether arrays live on a device that works on while the host goes on: then every number
        that the host reads makes it wait for all it has asked for, so numbers are read
        rarely, several together, and kernels that do more in one pass pay.
    """

    name: str
    xp: Any
    is_device: bool

    def from_host(self, array: Any, dtype: Any) -> Array:
        """Array of this backend with the given dtype; copies only where it must.

        It lies in memory as the given one. Arrays of this backend may be given too: they stay
        where they are.
        """
        ...

    def to_host(self, array: Array) -> np.ndarray:
        """NumPy array with the same content, lying in memory as the given one."""
        ...

    def take_rows(self, array: Any, rows: np.ndarray) -> Any:
        """Rows of an array of the host or of this backend, by a mask or by numbers of the host."""
        ...

    def numbers(self, values: Sequence[Any]) -> list[float]:
        """Arrays without dimensions as Python numbers, all read together."""
        ...

    def norms(self, arrays: Sequence[Array]) -> list[float]:
        """Euclidean (Frobenius) norm of each array, all read together."""
        ...

    def project(self, array: Array, lower: Any, upper: Any, out: Array | None = None) -> Array:
        """Clip to [lower, upper], numbers or arrays; None leaves that side open.

        Into `out`, which may be `array`; None: into a fresh array.
        """
        ...

    def row_max_abs(self, array: Array, *, overwrite: bool = False) -> Array:
        """Largest magnitude in every row, shape (n_samples,); NaN where a row holds one.

        With `overwrite` the array may be used up on the way.
        """
        ...

    def row_residual(self, drive: Array, state: Array, lower: Any, upper: Any) -> Array:
        """Largest ``|clip(drive) - state|`` in every row; the range as in `project`."""
        ...

    def feed(self, inputs: Any, target: Any, dtype: Any, factors: np.ndarray | None = None) -> Feed:
        """Training rows where minibatches are best taken from; see `feeding`."""
        ...

    def inputs(self, X: Any, rows: slice, dtype: Any) -> Array:
        """Some rows of X where the network reads them: an array, or a CSR array on the host.

        Sparse X stays sparse on the host where products with it are quicker for it. X may be an
        array of the host or of this backend, or a CSR matrix.
        """
        ...

    def copy_rows(self, target: Array, source: Array, marked: Array) -> None:
        """Overwrite the rows of `target` that a mask marks by those of `source`."""
        ...

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Whether an error says that arrays do not fit any more."""
        ...


class DeviceBackend(ArrayBackend, Protocol):
    """What a backend whose arrays live on a device offers besides: more in one pass over memory."""

    def row_euler(
        self, goal: Array, state: Array, lower: Any, upper: Any, step_size: float
    ) -> tuple[Array, Array]:
        """Largest ``|clip(goal) - state|`` in every row, and ``clip(state + ε (goal - state))``."""
        ...

    def row_solve(self, early: Array, late: Array | None, lower: Any, upper: Any) -> Array:
        """``clip(early + late)``; `late` may be one row for all samples, or None."""
        ...

    def row_check(
        self, early: Array, late: Array | None, state: Array, lower: Any, upper: Any
    ) -> tuple[Array, Array]:
        """``early + late`` as in `row_solve`, and its largest ``|clip(sum) - state|`` by row."""
        ...
