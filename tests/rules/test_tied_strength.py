"""Tied feedback B = γ F^T: exact updates and falling energy, by dense algebra and differences."""

import functools

import numpy as np
import pytest

from sklearn_eqprop._network import attenuations, feedback_gains
from sklearn_eqprop._relaxation import FreeField
from tests import conv_engine
from tests.conv_engine import STACKS, random_conv_net
from tests.dense_graph import CHAIN, GraphNet, random_graph_net
from tests.dense_truth import ACTIVATIONS, CLIPPED, DenseNet, random_net, random_task
from tests.engine import joined, network_of, rule_of, settle, update
from tests.rules.test_conv_gradients import credit_of

SIZES = (4, 5, 6, 4, 3)
GAMMAS = [0.3, 0.7, 0.15]
SHARES = np.array([0.5, 0.1, 0.4])
#: Layer 2 of each graph is skipped by a connection and its feedback, or lies beside layer 1.
GRAPHS = {
    "skip": (*CHAIN, (1, 3), (3, 1), (0, 2)),
    "side by side": ((0, 1), (0, 2), (1, 3), (2, 3), (3, 1), (3, 2)),
}
STRENGTHS = {"skip": [0.3, 0.3 * 0.2, 0.2], "side by side": [0.3, 0.2]}
RULES = ("vector_field", "recurrent_backprop", "asymmetric")


@functools.cache
def _problem(kind, activation, loss):
    """A tied network without a unit near a kink, a task, and -dJ/dθ by finite differences."""
    for seed in range(20):
        if kind == "row":
            drawn = random_net(SIZES, activation, tied=True, gain=0.9, seed=seed)
            net = DenseNet(activation, drawn.coefs, drawn.biases, strengths=GAMMAS)
        else:
            net = random_graph_net(GRAPHS[kind], activation, tied=True, strength=0.9, seed=seed)
            net = GraphNet(activation, GRAPHS[kind], net.coefs, net.biases, None, STRENGTHS[kind])
        X, Y = random_task(3, (net.coefs[0].shape[0], net.biases[-1].size), loss, seed)
        free = net.equilibrium(X)
        inside = net.interior(free)[:, net.hidden]
        mixed = activation not in CLIPPED or (inside.any() and not inside.all())
        if net.margin(free, X) > 1e-3 and mixed:
            return net, X, Y, -net.gradient(X, loss, Y, SHARES)
    raise AssertionError((kind, activation))


def _blocks(net, vector):
    ends = np.cumsum([block.size for block in net.blocks()])
    return np.split(vector, ends[:-1])


def _assert_exact(found, truth):
    for block, expected in zip(found, truth, strict=True):
        size = np.linalg.norm(expected)
        assert size > 1e-6
        cosine = np.vdot(block, expected) / (np.linalg.norm(block) * size)
        assert cosine > 0.9999999
        assert np.linalg.norm(block) == pytest.approx(size, rel=1e-5)


