"""The pretended device refuses what a real one refuses, and has nothing that CuPy has not."""

import numpy as np
import pytest

from tests.backend.fake_cupy import COUNTED_FUNCTIONS, FUNCTIONS, FakeCupy


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


def test_functions_of_numpy_work_where_that_is_asked_for():
    """As on CuPy's arrays, for losses of a user's own."""
    cp = FakeCupy(answers_numpy=True)
    array = cp.asarray(np.array([0.0, 4.0]))
    for found in (np.sqrt(array), np.where(array > 1, 2.0, array), np.float64(0.5) * array):
        assert cp.asnumpy(found).tolist() == [0.0, 2.0]
    assert np.sqrt(array, out=array) is array
    for refused in (np.asarray, lambda a: np.add(a, np.ones(2)), np.add.reduce, np.linalg.norm):
        with pytest.raises(TypeError):
            refused(array)


def test_transfers_and_waits_are_counted(cp):
    array = cp.asarray(np.arange(6.0))
    assert (cp.counts.to_device, cp.counts.bytes_to_device) == (1, 48)
    array *= np.float64(2)
    assert (np.float64(2) * array).shape == (6,)
    total = array.sum()
    assert cp.counts.waits == 0
    assert cp.asnumpy(total) == 30
    assert (cp.counts.to_host, cp.counts.waits) == (1, 1)


def test_a_mask_makes_the_host_wait(cp):
    """To read rows and to set them: CuPy asks how many are marked either way."""
    array = cp.asarray(np.arange(6.0))
    cp.counts.reset()
    array[array > 3] = 0.0
    assert (cp.counts.waits, cp.counts.to_device) == (1, 1)  # the number becomes an array
    array[array > 2] = cp.ones(1)
    assert (cp.counts.waits, cp.counts.to_device) == (2, 1)
    assert array[array > 1].shape == (1,)
    assert cp.counts.waits == 3
    cp.copyto(array, cp.ones(6), where=array > 0)
    assert cp.where(array > 1, array, 0.0)[cp.arange(2)].shape == (2,)
    array[:2] = 0.0
    assert (cp.counts.waits, cp.counts.to_device) == (3, 1)


@pytest.mark.parametrize(
    ("widths", "n_uploads"), [([1] * 8, 0), ([1] * 9, 1), ([1] * 8 + [2], 3)], ids=str
)
def test_joining_many_arrays_sends_a_table(cp, widths, n_uploads):
    arrays = [cp.ones((2, width)) for width in widths]
    cp.counts.reset()
    assert cp.concatenate(arrays, axis=1).shape == (2, sum(widths))
    assert (cp.counts.to_device, cp.counts.waits) == (n_uploads, 0)
    assert cp.counts.launches == (1 if n_uploads else 8)


def test_joining_many_large_arrays_sends_nothing(cp):
    arrays = [cp.empty(2**18) for _ in range(9)]
    cp.counts.reset()
    assert cp.stack(arrays).shape == (9, 2**18)
    assert (cp.counts.to_device, cp.counts.launches) == (0, 9)


def test_views_and_memory_take_no_kernel(cp):
    array = cp.empty((4, 3))
    for same in (array[1:], array.T, array.ravel(), cp.ascontiguousarray(array), cp.asarray(array)):
        assert cp.counts.launches == 0, same
    for n_launches, copy in enumerate((array.T.ravel, array.copy, lambda: array[cp.arange(2)]), 1):
        copy()
        assert cp.counts.launches >= n_launches


def test_cupy_has_what_the_fake_has():
    cupy = pytest.importorskip("cupy")
    names = [*FUNCTIONS, *COUNTED_FUNCTIONS]
    missing = [name for name in names if not hasattr(cupy, name)]
    assert not missing
    for path in (
        "linalg.solve",
        "lib.stride_tricks.as_strided",
        "cuda.get_current_stream",
        "cuda.Stream",
        "cuda.Stream.synchronize",
        "cuda.Stream.wait_event",
        "cuda.Event",
        "cuda.Event.record",
        "cuda.Event.synchronize",
        "cuda.Device",
        "cuda.Device.compute_capability",
        "cuda.alloc_pinned_memory",
        "cuda.memory.OutOfMemoryError",
        "cuda.runtime.driverGetVersion",
        "cuda.runtime.runtimeGetVersion",
        "cuda.runtime.getDevice",
        "cuda.runtime.getDeviceCount",
        "cuda.runtime.memGetInfo",
        "cuda.runtime.getDeviceProperties",
        "get_default_memory_pool",
        "RawModule",
        "asnumpy",
        "from_dlpack",
        "finfo",
    ):
        found = cupy
        for name in path.split("."):
            found = getattr(found, name)
    for name in ("astype", "ravel", "reshape", "transpose", "set", "flags", "argmax", "cumsum"):
        assert hasattr(cupy.ndarray, name)
