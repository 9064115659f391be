"""Absolute error, Huber and Poisson: closed forms, finite differences, brute force, Theorem 1."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import lambertw

from sklearn_eqprop._relaxation import RELAXATIONS
from sklearn_eqprop._substrates.limits import SettlingLimits
from sklearn_eqprop._substrates.simulated import SimulatedNetwork
from tests.dense_truth import REGRESSION_LOSSES as TRUTH
from tests.dense_truth import random_net, random_task
from tests.engine import METHODS, joined, network_of, nudged_phases, substrate_of, update
from tests.engine import REGRESSION_LOSSES as LOSSES

SIZES = (4, 6, 5, 3)
SHARES = np.array([0.5, 0.1, 0.15, 0.25])
BETAS = (0.04, 0.02, 0.01, 0.005)
NAMES = pytest.mark.parametrize("name", LOSSES)


def _outputs_and_targets(name, n_rows=40):
    rng = np.random.RandomState(2)
    _, target = random_task(n_rows, (1, 4), name)
    return 1.5 * rng.standard_normal((n_rows, 4)), target


@NAMES
def test_value_is_the_textbook_formula(name):
    output, target = _outputs_and_targets(name)
    found = LOSSES[name].value(np, output, target)
    assert found.shape == (40,)
    assert np.abs(found - TRUTH[name][0](output, target)).max() < 1e-12


@NAMES
def test_force_is_minus_the_slope_of_the_value(name):
    output, target = _outputs_and_targets(name)
    assert np.abs(output - target).min() > 1e-4  # no kink within reach
    step = 1e-5
    for unit in range(4):
        shift = step * np.eye(4)[unit]
        values = [LOSSES[name].value(np, output + sign * shift, target) for sign in (1, -1)]
        slope = (values[0] - values[1]) / (2 * step)
        found = LOSSES[name].force(np, output, target)[:, unit]
        assert np.abs(found + slope).max() < 1e-7


@pytest.mark.parametrize("weighted", [False, True])
@NAMES
def test_constant_loss_is_that_of_the_best_constant(name, weighted):
    _, target = _outputs_and_targets(name)
    weight = np.random.RandomState(0).uniform(0.5, 2, 40) if weighted else np.ones(40)
    truth = sum(
        minimize_scalar(
            lambda s, y=column[:, None]: np.average(
                TRUTH[name][0](np.full_like(y, s), y), weights=weight
            ),
            bounds=(-5, 5),
            method="bounded",
            options={"xatol": 1e-12},
        ).fun
        for column in target.T
    )
    found = LOSSES[name].constant_loss(target, weight if weighted else None)
    assert abs(found - truth) < 1e-6


def test_constant_loss_of_no_events():
    assert LOSSES["poisson"].constant_loss(np.zeros((5, 2)), None) == 0


def _proximal_point(name, drive, target, beta):
    """argmin ½ (s - drive)² + β C(s), every output on its own: all three costs are sums."""
    if name == "poisson":  # s + β exp(s) = c, by Lambert's function
        total = drive + beta * target
        return total - lambertw(beta * np.exp(total)).real
    beyond = drive - target
    if name == "absolute_error":
        return target + np.sign(beyond) * np.maximum(np.abs(beyond) - beta, 0)
    inside = np.abs(beyond) <= 1 + beta
    return target + np.where(inside, beyond / (1 + beta), beyond - beta * np.sign(beyond))


@pytest.mark.parametrize("beta", [1e-3, 0.05, 0.5, 3.0])
@NAMES
def test_resolve_is_the_proximal_point(name, beta):
    output, target = _outputs_and_targets(name)
    drive = 2 * output[::-1]
    truth = _proximal_point(name, drive, target, beta)
    origin = output
    found = LOSSES[name].resolve(np, drive - origin, np.zeros_like(drive), origin, target, beta)
    assert np.abs(found + origin - truth).max() < 1e-12
    assert np.abs(truth - drive).max() > 0.5 * beta


def test_resolve_of_poisson_is_exact_however_strong_the_nudge():
    scale, total = np.meshgrid(np.logspace(-8, 4, 40), np.r_[-np.logspace(-6, 2, 20), 1e-3, 1, 300])
    total = np.maximum(total, -scale)  # as no target is below 0
    found = LOSSES["poisson"].resolve(np, total, 0.0, np.log(scale), np.exp(np.log(scale)), 1.0)
    size = np.abs(found) + scale * np.abs(np.expm1(found))
    assert (np.abs(found + scale * np.expm1(found) - total) <= 1e-13 * size).all()


@pytest.mark.parametrize("beta", [-0.05, -0.5, -0.9])
@pytest.mark.parametrize("name", ["absolute_error", "huber"])
def test_pushed_away_an_output_rests_where_its_force_balances(name, beta):
    output, target = _outputs_and_targets(name)
    drive = output[::-1]
    found = LOSSES[name].resolve(np, drive, output, 0.0, target, beta)
    assert np.abs(drive - beta * TRUTH[name][1](found, target) - found).max() < 1e-14
    assert (np.sign(found - target) == np.sign(drive - target)).all()


@NAMES
def test_resolve_and_velocity_change_nothing_they_are_given(name):
    output, target = _outputs_and_targets(name)
    drive = output + 1
    kept = [array.copy() for array in (drive, output, target)]
    LOSSES[name].resolve(np, drive, output, 0.0, target, 0.5)
    LOSSES[name].velocity(np, drive, output, 0.0, target, 0.5)
    for array, copy in zip((drive, output, target), kept, strict=True):
        assert np.array_equal(array, copy)


@pytest.mark.parametrize("name", ["absolute_error", "huber"])
def test_resolve_takes_one_beta_a_sample(name):
    output, target = _outputs_and_targets(name, 6)
    betas = np.array([0.5, -0.5, 0.1, 0.2, -0.1, 0.4])
    together = LOSSES[name].resolve(np, output, output, 0.0, target, betas[:, None])
    for row, beta in enumerate(betas):
        alone = LOSSES[name].resolve(np, output[[row]], output[[row]], 0.0, target[[row]], beta)
        assert np.array_equal(together[[row]], alone)


@pytest.mark.parametrize("activation", ["tanh", "hard_sigmoid"])
@pytest.mark.parametrize(("nudging", "order"), [("one_sided", 1), ("centered", 2)])
@NAMES
def test_update_follows_the_theorem(name, nudging, order, activation):
    net = random_net(SIZES, activation, gain=0.9, loop=0.4)
    X, Y = random_task(4, SIZES, name)
    free = net.equilibrium(X)
    assert net.margin(free, X) > 1e-3
    gaps = np.abs(net.split(free)[-1] - Y)
    if name != "poisson":
        assert min(gaps.min(), np.abs(gaps - 1).min()) > 1e-3  # no kink of the loss within reach
    truth = net.theorem_1(X, name, Y, SHARES)
    errors = [
        np.linalg.norm(update(net, X, Y, name, beta, SHARES, nudging) - truth)
        for beta in (1e-4, *BETAS)
    ]
    assert errors[0] < 1e-3 * np.linalg.norm(truth)
    if activation == "tanh" and name != "absolute_error":  # whose larger β reach the target
        slope = np.polyfit(np.log(BETAS), np.log(errors[1:]), 1)[0]
        assert abs(slope - order) < 0.05


@pytest.mark.parametrize("method", METHODS)
@NAMES
def test_nudged_equilibria_are_those_of_the_equations(name, method):
    # Also with outputs inside the threshold, at rest on their target with a force below β.
    net = random_net(SIZES, "tanh", gain=0.9, loop=0.4)
    X, Y = random_task(6, SIZES, name)
    outputs = net.split(net.equilibrium(X))[-1]
    if name != "poisson":
        Y[:3] = outputs[:3] + 0.05
    substrate = substrate_of(net, method, step_size=0.3 if method == "euler" else 1.0)
    free = substrate.settle(X)
    [result] = nudged_phases(substrate, free, LOSSES[name], Y, (0.4,))
    assert result.converged.all()
    S = joined(result.states)
    assert net.residual(S, X)[0] > 1e-3
    balance = (net.drive(S, X) - S)[:, net.span(3)]  # force needed to be at rest
    output = S[:, net.span(3)]
    hidden = (net.drive(S, X) - S)[:, : net.ends[-2]]
    assert np.abs(hidden).max() < 1e-12
    slope = TRUTH[name][1](output, Y)
    if name == "absolute_error":
        at_target = np.abs(output - Y) < 1e-12
        assert at_target[:3].all()
        assert (np.abs(balance[at_target]) <= 0.4).all()
        assert np.abs(balance - 0.4 * slope)[~at_target].max() < 1e-12
    else:
        assert np.abs(balance - 0.4 * slope).max() < 1e-12


@NAMES
def test_training_tolerance_is_relative_to_the_push_on_each_sample(name):
    net = random_net(SIZES, "tanh", gain=0.9, loop=0.4)
    X, Y = random_task(6, SIZES, name)
    outputs = net.split(net.equilibrium(X))[-1]
    if name == "absolute_error":
        Y = outputs + 1e-4 * Y  # far inside the threshold: displacements of 1e-4, not of β
    limits = SettlingLimits(1e-12, 1e-3, 500, 500, literal=False)
    loose = SimulatedNetwork(network_of(net), RELAXATIONS["gauss_seidel"](1.0), limits)
    tight = substrate_of(net)
    free = tight.settle(X)
    [found] = loose.settle_nudged(free, LOSSES[name], Y, (0.3,))
    [truth] = tight.settle_nudged(free, LOSSES[name], Y, (0.3,))
    for layer, exact in zip(found.states, truth.states, strict=True):
        size = np.abs(exact).max(axis=1)
        assert (np.abs(layer - exact).max(axis=1) < 0.02 * size).all()


def test_curvatures():
    assert LOSSES["absolute_error"].curvature == 0
    assert LOSSES["huber"].curvature == 1
    assert math.isinf(LOSSES["poisson"].curvature)
