"""Continual plasticity against the loop of Eqs. 2, 5 and 77 written out with moving weights."""

import numpy as np
import pytest

from sklearn_eqprop._backend import NumpyBackend
from sklearn_eqprop._feedback import FEEDBACK_WAYS
from sklearn_eqprop._network import attenuations, feedback_gains
from sklearn_eqprop._relaxation import RELAXATIONS
from sklearn_eqprop._rules.base import Minibatch
from sklearn_eqprop._rules.continual import ContinualRule
from sklearn_eqprop._rules.vector_field import NUDGINGS
from sklearn_eqprop._substrates.limits import SettlingLimits
from sklearn_eqprop._substrates.simulated import SimulatedNetwork
from sklearn_eqprop._training.adam import Adam
from sklearn_eqprop._training.sgd import SGD
from sklearn_eqprop._training.trainer import (
    PLASTICITY_GAIN,
    LearningSettings,
    Trainer,
    trained_parameters,
)
from tests.dense_graph import CHAIN, GRAPHS, random_graph_net
from tests.dense_truth import ALL_LOSSES, DenseNet, random_net, random_task
from tests.engine import ALL_LOSSES as LOSSES
from tests.engine import joined, network_of, update

SIZES = (4, 6, 5, 3)
RATES = (0.012, 0.008, 0.006)
#: Layer that each block of an untied network drives, counted from 0.
LAYERS = (0, 1, 2, 0, 1, 0, 1, 2)
TIED_GRAPH = (*CHAIN, (0, 2), (1, 3), (3, 1))
EPSILON = 0.5
N_STEPS = 12


def _trainer(net, loss, beta, *, nudging="one_sided", optimizer=None, n_steps=N_STEPS, **settings):
    settings = {
        "learning_rates": RATES,
        "alpha": 0.0,
        "feedback_learning": "local",
        "layerwise_rescale": False,
        **settings,
    }
    settings["feedback_learning"] = FEEDBACK_WAYS[settings["feedback_learning"]]()
    # Rounding ends no phase: a tolerance of 0 would count as one of rounding.
    limits = SettlingLimits(1e-14, 1e-14, 5000, n_steps)
    network = network_of(net)
    substrate = SimulatedNetwork(network, RELAXATIONS["gauss_seidel"](EPSILON), limits)
    blocks = trained_parameters(network, settings["feedback_learning"])
    return Trainer(
        substrate,
        network,
        ContinualRule(NUDGINGS[nudging], beta),
        LOSSES[loss],
        optimizer or SGD(blocks, network.backend),
        None,
        LearningSettings(**settings),
    )


def _literal(net, X, Y, loss, strengths, rates, scales=None):
    """Weights move in every step of s <- clip(s + ε μ^β(s)); returns the blocks at the end."""
    blocks = [block.copy() for block in net.blocks()]
    n, depth = len(X), net.n_layers
    scales = scales or [1.0] * depth
    start = net.equilibrium(X)
    n_weights = len(blocks) - depth
    targets = [target for _, target in net.connections[:n_weights]] + list(range(1, depth + 1))
    for beta in strengths:
        S = start
        for _ in range(N_STEPS):
            now = net.with_theta(np.concatenate([block.ravel() for block in blocks]))
            new = np.clip(S + EPSILON * now.field(S, X, loss, Y, beta), net.low, net.high)
            deltas = net.split((new - S) / (n * beta * len(strengths)))
            pre = [X, *net.split(net.rho(S))]
            of_pair = {(j, i): pre[j].T @ deltas[i - 1] for j, i in net.connections}
            if net.feedback is None:  # what a connection backwards measures moves its partner
                for j, i in [pair for pair in of_pair if pair[0] > pair[1]]:
                    of_pair[i, j] += of_pair.pop((j, i)).T
            changes = [*of_pair.values(), *(delta.sum(axis=0) for delta in deltas)]
            for block, change, target in zip(blocks, changes, targets, strict=True):
                block += rates[target - 1] / scales[target - 1] * change
            S = new
    return blocks


def _assert_same(trainer, X, Y, truth, accuracy=1e-12):
    trainer.train_on(X, Y, None, 1.0, np.random.RandomState(0))
    for parameter, block in zip(trainer.network.parameters(), truth, strict=True):
        assert np.abs(parameter.array - block).max() < accuracy


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("loss", ["squared_error", "log_loss", "huber"])
@pytest.mark.parametrize("activation", ["tanh", "hard_sigmoid", "relu"])
def test_plain_sgd_is_the_literal_loop(activation, loss, tied):
    net = random_net(SIZES, activation, tied=tied, gain=0.6, loop=0.4)
    X, Y = random_task(4, SIZES, loss)
    truth = _literal(net, X, Y, loss, (0.5,), RATES)
    _assert_same(_trainer(net, loss, 0.5), X, Y, truth)
    # The weights do move on the way: frozen ones end elsewhere.
    frozen = ContinualRule(NUDGINGS["one_sided"], 0.5).credit(
        _trainer(net, loss, 0.5).substrate,
        Minibatch(X, Y, LOSSES[loss], 0.25, np.random.RandomState(0)),
    )
    end = net.coefs[0] + RATES[0] * frozen.changes[0]
    assert np.abs(end - truth[0]).max() > 1e-6


