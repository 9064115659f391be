"""Exact rules against finite differences of the objective, feedback weights being arbitrary."""

import functools

import numpy as np
import pytest

from tests import every_loss
from tests.dense_truth import ACTIVATIONS, CLIPPED, LOSSES, random_net, random_task
from tests.engine import METHODS, update

SIZES = (4, 6, 5, 3)
SHARES = np.array([0.5, 0.1, 0.4])
BETAS = (0.04, 0.02, 0.01, 0.005)
RULES = ("asymmetric", "recurrent_backprop")


def _problem(activation, loss, tied=False):
    net = random_net(SIZES, activation, tied=tied, gain=0.5 if tied else 0.9, loop=0.4)
    X, Y = random_task(3, SIZES, loss)
    free = net.equilibrium(X)
    assert net.margin(free, X) > 5e-4
    if activation in CLIPPED:
        assert 0 < net.interior(free)[:, net.hidden].mean() < 1
    return net, X, Y


def _cosine(one, other):
    return one @ other / (np.linalg.norm(one) * np.linalg.norm(other))


@functools.cache
def _gradients(activation, tied):
    """A net, inputs, and targets and dJ/dθ of every loss."""
    net, X, _ = _problem(activation, "squared_error", tied)
    targets = every_loss.targets_of(net, X)
    return net, X, targets, every_loss.gradients(net, X, targets, SHARES)


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("loss", every_loss.LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("gradient", RULES)
def test_update_is_minus_the_gradient(gradient, activation, loss, tied):
    net, X, targets, gradients = _gradients(activation, tied)
    truth = -gradients[loss]
    found = every_loss.update(net, X, targets[loss], loss, gradient, SHARES)
    assert np.abs(truth).max() > 0.02
    assert np.abs(found - truth).max() < 5e-8
    start = 0
    for block in net.blocks():  # every block, not just the largest
        part = slice(start, start + block.size)
        start += block.size
        assert _cosine(found[part], truth[part]) > 0.99999


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("gradient", RULES)
def test_whatever_the_method_of_relaxation(gradient, method):
    net, X, Y = _problem("tanh", "log_loss")
    truth = -net.gradient(X, "log_loss", Y, SHARES)
    found = update(net, X, Y, "log_loss", 1e-4, SHARES, "centered", method, gradient)
    assert np.abs(found - truth).max() < 5e-8


@pytest.mark.parametrize(("nudging", "order"), [("one_sided", 1), ("centered", 2)])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ["tanh", "hard_sigmoid"])
def test_order_of_the_error_in_beta(activation, loss, nudging, order):
    net, X, Y = _problem(activation, loss)
    truth = update(net, X, Y, loss, 1.0, SHARES, gradient="recurrent_backprop")
    errors = [
        np.linalg.norm(
            update(net, X, Y, loss, beta, SHARES, nudging, gradient="asymmetric") - truth
        )
        for beta in BETAS
    ]
    slope = np.polyfit(np.log(BETAS), np.log(errors), 1)[0]
    assert abs(slope - order) < 0.05


def test_the_vector_field_rule_is_not_exact_here():
    # So the tests above could fail.
    net, X, Y = _problem("tanh", "squared_error")
    gradient = net.gradient(X, "squared_error", Y, SHARES)
    found = update(net, X, Y, "squared_error", 1e-4, SHARES, "centered")
    assert _cosine(found, -gradient) < 0.9
