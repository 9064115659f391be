"""Which backend an estimator gets, and what is missing where it cannot have the one it asks for."""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from sklearn_eqprop._backend.array_backend import ArrayBackend
from sklearn_eqprop._backend.cuda.cupy_backend import CupyBackend
from sklearn_eqprop._backend.numpy_backend import NumpyBackend

#: Major versions of CUDA for which the package has an extra, newest first.
CUDA_EXTRAS = (13, 12)
#: The oldest cards that CUDA 13 compiles for, by ten times their compute capability: Turing's.
OLDEST_OF_CUDA_13 = 75


class DeviceUnavailableError(ValueError):
    """``backend='cupy'`` cannot be had on this machine; the message says why."""


def get_backend(name: str) -> ArrayBackend:
    """Backend for the estimators' ``backend`` parameter.

    Parameters
    ----------
    name : {'auto', 'numpy', 'cupy'}
        'auto' takes 'cupy' where CuPy and a CUDA device are usable, else 'numpy', in silence.

    Returns
    -------
    ArrayBackend

    Raises
    ------
    DeviceUnavailableError
        If 'cupy' is asked for by name and not usable: CuPy is not installed, there is no driver
        or no device, the driver or the card is too old, or CUDA's libraries are missing.
    MemoryError
        If 'cupy' is asked for by name and the device is full.
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
    """CuPy's where it is usable, else NumPy's; never fails and never warns."""
    try:
        usable = is_usable()
    except MemoryError:  # full for the moment: looked at anew the next time
        usable = False
    return CupyBackend(import_module("cupy")) if usable else NumpyBackend()


@cache
def is_usable() -> bool:
    """Whether CuPy and a device are usable; imports CuPy only where there is a driver.

    Raises
    ------
    MemoryError
        As `why_no_device`.
    """
    return _is_installed() and _has_driver() and not why_no_device()


@cache
def why_no_device() -> str:
    """Why ``backend='cupy'`` is not usable here, and what mends it; empty where it is.

    Looked into once a process.

    Raises
    ------
    MemoryError
        If the device is full, so that nothing is known yet: what is raised is not remembered.
    """
    if not _is_installed():
        return (
            "backend='cupy' needs CuPy, which is not installed. Install it for the CUDA version of "
            f"your driver: {_either_extra()}; or use backend='auto' or backend='numpy'."
        )
    try:
        cp = import_module("cupy")
    except Exception as error:
        return (
            f"backend='cupy' found CuPy, but importing it failed ({_line(error)}). Install it "
            f"anew for the CUDA version of your driver: {_either_extra()}; or use backend='numpy'."
        )
    try:
        return (
            _driver_trouble(cp) or _device_trouble(cp) or _card_trouble(cp) or _library_trouble(cp)
        )
    except MemoryError:
        raise
    except Exception as error:
        return (
            f"backend='cupy' found a module named cupy that does not work as CuPy ({_line(error)}):"
            " remove it, or use backend='auto' or backend='numpy'."
        )


def _is_installed() -> bool:
    try:
        return find_spec("cupy") is not None
    except ValueError:  # it is imported, but says nothing of where from: CuPy or not, will be seen
        return True


def _driver_trouble(cp: Any) -> str:
    """What is wrong with the driver; versions are 1000 major + 10 minor."""
    runtime = cp.cuda.runtime
    try:
        driver, needed = runtime.driverGetVersion(), runtime.runtimeGetVersion()
    except Exception as error:
        return (
            f"backend='cupy' could not ask for the CUDA driver's version ({_line(error)}). Look "
            "whether nvidia-smi can, and install the driver anew where it cannot; or use "
            "backend='auto' or backend='numpy'."
        )
    if driver == 0:
        return (
            "backend='cupy' needs an NVIDIA driver, and this machine has none. Install the driver "
            f"(CuPy is installed, for CUDA {_version(needed)}), or use backend='auto' or "
            "backend='numpy'."
        )
    if driver // 1000 >= needed // 1000:  # within a major version any driver will do
        return ""
    what = (
        f"backend='cupy' cannot work: the NVIDIA driver supports CUDA up to {_version(driver)}, "
        f"but the installed CuPy is built for CUDA {_version(needed)}."
    )
    other = _other_extra(needed, driver)
    if not other:
        return f"{what} Update the driver, or use backend='auto' or backend='numpy'."
    return f"{what} Update the driver; or {other}; or use backend='auto' or backend='numpy'."


def _device_trouble(cp: Any) -> str:
    try:
        n_devices = cp.cuda.runtime.getDeviceCount()
    except Exception as error:
        return f"backend='cupy' found no usable CUDA device ({_line(error)}); use backend='numpy'."
    if n_devices:
        return ""
    return (
        "backend='cupy' found an NVIDIA driver but no CUDA device (is CUDA_VISIBLE_DEVICES set to "
        "hide them?); use backend='auto' or backend='numpy'."
    )


def _card_trouble(cp: Any) -> str:
    """Whether CUDA has left the card behind: it could compile nothing for it."""
    runtime = cp.cuda.runtime.runtimeGetVersion()
    capability = int(cp.cuda.Device().compute_capability)
    if runtime // 1000 < 13 or capability >= OLDEST_OF_CUDA_13:
        return ""
    return (
        f"backend='cupy' cannot work: the device has compute capability {_tenths(capability)}, but "
        f"the installed CuPy is built for CUDA {_version(runtime)}, which needs "
        f"{_tenths(OLDEST_OF_CUDA_13)} or higher. {_other_extra(runtime, 12000).capitalize()}; or "
        "use backend='auto' or backend='numpy'."
    )


def _library_trouble(cp: Any) -> str:
    """Try a product, which loads CUDA's libraries, a kernel, and two that CuPy compiles itself.

    The last take CUDA's headers too.

    Raises
    ------
    MemoryError
        If the device is full.
    """
    backend = CupyBackend(cp)
    try:
        probe = backend.from_host(np.ones((2, 2)), np.float32)
        product = probe @ probe
        [is_finite] = backend.numbers([cp.isfinite(product).all()])
        if is_finite and backend.to_host(backend.row_max_abs(product)).tolist() == [2.0, 2.0]:
            return ""
        found = "a product of ones came out wrong"
    except Exception as error:
        found = _line(error)
        if backend.is_out_of_memory(error):
            msg = (
                f"backend='cupy' found a CUDA device whose memory is full ({found}). Free some "
                "(nvidia-smi lists the processes that hold it) and call again, or use "
                "backend='auto' or backend='numpy'."
            )
            raise MemoryError(msg) from error
    runtime, driver = cp.cuda.runtime.runtimeGetVersion(), cp.cuda.runtime.driverGetVersion()
    remedy = f"{_extra(runtime // 1000)} brings them"
    if runtime // 1000 not in CUDA_EXTRAS:
        remedy = _other_extra(runtime, driver) or "update the driver and install CuPy anew"
    return (
        f"backend='cupy' found a CUDA device but could not compute on it ({found}). Where CUDA's "
        f"libraries or headers are missing, {remedy}; or use backend='numpy'."
    )


def _has_driver() -> bool:
    """Whether the driver's library can be loaded: quicker than importing CuPy."""
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def _extra(major: int) -> str:
    return f"pip install 'sklearn-eqprop[cuda{major}]'"


def _either_extra() -> str:
    """For those who have none yet: the driver and the card decide."""
    oldest = _tenths(OLDEST_OF_CUDA_13)
    return f"{_extra(13)} (cards of compute capability {oldest} or higher) or {_extra(12)}"


def _other_extra(runtime: int, driver: int) -> str:
    """What to do where the installed CuPy is built for the wrong version of CUDA, if anything."""
    fitting = [major for major in CUDA_EXTRAS if major <= driver // 1000]
    return f"uninstall cupy-cuda{runtime // 1000}x and run {_extra(fitting[0])}" if fitting else ""


def _tenths(number: int) -> str:
    return f"{number // 10}.{number % 10}"


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
