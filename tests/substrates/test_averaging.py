"""Averages along trajectories against plain loops, fixed points and finite differences."""

import numpy as np
import pytest

from sklearn_eqprop._relaxation import RUNAWAY
from sklearn_eqprop._rules.base import Minibatch
from sklearn_eqprop._rules.vector_field import NUDGINGS, VectorFieldRule
from sklearn_eqprop._substrates.averaging import AveragingNetwork, RunLengths
from tests.dense_graph import CHAIN, GRAPHS, GraphNet, random_graph_net
from tests.dense_truth import random_task
from tests.engine import ALL_LOSSES as LOSSES
from tests.engine import joined, network_of, update
from tests.trajectories import (
    RINGING,
    after_transient,
    average_loss,
    ringing_net,
    run,
    swing,
)

SIZES = (4, 5, 6, 3)
EPSILON = 0.3
STRENGTHS = {"one_sided": (0.4,), "centered": (0.4, -0.4)}
SHARES = np.array([[0.5], [0.1], [0.15], [0.25]])


def _substrate(net, lengths, step_size=EPSILON, **options):
    return AveragingNetwork(network_of(net), step_size, RunLengths(*lengths), **options)


def _credit(substrate, X, Y, loss="squared_error", nudging="centered", beta=0.4, shares=SHARES):
    rule = VectorFieldRule(NUDGINGS[nudging], beta)
    return rule.credit(substrate, Minibatch(X, Y, LOSSES[loss], shares, np.random.RandomState(0)))


def _vector(credit):
    return np.concatenate([change.ravel() for change in credit.changes])


def _cosine(one, other):
    return one @ other / (np.linalg.norm(one) * np.linalg.norm(other))


def _layers(net, X, rates):
    return [X, *net.split(rates)]


def _literal_update(net, X, pre, moved):
    """Σ share · pre^T moved for each block of weights, Σ share · moved for each bias."""
    layers, deltas = _layers(net, X, pre), net.split(SHARES * moved)
    changes = [layers[source].T @ deltas[target - 1] for source, target in net.connections]
    changes += [delta.sum(axis=0) for delta in deltas]
    return np.concatenate([change.ravel() for change in changes])


@pytest.mark.parametrize("nudging", STRENGTHS)
@pytest.mark.parametrize("loss", ["squared_error", "log_loss", "huber"])
@pytest.mark.parametrize("activation", ["tanh", "hard_sigmoid", "relu", "identity"])
def test_runs_are_the_plain_loop(activation, loss, nudging):
    # Cut short on purpose: states still move all along, in an odd number of steps.
    net = random_graph_net(GRAPHS["all"], activation)
    X, Y = random_task(4, SIZES, loss)
    credit = _credit(_substrate(net, (3, 7)), X, Y, loss, nudging)
    start = after_transient(net, X, EPSILON, 3)
    free = run(net, X, start, EPSILON, 7)
    assert len(free.path) == 4
    assert swing(free.path) > 1e-3
    assert np.abs(joined(credit.free.result.states) - free.states).max() < 1e-14
    assert np.abs(joined(credit.free.rates) - free.rates).max() < 1e-14
    value = credit.free.loss(np, LOSSES[loss], Y)
    assert np.abs(value - average_loss(net, X, Y, loss, EPSILON, 3, 7)).max() < 1e-13
    strengths = STRENGTHS[nudging]
    moved = [
        run(net, X, start, EPSILON, 7, loss, Y, beta).states - free.states for beta in strengths
    ]
    for result, displacement in zip(credit.nudged[1:], moved[1:], strict=True):
        assert np.abs(joined(result.states) - displacement).max() < 1e-14
    slope = sum(m / (beta * len(strengths)) for m, beta in zip(moved, strengths, strict=True))
    assert np.abs(_vector(credit) - _literal_update(net, X, free.rates, slope)).max() < 1e-13
    for result, steps in ((credit.free.result, 10), (credit.nudged[0], 7)):
        assert result.converged.all()
        assert (result.n_steps == steps).all()
        assert result.n_averaged == 4
        assert f"averages over the last 4 of {steps} steps" in result.reason
    assert np.abs(credit.free.result.residual - net.residual(free.path[-1], X)).max() < 1e-14


