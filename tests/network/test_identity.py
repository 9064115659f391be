"""Residual connections against dense float64 networks whose identity is a matrix of weights."""

import math

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sklearn_eqprop._backend import NumpyBackend
from sklearn_eqprop._losses.squared_error import SquaredError
from sklearn_eqprop._network import (
    Conv2D,
    LoopGainGuard,
    Wiring,
    arrival_scales,
    attenuations,
    feedback_gains,
    initial_weights,
    layout_of,
    wired_network,
)
from sklearn_eqprop._network.certainty import error_factors, spectral_norm
from sklearn_eqprop._network.identity import Identity
from sklearn_eqprop._relaxation import RELAXATIONS
from sklearn_eqprop._rules import NUDGINGS, RULES, Minibatch
from sklearn_eqprop._substrates.limits import SettlingLimits
from sklearn_eqprop._substrates.simulated import SimulatedNetwork
from tests.conv_truth import ConvLayer
from tests.dense_graph import GraphNet, radius, random_graph_net
from tests.dense_truth import ACTIVATIONS, random_task
from tests.engine import METHODS, joined, network_of, settle, trainer_of, update

ROW = ((0, 1), (1, 2), (2, 3), (3, 4), (4, 3), (3, 2), (2, 1))
SIZES = (4, 5, 5, 5, 3)
SHARES = np.array([0.5, 0.1, 0.4])
#: Graphs of four layers, and the pairs in them that are identities.
RESIDUAL = {
    "past a layer": ((*ROW, (1, 3), (3, 1)), {(1, 3), (3, 1)}),
    "past a layer, forward": ((*ROW, (1, 3)), {(1, 3)}),
    "alone": (
        ((0, 1), (0, 2), (1, 2), (2, 1), (2, 3), (3, 2), (3, 4), (4, 3)),
        {(1, 2), (2, 1)},
    ),
}
GAMMA = 0.25


def residual_net(name, activation, *, tied=False, seed=0):
    """Random weights; identities have the weight 1 forward and GAMMA back."""
    graph, identities = RESIDUAL[name]
    net = random_graph_net(graph, activation, SIZES, tied=tied, strength=0.5, seed=seed)
    for pairs, blocks, weight in (
        (net.forward_pairs, net.coefs, 1.0),
        (net.feedback_pairs, net.feedback or (), GAMMA),
    ):
        for index, pair in enumerate(pairs):
            if pair in identities and blocks:
                blocks[index] = weight * np.eye(5)
    strengths = [GAMMA if pair in identities else 0.5 for pair in net.feedback_pairs]
    net = GraphNet(
        activation, graph, net.coefs, net.biases, net.feedback, strengths if tied else None
    )
    net.identities = frozenset(identities)
    return net


def learned(net, theta):
    """The part of a parameter vector that is no identity."""
    pairs = [*net.forward_pairs, *(net.feedback_pairs if net.feedback else ())]
    kept = [
        part for pair, part in zip(pairs, net.parts(), strict=False) if pair not in net.identities
    ]
    return np.concatenate([theta[part] for part in [*kept, *net.parts()[len(pairs) :]]])


def cosine(one, other):
    return one @ other / (np.linalg.norm(one) * np.linalg.norm(other))


CASES = [
    (name, tied) for name in RESIDUAL for tied in (False, True) if "forward" not in name or not tied
]
CASES = pytest.mark.parametrize(("name", "tied"), CASES)


@CASES
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_equilibria_are_those_of_the_dense_network(name, tied, method, activation):
    net = residual_net(name, activation, tied=tied)
    X, _ = random_task(3, SIZES)
    result = settle(net, X, method, max_iter=20_000)
    assert result.converged.all()
    assert np.abs(joined(result.states) - net.equilibrium(X)).max() < 1e-11


@CASES
@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("gradient", ["recurrent_backprop", "asymmetric"])
def test_exact_rules_follow_finite_differences(name, tied, gradient, activation):
    net = residual_net(name, activation, tied=tied)
    X, Y = random_task(3, SIZES)
    assert net.margin(net.equilibrium(X), X) > 1e-3
    truth = -learned(net, net.gradient(X, "squared_error", Y, SHARES))
    found = update(net, X, Y, "squared_error", 1e-4, SHARES, "centered", gradient=gradient)
    assert np.abs(truth).max() > 0.02
    assert np.abs(found - truth).max() < 5e-8
    assert cosine(found, truth) > 0.9999999


