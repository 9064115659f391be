"""Very sparse X is multiplied as it is: it trains, to rounding, what the same X trains dense."""

import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sklearn_eqprop import Conv2D, EqPropClassifier, EqPropRegressor
from sklearn_eqprop._backend import stays_sparse

pytestmark = pytest.mark.filterwarnings(
    "ignore:Training reached max_iter", "ignore:The free phase", "ignore:The nudged phase"
)

KINDS = pytest.mark.parametrize("estimator", [EqPropClassifier, EqPropRegressor])
SETTINGS = {"hidden_layer_sizes": (8, 6), "max_iter": 4, "batch_size": 16, "random_state": 0}
SKIPS_AND_LOOPS = [(0, 1), (1, 2), (2, 3), (3, 2), (2, 1), (0, 3), (0, 2), (1, 1)]
TOLERANCES = {np.float64: {"rtol": 1e-6, "atol": 1e-9}, np.float32: {"rtol": 1e-3, "atol": 1e-4}}


def words(n_rows=70, n_columns=150, dtype=np.float64):
    """Few numbers of both signs a row; the first row and some columns are empty."""
    rng = np.random.RandomState(0)
    X = sparse.random(n_rows, n_columns, density=0.03, format="csr", random_state=rng, dtype=dtype)
    X.data -= 0.3
    X = sparse.vstack([sparse.csr_matrix((1, n_columns), dtype=dtype), X[1:]], format="csr")
    assert stays_sparse(X)
    return X, np.arange(n_rows) % 3


def assert_close_networks(one, other, dtype=np.float64):
    for name in ("coefs_", "intercepts_", "feedback_coefs_"):
        if getattr(one, name, None) is not None:
            for left, right in zip(getattr(one, name), getattr(other, name), strict=True):
                assert_allclose(left, right, **TOLERANCES[dtype])


def assert_alike(model, dense, X, dtype=np.float64):
    """The same networks, and the same of them for sparse X and for dense."""
    assert_close_networks(model, dense, dtype)
    states = zip(model.relax(X).states, dense.relax(X.toarray()).states, strict=True)
    for sparse_states, dense_states in states:
        assert_allclose(sparse_states, dense_states, **TOLERANCES[dtype])


@KINDS
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"gradient": "asymmetric"},
        {"gradient": "recurrent_backprop"},
        {"gradient": "continual"},
        {"nudging": "random_sign"},
        {"nudging": "centered"},
        {"relaxation": "euler"},
        {"relaxation": "anderson"},
        {"relaxation": "gauss_seidel"},
        {"beta": np.inf, "loss": "squared_error", "nudging": "one_sided"},
        {"beta": np.inf, "loss": "squared_error", "nudging": "one_sided", "feedback": "tied"},
        {"feedback": "tied"},
        {"feedback_learning": "homeostasis"},
        {"feedback_learning": "local"},
        {"objective": "trajectory", "relaxation": "euler"},
        {"credit_coordinates": "rate"},
        {"activation": "tanh"},
        {"connections": SKIPS_AND_LOOPS},
        {"connections": SKIPS_AND_LOOPS, "gradient": "continual"},
        {"hidden_layer_sizes": ()},
        {"optimizer": "sgd", "learning_rate_init": 0.01},
        {"batch_size": 1000},  # one minibatch, rows in an order of their own
        {"early_stopping": True},
        {"early_stopping": True, "scoring": "loss"},
        {"shuffle": False},
    ],
    ids=str,
)
def test_sparse_rows_train_what_dense_ones_do(estimator, more):
    X, y = words()
    model, dense = (estimator(**SETTINGS | more).fit(data, y) for data in (X, X.toarray()))
    assert_alike(model, dense, X)


@KINDS
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("size", [1.0, 1e7])  # the larger makes columns be scaled inside
def test_scales_weights_and_types(estimator, dtype, size):
    X, y = words(dtype=dtype)
    X = sparse.csr_matrix(X * dtype(size))
    weight = np.random.RandomState(0).randint(0, 3, size=len(y))
    models = [estimator(**SETTINGS) for _ in range(2)]
    for model, data in zip(models, (X, X.toarray()), strict=True):
        model.fit(data, y, sample_weight=weight)
        model.partial_fit(data, y, sample_weight=weight)
    assert models[0].coefs_[0].dtype == dtype
    assert_alike(*models, X, dtype)


