"""`average_weights`: predictions use the average of the weights after each update.

The truth is computed from a twin without averages: a copy of its weights after every update.
"""

import copy
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits

from sklearn_eqprop import Conv2D, EqPropClassifier, EqPropRegressor
from sklearn_eqprop._training.trainer import Trainer
from sklearn_eqprop.exceptions import DivergenceError

pytestmark = pytest.mark.filterwarnings("ignore:Training reached max_iter")

KINDS = pytest.mark.parametrize("estimator", [EqPropClassifier, EqPropRegressor])
# With stronger loops every phase is measured, so that a call per epoch is the same as one call.
SETTINGS = {
    **{"hidden_layer_sizes": (8, 6), "max_iter": 4, "batch_size": 16, "random_state": 0},
    **{"loop_gain": 0.5, "alpha": 1e-4},
}
WAYS = {
    "default": {},
    "sgd tied": {"optimizer": "sgd", "feedback": "tied"},
    "homeostasis": {"feedback_learning": "homeostasis", "activation": "tanh"},
    "images": {"hidden_layer_sizes": (Conv2D(3, 2, padding="same"), 5), "input_shape": (3, 2)},
    "graph": {"connections": [(0, 1), (1, 2), (2, 3), (3, 2), (2, 1), (0, 3), (1, 1)]},
    "cosine": {"learning_rate": "cosine"},
}


def arrays_of(model):
    return [*model.coefs_, *model._feedback_coefs, *model.intercepts_]


def assert_same(left, right):
    for one, other in zip(left, right, strict=True):
        assert_array_equal(one, other)


def fitted_with_snapshots(model, X, y, monkeypatch, **arguments):
    """A fitted model, and the weights of its network after each update."""
    snapshots, train_on = [], Trainer.train_on

    def follow(self, *given):
        result = train_on(self, *given)
        snapshots.append([array.copy() for array in self.network.arrays])
        return result

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "train_on", follow)
        model.fit(X, y, **arguments)
    return model, snapshots


def averages(snapshots):
    """Weighted means in closed form: snapshot t = 0, 1, ... weighs (t + 1) (t + 2) ... (t + 9)."""
    n = len(snapshots)
    weights = np.array([np.prod(np.arange(t + 1, t + 10, dtype=float)) for t in range(n)])
    weights /= weights.sum()
    return [
        sum(w * array.astype(float) for w, array in zip(weights, arrays, strict=True))
        for arrays in zip(*snapshots, strict=True)
    ]


@KINDS
@pytest.mark.parametrize("way", list(WAYS))
def test_weights_are_the_averages_of_all_updates(binary, estimator, way, monkeypatch):
    settings = SETTINGS | WAYS[way]
    twin = estimator(**settings)
    twin, snapshots = fitted_with_snapshots(twin, *binary, monkeypatch)
    assert len(snapshots) == 20
    assert_same(snapshots[-1], arrays_of(twin))
    model = estimator(average_weights=True, **settings).fit(*binary)
    for mean, found in zip(averages(snapshots), arrays_of(model), strict=True):
        assert_allclose(found, mean, rtol=1e-9, atol=1e-12)
    assert model.loss_curve_ == twin.loss_curve_
    with_means = copy.deepcopy(twin)
    n_coefs, n_feedback = len(twin.coefs_), len(twin._feedback_coefs)
    with_means.coefs_ = averages(snapshots)[:n_coefs]
    with_means._feedback_coefs = averages(snapshots)[n_coefs : n_coefs + n_feedback]
    with_means.intercepts_ = averages(snapshots)[n_coefs + n_feedback :]
    assert_allclose(model.relax(binary[0]).states[-1], with_means.relax(binary[0]).states[-1])


@KINDS
@pytest.mark.parametrize("way", list(WAYS))
def test_later_calls_continue_from_the_latest_weights(binary, estimator, way):
    """Averages too: one long fit, two short ones, or a stored model end in the same weights."""
    X, y = binary
    scaled = X * [1e4, 1e-4, 1, 1, 1, 1]  # inputs are rescaled inside
    X = X if way == "images" else scaled
    settings = SETTINGS | WAYS[way] | {"average_weights": True, "warm_start": True}
    long = estimator(**settings | {"max_iter": 8}).fit(X, y)
    if way == "cosine":
        settings["max_iter"] = 8
        long.fit(X, y)
    model = estimator(**settings).fit(X, y)
    stored = pickle.loads(pickle.dumps(model))
    for fitted in (model, stored):
        assert_same(arrays_of(fitted.fit(X, y)), arrays_of(long))
    # Without averages, training is the same and ends in the latest weights.
    plain = clone(model).set_params(average_weights=False).fit(X, y).fit(X, y)
    model.set_params(average_weights=False)
    for fitted in (plain, model):
        fitted.partial_fit(X, y)
    assert_same(arrays_of(model), arrays_of(plain))
    assert model._training_state.latest is None


