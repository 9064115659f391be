"""A device, or the memory that it reads on the host, that is full."""

import gc
import re

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


def _half_counts(model, X, y):
    return model.fit(X, y, sample_weight=np.arange(len(y)) % 2)


def _held_out(model, X, y):
    return model.fit(X, y, X_val=X, y_val=y)


#: What fails, when, in which call with uint8 X of the device, and what is said of it.
TROUBLES = [
    ("astype", 0, lambda model, X, y: model.fit(X, y), "looking over 120 rows of X "),
    ("isfinite", 0, lambda model, X, y: model.fit(X, y), "looking over 120 rows of X "),
    ("min", 0, lambda model, X, y: model.fit(X, y), "looking over 120 rows of X "),
    ("__getitem__", 0, _half_counts, "looking over 120 rows of X "),
    ("isfinite", 1, _held_out, "looking over 120 rows of X and 120 rows of X_val"),
    ("zeros", 5, lambda model, X, y: model.fit(X, y), "minibatches of batch_size=40"),
    ("astype", 0, lambda model, X, y: model.predict(X), "processing 120 rows of X"),
    ("isfinite", 0, lambda model, X, y: model.score(X, y), "processing 120 rows of X"),
    ("log", 0, lambda model, X, y: model.predict_log_proba(X), "processing 120 rows"),
    ("exp", 0, lambda model, X, y: model.predict_proba(X), "processing 120 rows of X"),
    ("argmax", 0, lambda model, X, y: model.predict(X), "processing 120 rows of X"),
    ("concatenate", 0, lambda model, X, y: model.transform(X), "processing 120 rows of X"),
    ("isfinite", 0, lambda model, X, y: model.relax(X, y, 0.1), "processing 120 rows of X"),
    ("zeros", 5, lambda model, X, y: model.predict(X), "settling 120 rows at once"),
]


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: f"{trouble[0]}: {trouble[3]}")
def test_wherever_memory_runs_out(installed, digits, monkeypatch, trouble):
    name, after, call, what = trouble
    model = _model(backend="cupy", early_stopping=call is _held_out)
    model = _fitted(model, digits[0] * 16, digits[1])
    X, y = installed.asarray((digits[0] * 16).astype(np.uint8)), digits[1]
    expected = model.predict_proba(X)._host
    before, n_before = dict(vars(model)), _n_device_arrays()
    owner = installed if hasattr(installed, name) and name not in ("min", "argmax") else DeviceArray
    with monkeypatch.context() as full:
        full.setattr(owner, name, _fail_with(FULL[0], after)(getattr(owner, name)))
        with pytest.raises(MemoryError, match=rf"left for {what}.*\(Out of memory al") as caught:
            call(model, X, y)
    assert caught.value.__cause__ is FULL[0]
    assert _n_device_arrays() == n_before
    assert vars(model) == before
    remedy = r"batch_size" if "batch_size" in what else r"Pass fewer rows"
    assert re.search(remedy, str(caught.value).partition(". ")[2])
    np.testing.assert_array_equal(model.predict_proba(X)._host, expected)


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
