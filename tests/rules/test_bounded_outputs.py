"""Outputs that are kept in a range: every rule against finite differences and a dense solver."""

import numpy as np
import pytest

from tests.dense_truth import random_net, random_task
from tests.engine import LOSSES, METHODS, joined, nudged_phases, substrate_of, update

SIZES = (4, 6, 5, 6)
N_SAMPLES = 8
SHARES = np.arange(1, N_SAMPLES + 1) / np.arange(1, N_SAMPLES + 1).sum()
#: Some outputs are at a bound, some are not, and none is so close to one that a tiny nudge moves
#: it there.
LEAST_MARGIN = 5e-4


def problem(activation="hard_sigmoid", *, tied=False, output="hard_sigmoid"):
    """Return a net some of whose outputs are at a bound, inputs and targets."""
    X, _ = random_task(N_SAMPLES, SIZES)
    Y = 3.0 * np.random.RandomState(1).randint(2, size=(N_SAMPLES, SIZES[-1]))
    for seed in range(20):
        settings = {"gain": 0.9, "loop": 0.4, "seed": seed, "output": output}
        net = random_net(SIZES, activation, tied=tied, **settings)
        net.biases[-1][:] = (-0.6, 0.3, 1.5, 0.2, 0.8, 0.5)
        free = net.equilibrium(X)
        share = (~net.interior(free)[:, ~net.hidden]).mean()
        if 0.1 < share < 0.9 and net.margin(free, X) > LEAST_MARGIN:
            return net, X, Y
    pytest.fail("no such net")


def cosine(one, other):
    return one @ other / (np.linalg.norm(one) * np.linalg.norm(other))


@pytest.mark.parametrize("output", ["hard_sigmoid", "relu"])
@pytest.mark.parametrize("activation", ["hard_sigmoid", "tanh"])
@pytest.mark.parametrize("loss", ["squared_error", "huber"])
@pytest.mark.parametrize("gradient", ["recurrent_backprop", "asymmetric"])
def test_exact_rules_follow_the_gradient(gradient, loss, activation, output):
    net, X, Y = problem(activation, output=output)
    truth = -net.gradient(X, loss, Y, SHARES)
    found = update(net, X, Y, loss, 1e-4, SHARES, "centered", gradient=gradient)
    assert np.abs(truth).max() > 0.02
    assert np.abs(found - truth).max() < 1e-7


@pytest.mark.parametrize("method", METHODS)
def test_symmetric_weights_make_the_two_phase_rule_exact(method):
    net, X, Y = problem(tied=True)
    truth = -net.gradient(X, "squared_error", Y, SHARES)
    found = update(net, X, Y, "squared_error", 1e-4, SHARES, "centered", method)
    assert cosine(found, truth) > 1 - 1e-9
    assert np.abs(found - truth).max() < 1e-7


def test_untied_two_phases_follow_theorem_1():
    net, X, Y = problem()
    nu = net.theorem_1(X, "squared_error", Y, SHARES)
    found = update(net, X, Y, "squared_error", 1e-4, SHARES, "centered")
    assert np.abs(found - nu).max() < 1e-7
    assert cosine(found, -net.gradient(X, "squared_error", Y, SHARES)) < 0.99  # so it could fail


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("beta", [0.5, -0.3])
def test_finite_nudges_reach_the_equilibrium_of_the_dense_solver(beta, method):
    net, X, Y = problem()
    truth = net.equilibrium(X, "squared_error", Y, beta, start=net.equilibrium(X))
    assert (net.interior(truth) != net.interior(net.equilibrium(X))).any()  # some left a bound
    substrate = substrate_of(net, method)
    free = substrate.settle(X)
    [nudged] = nudged_phases(substrate, free, LOSSES["squared_error"], Y, (beta,))
    assert np.abs(joined(nudged.states) - truth).max() < 1e-12
    assert nudged.converged.all()


def test_only_a_finite_nudge_frees_an_output_from_its_bound():
    net, X, _ = problem()
    net.biases[-1][0] = -0.3  # at 0, and not far from it
    Y = np.zeros((N_SAMPLES, SIZES[-1]))
    Y[:, 0] = 1
    outputs = net.split(net.equilibrium(X))[-1]
    stuck = SHARES * (outputs[:, 0] == 0)
    assert stuck.sum() > 0.3

    def of_bias(gradient, beta):
        return update(net, X, Y, "squared_error", beta, stuck, gradient=gradient)[-SIZES[-1]]

    assert of_bias("recurrent_backprop", 1.0) == 0
    assert of_bias("vector_field", 1e-3) == 0
    assert of_bias("vector_field", 1.0) > 0.1
