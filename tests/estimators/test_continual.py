"""gradient='continual' in both estimators."""

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_iris
from sklearn.preprocessing import StandardScaler

from sklearn_eqprop import EqPropClassifier, EqPropRegressor

pytestmark = pytest.mark.filterwarnings("ignore:Training reached max_iter")


@pytest.mark.parametrize("nudging", ["one_sided", "random_sign", "centered"])
@pytest.mark.parametrize(
    "optimizer", [{}, {"optimizer": "sgd", "momentum": 0.0, "learning_rate_init": 0.1}]
)
def test_learns_iris(nudging, optimizer):
    X, y = load_iris(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    model = EqPropClassifier(
        hidden_layer_sizes=(20,),
        gradient="continual",
        nudging=nudging,
        batch_size=30,
        max_iter=60,
        random_state=0,
        **{"learning_rate_init": 1e-2} | optimizer,
    ).fit(X, y)
    assert model.score(X, y) > 0.93
    assert model.relaxation_["nudged_unconverged"][-1] == 0


def test_learns_digits_as_well_as_the_two_phase_rule():
    X, y = load_digits(return_X_y=True)
    X = X / 16
    scores = {}
    for gradient in ("continual", "vector_field"):
        model = EqPropClassifier(
            hidden_layer_sizes=(30,),
            gradient=gradient,
            nudging="one_sided",
            learning_rate_init=1e-2,
            max_iter=8,
            random_state=0,
        )
        scores[gradient] = model.fit(X[:800], y[:800]).score(X[800:], y[800:])
    assert scores["continual"] > 0.8
    assert scores["continual"] > scores["vector_field"] - 0.03


def test_learns_regression_with_two_layers(diabetes):
    X, y = diabetes
    model = EqPropRegressor(
        hidden_layer_sizes=(20, 10),
        gradient="continual",
        learning_rate_init=5e-3,
        max_iter=60,
        random_state=0,
    ).fit(X, y)
    assert model.score(X, y) > 0.4


@pytest.mark.parametrize("estimator", [EqPropClassifier, EqPropRegressor])
def test_goes_on_where_it_stopped(binary, estimator):
    X, y = binary
    settings = {"gradient": "continual", "hidden_layer_sizes": (8,), "random_state": 0}
    classes = [[0, 1]] if estimator is EqPropClassifier else []
    twice = estimator(**settings).partial_fit(X, y, *classes).partial_fit(X, y)
    once = estimator(**settings, max_iter=2, tol=0.0).fit(X, y)
    for one, other in zip(twice.coefs_, once.coefs_, strict=True):
        assert np.abs(one - other).max() < 1e-12


def test_is_no_rule_for_clamped_outputs(binary):
    with pytest.raises(ValueError, match=r"beta=inf does not go with gradient='continual'"):
        EqPropRegressor(beta=float("inf"), nudging="one_sided", gradient="continual").fit(*binary)
