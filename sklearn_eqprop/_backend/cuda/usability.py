"""Why no CUDA device is usable on this machine, and what to do about it."""

from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from sklearn_eqprop._backend.cuda.cupy_backend import CupyBackend

#: Major versions of CUDA for which the package has an extra, newest first.
CUDA_EXTRAS = (13, 12)
#: Compute capability, times 10, of the oldest cards that CUDA 13 compiles for (Turing).
OLDEST_OF_CUDA_13 = 75


@cache
def why_no_device() -> str:
    """Why ``backend='cupy'`` is not usable here, and the remedy; empty if it is usable.

    The answer is found once per process.

    It raises MemoryError if the memory of the device is full, so that nothing is known. An
    exception is not cached: the next call checks again.
    """
    try:
        cp = import_module("cupy")
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "cupy":
            return (
                "backend='cupy' needs CuPy, which is not installed. Install it for the CUDA "
                f"version of your driver: {_either_extra()}; or use backend='auto' or "
                "backend='numpy'."
            )
        return (
            f"backend='cupy' found CuPy, but importing it failed ({_line(error)}). Reinstall it "
            f"for the CUDA version of your driver: {_either_extra()}; or use backend='numpy'."
        )
    try:
        return (
            _driver_trouble(cp) or _device_trouble(cp) or _card_trouble(cp) or _library_trouble(cp)
        )
    except MemoryError:
        raise
    except Exception as error:
        return (
            f"backend='cupy' found a module named cupy that does not work as CuPy ({_line(error)})."
            " Remove it, or use backend='auto' or backend='numpy'."
        )


def _driver_trouble(cp: Any) -> str:
    """Message about the driver, or an empty string. Versions are 1000 major + 10 minor."""
    runtime = cp.cuda.runtime
    try:
        driver, needed = runtime.driverGetVersion(), runtime.runtimeGetVersion()
    except Exception as error:
        return (
            f"backend='cupy' could not read the CUDA driver's version ({_line(error)}). Check "
            "whether nvidia-smi works, and reinstall the driver if it does not; or use "
            "backend='auto' or backend='numpy'."
        )
    if driver == 0:
        return (
            "backend='cupy' needs an NVIDIA driver, and this machine has none. Install the driver "
            f"(CuPy is installed, for CUDA {_version(needed)}), or use backend='auto' or "
            "backend='numpy'."
        )
    if driver // 1000 >= needed // 1000:  # within a major version every driver works
        return ""
    found = (
        f"backend='cupy' cannot work: the NVIDIA driver supports CUDA up to {_version(driver)}, "
        f"but the installed CuPy is built for CUDA {_version(needed)}."
    )
    other = _other_extra(needed, driver)
    if not other:
        return f"{found} Update the driver, or use backend='auto' or backend='numpy'."
    return f"{found} Update the driver; or {other}; or use backend='auto' or backend='numpy'."


def _device_trouble(cp: Any) -> str:
    try:
        n_devices = cp.cuda.runtime.getDeviceCount()
    except Exception as error:
        return f"backend='cupy' found no usable CUDA device ({_line(error)}); use backend='numpy'."
    if n_devices:
        return ""
    return (
        "backend='cupy' found an NVIDIA driver but no CUDA device (does CUDA_VISIBLE_DEVICES hide "
        "them?); use backend='auto' or backend='numpy'."
    )


def _card_trouble(cp: Any) -> str:
    """Message if this version of CUDA no longer compiles for the card, or an empty string."""
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
    """Message if a small computation on the device fails, or an empty string.

    The computation loads CUDA's libraries with a product, and compiles a kernel of ours and two of
    CuPy's, which need CUDA's headers.

    It raises MemoryError if the memory of the device is full.
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
    remedy = f"{_extra(runtime // 1000)} installs them"
    if runtime // 1000 not in CUDA_EXTRAS:
        remedy = _other_extra(runtime, driver) or "update the driver and reinstall CuPy"
    return (
        f"backend='cupy' found a CUDA device but could not compute on it ({found}). If CUDA's "
        f"libraries or headers are missing, {remedy}; or use backend='numpy'."
    )


def _extra(major: int) -> str:
    return f"pip install 'sklearn-eqprop[cuda{major}]'"


def _either_extra() -> str:
    """The install commands without CuPy: the driver and the card decide which one fits."""
    oldest = _tenths(OLDEST_OF_CUDA_13)
    return f"{_extra(13)} (cards of compute capability {oldest} or higher) or {_extra(12)}"


def _other_extra(runtime: int, driver: int) -> str:
    """Remedy for a CuPy that is built for the wrong version of CUDA; empty if no extra fits."""
    fitting = [major for major in CUDA_EXTRAS if major <= driver // 1000]
    return f"uninstall cupy-cuda{runtime // 1000}x and run {_extra(fitting[0])}" if fitting else ""


def _tenths(number: int) -> str:
    return f"{number // 10}.{number % 10}"


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