@pytest.mark.parametrize("name", RESIDUAL)
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_the_vector_field_update_is_theorem_1(name, activation):
    net = residual_net(name, activation)
    X, Y = random_task(3, SIZES)
    truth = learned(net, net.theorem_1(X, "squared_error", Y, SHARES))
    found = update(net, X, Y, "squared_error", 1e-4, SHARES, "centered")
    assert np.abs(truth).max() > 0.02
    assert np.abs(found - truth).max() < 1e-7


def test_the_update_follows_the_gradient_if_feedback_is_transposed():
    # With γ² = 1/4 for the identity, it carries as much as the two connections beside it.
    net = residual_net("past a layer", "relu", seed=3)
    net.feedback = [
        GAMMA * np.eye(5) if pair in net.identities else 0.5 * net.block_of(pair[::-1]).T
        for pair in net.feedback_pairs
    ]
    net.W = net._unit_by_unit()
    X, Y = random_task(3, SIZES)
    truth = -net.gradient(X, "squared_error", Y, SHARES)
    found = net.theorem_1(X, "squared_error", Y, SHARES)
    mine = update(net, X, Y, "squared_error", 1e-4, SHARES, "centered")
    assert np.abs(mine - learned(net, found)).max() < 1e-7
    for pair, part in zip(net.forward_pairs, net.parts(), strict=False):
        assert cosine(found[part], truth[part]) > 1 - 1e-9, pair


@CASES
@pytest.mark.parametrize("learning", ["local", "kolen_pollack", "fixed"])
def test_training_changes_no_identity(name, tied, learning):
    net = residual_net(name, "relu", tied=tied)
    trainer = trainer_of(net, learning_rates=(0.1,) * 4, feedback_learning=learning, alpha=0.1)
    X, Y = random_task(3, SIZES)
    before = joined(settle(net, X, "gauss_seidel").states)
    trainer.train_on(X, Y, None, 1.0, np.random.RandomState(0))
    network = trainer.network
    for connection in (*network.forward, *network.feedback):
        if (connection.source, connection.target) in net.identities:
            rows = np.arange(10.0).reshape(2, 5)
            factor = 1.0 if connection.source < connection.target else GAMMA
            assert_array_equal(connection.apply(rows), factor * rows)
    after = joined(trainer.substrate.settle(X).result.states)
    assert np.abs(after - before).max() > 1e-3


# ---- the strength of feedback ----------------------------------------------------------------


def test_the_guard_counts_identities():
    net = residual_net("past a layer", "relu")
    net.feedback = [20 * block for block in net.feedback]
    network = network_of(net)
    guard = LoopGainGuard(network, 0.25)
    for _ in range(10):
        guard.enforce(20)
    strengths = dict(zip(net.feedback_pairs, network.feedback_blocks, strict=True))
    net.feedback = [
        block * np.eye(5) if pair in net.identities else block for pair, block in strengths.items()
    ]
    assert 0.2 < radius(net.norms()) / math.sqrt(0.25) < 1 + 1e-3
    # The identity leads down by two levels, and shrinks by the square.
    before = residual_net("past a layer", "relu").feedback
    factor = strengths[2, 1][0, 0] / (20 * before[net.feedback_pairs.index((2, 1))][0, 0])
    assert factor < 0.5
    assert float(strengths[3, 1]) == pytest.approx(20 * GAMMA * factor**2, rel=1e-12)


def test_gains_and_norms_are_those_of_the_matrix():
    net = residual_net("past a layer", "relu")
    network = network_of(net)
    gains = dict(zip(net.feedback_pairs, feedback_gains(network), strict=True))
    assert gains[3, 1] == pytest.approx(GAMMA)
    identity = network.forward[net.forward_pairs.index((1, 3))]
    assert isinstance(identity, Identity)
    assert spectral_norm(identity, np.dtype(float)) == pytest.approx(1.0)
    factors = np.linalg.inv(np.eye(4) - net.norms())
    assert error_factors(network) == pytest.approx(factors, rel=0.2)
    carried = attenuations(network.wiring, list(gains.values()))
    assert carried[0] == pytest.approx(max(GAMMA, gains[2, 1] * gains[3, 2]) * gains[4, 3])
    dense = GraphNet("relu", net.connections, net.coefs, net.biases, net.feedback)
    assert arrival_scales(network) == pytest.approx(arrival_scales(network_of(dense)))


