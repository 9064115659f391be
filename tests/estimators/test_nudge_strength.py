"""Nudges too strong for the dynamics are pointed out; damping changes the way, not the update."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from sklearn_eqprop import EqPropClassifier, EqPropRegressor

pytestmark = pytest.mark.filterwarnings("ignore:Training reached max_iter")

SETTINGS = {"max_iter": 2, "random_state": 0}


def nudge_warnings(model, X, y):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, y)
    messages = [str(warning.message) for warning in caught]
    return [message for message in messages if message.startswith("beta=")]


@pytest.mark.parametrize(
    ("hidden", "limit"), [((12,), "0.8"), ((12, 12), "0.888"), ((12, 12, 12), "0.916")]
)
def test_pushing_away_harder_than_the_loops_allow(binary, hidden, limit):
    below, above = float(limit) - 0.01, float(limit) + 0.01
    settings = SETTINGS | {"hidden_layer_sizes": hidden}
    centered = settings | {"nudging": "centered"}
    assert not nudge_warnings(EqPropRegressor(beta=below, **centered), *binary)
    (message,) = nudge_warnings(EqPropRegressor(beta=above, **centered), *binary)
    assert f"|beta| <= {limit}" in message
    one_sided = EqPropRegressor(beta=above, nudging="one_sided", **settings)
    assert not nudge_warnings(one_sided, *binary)


@pytest.mark.parametrize("hidden", [(12,), (12, 12), (12, 12, 12)])
def test_the_limit_is_where_the_phase_stops_being_stable(hidden):
    # The worst network that the safeguard allows: single units, loops at the bound.
    n_layers = len(hidden) + 1
    loop = 0.2 / (4 * np.cos(np.pi / (n_layers + 1)) ** 2)
    matrix = np.eye(n_layers) - np.sqrt(loop) * (np.eye(n_layers, k=1) + np.eye(n_layers, k=-1))
    limit = {2: 0.8, 3: 0.8889, 4: 0.9173}[n_layers]
    for beta, stable in ((limit - 1e-3, True), (limit + 1e-3, False)):
        nudged = matrix.copy()
        nudged[-1, -1] -= beta
        assert (np.linalg.eigvalsh(nudged).min() > 0) == stable


def test_euler_steps_too_large_for_the_nudge(binary):
    settings = SETTINGS | {"relaxation": "euler", "nudging": "one_sided", "beta": 1.5}
    (message,) = nudge_warnings(EqPropRegressor((6,), **settings), *binary)
    assert "step_size < 0.8" in message
    assert not nudge_warnings(EqPropRegressor((6,), step_size=0.7, **settings), *binary)


def test_an_unstable_nudge_names_beta(binary):
    settings = {"nudging": "centered", "max_iter": 3, "max_nudge_iter": 50, "random_state": 0}
    model = EqPropRegressor((6,), beta=0.98, **settings)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(*binary)
    about = [m for m in (str(w.message) for w in caught) if "In the nudged phase" in m]
    assert len(about) == 1
    assert "a smaller |beta|" in about[0]


def test_recurrent_backprop_knows_no_nudge(binary):
    models = [
        EqPropRegressor((6,), gradient="recurrent_backprop", beta=beta, **SETTINGS).fit(*binary)
        for beta in (0.01, 1.0)
    ]
    assert np.array_equal(models[0].coefs_[0], models[1].coefs_[0])
    assert models[0].relaxation_ == models[1].relaxation_


@pytest.mark.parametrize("step_size", [0.5, 0.1])
def test_damping_does_not_shrink_the_update(three_classes, step_size):
    X, y = three_classes
    settings = {"hidden_layer_sizes": (10, 10), "optimizer": "sgd", "momentum": 0.0}
    settings |= {"learning_rate_init": 0.05, "alpha": 0.0, "random_state": 0}
    changes = []
    for step in (step_size, 1.0):
        model = EqPropClassifier(step_size=step, **settings)
        model.partial_fit(X, y, classes=[0, 1, 2])
        before = [coef.copy() for coef in model.coefs_]
        model.partial_fit(X, y)
        changes.append([new - old for new, old in zip(model.coefs_, before, strict=True)])
    for damped, solved in zip(*changes, strict=True):
        assert 0.9 < np.linalg.norm(damped) / np.linalg.norm(solved) < 1.2


def test_float32_rounding_bounds_the_adjoint_phase(three_classes):
    model = EqPropClassifier(
        (10, 10), gradient="recurrent_backprop", relax_tol=1e-9, dtype="float32", **SETTINGS
    ).fit(*three_classes)
    assert model.relaxation_["nudged_unconverged"][-1] == 0
