"""Feedback of any graph of layers: its gains, its paths, and how it moves."""

import itertools

import numpy as np
import pytest

from sklearn_eqprop._feedback import FEEDBACK_WAYS
from sklearn_eqprop._feedback.base import FEEDBACK_RATE
from sklearn_eqprop._network import Wiring, arrival_scales, attenuations, feedback_gains
from sklearn_eqprop._network.structure import starting_norm
from tests.dense_graph import GRAPHS, SIZES, GraphNet, random_graph_net
from tests.dense_truth import random_task
from tests.engine import network_of, trainer_of

RATES = (0.3, 0.2, 0.1)
SHARES = np.full(4, 0.25)


def _gains_of(wiring, seed=0):
    return np.random.RandomState(seed).uniform(0.05, 1.5, len(wiring.feedback))


# ---- gains and paths -------------------------------------------------------------------------


def test_gain_is_relative_to_the_partner_or_to_weights_as_they_start():
    net = random_graph_net(GRAPHS["all"], "tanh")
    gains = feedback_gains(network_of(net))
    for (source, target), block, gain in zip(net.feedback_pairs, net.feedback, gains, strict=True):
        reference = starting_norm(SIZES[source], SIZES[target])
        if (target, source) in net.forward_pairs:
            reference = np.linalg.norm(net.block_of((target, source)))
        assert gain == pytest.approx(np.linalg.norm(block) / reference, rel=1e-13)


@pytest.mark.parametrize("graph", ["skip", "lateral inhibition", "direct feedback", "all"])
def test_attenuation_is_that_of_the_strongest_path_of_feedback(graph):
    # Every way down from the output, one by one.
    wiring = Wiring.of(GRAPHS[graph])
    gains = _gains_of(wiring)
    of_pair = dict(zip(wiring.feedback, gains, strict=True))
    found = attenuations(wiring, gains)
    for layer in (1, 2):
        between = range(layer + 1, 3)
        products = []
        for length in range(len(between) + 1):
            for middle in itertools.combinations(between, length):
                path = [layer, *middle, 3]
                steps = [(source, target) for target, source in itertools.pairwise(path)]
                if all(step in of_pair for step in steps):
                    products.append(np.prod([of_pair[step] for step in steps]))
        assert found[layer - 1] == pytest.approx(max(products), rel=1e-14)
    assert found[2] == 1


def test_layers_that_feedback_does_not_reach_hear_of_it_through_forward_connections():
    assert attenuations(Wiring.of(GRAPHS["ring"]), [0.2]) == [0.2, 0.2, 1]
    # 4 -> 1 -> 3 -> 2: back, on and back again.
    there = Wiring.of([(0, 1), (1, 3), (3, 2), (2, 4), (3, 4), (4, 1)])
    gains = dict(zip(there.feedback, (0.5, 0.3), strict=True))
    assert gains == {(4, 1): 0.5, (3, 2): 0.3}
    assert attenuations(there, list(gains.values())) == pytest.approx([0.5, 0.15, 0.5, 1])


def test_without_feedback_nothing_is_attenuated():
    wiring = Wiring.of([(0, 1), (1, 2), (2, 3), (1, 3)])
    assert attenuations(wiring, []) == [1, 1, 1]
    net = random_graph_net(wiring.pairs, "tanh")
    assert arrival_scales(network_of(net)) == [1, 1, 1]


@pytest.mark.parametrize("graph", GRAPHS)
def test_attenuations_and_arrivals_are_positive_and_finite(graph):
    net = random_graph_net(GRAPHS[graph], "tanh")
    for gain in (0.0, 1.0, 1e6):
        feedback = [gain * block for block in net.feedback]
        network = network_of(GraphNet("tanh", net.connections, net.coefs, net.biases, feedback))
        for found in (
            attenuations(network.wiring, feedback_gains(network)),
            arrival_scales(network),
        ):
            assert len(found) == 3
            assert np.isfinite(found).all()
            assert min(found) > 0
        assert max(arrival_scales(network)) <= 1


def test_arrival_scales_are_the_sizes_of_displacements_that_arrive():
    # Linear units, weak loops, a random push on the output, many samples: root mean squares.
    net = random_graph_net(GRAPHS["ring"], "identity")
    feedback = [0.05 * block for block in net.feedback]
    net = GraphNet("identity", net.connections, net.coefs, net.biases, feedback)
    X, _ = random_task(400, SIZES)
    rng = np.random.RandomState(0)
    free = net.equilibrium(X)
    Y = free[:, net.span(3)] + rng.standard_normal((400, SIZES[3]))
    moved = net.split(net.equilibrium(X, "squared_error", Y, 1.0) - free)
    sizes = np.array([np.sqrt((part**2).mean()) for part in moved])
    assert sizes / sizes[-1] == pytest.approx(arrival_scales(network_of(net)), rel=0.15)


