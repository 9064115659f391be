"""A parameter that is changed after fit takes effect in the next fit, as in scikit-learn."""

import copy
import pickle

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.datasets import load_iris

from sklearn_eqprop import EqPropClassifier, EqPropRegressor
from sklearn_eqprop.diagnostics import health_report

X, LABELS = load_iris(return_X_y=True)
X = (X - X.mean(axis=0)) / X.std(axis=0)
NUMBERS = np.exp(X[:, 0])
MANY_LABELS = np.c_[LABELS > 0, X[:, 1] > 0].astype(int)
SETTINGS = {"hidden_layer_sizes": (6,), "max_iter": 3, "n_iter_no_change": None, "random_state": 0}
pytestmark = pytest.mark.filterwarnings("ignore:Training reached max_iter")


class Quartic:
    """A loss of one's own, without probabilities."""

    label_threshold = 0.3

    def __repr__(self):
        return "Quartic()"  # names the test, the same in every process

    def value(self, output, target):
        return ((output - target) ** 2 + (output - target) ** 4).sum(axis=1)

    def derivative(self, output, target):
        return 2 * (output - target) + 4 * (output - target) ** 3


CHANGES = [
    {"activation": "tanh"},
    {"activation": "hard_sigmoid"},
    {"loss": "squared_error"},
    {"loss": Quartic()},
    {"feedback": "tied"},
    {"objective": "trajectory"},
    {"connections": [(0, 1), (0, 2), (1, 2), (2, 1)]},
    {"hidden_layer_sizes": (3, 3)},
    {"loop_gain": None},
    {"beta": -0.1, "gradient": "asymmetric", "nudging": "centered"},
    {"input_shape": (2, 2), "alpha": 1.0, "dtype": "float32"},
]


def _answers(model, y):
    """What a fitted estimator tells about rows."""
    answers = [model.predict(X), model.transform(X), np.array(model.score(X, y))]
    if isinstance(model, EqPropClassifier):
        answers += [model.decision_function(X), model.predict_proba(X), model.predict_log_proba(X)]
    for beta in (0, 0.1):
        answers += model.relax(X, y, beta=beta).states
    return answers


@pytest.mark.parametrize(
    "fitted_with", [{}, {"activation": "logistic", "loop_gain": None}], ids=str
)
@pytest.mark.parametrize(
    ("estimator", "y", "change"),
    [
        *[(EqPropClassifier, LABELS, change) for change in CHANGES],
        *[(EqPropClassifier, MANY_LABELS, change) for change in CHANGES],
        *[(EqPropRegressor, NUMBERS, change) for change in [*CHANGES, {"loss": "poisson"}]],
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else None,
)
def test_a_fitted_estimator_does_not_change(estimator, y, fitted_with, change):
    model = estimator(**SETTINGS, **fitted_with).fit(X, y)
    expected = _answers(model, y)
    model.set_params(**change)
    for twin in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        for found, truth in zip(_answers(twin, y), expected, strict=True):
            np.testing.assert_array_equal(found, truth)


class Scaled(BaseEstimator):
    """A squared error whose probabilities have a parameter."""

    def __init__(self, tau=1.0):
        self.tau = tau

    def value(self, output, target):
        return 0.5 * ((output - target) ** 2).sum(axis=1)

    def derivative(self, output, target):
        return output - target

    def probabilities(self, output):
        shares = np.exp(output / self.tau)
        return shares / shares.sum(axis=1, keepdims=True)


def test_a_parameter_of_the_loss_does_not_change_a_fitted_estimator():
    model = EqPropClassifier(**SETTINGS, loss=Scaled()).fit(X, LABELS)
    expected = model.predict_proba(X)
    model.set_params(loss__tau=9.0)
    np.testing.assert_array_equal(model.predict_proba(X), expected)
    assert not np.array_equal(model.fit(X, LABELS).predict_proba(X), expected)


@pytest.mark.parametrize("change", CHANGES[:3], ids=str)
def test_the_next_fit_takes_the_change(change):
    model = EqPropClassifier(**SETTINGS).fit(X, LABELS).set_params(**change)
    fresh = EqPropClassifier(**SETTINGS, **change).fit(X, LABELS)
    copied = clone(model).fit(X, LABELS)
    model.fit(X, LABELS)
    for twin in (model, copied):
        np.testing.assert_array_equal(twin.predict_proba(X), fresh.predict_proba(X))


def test_a_failed_fit_does_not_take_the_change():
    model = EqPropClassifier(**SETTINGS).fit(X, LABELS)
    expected = model.predict_proba(X)
    model.set_params(activation="tanh")
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.full_like(X, np.nan), LABELS)
    np.testing.assert_array_equal(model.predict_proba(X), expected)


def test_probabilities_come_from_the_loss_of_the_fit():
    model = EqPropClassifier(**SETTINGS).fit(X, LABELS).set_params(loss=Quartic())
    assert hasattr(model, "predict_proba")
    model.fit(X, LABELS).set_params(loss="log_loss")
    assert not hasattr(model, "predict_proba")
    assert not hasattr(clone(model).set_params(loss=Quartic()), "predict_proba")


@pytest.mark.parametrize("again", ["fit", "partial_fit"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activation": "tanh"}, "has activation='relu', but the parameters now ask for 'tanh'"),
        ({"loss": "squared_error"}, "with loss='log_loss', but .* 'squared_error'"),
        ({"loss": Quartic()}, "outputs that mean what they do with loss='log_loss'"),
        ({"feedback": "tied"}, "has feedback='untied', but the parameters now ask for 'tied'"),
    ],
)
def test_training_cannot_continue_with_another_reading(again, change, message):
    model = EqPropClassifier(**SETTINGS, warm_start=True).fit(X, LABELS).set_params(**change)
    before = [coef.copy() for coef in model.coefs_]
    with pytest.raises(ValueError, match=message):
        getattr(model, again)(X, LABELS)
    np.testing.assert_array_equal(before[0], model.coefs_[0])
    model.set_params(warm_start=False).fit(X, LABELS)  # the remedy


def test_settling_applies_at_once():
    model = EqPropClassifier(**SETTINGS).fit(X, LABELS)
    many = model.relax(X).n_steps.sum()
    assert model.set_params(relax_tol=0.1).relax(X).n_steps.sum() < many
    assert model.set_params(transform_layers=[1, 2]).transform(X).shape == (150, 9)


def test_diagnostics_look_at_the_fitted_network():
    model = EqPropRegressor(**SETTINGS).fit(X, NUMBERS)
    truth = str(health_report(model, X, NUMBERS))
    assert str(health_report(model.set_params(activation="tanh"), X, NUMBERS)) == truth
    assert "6 relu" in model._repr_html_()
