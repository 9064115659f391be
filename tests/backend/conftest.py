"""A pretended device for the tests in this folder."""

import pytest

from sklearn_eqprop.backend import CupyBackend
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
