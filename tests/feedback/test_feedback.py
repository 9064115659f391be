"""Feedback's own rules: Kolen-Pollack coupling and the attenuation of deep signals."""

import numpy as np
import pytest

from sklearn_eqprop._feedback.kolen_pollack import Follower
from sklearn_eqprop._network import attenuations, feedback_gains, layered_wiring
from tests.dense_truth import DenseNet, random_net, random_task
from tests.engine import joined, network_of, substrate_of

SIZES = (4, 6, 5, 3)
GAMMAS = (0.3, 0.05)


def _coupled(scale_of_difference):
    """A network with B_l = γ_l F_{l+1}^T plus something else."""
    net = random_net(SIZES, "tanh")
    rng = np.random.RandomState(1)
    feedback = [
        gamma * coef.T + scale_of_difference * rng.standard_normal(coef.T.shape)
        for gamma, coef in zip(GAMMAS, net.coefs[1:], strict=True)
    ]
    return network_of(DenseNet("tanh", net.coefs, net.biases, feedback))


def _differences(network):
    return [
        feedback.weights - gamma * forward.weights.T
        for feedback, forward, gamma in zip(
            network.feedback, network.forward[1:], GAMMAS, strict=True
        )
    ]


def _update(network, gains, decays, seed=2):
    rng = np.random.RandomState(seed)
    steps = [rng.standard_normal(connection.weights.shape) for connection in network.forward]
    pairs = zip(network.feedback, network.forward[1:], steps[1:], gains, decays, strict=True)
    for feedback, forward, step, gain, decay in pairs:
        copy = Follower(feedback.weights.T, gain, decay)
        copy.follow(copy.array, forward.weights, step, decay)
    for connection, step in zip(network.forward, steps, strict=True):
        connection.weights += step


@pytest.mark.parametrize("decays", [(0.0, 0.0), (0.1, 0.3)])
def test_difference_shrinks_by_1_minus_decay(decays):
    network = _coupled(0.2)
    before = _differences(network)
    _update(network, GAMMAS, decays)
    for old, new, decay in zip(before, _differences(network), decays, strict=True):
        assert np.abs(old).max() > 0.1
        assert np.abs(new - (1 - decay) * old).max() < 1e-14


@pytest.mark.parametrize("decays", [(0.0, 0.0), (0.1, 0.3)])
def test_a_scaled_transpose_stays_one(decays):
    # Under its own measured gains, many updates long.
    network = _coupled(0.0)
    for seed in range(20):
        _update(network, feedback_gains(network), decays, seed)
    for difference in _differences(network):
        assert np.abs(difference).max() < 1e-13
    assert feedback_gains(network) == pytest.approx(GAMMAS, rel=1e-13)


def test_attenuation_is_the_product_of_the_gains_above():
    gains = (0.5, 0.2, 0.1)
    assert attenuations(layered_wiring(4), gains) == pytest.approx(
        [0.01, 0.02, 0.1, 1.0], rel=1e-14
    )
    assert attenuations(layered_wiring(1), ()) == [1.0]
    assert min(attenuations(layered_wiring(2), (0.0,))) > 0


def test_attenuation_is_how_much_weaker_feedback_makes_deep_displacements():
    # Weak feedback, linear units: the displacement of layer l is Π γ_j times that of γ = 1 up to
    # second order in the loops; division by the attenuation brings back backprop's signal.
    net = random_net(SIZES, "identity")
    gains = [1e-4, 1e-3]
    feedback = [gain * coef.T for gain, coef in zip(gains, net.coefs[1:], strict=True)]
    weak = DenseNet("identity", net.coefs, net.biases, feedback)
    X, Y = random_task(4, SIZES)
    states = [weak.equilibrium(X, "squared_error", Y, beta) for beta in (1e-3, -1e-3)]
    measured = weak.split((states[0] - states[1]) / 2e-3)
    backprop = Y - joined(substrate_of(weak).settle(X).result.states)[:, -SIZES[-1] :]
    scales = attenuations(layered_wiring(3), feedback_gains(network_of(weak)))
    for layer in (3, 2, 1):
        error = np.linalg.norm(measured[layer - 1] / scales[layer - 1] - backprop)
        assert error < 2e-3 * np.linalg.norm(backprop)
        backprop = backprop @ net.coefs[layer - 1].T
