"""The bound on outputs and their differences, against equilibria found independently."""

import numpy as np
import pytest

from sklearn_eqprop._network import output_bound
from tests.dense_graph import GRAPHS, random_graph_net
from tests.dense_truth import DenseNet, random_net, random_task
from tests.engine import network_of

ACTIVATIONS = ("relu", "hard_sigmoid", "tanh", "logistic")


def _nets(activation, seed):
    """Nets with weak connections between the layers, so that settling contracts."""
    nets = [random_net((4, 9, 8, 7, 3), activation, seed=seed)]
    nets += [random_graph_net(graph, activation, seed=seed) for graph in GRAPHS.values()]
    return [net.with_theta(0.15 * net.theta()) for net in nets]


def _reach(net, S, X):
    """What the package makes of states that are not at rest."""
    bound = output_bound(network_of(net))
    assert bound is not None
    return bound.reach_at(net.split(S), net.split(net.drive(S, X)))


def _points(net, seed):
    """States near and far from rest, how they differ from it in the output, and their inputs."""
    rng = np.random.RandomState(seed)
    X = random_task(5, (4, 3))[0]
    rest = net.equilibrium(X)
    for size in (1e-3, 0.1, 3.0):
        S = np.clip(rest + size * rng.standard_normal(rest.shape), net.low, net.high)
        yield S, net.split(S - rest)[-1], X


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_no_output_is_further_from_rest_than_within_reach(activation):
    for seed in range(3):
        for net in _nets(activation, seed):
            for S, error, X in _points(net, seed):
                assert (abs(error) <= _reach(net, S, X).of_outputs() * (1 + 1e-9)).all()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_no_difference_of_outputs_moves_further_than_within_reach(activation):
    for seed in range(3):
        for net in _nets(activation, seed):
            for S, error, X in _points(net, seed):
                reach = _reach(net, S, X)
                for base in range(3):
                    moves = abs(error - error[:, base, None])
                    allowed = reach.of_differences(np.full(len(X), base))
                    assert (moves <= allowed * (1 + 1e-9)).all()


def test_outputs_that_are_driven_alike_move_alike():
    net = random_net((4, 9, 3), "relu")
    net = net.with_theta(0.15 * net.theta())
    net.coefs[1][:, 1] = net.coefs[1][:, 0]
    S, _, X = list(_points(net, 0))[1]
    hidden, output = net.split(S)
    output[:] = net.split(net.drive(S, X))[-1]  # it has nothing of its own left to move
    reach = _reach(net, np.concatenate([hidden, output], axis=1), X)
    towards_first = reach.of_differences(np.zeros(len(X), dtype=int))
    # But for rounding.
    assert (towards_first[:, :2] < 1e-6 * reach.of_outputs()[:, :2]).all()
    assert (towards_first[:, 2] > 0.1 * reach.of_outputs()[:, 2]).all()


def test_a_difference_is_reached():
    # One hidden unit, no feedback: what it has left to move, times the weights' difference.
    coefs = [np.array([[1.0]]), np.array([[0.5, -0.25]])]
    net = DenseNet("identity", coefs, [np.zeros(1), np.zeros(2)], [np.zeros((2, 1))])
    S, X = np.array([[0.0, 0.0, 0.0]]), np.array([[2.0]])
    reach = _reach(net, S, X)
    assert reach.of_outputs()[0] == pytest.approx([2 * 0.5, 2 * 0.25])
    assert reach.of_differences(np.array([0]))[0] == pytest.approx([0, 2 * 0.75], abs=1e-6)


def test_a_difference_small_beside_what_outputs_share_is_not_lost():
    # ||a||² + ||b||² - 2 a·b is 0 to rounding here, the distance is not.
    common, difference = 1e7, 0.2
    coefs = [np.array([[1.0]]), np.array([[common + difference / 2, common - difference / 2]])]
    net = DenseNet("identity", coefs, [np.zeros(1), np.zeros(2)], [np.zeros((2, 1))])
    reach = _reach(net, np.zeros((1, 3)), np.array([[1.0]]))
    assert reach.of_differences(np.array([0]))[0, 1] >= difference * (1 - 1e-7)


def test_many_outputs_are_bounded_without_a_table_of_pairs(monkeypatch):
    net = _nets("relu", 0)[0]
    [S, error, X] = next(_points(net, 0))
    paired = _reach(net, S, X).of_differences(np.zeros(len(X), dtype=int))
    monkeypatch.setattr("sklearn_eqprop._network.certainty.MOST_PAIRED", 2)
    reach = _reach(net, S, X)
    assert all(isinstance(each, float) for each in reach.bound.distances)
    plain = reach.of_differences(np.zeros(len(X), dtype=int))
    assert (plain >= paired).all()
    assert (abs(error - error[:, :1]) <= plain).all()


def test_no_bound_without_a_contraction():
    net = random_net((4, 9, 8, 3), "relu")
    assert output_bound(network_of(net.with_theta(10 * net.theta()))) is None
