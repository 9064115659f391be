"""Every method of relaxation finds the fixed points of a dense solver written from the paper."""

import numpy as np
import pytest

from tests.dense_truth import ACTIVATIONS, LOSSES, DenseNet, random_net, random_task
from tests.engine import LOSSES as ENGINE_LOSSES
from tests.engine import METHODS, joined, nudged_phases, settle, substrate_of

SIZES = (4, 5, 4, 6, 3, 5)
DEPTHS = range(5)  # hidden layers
BETA = 0.2
#: Residuals are at most 1e-13; distance to the fixed point is that over 1 - contraction.
ACCURACY = 5e-12


def _net(depth, activation, tied):
    sizes = (*SIZES[: depth + 1], 3)
    net = random_net(sizes, activation, tied=tied, gain=0.5 if tied else 0.8, loop=0.4, seed=depth)
    return net, sizes


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_free_fixed_point_is_that_of_the_dense_system(activation, tied, depth):
    net, sizes = _net(depth, activation, tied)
    X, _ = random_task(4, sizes)
    truth = net.equilibrium(X)
    for method in METHODS:
        for step_size in (1.0, 0.5):
            result = settle(net, X, method, step_size=step_size)
            found = joined(result.states)
            case = f"{method}, step_size={step_size}"
            assert result.converged.all(), case
            assert np.abs(found - truth).max() < ACCURACY, case
            assert result.residual.max() <= 1e-13, case
            assert np.abs(result.residual - net.residual(found, X)).max() < 1e-14, case


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_nudged_fixed_points_are_those_of_the_dense_system(activation, tied, depth):
    net, sizes = _net(depth, activation, tied)
    halved = list(LOSSES)[depth % len(LOSSES)]  # step_size 0.5 for one loss, to save time
    for loss in LOSSES:
        X, Y = random_task(4, sizes, loss)
        truth = {beta: net.equilibrium(X, loss, Y, beta) for beta in (BETA, -BETA)}
        for method in METHODS:
            for step_size in (1.0, 0.5) if loss == halved else (1.0,):
                substrate = substrate_of(net, method, step_size=step_size, tolerance=1e-13)
                free = substrate.settle(X)
                results = nudged_phases(substrate, free, ENGINE_LOSSES[loss], Y, (BETA, -BETA))
                for beta, result in zip((BETA, -BETA), results, strict=True):
                    found = joined(result.states)
                    case = f"{loss}, {method}, step_size={step_size}, beta={beta}"
                    residual = net.residual(found, X, loss, Y, beta)
                    assert result.converged.all(), case
                    assert np.abs(found - truth[beta]).max() < ACCURACY, case
                    assert np.abs(result.residual - residual).max() < 1e-14, case


def test_the_two_nudged_phases_and_the_free_one_are_far_apart():
    # Otherwise the agreement above would prove little.
    net, sizes = _net(3, "hard_sigmoid", tied=False)
    X, Y = random_task(4, sizes)
    states = [net.equilibrium(X, "squared_error", Y, beta) for beta in (0.0, BETA, -BETA)]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(states[one] - states[other]).max() > 0.05


@pytest.mark.parametrize("activation", ["hard_sigmoid", "relu"])
def test_these_networks_have_units_at_bounds_and_units_in_between(activation):
    for depth in range(1, 5):
        net, sizes = _net(depth, activation, tied=False)
        X, _ = random_task(4, sizes)
        interior = net.interior(net.equilibrium(X))[:, net.hidden]
        assert 0.2 < interior.mean() < 0.95


def test_a_strong_nudge_all_but_clamps_the_output():
    net, sizes = _net(2, "tanh", tied=False)
    X, Y = random_task(4, sizes)
    substrate = substrate_of(net)
    [nudged] = nudged_phases(
        substrate, substrate.settle(X), ENGINE_LOSSES["squared_error"], Y, (1e9,)
    )
    assert np.abs(nudged.states[-1] - Y).max() < 1e-7


