"""The parameter `output_activation` of both estimators."""

import pickle
import warnings

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_digits

from sklearn_eqprop import EqPropClassifier, EqPropRegressor
from sklearn_eqprop._sklearn_compat import InvalidParameterError
from sklearn_eqprop.diagnostics import good_parameter, gradient_alignment, health_report
from sklearn_eqprop.exceptions import EqPropWarning
from tests.own_losses import Hinge

BOUNDED = {"output_activation": "hard_sigmoid", "loss": "squared_error", "random_state": 0}
PAPER = BOUNDED | {
    "activation": "hard_sigmoid",
    "feedback_init": "independent",
    "feedback_learning": "local",
    "feedback_scale": 1.0,
    "loop_gain": None,
    "layerwise_rescale": False,
    "optimizer": "sgd",
    "momentum": 0.0,
    "alpha": 0.0,
    "batch_size": 20,
    "learning_rate_init": [0.2, 0.1],
}


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:600] / 16, y[:600], X[600:] / 16, y[600:]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"hidden_layer_sizes": (32, 32)},
        {"hidden_layer_sizes": ()},
        {"gradient": "asymmetric", "beta": 0.1},
        {"gradient": "continual", "learning_rate_init": 0.03, "optimizer": "sgd", "max_iter": 60},
        {"beta": float("inf")},
        {"feedback": "tied", "nudging": "centered"},
        {"nudging": "random_sign"},
        {"objective": "trajectory", "relaxation": "euler", "step_size": 0.5},
        {"relaxation": "anderson"},
        {"feedback_init": "independent", "feedback_learning": "homeostasis"},
        {"output_activation": "relu"},
        PAPER,
    ],
    ids=str,
)
def test_outputs_stay_in_their_range_and_learn(digits, settings):
    X, y, X_test, y_test = digits
    model = EqPropClassifier(**BOUNDED | {"max_iter": 30} | settings).fit(X, y)
    outputs = model.relax(X_test).states[-1]
    assert outputs.min() == 0  # not by chance
    assert outputs.max() <= (np.inf if model.output_activation == "relu" else 1)
    assert model.score(X_test, y_test) > 0.85
    assert np.array_equal(model.predict(X_test), model.classes_[outputs.argmax(axis=1)])
    probabilities = model.predict_proba(X_test)
    assert probabilities.min() >= 0
    assert np.allclose(probabilities.sum(axis=1), 1)


