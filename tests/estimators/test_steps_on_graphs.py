"""One step of plain SGD on a graph of layers, with every gradient and loss, in both estimators."""

import functools

import numpy as np
import pytest

from sklearn_eqprop import EqPropClassifier, EqPropRegressor
from tests import every_loss
from tests.clamped_truth import generec
from tests.dense_graph import GRAPHS, random_graph_net

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
CASES = [(EqPropClassifier, loss) for loss in CLASSIFIED]
CASES += [(EqPropRegressor, loss) for loss in PREDICTED]


def _data(estimator, loss):
    """X, y, and what the documentation says that the outputs are nudged towards."""
    rng = np.random.RandomState(4)
    X = rng.standard_normal((N_SAMPLES, SIZES[0]))
    real, counts = rng.standard_normal((N_SAMPLES, 3)), rng.poisson(2.0, (N_SAMPLES, 3))
    if estimator is EqPropRegressor:
        y = counts if loss == "poisson" else real
        target = y / y.mean(axis=0) if loss == "poisson" else (y - y.mean(axis=0)) / y.std(axis=0)
        return X, y, target
    if loss == "multilabel_log_loss":
        return X, (real > 0).astype(int), (real > 0).astype(float)
    y = np.arange(N_SAMPLES) % 3
    return X, y, np.eye(3)[y]


@functools.cache
def _truths(estimator):
    """The network, and of every loss -dJ/dθ and ν."""
    net = random_graph_net(GRAPHS["all"], "tanh", SIZES)
    losses = [loss for kind, loss in CASES if kind is estimator]
    targets = {loss: _data(estimator, loss)[2] for loss in losses}
    X = _data(estimator, losses[0])[0]
    if estimator is EqPropRegressor:  # no kink of the absolute error or of Huber's within reach
        gaps = np.abs(net.split(net.equilibrium(X))[-1] - targets["huber"])
        assert min(gaps.min(), np.abs(gaps - 1).min()) > 1e-2
        assert gaps.min() < 1 < gaps.max()
    gradients = every_loss.gradients(net, X, targets, SHARES)
    return net, gradients, every_loss.theorem_1(net, X, targets, SHARES)


def _step(estimator, loss, net, X, y, **settings):
    """How far one minibatch moves the weights of `net`, in units of the learning rate."""
    loss = every_loss.USERS.get(loss, loss.removeprefix("multilabel_"))
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
@pytest.mark.parametrize(("estimator", "loss"), CASES)
def test_exact_rules_step_down_the_gradient(estimator, loss, gradient):
    net, gradients, _ = _truths(estimator)
    found = _step(estimator, loss, net, *_data(estimator, loss)[:2], gradient=gradient)
    _assert_every_block_agrees(net, found, -gradients[loss])


@pytest.mark.parametrize("gradient", ["vector_field", "continual"])
@pytest.mark.parametrize(("estimator", "loss"), CASES)
def test_the_other_rules_step_along_nu(estimator, loss, gradient):
    net, _, nus = _truths(estimator)
    found = _step(estimator, loss, net, *_data(estimator, loss)[:2], gradient=gradient)
    _assert_every_block_agrees(net, found, nus[loss])


@pytest.mark.parametrize("coordinates", ["rate", "state"])
@pytest.mark.parametrize("estimator", [EqPropClassifier, EqPropRegressor])
def test_outputs_held_at_their_targets(estimator, coordinates):
    net, _, _ = _truths(estimator)
    X, y, target = _data(estimator, "squared_error")
    settings = {"beta": float("inf"), "nudging": "one_sided", "credit_coordinates": coordinates}
    found = _step(estimator, "squared_error", net, X, y, **settings)
    truth = generec(net, X, target, SHARES, rates=coordinates == "rate")
    _assert_every_block_agrees(net, found, np.concatenate([block.ravel() for block in truth]))
