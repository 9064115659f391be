"""A device, or the memory that it reads on the host, that is full."""

import gc

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tests.backend.fake_cuda import OutOfMemoryError
from tests.backend.fake_cupy import DeviceArray
from tests.backend.test_training_loop import _fitted, _model

N_SAMPLES = 120
FULL = [
    OutOfMemoryError("Out of memory allocating 12 bytes."),
    RuntimeError("cudaErrorMemoryAllocation: out of memory"),
    RuntimeError("CUBLAS_STATUS_ALLOC_FAILED"),
]


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:N_SAMPLES] / 16, y[:N_SAMPLES]


def _fail_with(error, after=0):
    calls = iter(range(after))

    def fail(original):
        def failing(*args, **kwargs):
            if next(calls, None) is None:
                raise error
            return original(*args, **kwargs)

        return failing

    return fail


@pytest.mark.parametrize("error", FULL, ids=str)
@pytest.mark.parametrize("method", ["fit", "predict"])
def test_whoever_says_so(installed, digits, monkeypatch, method, error):
    model = _fitted(_model(backend="cupy"), *digits)
    monkeypatch.setattr(installed, "zeros", _fail_with(error, after=5)(installed.zeros))
    what = "batch_size=40" if method == "fit" else r"settling 120 rows"
    with pytest.raises(MemoryError, match=rf"{what}.*\({str(error).rstrip('.')}\)"):
        model.fit(*digits) if method == "fit" else model.predict(digits[0])


@pytest.mark.parametrize("method", ["fit", "predict"])
def test_other_errors_pass(installed, digits, monkeypatch, method):
    model = _fitted(_model(backend="cupy"), *digits)
    error = RuntimeError("cudaErrorIllegalAddress: an illegal memory access was encountered")
    monkeypatch.setattr(installed, "zeros", _fail_with(error, after=5)(installed.zeros))
    with pytest.raises(RuntimeError, match=r"^cudaErrorIllegalAddress"):
        model.fit(*digits) if method == "fit" else model.predict(digits[0])


def test_no_memory_for_the_buffers_of_streamed_rows(installed, digits, monkeypatch):
    def fail(n_bytes):
        raise RuntimeError("cudaErrorMemoryAllocation: out of memory")

    installed.cuda.free_bytes = 100
    monkeypatch.setattr(installed.cuda, "alloc_pinned_memory", fail)
    with pytest.raises(MemoryError, match=r"batch_size=40 .*Use a smaller batch_size"):
        _model(backend="cupy").fit(*digits)


def _n_device_arrays():
    gc.collect()
    return sum(type(each) is DeviceArray for each in gc.get_objects())


@pytest.mark.parametrize("method", ["fit", "predict"])
@pytest.mark.parametrize("free_bytes", [8 * 2**30, 100])
def test_one_can_try_again_while_the_error_is_held(
    installed, digits, monkeypatch, method, free_bytes
):
    """Frames that an error has come through would keep weights, rows and states on the device."""
    installed.cuda.free_bytes = free_bytes
    model = _fitted(_model(backend="cupy"), *digits)
    before = _n_device_arrays()
    zeros = installed.zeros
    monkeypatch.setattr(installed, "zeros", _fail_with(FULL[0], after=5)(zeros))
    with pytest.raises(MemoryError) as caught:
        model.fit(*digits) if method == "fit" else model.predict(digits[0])
    assert caught.value.__cause__ is FULL[0]
    assert _n_device_arrays() == before
    monkeypatch.setattr(installed, "zeros", zeros)
    assert np.isfinite(model.predict_proba(digits[0])).all()


def test_frames_of_an_error_that_the_caller_handles_are_left(installed, digits, monkeypatch):
    model = _fitted(_model(backend="cupy"), *digits)
    monkeypatch.setattr(installed, "zeros", _fail_with(FULL[0], after=5)(installed.zeros))

    def fails():
        mine = [1, 2]
        raise KeyError(mine[0])

    try:
        fails()
    except KeyError as handled:
        with pytest.raises(MemoryError):
            model.predict(digits[0])
        left = dict(handled.__traceback__.tb_next.tb_frame.f_locals)
    assert left == {"mine": [1, 2]}
