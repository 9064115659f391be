"""Deep networks: displacements in units of their layer, against dense algebra."""

import numpy as np
import pytest

from sklearn_eqprop._backend import NumpyBackend
from sklearn_eqprop._losses import LABEL_LOSSES
from sklearn_eqprop._network import (
    LoopGainGuard,
    attenuations,
    feedback_gains,
    initial_weights,
    layered_wiring,
    wired_network,
)
from sklearn_eqprop._relaxation import RELAXATIONS
from sklearn_eqprop._substrates.deep import DeepNetwork
from sklearn_eqprop._substrates.limits import SettlingLimits
from sklearn_eqprop._substrates.simulated import SimulatedNetwork

X = np.random.RandomState(1).standard_normal((20, 5))
TARGET = np.eye(3)[np.arange(20) % 3]


def _network(n_hidden, activation, dtype=np.float64, *, tied=False, bound=0.05):
    sizes = (5, *[8] * n_hidden, 3)
    wiring = layered_wiring(n_hidden + 1)
    coefs, biases, feedback = initial_weights(
        sizes,
        wiring,
        feedback_init="transpose",
        feedback_scale=0.3,
        rng=np.random.RandomState(0),
        dtype=dtype,
    )
    if tied:
        feedback = wiring.strengths(0.3, np.dtype(dtype))
    network = wired_network(
        wiring, coefs, biases, feedback, activation=activation, backend=NumpyBackend()
    )
    LoopGainGuard(network, bound)
    return network


def _nudged(kind, network, strengths, *, relaxation="gauss_seidel", exact=True, **options):
    """Return the nudged phases, and the changes that the first one brings."""
    limits = SettlingLimits(1e-12, 1e-11, 3000, 3000, literal=False)
    if not exact:
        limits = SettlingLimits(1e-6, 1e-5, 300, 300, literal=False)
    step = 0.5 if relaxation == "euler" else 1.0
    substrate = kind(network, RELAXATIONS[relaxation](step), limits, **options)
    free = substrate.settle(X.astype(network.dtype))
    loss, target = LABEL_LOSSES["squared_error"](), TARGET.astype(network.dtype)
    phases = substrate.settle_nudged(free, loss, target, strengths)
    return free, phases, substrate.local_change(free, phases[0].states)


@pytest.mark.parametrize("relaxation", ["gauss_seidel", "euler", "anderson"])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("activation", ["relu", "hard_sigmoid", "tanh"])
def test_units_change_nothing_else(activation, tied, relaxation):
    network = _network(6, activation, tied=tied)
    settings = {"strengths": [0.5, -0.1], "relaxation": relaxation}
    _, plain, changes = _nudged(SimulatedNetwork, network, attenuated=True, **settings)
    _, in_units, own_changes = _nudged(DeepNetwork, network, **settings)
    units = attenuations(network.wiring, feedback_gains(network))
    for one, other in zip(plain, in_units, strict=True):
        assert other.converged.all()
        for unit, d, e in zip(units, one.states, other.states, strict=True):
            assert d / unit == pytest.approx(e, rel=1e-7, abs=1e-9 * np.abs(e).max())
    layers = [parameter.layer for parameter in network.parameters()]
    for layer, change, own in zip(layers, changes, own_changes, strict=True):
        size = np.abs(own).max()
        assert change / units[layer - 1] == pytest.approx(own, rel=1e-6, abs=1e-8 * size)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ["identity", "relu"])
def test_64_layers_against_dense_algebra(activation, dtype):
    network = _network(64, activation, dtype)
    units = attenuations(network.wiring, feedback_gains(network))
    assert units[0] < 1e-100  # far below the smallest float32
    exact = dtype is np.float64
    free, [phase], _ = _nudged(DeepNetwork, network, [1e-3], exact=exact)
    forward = [connection.weights.astype(float) for connection in network.forward]
    back = [connection.weights.astype(float) for connection in network.feedback]
    sizes = network.layer_sizes
    ends = np.cumsum([0, *sizes])
    for row in range(3):
        active = [np.ones(size) for size in sizes]
        if activation == "relu":
            active = [(s[row] > 0).astype(float) for s in free.result.states[:-1]] + [active[-1]]
        # (1 - J) e = push, where J has the drives of neighbours in units of each layer.
        matrix, push = np.eye(ends[-1]), np.zeros(ends[-1])
        for layer in range(1, len(sizes)):
            below = slice(ends[layer - 1], ends[layer])
            above = slice(ends[layer], ends[layer + 1])
            ratio = units[layer - 1] / units[layer]
            matrix[above, below] -= ratio * (active[layer][:, None] * forward[layer].T)
            matrix[below, above] -= (active[layer - 1][:, None] * back[layer - 1].T) / ratio
        output = slice(ends[-2], ends[-1])
        # The nudged output solves (1 + β) d = drive + β (y - s).
        matrix[output, output] += 1e-3 * np.eye(sizes[-1])
        push[output] = 1e-3 * (TARGET[row] - free.result.states[-1][row])
        expected = np.linalg.solve(matrix, push)
        for layer in range(len(sizes)):
            found, truth = phase.states[layer][row], expected[ends[layer] : ends[layer + 1]]
            size = np.abs(truth).max()
            assert found == pytest.approx(truth, abs=(1e-8 if exact else 1e-3) * size)


def test_deeper_than_floats_reach_is_still_finite():
    network = _network(200, "relu", bound=0.003)
    assert min(attenuations(network.wiring, feedback_gains(network))) > 0
    _, _, changes = _nudged(DeepNetwork, network, [0.5])
    assert all(np.isfinite(change).all() for change in changes)
