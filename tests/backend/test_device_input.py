"""Arrays that live on the device go in as they are, and results stay there."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from sklearn_eqprop import EqPropClassifier, EqPropRegressor
from sklearn_eqprop.diagnostics import jacobian_symmetry
from tests.backend.fake_cupy import DeviceArray
from tests.backend.test_training_loop import CROP, _assert_alike, _fitted

N_SAMPLES = 90
SETTINGS = {"hidden_layer_sizes": (9, 8), "max_iter": 2, "batch_size": 30, "random_state": 0}


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    # One column of extreme size: scaled inside.
    return X[:N_SAMPLES] * np.where(np.arange(64) == 20, 1e4, 1 / 16), y[:N_SAMPLES]


def _classifier(**settings):
    return EqPropClassifier(**{**SETTINGS, "backend": "cupy", **settings})


def _regressor(**settings):
    return EqPropRegressor(**{**SETTINGS, "backend": "cupy", **settings})


@pytest.mark.parametrize("backend", ["cupy", "auto"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.uint8])
@pytest.mark.parametrize(
    "settings",
    [{}, {"early_stopping": True, "validation_fraction": 0.3}, {"augment": CROP}],
    ids=str,
)
def test_a_fit_on_device_arrays_is_the_same(installed, digits, backend, dtype, settings):
    X = np.clip(digits[0] * 16, 0, 255).astype(dtype)
    y = digits[1]
    weight = np.random.RandomState(0).randint(0, 3, N_SAMPLES).astype(float)
    there = [installed.asarray(array) for array in (X, y, weight)]
    ours = _fitted(_classifier(backend=backend, **settings), *there[:2], sample_weight=there[2])
    theirs = _fitted(_classifier(**settings), X, y, sample_weight=weight)
    _assert_alike(ours, theirs, 1e-12 if dtype != np.float32 else 1e-6)
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    np.testing.assert_array_equal(there[0]._host, X)
    assert ours.n_features_in_ == 64


def test_classes_may_be_on_the_device(installed, digits):
    X, y = digits
    there = [installed.asarray(array) for array in (X, y, np.unique(y))]
    ours = _classifier().partial_fit(*there[:2], classes=there[2])
    theirs = _classifier().partial_fit(X, y, classes=np.unique(y))
    np.testing.assert_array_equal(ours.classes_, np.arange(10))
    _assert_alike(ours, theirs, 1e-12)


def test_the_rows_never_leave_the_device(installed, digits):
    # So many rows that the weights, which come back, are small beside them.
    X, y = installed.asarray(np.tile(digits[0], (3, 1))), np.tile(digits[1], 3)
    installed.counts.reset()
    _fitted(_classifier(), X, y)
    assert installed.counts.bytes_to_host < X.nbytes / 2
    assert installed.counts.bytes_to_device < X.nbytes / 2


def test_the_same_rows_are_known_again_on_the_device_and_in_main_memory(installed, digits):
    X, y = digits
    model = _fitted(_classifier(warm_start=True, restore_best_weights=True), X, y)
    for rows, n_compared in ((installed.asarray(X), 4), (X.astype(np.float64), 6)):
        assert _fitted(model, rows, y)._training_state.n_compared == n_compared
    assert _fitted(model, installed.asarray(X + 1e-9), y)._training_state.n_compared == 2


@pytest.mark.filterwarnings("ignore:Training reached max_iter")
def test_a_column_on_the_device_that_changes_its_unit(installed):
    X = np.random.RandomState(0).standard_normal((60, 3))
    model = _regressor().partial_fit(installed.asarray(X[:40]), X[:40, 0])
    with pytest.warns(ConvergenceWarning, match="another scale than in earlier calls: column 2"):
        model.partial_fit(installed.asarray(X[40:] * [1, 1, 60]), X[40:, 0])
    model.set_params(early_stopping=True)
    with pytest.warns(ConvergenceWarning, match="X_val is on another scale"):
        model.fit(X, X[:, 0], X_val=installed.asarray(50 * X + 300), y_val=X[:, 0])


RESULTS = ["predict", "predict_proba", "predict_log_proba", "decision_function", "transform"]


@pytest.mark.parametrize("method", RESULTS)
@pytest.mark.parametrize("n_classes", [2, 10])
def test_results_stay_on_the_device(installed, digits, method, n_classes, monkeypatch):
    X, y = digits[0], digits[1] % n_classes
    model = _fitted(_classifier(), X, y)
    monkeypatch.setattr("sklearn_eqprop._estimators.fitted.settle.CHUNK_ROWS", 40)
    found = getattr(model, method)(installed.asarray(X))
    expected = getattr(model, method)(X)
    assert type(found) is DeviceArray
    assert type(expected) is np.ndarray
    # The host sums by a product, and rounds in another order.
    np.testing.assert_allclose(found._host, expected, rtol=1e-12, atol=1e-12)
    assert found.dtype == expected.dtype


def test_multilabel_results_stay_on_the_device(installed, digits):
    X, Y = digits[0], np.stack([digits[1] % 2, digits[1] > 4], axis=1).astype(int)
    for loss in ("log_loss", "squared_error"):
        model = _fitted(_classifier(loss=loss), installed.asarray(X), installed.asarray(Y))
        for method in ("predict", "predict_proba", "decision_function"):
            found = getattr(model, method)(installed.asarray(X))
            np.testing.assert_array_equal(found._host, getattr(model, method)(X))
        assert model.score(installed.asarray(X), installed.asarray(Y)) == model.score(X, Y)


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_regressors_predict_on_the_device(installed, digits, loss, n_outputs):
    X, y = digits[0], np.stack([digits[1], 9 - digits[1]], axis=1)[:, :n_outputs].astype(float)
    y = y.ravel() if n_outputs == 1 else y
    model = _fitted(_regressor(loss=loss), installed.asarray(X), installed.asarray(y))
    found = model.predict(installed.asarray(X))
    assert type(found) is DeviceArray
    np.testing.assert_allclose(found._host, model.predict(X), rtol=1e-12)
    there = [installed.asarray(array) for array in (X, y)]
    assert model.score(*there) == pytest.approx(model.score(X, y), abs=1e-12)


def test_text_cannot_live_on_a_device(installed, digits):
    X, y = digits[0], np.array(["even", "odd"])[digits[1] % 2]
    model = _fitted(_classifier(), installed.asarray(X), y)
    assert type(model.predict(installed.asarray(X))) is np.ndarray
    np.testing.assert_array_equal(model.predict(installed.asarray(X)), model.predict(X))
    assert model.score(installed.asarray(X), y) == model.score(X, y)


def test_relax_leaves_states_on_the_device(installed, digits):
    X, y = digits
    model = _fitted(_classifier(), X, y)
    for nudge in ({}, {"y": y, "beta": 0.1}):
        found, expected = model.relax(installed.asarray(X), **nudge), model.relax(X, **nudge)
        for one, other in zip(found.states, expected.states, strict=True):
            np.testing.assert_array_equal(one._host, other)
        np.testing.assert_array_equal(found.n_steps, expected.n_steps)
        assert found.reason == expected.reason


def test_partial_fit_takes_device_arrays(installed, digits):
    X, y = digits
    models = [_classifier(max_iter=1) for _ in range(2)]
    for _ in range(2):
        models[0].partial_fit(installed.asarray(X), installed.asarray(y), classes=np.arange(10))
        models[1].partial_fit(X, y, classes=np.arange(10))
    _assert_alike(*models, 1e-12)


def test_diagnostics_compute_on_the_host(installed, digits):
    model = _fitted(_classifier(), *digits)
    found = jacobian_symmetry(model, installed.asarray(digits[0]))
    expected = jacobian_symmetry(model, digits[0])
    np.testing.assert_array_equal(found.symmetry, expected.symmetry)


@pytest.mark.parametrize("estimator", [_classifier, _regressor])
def test_nothing_is_copied_unasked(installed, digits, estimator):
    X, y = digits
    model = _fitted(estimator(backend="numpy"), X, y)
    there = installed.asarray(X)
    installed.counts.reset()
    refused = r"on a CUDA device, but backend='numpy'.*asnumpy"
    with pytest.raises(ValueError, match=refused):
        model.predict(there)
    with pytest.raises(ValueError, match=refused):
        model.fit(there, y)
    assert installed.counts.to_host == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X: X[:, 0], "Expected 2D array, got 1D array"),
        (lambda X: X[:0], r"0 sample\(s\)"),
        (lambda X: X[:, :0], r"0 feature\(s\)"),
        (lambda X: X.astype(complex), "complex128.*real numbers"),
        (lambda X: np.where(X[3, 5] == X, np.nan, X), "NaN or infinity"),
        (lambda X: np.where(X[3, 5] == X, -np.inf, X), "NaN or infinity"),
    ],
)
def test_bad_device_input(installed, digits, change, message):
    X, y = digits
    bad = installed.asarray(change(X))
    with pytest.raises(ValueError, match=message):
        _classifier().fit(bad, y[: bad.shape[0]])
    model = _fitted(_classifier(), X, y)
    with pytest.raises(ValueError, match=message):
        model.predict(bad)


def test_device_input_that_does_not_fit(installed, digits):
    X, y = digits
    model = _fitted(_classifier(), X, y)
    with pytest.raises(ValueError, match=r"X has 63 features, but .* is expecting 64"):
        model.predict(installed.asarray(X[:, 1:]))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        _classifier().fit(installed.asarray(X), y[1:])
    with pytest.raises(ValueError, match="requires y"):
        _classifier().fit(installed.asarray(X), None)
