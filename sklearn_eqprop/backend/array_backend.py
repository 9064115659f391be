"""One seam between the mathematics and the arrays it runs on."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

#: An array of the backend in use. NumPy's type stands in for all of them.
Array = Any


class ArrayBackend(Protocol):
    """What the rest of the package needs from an array library.

    Attributes
    ----------
    name : str
        Name the user chooses it by.
    xp : module
        The array module itself (``numpy`` or a module with its interface).
    """

    name: str
    xp: Any

    def from_host(self, array: Any, dtype: Any) -> Array:
        """Array of this backend with the given dtype; copies only where it must."""
        ...

    def to_host(self, array: Array) -> np.ndarray:
        """NumPy array with the same content."""
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


class NumpyBackend:
    """Arrays in main memory, products by the BLAS that NumPy was built with."""

    name = "numpy"
    xp: Any = np

    def from_host(self, array: Any, dtype: Any) -> Array:
        """See `ArrayBackend.from_host`."""
        return np.asarray(array, dtype=dtype)

    def to_host(self, array: Array) -> np.ndarray:
        """See `ArrayBackend.to_host`."""
        return np.asarray(array)

    def project(self, array: Array, lower: Any, upper: Any, out: Array | None = None) -> Array:
        """See `ArrayBackend.project`."""
        if lower is not None:
            array = out = np.maximum(array, lower, out=out)
        if upper is not None:
            array = out = np.minimum(array, upper, out=out)
        return array.copy() if out is None else array

    def row_max_abs(self, array: Array, *, overwrite: bool = False) -> Array:
        """See `ArrayBackend.row_max_abs`."""
        if array.shape[1] == 0:
            return np.zeros(array.shape[0], dtype=array.dtype)
        return np.abs(array, out=array if overwrite else None).max(axis=1)


def get_backend(name: str) -> ArrayBackend:
    """Backend for the estimators' ``backend`` parameter.

    Parameters
    ----------
    name : {'auto', 'numpy', 'cupy'}
        'auto' takes the fastest backend that is usable on this machine.

    Returns
    -------
    ArrayBackend

    Raises
    ------
    ValueError
        If the backend is not part of this version.
    """
    if name == "cupy":
        msg = (
            "backend='cupy' is not part of this version of sklearn-eqprop; "
            "use backend='auto' or backend='numpy'."
        )
        raise ValueError(msg)
    return NumpyBackend()
