"""Homeostasis of convolutions against dense matrices written out by hand, and where it leads."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from sklearn_eqprop import Conv2D, EqPropClassifier
from sklearn_eqprop._feedback.homeostasis import (
    draw_probes,
    homeostatic_shares,
    homeostatic_steps,
)
from sklearn_eqprop._network import feedback_gains
from sklearn_eqprop._substrates.probes import local_asymmetries
from tests.conv_engine import STACKS, random_conv_net, substrate_of, task, twin


def _penalties(net, X, S, gains):
    """P_l of every loop at given states: 1/2 Σ (B_ji/γ ρ'_j - F_ij ρ'_i)² over units that move."""
    totals = np.zeros(len(gains))
    for s, x in zip(S, X, strict=True):
        W, _ = net.system(s, x)
        slope = ((s > net.low) & (s < net.high)).astype(float)
        for index, gain in enumerate(gains):
            below, above = net.span(index + 1), net.span(index + 2)
            up = W[below, above] * slope[below][:, None]
            down = W[above, below] / gain * slope[above][:, None]
            free = np.outer(slope[below], slope[above])
            totals[index] += (free * (down.T - up) ** 2).sum() / (2 * len(X))
    return totals


# (With hard sigmoids in "max_max", windows of units at a bound have equal members.)
@pytest.mark.parametrize(
    ("stack", "activation"),
    [*((stack, "relu") for stack in STACKS), ("max", "hard_sigmoid"), ("average", "hard_sigmoid")],
)
def test_what_kernels_measure_is_the_gradient_of_the_penalty(stack, activation):
    net = random_conv_net(stack, activation=activation)
    X, _ = task()
    S = net.equilibrium(X)
    gains = [
        np.linalg.norm(back) / np.linalg.norm(forward)
        for back, forward in zip(net.feedback, net.coefs[1:], strict=True)
    ]
    n_units = net.ends[-1]
    probes = np.tile(np.sqrt(n_units) * np.eye(n_units), (len(X), 1))  # mean of e e^T: identity
    substrate = substrate_of(net, stack)
    free = substrate.settle(X.repeat(n_units, axis=0))
    weights = np.full((len(probes), 1), 1 / len(probes))
    found = substrate.local_asymmetry(free, net.split(probes), gains, weights)
    for index, gain in enumerate(gains):
        block, step = net.feedback[index], 1e-6
        truth = np.empty_like(block)
        for place in np.ndindex(block.shape):
            kept, values = block[place], []
            for sign in (1, -1):
                block[place] = kept + sign * step
                values.append(_penalties(net, X, S, gains)[index])
            block[place] = kept
            truth[place] = gain * (values[0] - values[1]) / (2 * step)
        assert np.abs(truth).max() > 1e-2
        assert np.abs(found[index] - truth).max() < 1e-7


@pytest.mark.parametrize("stack", STACKS)
def test_random_probes_align_kernels_and_leave_little_noise(stack):
    net = random_conv_net(stack)
    network, rng, n = twin(net, stack), np.random.RandomState(0), 20
    X, _ = task(n)
    network = network.hold(substrate_of(net, stack).settle(X).result.states)
    for block in network.feedback:
        block.weights[...] = rng.standard_normal(block.weights.shape)
        block.weights *= 0.3 / np.linalg.norm(block.weights)
    for _ in range(600):
        gains, shares = feedback_gains(network), homeostatic_shares(network, n, 1.0)
        found = local_asymmetries(network, [None] * 4, draw_probes(network, n, rng), gains, 1 / n)
        steps = homeostatic_steps(network, found, gains, shares)
        for feedback, step in zip(network.feedback, steps, strict=True):
            feedback.weights += step
    for feedback, partner in zip(network.feedback, network.wiring.partners, strict=True):
        one, other = feedback.weights, feedback.mirror(network.forward[partner].weights)
        cosine = np.vdot(one, other) / np.linalg.norm(one) / np.linalg.norm(other)
        assert cosine > 0.95


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("pooling", ["max", "average"])
def test_independent_kernels_turn_while_training(pooling):
    X, y = load_digits(return_X_y=True)
    layers = (Conv2D(6, 3, pool=2, pooling=pooling), Conv2D(8, 2), 16)
    settings = {"feedback_init": "independent", "input_shape": (8, 8), "random_state": 0}
    cosines = {}
    for way in ("homeostasis", "local"):
        model = EqPropClassifier(layers, feedback_learning=way, max_iter=6, **settings)
        model.fit(X[:600] / 16, y[:600])
        cosines[way] = []
        for back, forward in zip(model.feedback_coefs_, model.coefs_[1:], strict=True):
            other = forward if back.ndim == 4 else forward.T
            cosine = np.vdot(back, other) / np.linalg.norm(back) / np.linalg.norm(other)
            cosines[way].append(cosine)
    assert cosines["homeostasis"][0] > 0.65
    assert cosines["local"][0] < 0.4
