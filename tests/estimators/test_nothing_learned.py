"""Networks that are no better than a constant prediction are reported, however training ended."""

import re

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import (
    load_diabetes,
    load_iris,
    load_wine,
    make_blobs,
    make_classification,
)
from sklearn.metrics import average_precision_score, log_loss
from sklearn.preprocessing import StandardScaler

from sklearn_eqprop import EqPropClassifier, EqPropRegressor
from tests.estimators.listening import fit_and_listen

UNLEARNED = r"did not learn.* a constant prediction has a loss of"


def blobs(seed):
    X, y = make_blobs(80, n_features=5, centers=3, cluster_std=1.0, random_state=seed)
    return StandardScaler().fit_transform(X), y


def test_early_stopping_that_keeps_the_first_weights():
    # The validation score never rose, so the weights of epoch 1 are kept; the loss went on to
    # fall below a constant's, and nothing was said.
    X, y = blobs(24)
    model = EqPropClassifier(random_state=24, early_stopping=True, learning_rate_init=3e-4)
    validation = {"X_val": X, "y_val": (y + 1) % 3}  # the better it is on X, the worse here
    [message] = fit_and_listen(model.set_params(scoring="loss"), X, y, **validation)
    assert log_loss(y, model.predict_proba(X)) > 1.0986
    assert re.search(UNLEARNED, message)
    assert "the validation score was never better than in the beginning" in message


def test_the_loss_of_what_is_kept_is_that_of_the_training_rows():
    X, y = blobs(24)
    model = EqPropClassifier(random_state=24, early_stopping=True, learning_rate_init=3e-4, alpha=0)
    model.set_params(scoring="loss")
    weight = np.arange(1.0, 81.0)
    validation = {"X_val": X, "y_val": (y + 1) % 3}  # the better it is on X, the worse here
    [message] = fit_and_listen(model, X, y, sample_weight=weight, **validation)
    kept = log_loss(y, model.predict_proba(X), sample_weight=weight)
    assert float(
        re.search(r"Their loss on the training rows is (\d\.\d+)", message)[1]
    ) == pytest.approx(kept, rel=1e-3)


