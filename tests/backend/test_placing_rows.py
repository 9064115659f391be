"""Which rows are put on the device, what that takes, and what becomes of those that do not fit."""

import tracemalloc

import numpy as np
import pytest

from sklearn_eqprop import EqPropClassifier
from sklearn_eqprop._backend.cuda import cupy_backend, feeding
from sklearn_eqprop._estimators.fitted import settle
from tests.backend.test_training_loop import _assert_alike, _fitted

N_ROWS, N_COLUMNS = 4096, 256
RNG = np.random.RandomState(0)
INPUTS, TARGET = RNG.rand(N_ROWS, N_COLUMNS), RNG.rand(N_ROWS, 3)
FACTORS = np.full(N_COLUMNS, 0.25)
ROW_BYTES = 4 * (N_COLUMNS + 3)


def _taken(feed, backend):
    """What a feed hands out, on the host."""
    return np.concatenate([backend.to_host(inputs) for _, inputs, _ in feed.minibatches(None, 999)])


@pytest.mark.parametrize(
    ("limit", "used", "expected"),
    [(0, 5000, 8000), (6000, 0, 6000), (6000, 5000, 1000), (60000, 5000, 8000)],
)
def test_no_more_is_free_than_cupy_may_take(device, fake, monkeypatch, limit, used, expected):
    fake.cuda.free_bytes = 8000
    fake.cuda.pool.set_limit(limit)
    monkeypatch.setattr(fake.cuda.pool, "used_bytes", lambda: used)
    assert device.free_bytes() == expected


@pytest.mark.parametrize("limit", [2 * N_ROWS * ROW_BYTES, 2 * N_ROWS * ROW_BYTES - 1])
def test_rows_beyond_the_limit_are_streamed(device, fake, limit):
    fake.cuda.pool.set_limit(limit)
    feed = device.feed(INPUTS, TARGET, np.float32)
    resident = limit == 2 * N_ROWS * ROW_BYTES
    assert type(feed) is (feeding.DeviceRows if resident else feeding.StreamedRows)


def _traced_feed(device, inputs):
    """A feed of float32 rows with factors, and the most memory it took to make."""
    tracemalloc.start()
    try:
        feed = device.feed(inputs, TARGET, np.float32, FACTORS)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return feed, peak


def test_rows_are_put_in_place_piece_by_piece(device, fake, monkeypatch):
    """The fake's device is main memory: what is traced is the rows there, and all that it takes."""
    monkeypatch.setattr(cupy_backend, "UPLOADED_AT_ONCE", 2**16)
    feed, peak = _traced_feed(device, INPUTS)
    assert peak < 1.1 * N_ROWS * ROW_BYTES
    n_pieces = N_ROWS // 64 + 1  # of the inputs, and the target
    assert fake.counts.to_device == n_pieces + 1  # the factors
    assert fake.cuda.stream_waits == n_pieces
    np.testing.assert_array_equal(_taken(feed, device), (INPUTS * FACTORS).astype(np.float32))


@pytest.mark.parametrize(
    "inputs",
    [INPUTS, np.asfortranarray(INPUTS, dtype=np.float32), INPUTS.astype(np.float32)],
    ids=["of another type", "by columns", "as they are"],
)
@pytest.mark.parametrize("slow", [False, True])
def test_pieces_are_kept_until_the_device_has_read_them(device, fake, monkeypatch, inputs, slow):
    monkeypatch.setattr(cupy_backend, "UPLOADED_AT_ONCE", 2**18)
    if slow:
        fake.cuda.dawdle()
    feed = device.feed(inputs, TARGET, np.float32)
    np.testing.assert_array_equal(_taken(feed, device), INPUTS.astype(np.float32))
    fake.cuda.finish()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_of_the_users_are_neither_changed_nor_copied_whole(device, dtype):
    there = device.from_host(INPUTS, dtype)
    feed, peak = _traced_feed(device, there)
    assert peak < N_ROWS * ROW_BYTES / 4
    np.testing.assert_array_equal(_taken(feed, device), (INPUTS * FACTORS).astype(np.float32))
    np.testing.assert_array_equal(device.to_host(there), INPUTS.astype(dtype))


