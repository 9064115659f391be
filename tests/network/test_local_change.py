"""The network's drive and its per-layer updates against loops over single units (section 2)."""

import numpy as np
import pytest

from sklearn_eqprop._relaxation import FreeField
from tests.dense_truth import ACTIVATIONS, random_net, random_task
from tests.engine import joined, network_of

SIZES = (4, 5, 3, 6, 2)


def _setting(activation, tied):
    net = random_net(SIZES, activation, tied=tied)
    X, _ = random_task(3, SIZES)
    rng = np.random.RandomState(7)
    states = [rng.uniform(0, 1, (3, size)) for size in SIZES[1:]]
    deltas = [rng.standard_normal((3, size)) for size in SIZES[1:]]
    return net, X, states, deltas


def _pairs(pre, post):
    """Σ over samples of pre_i post_j, one synapse at a time."""
    change = np.zeros((pre.shape[1], post.shape[1]))
    for i in range(pre.shape[1]):
        for j in range(post.shape[1]):
            for sample in range(pre.shape[0]):
                change[i, j] += pre[sample, i] * post[sample, j]
    return change


def _expected(net, X, states, deltas):
    rate = ACTIVATIONS[net.activation][0]
    rates = [X, *[rate(state) for state in states[:-1]], states[-1]]
    L = net.n_layers
    forward = [_pairs(rates[layer - 1], deltas[layer - 1]) for layer in range(1, L + 1)]
    feedback = [_pairs(rates[layer + 1], deltas[layer - 1]) for layer in range(1, L)]
    biases = [sum(row for row in delta) for delta in deltas]
    return forward, feedback, biases


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_untied_weights_get_the_change_of_their_own_two_sides(activation):
    net, X, states, deltas = _setting(activation, tied=False)
    forward, feedback, biases = _expected(net, X, states, deltas)
    network = network_of(net)
    changes = network.local_products(X, network.rates(states), deltas)
    for found, truth in zip(changes, [*forward, *feedback, *biases], strict=True):
        assert found.shape == truth.shape
        assert np.abs(found - truth).max() < 1e-14


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_tied_weights_get_the_sum_of_both_directions(activation):
    net, X, states, deltas = _setting(activation, tied=True)
    forward, feedback, biases = _expected(net, X, states, deltas)
    network = network_of(net)
    changes = network.local_products(X, network.rates(states), deltas)
    both = [forward[0]]
    both += [up + down.T for up, down in zip(forward[1:], feedback, strict=True)]
    for found, truth in zip(changes, [*both, *biases], strict=True):
        assert found.shape == truth.shape
        assert np.abs(found - truth).max() < 1e-14


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_local_change_is_the_transposed_jacobian_of_the_field(activation, tied):
    # (∂μ/∂θ)^T Δ with ∂μ/∂θ taken from the dense system by differences.
    net, X, states, deltas = _setting(activation, tied)
    S, Delta = joined(states), joined(deltas)
    truth = sum(net.dmu_dtheta(s, x).T @ delta for s, x, delta in zip(S, X, Delta, strict=True))
    network = network_of(net)
    changes = network.local_products(X, network.rates(states), deltas)
    found = np.concatenate([change.ravel() for change in changes])
    assert np.abs(found - truth).max() < 1e-13


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_drive_is_that_of_the_dense_system(activation, tied):
    net, X, states, _ = _setting(activation, tied)
    network = network_of(net)
    field = FreeField(network, network.clamp(X), X.shape[0])
    drives = [field.drive(layer, network.rates(states)) for layer in range(1, net.n_layers + 1)]
    assert np.abs(joined(drives) - net.drive(joined(states), X)).max() < 1e-14


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_parameters_are_in_the_order_of_the_changes(tied):
    net, *_ = _setting("tanh", tied)
    parameters = network_of(net).parameters()
    for parameter, block in zip(parameters, net.blocks(), strict=True):
        assert np.array_equal(parameter.array, block)
    L = net.n_layers
    layers = [*range(1, L + 1), *([] if tied else range(1, L)), *range(1, L + 1)]
    roles = ["forward"] * L + ([] if tied else ["feedback"] * (L - 1)) + ["bias"] * L
    assert [parameter.layer for parameter in parameters] == layers
    assert [parameter.role for parameter in parameters] == roles
