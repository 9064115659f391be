"""Rate coordinates (section 6): tied weights and a smooth activation give the exact gradient."""

import numpy as np
import pytest

from tests.dense_truth import ACTIVATIONS, LOSSES, random_net, random_task
from tests.engine import update

SIZES = (4, 6, 5, 4, 3)
BETAS = (0.04, 0.02, 0.01, 0.005)
SHARES = np.array([0.5, 0.1, 0.15, 0.25])


def _problem(activation, loss, *, tied=True):
    net = random_net(SIZES, activation, tied=tied, gain=0.5 if tied else 0.9, loop=0.4)
    X, Y = random_task(4, SIZES, loss)
    assert net.margin(net.equilibrium(X), X) > 1e-3
    return net, X, Y


def _cosine(one, other):
    return one @ other / (np.linalg.norm(one) * np.linalg.norm(other))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ["tanh", "logistic"])
def test_tied_weights_give_minus_the_gradient_of_the_objective(activation, loss):
    net, X, Y = _problem(activation, loss)
    truth = -net.gradient(X, loss, Y, SHARES)
    found = update(net, X, Y, loss, 1e-4, SHARES, "centered", coordinates="rate")
    assert np.abs(truth).max() > 0.02
    assert np.abs(found - truth).max() < 5e-8
    start = 0
    for block in net.blocks():  # every block, not just the largest
        part = slice(start, start + block.size)
        start += block.size
        assert _cosine(found[part], truth[part]) > 0.99999


@pytest.mark.parametrize("activation", ["tanh", "logistic"])
def test_states_do_not(activation):
    # The caution of section 6; the logistic function's slope of at most 1/4 makes it worse.
    net, X, Y = _problem(activation, "squared_error")
    truth = -net.gradient(X, "squared_error", Y, SHARES)
    found = update(net, X, Y, "squared_error", 1e-4, SHARES, "centered")
    assert _cosine(found, truth) < 0.999


@pytest.mark.parametrize(("nudging", "order"), [("one_sided", 1), ("centered", 2)])
def test_order_of_the_error_in_beta(nudging, order):
    net, X, Y = _problem("tanh", "log_loss")
    truth = -net.gradient(X, "log_loss", Y, SHARES)
    errors = [
        np.linalg.norm(
            update(net, X, Y, "log_loss", beta, SHARES, nudging, coordinates="rate") - truth
        )
        for beta in BETAS
    ]
    slope = np.polyfit(np.log(BETAS), np.log(errors), 1)[0]
    assert abs(slope - order) < 0.05


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_untied_weights_read_the_displacement_times_the_slope(activation):
    # Theorem 1 with D Δ in place of Δ, by dense linear algebra.
    net, X, Y = _problem(activation, "squared_error", tied=False)
    truth = 0.0
    outputs = net.span(net.n_layers)
    for s, x, y, share in zip(net.equilibrium(X), X, Y, SHARES, strict=True):
        free = net.interior(s)
        C_s = np.zeros(s.size)
        C_s[outputs] = LOSSES["squared_error"][1](s[outputs], y)
        A = net.jacobian(s)[np.ix_(free, free)]
        displacement = net.slope(s)[free] * np.linalg.solve(A, C_s[free])
        truth = truth + share * (displacement @ net.dmu_dtheta(s, x)[free])
    found = update(net, X, Y, "squared_error", 1e-6, SHARES, coordinates="rate")
    assert np.linalg.norm(found - truth) < 1e-5 * np.linalg.norm(truth)