def with_stored_zeros(X):
    X = X.copy()
    X.data[::5] = 0.0
    X.data[1::5] = -0.0
    return X


def with_unsorted_columns(X):
    X = X.copy()
    for start, end in zip(X.indptr[:-1], X.indptr[1:], strict=True):
        X.indices[start:end] = X.indices[start:end][::-1].copy()
        X.data[start:end] = X.data[start:end][::-1].copy()
    return sparse.csr_matrix((X.data, X.indices, X.indptr), shape=X.shape)


def with_repeated_columns(X):
    """Every number in two halves, which add up to it exactly."""
    return sparse.csr_matrix((X.data.repeat(2) / 2, X.indices.repeat(2), X.indptr * 2), X.shape)


def with_numbers_behind_the_last(X):
    """Arrays longer than the matrix makes use of."""
    X = X.copy()
    X.data, X.indices = np.append(X.data, 1e9), np.append(X.indices, X.indices[:1])
    return X


FORMS = {
    "csr_array": sparse.csr_array,
    "csc_matrix": sparse.csc_matrix,
    "csc_array": sparse.csc_array,
    "coo_matrix": sparse.coo_matrix,
    "stored zeros": with_stored_zeros,
    "unsorted": with_unsorted_columns,
    "repeated": with_repeated_columns,
    "longer": with_numbers_behind_the_last,
}


@KINDS
@pytest.mark.parametrize("form", list(FORMS))
@pytest.mark.parametrize("batch_size", [16, 1000])
def test_forms_of_sparse_data(estimator, form, batch_size):
    X, y = words()
    X = FORMS[form](X)
    numbers = X.data.copy()
    X.data.flags.writeable = False
    model, dense = (
        estimator(**SETTINGS | {"batch_size": batch_size}).fit(data, y) for data in (X, X.toarray())
    )
    assert_alike(model, dense, X)
    assert_array_equal(X.data, numbers)


@KINDS
def test_a_row_alone_is_settled_as_among_others(estimator):
    X, y = words()
    model = estimator(**SETTINGS).fit(X, y)
    alone = np.vstack([model.transform(row) for row in X])
    assert_allclose(alone, model.transform(X), rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_convolutions_read_dense_rows(pooling):
    X, y = words(n_columns=64)
    layer = Conv2D(2, 3, pool=2, pooling=pooling)
    settings = SETTINGS | {"hidden_layer_sizes": (layer, 5), "input_shape": (8, 8)}
    model, dense = (EqPropClassifier(**settings).fit(data, y) for data in (X, X.toarray()))
    for left, right in zip(model.coefs_, dense.coefs_, strict=True):
        assert_array_equal(left, right)  # the same products
    assert_array_equal(model.predict_proba(X), dense.predict_proba(X.toarray()))
    settings |= {"connections": [(0, 1), (1, 2), (2, 3), (3, 2), (2, 1), (0, 3)]}
    model, dense = (
        EqPropClassifier(**settings | {"gradient": "continual"}).fit(data, y)
        for data in (X, X.toarray())
    )
    assert_alike(model, dense, X)


def most_memory(action, *arguments, **keywords):
    tracemalloc.start()
    try:
        action(*arguments, **keywords)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@KINDS
def test_memory_does_not_grow_with_the_dense_size(estimator):
    n_rows, n_columns = 200, 2**17
    X = sparse.random(n_rows, n_columns, density=100 / n_columns, format="csr", random_state=0)
    y = np.arange(n_rows) % 2
    model = estimator(hidden_layer_sizes=(4,), max_iter=1, random_state=0)
    dense_size = n_rows * n_columns * X.dtype.itemsize
    assert most_memory(model.fit, X, y) < dense_size / 5
    assert most_memory(model.partial_fit, X, y) < dense_size / 5
    assert most_memory(model.predict, X) < dense_size / 50
    assert most_memory(model.score, X, y) < dense_size / 50
    assert most_memory(model.transform, X) < dense_size / 50
