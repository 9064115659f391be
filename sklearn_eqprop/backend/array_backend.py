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

    def project(self, array: Array, lower: float | None, upper: float | None) -> Array:
        """Clip to [lower, upper] in place; None leaves that side open."""
        ...

    def row_max_abs(self, array: Array) -> Array:
        """Largest magnitude in every row, shape (n_samples,); NaN where a row holds one."""
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

    def project(self, array: Array, lower: float | None, upper: float | None) -> Array:
        """See `ArrayBackend.project`."""
        if lower is not None:
            np.maximum(array, lower, out=array)
        if upper is not None:
            np.minimum(array, upper, out=array)
        return array

    def row_max_abs(self, array: Array) -> Array:
        """See `ArrayBackend.row_max_abs`."""
        if array.shape[1] == 0:
            return np.zeros(array.shape[0], dtype=array.dtype)
        return np.abs(array).max(axis=1)


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
