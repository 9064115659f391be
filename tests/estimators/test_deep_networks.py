"""Deep networks learn with the defaults, in every layer."""

import numpy as np
import pytest
from sklearn.datasets import load_iris, load_wine, make_friedman1
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from sklearn_eqprop import EqPropClassifier, EqPropRegressor
from sklearn_eqprop._estimators.parameters.config import Config
from sklearn_eqprop.diagnostics import gradient_alignment, health_report


def _wine(dtype=np.float64):
    X, y = load_wine(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=0.3, stratify=y, random_state=0
    )
    scaler = StandardScaler().fit(X_train)
    return (
        scaler.transform(X_train).astype(dtype),
        scaler.transform(X_test).astype(dtype),
        y_train,
        y_test,
    )


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("feedback", ["untied", "tied"])
def test_20_layers_learn(feedback, dtype):
    X, X_test, y, y_test = _wine(dtype)
    network = EqPropClassifier((16,) * 20, feedback=feedback, random_state=0, max_iter=60)
    network.fit(X, y)
    assert network.score(X_test, y_test) > 0.94
    assert network.coefs_[0].dtype == dtype


def test_64_layers_learn_in_float32():
    X, y = load_iris(return_X_y=True)
    X = StandardScaler().fit_transform(X).astype(np.float32)
    network = EqPropClassifier((12,) * 64, random_state=0, max_iter=40)
    network.fit(X, y)
    assert network.score(X, y) > 0.9


def test_layers_of_other_sizes_learn():
    X, X_test, y, y_test = _wine()
    network = EqPropClassifier((64, 48, 32, 32, 24, 16, 16, 8), random_state=0, max_iter=60)
    network.fit(X, y)
    assert network.score(X_test, y_test) > 0.9


def test_a_deep_regressor_learns():
    X, y = make_friedman1(500, noise=0.1, random_state=0)
    X = StandardScaler().fit_transform(X)
    network = EqPropRegressor((32,) * 12, random_state=0, max_iter=60, n_iter_no_change=None)
    network.fit(X[:400], y[:400])
    assert network.score(X[400:], y[400:]) > 0.94


@pytest.mark.parametrize("n_hidden", [8, 20, 64])
def test_every_layer_is_aligned_with_the_gradient_from_the_start(n_hidden):
    X, _, y, _ = _wine()
    network = EqPropClassifier((16,) * n_hidden, random_state=0)
    network.partial_fit(X, y, classes=np.unique(y))
    blocks = gradient_alignment(network, X, y).blocks
    for block in blocks:
        if block.role != "feedback":
            assert block.cosine > 0.95
            assert block.update_cosine > 0.9


def test_feedback_moves_deep_networks_no_more_than_shallow_ones():
    X, _, y, _ = _wine()
    for n_hidden in (3, 8, 32):
        network = EqPropClassifier((16,) * n_hidden, random_state=0)
        network.partial_fit(X, y, classes=np.unique(y))
        states = network.relax(X).states
        passed, apart, size = X, 0.0, 0.0
        for coef, bias, state in zip(network.coefs_, network.intercepts_, states, strict=True):
            passed = passed @ coef + bias
            if state is not states[-1]:
                passed = np.maximum(passed, 0)
            apart += ((state - passed) ** 2).sum()
            size += (state**2).sum()
        assert np.sqrt(apart / size) < 0.2


def test_the_report_finds_nothing_wrong_with_depth():
    X, _, y, _ = _wine(np.float32)
    network = EqPropClassifier((16,) * 32, random_state=0, max_iter=40, n_iter_no_change=None)
    network.fit(X, y)
    verdicts = {check.name: check.verdict for check in health_report(network, X, y).checks}
    for name in ("feedback gain", "nudge signal", "alignment", "loop gain"):
        assert verdicts[name] == "good"
    assert verdicts["dead units"] != "bad"


def _config(**parameters):
    return Config.requested(EqPropClassifier(**parameters))


def test_what_follows_from_depth():
    deep = _config(hidden_layer_sizes=(5,) * 12)
    assert deep.loop_bound == pytest.approx(0.6 / 12)
    first, *middle, last = deep.layer_rates(13)
    assert first == last == 3e-3
    assert middle == pytest.approx([3e-3 / np.sqrt(12)] * 11)
    for n_hidden in range(4):
        shallow = _config(hidden_layer_sizes=(5,) * n_hidden)
        assert shallow.loop_bound == 0.2
        assert shallow.layer_rates(n_hidden + 1) == (3e-3,) * (n_hidden + 1)
        assert not shallow.settles_in_units


def test_what_is_asked_for_is_used():
    rates = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    given = _config(hidden_layer_sizes=(5,) * 5, loop_gain=0.3, learning_rate_init=rates)
    assert given.loop_bound == 0.3
    assert given.layer_rates(6) == tuple(rates)
    assert _config(hidden_layer_sizes=(5,) * 5, loop_gain=None).loop_bound is None


@pytest.mark.parametrize(
    "parameters",
    [
        {"layerwise_rescale": False},
        {"gradient": "asymmetric"},
        {"gradient": "recurrent_backprop"},
        {"nudging": "centered"},
        {"activation": "tanh"},
        {"activation": "hard_sigmoid", "loss": "squared_error", "beta": float("inf")},
        {"activation": "tanh", "nudging": 4},
        {"feedback_learning": "local"},
        {"feedback_learning": "homeostasis"},
        {"relaxation": "euler", "step_size": 0.5},
        {"relaxation": "anderson"},
        {"loop_gain": 0.5},
        {"gradient": "continual", "learning_rate_init": 1e-3},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_way_of_learning_lowers_the_loss(parameters):
    X, _, y, _ = _wine()
    network = EqPropClassifier((16,) * 6, random_state=0, max_iter=25, **parameters).fit(X, y)
    assert network.loss_curve_[-1] < 0.9 * network.loss_curve_[0]


@pytest.mark.filterwarnings("ignore:Training reached max_iter")
def test_a_row_that_is_written_out_is_the_same_network():
    X, y = load_iris(return_X_y=True)
    row = [(layer, layer + 1) for layer in range(6)] + [(layer + 1, layer) for layer in range(1, 6)]
    settings = {"hidden_layer_sizes": (6,) * 5, "max_iter": 2, "random_state": 0}
    plain, written = (
        EqPropClassifier(**settings, connections=connections).fit(X, y)
        for connections in (None, row)
    )
    for one, other in zip(plain.coefs_, written.coefs_, strict=True):
        np.testing.assert_array_equal(one, other)