def test_an_identity_starts_at_the_strength_of_the_feedback_beside_it():
    graph, identities = RESIDUAL["past a layer"]
    wiring = Wiring.of(graph, identities)
    for way in ("transpose", "independent"):
        coefs, _, feedback = initial_weights(
            SIZES,
            wiring,
            feedback_init=way,
            feedback_scale=0.3,
            rng=np.random.RandomState(0),
            dtype=np.float32,
        )
        assert coefs[wiring.forward.index((1, 3))].shape == (0,)
        strength = feedback[wiring.feedback.index((3, 1))]
        assert strength.shape == ()
        assert strength == np.float32(0.09)


def test_kernels_that_an_identity_adds_to_start_at_half_the_range():
    hidden = (Conv2D(8, 3, padding="same"),) * 3
    pairs = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 3), (3, 2), (2, 1), (1, 3), (3, 1)]

    def largest(identities, way):
        wiring = Wiring.of(pairs, identities)
        layout = layout_of(wiring, (4, 4, 8), hidden, 2)
        coefs, _, feedback = initial_weights(
            layout.sizes,
            wiring,
            feedback_init=way,
            feedback_scale=0.5,
            rng=np.random.RandomState(0),
            dtype=np.float64,
            layout=layout,
        )
        blocks = dict(zip(wiring.pairs, [*coefs, *feedback], strict=True))
        return {pair: np.abs(block).max() for pair, block in blocks.items() if block.ndim == 4}

    for way in ("transpose", "independent"):
        plain, residual = largest((), way), largest({(1, 3), (3, 1)}, way)
        for pair, bound in residual.items():
            factor = 0.5 if max(pair) == 3 else 1.0
            assert bound == pytest.approx(factor * plain[pair], rel=0.02), pair


# ---- maps ------------------------------------------------------------------------------------

#: Kernels of 3 x 3 on maps of 3 x 3, an identity past a layer, and a shortcut that halves the maps.
MAP = Conv2D(2, 3, padding="same")
HIDDEN = (MAP, MAP, MAP, Conv2D(2, 3, stride=2, padding="same"), MAP)
SHORTCUT = Conv2D(2, 1, stride=2)
MAPS = (
    *((layer - 1, layer) for layer in range(1, 7)),
    *((layer + 1, layer) for layer in range(1, 6)),
    *((1, 3), (3, 1), (3, 5), (5, 3)),
)
LAYERS = {
    (0, 1): ConvLayer((3, 3, 1), (3, 3, 2), (3, 3), pad=1),
    (1, 2): ConvLayer((3, 3, 2), (3, 3, 2), (3, 3), pad=1),
    (2, 3): ConvLayer((3, 3, 2), (3, 3, 2), (3, 3), pad=1),
    (3, 4): ConvLayer((3, 3, 2), (2, 2, 2), (3, 3), stride=2, pad=1),
    (3, 5): ConvLayer((3, 3, 2), (2, 2, 2), (1, 1), stride=2),
    (4, 5): ConvLayer((2, 2, 2), (2, 2, 2), (3, 3), pad=1),
}


