"""Ctrl-C ends a fit of the caller's own with a usable model, and stops whatever fits many."""

import signal
import subprocess
import sys
import textwrap

import joblib
import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import BaggingClassifier, StackingClassifier
from sklearn.feature_selection import SequentialFeatureSelector
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_eqprop import EqPropClassifier, EqPropRegressor


@pytest.fixture(autouse=True)
def interrupts_are_heard():
    """Shells let the processes that they start in the background ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class PressesAtThird:
    """A scorer that is interrupted in the third epoch."""

    def __init__(self):
        self.n_calls = 0

    def __deepcopy__(self, memo):
        return self  # clones of the estimator share it

    def __call__(self, estimator, X, y):
        self.n_calls += 1
        if self.n_calls == 3:
            signal.raise_signal(signal.SIGINT)
        return self.n_calls / 100


def interrupted(estimator=EqPropClassifier):
    settings = {"early_stopping": True, "scoring": PressesAtThird(), "random_state": 0}
    return estimator((4,), max_iter=5, **settings)


ONE_FIT = {
    "alone": lambda X, y: interrupted().fit(X, y),
    "last of a pipeline": lambda X, y: make_pipeline(StandardScaler(), interrupted()).fit(X, y)[-1],
    "inside a pipeline": lambda X, y: make_pipeline(interrupted(), LogisticRegression()).fit(X, y)[
        0
    ],
    "transformed targets": lambda X, y: (
        TransformedTargetRegressor(interrupted(EqPropRegressor)).fit(X, y + 0.5).regressor_
    ),
}
MANY_FITS = {
    "search": lambda X, y: GridSearchCV(interrupted(), {"alpha": [0, 1]}, cv=2).fit(X, y),
    "search over a pipeline": lambda X, y: GridSearchCV(
        make_pipeline(interrupted()), {"eqpropclassifier__alpha": [0, 1]}, cv=2
    ).fit(X, y),
    "search in a pipeline": lambda X, y: make_pipeline(
        GridSearchCV(interrupted(), {"alpha": [0, 1]}, cv=2)
    ).fit(X, y),
    "cross-validation": lambda X, y: cross_val_score(interrupted(), X, y, cv=2),
    "bagging": lambda X, y: BaggingClassifier(interrupted()).fit(X, y),
    "stacking": lambda X, y: StackingClassifier([("a", interrupted())]).fit(X, y),
    "one against the rest": lambda X, y: OneVsRestClassifier(interrupted()).fit(X, y),
    "calibration": lambda X, y: CalibratedClassifierCV(interrupted(), cv=2).fit(X, y),
    "features": lambda X, y: SequentialFeatureSelector(
        interrupted(), n_features_to_select=1, cv=2
    ).fit(X, y),
    "joblib": lambda X, y: joblib.Parallel()([joblib.delayed(interrupted().fit)(X, y)]),
}


@pytest.mark.parametrize("fit", ONE_FIT.values(), ids=ONE_FIT)
def test_one_fit_keeps_the_whole_epochs(binary, fit):
    with pytest.warns(UserWarning, match="interrupted"):
        model = fit(*binary)
    assert model.n_iter_ == len(model.validation_scores_) == 2
    assert np.isfinite(model.predict(binary[0])).all()


@pytest.mark.parametrize("fit", MANY_FITS.values(), ids=MANY_FITS)
def test_what_fits_many_models_is_stopped(binary, fit):
    with pytest.raises(KeyboardInterrupt):
        fit(*binary)


def test_a_loop_of_the_user_goes_on(binary):
    """As with scikit-learn's MLP: only libraries are known to fit many models."""
    with pytest.warns(UserWarning, match="interrupted"):
        models = [interrupted().set_params(alpha=alpha).fit(*binary) for alpha in (0, 1)]
    assert [model.n_iter_ for model in models] == [2, 2]


@pytest.mark.slow
def test_a_search_in_worker_processes_is_stopped():
    code = """
        import os, signal, threading
        from sklearn.datasets import make_classification
        from sklearn.model_selection import GridSearchCV
        from sklearn_eqprop import EqPropClassifier

        X, y = make_classification(300, random_state=0)
        model = EqPropClassifier(max_iter=20000, n_iter_no_change=None, alpha=1e-4)
        threading.Timer(6, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        try:
            GridSearchCV(model, {"alpha": [0, 1, 2]}, cv=2, n_jobs=2).fit(X, y)
        except KeyboardInterrupt:
            print("stopped", flush=True)
            os._exit(0)
    """
    script = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(script, capture_output=True, text=True, timeout=60, check=False)
    assert "stopped" in done.stdout