@pytest.mark.parametrize("message", ["Out of memory allocating", "cudaErrorMemoryAllocation"])
def test_rows_that_turn_out_not_to_fit_are_streamed(installed, monkeypatch, message):
    X, y = INPUTS[:300, :20] * 1e4, RNG.randint(3, size=300)  # scaled inside
    model = EqPropClassifier((8, 7), backend="cupy", max_iter=2, batch_size=30, random_state=0)
    resident = _fitted(model, X, y).coefs_
    empty = installed.empty

    def without_room(shape, *args, **kwargs):
        if np.prod(shape) > 3000:
            error = installed.cuda.memory.OutOfMemoryError if "Out" in message else RuntimeError
            raise error(f"{message}: it is full")
        return empty(shape, *args, **kwargs)

    monkeypatch.setattr(installed, "empty", without_room)
    streamed = _fitted(model, X, y).coefs_
    assert installed.cuda.pinned_bytes > 0
    for one, other in zip(resident, streamed, strict=True):
        np.testing.assert_array_equal(one, other)


def test_streaming_gives_its_buffers_up(installed):
    X, y = INPUTS[:300, :20], RNG.randint(3, size=300)
    installed.cuda.free_bytes = 100
    model = EqPropClassifier((8, 7), backend="cupy", max_iter=2, batch_size=30, random_state=0)
    _fitted(model, X, y)
    assert installed.cuda.pinned_bytes > 0
    assert installed.cuda.pinned.n_bytes == 0


def test_other_trouble_in_placing_rows_is_told(device, fake, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("cudaErrorIllegalAddress: an illegal memory access was encountered")

    monkeypatch.setattr(fake, "empty", fail)
    with pytest.raises(RuntimeError, match="IllegalAddress"):
        device.feed(INPUTS, TARGET, np.float32)


def test_a_buffer_is_filled_after_the_work_that_used_its_memory_before(device, fake):
    done = []
    fake.cuda.dawdle().queue(lambda: done.append("earlier work"))
    copying = fake.cuda.Stream(non_blocking=True)
    slot = feeding._Slot(fake, 10, [N_COLUMNS, 3], np.dtype(np.float32), copying)
    slot.send((INPUTS, TARGET), slice(0, 10))
    assert not done
    slot.arrived.synchronize()
    assert done == ["earlier work"]


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("scoring", [None, "loss"])
def test_validation_rows_are_streamed_too(installed, monkeypatch, given, scoring):
    monkeypatch.setattr(settle, "CHUNK_ROWS", 40)
    X, y = INPUTS[:400, :30] * np.where(np.arange(30) == 7, 1e4, 1), RNG.randint(3, size=400)
    model = EqPropClassifier((8, 7), max_iter=2, batch_size=30, random_state=0, scoring=scoring)
    model.set_params(early_stopping=True, validation_fraction=0.4)
    validation = {"X_val": X[:200], "y_val": y[:200]} if given else {}
    twin = _fitted(model.set_params(backend="numpy"), X, y, **validation)
    for free in (8 * 2**30, 100):
        installed.cuda.free_bytes = free
        placed, wrap = [], installed.wrap

        def watching(value, placed=placed, wrap=wrap):
            placed.append(np.shape(value))
            return wrap(value)

        monkeypatch.setattr(installed, "wrap", watching)
        fitted = _fitted(model.set_params(backend="cupy"), X, y, **validation)
        monkeypatch.setattr(installed, "wrap", wrap)
        most = max(shape[0] for shape in placed if len(shape) == 2 and shape[1] == 30)
        assert most > 100 if free > 100 else most <= 40
        _assert_alike(fitted, twin, 1e-10)
        np.testing.assert_allclose(fitted.validation_scores_, twin.validation_scores_, atol=1e-10)


@pytest.mark.parametrize("backend", ["numpy", "cupy"])
@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function", "score"])
def test_predictions_keep_the_output_alone(installed, backend, method):
    """Chunks of rows come and go; what grows with their number is the output, and a few numbers."""
    rng = np.random.RandomState(0)
    X, y = rng.rand(8192, 20).astype(np.float32), rng.randint(3, size=8192)
    model = EqPropClassifier((256, 256), max_iter=1, random_state=0, backend=backend)
    _fitted(model.set_params(relax_tol=1e-3), X[:100], y[:100])
    peaks = []
    for n_rows in (2048, 8192):
        arguments = (X[:n_rows], y[:n_rows]) if method == "score" else (X[:n_rows],)
        getattr(model, method)(*arguments)  # compiles, fills caches
        tracemalloc.start()
        try:
            getattr(model, method)(*arguments)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[1] - peaks[0] < (8192 - 2048) * 4 * 256 / 4
