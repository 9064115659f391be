"""The bound on how far layers can be from rest, against equilibria found independently."""

import numpy as np
import pytest

from sklearn_eqprop._network import Dense
from sklearn_eqprop._network.certainty import (
    ALLOWANCE,
    N_STARTS,
    error_factors,
    spectral_norm,
)
from tests.dense_graph import GRAPHS, random_graph_net
from tests.dense_truth import DenseNet, random_net, random_task
from tests.engine import network_of

ACTIVATIONS = ("relu", "hard_sigmoid", "tanh", "logistic")


def _weakened(net, radius):
    """The same net with all weights above the input scaled to this spectral radius of the norms."""
    norms = _norm_matrix(net)
    scale = radius / abs(np.linalg.eigvals(norms)).max()
    coefs = [
        block * (1.0 if pair[0] == 0 else scale)
        for pair, block in zip(net.connections, net.coefs, strict=False)
    ]
    feedback = [scale * block for block in net.feedback]
    return net.with_theta(
        np.concatenate([block.ravel() for block in (*coefs, *feedback, *net.biases)])
    )


def _norm_matrix(net):
    blocks = [*net.coefs, *net.feedback]
    norms = np.zeros((net.n_layers, net.n_layers))
    for (source, target), block in zip(net.connections, blocks, strict=True):
        if source:
            norms[target - 1, source - 1] = np.linalg.norm(block, 2)
    return norms


def _nets(activation, seed):
    yield random_net((4, 9, 8, 7, 3), activation, seed=seed)
    for graph in GRAPHS.values():
        yield random_graph_net(graph, activation, seed=seed)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_no_layer_is_further_from_rest_than_the_bound(activation):
    rng = np.random.RandomState(0)
    for seed in range(3):
        for net in _nets(activation, seed):
            net = _weakened(net, 0.8)
            X = random_task(5, (4, 3))[0]
            rest = net.equilibrium(X)
            factors = error_factors(network_of(net))
            for size in (1e-3, 0.1, 3.0):
                start = rest + size * rng.standard_normal(rest.shape)
                S = np.clip(start, net.low, net.high)
                left = np.clip(net.drive(S, X), net.low, net.high) - S
                residuals = _layer_norms(net, left)
                assert (_layer_norms(net, S - rest) <= residuals @ factors.T * (1 + 1e-12)).all()


def _layer_norms(net, parts):
    return np.stack([np.linalg.norm(part, axis=1) for part in net.split(parts)], axis=1)


def test_factors_are_those_of_the_spectral_norms():
    net = _weakened(random_net((4, 9, 8, 7, 3), "relu"), 0.5)
    exact = np.linalg.inv(np.eye(4) - _norm_matrix(net))
    allowed = np.linalg.inv(np.eye(4) - ALLOWANCE * _norm_matrix(net))
    factors = error_factors(network_of(net))
    assert (exact <= factors).all()
    assert np.allclose(factors, allowed, rtol=1e-3)


@pytest.mark.parametrize("shape", [(300, 300), (300, 100), (100, 300), (300, 10), (3, 300)])
@pytest.mark.parametrize("kind", ["normal", "uniform", "close singular values"])
def test_no_norm_is_more_than_the_allowance_above_what_is_found(shape, kind):
    # Random matrices have many singular values just below the largest: the hard case.
    rng = np.random.RandomState(0)
    weights = rng.standard_normal(shape) if kind == "normal" else rng.uniform(-1, 1, shape)
    if kind == "close singular values":
        left, values, right = np.linalg.svd(weights, full_matrices=False)
        weights = (left * np.linspace(1, 1.05, len(values))) @ right
    connection = Dense(1, 2, weights.astype(np.float32))
    found, exact = spectral_norm(connection, np.float32), np.linalg.norm(weights, 2)
    assert exact <= ALLOWANCE * found
    assert found <= exact * (1 + 1e-5)


@pytest.mark.parametrize("below", [0.9, 0.965, 0.975, 0.99])
def test_a_norm_that_one_unit_makes_alone_is_found(below):
    # The leading direction is one unit's, the rest of the spectrum dense below it. A single
    # starting direction that hardly touched this unit missed the norm by 4 %.
    n = 1000
    values = below * np.cos(np.linspace(0, 1, n) ** 2 * np.pi / 2)
    start = np.random.RandomState(0).standard_normal((N_STARTS, n))
    for hardly_touched in (abs(start[0]).argmin(), (start**2).sum(axis=0).argmin()):
        weights = np.diag(values).astype(np.float32)
        weights[hardly_touched, hardly_touched] = 1
        assert ALLOWANCE * spectral_norm(Dense(1, 2, weights), np.float32) >= 1


def test_a_bound_is_reached():
    # One unit a layer, all signs alike: every inequality is an equality, but for the allowance.
    coefs = [np.array([[1.0]]), np.array([[0.5]])]
    net = DenseNet("identity", coefs, [np.zeros(1)] * 2, [np.array([[0.4]])])
    first, second = error_factors(network_of(net))[-1]
    loop = 0.5 * 0.4 * ALLOWANCE**2
    assert first == pytest.approx(0.5 * ALLOWANCE / (1 - loop))
    assert second == pytest.approx(1 / (1 - loop))


def test_no_bound_where_settling_need_not_contract():
    net = random_net((4, 9, 8, 3), "relu")
    assert error_factors(network_of(_weakened(net, 0.99))) is None
    assert error_factors(network_of(_weakened(net, 3.0))) is None
    broken = _weakened(net, 0.5)
    broken.coefs[1][0, 0] = np.nan
    assert error_factors(network_of(broken)) is None


def test_weights_of_zero_are_no_trouble():
    net = random_net((4, 9, 3), "relu")
    zero = net.with_theta(0 * net.theta())
    assert error_factors(network_of(zero)).tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_no_bound_where_norms_overflow():
    net = random_net((4, 9, 3), "relu")
    with np.errstate(over="ignore", invalid="ignore"):
        assert error_factors(network_of(net.with_theta(1e200 * net.theta()))) is None
