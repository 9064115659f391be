"""Which coordinates an estimator reads displacements in, seen in one step of plain SGD."""

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.preprocessing import StandardScaler

from sklearn_eqprop import EqPropClassifier, EqPropRegressor
from sklearn_eqprop._estimators.parameters.config import Config
from sklearn_eqprop.diagnostics import gradient_alignment
from tests.dense_truth import DenseNet

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

KINDS = pytest.mark.parametrize("estimator", [EqPropClassifier, EqPropRegressor])
SETTINGS = {
    "nudging": "centered",
    "hidden_layer_sizes": (5, 4),
    "feedback": "tied",
    "optimizer": "sgd",
    "momentum": 0.0,
    "learning_rate_init": 1e-3,
    "alpha": 0.0,
    "beta": 1e-3,
    "loop_gain": None,
    "feedback_scale": 1.0,
    "layerwise_rescale": False,
    "relax_tol": 1e-12,
    "random_state": 0,
}


def _cosine(one, other):
    return one @ other / (np.linalg.norm(one) * np.linalg.norm(other))


def _encoded(model, y):
    config = Config.of(model)
    targets = model._targets.of(model, config)
    return targets.encode(targets.checked(y, config), np.float64)


def _alignment(estimator, data, activation, **settings):
    """Cosine between the step of one minibatch and minus the gradient at the weights before."""
    X, y = data[0][:40], data[1][:40]
    if estimator is EqPropClassifier:
        y = y > np.median(y)
    model = estimator(activation=activation, **SETTINGS, **settings)
    model.partial_fit(X, y, *([[False, True]] if estimator is EqPropClassifier else []))
    for coef in model.coefs_[1:]:  # feedback strong enough to matter, and one equilibrium
        coef *= 1.2
    blocks = [*model.coefs_, *model.intercepts_]
    before = DenseNet(activation, [c.copy() for c in model.coefs_], list(model.intercepts_))
    target = _encoded(model, y)
    loss = "log_loss" if estimator is EqPropClassifier else "squared_error"
    gradient = before.gradient(X, loss, target, np.full(40, 1 / 40))
    model.partial_fit(X, y)
    moved = zip([*model.coefs_, *model.intercepts_], blocks, strict=True)
    return _cosine(np.concatenate([(new - old).ravel() for new, old in moved]), -gradient)


@KINDS
@pytest.mark.parametrize("activation", ["tanh", "logistic"])
def test_tied_smooth_networks_follow_the_gradient_by_default(diabetes, estimator, activation):
    assert _alignment(estimator, diabetes, activation) > 1 - 1e-6
    assert _alignment(estimator, diabetes, activation, credit_coordinates="rate") > 1 - 1e-6
    assert _alignment(estimator, diabetes, activation, credit_coordinates="state") < 0.999


@pytest.mark.parametrize("activation", ["tanh", "logistic"])
def test_feedback_that_follows_reads_rates_which_are_exact_layer_by_layer(diabetes, activation):
    X, y = diabetes[0][:40], diabetes[1][:40]
    settings = SETTINGS | {"feedback": "untied", "activation": activation, "feedback_scale": 0.3}
    cosines = {}
    for chosen in ("auto", "state"):
        model = EqPropRegressor(**settings, credit_coordinates=chosen).partial_fit(X, y)
        model.coefs_ = [3 * coef for coef in model.coefs_]  # strong enough to bend the rates
        model.feedback_coefs_ = [0.3 * coef.T for coef in model.coefs_[1:]]
        before = [coef.copy() for coef in model.coefs_]
        net = DenseNet(activation, before, list(model.intercepts_), list(model.feedback_coefs_))
        target = _encoded(model, y)
        gradient = net.gradient(X, "squared_error", target, np.full(40, 1 / 40))
        model.partial_fit(X, y)
        cosines[chosen], start = [], 0
        for old, new in zip(before, model.coefs_, strict=True):
            block = gradient[start : start + old.size]
            cosines[chosen].append(_cosine((new - old).ravel(), -block))
            start += old.size
    assert min(cosines["auto"]) > 1 - 1e-6
    assert min(cosines["state"]) < 0.99


@pytest.mark.parametrize(
    ("activation", "layers"), [("tanh", (40,) * 3), ("tanh", (40,)), ("logistic", (40,))]
)
def test_feedback_turned_by_homeostasis_reads_rates_which_are_nearly_exact(activation, layers):
    X, y = make_classification(400, 20, n_informative=10, n_classes=4, random_state=3)
    X = StandardScaler().fit_transform(X)
    settings = {"feedback_init": "independent", "feedback_learning": "homeostasis"}
    settings |= {"activation": activation, "max_iter": 40, "n_iter_no_change": None}
    models, found = {}, {}
    for chosen in ("auto", "rate", "state"):
        model = EqPropClassifier(layers, credit_coordinates=chosen, random_state=1, **settings)
        models[chosen] = model.fit(X, y)
        found[chosen] = gradient_alignment(model, X, y).limit
    assert np.array_equal(models["auto"].coefs_[0], models["rate"].coefs_[0])
    assert found["auto"] > 0.97
    assert found["state"] < 0.9


def test_auto_reads_states_elsewhere(diabetes):
    X, y = diabetes
    settings = SETTINGS | {"feedback": "untied", "activation": "tanh", "feedback_learning": "local"}
    steps = {
        chosen: EqPropRegressor(**settings, credit_coordinates=chosen).partial_fit(X, y).coefs_
        for chosen in ("auto", "state", "rate")
    }
    assert all(np.array_equal(a, b) for a, b in zip(steps["auto"], steps["state"], strict=True))
    assert not np.array_equal(steps["auto"][0], steps["rate"][0])


@KINDS
@pytest.mark.parametrize("gradient", ["asymmetric", "recurrent_backprop"])
def test_exact_rules_refuse_rates(binary, estimator, gradient):
    model = estimator(gradient=gradient, credit_coordinates="rate", activation="tanh")
    with pytest.raises(
        ValueError,
        match=rf"credit_coordinates='rate'.*gradient='{gradient}'.*or credit_coordinates='auto'",
    ):
        model.fit(*binary)
    model.set_params(hidden_layer_sizes=(), max_iter=3).fit(*binary)  # the output is linear