@pytest.mark.parametrize("loss", ["squared_error", "log_loss"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("kind", ["row", *GRAPHS])
@pytest.mark.parametrize("gradient", RULES)
def test_every_block_follows_the_gradient(gradient, kind, activation, loss):
    net, X, Y, truth = _problem(kind, activation, loss)
    rule = rule_of(gradient)
    coordinates = "rate" if rule.attenuated else "state"
    found = update(
        net, X, Y, loss, 1e-4, SHARES, "centered", gradient=gradient, coordinates=coordinates
    )
    network = network_of(net)
    scales = [1.0] * net.n_layers
    if rule.attenuated:
        scales = attenuations(network.wiring, feedback_gains(network))
    blocks = [
        block / scales[parameter.layer - 1]
        for block, parameter in zip(_blocks(net, found), network.parameters(), strict=True)
    ]
    _assert_exact(blocks, _blocks(net, truth))


@pytest.mark.parametrize("gradient", RULES)
@pytest.mark.parametrize("stack", STACKS)
def test_convolutions_follow_the_gradient(stack, gradient):
    net = random_conv_net(stack, tied=True)
    net.strengths = [np.array(strength) for strength in (0.4, 0.6, 0.3)]
    X, Y = conv_engine.task()
    rule = rule_of(gradient)
    substrate = conv_engine.substrate_of(net, stack, attenuated=rule.attenuated)
    credit = credit_of(rule, substrate, X, Y)
    network = substrate.network
    scales = [1.0] * network.n_layers
    if rule.attenuated:
        scales = attenuations(network.wiring, feedback_gains(network))
    slopes = net.gradient(X, Y, joined(credit.free.result.states))
    for parameter, change, slope in zip(network.parameters(), credit.changes, slopes, strict=True):
        change = change / scales[parameter.layer - 1]
        np.testing.assert_allclose(change, -slope, rtol=1e-6, atol=1e-6)


def _potential(activation, s):
    """∫ s dρ(s) from 0 to the states, which are in their range."""
    if activation == "tanh":
        return s * np.tanh(s) - np.logaddexp(s, -s) + np.log(2)
    if activation == "logistic":
        return s / (1 + np.exp(-s)) - np.logaddexp(0, s) + np.log(2)
    return s**2 / 2


def dense_energy(net, levels, S, X):
    """E = Σ c_l (Σ ∫ s dρ - b · ρ) - Σ c_target ρ_source F ρ_target, for every sample."""
    states, rates = net.split(S), [X, *net.split(net.rho(S))]
    total = 0.0
    last = net.n_layers
    for layer, c in levels.items():
        kind = net.activation if layer < last else "identity"
        own = _potential(kind, states[layer - 1]) - net.biases[layer - 1] * rates[layer]
        total = total + c * own.sum(axis=1)
    for source, target in net.connections:
        if source < target:
            weights = net.coefs[target - 1] if type(net) is DenseNet else None
            weights = net.block_of((source, target)) if weights is None else weights
            product = np.einsum("ni,ij,nj->n", rates[source], weights, rates[target])
            total = total - levels[target] * product
    return total


LEVELS = {
    "row": {1: 1, 2: 0.3, 3: 0.21, 4: 0.0315},
    "skip": {1: 1, 2: 0.3, 3: 0.06},
    "side by side": {1: 1, 2: 1.5, 3: 0.3},
}


@pytest.mark.parametrize("method", ["gauss_seidel", "euler"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("kind", ["row", *GRAPHS])
def test_energy_falls_in_every_step(kind, activation, method):
    net, X, *_ = _problem(kind, activation, "squared_error")
    step_size = 1.0 if method == "gauss_seidel" else 0.3
    start = np.random.RandomState(3).uniform(0, 0.9, (3, net.ends[-1]))
    energies = []
    for n_steps in range(1, 25):
        result = settle(
            net,
            X,
            method,
            step_size=step_size,
            tolerance=1e-300,
            max_iter=n_steps,
            start=net.split(start),
        )
        energies.append(dense_energy(net, LEVELS[kind], joined(result.states), X))
    energies = np.array([dense_energy(net, LEVELS[kind], start, X), *energies])
    assert (np.diff(energies, axis=0) <= 1e-13).all()
    assert (energies[0] - energies[-1] > 1e-3).all()
    lowest = dense_energy(net, LEVELS[kind], net.equilibrium(X), X)
    assert (energies[-1] - lowest >= -1e-13).all()


def test_a_strength_of_one_is_the_network_of_2017():
    # The Hopfield energy: the same drives as with feedback F^T written out.
    drawn = random_net(SIZES, "hard_sigmoid", tied=True)
    ones = DenseNet("hard_sigmoid", drawn.coefs, drawn.biases, strengths=[1.0] * 3)
    transposes = [coef.T for coef in drawn.coefs[1:]]
    other = DenseNet("hard_sigmoid", drawn.coefs, drawn.biases, transposes)
    X, _ = random_task(3, SIZES)
    results = [settle(net, X, "gauss_seidel") for net in (ones, other)]
    np.testing.assert_array_equal(*(joined(result.states) for result in results))


def test_the_field_is_the_slope_of_the_energy():
    # -(1/c_l) ∂E/∂ρ_l = μ_l for every unit, by differences.
    net, X, *_ = _problem("skip", "tanh", "squared_error")
    S = np.random.RandomState(0).standard_normal((3, net.ends[-1]))
    network = network_of(net)
    field = FreeField(network, network.clamp(X), 3)
    rates = network.rates(net.split(S))
    drives = joined([field.drive(layer, rates) for layer in range(1, net.n_layers + 1)])
    for unit in range(net.ends[-1]):
        layer = int(np.searchsorted(net.ends, unit, side="right"))
        moved = [S.copy(), S.copy()]
        for state, sign in zip(moved, (1, -1), strict=True):
            state[:, unit] += sign * 1e-5
        values = [dense_energy(net, LEVELS["skip"], state, X) for state in moved]
        spans = [net.rho(state)[:, unit] for state in moved]
        slope = (values[0] - values[1]) / (spans[0] - spans[1])
        mu = drives[:, unit] - S[:, unit]
        np.testing.assert_allclose(-slope / LEVELS["skip"][layer], mu, rtol=0, atol=1e-8)
