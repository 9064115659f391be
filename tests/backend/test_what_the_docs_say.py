"""Statements of docs/gpu.md that no other test covers."""

import tracemalloc

import numpy as np
import pytest
from sklearn.datasets import load_digits

from sklearn_eqprop._network import convolution
from sklearn_eqprop._network.conv2d import Conv2D, geometry_of
from sklearn_eqprop._relaxation import device_samples
from tests.backend.test_training_loop import _fitted, _model

N_SAMPLES = 120


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:N_SAMPLES] / 16, y[:N_SAMPLES]


@pytest.mark.parametrize(
    "settings",
    [{}, {"relax_tol": 1e-6}, {"relaxation": "euler", "step_size": 0.5}, {"nudging": "centered"}],
    ids=str,
)
def test_results_do_not_depend_on_how_often_the_host_looks(
    installed, digits, monkeypatch, settings
):
    fits = []
    for look_every in (1, 3, 8):
        monkeypatch.setattr(device_samples, "CHECK_EVERY", look_every)
        fits.append(_fitted(_model(backend="cupy", **settings), *digits))
    for fit in fits[1:]:
        for one, other in zip(fit.coefs_, fits[0].coefs_, strict=True):
            np.testing.assert_array_equal(one, other)
        assert fit.relaxation_ == fits[0].relaxation_


def test_partial_fit_moves_weights_and_moments_both_ways(installed, digits):
    X, y = digits
    model = _model(backend="cupy", dtype="float32", hidden_layer_sizes=(150, 120))
    model.partial_fit(X[:10], y[:10], classes=np.arange(10))
    weights = [*model.coefs_, *model.intercepts_, *model.feedback_coefs_]
    n_bytes = sum(block.nbytes for block in weights)
    # Kolen-Pollack feedback follows the forward weights and has no moments of its own.
    moments = 2 * sum(block.nbytes for block in (*model.coefs_, *model.intercepts_))
    installed.counts.reset()
    model.partial_fit(X[:10], y[:10])
    for moved in (installed.counts.bytes_to_device, installed.counts.bytes_to_host):
        assert n_bytes + moments <= moved <= 1.1 * (n_bytes + moments)


def test_patches_of_as_many_samples_at_a_time_as_may_be(device, monkeypatch):
    """What a convolution takes besides the maps: patches, what they give, and a padded copy."""
    n_numbers, n_samples = 2**20, 200
    monkeypatch.setattr(convolution, "DEVICE_NUMBERS", n_numbers)
    geometry = geometry_of(Conv2D(4, 5, padding="same"), (28, 28, 1))
    of_geometry = convolution.Patches(geometry, device)
    maps = device.xp.ones((n_samples, 28, 28, 1), dtype=np.float32)
    kernel = device.xp.ones(geometry.weight_shape, dtype=np.float32)
    assert n_samples * 28 * 28 * of_geometry.patch_size > 3 * n_numbers
    tracemalloc.start()
    try:
        for _ in of_geometry.convolve(maps, kernel):
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    most = n_numbers * (1 + (4 + 2) / of_geometry.patch_size)
    assert 4 * n_numbers <= 1.1 * peak
    assert peak <= 1.1 * 4 * most
