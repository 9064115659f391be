"""Good parameters: networks of which it is known whether they converge and where ν leads."""

import numpy as np
import pytest

from sklearn_eqprop.diagnostics import good_parameter
from sklearn_eqprop.diagnostics._subject import MAX_STEPS
from tests.dense_truth import DenseNet, random_task
from tests.diagnostics.twins import N_SAMPLES, cosine, problem, shares, twin


@pytest.mark.parametrize("activation", ["hard_sigmoid", "relu", "tanh"])
def test_a_contraction_with_aligned_feedback_is_good(activation):
    net, X, Y = problem(activation, tied=True)
    model, y = twin(net, "squared_error", X, Y)
    found = good_parameter(model, X, y, n_starts=4)
    assert found.is_good
    assert found.converged == found.same_equilibrium == 1
    assert found.largest_distance < 1e-6
    assert found.settled.shape == found.n_steps.shape == (4, N_SAMPLES)
    nu = net.theorem_1(X, "squared_error", Y, shares())
    gradient = net.gradient(X, "squared_error", Y, shares())
    assert found.slope == pytest.approx(nu @ gradient, rel=1e-6)
    assert found.cosine == pytest.approx(cosine(nu, -gradient), abs=1e-6)
    assert str(found).startswith("A good parameter")


def test_feedback_that_leads_uphill_is_not_good():
    net, X, Y = problem("tanh")
    # Large inputs on small weights: the first layer, whose signal has the wrong sign, decides.
    X, net.coefs[0] = 100 * X, net.coefs[0] / 100
    net.feedback[:] = [0.5 * net.coefs[1].T, -0.5 * net.coefs[2].T]
    model, y = twin(net, "squared_error", X, Y)
    found = good_parameter(model, X, y, n_starts=2)
    truth = DenseNet("tanh", net.coefs, net.biases, net.feedback)
    nu = truth.theorem_1(X, "squared_error", Y, shares())
    gradient = truth.gradient(X, "squared_error", Y, shares())
    assert nu @ gradient > 0.1
    assert found.slope == pytest.approx(nu @ gradient, rel=1e-5)
    assert found.converged == 1
    assert not found.is_good


def _latch(weight):
    """Input 1, a hidden unit and an output that drive each other by `weight`."""
    return DenseNet(
        "tanh",
        [np.zeros((1, 1)), np.array([[weight]])],
        [np.zeros(1), np.zeros(1)],
        [np.array([[weight]])],
    )


def test_two_equilibria_are_noticed():
    # s_1 = 1.5² tanh(s_1): from rest it stays at 0, from elsewhere it latches at ±1.96...
    net = _latch(1.5)
    X, Y = random_task(3, (1, 1))
    model, y = twin(net, "squared_error", X, Y)
    found = good_parameter(model, X, y, n_starts=6)
    assert found.converged == 1
    assert found.same_equilibrium == 0
    # Error signals grow without end at an equilibrium that no start but rest leads to.
    assert np.isnan(found.slope)
    assert not found.is_good
    latched = 2.0
    for _ in range(200):
        latched = 1.5**2 * np.tanh(latched)
    # The output rests at 1.5 tanh(s_1); states of up to 1 are the unit.
    assert found.largest_distance == pytest.approx(max(latched, 1.5 * np.tanh(latched)), rel=1e-6)


def test_oscillation_is_not_good():
    # With Euler steps of 1, s <- (5 tanh(o), -5 tanh(s)) goes round for ever.
    net = DenseNet(
        "tanh",
        [np.zeros((1, 1)), np.array([[-5.0]])],
        [np.full(1, 0.1), np.zeros(1)],
        [np.array([[5.0]])],
    )
    X, Y = random_task(2, (1, 1))
    model, y = twin(net, "squared_error", X, Y, relaxation="euler", max_relax_iter=5)
    found = good_parameter(model, X, y, n_starts=2)
    assert not found.is_good
    assert found.converged == 0
    assert np.isnan(found.same_equilibrium)
    assert (found.n_steps == MAX_STEPS).all()
    assert str(found).startswith("Not a good parameter")


def test_starts_are_drawn_from_the_random_state():
    net, X, Y = problem("tanh")
    model, y = twin(net, "squared_error", X, Y)
    one, same, other = (
        good_parameter(model, X, y, n_starts=3, random_state=seed).largest_distance
        for seed in (0, 0, 1)
    )
    assert one == same != other


@pytest.mark.parametrize("n_starts", [0, 2.5, True, "many"])
def test_number_of_starts(n_starts):
    net, X, Y = problem()
    model, y = twin(net, "squared_error", X, Y)
    with pytest.raises(
        ValueError, match=f"n_starts must be an integer of at least 1. Got {n_starts!r}"
    ):
        good_parameter(model, X, y, n_starts=n_starts)
