"""Theorem 1 (section 3): what the two-phase update follows, by dense linear algebra.

ν = C_s (A^T)^{-1} ∂μ/∂θ, with C_s, A and ∂μ/∂θ from the dense system at its own fixed point; units
at a bound are left out of A. The package settles both phases by itself, to 1e-14.
"""

import numpy as np
import pytest

from tests.dense_truth import ACTIVATIONS, CLIPPED, LOSSES, random_net, random_task
from tests.engine import METHODS, update

SIZES = (4, 6, 5, 4, 3)
BETAS = (0.04, 0.02, 0.01, 0.005)
#: No unit may be closer to a bound: the field has a kink there.
KINK_MARGIN = 1e-3
SHARES = np.array([0.5, 0.1, 0.15, 0.25])
#: Draws in which no unit is near a kink, nor crosses one up to the largest β.
SEEDS = {"hard_sigmoid": 0, "relu": 0}


def _problem(activation, loss, tied=False):
    net = random_net(
        SIZES,
        activation,
        tied=tied,
        gain=0.5 if tied else 0.9,
        loop=0.4,
        seed=SEEDS.get(activation, 0),
    )
    X, Y = random_task(4, SIZES, loss)
    _assert_no_kink(net, X, loss, Y)
    return net, X, Y


def _assert_no_kink(net, X, loss, Y):
    free = net.equilibrium(X)
    assert net.margin(free, X) > KINK_MARGIN
    for beta in (max(BETAS), -max(BETAS)):
        assert np.array_equal(net.interior(net.equilibrium(X, loss, Y, beta)), net.interior(free))
    if net.activation in CLIPPED:
        interior = net.interior(free)[:, net.hidden]
        assert interior.any()
        assert not interior.all()


def _cosine(one, other):
    return one @ other / (np.linalg.norm(one) * np.linalg.norm(other))


def _relative_error(found, truth):
    return np.linalg.norm(found - truth) / np.linalg.norm(truth)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_update_follows_the_theorem_as_beta_vanishes(activation, loss):
    net, X, Y = _problem(activation, loss)
    truth = net.theorem_1(X, loss, Y, SHARES)
    # Smaller still, and the rounding of states shows behind two layers of feedback.
    found = update(net, X, Y, loss, 3e-6, SHARES)
    assert _cosine(found, truth) > 1 - 1e-10
    assert _relative_error(found, truth) < 1e-5
    # Every block, not just the largest: deep signals are small.
    start = 0
    for block in net.blocks():
        part = slice(start, start + block.size)
        start += block.size
        assert np.linalg.norm(truth[part]) > 1e-5
        assert _relative_error(found[part], truth[part]) < 1e-5


@pytest.mark.parametrize("method", METHODS)
def test_whatever_the_method_of_relaxation(method):
    net, X, Y = _problem("hard_sigmoid", "log_loss")
    truth = net.theorem_1(X, "log_loss", Y, SHARES)
    found = update(net, X, Y, "log_loss", 1e-4, SHARES, "centered", method)
    assert _relative_error(found, truth) < 1e-7


@pytest.mark.parametrize(("nudging", "order"), [("one_sided", 1), ("centered", 2)])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_order_of_the_error_in_beta(activation, loss, nudging, order):
    net, X, Y = _problem(activation, loss)
    truth = net.theorem_1(X, loss, Y, SHARES)
    errors = [
        _relative_error(update(net, X, Y, loss, beta, SHARES, nudging), truth) for beta in BETAS
    ]
    slope = np.polyfit(np.log(BETAS), np.log(errors), 1)[0]
    assert abs(slope - order) < 0.05
    assert errors[-1] < 10 * BETAS[-1] ** order


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ["hard_sigmoid", "relu", "identity"])
def test_tied_weights_give_minus_the_gradient_of_the_objective(activation, loss):
    # ρ' = 1 for units away from a bound: A is symmetric. Truth: finite differences of J.
    net, X, Y = _problem(activation, loss, tied=True)
    gradient = net.gradient(X, loss, Y, SHARES)
    found = update(net, X, Y, loss, 1e-4, SHARES, "centered")
    assert np.abs(gradient).max() > 0.05
    assert np.abs(found + gradient).max() < 5e-8


@pytest.mark.parametrize(("activation", "tied"), [("hard_sigmoid", False), ("tanh", True)])
def test_without_symmetry_the_update_is_not_the_gradient(activation, tied):
    # Caution of section 6; it also shows that the test above can fail.
    net, X, Y = _problem(activation, "squared_error", tied)
    gradient = net.gradient(X, "squared_error", Y, SHARES)
    found = update(net, X, Y, "squared_error", 1e-4, SHARES, "centered")
    assert _cosine(found, -gradient) < 0.999


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_dense_truth_itself(activation, loss):
    # dJ/dθ = -C_s A^{-1} ∂μ/∂θ [25] against finite differences of J.
    net, X, Y = _problem(activation, loss)
    formula = 0.0
    for s, x, y, share in zip(net.equilibrium(X), X, Y, SHARES, strict=True):
        free = net.interior(s)
        C_s = np.zeros(s.size)
        C_s[net.span(net.n_layers)] = LOSSES[loss][1](s[net.span(net.n_layers)], y)
        inverse = np.linalg.inv(net.jacobian(s)[np.ix_(free, free)])
        formula = formula - share * (C_s[free] @ inverse @ net.dmu_dtheta(s, x)[free])
    assert np.abs(formula - net.gradient(X, loss, Y, SHARES)).max() < 5e-9


def test_one_output_and_no_hidden_layer():
    # Linear regression: ν is the delta rule, Δ = (y - s) / (1 + β).
    net = random_net((4, 1), "tanh")
    X, Y = random_task(4, (4, 1))
    beta = 0.3
    force = (Y - X @ net.coefs[0] - net.biases[0]) / (1 + beta) * SHARES[:, None]
    truth = np.concatenate([(X.T @ force).ravel(), force.sum(axis=0)])
    assert np.abs(update(net, X, Y, "squared_error", beta, SHARES) - truth).max() < 1e-13


def test_shares_weigh_the_samples():
    net, X, Y = _problem("tanh", "log_loss")
    alone = [
        update(net, X[[row]], Y[[row]], "log_loss", 0.1, np.ones(1)) for row in range(len(SHARES))
    ]
    together = update(net, X, Y, "log_loss", 0.1, SHARES)
    assert np.abs(together - SHARES @ np.array(alone)).max() < 1e-12
