"""Networks that are no better than a constant prediction are reported, however training ended."""

import re
import warnings

import pytest
from sklearn.datasets import load_iris, make_blobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from sklearn_eqprop import EqPropClassifier, EqPropRegressor

UNLEARNED = r"did not learn.* predicting the same for every sample gives"


def fit_and_listen(model, X, y):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, y)
    assert {w.category for w in caught} <= {ConvergenceWarning}
    return [str(w.message) for w in caught]


def blobs(seed):
    X, y = make_blobs(80, n_features=5, centers=3, cluster_std=1.0, random_state=seed)
    return StandardScaler().fit_transform(X), y


def test_early_stopping_that_keeps_the_first_weights():
    # The validation score never rose, so the weights of epoch 1 are kept; the loss went on to
    # fall below a constant's, and nothing was said.
    X, y = blobs(24)
    model = EqPropClassifier(random_state=24, early_stopping=True, learning_rate_init=3e-4)
    [message] = fit_and_listen(model, X, y)
    assert log_loss(y, model.predict_proba(X)) > 1.0986
    assert re.search(UNLEARNED, message)
    assert "(the weights of epoch 1, best by validation score, are kept)" in message


def test_impatient_training():
    # Over before the epochs that were waited for until a look at the loss.
    X, y = blobs(1)
    model = EqPropClassifier(
        random_state=0, optimizer="sgd", learning_rate_init=1e-5, n_iter_no_change=2, tol=1e-3
    )
    [message] = fit_and_listen(model, X, y)
    assert model.n_iter_ < 10
    assert re.search(UNLEARNED, message)


@pytest.mark.parametrize("rate", ["cosine", "constant"])
def test_too_few_epochs_at_any_schedule(rate):
    # With a cosine the rate is 0 by then, which counted as an end by design.
    X, y = make_blobs(90, n_features=5, centers=3, random_state=1)
    model = EqPropClassifier((), learning_rate=rate, max_iter=30, random_state=1)
    [message] = fit_and_listen(model, X, y)
    assert model.loss_ > 1.0986
    assert "reached max_iter=30 epochs" in message


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("rate", ["cosine", "constant"])
def test_nothing_is_said_of_networks_that_have_learned(rate, early_stopping):
    X, y = load_iris(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    settings = {"learning_rate": rate, "early_stopping": early_stopping, "random_state": 0}
    settings |= {"max_iter": 300, "learning_rate_init": 0.01}
    assert fit_and_listen(EqPropClassifier(**settings), X, y) == []
    assert fit_and_listen(EqPropRegressor(**settings), X, X[:, 0] * X[:, 1]) == []
