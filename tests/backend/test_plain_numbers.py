"""Parameters that are NumPy's numbers, as every grid over ``linspace`` holds them."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from sklearn_eqprop import EqPropClassifier
from tests.backend.test_training_loop import _fitted

N_SAMPLES = 90
SETTINGS = {
    "hidden_layer_sizes": (15, 12),
    "max_iter": 2,
    "batch_size": 30,
    "dtype": "float32",
    "random_state": 0,
}
NUMBERS = {
    "step_size": 0.8,
    "beta": 0.3,
    "alpha": 0.01,
    "momentum": 0.7,
    "loop_gain": 0.3,
    "learning_rate_init": 0.01,
    "relax_tol": 1e-3,
    "feedback_scale": 0.5,
    "tol": 1e-3,
    "validation_fraction": 0.3,
}
WAYS = [
    {"relaxation": "gauss_seidel"},
    {"relaxation": "euler"},
    {"relaxation": "anderson"},
    {"nudging": "centered"},
    {"nudging": 4, "activation": "tanh"},
    {"gradient": "asymmetric"},
    {"gradient": "recurrent_backprop"},
    {"gradient": "continual", "optimizer": "sgd"},
    {"optimizer": "sgd"},
    {"early_stopping": True},
    {"feedback_learning": "homeostasis"},
    {
        "objective": "trajectory",
        "relaxation": "euler",
        "max_relax_iter": 20,
        "max_nudge_iter": 10,
        "relax_tol": "auto",
    },
]


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:N_SAMPLES].astype(np.float32) / 16, y[:N_SAMPLES]


def _weights(model):
    return [*model.coefs_, *model.intercepts_, *model.feedback_coefs_]


@pytest.mark.parametrize("backend", ["numpy", "cupy"])
@pytest.mark.parametrize("settings", WAYS, ids=str)
def test_they_train_the_same_network(installed, digits, backend, settings):
    model = EqPropClassifier(**{**SETTINGS, **NUMBERS, "backend": backend, **settings})
    numbers = {n: np.float64(getattr(model, n)) for n in NUMBERS if n not in settings}
    ours = _fitted(clone(model).set_params(**numbers), *digits)
    theirs = _fitted(model, *digits)
    for one, other in zip(_weights(ours), _weights(theirs), strict=True):
        assert one.dtype == np.float32
        np.testing.assert_array_equal(one, other)
    assert ours.loss_curve_ == theirs.loss_curve_
    found, expected = (each.relax(digits[0]).states for each in (ours, theirs))
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == np.float32
        np.testing.assert_array_equal(one, other)
    assert all(ours.get_params()[name] is number for name, number in numbers.items())


def test_a_grid_over_numpy_numbers(installed, digits):
    model = EqPropClassifier(**SETTINGS, backend="cupy")
    grid = {"step_size": np.linspace(0.8, 1, 2), "alpha": np.logspace(-3, -2, 2)}
    search = GridSearchCV(model, grid, cv=2, refit=False, error_score="raise")
    _fitted(search, *digits)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize("wrong", ["state", "goal"])
def test_kernels_refuse_numbers_of_another_type(device, wrong):
    types = {"goal": "float32", "state": "float32", wrong: "float64"}
    goal, state = (device.xp.zeros((3, 4), dtype=types[name]) for name in ("goal", "state"))
    with pytest.raises(TypeError, match=r"'row_euler' runs on float\d\d here.*array of float\d\d"):
        device.row_euler(goal, state, 0.0, None, 0.5)
