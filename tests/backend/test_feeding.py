"""Where training rows live, and that every minibatch holds the rows it should."""

import numpy as np
import pytest
from scipy import sparse

from sklearn_eqprop import EqPropClassifier
from sklearn_eqprop._backend import NumpyBackend
from sklearn_eqprop._backend.cuda.feeding import DeviceRows, StreamedRows
from sklearn_eqprop._backend.host import SPARSE_SHARE, HostRows
from sklearn_eqprop.exceptions import DivergenceError

N_ROWS = 53
RNG = np.random.RandomState(0)
INPUTS, TARGET = RNG.standard_normal((N_ROWS, 4)), RNG.standard_normal((N_ROWS, 2))
FACTORS = np.array([1.0, 0.5, 4.0, 1.0])


def _feed(device, kind, factors):
    if kind == "host":
        return NumpyBackend(), NumpyBackend().feed(INPUTS, TARGET, np.float32, factors)
    device.xp.cuda.free_bytes = 8 * 2**30 if kind == "resident" else 100
    return device, device.feed(INPUTS, TARGET, np.float32, factors)


@pytest.mark.parametrize("kind", ["host", "resident", "streamed"])
@pytest.mark.parametrize("factors", [None, FACTORS], ids=["as they are", "scaled"])
@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("batch_size", [1, 10, 53, 100])
def test_every_row_comes_once_in_its_place(device, kind, factors, shuffled, batch_size):
    backend, feed = _feed(device, kind, factors)
    expected_kind = {"host": HostRows, "resident": DeviceRows, "streamed": StreamedRows}[kind]
    assert type(feed) is expected_kind
    for seed in range(2):
        order = np.random.RandomState(seed).permutation(N_ROWS) if shuffled else None
        inputs, targets, rows = [], [], []
        for which, some, wanted in feed.minibatches(order, batch_size):
            inputs.append(backend.to_host(some))
            targets.append(backend.to_host(wanted))
            rows.append(np.arange(N_ROWS)[which])
            assert some.dtype == wanted.dtype == np.float32
            assert len(rows[-1]) == inputs[-1].shape[0] <= batch_size
        order = np.arange(N_ROWS) if order is None else order
        np.testing.assert_array_equal(np.concatenate(rows), order)
        scaled = INPUTS if factors is None else INPUTS * factors
        np.testing.assert_array_equal(np.concatenate(inputs), scaled[order].astype(np.float32))
        np.testing.assert_array_equal(np.concatenate(targets), TARGET[order].astype(np.float32))


def test_resident_rows_cross_the_bus_once(device, fake):
    _, feed = _feed(device, "resident", None)
    fake.counts.reset()
    for seed in range(3):
        for _ in feed.minibatches(np.random.RandomState(seed).permutation(N_ROWS), 10):
            pass
    assert (fake.counts.to_device, fake.counts.to_host, fake.counts.waits) == (3, 0, 0)


def test_streamed_rows_take_two_minibatches_of_memory(device, fake):
    _, feed = _feed(device, "streamed", None)
    fake.counts.reset()
    list(feed.minibatches(None, 10))
    row_bytes = 4 * (4 + 2)
    assert fake.cuda.pinned_bytes == 2 * 10 * row_bytes
    assert fake.counts.bytes_to_device == N_ROWS * row_bytes
    assert fake.counts.to_device == 2 * 6  # inputs and targets of six minibatches
    assert fake.counts.waits == fake.counts.to_host == 0


def test_a_copy_is_on_its_way_while_a_minibatch_is_worked_on(device, fake):
    _, feed = _feed(device, "streamed", None)
    fake.counts.reset()
    coming = feed.minibatches(None, 10)
    for batch in range(5):
        next(coming)
        assert fake.counts.to_device == 2 * (batch + 2)
    next(coming)
    assert fake.counts.to_device == 2 * 6