def test_rates_are_read_with_average_slopes():
    net = ringing_net((3, 6, 2))
    X, Y = random_task(4, (3, 6, 2))
    start = after_transient(net, X, EPSILON, 50)
    free = run(net, X, start, EPSILON, 40)
    ends = [run(net, X, start, EPSILON, 40, "squared_error", Y, beta) for beta in (0.4, -0.4)]
    slope = free.slopes * (ends[0].states - ends[1].states) / 0.8
    assert np.abs(free.slopes - net.slope(free.states)).max() > 0.1  # not of the average state
    credit = _credit(_substrate(net, (50, 40), rate_coordinates=True), X, Y)
    assert np.abs(_vector(credit) - _literal_update(net, X, free.rates, slope)).max() < 1e-12


def test_units_that_transmit_their_state_need_no_slopes():
    net = random_graph_net(GRAPHS["all"], "relu")
    X, Y = random_task(4, SIZES)
    read = [
        _vector(_credit(_substrate(net, (3, 7), rate_coordinates=rates), X, Y))
        for rates in (False, True)
    ]
    assert np.array_equal(*read)


def test_a_force_of_unbounded_curvature_is_held_at_its_average():
    net = random_graph_net(GRAPHS["all"], "tanh")
    X, Y = random_task(4, SIZES, "poisson")
    credit = _credit(_substrate(net, (3, 7)), X, Y, "poisson")
    start = after_transient(net, X, EPSILON, 3)
    free = run(net, X, start, EPSILON, 7)
    outputs = net.span(3)
    force = (Y - np.exp(free.path[:, :, outputs])).mean(axis=0)
    S, path = start, []
    for _ in range(7):
        mu = net.field(S, X)
        mu[:, outputs] -= 0.4 * force
        S = S + EPSILON * mu
        path.append(S)
    moved = np.mean(path[3:], axis=0) - free.states
    assert np.abs(joined(credit.nudged[1].states) - moved).max() < 1e-14


@pytest.mark.parametrize("coordinates", ["state", "rate"])
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("activation", ["tanh", "hard_sigmoid"])
def test_at_a_fixed_point_it_is_the_rule_of_fixed_points(activation, tied, coordinates):
    net = random_graph_net(CHAIN, activation, tied=tied)
    X, Y = random_task(4, SIZES)
    rates = coordinates == "rate"
    credit = _credit(_substrate(net, (400, 400), rate_coordinates=rates), X, Y)
    settled = update(
        net, X, Y, "squared_error", 0.4, SHARES[:, 0], "centered", coordinates=coordinates
    )
    assert np.abs(_vector(credit) - settled).max() < 1e-11
    assert np.abs(joined(credit.free.result.states) - net.equilibrium(X)).max() < 1e-12


def _finite_differences(net, X, Y, step_size, lengths, step):
    """Slope of the average loss of the plain loop."""
    theta, slopes = net.theta(), []
    for index in range(theta.size):
        losses = []
        for sign in (1, -1):
            moved = theta.copy()
            moved[index] += sign * step
            loss = average_loss(net.with_theta(moved), X, Y, "squared_error", step_size, *lengths)
            losses.append(float(SHARES[:, 0] @ loss))
        slopes.append((losses[0] - losses[1]) / (2 * step))
    return np.array(slopes)


def _flipping_net(strength, seed):
    """Symmetric weights so strong that steps of ε = 1 overshoot: states flip to and fro."""
    rng = np.random.RandomState(seed)
    draw = rng.standard_normal((6, 6))
    draw = draw + draw.T
    lateral = draw * (strength / np.abs(np.linalg.eigvalsh(draw)).max())
    coefs = [rng.standard_normal((3, 6)) / np.sqrt(3), rng.standard_normal((6, 2)) / np.sqrt(6)]
    biases = [0.1 * rng.standard_normal(size) for size in (6, 2)]
    return GraphNet("tanh", RINGING, coefs, biases, [lateral, coefs[1].T])


