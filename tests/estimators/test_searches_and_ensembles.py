"""Searches, ensembles and inspection of scikit-learn's, each with both estimators."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.inspection import DecisionBoundaryDisplay, partial_dependence, permutation_importance
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    cross_val_predict,
    cross_validate,
    learning_curve,
    validation_curve,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier, MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_eqprop import EqPropClassifier, EqPropRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
KINDS = pytest.mark.parametrize("estimator", [EqPropClassifier, EqPropRegressor])
SETTINGS = {"hidden_layer_sizes": (8,), "max_iter": 25, "batch_size": 16, "random_state": 0}
SETTINGS |= {"learning_rate_init": 0.02}
GOOD = {EqPropClassifier: 0.85, EqPropRegressor: 0.5}


@KINDS
def test_grid_search_on_loky_gives_what_one_process_gives(binary, estimator):
    X, y = binary
    grid = {"beta": [0.1, 0.5], "step_size": [0.5, 1.0]}
    alone, shared = (
        GridSearchCV(estimator(**SETTINGS), grid, cv=2, n_jobs=n_jobs, error_score="raise").fit(
            X, y
        )
        for n_jobs in (1, 2)
    )
    assert_array_equal(alone.cv_results_["mean_test_score"], shared.cv_results_["mean_test_score"])
    assert_array_equal(alone.predict(X), shared.predict(X))
    assert shared.score(X, y) > GOOD[estimator]


@KINDS
def test_halving_grid_search(binary, estimator):
    X, y = binary
    search = HalvingGridSearchCV(
        estimator(**SETTINGS),
        {"beta": [0.1, 0.5], "step_size": [0.5, 1.0]},
        resource="max_iter",
        max_resources=24,
        min_resources=6,
        factor=2,
        cv=2,
        error_score="raise",
        random_state=0,
    ).fit(X, y)
    assert search.n_iterations_ == 3
    assert search.best_params_["max_iter"] == 24
    assert search.score(X, y) > GOOD[estimator]


@KINDS
def test_randomized_search(binary, estimator):
    X, y = binary
    ways = {"hidden_layer_sizes": [4, 8], "activation": ["relu", "tanh"]}
    search = RandomizedSearchCV(estimator(**SETTINGS), ways, n_iter=3, cv=2, random_state=0)
    assert search.fit(X, y).score(X, y) > GOOD[estimator]


@KINDS
def test_cross_validation(binary, estimator):
    X, y = binary
    found = cross_validate(estimator(**SETTINGS), X, y, cv=3, return_estimator=True)
    assert found["test_score"].mean() > GOOD[estimator] - 0.1
    assert cross_val_predict(estimator(**SETTINGS), X, y, cv=2).shape == y.shape


ENSEMBLES = {
    "bagging": lambda: BaggingClassifier(EqPropClassifier(**SETTINGS), 3, n_jobs=2, random_state=0),
    "stacking": lambda: StackingClassifier(
        [("network", EqPropClassifier(**SETTINGS)), ("linear", LogisticRegression())], cv=2
    ),
    "voting": lambda: VotingClassifier(
        [("network", EqPropClassifier(**SETTINGS)), ("linear", LogisticRegression())],
        voting="soft",
    ),
    "one against the rest": lambda: OneVsRestClassifier(EqPropClassifier(**SETTINGS)),
    "one against one": lambda: OneVsOneClassifier(EqPropClassifier(**SETTINGS)),
    "calibrated": lambda: CalibratedClassifierCV(EqPropClassifier(**SETTINGS), cv=2),
    "isotonic": lambda: CalibratedClassifierCV(
        EqPropClassifier(**SETTINGS), cv=2, method="isotonic", ensemble=False
    ),
    "pipeline": lambda: make_pipeline(StandardScaler(), EqPropClassifier(**SETTINGS)),
}


@pytest.mark.parametrize("name", list(ENSEMBLES))
def test_classifiers_made_of_ours(three_classes, name):
    X, y = three_classes
    model = ENSEMBLES[name]().fit(X, y)
    assert model.score(X, y) > 0.7
    if name != "one against one":
        assert_allclose(model.predict_proba(X).sum(axis=1), 1, atol=1e-6)


def test_bagging_passes_weights_on(three_classes):
    X, y = three_classes
    model = BaggingClassifier(EqPropClassifier(**SETTINGS), 2, random_state=0)
    model.fit(X, y, sample_weight=np.where(y == 2, 0.0, 1.0))
    assert set(model.predict(X)) <= {0, 1}


REGRESSORS = {
    "bagging": lambda: BaggingRegressor(EqPropRegressor(**SETTINGS), 3, random_state=0),
    "stacking": lambda: StackingRegressor(
        [("network", EqPropRegressor(**SETTINGS)), ("linear", Ridge())], cv=2
    ),
    "boosting": lambda: AdaBoostRegressor(
        EqPropRegressor(**SETTINGS), n_estimators=3, random_state=0
    ),
}


@pytest.mark.parametrize("name", list(REGRESSORS))
def test_regressors_made_of_ours(regression, name):
    X, y = regression
    assert REGRESSORS[name]().fit(X, y).score(X, y) > 0.8


def test_several_outputs(multilabel, two_outputs):
    X, Y = multilabel
    assert MultiOutputClassifier(EqPropClassifier(**SETTINGS)).fit(X, Y).score(X, Y) > 0.6
    assert ClassifierChain(EqPropClassifier(**SETTINGS)).fit(X, Y).score(X, Y) > 0.6
    X, Y = two_outputs
    assert MultiOutputRegressor(EqPropRegressor(**SETTINGS)).fit(X, Y).score(X, Y) > 0.8


@KINDS
def test_curves(binary, estimator):
    X, y = binary
    sizes, _, scores = learning_curve(
        estimator(**SETTINGS), X, y, cv=2, train_sizes=[0.5, 1.0], shuffle=True, random_state=0
    )
    assert sizes.tolist() == [20, 40]
    assert np.isfinite(scores).all()
    _, scores = validation_curve(
        estimator(**SETTINGS), X, y, cv=2, param_name="alpha", param_range=[1e-4, 1.0]
    )
    assert np.isfinite(scores).all()


@pytest.mark.filterwarnings("ignore:Attempting to set identical")
@KINDS
def test_inspection(regression, estimator):
    X, y = regression
    if estimator is EqPropClassifier:
        y = (y > 0).astype(int)
    model = estimator(**SETTINGS).fit(X, y)
    importance = permutation_importance(model, X, y, n_repeats=3, random_state=0)
    if estimator is EqPropRegressor:
        linear = np.abs(Ridge().fit(X, y).coef_)
        assert importance.importances_mean.argmax() == linear.argmax()
    average = partial_dependence(model, X, [0], grid_resolution=5)["average"]
    assert average.shape == (1, 5)
    assert np.isfinite(average).all()


@KINDS
def test_decision_boundary(binary, estimator):
    plt = pytest.importorskip("matplotlib.pyplot")
    X, y = binary[0][:, :2], binary[1]
    model = estimator(**SETTINGS).fit(X, y)
    way = "predict" if estimator is EqPropRegressor else "predict_proba"
    drawn = DecisionBoundaryDisplay.from_estimator(
        model, X, response_method=way, grid_resolution=12
    )
    middle = np.array([[drawn.xx0[6, 6], drawn.xx1[6, 6]]])
    expected = model.predict(middle) if way == "predict" else model.predict_proba(middle)[:, 1]
    assert_allclose(drawn.response[6, 6], expected[0], rtol=1e-6)
    plt.close("all")  # others count the figures there are
