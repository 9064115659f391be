"""A pretended device for the tests in this folder."""

import sys

import pytest

from sklearn_eqprop.backend import CupyBackend, selection
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


@pytest.fixture(params=["pretended", pytest.param("real", marks=pytest.mark.gpu)])
def any_device(request):
    """The backend on the pretended device, and on a real one where there is one."""
    if request.param == "pretended":
        return request.getfixturevalue("device")
    return _real_device()


@pytest.fixture
def real_device():
    """The backend on a real device."""
    return _real_device()


def _real_device():
    why = selection.why_no_device()
    if why:
        pytest.skip(why)
    return selection.get_backend("cupy")


@pytest.fixture
def installed(fake, monkeypatch):
    """The pretended CuPy as the estimators find it: installed, with a driver and a device."""
    monkeypatch.setitem(sys.modules, "cupy", fake)
    monkeypatch.setattr(selection, "_has_driver", lambda: True)
    selection.why_no_device.cache_clear()
    yield fake
    selection.why_no_device.cache_clear()
