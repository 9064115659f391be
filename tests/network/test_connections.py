"""Connections: adjoints, and local change as a derivative."""

import numpy as np
import pytest
from scipy import sparse

from sklearn_eqprop._network import Dense, TiedFeedback

N_SOURCE, N_TARGET = 5, 3
GAMMA = 0.3


def _dense():
    weights = np.random.RandomState(0).standard_normal((N_SOURCE, N_TARGET))
    return Dense(1, 2, weights)


def _tied():
    weights = np.random.RandomState(0).standard_normal((N_TARGET, N_SOURCE))
    return TiedFeedback(Dense(2, 1, weights), np.array(GAMMA))


def _activity(n_units, seed, n_samples=4):
    return np.random.RandomState(seed).standard_normal((n_samples, n_units))


@pytest.mark.parametrize("make", [_dense, _tied], ids=["dense", "tied"])
def test_apply_transposed_is_the_adjoint_of_apply(make):
    # <apply(u), v> = <u, apply_transposed(v)> for every u, v defines it.
    connection = make()
    assert (connection.source, connection.target) == (1, 2)
    pre, post = _activity(N_SOURCE, 1), _activity(N_TARGET, 2)
    image, back = connection.apply(pre), connection.apply_transposed(post)
    assert image.shape == post.shape
    assert back.shape == pre.shape
    assert abs((image * post).sum() - (pre * back).sum()) < 1e-13


@pytest.mark.parametrize("n_samples", [1, 4])
@pytest.mark.parametrize("make", [_dense, _tied], ids=["dense", "tied"])
def test_local_change_is_the_derivative_of_what_the_weights_deliver(make, n_samples):
    # d/dW Σ delta · apply(pre), by central differences; linear in W, so exact but for rounding.
    connection = make()
    pre, delta = _activity(N_SOURCE, 1, n_samples), _activity(N_TARGET, 2, n_samples)
    change = connection.local_change(pre, delta)
    assert change.shape == connection.weights.shape
    for index in np.ndindex(connection.weights.shape):
        values = []
        for shift in (1.0, -2.0):
            connection.weights[index] += shift
            values.append((delta * connection.apply(pre)).sum())
        connection.weights[index] += 1.0
        assert abs(connection.gain * change[index] - (values[0] - values[1]) / 2) < 1e-12


def test_tied_feedback_follows_its_forward_connection():
    connection = _tied()
    forward = connection.along
    assert connection.weights is forward.weights
    pre = _activity(N_SOURCE, 1)
    forward.weights *= 3
    assert np.array_equal(connection.apply(pre), GAMMA * (pre @ forward.weights.T))
    connection.strength[...] = 1
    assert np.array_equal(connection.envelope.apply(pre), pre @ forward.weights.T)


@pytest.mark.parametrize("n_samples", [1, 4])
@pytest.mark.parametrize("layout", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sparse_inputs_are_multiplied_as_they_are(layout, dtype, n_samples):
    weights = np.random.RandomState(0).standard_normal((N_SOURCE, N_TARGET))
    connection = Dense(0, 1, np.asarray(weights, dtype=dtype, order=layout))
    pre, delta = (_activity(size, 1, n_samples).astype(dtype) for size in (N_SOURCE, N_TARGET))
    pre[np.abs(pre) < 0.5] = 0
    pre[1:2] = 0
    as_sparse = sparse.csr_array(pre)
    for given, expected in (
        (connection.apply(as_sparse), connection.apply(pre)),
        (connection.local_change(as_sparse, delta), connection.local_change(pre, delta)),
        (connection.reach(as_sparse), connection.reach(pre)),
    ):
        assert type(given) is np.ndarray
        assert given.dtype == dtype
        np.testing.assert_allclose(given, expected, rtol=1e-5, atol=1e-6)
