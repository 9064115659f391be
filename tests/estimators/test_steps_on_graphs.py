"""One step of plain SGD on a graph of layers, with every gradient and loss, in both estimators."""

import functools

import numpy as np
import pytest

from sklearn_eqprop import EqPropClassifier, EqPropRegressor
from tests.dense_graph import GRAPHS, random_graph_net
from tests.learning import every_cost
from tests.learning.clamped_truth import generec

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SIZES = (4, 5, 4, 3)
N_SAMPLES = 7
SHARES = np.full(N_SAMPLES, 1 / N_SAMPLES)
# A step so short that weights which move while the network settles do not disturb it.
RATE = 1e-7
SETTINGS = {
    "hidden_layer_sizes": SIZES[1:-1],
    "activation": "tanh",
    "connections": GRAPHS["all"],
    "feedback_learning": "local",
    "layerwise_rescale": False,
    "nudging": "centered",
    "beta": 1e-3,
    "optimizer": "sgd",
    "momentum": 0.0,
    "learning_rate_init": RATE,
    "alpha": 0.0,
    "loop_gain": None,
    "relax_tol": 1e-13,
    "max_relax_iter": 3000,
    "max_nudge_iter": 3000,
    "random_state": 0,
}
CLASSIFIED = ("squared_error", "log_loss", "multilabel_log_loss", "user's")
PREDICTED = ("squared_error", "absolute_error", "huber", "poisson", "user's", "user's, bounded")
CASES = [(EqPropClassifier, cost) for cost in CLASSIFIED]
CASES += [(EqPropRegressor, cost) for cost in PREDICTED]


def _data(estimator, cost):
    """X, y, and what the documentation says that the outputs are nudged towards."""
    rng = np.random.RandomState(4)
    X = rng.standard_normal((N_SAMPLES, SIZES[0]))
    real, counts = rng.standard_normal((N_SAMPLES, 3)), rng.poisson(2.0, (N_SAMPLES, 3))
    if estimator is EqPropRegressor:
        y = counts if cost == "poisson" else real
        target = y / y.mean(axis=0) if cost == "poisson" else (y - y.mean(axis=0)) / y.std(axis=0)
        return X, y, target
    if cost == "multilabel_log_loss":
        return X, (real > 0).astype(int), (real > 0).astype(float)
    y = np.arange(N_SAMPLES) % 3
    return X, y, np.eye(3)[y]


@functools.cache
def _truths(estimator):
    """The network, and of every cost -dJ/dθ and ν."""
    net = random_graph_net(GRAPHS["all"], "tanh", SIZES)
    costs = [cost for kind, cost in CASES if kind is estimator]
    targets = {cost: _data(estimator, cost)[2] for cost in costs}
    X = _data(estimator, costs[0])[0]
    if estimator is EqPropRegressor:  # no kink of the absolute error or of Huber's within reach
        gaps = np.abs(net.split(net.equilibrium(X))[-1] - targets["huber"])
        assert min(gaps.min(), np.abs(gaps - 1).min()) > 1e-2
        assert gaps.min() < 1 < gaps.max()
    gradients = every_cost.gradients(net, X, targets, SHARES)
    return net, gradients, every_cost.theorem_1(net, X, targets, SHARES)


def _step(estimator, cost, net, X, y, **settings):
    """How far one minibatch moves the weights of `net`, in units of the learning rate."""
    loss = every_cost.USERS.get(cost, cost.removeprefix("multilabel_"))
    model = estimator(loss=loss, **SETTINGS | settings)
    model.partial_fit(X, y, *([np.arange(3)] if y.ndim == 1 else []))
    model.coefs_ = [block.copy() for block in net.coefs]
    model.feedback_coefs_ = [block.copy() for block in net.feedback]
    model.intercepts_ = [block.copy() for block in net.biases]
    model.partial_fit(X, y)
    blocks = [*model.coefs_, *model.feedback_coefs_, *model.intercepts_]
    return (np.concatenate([block.ravel() for block in blocks]) - net.theta()) / RATE


def _assert_every_block_agrees(net, found, truth):
    for part in net.parts():
        assert np.linalg.norm(found[part] - truth[part]) < 1e-3 * np.linalg.norm(truth[part])


@pytest.mark.parametrize("gradient", ["asymmetric", "recurrent_backprop"])
@pytest.mark.parametrize(("estimator", "cost"), CASES)
def test_exact_rules_step_down_the_gradient(estimator, cost, gradient):
    net, gradients, _ = _truths(estimator)
    found = _step(estimator, cost, net, *_data(estimator, cost)[:2], gradient=gradient)
    _assert_every_block_agrees(net, found, -gradients[cost])


@pytest.mark.parametrize("gradient", ["vector_field", "continual"])
@pytest.mark.parametrize(("estimator", "cost"), CASES)
def test_the_other_rules_step_along_nu(estimator, cost, gradient):
    net, _, nus = _truths(estimator)
    found = _step(estimator, cost, net, *_data(estimator, cost)[:2], gradient=gradient)
    _assert_every_block_agrees(net, found, nus[cost])


@pytest.mark.parametrize("coordinates", ["rate", "state"])
@pytest.mark.parametrize("estimator", [EqPropClassifier, EqPropRegressor])
def test_outputs_held_at_their_targets(estimator, coordinates):
    net, _, _ = _truths(estimator)
    X, y, target = _data(estimator, "squared_error")
    settings = {"beta": float("inf"), "nudging": "one_sided", "credit_coordinates": coordinates}
    found = _step(estimator, "squared_error", net, X, y, **settings)
    truth = generec(net, X, target, SHARES, rates=coordinates == "rate")
    _assert_every_block_agrees(net, found, np.concatenate([block.ravel() for block in truth]))
