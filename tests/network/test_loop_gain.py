"""The loop-gain safeguard: its norms, its bound, and the contraction derived from it."""

import itertools
import math

import numpy as np
import pytest

from sklearn_eqprop._network import LoopGainGuard, allowed_loop_product, feedback_gains
from sklearn_eqprop._network.gains import WARM_UP_STEPS
from tests.dense_truth import DenseNet, random_net, random_task
from tests.engine import joined, network_of, settle

BOUND = 0.5
DEPTHS = range(2, 7)  # layers that have a state


def _sizes(n_layers):
    return (4, 9, 12, 7, 10, 8, 6)[: n_layers + 1]


def _spectral_norms(blocks):
    return np.array([np.linalg.svd(block, compute_uv=False)[0] for block in blocks])


def _products(network):
    up = _spectral_norms([connection.weights for connection in network.forward[1:]])
    down = _spectral_norms(
        [connection.gain * connection.weights for connection in network.feedback]
    )
    return up * down


def _at_the_bound(n_layers, bound, seed):
    """Random blocks of random norms whose loops all have exactly the largest allowed product."""
    rng = np.random.RandomState(seed)
    net = random_net(_sizes(n_layers), "identity", seed=seed)
    coefs = [coef * rng.uniform(0.2, 5) for coef in net.coefs]
    ups = _spectral_norms(coefs[1:])
    downs = _spectral_norms(net.feedback)
    limit = allowed_loop_product(n_layers, bound)
    feedback = [
        block * (limit / (up * down))
        for block, up, down in zip(net.feedback, ups, downs, strict=True)
    ]
    return DenseNet("identity", coefs, net.biases, feedback)


def _aligned(n_layers, bound):
    """Worst case: rank-one blocks that hand one direction on from layer to layer."""
    sizes = _sizes(n_layers)
    limit = allowed_loop_product(n_layers, bound)
    rng = np.random.RandomState(0)
    units = [rng.standard_normal(size) for size in sizes]
    units = [unit / np.linalg.norm(unit) for unit in units]
    coefs = [np.outer(pre, post) for pre, post in itertools.pairwise(units)]
    feedback = [limit * coef.T for coef in coefs[1:]]
    return DenseNet("identity", coefs, [np.zeros(size) for size in sizes[1:]], feedback)


def _spectral_radius(matrix):
    return np.abs(np.linalg.eigvals(matrix)).max()


def test_allowed_product_for_depths_worked_out_by_hand():
    # cos² of π/3, π/4, π/6 is 1/4, 1/2, 3/4.
    assert allowed_loop_product(1, 0.7) == math.inf
    assert allowed_loop_product(2, 0.7) == pytest.approx(0.7, rel=1e-14)
    assert allowed_loop_product(3, 0.7) == pytest.approx(0.7 / 2, rel=1e-14)
    assert allowed_loop_product(5, 0.7) == pytest.approx(0.7 / 3, rel=1e-14)


@pytest.mark.parametrize("n_layers", DEPTHS)
def test_allowed_product_from_the_norm_of_a_tridiagonal_matrix(n_layers):
    # The tridiagonal matrix with off-diagonal entries sqrt(product) must have norm sqrt(c).
    entry = math.sqrt(allowed_loop_product(n_layers, BOUND))
    ones = np.ones(n_layers - 1)
    matrix = entry * (np.diag(ones, 1) + np.diag(ones, -1))
    assert np.linalg.norm(matrix, 2) == pytest.approx(math.sqrt(BOUND), rel=1e-13)


@pytest.mark.parametrize("n_layers", DEPTHS)
def test_settling_map_is_a_contraction_at_the_bound(n_layers):
    # The Jacobian of the drives is W^T diag(ρ'); any |ρ'| <= 1 may occur.
    for seed in range(20):
        net = _at_the_bound(n_layers, BOUND, seed)
        slopes = np.random.RandomState(seed).uniform(-1, 1, net.ends[-1])
        assert _spectral_radius(net.W.T) <= math.sqrt(BOUND) * (1 + 1e-12)
        assert _spectral_radius(net.W.T * slopes) <= math.sqrt(BOUND) * (1 + 1e-12)