def test_partial_fit_averages(binary):
    X, y = binary
    settings = SETTINGS | {"average_weights": True, "shuffle": False}
    model, snapshots = EqPropClassifier(**settings), []
    twin = clone(model).set_params(average_weights=False)
    for rows in np.array_split(np.arange(80), 5):
        model.partial_fit(X[rows], y[rows], [0, 1])
        twin.partial_fit(X[rows], y[rows], [0, 1])
        snapshots.append([array.copy() for array in arrays_of(twin)])
        for mean, found in zip(averages(snapshots), arrays_of(model), strict=True):
            assert_allclose(found, mean, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("more", [{}, {"scoring": "neg_log_loss"}])
def test_validation_scores_are_those_of_the_averages(three_classes, monkeypatch, more):
    X, y = three_classes
    settings = SETTINGS | {"max_iter": 25, "n_iter_no_change": 5, "learning_rate_init": 0.03}
    model = EqPropClassifier(early_stopping=True, average_weights=True, **settings | more)
    given = {"X_val": X[80:], "y_val": y[80:]}
    model, snapshots = fitted_with_snapshots(model, X[:80], y[:80], monkeypatch, **given)
    scores = []
    for n_epochs in range(1, model.n_iter_ + 1):
        twin, means = copy.deepcopy(model), averages(snapshots[: 5 * n_epochs])
        twin.coefs_, twin.feedback_coefs_, twin.intercepts_ = means[:3], means[3:5], means[5:]
        score = twin.score(X[80:], y[80:])
        if more:
            proba = twin.predict_proba(X[80:])
            score = np.log(proba[np.arange(40), y[80:]]).mean()
        scores.append(score)
    assert_allclose(model.validation_scores_, scores, rtol=1e-6)
    best = max(
        n
        for n, score in enumerate(model.validation_scores_)
        if score == max(model.validation_scores_)
    )
    for mean, found in zip(averages(snapshots[: 5 * best + 5]), arrays_of(model), strict=True):
        assert_allclose(found, mean, rtol=1e-9, atol=1e-12)
    for array, latest in zip(model._training_state.latest, snapshots[5 * best + 4], strict=True):
        assert_array_equal(array, latest)


def test_assigned_weights_are_where_training_continues(binary):
    X, y = binary
    settings = SETTINGS | {"average_weights": True}
    model = EqPropClassifier(**settings).fit(X, y)
    model.coefs_ = [coef * 0.5 for coef in model.coefs_]
    plain = copy.deepcopy(model).set_params(average_weights=False).partial_fit(X, y)
    once = copy.deepcopy(model).set_params(batch_size=80).partial_fit(X, y)
    latest = copy.deepcopy(model).set_params(batch_size=80, average_weights=False)
    # The first update of a new average is the average.
    assert_same(arrays_of(once), arrays_of(latest.partial_fit(X, y)))
    assert abs(plain.coefs_[0] - model.coefs_[0]).max() < 0.1


@pytest.mark.parametrize("error", [DivergenceError, KeyboardInterrupt])
def test_a_fit_that_ends_within_an_epoch_keeps_good_averages(binary, monkeypatch, error):
    expected = EqPropClassifier(average_weights=True, **SETTINGS | {"max_iter": 2}).fit(*binary)
    train_on, n_calls = Trainer.train_on, []

    def stop_in_the_third_epoch(self, *given):
        n_calls.append(1)
        if len(n_calls) == 13:
            raise error("the loss is not finite")
        return train_on(self, *given)

    monkeypatch.setattr(Trainer, "train_on", stop_in_the_third_epoch)
    model = EqPropClassifier(average_weights=True, **SETTINGS)
    ending = pytest.raises(error) if error is DivergenceError else pytest.warns(match="interrupt")
    with ending:
        model.fit(*binary)
    assert_same(arrays_of(model), arrays_of(expected))
    assert_same(model._training_state.latest, expected._training_state.latest)


def test_averages_are_better_and_their_loops_stay_weak():
    X, y = load_digits(return_X_y=True)
    X = X / 16
    settings = {"max_iter": 10, "alpha": 1e-3, "batch_size": 50, "learning_rate_init": 0.01}
    errors = []
    for average in (False, True):
        models = [
            EqPropClassifier((60,), average_weights=average, random_state=seed, **settings)
            for seed in range(3)
        ]
        errors.append(sum(1 - m.fit(X[:1200], y[:1200]).score(X[1200:], y[1200:]) for m in models))
    assert errors[1] < errors[0]
    forward, feedback = models[0].coefs_[1], models[0].feedback_coefs_[0]
    loop = np.linalg.norm(forward, 2) * np.linalg.norm(feedback, 2)
    assert loop < 1.03 * 0.2
