"""What the diagnostics refuse, and what they say."""

import copy

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_eqprop import EqPropRegressor
from sklearn_eqprop.diagnostics import (
    error_processes,
    good_parameter,
    gradient_alignment,
    health_report,
    jacobian_symmetry,
)
from sklearn_eqprop.exceptions import DivergenceError
from tests.dense_truth import DenseNet, random_task
from tests.diagnostics.twins import driven_loop, problem, twin

WITH_Y = [gradient_alignment, error_processes, good_parameter, health_report]
ALL = [*WITH_Y, lambda estimator, X, y: jacobian_symmetry(estimator, X)]
#: The others answer "no": see test_networks_that_run_away.
MEANINGLESS_WITHOUT_REST = [gradient_alignment, error_processes, ALL[-1]]
IDS = ["gradient_alignment", "error_processes", "good_parameter", "health_report"]


@pytest.fixture
def fitted():
    net, X, Y = problem()
    model, y = twin(net, "squared_error", X, Y)
    return model, X, y


@pytest.mark.parametrize("diagnostic", ALL)
@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        (make_pipeline(StandardScaler(), EqPropRegressor()), "Pipeline"),
        (MLPRegressor(), "MLPRegressor"),
        (EqPropRegressor, "EqPropRegressor"),
        (None, "NoneType"),
    ],
)
def test_no_estimator_of_ours(diagnostic, wrong, name, fitted):
    _, X, y = fitted
    with pytest.raises(TypeError, match=rf"estimator is .*{name}.*pipeline\[-1\]"):
        diagnostic(wrong, X, y)


@pytest.mark.parametrize("diagnostic", ALL)
def test_a_network_that_need_not_settle(diagnostic, fitted):
    model, X, y = fitted
    settings = {"objective": "trajectory", "relaxation": "euler", "max_iter": 1}
    model = EqPropRegressor((4,), **settings, random_state=0).partial_fit(X, y)
    with pytest.raises(ValueError, match=r"objective='trajectory'.*set_params"):
        diagnostic(model, X, y)
    diagnostic(copy.deepcopy(model).set_params(objective="fixed_point"), X, y)  # as it says


@pytest.mark.parametrize("diagnostic", ALL)
def test_not_fitted(diagnostic, fitted):
    _, X, y = fitted
    with pytest.raises(NotFittedError):
        diagnostic(EqPropRegressor(), X, y)


@pytest.mark.parametrize("diagnostic", WITH_Y, ids=IDS)
def test_y_missing(diagnostic, fitted):
    model, X, _ = fitted
    with pytest.raises(ValueError, match=rf"{diagnostic.__name__} needs y, got y=None"):
        diagnostic(model, X, None)


@pytest.mark.parametrize("diagnostic", ALL)
def test_inputs_that_do_not_fit(diagnostic, fitted):
    model, X, y = fitted
    with pytest.raises(ValueError, match="expecting 4 features"):
        diagnostic(model, X[:, :3], y)


@pytest.mark.parametrize("diagnostic", WITH_Y, ids=IDS)
def test_y_that_does_not_fit(diagnostic, fitted):
    model, X, y = fitted
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        diagnostic(model, X, y[:-1])
    with pytest.raises(ValueError, match="y has 2 outputs"):
        diagnostic(model, X, y[:, :2])


def test_a_label_never_seen():
    net, X, Y = problem("tanh", "log_loss")
    model, _ = twin(net, "log_loss", X, Y)
    with pytest.raises(ValueError, match=r"y holds labels \[7\]"):
        gradient_alignment(model, X, np.full(len(X), 7))


def test_class_weights_of_zero():
    net, X, Y = problem("tanh", "log_loss")
    model, _ = twin(net, "log_loss", X, Y)
    model.set_params(class_weight={0: 0.0})
    with pytest.raises(ValueError, match="class_weight gives every sample a weight of 0"):
        gradient_alignment(model, X, np.zeros(len(X), dtype=int))


@pytest.mark.parametrize("n_probes", [0, 1, 3.5, True])
def test_number_of_probes(n_probes, fitted):
    model, X, _ = fitted
    with pytest.raises(ValueError, match=f"n_probes must be .* Got {n_probes}"):
        jacobian_symmetry(model, X, n_probes=n_probes)


@pytest.mark.parametrize("diagnostic", MEANINGLESS_WITHOUT_REST)
def test_a_network_that_runs_away(diagnostic):
    X, Y = random_task(2, (1, 1))
    model, y = twin(driven_loop(2.0), "squared_error", X, Y)
    with pytest.raises(DivergenceError, match=r"not stay finite in float64.*Set loop_gain"):
        diagnostic(model, X, y)


@pytest.mark.parametrize("diagnostic", ALL)
def test_weights_that_are_not_finite(diagnostic, fitted):
    model, X, y = fitted
    model.feedback_coefs_[1][0, 0] = np.nan
    with pytest.raises(DivergenceError, match="feedback_coefs_ into layer 2 hold numbers"):
        diagnostic(model, X, y)


@pytest.mark.parametrize(
    "diagnostic", [gradient_alignment, lambda model, X, y: jacobian_symmetry(model, X)]
)
def test_states_that_are_no_equilibrium_are_reported(diagnostic):
    net = DenseNet(
        "tanh",
        [np.zeros((1, 1)), np.array([[-5.0]])],
        [np.full(1, 0.1), np.zeros(1)],
        [np.array([[5.0]])],
    )
    X, Y = random_task(2, (1, 1))
    model, y = twin(net, "squared_error", X, Y, relaxation="euler", max_relax_iter=5)
    with pytest.warns(ConvergenceWarning, match="2 of 2 samples did not settle"):
        found = diagnostic(model, X, y)
    assert found.n_unsettled == 2
