"""Every credit rule, loss and activation on any graph: finite differences of J, and Theorem 1."""

import functools

import numpy as np
import pytest

from tests import every_loss
from tests.dense_graph import CHAIN, GRAPHS, SIZES, random_graph_net
from tests.dense_truth import CLIPPED, random_task
from tests.engine import METHODS, joined, network_of, update

SHARES = np.array([0.5, 0.1, 0.4])
EXACT = ("asymmetric", "recurrent_backprop")
OF_THEOREM_1 = ("vector_field", "continual")
ACTIVATIONS = ("tanh", "logistic", "relu", "hard_sigmoid")
#: No hidden unit may be closer to a bound: the field has a kink there.
KINK_MARGIN = 1e-3
TIED = (*CHAIN, (1, 3), (3, 1), (0, 2))


@functools.cache
def _problem(graph, activation, tied=False):
    """First random network without a unit near a kink, inputs, and a target for every loss."""
    pairs = GRAPHS.get(graph, TIED)
    X, _ = random_task(3, SIZES)
    for seed in range(20):
        net = random_graph_net(pairs, activation, tied=tied, seed=seed)
        free = net.equilibrium(X)
        inside = net.interior(free)[:, net.hidden]
        mixed = activation not in CLIPPED or (inside.any() and not inside.all())
        if net.margin(free, X) > KINK_MARGIN and mixed:
            return net, X, every_loss.targets_of(net, X)
    raise AssertionError((graph, activation))


@functools.cache
def _gradients(graph, activation, tied=False):
    return every_loss.gradients(*_problem(graph, activation, tied), SHARES)


@functools.cache
def _nus(graph, activation):
    return every_loss.theorem_1(*_problem(graph, activation), SHARES)


def _cosine(one, other):
    return one @ other / (np.linalg.norm(one) * np.linalg.norm(other))


def _assert_every_block_agrees(net, found, truth):
    for block, part in zip(net.blocks(), net.parts(), strict=True):
        assert np.linalg.norm(truth[part]) > 1e-5, block.shape
        assert _cosine(found[part], truth[part]) > 0.99999, block.shape


@pytest.mark.parametrize("loss", every_loss.LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("gradient", EXACT)
def test_exact_rules_give_minus_the_gradient(gradient, graph, activation, loss):
    net, X, targets = _problem(graph, activation)
    truth = -_gradients(graph, activation)[loss]
    found = every_loss.update(net, X, targets[loss], loss, gradient, SHARES)
    assert np.abs(truth).max() > 0.02
    assert np.abs(found - truth).max() < 5e-8
    _assert_every_block_agrees(net, found, truth)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("gradient", EXACT)
def test_exact_rules_whatever_the_method_of_relaxation(gradient, method):
    net, X, targets = _problem("all", "tanh")
    Y = targets["log_loss"]
    found = update(net, X, Y, "log_loss", 1e-4, SHARES, "centered", method, gradient)
    assert np.abs(found + _gradients("all", "tanh")["log_loss"]).max() < 5e-8


@pytest.mark.parametrize("gradient", EXACT)
def test_exact_rules_need_no_feedback(gradient):
    # A feedforward network with a skip: the update is backpropagation's.
    net = random_graph_net(((0, 1), (1, 2), (2, 3), (1, 3)), "tanh")
    X, Y = random_task(3, SIZES)
    truth = -net.gradient(X, "squared_error", Y, SHARES)
    found = update(net, X, Y, "squared_error", 1e-4, SHARES, "centered", gradient=gradient)
    assert np.abs(found - truth).max() < 5e-8
    _assert_every_block_agrees(net, found, truth)


@pytest.mark.parametrize("loss", every_loss.LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("gradient", OF_THEOREM_1)
def test_the_other_rules_follow_theorem_1(gradient, graph, activation, loss):
    net, X, targets = _problem(graph, activation)
    truth = _nus(graph, activation)[loss]
    found = every_loss.update(net, X, targets[loss], loss, gradient, SHARES)
    assert np.linalg.norm(found - truth) < 1e-6 * np.linalg.norm(truth)
    for part in net.parts():
        assert np.linalg.norm(truth[part]) > 1e-5
        assert np.linalg.norm(found[part] - truth[part]) < 1e-5 * np.linalg.norm(truth[part])
    # Which is not the gradient: the tests of the two kinds of rule can tell them apart.
    assert _cosine(truth, -_gradients(graph, activation)[loss]) < 0.995


@pytest.mark.parametrize("method", METHODS)
def test_the_vector_field_rule_whatever_the_method_of_relaxation(method):
    net, X, targets = _problem("all", "hard_sigmoid")
    Y = targets["multilabel_log_loss"]
    truth = net.theorem_1(X, "multilabel_log_loss", Y, SHARES)
    found = update(net, X, Y, "multilabel_log_loss", 1e-4, SHARES, "centered", method)
    assert np.linalg.norm(found - truth) < 1e-6 * np.linalg.norm(truth)


@pytest.mark.parametrize("loss", every_loss.LOSSES)
@pytest.mark.parametrize("activation", ["hard_sigmoid", "relu"])
@pytest.mark.parametrize("gradient", OF_THEOREM_1)
def test_tied_graphs_give_minus_the_gradient(gradient, activation, loss):
    # Every connection between layers has its transposed partner: A is symmetric.
    net, X, targets = _problem("tied", activation, tied=True)
    truth = -_gradients("tied", activation, tied=True)[loss]
    found = every_loss.update(net, X, targets[loss], loss, gradient, SHARES)
    assert np.abs(truth).max() > 0.02
    assert np.abs(found - truth).max() < 5e-8


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_local_change_is_the_transposed_jacobian_of_the_field(tied):
    net = random_graph_net(TIED if tied else GRAPHS["all"], "tanh", tied=tied)
    X, _ = random_task(3, SIZES)
    rng = np.random.RandomState(7)
    states = [rng.uniform(0, 1, (3, size)) for size in SIZES[1:]]
    deltas = [rng.standard_normal((3, size)) for size in SIZES[1:]]
    S, Delta = joined(states), joined(deltas)
    truth = sum(net.dmu_dtheta(s, x).T @ delta for s, x, delta in zip(S, X, Delta, strict=True))
    network = network_of(net)
    changes = network.local_products(X, network.rates(states), deltas)
    found = np.concatenate([change.ravel() for change in changes])
    assert np.abs(found - truth).max() < 1e-13