def test_centred_nudging_runs_both_signs_in_turn():
    net = random_net(SIZES, "tanh", gain=0.6, loop=0.4)
    X, Y = random_task(4, SIZES)
    truth = _literal(net, X, Y, "squared_error", (0.5, -0.5), RATES)
    _assert_same(_trainer(net, "squared_error", 0.5, nudging="centered"), X, Y, truth)


@pytest.mark.parametrize("strengths", [(0.5,), (0.5, -0.5)], ids=["one_sided", "centered"])
@pytest.mark.parametrize("loss", ["squared_error", "log_loss", "huber"])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("graph", GRAPHS)
def test_any_graph_is_the_literal_loop(graph, activation, loss, strengths):
    net = random_graph_net(GRAPHS[graph], activation, SIZES)
    X, Y = random_task(4, SIZES, loss)
    truth = _literal(net, X, Y, loss, strengths, RATES)
    nudging = "centered" if len(strengths) > 1 else "one_sided"
    _assert_same(_trainer(net, loss, 0.5, nudging=nudging), X, Y, truth)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_a_tied_graph_is_the_literal_loop(activation):
    net = random_graph_net(TIED_GRAPH, activation, SIZES, tied=True)
    X, Y = random_task(4, SIZES)
    truth = _literal(net, X, Y, "squared_error", (0.5,), RATES)
    _assert_same(_trainer(net, "squared_error", 0.5), X, Y, truth)


def test_rescaled_layers_move_at_their_own_scale():
    net = random_net(SIZES, "tanh", gain=0.6, loop=0.25)
    X, Y = random_task(4, SIZES)
    settings = {"layerwise_rescale": True, "feedback_learning": "fixed"}
    trainer = _trainer(net, "squared_error", 0.5, **settings)
    scales = attenuations(trainer.network.wiring, feedback_gains(trainer.network))
    assert scales[0] < 0.8
    truth = _literal_with_fixed_feedback(net, X, Y, RATES, scales)
    _assert_same(trainer, X, Y, truth)


def _literal_with_fixed_feedback(net, X, Y, rates, scales):
    """`_literal`, less the moves of feedback: written as a loop of its own, one step each."""
    blocks = [block.copy() for block in net.blocks()]
    depth = net.n_layers
    S = net.equilibrium(X)
    for _ in range(N_STEPS):
        now = DenseNet(net.activation, blocks[:depth], blocks[2 * depth - 1 :], net.feedback)
        new = S + EPSILON * now.field(S, X, "squared_error", Y, 0.5)
        deltas = net.split((new - S) / (4 * 0.5))
        pre = [X, *net.split(net.rho(S))]
        for layer, delta in enumerate(deltas):
            blocks[layer] += rates[layer] / scales[layer] * (pre[layer].T @ delta)
            blocks[2 * depth - 1 + layer] += rates[layer] / scales[layer] * delta.sum(axis=0)
        S = new
    return blocks


def _continual_update(net, X, Y, loss, rate, beta):
    """What the rule hands to the optimiser when weights move at a rate on the way."""
    trainer = _trainer(net, loss, beta, learning_rates=(rate,) * 3, n_steps=400)
    before = [block.copy() for block in net.blocks()]
    trainer.train_on(X, Y, None, 1.0, np.random.RandomState(0))
    parameters = trainer.network.parameters()
    moves = [(p.array - block) / rate for p, block in zip(parameters, before, strict=True)]
    return np.concatenate([move.ravel() for move in moves])


@pytest.mark.parametrize("loss", ["squared_error", "log_loss"])
def test_slow_weights_follow_the_two_phase_rule_to_the_order_of_the_rate(loss):
    net = random_net(SIZES, "tanh", gain=0.6, loop=0.4)
    X, Y = random_task(4, SIZES, loss)
    beta = 1e-3
    shares = np.full(4, 0.25)
    truth = net.theorem_1(X, loss, Y, shares)
    rates = np.array([8e-6, 4e-6, 2e-6])
    found = [_continual_update(net, X, Y, loss, rate, beta) for rate in rates]
    # The limit of a vanishing rate differs from ν by O(β): measured from the slowest weights.
    still = _continual_update(net, X, Y, loss, 1e-9, beta)
    assert np.linalg.norm(still - truth) < 5 * beta * np.linalg.norm(truth)
    errors = [np.linalg.norm(one - still) for one in found]
    assert abs(np.polyfit(np.log(rates), np.log(errors), 1)[0] - 1) < 0.05
    two_phase = update(net, X, Y, loss, beta, shares)
    assert np.linalg.norm(still - two_phase) < 5 * beta * np.linalg.norm(truth)


