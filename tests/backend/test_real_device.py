"""The real thing, wherever there is a usable CUDA device."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits

from sklearn_eqprop import EqPropClassifier, EqPropRegressor
from tests.backend.test_training_loop import WAYS, _assert_alike, _fitted, _model

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("real_device")]


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X / 16, y


@pytest.mark.filterwarnings("ignore:.*had not settled")
@pytest.mark.parametrize("settings", WAYS, ids=str)
def test_fits_agree_with_numpy(digits, settings):
    """Rounding differs, and a long fit would multiply that: a few epochs in float64."""
    X, y = digits[0][:600], digits[1][:600]
    settings = {**settings, "dtype": "float64"}
    ours = _fitted(_model(backend="cupy", **settings), X, y)
    theirs = _fitted(_model(backend="numpy", **settings), X, y)
    _assert_alike(ours, theirs, 1e-6)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-4)


@pytest.mark.parametrize("hidden", [(100,), (64, 64, 64)])
def test_full_fits_in_float32_agree_with_numpy(digits, hidden):
    X, y = digits[0].astype(np.float32), digits[1]
    model = EqPropClassifier(hidden, max_iter=25, learning_rate="cosine", random_state=0)
    ours = clone(model).set_params(backend="cupy").fit(X, y)
    theirs = clone(model).set_params(backend="numpy").fit(X, y)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=0.02, atol=1e-3)
    assert (ours.predict(X) == theirs.predict(X)).mean() > 0.995
    if len(hidden) == 1:  # deeper ones multiply what rounding makes different
        np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-4)
        _assert_alike(ours, theirs, 1e-3)
        probabilities = [model.predict_proba(X) for model in (ours, theirs)]
        np.testing.assert_allclose(*probabilities, atol=1e-3)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_hundred_fits_leave_no_memory_behind(real_device, digits, monkeypatch, streamed):
    """Fits of both kinds, of rows on either side of the bus, and predictions."""
    if streamed:
        monkeypatch.setattr(type(real_device), "free_bytes", lambda self: 100)
    pool, (X, y) = real_device.xp.get_default_memory_pool(), digits
    there = real_device.from_host(X[:200], np.float32)
    models = [EqPropRegressor, EqPropClassifier]
    models = [kind((20, 10), backend="cupy", max_iter=1, batch_size=50) for kind in models]
    used = []
    for seed in range(50):
        for model in models:
            _fitted(model.set_params(random_state=seed), there if seed % 2 else X[:200], y[:200])
            model.predict(X[:100])
        used.append(pool.used_bytes())
    assert used[-1] == used[5]


def test_rows_that_do_not_fit_are_streamed(real_device, digits, monkeypatch):
    model = _model(backend="cupy", dtype="float64")
    resident = _fitted(clone(model), *digits)
    monkeypatch.setattr(type(real_device), "free_bytes", lambda self: 100)
    _assert_alike(_fitted(clone(model), *digits), resident, 1e-8)
