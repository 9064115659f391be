"""Networks without an equilibrium: a verdict on them, neither an error nor a warning."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from sklearn_eqprop import EqPropClassifier
from sklearn_eqprop.diagnostics import (
    GoodParameterDisplay,
    HealthReportDisplay,
    good_parameter,
    health_report,
)
from sklearn_eqprop.exceptions import DivergenceError
from tests.dense_truth import DenseNet, random_task
from tests.diagnostics.twins import driven_loop, twin

STATE_CHECKS = ["saturation", "dead units", "alignment", "nudge signal", "loop gain"]
#: Of `driven_loop`: one that overflows within the steps there are, and one that does not.
WEIGHTS = pytest.mark.parametrize("weight", [2.0, 1.02])


def _latch():
    """A silent ReLU is at rest; one that is awake drives itself ever higher."""
    return DenseNet(
        "relu",
        [np.ones((1, 1)), np.array([[2.0]])],
        [np.zeros(1), np.zeros(1)],
        [np.array([[2.0]])],
    )


def _no_equilibrium(found):
    assert not found.is_good
    assert found.converged == 0
    assert np.isnan([found.slope, found.cosine, found.same_equilibrium]).all()
    assert str(found).startswith("Not a good parameter")


def _could_not_look(report):
    assert report.verdict == "bad"
    assert report["settling"].verdict == "bad"
    assert "of the samples diverge" in report["settling"].finding
    assert "loop_gain" in report["settling"].remedy
    for name in STATE_CHECKS:
        assert np.isnan(report[name].value)
        assert report[name].verdict == "watch"
        assert "Not measured" in report[name].finding
        assert "settling first" in report[name].remedy
    assert np.isfinite(report["feedback gain"].value)


@WEIGHTS
@pytest.mark.parametrize("relaxation", ["gauss_seidel", "euler"])
def test_a_lineardriven_loop(weight, relaxation):
    X, Y = random_task(3, (1, 1))
    model, y = twin(driven_loop(weight), "squared_error", X, Y, relaxation=relaxation)
    found = good_parameter(model, X, y, n_starts=2)
    _no_equilibrium(found)
    assert found.settled.shape == (2, 3)
    report = health_report(model, X, y)
    _could_not_look(report)
    assert report["settling"].value == 1


def test_some_samples_run_away():
    X, Y = np.array([[-1.0], [1.0], [-2.0], [-3.0]]), np.ones((4, 1))
    model, y = twin(_latch(), "squared_error", X, Y)
    found = good_parameter(model, X, y, n_starts=40)
    assert not found.is_good
    assert 0 < found.converged < 1
    assert not found.settled[:, 1].any()
    # Only silent units come to rest, at 0, where they are from rest too.
    assert found.same_equilibrium == 1
    assert found.largest_distance == 0
    assert np.isnan(found.slope)
    report = health_report(model, X, y)
    _could_not_look(report)
    assert report["settling"].value >= 1 / 4


def test_a_runaway_of_few_is_bad_too():
    X, Y = np.full((50, 1), -1.0), np.ones((50, 1))
    X[7] = 1.0
    model, y = twin(_latch(), "squared_error", X, Y)
    for values in model.relaxation_.values():
        values[-1] = 0.0
    report = health_report(model, X, y)
    _could_not_look(report)
    assert report["settling"].value == pytest.approx(1 / 50)


def test_starts_may_settle_where_rest_does_not():
    # Its bias wakes the unit up, unless the output starts low enough to hold it silent.
    net = _latch()
    net.biases = [np.array([0.5]), np.array([-0.5])]
    X, Y = np.zeros((2, 1)), np.ones((2, 1))
    model, y = twin(net, "squared_error", X, Y)
    found = good_parameter(model, X, y, n_starts=40)
    assert 0 < found.converged < 1
    assert found.same_equilibrium == 0
    assert found.largest_distance == np.inf
    assert np.isnan(found.slope)
    assert not found.is_good


@pytest.mark.parametrize(
    "settings",
    [
        {"feedback": "tied", "learning_rate_init": 0.1, "max_iter": 20},
        {"feedback": "tied", "learning_rate_init": 0.1, "max_iter": 20, "dtype": "float32"},
        {"feedback_scale": 2.0, "activation": "identity", "max_iter": 2},
    ],
    ids=str,
)
def test_after_a_fit_that_went_wrong(settings):
    X, y = load_wine(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    model = EqPropClassifier((30, 30), loop_gain=None, random_state=0, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        try:
            model.fit(X, y)
        except DivergenceError:
            assert hasattr(model, "coefs_")  # its last good weights
    found = good_parameter(model, X, y, n_starts=2)
    assert not found.is_good
    assert found.converged < 1
    _could_not_look(health_report(model, X, y))


def test_what_only_the_own_type_cannot_hold():
    net = driven_loop(0.5)
    X, Y = np.array([[1.0], [4e38], [2.0], [-1e39]]), np.ones((4, 1))
    model, y = twin(net, "squared_error", np.ones((4, 1)), Y, dtype="float32")
    model.coefs_ = [weights.astype("float32") for weights in model.coefs_]
    for values in model.relaxation_.values():
        values[-1] = 0.0
    check = health_report(model, X, y)["settling"]
    assert check.verdict == "bad"
    assert check.value == 1 / 2
    assert ". 50.0% of the samples are not finite in float32." in check.finding
    assert check.remedy == "Scale the inputs (StandardScaler) or use dtype='float64'."
    model, y = twin(net, "squared_error", np.ones((4, 1)), Y)
    assert "finite" not in health_report(model, X, y)["settling"].finding


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scale", [1e200, 1e300])
def test_states_too_large_to_be_squared(dtype, scale):
    X, Y = random_task(3, (1, 1))
    model, y = twin(driven_loop(0.5), "squared_error", X, Y, dtype=dtype)
    with pytest.raises(
        DivergenceError, match=r"up to .*e\+\d+ are too large .* float64. Scale the inputs"
    ):
        health_report(model, scale * X, y)


def test_displays():
    pytest.importorskip("matplotlib").use("agg")
    import matplotlib.pyplot as plt

    X, Y = random_task(3, (1, 1))
    model, y = twin(driven_loop(2.0), "squared_error", X, Y)
    drawn = GoodParameterDisplay.from_estimator(model, X, y, n_starts=2)
    assert "not a good parameter" in drawn.ax_.get_title()
    drawn = HealthReportDisplay.from_estimator(model, X, y)
    assert "bad, 3 samples" in drawn.ax_.get_title(loc="left")
    plt.close("all")