def test_the_error_is_the_rate_divided_by_beta():
    # States drift as the weights move, and the drift is divided by β with all the rest.
    net = random_net(SIZES, "tanh", gain=0.6, loop=0.4)
    X, Y = random_task(4, SIZES)
    betas = np.array([4e-3, 2e-3, 1e-3])
    errors = []
    for beta in betas:
        moving, still = (
            _continual_update(net, X, Y, "squared_error", rate, beta) for rate in (1e-6, 1e-9)
        )
        errors.append(np.linalg.norm(moving - still))
    assert abs(np.polyfit(np.log(betas), np.log(errors), 1)[0] + 1) < 0.05


def test_leverage_bounds_how_far_moving_weights_move_the_states():
    net = random_net(SIZES, "tanh", gain=0.6, loop=0.4)
    X, Y = random_task(4, SIZES)
    share = np.array([[0.5], [0.1], [0.15], [0.25]]) / -0.5
    substrate = _trainer(net, "squared_error", -0.5).substrate
    flow = substrate.flow(substrate.settle(X), LOSSES["squared_error"], Y, -0.5, share)
    layers = [X, *net.split(net.rho(net.equilibrium(X)))]
    sources = [(0, 2), (1, 3), (2,)]
    for found, ends in zip(flow.leverages, sources, strict=True):
        pre = np.hstack([layers[end] for end in ends] + [np.ones((4, 1))])
        assert abs(found - np.abs(share).T @ (pre**2).sum(axis=1)) < 1e-12
        moved = np.linalg.norm(pre @ pre.T @ np.diag(share.ravel()), 2)
        assert moved <= found * np.sqrt(5)  # the norm of a product with unequal shares


def test_weights_that_would_run_away_with_the_states_are_held_back():
    # A rate at which the literal loop diverges: the phase moves weights at the rate allowed, and
    # the learning rate is that of the total.
    net = random_net(SIZES, "tanh", gain=0.6, loop=0.4)
    X, Y = random_task(4, SIZES)
    rate, beta = 3.0, 0.5
    with np.errstate(all="ignore"):
        literal = _literal(net, X, Y, "squared_error", (beta,), (rate,) * 3)
    layers = [X, *net.split(net.rho(net.equilibrium(X)))]
    allowed = []
    for ends in ((0, 2), (1, 3), (2,)):
        squares = 1 + sum((layers[end] ** 2).sum(axis=1) for end in ends)
        allowed.append(PLASTICITY_GAIN * beta / squares.mean())
    held_back = _literal(net, X, Y, "squared_error", (beta,), allowed)
    truth = [
        block + rate / allowed[layer] * (end - block)
        for block, end, layer in zip(net.blocks(), held_back, LAYERS, strict=True)
    ]
    assert np.abs(literal[0]).max() > 10 * np.abs(truth[0]).max()
    _assert_same(_trainer(net, "squared_error", beta, learning_rates=(rate,) * 3), X, Y, truth)


def test_other_optimisers_are_handed_the_total():
    net = random_net(SIZES, "tanh", gain=0.6, loop=0.4)
    X, Y = random_task(4, SIZES)
    total = [
        (end - block) / RATES[layer]
        for block, end, layer in zip(
            net.blocks(),
            _literal(net, X, Y, "squared_error", (0.5,), RATES),
            LAYERS,
            strict=True,
        )
    ]
    zeros = [np.zeros_like(block) for block in net.blocks()]
    adam = Adam(zeros, NumpyBackend())
    adam.begin_update()
    truth = [
        block + adam.step(adam.memory_of(index), change.copy(), RATES[layer])
        for index, (block, change, layer) in enumerate(
            zip(net.blocks(), total, LAYERS, strict=True)
        )
    ]
    trainer = _trainer(net, "squared_error", 0.5, optimizer=Adam(zeros, NumpyBackend()))
    _assert_same(trainer, X, Y, truth, accuracy=1e-8)


def test_the_phase_is_reported():
    net = random_net(SIZES, "tanh", gain=0.6, loop=0.4)
    X, Y = random_task(4, SIZES, "poisson")
    rule = ContinualRule(NUDGINGS["centered"], 0.5)
    substrate = _trainer(net, "poisson", 0.5, n_steps=500).substrate
    batch = Minibatch(X, Y, LOSSES["poisson"], 0.25, np.random.RandomState(0))
    credit = rule.credit(substrate, batch)
    slope = ALL_LOSSES["poisson"][1](credit.free.result.states[-1], Y)
    for result, beta in zip(credit.nudged, (0.5, -0.5), strict=True):
        assert result.converged.all()
        assert 10 < result.n_steps.max() < 500
        S = joined(result.states) + joined(credit.free.result.states)
        balance = net.drive(S, X) - S  # a loss of unbounded curvature: the force is held
        balance[:, net.span(3)] -= beta * slope
        assert np.abs(balance).max() < 1e-12
    cut = _trainer(net, "poisson", 0.5, n_steps=3).substrate
    result = rule.credit(cut, batch).nudged[0]
    assert not result.converged.any()
    assert (result.n_steps == 3).all()