@pytest.mark.parametrize("n_layers", DEPTHS)
def test_bound_is_reached_by_aligned_blocks(n_layers):
    # So the formula could not be any larger.
    radius = _spectral_radius(_aligned(n_layers, BOUND).W.T)
    assert radius == pytest.approx(math.sqrt(BOUND), rel=1e-10)


@pytest.mark.parametrize("activation", ["identity", "tanh", "relu", "hard_sigmoid"])
@pytest.mark.parametrize("n_layers", DEPTHS)
def test_settling_is_geometric_at_the_promised_rate(n_layers, activation):
    # In units in which both sides of every loop are equal, each Euler step with ε = 1 shrinks the
    # distance to the fixed point by sqrt(c) at least.
    made = _at_the_bound(n_layers, BOUND, seed=1)
    net = DenseNet(activation, made.coefs, made.biases, made.feedback)
    X, _ = random_task(3, _sizes(n_layers))
    ratio = np.sqrt(_spectral_norms(net.feedback) / _spectral_norms(net.coefs[1:]))
    per_layer = np.concatenate([[1.0], np.cumprod(ratio)])
    units = np.repeat(per_layer, np.diff(net.ends))
    truth = net.equilibrium(X)
    distances = []
    for n_steps in range(1, 12):
        result = settle(net, X, "euler", tolerance=1e-300, max_iter=n_steps)
        distances.append(np.linalg.norm((joined(result.states) - truth) * units, axis=1))
    start = np.linalg.norm(truth * units, axis=1)
    previous = np.array([start, *distances[:-1]])
    assert (np.array(distances) <= math.sqrt(BOUND) * previous + 1e-13).all()
    assert (distances[0] > 1e-3).all()


def test_promised_rate_is_attained_by_aligned_blocks():
    net = _aligned(4, BOUND)
    X, _ = random_task(2, _sizes(4))
    runs = [settle(net, X, "euler", tolerance=1e-300, max_iter=n).residual for n in (30, 50)]
    rates = (runs[1] / runs[0]) ** (1 / 20)
    assert rates == pytest.approx(math.sqrt(BOUND), rel=1e-6)


@pytest.mark.parametrize("n_layers", DEPTHS)
def test_guard_brings_every_loop_to_the_bound(n_layers):
    net = random_net(_sizes(n_layers), "tanh", gain=1.5, loop=4.0, seed=n_layers)
    network = network_of(net)
    limit = allowed_loop_product(n_layers, BOUND)
    assert (_products(network) > 2 * limit).all()
    guard = LoopGainGuard(network, BOUND)
    for _ in range(10):
        guard.enforce(WARM_UP_STEPS)
    assert (_products(network) <= limit * (1 + 1e-3)).all()
    # It shrinks no more than it must, and leaves the forward weights and directions alone.
    assert (_products(network) > limit * (1 - 1e-6)).all()
    for connection, coef in zip(network.forward, net.coefs, strict=True):
        assert np.array_equal(connection.weights, coef)
    for connection, block in zip(network.feedback, net.feedback, strict=True):
        scale = connection.weights / block
        assert np.abs(scale / scale[0, 0] - 1).max() < 1e-12


def test_guard_overestimates_no_norm_and_is_close_after_its_warm_up():
    # Power iteration finds lower estimates: B never shrinks more than the true norms ask for.
    for seed in range(10):
        net = random_net((4, 30, 20, 10), "tanh", gain=1.5, loop=4.0, seed=seed)
        network = network_of(net)
        LoopGainGuard(network, BOUND)
        limit = allowed_loop_product(3, BOUND)
        assert (_products(network) >= limit * (1 - 1e-12)).all()
        assert (_products(network) <= limit * 1.05).all()


