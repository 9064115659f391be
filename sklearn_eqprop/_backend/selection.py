"""Which backend an estimator gets."""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from importlib import import_module
from importlib.util import find_spec

from sklearn_eqprop._backend.array_backend import ArrayBackend
from sklearn_eqprop._backend.cuda.cupy_backend import CupyBackend
from sklearn_eqprop._backend.cuda.usability import why_no_device
from sklearn_eqprop._backend.numpy_backend import NumpyBackend


class DeviceUnavailableError(ValueError):
    """``backend='cupy'`` is not usable on this machine; the message says why."""


def get_backend(name: str) -> ArrayBackend:
    """Backend for the estimators' ``backend`` parameter.

    Parameters
    ----------
    name : {'auto', 'numpy', 'cupy'}
        'auto' takes 'cupy' if CuPy and a CUDA device are usable, else 'numpy', without a warning.

    Returns
    -------
    ArrayBackend

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
    reason = why_no_device()
    if reason:
        raise DeviceUnavailableError(reason)
    return CupyBackend(import_module("cupy"))


def available_backend() -> ArrayBackend:
    """CuPy's backend if a device is usable, else NumPy's; never fails and never warns."""
    try:
        usable = is_usable()
    except MemoryError:  # the device is full at the moment: the next call checks again
        usable = False
    return CupyBackend(import_module("cupy")) if usable else NumpyBackend()


@cache
def is_usable() -> bool:
    """Whether CuPy and a device are usable. CuPy is imported only if there is a driver.

    Raises
    ------
    MemoryError
        If the device is full, see `why_no_device`.
    """
    return _is_installed() and _has_driver() and not why_no_device()


def _is_installed() -> bool:
    """Whether a module named cupy can be imported."""
    try:
        return find_spec("cupy") is not None
    except ValueError:  # a module without a spec has been imported: `why_no_device` tries it
        return True


def _has_driver() -> bool:
    """Whether the driver's library can be loaded: this is faster than importing CuPy."""
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True