def _small_task(seed):
    rng = np.random.RandomState(seed)
    return 0.5 * rng.standard_normal((4, 3)), rng.standard_normal((4, 2))


def test_symmetric_weights_that_settle_give_the_gradient():
    net, (X, Y) = _flipping_net(0.4, 0), _small_task(0)
    substrate = _substrate(net, (100, 100), 0.5, rate_coordinates=True)
    truth = _finite_differences(net, X, Y, 0.5, (100, 100), 1e-5)
    assert _cosine(_vector(_credit(substrate, X, Y, beta=1e-2)), -truth) > 0.99999


@pytest.mark.parametrize(
    ("strength", "seed", "least"), [(1.5, 3, 0.99), (2.5, 3, 0.99), (2.5, 2, 0.9)]
)
def test_symmetric_weights_that_never_settle_give_nearly_the_gradient(strength, seed, least):
    net, (X, Y) = _flipping_net(strength, seed), _small_task(seed)
    path = run(net, X, after_transient(net, X, 1.0, 2000), 1.0, 100).path
    assert np.abs(path[-1] - path[-2]).max() > 0.3  # it flips for good
    lengths = (400, 200)
    truth = _finite_differences(net, X, Y, 1.0, lengths, 1e-4)
    substrate = _substrate(net, lengths, 1.0, rate_coordinates=True)
    assert _cosine(_vector(_credit(substrate, X, Y, beta=0.02)), -truth) > least


@pytest.mark.parametrize("seed", [0, 1, 4])
def test_turning_networks_go_downhill(seed):
    # Far from symmetric, so that the angle of Theorem 1 is large, and they turn for good.
    net, (X, Y) = ringing_net((3, 6, 2), seed=seed), _small_task(seed)
    path = run(net, X, after_transient(net, X, 0.2, 3000), 0.2, 400).path
    assert swing(path[:, :, :6]) > 0.5
    truth = _finite_differences(net, X, Y, 0.2, (300, 1200), 1e-3)
    credit = _credit(_substrate(net, (300, 400), 0.2), X, Y, beta=0.5)
    # Feedback and lateral weights are fixed where a network is to go on turning.
    learned = np.concatenate([np.arange(truth.size)[net.parts()[block]] for block in (0, 1, 4, 5)])
    assert _cosine(_vector(credit)[learned], -truth[learned]) > 0.5


def _growing_net():
    """Linear units whose states grow with every step, without end."""
    net = ringing_net((3, 6, 2))
    net = net.with_arrays(net.coefs, net.biases, [net.feedback[0], 1e3 * net.feedback[1]])
    return GraphNet("identity", RINGING, net.coefs, net.biases, net.feedback)


def test_states_that_are_not_finite_are_told():
    with np.errstate(all="ignore"):
        result = _substrate(_growing_net(), (300, 300)).settle(np.ones((2, 3))).result
    assert not result.converged.any()
    assert "stopped being finite in 2 of 2 samples" in result.reason


def test_states_that_run_away_are_told_and_those_that_swing_are_not():
    X, Y = random_task(2, (3, 6, 2))
    credit = _credit(_substrate(_growing_net(), (20, 10)), X, Y, shares=SHARES[:2])
    for result, steps in ((credit.free.result, 30), *((part, 10) for part in credit.nudged)):
        assert np.isfinite(result.residual).all()
        assert (result.residual > RUNAWAY).all()
        assert not result.converged.any()
        assert result.reason.startswith(f"2 of 2 samples ran away within {steps} steps")
    net = ringing_net((3, 6, 2))
    swinging = _substrate(net, (300, 300)).settle(X).result
    assert swinging.residual.min() > 0.1
    assert swinging.converged.all()