# ---- how it moves ----------------------------------------------------------------------------


def _trainer(net, **settings):
    return trainer_of(net, learning_rates=RATES, **settings)


def _moves(net, trainer, X, Y):
    trainer.train_on(X, Y, None, 1.0, np.random.RandomState(0))
    parameters = trainer.network.parameters()
    return [p.array - block for p, block in zip(parameters, net.blocks(), strict=True)]


def _rates_of_blocks(net):
    targets = [target for _, target in net.connections] + [1, 2, 3]
    return [RATES[target - 1] for target in targets]


@pytest.mark.parametrize("graph", GRAPHS)
def test_every_block_moves_along_theorem_1_at_the_rate_of_its_target(graph):
    net = random_graph_net(GRAPHS[graph], "tanh")
    X, Y = random_task(4, SIZES)
    truth = net.with_theta(net.theorem_1(X, "squared_error", Y, SHARES)).blocks()
    moves = _moves(net, _trainer(net), X, Y)
    for move, block, rate in zip(moves, truth, _rates_of_blocks(net), strict=True):
        assert np.abs(move - rate * block).max() < 1e-8


@pytest.mark.parametrize("graph", GRAPHS)
def test_rescaled_blocks_divide_by_the_attenuation_of_their_target(graph):
    net = random_graph_net(GRAPHS[graph], "tanh")
    X, Y = random_task(4, SIZES)
    network = network_of(net)
    gains = feedback_gains(network)
    scales = attenuations(network.wiring, gains)
    plain = _moves(net, _trainer(net), X, Y)
    rescaled = _moves(net, _trainer(net, layerwise_rescale=True), X, Y)
    targets = [target for _, target in net.connections] + [1, 2, 3]
    factors = np.array([1 / scales[target - 1] for target in targets])
    first = len(net.forward_pairs)
    factors[first : first + len(gains)] *= FEEDBACK_RATE * np.array(gains)
    for move, large, factor in zip(plain, rescaled, factors, strict=True):
        assert np.abs(move).max() > 1e-7
        assert np.abs(large - factor * move).max() < 1e-12 * (1 + np.abs(large).max())


def test_kolen_pollack_leaves_feedback_without_a_partner_to_its_own_change():
    net = random_graph_net(GRAPHS["all"], "tanh")
    X, Y = random_task(4, SIZES)
    alpha = 0.7
    trainer = _trainer(net, feedback_learning="kolen_pollack", alpha=alpha)
    gains = feedback_gains(trainer.network)
    local = net.with_theta(net.theorem_1(X, "squared_error", Y, SHARES)).feedback
    moves = _moves(net, trainer, X, Y)
    n_forward, decay = len(net.coefs), alpha / 4
    n_coupled = 0
    for index, (pair, block) in enumerate(zip(net.feedback_pairs, net.feedback, strict=True)):
        move = moves[n_forward + index]
        if pair[::-1] in net.forward_pairs:
            n_coupled += 1
            partner = net.forward_pairs.index(pair[::-1])
            rate = RATES[pair[0] - 1]
            apart = block - gains[index] * net.coefs[partner].T
            truth = gains[index] * moves[partner].T - rate * decay * apart
        else:
            truth = RATES[pair[1] - 1] * (local[index] - decay * block)
        assert np.abs(move - truth).max() < 1e-8
    assert n_coupled == 3


def test_who_learns_from_its_own_change():
    wiring = Wiring.of([(0, 1), (1, 2), (2, 1), (2, 2)])
    assert wiring.feedback == ((2, 1), (2, 2))
    own = {name: way().own_change(wiring) for name, way in FEEDBACK_WAYS.items()}
    assert own == {
        "local": [True, True],
        "kolen_pollack": [False, True],
        "homeostasis": [True, True],
        "fixed": [False, False],
    }


def test_fixed_feedback_stays():
    net = random_graph_net(GRAPHS["all"], "tanh")
    X, Y = random_task(4, SIZES)
    moves = _moves(net, _trainer(net, feedback_learning="fixed"), X, Y)
    n_forward, n_feedback = len(net.coefs), len(net.feedback)
    for index, move in enumerate(moves):
        assert (np.abs(move).max() == 0) == (n_forward <= index < n_forward + n_feedback)
