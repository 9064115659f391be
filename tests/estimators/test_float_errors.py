"""The caller's ``np.seterr`` changes nothing: every public call works, with the same results."""

import pickle

import numpy as np
import pytest
from scipy import sparse

from sklearn_eqprop import Conv2D, EqPropClassifier, EqPropRegressor, diagnostics

SMALL = {"hidden_layer_sizes": (5, 4), "max_iter": 2, "batch_size": 20, "random_state": 0}
rng = np.random.RandomState(0)
X = rng.standard_normal((40, 9))
X[:, 0] *= 1e-200  # squares underflow
X[:, 1] *= 1e30
X[:, 2] = 0
LABELS = (X[:, 4] > 0).astype(int) + (X[:, 5] > 0)
MANY_LABELS = (X[:, 4:6] > 0).astype(int)
NUMBERS = 1e3 * np.exp(X[:, 4])
CONVOLUTION = {"hidden_layer_sizes": (Conv2D(3, 2, pool=2, pooling="max"), 4)}


class UnderflowingLoss:
    """A loss whose formula underflows on the way."""

    def value(self, output, target):
        return (np.sqrt(1 + (output - target) ** 2) - 1 + np.exp(0 * output - 1e4)).sum(axis=1)

    def derivative(self, output, target):
        return (output - target) / np.sqrt(1 + (output - target) ** 2)

    def probabilities(self, output):
        shares = np.exp(1e3 * (output - output.max(axis=1, keepdims=True)))
        return shares / shares.sum(axis=1, keepdims=True)


def _accuracy(estimator, X, y, sample_weight=None):
    return np.mean(y == estimator.predict(X)) + np.exp(np.float64(-1e4))


def _answers(model, y):
    """The results of public calls."""
    model.fit(X, y, sample_weight=np.r_[1e-300, np.ones(len(X) - 1)])
    if not model.early_stopping:
        model.partial_fit(X, y)
    for inputs in (200 * X, sparse.csr_matrix(200 * X)):
        yield model.predict(inputs)
        yield model.transform(inputs)
        yield model.score(inputs, y)
        for beta in (0.0, 0.1, 1e-160):
            yield from model.relax(inputs, y, beta=beta).states
        if isinstance(model, EqPropClassifier):
            yield model.predict_proba(inputs)
            yield model.predict_log_proba(inputs)
            yield model.decision_function(inputs)
    yield pickle.loads(pickle.dumps(model)).predict(X)
    model._repr_html_()


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("estimator", "y", "parameters"),
    [
        *[(EqPropClassifier, LABELS, {"activation": a}) for a in ("relu", "logistic")],
        (EqPropClassifier, LABELS, {"loss": "squared_error", "dtype": "float32"}),
        (EqPropClassifier, LABELS, {"activation": "tanh", "dtype": "float32"}),
        (EqPropClassifier, LABELS, {"loss": UnderflowingLoss()}),
        (
            EqPropClassifier,
            MANY_LABELS,
            {"feedback_learning": "homeostasis", "relaxation": "anderson"},
        ),
        (EqPropClassifier, LABELS, {"early_stopping": True, "scoring": _accuracy}),
        (EqPropClassifier, LABELS, {"input_shape": (3, 3), **CONVOLUTION}),
        *[(EqPropRegressor, NUMBERS, {"loss": loss}) for loss in ("huber", "absolute_error")],
        (EqPropRegressor, NUMBERS, {"loss": "poisson", "early_stopping": True}),
        (
            EqPropRegressor,
            NUMBERS,
            {"objective": "trajectory", "max_relax_iter": 50, "relaxation": "euler"},
        ),
    ],
)
def test_every_call_of_an_estimator(estimator, y, parameters):
    settings = {**SMALL, **parameters}
    with np.errstate(all="ignore"):
        expected = list(_answers(estimator(**settings), y))
    with np.errstate(all="raise"):
        found = list(_answers(estimator(**settings), y))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_diagnostic_and_display():
    pytest.importorskip("matplotlib").use("Agg")
    plt = pytest.importorskip("matplotlib.pyplot")
    with np.errstate(all="raise"):
        model = EqPropClassifier(**SMALL, activation="tanh").fit(X, LABELS)
        for function in (
            diagnostics.gradient_alignment,
            diagnostics.good_parameter,
            diagnostics.error_processes,
            diagnostics.health_report,
        ):
            assert str(function(model, X, LABELS))
        assert str(diagnostics.jacobian_symmetry(model, X))
        for display in (diagnostics.HealthReportDisplay, diagnostics.ErrorProcessesDisplay):
            display.from_estimator(model, X, LABELS)
        diagnostics.WeightsDisplay.from_estimator(model)
        diagnostics.LossCurveDisplay.from_estimator(model)
    plt.close("all")


def test_the_setting_of_the_caller_is_kept():
    seen = []

    class Spy(UnderflowingLoss):
        def value(self, output, target):
            seen.append(np.geterr())
            return super().value(output, target)

    with np.errstate(all="raise", under="warn"):
        before = np.geterr()
        model = EqPropClassifier(**SMALL, loss=Spy())
        with pytest.warns(UserWarning, match="max_iter"):
            model.fit(X[:, 3:], LABELS)
        with pytest.raises(ValueError, match="NaN"):
            model.predict(np.full((1, 6), np.nan))
        assert np.geterr() == before
    assert all(set(settings.values()) == {"ignore"} for settings in seen)
