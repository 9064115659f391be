"""Sparse X gives what the same X gives dense, and is never made dense as a whole.

Here so many numbers are not 0 that a minibatch is made dense, and results are the same to the last
bit; `test_sparse_products` has X so sparse that it is multiplied as it is.
"""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.datasets import make_classification
from sklearn.utils import estimator_checks

import sklearn_eqprop._estimators.fitted.settle as settle_module
from sklearn_eqprop import EqPropClassifier, EqPropRegressor
from sklearn_eqprop._backend import NumpyBackend
from sklearn_eqprop._estimators.fitted.arrays import FittedArrays

pytestmark = pytest.mark.filterwarnings("ignore:Training reached max_iter")

KINDS = pytest.mark.parametrize("estimator", [EqPropClassifier, EqPropRegressor])
SETTINGS = {"hidden_layer_sizes": (8, 6), "max_iter": 5, "batch_size": 16, "random_state": 0}
CONTAINERS = {
    "csr_matrix": sparse.csr_matrix,
    "csc_matrix": sparse.csc_matrix,
    "coo_matrix": sparse.coo_matrix,
    "csr_array": sparse.csr_array,
    "csc_array": sparse.csc_array,
}


@pytest.fixture
def counts():
    X, y = make_classification(n_samples=70, n_features=9, n_informative=5, random_state=0)
    return np.where(np.abs(X) > 0.8, X, 0.0), y


def assert_same_networks(one, other):
    for name in ("coefs_", "intercepts_", "feedback_coefs_"):
        for left, right in zip(getattr(one, name), getattr(other, name), strict=True):
            assert_array_equal(left, right)


@KINDS
@pytest.mark.parametrize("container", list(CONTAINERS))
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_sparse_and_dense_train_the_same_network(counts, estimator, container, dtype):
    X, y = counts
    X = X.astype(dtype)
    as_sparse = CONTAINERS[container](X)
    dense, model = (estimator(**SETTINGS).fit(data, y) for data in (X, as_sparse))
    assert_same_networks(model, dense)
    assert model.coefs_[0].dtype == dtype
    assert_array_equal(model.predict(as_sparse), dense.predict(X))
    assert_array_equal(model.transform(as_sparse), dense.transform(X))
    assert_array_equal(model.relax(as_sparse, y, 0.2).states[0], dense.relax(X, y, 0.2).states[0])
    assert model.score(as_sparse, y) == dense.score(X, y)
    dense.partial_fit(X, y)
    model.partial_fit(as_sparse, y)
    assert_same_networks(model, dense)


@KINDS
@pytest.mark.parametrize(
    "more",
    [
        {"batch_size": 1000},  # one minibatch, equal rows merged
        {"early_stopping": True},
        {"early_stopping": True, "scoring": "loss"},
        {"shuffle": False},
    ],
    ids=str,
)
@pytest.mark.parametrize("size", [1.0, 1e7])  # the larger makes columns be scaled inside
def test_ways_of_training(counts, estimator, more, size):
    X, y = counts
    X = X * size * np.where(np.arange(9) < 4, 1.0, 0.5)
    weight = np.random.RandomState(0).randint(0, 3, size=len(y))
    dense = estimator(**SETTINGS | more).fit(X, y, sample_weight=weight)
    model = estimator(**SETTINGS | more).fit(sparse.csr_array(X), y, sample_weight=weight)
    assert_same_networks(model, dense)
    assert model.validation_scores_ == dense.validation_scores_


@KINDS
def test_a_sparse_validation_set(counts, estimator):
    X, y = counts
    settings = SETTINGS | {"early_stopping": True}
    dense = estimator(**settings).fit(X[:50], y[:50], X_val=X[50:], y_val=y[50:])
    model = estimator(**settings).fit(
        sparse.csc_matrix(X[:50]), y[:50], X_val=sparse.coo_matrix(X[50:]), y_val=y[50:]
    )
    assert model.validation_scores_ == dense.validation_scores_


class NeverDense(sparse.csr_matrix):
    """A matrix that refuses to become dense except for a few rows at a time."""

    def toarray(self, *args, **kwargs):
        assert self.shape[0] <= 20
        return super().toarray(*args, **kwargs)

    def todense(self, *args, **kwargs):
        raise AssertionError


@KINDS
def test_no_part_of_x_larger_than_a_minibatch_is_made_dense(counts, estimator, monkeypatch):
    X, y = counts
    monkeypatch.setattr(settle_module, "CHUNK_ROWS", 20)
    data = NeverDense(X * 1e5)
    for early_stopping in (False, True):
        model = estimator(**SETTINGS | {"early_stopping": early_stopping}).fit(data, y)
    assert model.predict(data).shape == (70,)
    model.set_params(early_stopping=False).partial_fit(data, y)


@pytest.mark.parametrize("density", [1e-4, 0.06])  # multiplied as they are; made dense
def test_rows_with_very_many_columns_are_settled_few_at_a_time(density, monkeypatch):
    monkeypatch.setattr(settle_module, "CHUNK_NUMBERS", 2**18)
    X = sparse.random(40, 50_000, density=density, format="csr", random_state=0)
    y = np.arange(40) % 2
    model = EqPropClassifier(hidden_layer_sizes=(2,), max_iter=1, batch_size=10, dtype="float32")
    model.fit(X, y)
    network = FittedArrays.of(model).network(model, NumpyBackend())
    parts = [inputs for _, inputs in settle_module._chunks_of_inputs(network, X, None)]
    for part in parts:
        assert sparse.issparse(part) == (density < 0.05)
        assert part.size <= settle_module.CHUNK_NUMBERS
    assert sum(part.shape[0] for part in parts) == 40
    assert len(parts) == (1 if density < 0.05 else 8)
    assert model.predict_proba(X).shape == (40, 2)


@KINDS
def test_sparse_multilabel_or_dense_only_where_it_says_so(counts, estimator):
    assert estimator().__sklearn_tags__().input_tags.sparse
    name = "check_estimator_sparse_tag"
    if hasattr(estimator_checks, name):
        getattr(estimator_checks, name)(estimator.__name__, estimator(max_iter=3))


@KINDS
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_found(counts, estimator, value):
    X, y = counts
    as_sparse = sparse.csr_matrix(X)
    as_sparse.data[3] = value
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        estimator(**SETTINGS).fit(as_sparse, y)


def test_sparse_multilabel_targets(multilabel):
    X, y = multilabel
    dense = EqPropClassifier(**SETTINGS).fit(X, y)
    model = EqPropClassifier(**SETTINGS).fit(sparse.csr_matrix(X), sparse.csr_matrix(y))
    assert_same_networks(model, dense)
