"""The safeguard of any graph of layers: spectral radius of the norms, contraction, bound."""

import math

import numpy as np
import pytest

from sklearn_eqprop._network import LoopGainGuard, excess_gain
from sklearn_eqprop._network.gains import WARM_UP_STEPS
from tests.dense_graph import CHAIN, GRAPHS, SIZES, GraphNet, radius, random_graph_net
from tests.dense_truth import random_task
from tests.engine import joined, network_of, settle

BOUND = 0.5
TIED = (*CHAIN, (1, 3), (3, 1))
FULL = GRAPHS["all"]


def _random_norms(graph, seed):
    """Spectral norms between layers with a state, with some of very different size."""
    rng = np.random.RandomState(seed)
    return {pair: float(np.exp(rng.uniform(-2, 2))) for pair in graph if pair[0] > 0}


def _matrix(norms, shrinking=(), factor=1.0):
    N = np.zeros((3, 3))
    for (source, target), norm in norms.items():
        N[target - 1, source - 1] = norm * (factor if (source, target) in shrinking else 1.0)
    return N


def _by_bisection(norms, shrinking, limit):
    """Largest factor on the shrinking connections that keeps the radius within the limit."""
    low, high = -30.0, 30.0
    for _ in range(200):
        middle = (low + high) / 2
        within = radius(_matrix(norms, shrinking, math.exp(middle))) <= limit
        low, high = (middle, high) if within else (low, middle)
    return math.exp(low)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("graph", [*GRAPHS, "tied"])
def test_excess_is_what_brings_the_radius_to_the_bound(graph, seed):
    pairs = GRAPHS.get(graph, TIED)
    norms = _random_norms(pairs, seed)
    shrinking = {pair for pair in norms if graph == "tied" or pair[0] >= pair[1]}
    excess = excess_gain(3, norms, shrinking, BOUND)
    assert excess == pytest.approx(1 / _by_bisection(norms, shrinking, math.sqrt(BOUND)), rel=1e-6)
    at_the_bound = radius(_matrix(norms, shrinking, 1 / excess))
    assert at_the_bound == pytest.approx(math.sqrt(BOUND), rel=1e-7)
    assert (excess > 1) == (radius(_matrix(norms)) > math.sqrt(BOUND))


def test_excess_worked_out_by_hand():
    # A lateral connection alone; a ring, whose radius is the geometric mean of its three norms.
    assert excess_gain(1, {(1, 1): 2.0}, {(1, 1)}, 0.25) == pytest.approx(4.0, rel=1e-14)
    ring = {(1, 2): 2.0, (2, 3): 4.0, (3, 1): 1.0}
    assert excess_gain(3, ring, {(3, 1)}, 0.25) == pytest.approx(8 / 0.5**3, rel=1e-12)
    assert excess_gain(2, {(1, 2): 100.0}, set(), 0.25) == 0
    assert excess_gain(2, {(1, 2): math.nan, (2, 1): 1.0}, {(2, 1)}, 0.25) == math.inf


def _at_the_bound(graph, activation, seed=0):
    """Strong weights, their feedback scaled until the radius of the norms is sqrt(BOUND)."""
    net = random_graph_net(GRAPHS[graph], activation, strength=5.0, seed=seed)
    net.feedback[:] = [4 * block for block in net.feedback]
    pairs = {pair: net.norms()[pair[1] - 1, pair[0] - 1] for pair in net.connections if pair[0]}
    factor = _by_bisection(pairs, net.feedback_pairs, math.sqrt(BOUND))
    feedback = [factor * block for block in net.feedback]
    return GraphNet(activation, net.connections, net.coefs, net.biases, feedback)


@pytest.mark.parametrize("graph", GRAPHS)
def test_settling_map_is_a_contraction_at_the_bound(graph):
    # The Jacobian of the drives is W^T diag(ρ'); any |ρ'| <= 1 may occur.
    for seed in range(10):
        net = _at_the_bound(graph, "identity", seed)
        slopes = np.random.RandomState(seed).uniform(-1, 1, net.ends[-1])
        assert radius(net.W.T) <= math.sqrt(BOUND) * (1 + 1e-9)
        assert radius(net.W.T * slopes) <= math.sqrt(BOUND) * (1 + 1e-9)


@pytest.mark.parametrize("activation", ["identity", "tanh", "relu", "hard_sigmoid"])
@pytest.mark.parametrize("graph", GRAPHS)
def test_settling_is_geometric_at_the_promised_rate(graph, activation):
    # Each Euler step with ε = 1 shrinks the distance to the fixed point in the norm
    # max_i ||s_i|| / w_i; w from the resolvent, so that N w <= rate w however N is made up.
    net = _at_the_bound(graph, activation)
    rate = math.sqrt(BOUND) * 1.001
    w = np.linalg.solve(rate * np.eye(3) - net.norms(), np.ones(3))
    assert (w > 0).all()
    w /= w.max()
    X, _ = random_task(3, SIZES)
    truth = net.equilibrium(X)

    def distance(S):
        layers = [np.linalg.norm(part, axis=1) for part in net.split(S - truth)]
        return (np.array(layers) / w[:, None]).max(axis=0)

    previous = distance(np.zeros_like(truth))
    for n_steps in range(1, 12):
        result = settle(net, X, "euler", tolerance=1e-300, max_iter=n_steps)
        now = distance(joined(result.states))
        assert (now <= rate * previous + 1e-13).all()
        assert n_steps > 1 or (now > 1e-3).all()
        previous = now