class Maps:
    """A residual network of maps in the package, and written out as a dense graph."""

    def __init__(self, seed=0):
        rng = np.random.RandomState(seed)
        self.wiring = Wiring.of(MAPS, {(1, 3), (3, 1)})
        self.layout = layout_of(self.wiring, (3, 3, 1), HIDDEN, 2, {(3, 5): SHORTCUT})
        self.coefs = []
        for pair in self.wiring.forward:
            shape = self.layout.weight_shape(pair)
            n_inputs = max(np.prod(shape[:-1]), 1)
            self.coefs.append(0.5 * rng.standard_normal(shape) / np.sqrt(n_inputs))
        self.biases = [0.4 + 0.1 * rng.standard_normal(n) for (n,) in self.layout.bias_shapes]
        self.feedback = []
        for pair, partner in zip(self.wiring.feedback, self.wiring.partners, strict=True):
            coef = self.coefs[partner]
            other = (
                0.2 * rng.standard_normal(coef.shape) / np.sqrt(max(np.prod(coef.shape[:-1]), 1))
            )
            mixed = 0.3 * (coef + other)
            self.feedback.append(mixed.T if mixed.ndim == 2 else mixed)
            if pair == (3, 1):
                self.feedback[-1] = np.array(0.09)

    def network(self):
        return wired_network(
            self.wiring,
            self.coefs,
            self.biases,
            self.feedback,
            activation="relu",
            backend=NumpyBackend(),
            layout=self.layout,
        )

    def dense(self):
        def matrix(pair, weights):
            if pair in self.wiring.identities:
                return np.eye(18) * (weights if weights.ndim == 0 else 1.0)
            if pair in LAYERS:
                return LAYERS[pair].matrix(weights)
            if pair[::-1] in LAYERS:
                return LAYERS[pair[::-1]].matrix(weights).T
            return weights

        forward = [matrix(*of) for of in zip(self.wiring.forward, self.coefs, strict=True)]
        back = [matrix(*of) for of in zip(self.wiring.feedback, self.feedback, strict=True)]
        sizes = self.layout.sizes[1:]
        biases = [np.tile(b, n // b.size) for b, n in zip(self.biases, sizes, strict=True)]
        return GraphNet("relu", MAPS, forward, biases, back)

    def task(self):
        rng = np.random.RandomState(1)
        return rng.standard_normal((3, 9)), rng.standard_normal((3, 2))


def test_maps_settle_as_the_dense_network_does():
    maps = Maps()
    X, _ = maps.task()
    limits = SettlingLimits(1e-13, 1e-13, 5000, 5000)
    substrate = SimulatedNetwork(maps.network(), RELAXATIONS["gauss_seidel"](1.0), limits)
    states = joined(substrate.settle(X).result.states)
    assert np.abs(states - maps.dense().equilibrium(X)).max() < 1e-11
    assert (states > 0).mean() < 0.99


@pytest.mark.parametrize("gradient", ["recurrent_backprop", "asymmetric"])
def test_exact_rules_follow_finite_differences_in_maps(gradient):
    maps = Maps()
    X, Y = maps.task()
    limits = SettlingLimits(1e-13, 1e-13, 5000, 5000)
    substrate = SimulatedNetwork(maps.network(), RELAXATIONS["gauss_seidel"](1.0), limits)
    rule = RULES[gradient](NUDGINGS["centered"], 1e-4)
    batch = Minibatch(X, Y, SquaredError(), SHARES[:, None], np.random.RandomState(0))
    changes = rule.credit(substrate, batch).changes
    start = maps.dense().equilibrium(X)
    for block, change in zip([*maps.coefs, *maps.feedback, *maps.biases], changes, strict=True):
        if block.size > 1:
            assert np.abs(change + _slopes(maps, block, X, Y, start)).max() < 1e-7


def _slopes(maps, block, X, Y, start, step=1e-6):
    slopes = np.empty_like(block)
    for index in np.ndindex(block.shape):
        kept, values = block[index], []
        for sign in (1, -1):
            block[index] = kept + sign * step
            values.append(maps.dense().objective(X, "squared_error", Y, SHARES, start))
        block[index] = kept
        slopes[index] = (values[0] - values[1]) / (2 * step)
    return slopes


def test_a_layer_that_identities_alone_drive_has_no_kernels():
    wiring = Wiring.of([(0, 1), (1, 2), (2, 3)], {(1, 2)})
    with pytest.raises(ValueError, match=r"Layer 2, Conv2D.* driven by identities alone"):
        layout_of(wiring, (3, 3, 1), (MAP, MAP), 2)


def test_layers_of_different_shapes_are_refused():
    wiring = Wiring.of([(0, 1), (1, 2), (2, 3), (1, 3)], {(1, 3)})
    hidden = (MAP, MAP, Conv2D(4, 1))
    with pytest.raises(ValueError, match=r"layer 1 to layer 3 .*\(3, 3, 2\) and \(3, 3, 4\)"):
        layout_of(Wiring.of([*wiring.pairs, (3, 4)], {(1, 3)}), (3, 3, 1), hidden, 2)
