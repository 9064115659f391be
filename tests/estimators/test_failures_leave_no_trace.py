"""A fit that fails, wherever it does, leaves the estimator as it was; threads share a model."""

import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.exceptions import ConvergenceWarning

import sklearn_eqprop
from sklearn_eqprop import EqPropClassifier, EqPropRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
KINDS = pytest.mark.parametrize("estimator", [EqPropClassifier, EqPropRegressor])
SETTINGS = {"hidden_layer_sizes": (4,), "max_iter": 1, "batch_size": 40, "random_state": 0}
PACKAGE = str(Path(sklearn_eqprop.__file__).parent)
#: What runs after the fitted attributes have been published: fit is over, and only reports.
AFTERWARDS = {"reporting.py"}
N_STAGES = 12


class SabotageError(Exception):
    """Stands for whatever may go wrong."""


class Saboteur:
    """Counts the calls of functions of the package, and raises in one of them."""

    def __init__(self, nth=None, error=SabotageError):
        self.n_calls = 0
        self.raised = False
        self._nth = nth
        self._error = error

    def __call__(self, frame, event, arg):
        path = Path(frame.f_code.co_filename)
        if event != "call" or PACKAGE not in str(path) or path.name in AFTERWARDS:
            return
        if frame.f_code.co_name in {"<genexpr>", "__del__", "_fit", "__init__"}:
            return  # _fit: nothing has been done yet
        self.n_calls += 1
        if self.n_calls == self._nth:
            sys.setprofile(None)
            self.raised = True
            raise self._error

    def run(self, call):
        sys.setprofile(self)
        try:
            call()
        finally:
            sys.setprofile(None)


def stages(call):
    """Numbers of calls to fail in, from the first to the last."""
    counter = Saboteur()
    counter.run(call)
    # The last calls publish, and tell callbacks of the end.
    last = range(counter.n_calls - 5, counter.n_calls + 1)
    return sorted({*np.linspace(1, counter.n_calls, N_STAGES).astype(int), *last} - {0})


@KINDS
@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("fit", {"early_stopping": True}),
        ("warm fit", {"warm_start": True}),
        ("partial_fit", {}),
        ("partial_fit", {"nudging": "random_sign", "feedback_learning": "homeostasis"}),
        ("warm fit", {"warm_start": True, "average_weights": True}),
    ],
)
def test_failing_at_every_stage(binary, estimator, method, settings):
    X, y = binary
    settings = SETTINGS | settings
    model = estimator(**settings).fit(X, y)

    def train():
        (model.partial_fit if method == "partial_fit" else model.fit)(X[:60], y[:60])

    before = joblib.hash(model.__dict__)
    attributes = dict(model.__dict__)
    n_raised = 0
    for nth in stages(train):
        model.__dict__.clear()
        model.__dict__.update(attributes)
        saboteur = Saboteur(nth)
        try:
            saboteur.run(train)
        except SabotageError:
            assert joblib.hash(model.__dict__) == before, f"call {nth}"
        else:
            assert not saboteur.raised, f"call {nth} swallowed the error"
        n_raised += saboteur.raised
    assert n_raised >= N_STAGES - 4


@KINDS
def test_nothing_is_left_on_an_estimator_that_was_not_fitted(binary, estimator):
    X, y = binary
    rng = np.random.RandomState(7)
    state = rng.get_state()[1].copy()
    model = estimator(**SETTINGS | {"random_state": rng})
    for nth in stages(lambda: estimator(**SETTINGS).fit(X, y)):
        saboteur = Saboteur(nth)
        try:
            saboteur.run(lambda: model.fit(X, y))
        except SabotageError:
            assert model.__dict__.keys() == model.get_params().keys(), f"call {nth}"
            # Not even the user's generator of random numbers has moved.
            assert_array_equal(rng.get_state()[1], state)
        else:
            break  # the number of calls varies by a few
    assert nth > 100


@KINDS
def test_interrupting_at_every_stage(binary, estimator):
    """Ctrl-C: as before, or a model that can be used."""
    X, y = binary
    model = estimator(**SETTINGS | {"max_iter": 3}).fit(X, y)
    attributes, before = dict(model.__dict__), joblib.hash(model.__dict__)
    n_kept = 0
    for nth in stages(lambda: model.fit(X[:60], y[:60])):
        model.__dict__.clear()
        model.__dict__.update(attributes)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                Saboteur(nth, KeyboardInterrupt).run(lambda: model.fit(X[:60], y[:60]))
            except KeyboardInterrupt:
                assert joblib.hash(model.__dict__) == before
            else:
                n_kept += 1
        assert np.isfinite(model.predict(X)).all()
        model.partial_fit(X, y)
    assert n_kept >= N_STAGES // 3  # much of the time goes into training


@KINDS
def test_eight_threads_predict_the_same(binary, estimator):
    X, y = binary
    model = estimator(**SETTINGS | {"hidden_layer_sizes": (20, 10)}).fit(X, y)
    rows = np.random.RandomState(0).standard_normal((3000, X.shape[1]))

    def answers(_):
        nudged = model.relax(X, y, beta=0.1)
        return model.predict(rows), model.transform(rows), nudged.states[0], model.score(X, y)

    alone = answers(None)
    with ThreadPoolExecutor(8) as pool:
        for together in pool.map(answers, range(24)):
            for left, right in zip(alone, together, strict=True):
                assert_array_equal(left, right)


@KINDS
def test_a_warning_that_is_made_an_error_leaves_no_trace(binary, estimator):
    X, y = binary
    model = estimator(**SETTINGS).fit(X, y)
    before, weights = dict(vars(model)), model.coefs_[0].copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ConvergenceWarning, match="reached max_iter"):
            model.fit(X + 1, y)
        with pytest.raises(ConvergenceWarning):
            estimator(**SETTINGS).fit(X, y)
    assert vars(model).keys() == before.keys()
    assert_array_equal(model.coefs_[0], weights)
