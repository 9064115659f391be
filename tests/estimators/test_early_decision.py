"""Labels that are decided before a network has settled are those of the equilibrium."""

import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_digits, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning

from sklearn_eqprop import EqPropClassifier
from sklearn_eqprop._estimators.fitted import settle
from sklearn_eqprop.exceptions import DivergenceError

#: On a device all rows settle: looking who is decided would make the host wait.
SETTINGS = {"max_iter": 4, "random_state": 0, "backend": "numpy"}
#: Residuals of rows that are far from settled.
UNSETTLED = 1e-4


def fit(model, X, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X / 16, y


@pytest.fixture
def n_unsettled(monkeypatch):
    """How many rows of each call were left before they had settled, and how many there were."""
    counts = []
    original = settle.settle_rows

    def counting(*arguments, **nudge):
        result = original(*arguments, **nudge)
        counts.append((int((result.residual > UNSETTLED).sum()), len(result.residual)))
        return result

    monkeypatch.setattr(settle, "settle_rows", counting)
    return counts


def assert_decided_as_settled(model, X):
    decided = model.predict(X)
    scores = model.decision_function(X)
    if scores.ndim == 1:
        settled = model.classes_[(scores > 0).astype(int)]
    elif model._multilabel:
        settled = (scores > 0).astype(int)
    else:
        settled = model.classes_[scores.argmax(axis=1)]
    assert np.array_equal(decided, settled)


def test_score_settles_no_further_than_labels_need(digits, n_unsettled):
    X, y = digits
    model = fit(EqPropClassifier((32, 32), **SETTINGS), X, y)
    n_unsettled.clear()
    assert model.score(X, y) == np.mean(model.predict(X) == y)
    [of_score, of_predict] = n_unsettled
    assert of_score == of_predict
    assert of_score[0] > 0


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"hidden_layer_sizes": (32, 32, 32)},
        {"loss": "squared_error", "loop_gain": 0.8, "dtype": "float32"},
        {"activation": "hard_sigmoid", "relaxation": "euler"},
        {"activation": "tanh", "relaxation": "anderson", "loop_gain": 0.5},
        {"feedback": "tied", "activation": "logistic", "loop_gain": 0.5},
    ],
    ids=str,
)
def test_labels_are_those_of_the_equilibrium(digits, settings, n_unsettled):
    X, y = digits
    model = fit(EqPropClassifier(**SETTINGS | settings), X[:400], y[:400])
    model.predict(X)
    [(n_early, n_rows)] = n_unsettled
    assert n_rows == len(X)
    assert n_early > 0.5 * n_rows
    assert_decided_as_settled(model, X)


def test_without_hidden_layers_the_first_sweep_settles(digits, n_unsettled):
    X, y = digits
    model = fit(EqPropClassifier((), dtype="float32", **SETTINGS), X[:400], y[:400])
    model.predict(X)
    assert n_unsettled == [(0, len(X))]
    assert_decided_as_settled(model, X)


def test_two_classes_and_several_labels(digits, n_unsettled):
    X, y = digits
    several, labels = make_multilabel_classification(800, random_state=0)
    for rows, targets in ((X, y > 4), (several / several.std(), labels)):
        model = fit(EqPropClassifier(**SETTINGS), rows, targets)
        n_unsettled.clear()
        model.predict(rows)
        assert n_unsettled[0][0] > 0.5 * len(rows)
        assert_decided_as_settled(model, rows)


def test_sparse_rows(digits):
    X, y = digits
    model = fit(EqPropClassifier(**SETTINGS), X[:400], y[:400])
    assert np.array_equal(model.predict(sparse.csr_matrix(X)), model.predict(X))


@pytest.mark.parametrize(
    "settings",
    [{"loop_gain": None, "feedback_scale": 3.0, "max_relax_iter": 500}, {"relax_tol": 1e-6}],
    ids=["no bound", "the user's own tolerance"],
)
def test_all_rows_settle_where_nothing_can_be_decided_early(digits, settings, n_unsettled):
    X, y = digits
    model = fit(EqPropClassifier(**SETTINGS | settings), X[:400], y[:400])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.predict(X)
    assert n_unsettled == [(0, len(X))]


def test_few_rows_settle(digits, n_unsettled):
    X, y = digits
    fit(EqPropClassifier(**SETTINGS), X[:400], y[:400]).predict(X[:20])
    assert n_unsettled == [(0, 20)]


def test_broken_weights_are_no_decision(digits):
    X, y = digits
    model = fit(EqPropClassifier(**SETTINGS), X[:400], y[:400])
    model.coefs_[1][0, 0] = np.nan
    with pytest.raises(DivergenceError, match="coefs_"):
        model.predict(X)


@pytest.mark.parametrize("max_relax_iter", [1, 2, 3])
def test_the_limit_of_sweeps_ends_alike_however_many_rows_there_are(digits, max_relax_iter):
    X, y = digits
    settings = {"max_iter": 2, "max_relax_iter": max_relax_iter, "random_state": 0}
    model = fit(EqPropClassifier((50,), **settings), X[:600], y[:600])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        together = model.predict(X)
        apart = np.concatenate(
            [model.predict(X[start : start + 100]) for start in range(0, len(X), 100)]
        )
        likeliest = model.classes_[model.predict_proba(X).argmax(axis=1)]
    assert np.array_equal(together, apart)
    assert np.array_equal(together, likeliest)
