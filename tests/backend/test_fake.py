"""The pretended device refuses what a real one refuses, and has nothing that CuPy has not."""

import numpy as np
import pytest

from tests.backend.fake_cupy import FUNCTIONS, FakeCupy


@pytest.fixture
def cp():
    return FakeCupy()


@pytest.mark.parametrize("convert", [float, bool, int, list, len, np.asarray, np.sqrt])
def test_nothing_is_converted_by_itself(cp, convert):
    with pytest.raises(TypeError):
        convert(cp.ones(1))
    assert not hasattr(cp.ones(1), "__array_interface__")


@pytest.mark.parametrize("other", [np.ones(2), np.ones(()), [1.0, 2.0]])
def test_host_arrays_do_not_mix(cp, other):
    array = cp.ones(2)
    for mix in (
        lambda: array + other,
        lambda: other * array,
        lambda: cp.maximum(array, np.asarray(other)),
        lambda: array.__iadd__(other) + 0,
        lambda: np.asarray(other) @ array,
    ):
        with pytest.raises(TypeError):
            mix()


def test_transfers_and_waits_are_counted(cp):
    array = cp.asarray(np.arange(6.0))
    assert (cp.counts.to_device, cp.counts.bytes_to_device) == (1, 48)
    array *= np.float64(2)
    total = array.sum()
    assert cp.counts.waits == 0
    assert cp.asnumpy(total) == 30
    assert (cp.counts.to_host, cp.counts.waits) == (1, 1)
    array[array > 3] = 0.0  # a mask and a number: nothing to be known beforehand
    assert cp.counts.waits == 1
    assert array[array > 1].shape == (1,)
    assert cp.counts.waits == 2


def test_cupy_has_what_the_fake_has():
    cupy = pytest.importorskip("cupy")
    missing = [name for name in FUNCTIONS if not hasattr(cupy, name)]
    assert not missing
    for path in (
        "linalg.solve",
        "cuda.get_current_stream",
        "cuda.Stream",
        "cuda.Event",
        "cuda.alloc_pinned_memory",
        "cuda.memory.OutOfMemoryError",
        "cuda.runtime.driverGetVersion",
        "cuda.runtime.runtimeGetVersion",
        "cuda.runtime.getDeviceCount",
        "cuda.runtime.memGetInfo",
        "get_default_memory_pool",
        "RawModule",
        "asnumpy",
        "finfo",
    ):
        found = cupy
        for name in path.split("."):
            found = getattr(found, name)
    for name in ("astype", "ravel", "reshape", "transpose", "set", "flags", "argmax", "cumsum"):
        assert hasattr(cupy.ndarray, name)