def test_multilabel_targets(digits):
    X, y, X_test, _ = digits
    labels = (np.arange(5) == (y // 2)[:, None]) | (np.arange(5) == (y % 5)[:, None])
    model = EqPropClassifier(**BOUNDED, max_iter=60).fit(X, labels.astype(int))
    outputs = model.relax(X_test).states[-1]
    assert outputs.min() == 0
    assert outputs.max() <= 1
    assert (model.predict(X_test) == (outputs > 0.5)).all()


@pytest.mark.parametrize("loss", ["squared_error", "huber", "absolute_error"])
def test_a_regressor_predicts_within_the_range_of_its_targets(loss):
    X, y = load_diabetes(return_X_y=True)
    targets = np.stack([y, -3 * y + 1000], axis=1)
    model = EqPropRegressor(output_activation="hard_sigmoid", loss=loss, random_state=0)
    model.fit(X[:300], targets[:300])
    low, high = targets[:300].min(axis=0), targets[:300].max(axis=0)
    assert np.allclose(model.target_mean_, low)
    assert np.allclose(model.target_scale_, high - low)
    far = model.predict(100 * X[300:])
    assert (far >= low - 1e-9).all()
    assert (far <= high + 1e-9).all()
    free = EqPropRegressor(loss=loss, random_state=0).fit(X[:300], targets[:300])
    assert (free.predict(100 * X[300:]) > high).any()
    scores = [each.score(X[300:], targets[300:]) for each in (model, free)]
    assert scores[0] > scores[1] - 0.1


def test_relu_outputs_of_a_regressor_have_no_upper_end():
    X, y = load_diabetes(return_X_y=True)
    model = EqPropRegressor(output_activation="relu", random_state=0).fit(X[:300], y[:300])
    far = model.predict(100 * X[300:])
    assert far.min() == pytest.approx(y[:300].min())
    assert far.max() > y.max()
    assert model.target_scale_ == pytest.approx(y[:300].std())


def test_later_targets_beyond_the_range_are_reported():
    X, y = load_diabetes(return_X_y=True)
    model = EqPropRegressor(output_activation="hard_sigmoid", random_state=0)
    model.partial_fit(X[:200], y[:200]).partial_fit(X[200:], y[200:])
    with pytest.warns(EqPropWarning, match="2 times target_scale_ beyond the range"):
        model.partial_fit(X[:200], np.full(200, model.target_mean_[0] - 2 * model.target_scale_[0]))


@pytest.mark.parametrize("loss", ["log_loss", Hinge()])
def test_losses_that_need_outputs_without_bounds_are_refused(digits, loss):
    model = EqPropClassifier(**BOUNDED | {"loss": loss})
    with pytest.raises(ValueError, match=r"does not go with loss=.*Use loss='squared_error'"):
        model.fit(*digits[:2])


def test_complex_nudges_are_refused(digits):
    model = EqPropClassifier(**BOUNDED, activation="tanh", nudging=4)
    with pytest.raises(ValueError, match=r"does not go with output_activation=.*'identity'"):
        model.fit(*digits[:2])


def test_poisson_is_refused():
    with pytest.raises(ValueError, match="does not go with loss='poisson'"):
        EqPropRegressor(output_activation="relu", loss="poisson").fit([[1.0], [2.0]], [1, 2])


@pytest.mark.parametrize("smooth", ["tanh", "logistic"])
def test_smooth_outputs_are_refused_with_a_reason(digits, smooth):
    model = EqPropClassifier(output_activation=smooth)
    with pytest.raises(InvalidParameterError, match=r"smooth activation does not bound.*Use "):
        model.fit(*digits[:2])


def test_outputs_that_are_stuck_are_reported(digits):
    X, y, _, _ = digits
    settings = BOUNDED | {"alpha": 1e-4, "gradient": "recurrent_backprop"}
    model = EqPropClassifier(**settings, learning_rate_init=0.03)
    with pytest.warns(
        EqPropWarning, match=r"outputs? stays? at a bound .* use gradient='vector_field"
    ):
        model.set_params(max_iter=30).fit(X, y)
    outputs = model.relax(X).states[-1]
    stuck = outputs.min(axis=0) == outputs.max(axis=0)
    assert stuck.any()


def test_training_continues_exactly_and_keeps_its_outputs(digits):
    X, y, X_test, _ = digits
    model = EqPropClassifier(**PAPER, max_iter=3, warm_start=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EqPropWarning)
        model.fit(X, y)
        twin = pickle.loads(pickle.dumps(model))
        for each in (model, twin):
            each.fit(X, y)
    assert np.array_equal(model.relax(X_test).states[-1], twin.relax(X_test).states[-1])
    model.set_params(output_activation="identity")
    assert np.array_equal(model.predict(X_test), twin.predict(X_test))
    with pytest.raises(ValueError, match="has output_activation='hard_sigmoid'"):
        model.fit(X, y)


@pytest.mark.parametrize("gradient", ["recurrent_backprop", "asymmetric"])
def test_diagnostics_agree_with_the_exact_rules(digits, gradient):
    X, y, _, _ = digits
    model = EqPropClassifier(**BOUNDED, max_iter=12, dtype="float64").fit(X, y)
    # Only the examination uses the exact rule: with it, some outputs would get stuck.
    model.set_params(gradient=gradient, relax_tol=1e-9, beta=1e-3, nudging="centered")
    assert (model.relax(X[:50]).states[-1] == 0).mean() > 0.2
    found = gradient_alignment(model, X[:50], y[:50])
    assert found.update > 0.9999


def test_health_and_good_parameters_know_the_range(digits):
    X, y, _, _ = digits
    model = EqPropClassifier(**BOUNDED, max_iter=30).fit(X, y)
    assert good_parameter(model, X[:50], y[:50]).is_good
    assert "bad" not in {check.verdict for check in health_report(model, X, y).checks}


def test_the_picture_names_the_output(digits):
    model = EqPropClassifier(**BOUNDED, max_iter=30).fit(*digits[:2])
    assert "10 hard_sigmoid" in model._repr_html_()
    assert "10 linear" not in model._repr_html_()
