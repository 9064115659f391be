"""Which rows count, and rows of a lone minibatch in one form."""

import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse

from sklearn_eqprop import EqPropClassifier
from sklearn_eqprop._estimators.data.inputs import rows_that_count
from sklearn_eqprop._training.epoch import merged_rows


def one_form(X, target, weight):
    merged = merged_rows(X, target, weight)
    return [part.tolist() for part in merged]


def test_order_and_repetition_lead_to_one_form():
    rng = np.random.RandomState(0)
    X, target = rng.standard_normal((6, 3)), rng.randint(2, size=(6, 1)).astype(float)
    weight = np.array([1.0, 3.0, 2.0, 1.0, 1.0, 2.0])
    repeats = weight.astype(int)
    order = rng.permutation(6)
    expected = one_form(X, target, weight)
    assert one_form(X[order], target[order], weight[order]) == expected
    assert one_form(X.repeat(repeats, 0), target.repeat(repeats, 0), None) == expected
    assert sum(expected[2]) == repeats.sum()


def test_equal_inputs_with_other_targets_stay_apart():
    X = np.array([[1.0, 0.0], [1.0, -0.0], [1.0, 0.0]])
    target = np.array([[0.0], [0.0], [1.0]])
    merged_X, merged_target, weight = merged_rows(X, target, None)
    assert merged_X.shape == (2, 2)  # 0.0 and -0.0 are equal
    assert sorted(zip(merged_target[:, 0], weight, strict=True)) == [(0.0, 2.0), (1.0, 1.0)]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_sparse_and_dense_rows_have_one_form(dtype):
    rng = np.random.RandomState(0)
    X = rng.randint(-1, 2, size=(60, 4)).astype(dtype)
    X[X == 0] = rng.choice([0.0, -0.0], size=(X == 0).sum())
    target, weight = rng.randint(2, size=(60, 1)).astype(dtype), rng.rand(60)
    stored = sparse.csr_array(np.ones_like(X))  # zeros of both signs, too
    stored.data[:] = X.ravel()
    backwards = sparse.csr_array((X[:, ::-1].ravel(), np.tile([3, 2, 1, 0], 60), stored.indptr))
    merged, merged_target, total = merged_rows(X, target, weight)
    assert merged.shape[0] < 60
    for form in (sparse.csr_array(X), sparse.csr_matrix(X), stored, backwards):
        rows = merged_rows(form, target, weight)
        assert sparse.issparse(rows[0])
        assert_array_equal(rows[0].toarray(), merged)
        assert_array_equal(rows[1], merged_target)
        assert_array_equal(rows[2], total)


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("size", [0.0, 1.0, 1e308])  # all sums equal; distinct; beyond float64
def test_rows_are_compared_not_only_their_sums(layout, size, monkeypatch):
    monkeypatch.setattr(np, "sin", lambda numbers: size * np.ones_like(numbers))
    X = layout(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 9.0]]))
    with np.errstate(all="ignore"):  # as in fit
        merged_X, _, weight = merged_rows(X, np.zeros((4, 1)), None)
    assert merged_X.shape == (3, 2)
    assert sorted(weight) == [1.0, 1.0, 2.0]


def test_merging_takes_little_more_memory_than_its_result():
    X = np.random.RandomState(0).standard_normal((100, 20_000))
    tracemalloc.start()
    merged_rows(X, X[:, :1], None)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1.2 * X.nbytes


def test_without_repetition_there_are_no_weights():
    X = np.arange(6.0).reshape(3, 2)
    assert merged_rows(X, X[:, :1], None)[2] is None


def test_weights_repetition_and_order_train_the_same_bits():
    # 200 epochs: long enough for a difference in the last place to grow past any tolerance.
    rng = np.random.RandomState(42)
    X, y = rng.rand(15, 30), rng.randint(0, 3, size=15)
    weight = rng.randint(0, 5, size=15)
    order = rng.permutation(15)
    model = EqPropClassifier(max_iter=200, tol=0, n_iter_no_change=None, random_state=0)
    settings = {"learning_rate": "cosine"}  # ends without a warning
    weighted = model.set_params(**settings).fit(X[order], y[order], weight[order]).coefs_
    repeated = model.fit(X.repeat(weight, 0), y.repeat(weight)).coefs_
    for one, other in zip(weighted, repeated, strict=True):
        assert_array_equal(one, other)


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_weights_that_make_no_sense_are_named(bad):
    with pytest.raises(ValueError, match=f"class_weight.*{bad:g}"):
        rows_that_count(np.array([1.0, bad]), "class_weight")


@pytest.mark.parametrize("size", [1e200, 1e-200])
def test_products_of_weights_that_are_no_numbers_name_both(size):
    X = np.random.RandomState(0).rand(20, 3)
    model = EqPropClassifier(4, class_weight={0: size, 1: size})
    with pytest.raises(ValueError, match="class_weight times sample_weight gives"):
        model.fit(X, np.arange(20) % 2, sample_weight=np.full(20, size))
