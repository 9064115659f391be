"""Theorems 3 and 4 against powers of the dense matrix 1 + ε A, and their limits."""

import numpy as np
import pytest

from sklearn_eqprop.diagnostics import error_processes
from tests.dense_truth import ACTIVATIONS, LOSSES
from tests.diagnostics.twins import (
    N_SAMPLES,
    blocks_of,
    cost_slopes,
    jacobians,
    problem,
    shares,
    twin,
)

STEP = 0.25
N_STEPS = 8


def _dense_signals(net, loss, X, Y, *, transposed):
    """Every sample's signal after 0..N_STEPS Euler steps, (times, samples, units)."""
    signals = np.zeros((N_STEPS + 1, N_SAMPLES, net.ends[-1]))
    for sample, ((A, free), C_s) in enumerate(
        zip(jacobians(net, X), cost_slopes(net, loss, X, Y), strict=True)
    ):
        matrix, start = (A.T, C_s) if transposed else (A, -C_s)
        for step in range(N_STEPS + 1):
            power = np.linalg.matrix_power(np.eye(len(A)) + STEP * matrix, step)
            signals[step, sample, free] = power @ start[free]
    return signals


def _layer(net, signals, layer):
    return signals[..., net.span(layer)].reshape(len(signals), -1)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_both_processes_step_by_step(activation, loss):
    net, X, Y = problem(activation, loss)
    model, y = twin(net, loss, X, Y)
    found = error_processes(
        model, X, y, step_size=STEP, max_time=STEP * N_STEPS, tol=0, n_records=200
    )
    np.testing.assert_allclose(found.times, STEP * np.arange(N_STEPS + 1))
    S = _dense_signals(net, loss, X, Y, transposed=True)
    sigma = _dense_signals(net, loss, X, Y, transposed=False)
    for layer in range(1, net.n_layers + 1):
        of_S, of_sigma = _layer(net, S, layer), _layer(net, sigma, layer)
        sizes = [np.linalg.norm(of, axis=1) / np.sqrt(N_SAMPLES) for of in (of_S, of_sigma)]
        np.testing.assert_allclose(found.S_size[:, layer - 1], sizes[0], rtol=1e-9, atol=1e-12)
        # σ is measured at β = 1e-6.
        np.testing.assert_allclose(found.sigma_size[:, layer - 1], sizes[1], rtol=2e-4, atol=1e-9)
        arrived = slice(net.n_layers - layer, None)
        products = (of_S * -of_sigma).sum(axis=1)[arrived]
        truth = products / (N_SAMPLES * (sizes[0] * sizes[1])[arrived])
        np.testing.assert_allclose(found.cosine[arrived, layer - 1], truth, atol=1e-4)
        assert np.isnan(found.cosine[: net.n_layers - layer, layer - 1]).all()


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ["hard_sigmoid", "tanh"])
def test_the_limits_are_the_gradient_and_nu(activation, loss, tied):
    net, X, Y = problem(activation, loss, tied=tied)
    model, y = twin(net, loss, X, Y)
    found = error_processes(model, X, y, max_time=200, tol=1e-9)
    assert found.remaining <= 1e-9
    assert found.times[-1] < 200
    gradient = blocks_of(net, net.gradient(X, loss, Y, shares()))
    nu = blocks_of(net, net.theorem_1(X, loss, Y, shares()))
    names = ["F_1", "F_2", "F_3", *([] if tied else ["B_1", "B_2"]), "b_1", "b_2", "b_3"]
    assert found.blocks == names
    for index in range(len(names)):
        scale = np.abs(gradient[index]).max()
        np.testing.assert_allclose(
            found.gradient[index].ravel(), gradient[index], atol=1e-6 * scale + 1e-8
        )
        scale = np.abs(nu[index]).max()
        np.testing.assert_allclose(found.nu[index].ravel(), nu[index], atol=1e-5 * scale)
        assert found.nu_size[-1, index] == pytest.approx(np.linalg.norm(nu[index]), rel=1e-5)


def test_a_symmetric_network_has_one_process():
    net, X, Y = problem("hard_sigmoid", tied=True)
    model, y = twin(net, "squared_error", X, Y)
    found = error_processes(model, X, y)
    np.testing.assert_allclose(found.S_size, found.sigma_size, rtol=1e-3, atol=1e-8)
    weights = found.theta_cosine[-1]
    np.testing.assert_allclose(weights, 1, atol=1e-8)
    # Nowhere else.
    net, X, Y = problem("hard_sigmoid")
    model, y = twin(net, "squared_error", X, Y)
    assert np.nanmin(error_processes(model, X, y).theta_cosine[-1]) < 0.99


def test_recording():
    net, X, Y = problem("relu")
    model, y = twin(net, "squared_error", X, Y)
    found = error_processes(model, X, y, max_time=10, step_size=0.1, tol=0, n_records=12)
    assert found.times[0] == 0
    assert found.times[-1] == pytest.approx(10)
    assert 10 <= len(found.times) <= 12
    assert (np.diff(found.times) > 0).all()
    assert found.theta_size.shape == found.nu_size.shape == (len(found.times), len(found.blocks))
    assert not found.theta_size[0].any()
    assert not found.nu_size[0].any()
    assert np.isnan(found.theta_cosine[0]).all()
    assert "F_1" in repr(found)


def test_samples_at_their_targets_send_no_signal():
    net, X, Y = problem("tanh")
    net.coefs[-1][:] = 0
    net.biases[-1][:] = 0
    model, _ = twin(net, "squared_error", X, Y)
    found = error_processes(model, X, np.zeros_like(Y))
    assert found.remaining == 0
    assert len(found.times) == 1
    assert not found.S_size.any()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("step_size", 0),
        ("step_size", 1.5),
        ("max_time", 0),
        ("max_time", np.inf),
        ("tol", -1),
        ("n_records", 1),
    ],
)
def test_settings_out_of_range(name, value):
    net, X, Y = problem()
    model, y = twin(net, "squared_error", X, Y)
    with pytest.raises(ValueError, match=f"{name}={value}"):
        error_processes(model, X, y, **{name: value})


def test_too_many_rows():
    net, X, Y = problem()
    model, y = twin(net, "squared_error", X, Y)
    with pytest.raises(ValueError, match=r"at most 1024 samples, got X with 1500 rows"):
        error_processes(model, np.tile(X, (300, 1)), np.tile(y, (300, 1)))
