"""Every rule on a tiny convolutional network against the network written out as matrices."""

import math

import numpy as np
import pytest

from sklearn_eqprop._losses.squared_error import SquaredError
from sklearn_eqprop._rules.base import Minibatch
from sklearn_eqprop._rules.clamped import ClampedRule
from sklearn_eqprop._rules.continual import ContinualRule
from sklearn_eqprop._rules.vector_field import NUDGINGS
from tests.conv_engine import STACKS, random_conv_net, substrate_of, task, twin
from tests.engine import METHODS, joined, rule_of

STEPS = {"gauss_seidel": 1.0, "euler": 0.5, "anderson": 0.5}


def credit_of(rule, substrate, X, Y):
    shares = np.full((X.shape[0], 1), 1 / X.shape[0])
    return rule.credit(substrate, Minibatch(X, Y, SquaredError(), shares, np.random.RandomState(0)))


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("activation", ["relu", "hard_sigmoid"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("stack", STACKS)
def test_settles_where_the_matrices_say(stack, method, activation, tied):
    # Where winners depend on the path, so may the equilibrium: the equations are what must hold.
    net = random_conv_net(stack, tied=tied, activation=activation)
    X, _ = task()
    free = substrate_of(net, stack, method, STEPS[method]).settle(X)
    assert free.result.converged.all()
    assert net.residual(joined(free.result.states), X).max() < 1e-11
    if stack == "average":
        expected = net.equilibrium(X)
        np.testing.assert_allclose(joined(free.result.states), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("stack", STACKS)
def test_nudged_phases_hold_the_winners_of_the_free_one(stack, method):
    net = random_conv_net(stack)
    X, Y = task()
    substrate = substrate_of(net, stack, method, STEPS[method])
    free = substrate.settle(X)
    around = joined(free.result.states)
    for strength, result in zip(
        (0.4, -0.3), substrate.settle_nudged(free, SquaredError(), Y, (0.4, -0.3)), strict=True
    ):
        expected = net.equilibrium(X, Y=Y, beta=strength, around=around) - around
        np.testing.assert_allclose(joined(result.states), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("gradient", ["recurrent_backprop", "asymmetric"])
@pytest.mark.parametrize("stack", STACKS)
def test_exact_rules_give_the_gradient(stack, gradient):
    net = random_conv_net(stack)
    X, Y = task()
    credit = credit_of(rule_of(gradient), substrate_of(net, stack), X, Y)
    slopes = net.gradient(X, Y, joined(credit.free.result.states))
    for change, slope in zip(credit.changes, slopes, strict=True):
        assert change.shape == slope.shape
        np.testing.assert_allclose(change, -slope, rtol=1e-7, atol=3e-8)


@pytest.mark.parametrize("stack", STACKS)
def test_tied_weights_make_the_two_phases_exact(stack):
    net = random_conv_net(stack, tied=True)
    X, Y = task()
    credit = credit_of(rule_of("vector_field"), substrate_of(net, stack), X, Y)
    slopes = net.gradient(X, Y, joined(credit.free.result.states))
    for change, slope in zip(credit.changes, slopes, strict=True):
        np.testing.assert_allclose(change, -slope, rtol=0, atol=2e-7)


@pytest.mark.parametrize("stack", STACKS)
def test_two_phases_follow_theorem_1(stack):
    # ν = C_s (A^T)^-1 ∂μ/∂θ by dense algebra, then ∂μ/∂θ by the two nets' own local products.
    net = random_conv_net(stack)
    X, Y = task()
    substrate = substrate_of(net, stack)
    settled = substrate.settle(X)
    around = joined(settled.result.states)
    outputs = net.span(len(net.layers))
    deltas = np.zeros_like(around)
    for row, s in enumerate(around):
        free = (s > net.low) & (s < net.high)
        W, _ = net.system(s, X[row])
        A = (W.T - np.eye(s.size))[np.ix_(free, free)]
        C_s = np.zeros(s.size)
        C_s[outputs] = s[outputs] - Y[row]
        deltas[row, free] = np.linalg.solve(A, C_s[free])
    expected = substrate.local_change(settled, net.split(deltas / X.shape[0]))
    credit = credit_of(rule_of("vector_field"), substrate, X, Y)
    for change, block in zip(credit.changes, expected, strict=True):
        np.testing.assert_allclose(change, block, rtol=0, atol=1e-7)


@pytest.mark.parametrize("stack", STACKS)
def test_continual_without_plasticity_is_the_two_phase_rule(stack):
    net = random_conv_net(stack)
    X, Y = task()
    substrate = substrate_of(net, stack, "euler", 0.05, tolerance=1e-9)
    nudging, beta = NUDGINGS["centered"], 1e-3
    continual = credit_of(ContinualRule(nudging, beta), substrate, X, Y)
    two_phase = credit_of(rule_of("vector_field", beta=beta), substrate, X, Y)
    for change, block in zip(continual.changes, two_phase.changes, strict=True):
        np.testing.assert_allclose(change, block, rtol=0, atol=5e-3 * np.abs(block).max() + 1e-5)


@pytest.mark.parametrize("stack", STACKS)
def test_clamped_outputs_stay_at_the_target(stack):
    net = random_conv_net(stack)
    X, Y = task()
    substrate = substrate_of(net, stack)
    free = substrate.settle(X)
    credit = credit_of(ClampedRule(NUDGINGS["one_sided"], math.inf), substrate, X, Y)
    [clamped] = credit.nudged
    np.testing.assert_allclose(free.result.states[-1] + clamped.states[-1], Y, rtol=0, atol=1e-12)
    assert clamped.converged.all()


def test_samples_that_settle_early_do_not_disturb_the_others():
    # Rows are compacted, and winners with them: each sample must end as it would alone.
    net = random_conv_net("max_max")
    X, Y = task(n_samples=40)
    X *= np.linspace(0.01, 2, 40)[:, None]
    substrate = substrate_of(net, "max_max", tolerance=1e-6)
    free = substrate.settle(X)
    together = substrate.settle_corrected(free, SquaredError(), Y, (0.2, -0.2))
    assert len(set(together[0].n_steps)) > 2
    for row in range(0, 40, 3):
        free = substrate.settle(X[[row]])
        alone = substrate.settle_corrected(free, SquaredError(), Y[[row]], (0.2, -0.2))
        for result, own in zip(together, alone, strict=True):
            for state, of_one in zip(result.states, own.states, strict=True):
                np.testing.assert_allclose(state[row], of_one[0], rtol=0, atol=1e-12)


def test_a_network_without_maxima_is_its_own_held_twin():
    network = twin(random_conv_net("average"), "average")
    X, _ = task()
    clamped, held = network.clamp_and_hold(X)
    assert held is network
    assert network.hold(network.zero_states(3)) is network
    assert network.each(lambda array: array[:1]) is network
    assert [part.shape[-1] for part in clamped] == list(network.layer_sizes)