def test_guard_keeps_up_with_weights_that_grow():
    # One step of power iteration an update, as in training.
    net = random_net((4, 9, 12, 7), "tanh", gain=0.6, loop=0.1, seed=2)
    network = network_of(net)
    guard = LoopGainGuard(network, BOUND)
    limit = allowed_loop_product(3, BOUND)
    drift = np.random.RandomState(5)
    steps = [drift.standard_normal(c.weights.shape) for c in network.forward[1:]]
    n_enforced = 0
    for _ in range(400):
        for connection, step in zip(network.forward[1:], steps, strict=True):
            connection.weights += 2e-3 * step
        before = [connection.weights.copy() for connection in network.feedback]
        guard.enforce()
        after = [connection.weights for connection in network.feedback]
        n_enforced += any(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))
        assert (_products(network) <= limit * (1 + 5e-3)).all()
    assert n_enforced > 20


def test_guard_leaves_weak_loops_alone():
    net = random_net((4, 9, 12, 7), "tanh", gain=0.6, loop=0.1)
    network = network_of(net)
    LoopGainGuard(network, BOUND).enforce()
    for parameter, block in zip(network.parameters(), net.blocks(), strict=True):
        assert np.array_equal(parameter.array, block)


def test_guard_of_a_tied_network_shrinks_its_strength_and_no_weight():
    net = random_net((4, 9, 12, 7), "tanh", tied=True, gain=1.5, seed=3)
    network = network_of(net)
    guard = LoopGainGuard(network, BOUND)
    for _ in range(10):
        guard.enforce(WARM_UP_STEPS)
    limit = allowed_loop_product(3, BOUND)
    assert _products(network) == pytest.approx(np.full(2, limit), rel=1e-3)
    for forward, feedback in zip(network.forward[1:], network.feedback, strict=True):
        assert feedback.gain < 0.2
        pre = np.eye(forward.weights.shape[1])
        assert np.array_equal(feedback.apply(pre), feedback.gain * forward.weights.T)
    for forward, coef in zip(network.forward, net.coefs, strict=True):
        assert np.array_equal(forward.weights, coef)


def test_guard_goes_on_from_the_vectors_of_an_earlier_one():
    net = random_net((4, 9, 12, 7), "tanh", gain=1.5, loop=4.0, seed=4)
    once, twice = network_of(net), network_of(net)
    guard = LoopGainGuard(once, BOUND)
    guard.enforce(3)
    first = LoopGainGuard(twice, BOUND)
    LoopGainGuard(twice, BOUND, [vector.copy() for vector in first.vectors]).enforce(3)
    for one, two in zip(once.parameters(), twice.parameters(), strict=True):
        assert np.array_equal(one.array, two.array)


def test_guard_survives_blocks_of_zeros():
    net = random_net((4, 9, 12, 7), "tanh", gain=1.5, loop=4.0)
    net.feedback[0][:] = 0
    net.coefs[2][:] = 0
    network = network_of(net)
    LoopGainGuard(network, BOUND).enforce()
    for parameter, block in zip(network.parameters(), net.blocks(), strict=True):
        assert np.array_equal(parameter.array, block)


def test_feedback_gains_are_gamma_for_scaled_transposes():
    net = random_net((4, 9, 12, 7), "tanh")
    gammas = [0.3, 0.02]
    feedback = [gamma * coef.T for gamma, coef in zip(gammas, net.coefs[1:], strict=True)]
    scaled = DenseNet("tanh", net.coefs, net.biases, feedback)
    assert feedback_gains(network_of(scaled)) == pytest.approx(gammas, rel=1e-14)


def test_norms_whose_squares_overflow():
    network = network_of(random_net((3, 4, 2), "tanh"))
    large = np.array([[3e20, 4e20]], dtype=np.float32)
    with np.errstate(over="ignore"):
        finite, infinite = network.norms([large, np.array([np.inf, 1.0])])
    assert finite == pytest.approx(5e20, rel=1e-6)
    assert infinite != finite
