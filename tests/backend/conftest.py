"""A pretended device for the tests in this folder."""

import sys

import pytest

from sklearn_eqprop._backend import CupyBackend, host
from sklearn_eqprop._backend.cuda.usability import why_no_device
from tests.backend import host_kernels
from tests.backend.fake_cupy import FakeCupy


@pytest.fixture
def fake():
    """A fresh pretended CuPy."""
    if not host_kernels.has_compiler:
        pytest.skip("needs g++ to run the device kernels on the host")
    return FakeCupy()


@pytest.fixture
def device(fake):
    """The backend on the pretended device."""
    return CupyBackend(fake)


NO_DEVICE = why_no_device()
DEVICES = ["pretended"] if NO_DEVICE else ["pretended", pytest.param("real", marks=pytest.mark.gpu)]


@pytest.fixture(params=DEVICES)
def any_device(request):
    """The backend on the pretended device, and on a real one where there is one."""
    return request.getfixturevalue("device" if request.param == "pretended" else "real_device")


@pytest.fixture
def real_device():
    """The backend on a real device."""
    if NO_DEVICE:
        pytest.skip(f"needs a CUDA device ({NO_DEVICE.split(chr(44))[0]})")
    return host.get_backend("cupy")


@pytest.fixture
def installed(fake, monkeypatch):
    """The pretended CuPy as the estimators find it: installed, with a driver and a device."""
    monkeypatch.setitem(sys.modules, "cupy", fake)
    monkeypatch.setattr(host, "_has_driver", lambda: True)
    look_again()
    yield fake
    look_again()


def look_again():
    """Forget what has been found out about devices."""
    why_no_device.cache_clear()
    host.is_usable.cache_clear()


@pytest.fixture(autouse=True)
def every_phase_is_measured(monkeypatch):
    """A device measures every phase. So does the host here, so that their records are equal."""
    monkeypatch.setattr("sklearn_eqprop._substrates.phases.MEASURE_EVERY", 1)