def test_euler_is_equation_77_step_by_step():
    # The explicit loop stops each sample at the first state within tolerance.
    net, sizes = _net(3, "hard_sigmoid", tied=False)
    X, _ = random_task(6, sizes)
    step_size, tolerance = 0.3, 1e-3
    result = settle(net, X, "euler", step_size=step_size, tolerance=tolerance)
    assert np.unique(result.n_steps).size > 2
    for row, n_steps in enumerate(result.n_steps):
        x, s, n_done = X[row : row + 1], np.zeros((1, net.ends[-1])), 0
        while net.residual(s, x)[0] > tolerance:
            s = np.clip(s + step_size * net.field(s, x), net.low, net.high)
            n_done += 1
        assert n_done == n_steps
        assert np.abs(joined(result.states)[row] - s[0]).max() < 1e-14


@pytest.mark.parametrize("activation", ["tanh", "relu", "hard_sigmoid", "identity"])
@pytest.mark.parametrize("method", METHODS)
def test_starting_at_rest_is_starting_from_zeros(method, activation):
    # Rates are zero there too; a logistic unit is silent at rest, but not at zero.
    net, sizes = _net(3, activation, tied=False)
    X, _ = random_task(4, sizes)
    zeros = [np.zeros((4, size)) for size in sizes[1:]]
    for step_size in (1.0, 0.5):
        options = {"step_size": step_size, "tolerance": 1e-5}
        at_rest = settle(net, X, method, **options)
        from_zeros = settle(net, X, method, start=zeros, **options)
        assert np.array_equal(at_rest.n_steps, from_zeros.n_steps)
        assert np.abs(joined(at_rest.states) - joined(from_zeros.states)).max() < 1e-14


@pytest.mark.parametrize("activation", ["tanh", "logistic"])
def test_first_gauss_seidel_sweep_from_rest_is_the_feedforward_pass(activation):
    net, sizes = _net(3, activation, tied=False)
    X, _ = random_task(3, sizes)
    result = settle(net, X, "gauss_seidel", max_iter=1)
    rate = X
    for state, coef, bias in zip(result.states, net.coefs, net.biases, strict=True):
        expected = rate @ coef + bias
        assert np.abs(state - expected).max() < 1e-14
        rate = ACTIVATIONS[activation][0](expected)


def test_first_nudged_gauss_seidel_sweep_carries_the_push_to_every_layer():
    # Linear units, one damped pass from the output down: each layer moves by what reaches it.
    net, sizes = _net(3, "identity", tied=False)
    X, Y = random_task(3, sizes)
    free = substrate_of(net).settle(X)
    once = substrate_of(net, max_iter=1)
    [nudged] = nudged_phases(once, free, ENGINE_LOSSES["squared_error"], Y, (BETA,))
    moved = BETA * (Y - free.result.states[-1]) / (1 + BETA)
    for layer in (4, 3, 2, 1):
        found = nudged.states[layer - 1] - free.result.states[layer - 1]
        assert np.abs(found - moved).max() < 1e-13
        assert np.abs(found).max() > 1e-4
        moved = moved @ net.feedback[layer - 2] if layer > 1 else None


def test_one_gauss_seidel_sweep_settles_what_has_no_loop():
    # Feedback cut: the feedforward pass is the fixed point. Last forward block cut: so is one pass
    # from the output down. Either way the sweep must know that it is done.
    net = random_net((4, 5, 3), "tanh")
    X, Y = random_task(3, (4, 5, 3))
    no_feedback = DenseNet("tanh", net.coefs, net.biases, [0 * net.feedback[0]])
    free = settle(no_feedback, X, "gauss_seidel")
    assert free.converged.all()
    assert np.array_equal(free.n_steps, [1, 1, 1])
    cut = DenseNet("tanh", [net.coefs[0], 0 * net.coefs[1]], net.biases, net.feedback)
    substrate = substrate_of(cut)
    [nudged] = nudged_phases(
        substrate, substrate.settle(X), ENGINE_LOSSES["squared_error"], Y, (BETA,)
    )
    assert nudged.converged.all()
    assert np.array_equal(nudged.n_steps, [1, 1, 1])
    assert np.abs(nudged.states[0] - net.split(cut.equilibrium(X))[0]).max() > 1e-3