@pytest.mark.parametrize("graph", GRAPHS)
def test_bound_is_reached_by_aligned_blocks(graph):
    # Rank-one blocks that hand one direction on from layer to layer: W acts on these directions
    # as N does, so the bound could not be any larger.
    net = _at_the_bound(graph, "identity")
    N = net.norms()
    rng = np.random.RandomState(0)
    units = [rng.standard_normal(size) for size in SIZES]
    units = [unit / np.linalg.norm(unit) for unit in units]

    def aligned(pairs):
        gains = [N[target - 1, source - 1] if source else 1.0 for source, target in pairs]
        return [
            gain * np.outer(units[source], units[target])
            for gain, (source, target) in zip(gains, pairs, strict=True)
        ]

    forward, feedback = aligned(net.forward_pairs), aligned(net.feedback_pairs)
    worst = GraphNet("identity", net.connections, forward, net.biases, feedback)
    assert radius(worst.W.T) == pytest.approx(math.sqrt(BOUND), rel=1e-7)


def _norms_of(network, net):
    forward = [connection.weights for connection in network.forward]
    feedback = None if net.feedback is None else [c.weights for c in network.feedback]
    return GraphNet(net.activation, net.connections, forward, net.biases, feedback).norms()


@pytest.mark.parametrize("graph", GRAPHS)
def test_guard_brings_the_radius_to_the_bound_by_one_factor(graph):
    net = random_graph_net(GRAPHS[graph], "tanh", strength=5.0)
    net.feedback[:] = [20 * block for block in net.feedback]
    network = network_of(net)
    guard = LoopGainGuard(network, BOUND)
    for _ in range(10):
        guard.enforce(WARM_UP_STEPS)
    reached = radius(_norms_of(network, net))
    # Feedback past a layer shrinks by the square of the factor, which is more than necessary.
    spans = [
        2 if pair == (3, 1) and (1, 3) in net.connections else 1 for pair in net.feedback_pairs
    ]
    least = 0.3 if 2 in spans else 1 - 1e-6
    assert math.sqrt(BOUND) * least < reached < math.sqrt(BOUND) * (1 + 1e-3)
    for connection, coef in zip(network.forward, net.coefs, strict=True):
        assert np.array_equal(connection.weights, coef)
    factors = np.concatenate(
        [
            (connection.weights / block).ravel() ** (1 / span)
            for connection, block, span in zip(network.feedback, net.feedback, spans, strict=True)
        ]
    )
    assert factors[0] < 0.5
    assert np.abs(factors / factors[0] - 1).max() < 1e-12


def test_guard_leaves_weak_loops_alone():
    net = random_graph_net(FULL, "tanh", strength=0.9 * math.sqrt(BOUND))
    network = network_of(net)
    LoopGainGuard(network, BOUND).enforce()
    for parameter, block in zip(network.parameters(), net.blocks(), strict=True):
        assert np.array_equal(parameter.array, block)


def test_guard_of_a_tied_graph_shrinks_strengths_and_keeps_the_energy():
    net = random_graph_net((*TIED, (0, 2)), "tanh", tied=True, strength=5.0)
    network = network_of(net)
    guard = LoopGainGuard(network, BOUND)
    for _ in range(10):
        guard.enforce(WARM_UP_STEPS)
    net.strengths = [float(strength) for strength in network.feedback_blocks]
    assert 0.3 < radius(net.norms()) / math.sqrt(BOUND) < 1 + 1e-3
    for connection, coef in zip(network.forward, net.coefs, strict=True):
        assert np.array_equal(connection.weights, coef)
    # One number per layer explains every strength: γ = c_source / c_target.
    strength = dict(zip(net.feedback_pairs, net.strengths, strict=True))
    assert strength[3, 1] == pytest.approx(strength[2, 1] * strength[3, 2], rel=1e-14)


def test_guard_leaves_a_graph_without_loops_alone():
    net = random_graph_net(((0, 1), (1, 2), (2, 3), (1, 3)), "tanh")
    net.coefs[1:] = [50 * coef for coef in net.coefs[1:]]
    network = network_of(net)
    LoopGainGuard(network, BOUND).enforce()
    for parameter, block in zip(network.parameters(), net.blocks(), strict=True):
        assert np.array_equal(parameter.array, block)


def test_guard_goes_on_from_the_vectors_of_an_earlier_one():
    net = random_graph_net(FULL, "tanh", strength=5.0)
    once, twice = network_of(net), network_of(net)
    guard = LoopGainGuard(once, BOUND)
    guard.enforce(3)
    first = LoopGainGuard(twice, BOUND)
    LoopGainGuard(twice, BOUND, [vector.copy() for vector in first.vectors]).enforce(3)
    for one, two in zip(once.parameters(), twice.parameters(), strict=True):
        assert np.array_equal(one.array, two.array)
