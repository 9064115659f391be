"""A relaxation of one's own: momentum on top of Euler steps, written by the contract alone."""

import numpy as np
import pytest

from sklearn_eqprop._backend import CupyBackend, NumpyBackend
from sklearn_eqprop._network import Wiring, wired_network
from sklearn_eqprop._relaxation import RELAXATIONS, FreeField, Relaxation, SettleOptions, flow
from tests.backend import host_kernels
from tests.backend.fake_cupy import FakeCupy
from tests.dense_truth import random_net, random_task
from tests.engine import joined, network_of, settle

SIZES = (4, 6, 5, 3)
N_SAMPLES = 40


class HeavyBall(Relaxation):
    """m <- ½ m + ε μ^β(s), s <- clip(s + m)."""

    name = "heavy_ball"
    explicit_steps = True

    def begin(self, batch):
        return batch.field.zero_states()

    def measure(self, batch):
        residual, drives, velocities = flow(batch.field, batch.states)
        batch.memory = [
            0.5 * momentum + self.step_size * velocity
            for momentum, velocity in zip(batch.memory, velocities, strict=True)
        ]
        return residual, drives

    def advance(self, batch):
        batch.states = [
            batch.field.project(layer, state + momentum)
            for layer, (state, momentum) in enumerate(
                zip(batch.states, batch.memory, strict=True), start=1
            )
        ]


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    monkeypatch.setitem(RELAXATIONS, HeavyBall.name, HeavyBall)


def _task(activation="tanh"):
    net = random_net(SIZES, activation, gain=0.9, loop=0.6)
    X, _ = random_task(N_SAMPLES, SIZES)
    # Samples of all sizes settle at different times, so that rows are removed on the way.
    return net, X * np.logspace(-3, 1, N_SAMPLES)[:, None]


@pytest.mark.parametrize("activation", ["tanh", "hard_sigmoid", "relu"])
def test_it_finds_the_fixed_points(activation):
    net, X = _task(activation)
    result = settle(net, X, "heavy_ball", step_size=0.5)
    assert result.converged.all()
    assert np.abs(joined(result.states) - net.equilibrium(X)).max() < 1e-11


def test_steps_are_those_of_a_plain_loop():
    net, X = _task()
    state, momentum = np.zeros((2, N_SAMPLES, sum(SIZES[1:])))
    for _ in range(7):
        momentum = 0.5 * momentum + 0.3 * net.field(state, X)
        state = state + momentum
    network = network_of(net)
    field = FreeField(network, network.clamp(X), N_SAMPLES)
    result = HeavyBall(0.3).settle(field, None, np.full(N_SAMPLES, 1e-300), 7)
    assert (result.n_steps == 7).all()
    assert np.abs(joined(result.states) - state).max() < 1e-12


def test_its_memory_follows_the_samples_when_settled_rows_are_removed():
    net, X = _task()
    together = settle(net, X, "heavy_ball", step_size=0.5, tolerance=1e-6)
    assert np.unique(together.n_steps).size > 5
    for row in range(N_SAMPLES):
        alone = settle(net, X[[row]], "heavy_ball", step_size=0.5, tolerance=1e-6)
        assert alone.n_steps[0] == together.n_steps[row]
        apart = joined(alone.states)[0] - joined(together.states)[row]
        assert np.abs(apart).max() < 1e-12


@pytest.mark.parametrize("freezes", [True, False])
def test_on_a_device_too(freezes):
    if not host_kernels.has_compiler:
        pytest.skip("needs g++ to run the device kernels on the host")
    net, X = _task()
    results = []
    for backend in (NumpyBackend(), CupyBackend(FakeCupy())):
        blocks = [
            [backend.from_host(block, float) for block in part]
            for part in (net.coefs, net.biases, net.feedback)
        ]
        network = wired_network(
            Wiring.of(net.connections), *blocks, activation="tanh", backend=backend
        )
        field = FreeField(network, network.clamp(backend.from_host(X, float)), N_SAMPLES)
        tolerance = backend.from_host(np.full(N_SAMPLES, 1e-6), float)
        result = HeavyBall(0.5).settle(
            field, None, tolerance, 500, options=SettleOptions(freezes=freezes)
        )
        results.append(result.map(backend.to_host))
    assert np.array_equal(results[0].n_steps, results[1].n_steps)
    for one, other in zip(results[0].states, results[1].states, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-13)