@pytest.mark.parametrize("batch_size", [10, 25, 53])
def test_no_buffer_is_filled_again_before_it_has_been_read(device, fake, batch_size):
    """By a device that is minibatches behind the host."""
    _, feed = _feed(device, "streamed", None)
    slow, found = fake.cuda.dawdle(), []
    order = np.random.RandomState(0).permutation(N_ROWS)
    for _, inputs, target in feed.minibatches(order, batch_size):
        slow.queue(lambda pair=(inputs, target): found.append([a._host.copy() for a in pair]))
    assert len(found) < -(-N_ROWS // batch_size)
    slow.synchronize()
    inputs, target = (np.concatenate(parts) for parts in zip(*found, strict=True))
    np.testing.assert_array_equal(inputs, INPUTS[order].astype(np.float32))
    np.testing.assert_array_equal(target, TARGET[order].astype(np.float32))


@pytest.mark.parametrize("n_taken", [1, 3, 6])
def test_no_buffer_is_given_up_that_is_being_copied(device, fake, n_taken):
    """Where training breaks off, and where it does not."""
    _, feed = _feed(device, "streamed", None)
    fake.cuda.dawdle()
    coming = feed.minibatches(None, 10)
    for _ in range(n_taken):
        next(coming)
    coming.close()
    del coming
    fake.cuda.finish()


@pytest.mark.parametrize("settings", [{}, {"shuffle": False}, {"batch_size": 200}], ids=str)
def test_fits_on_streamed_rows_are_the_same(installed, settings):
    X = np.random.RandomState(1).standard_normal((N_ROWS, 5)) * [1, 1, 1, 1e4, 1]
    y = (X[:, 0] + X[:, 1] > 0).astype(int)
    weight = np.random.RandomState(2).uniform(0.5, 2, N_ROWS)
    model = EqPropClassifier((8, 7), backend="cupy", max_iter=2, learning_rate="cosine")
    model.set_params(random_state=0, **{"batch_size": 12, **settings})
    resident = model.fit(X, y, sample_weight=weight).coefs_
    installed.cuda.free_bytes = 100
    streamed = model.fit(X, y, sample_weight=weight).coefs_
    for one, other in zip(resident, streamed, strict=True):
        np.testing.assert_array_equal(one, other)


def test_divergence_brings_the_last_good_weights_home(installed):
    X = np.random.RandomState(1).standard_normal((N_ROWS, 5))
    y = (X[:, 0] > 0).astype(int)
    fits = []
    for backend in ("numpy", "cupy"):
        model = EqPropClassifier((8, 7), backend=backend, max_iter=30, random_state=0)
        model.set_params(loop_gain=None, optimizer="sgd", learning_rate_init=40.0, momentum=0.99)
        with pytest.raises(DivergenceError):
            model.fit(X, y)
        fits.append(model)
    assert hasattr(fits[0], "coefs_")
    assert fits[0].n_iter_ == fits[1].n_iter_ > 0
    for one, other in zip(fits[0].coefs_, fits[1].coefs_, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def _with_numbers(share):
    """CSR rows of 1000 columns, of which so many hold a number other than 0."""
    n_columns = 1000
    rng = np.random.RandomState(0)
    return sparse.random(N_ROWS, n_columns, share, format="csr", random_state=rng)


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csr_array])
@pytest.mark.parametrize("factors", [None, np.arange(1000.0)], ids=["as they are", "scaled"])
@pytest.mark.parametrize("share", [0.9 * SPARSE_SHARE, 1.1 * SPARSE_SHARE])
def test_sparse_rows_stay_sparse_on_the_host_where_that_pays(kind, factors, share):
    X = kind(_with_numbers(share))
    backend = NumpyBackend()
    feed = backend.feed(X, np.zeros((N_ROWS, 1)), np.float32, factors)
    expected = X.toarray() if factors is None else X.toarray() * factors
    order = np.random.RandomState(1).permutation(N_ROWS)
    for which, inputs, _ in feed.minibatches(order, 10):
        assert isinstance(inputs, sparse.csr_array) == (share < SPARSE_SHARE)
        assert inputs.dtype == np.float32
        dense = inputs.toarray() if sparse.issparse(inputs) else inputs
        np.testing.assert_allclose(dense, expected[which], rtol=1e-6)
    placed = backend.inputs(X, slice(3, 7), np.float32)
    assert isinstance(placed, sparse.csr_array) == (share < SPARSE_SHARE)


def test_sparse_rows_are_dense_on_a_device(device):
    X = _with_numbers(0.9 * SPARSE_SHARE)
    feed = device.feed(X, np.zeros((N_ROWS, 1)), np.float32)
    inputs = np.concatenate([device.to_host(some) for _, some, _ in feed.minibatches(None, 10)])
    np.testing.assert_array_equal(inputs, X.toarray().astype(np.float32))
    placed = device.inputs(X, slice(3, 7), np.float32)
    np.testing.assert_array_equal(device.to_host(placed), inputs[3:7])