@pytest.mark.parametrize(("rate", "seed"), [(0.3, 0), (1.0, 1)])
def test_a_bumpy_loss_around_good_weights_is_no_reason(rate, seed):
    # Epochs before and after those weights are bad on the average of their minibatches.
    X, y = load_wine(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    model = EqPropClassifier(
        max_iter=40, learning_rate_init=rate, random_state=seed, early_stopping=True, alpha=1e-4
    )
    messages = fit_and_listen(model, X, y)
    assert log_loss(y, model.predict_proba(X)) < 0.9
    assert not any("did not learn" in message for message in messages)


@pytest.mark.parametrize("seed", [0, 2])
def test_a_strong_penalty_is_no_reason(seed):
    # Part of the loss, but not of what a constant prediction is compared with.
    X, y = load_diabetes(return_X_y=True)
    X = StandardScaler().fit_transform(X)[:60]
    model = EqPropRegressor(
        alpha=10, learning_rate_init=0.01, early_stopping=True, random_state=seed
    )
    messages = fit_and_listen(model, X, y[:60])
    assert model.score(X, y[:60]) > 0.3
    assert not any("did not learn" in message for message in messages)


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


@pytest.mark.parametrize(
    ("alpha", "weight"), [(1e4, 1.0), (1e-4, 1e-9)], ids=["a large alpha", "tiny weights"]
)
def test_a_penalty_that_outweighs_everything_is_named(alpha, weight):
    X, y = blobs(1)
    weights = np.full(len(y), weight)
    [message] = fit_and_listen(
        EqPropClassifier(random_state=0, alpha=alpha), X, y, sample_weight=weights
    )
    assert re.search(UNLEARNED, message)
    share = alpha / weights.sum()
    assert f"alpha, divided by the total weight of a minibatch, is {share:.3g}" in message
    assert "Lower alpha, or use sample weights of about 1" in message


def test_a_penalty_that_may_be_too_large_is_not_to_be_raised():
    X = np.random.RandomState(0).standard_normal((300, 4))
    [message] = fit_and_listen(EqPropRegressor(random_state=0, alpha=1e4, max_iter=50), X, X[:, 0])
    assert "reached max_iter" in message
    assert "Lower alpha" in message
    assert "raise alpha" not in message


def test_an_ordinary_penalty_is_not_named():
    X, y = blobs(1)
    [message] = fit_and_listen(EqPropClassifier(random_state=0, learning_rate_init=1e-9), X, y)
    assert "alpha" not in message


def test_what_else_helps_against_noise_is_named():
    X, y = blobs(1)
    model = EqPropClassifier(random_state=0, max_iter=3, tol=0)
    [message] = fit_and_listen(model, X, y)
    assert "your validation score no longer improves" in message
    assert "early_stopping=True" in message
    [message] = fit_and_listen(model.set_params(early_stopping=True), X, y)
    assert "before the validation score stopped improving" in message
    assert "early_stopping=True" not in message


@pytest.mark.parametrize("scoring", [None, "accuracy"])
def test_an_accuracy_that_cannot_see_rare_classes(scoring):
    # Accuracy ties with that of the most frequent class, so early stopping ends at once. But of
    # the tied epochs the last one is kept, whose probabilities are good.
    X, y = make_classification(2000, 6, weights=[0.99], flip_y=0, class_sep=0.5, random_state=0)
    model = EqPropClassifier((16,), early_stopping=True, scoring=scoring, random_state=0)
    [message] = fit_and_listen(model, X, y)
    assert "score, 0.99, is no better than that of predicting the most frequent label" in message
    assert "Set scoring='loss', which" in message
    assert average_precision_score(y, model.predict_proba(X)[:, 1]) > 0.8
    assert not fit_and_listen(model.set_params(scoring="loss"), X, y)
    assert average_precision_score(y, model.predict_proba(X)[:, 1]) > 0.8


@pytest.mark.parametrize("scoring", ["f1", "balanced_accuracy", "recall"])
def test_other_scores_that_cannot_see_rare_classes(scoring):
    X, y = make_classification(2000, 6, weights=[0.98], flip_y=0, class_sep=0.3, random_state=1)
    X = StandardScaler().fit_transform(X)
    model = EqPropClassifier((16,), early_stopping=True, scoring=scoring, random_state=0)
    [message] = fit_and_listen(model, X, y)
    assert "in every epoch. Set scoring='loss', which" in message
    assert not fit_and_listen(clone(model).set_params(scoring="loss"), X, y)
    # A rate that is too small would not be seen by the loss, either.
    [message] = fit_and_listen(model.set_params(learning_rate_init=1e-7), X, y)
    assert "in every epoch. Raise learning_rate_init" in message
    assert "scoring='loss'" not in message


@pytest.mark.parametrize(
    "change", [{"early_stopping": True}, {"alpha": 1e-3}, {"class_weight": {1: 2}}]
)
@pytest.mark.filterwarnings("ignore:Training reached max_iter")
def test_a_good_network_that_is_trained_further_has_nothing_to_learn(change):
    X, y = load_wine(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    model = EqPropClassifier((8,), warm_start=True, random_state=0, learning_rate_init=0.1)
    model.set_params(max_iter=500, tol=1e-5, n_iter_no_change=30, alpha=1e-4).fit(X, y)
    assert model.loss_ < 0.01
    model.set_params(learning_rate_init=1e-5, tol=1e-4, **change)
    assert not fit_and_listen(model, X, y)


def test_a_label_of_many_that_is_never_predicted():
    X, y = make_classification(900, 6, weights=[0.98], flip_y=0, class_sep=0.5, random_state=0)
    Y = np.c_[y, np.roll(y, 1)]
    model = EqPropClassifier((16,), early_stopping=True, random_state=0)
    [message] = fit_and_listen(model, X, Y)
    assert "Set scoring='loss', which" in message
