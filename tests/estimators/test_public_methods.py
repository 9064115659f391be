"""Public methods are built on public methods, in subclasses and on instances."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import make_classification
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score

from sklearn_eqprop import EqPropClassifier, EqPropRegressor

pytestmark = pytest.mark.filterwarnings("ignore:Training reached max_iter")
SETTINGS = {"hidden_layer_sizes": (6,), "max_iter": 8, "random_state": 0}


class Cautious(EqPropClassifier):
    """Predicts the second class if it has a probability above 5 %."""

    def predict(self, X):
        return self.classes_[(self.predict_proba(X)[:, 1] > 0.05).astype(int)]


class Tempered(EqPropClassifier):
    """Probabilities closer to 1/2."""

    def predict_proba(self, X):
        return (super().predict_proba(X) + 0.5) / 2


class Centred(EqPropRegressor):
    """Subtracts its own means from X."""

    def fit(self, X, y, sample_weight=None):
        self.mean_ = X.mean(axis=0)
        return super().fit(X - self.mean_, y, sample_weight)

    def predict(self, X):
        return super().predict(X - self.mean_)


class Relative(EqPropRegressor):
    """Scores by the relative error."""

    def score(self, X, y, sample_weight=None):
        return -np.average(np.abs(self.predict(X) / y - 1), weights=sample_weight)


@pytest.fixture
def rare():
    X, y = make_classification(200, 6, weights=[0.8], class_sep=0.5, random_state=0)
    return X, np.array(["common", "rare"])[y]


def test_score_is_that_of_an_overridden_predict(rare):
    X, y = rare
    model = Cautious(**SETTINGS).fit(X, y)
    weight = np.arange(200) % 5
    for given in (None, weight):
        expected = accuracy_score(y, model.predict(X), sample_weight=given)
        assert model.score(X, y, given) == expected
    plain = EqPropClassifier(**SETTINGS).fit(X, y)
    assert plain.score(X, y) == accuracy_score(y, plain.predict(X)) > model.score(X, y) + 0.1
    by_score = cross_val_score(Cautious(**SETTINGS), X, y, cv=2)
    by_predictions = cross_val_score(Cautious(**SETTINGS), X, y, cv=2, scoring="accuracy")
    assert_array_equal(by_score, by_predictions)


def test_a_search_ranks_by_an_overridden_predict(rare):
    X, y = rare
    grid = {"alpha": [1e-3, 30.0]}
    one, other = (
        GridSearchCV(Cautious(**SETTINGS), grid, cv=2, scoring=scoring).fit(X, y).cv_results_
        for scoring in (None, "accuracy")
    )
    assert_array_equal(one["mean_test_score"], other["mean_test_score"])


def test_methods_assigned_to_an_instance_count(rare):
    X, y = rare
    model = EqPropClassifier(**SETTINGS).fit(X, y)
    model.predict = lambda X: np.full(len(X), "rare").tolist()
    assert model.score(X, y) == (y == "rare").mean()
    assert model.score(X, y, np.ones(200)) == (y == "rare").mean()
    model.predict_proba = lambda X: np.array([[0.25, 0.75]] * len(X))
    assert_allclose(model.predict_log_proba(X[:3]), np.log([[0.25, 0.75]] * 3))
    regressor = EqPropRegressor(**SETTINGS).fit(X, X[:, 0])
    regressor.predict = lambda X: pd.Series(X[:, 0] + 1)
    assert regressor.score(X, X[:, 0]) == pytest.approx(r2_score(X[:, 0], X[:, 0] + 1))


def test_logarithms_are_those_of_an_overridden_predict_proba(rare):
    X, y = rare
    model = Tempered(**SETTINGS).fit(X, y)
    assert_array_equal(model.predict_log_proba(X), np.log(model.predict_proba(X)))
    # As in MLPClassifier, predict reads the network itself.
    assert_array_equal(model.predict(X), EqPropClassifier(**SETTINGS).fit(X, y).predict(X))


def test_a_subclass_that_adds_probabilities_has_their_logarithms(binary):
    class Margin:
        def value(self, output, target):
            return 0.5 * ((output - target) ** 2).sum(axis=1)

        def derivative(self, output, target):
            return output - target

    class WithProbabilities(EqPropClassifier):
        def predict_proba(self, X):
            positive = 1 / (1 + np.exp(-self.decision_function(X)))
            return np.c_[1 - positive, positive]

    assert not hasattr(EqPropClassifier(loss=Margin()), "predict_log_proba")
    model = WithProbabilities(**SETTINGS, loss=Margin()).fit(*binary)
    assert_array_equal(model.predict_log_proba(binary[0]), np.log(model.predict_proba(binary[0])))


def test_multilabel_scores_use_an_overridden_predict(multilabel):
    class All(EqPropClassifier):
        def predict(self, X):
            return np.ones_like(super().predict(X))

    X, y = multilabel
    assert All(**SETTINGS).fit(X, y).score(X, y) == y.all(axis=1).mean()


@pytest.mark.filterwarnings("ignore:Column")
def test_a_regressor_that_transforms_its_inputs(regression):
    X, y = regression
    shifted = X + np.array([100.0, -3.0, 0.0, 7.0, 50.0])
    # The rows in `fit` are centred already: early stopping must not centre them again.
    settings = SETTINGS | {"early_stopping": True, "learning_rate_init": 0.01, "max_iter": 40}
    model = Centred(**settings).fit(shifted, y)
    assert model.score(shifted, y) == pytest.approx(r2_score(y, model.predict(shifted)))
    assert model.score(shifted, y) > 0.7
    plain = EqPropRegressor(**settings).fit(shifted - shifted.mean(axis=0), y)
    assert_allclose(model.validation_scores_, plain.validation_scores_, rtol=1e-6)


def test_outputs_of_an_overridden_predict(two_outputs):
    class Total(EqPropRegressor):
        def predict(self, X):
            return super().predict(X).sum(axis=1)

    X, y = two_outputs
    model = Total(**SETTINGS).fit(X, y)
    total = y.sum(axis=1)
    assert model.score(X, total) == pytest.approx(r2_score(total, model.predict(X)))
    with pytest.raises(ValueError, match="predict gives 1 outputs per sample, but y has 2"):
        model.score(X, y)


@pytest.mark.parametrize("estimator", [Cautious, Relative])
def test_early_stopping_uses_the_score_of_a_subclass(rare, estimator):
    X, y = rare
    if estimator is Relative:
        y = np.exp(0.1 * X[:, 0])
    weight = np.arange(100) % 4
    model = estimator(**SETTINGS, early_stopping=True)
    model.fit(X[:100], y[:100], X_val=X[100:], y_val=y[100:], sample_weight_val=weight)
    expected = model.score(X[100:], y[100:], weight)
    assert model.best_validation_score_ == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("scoring", [None, "balanced_accuracy"])
def test_methods_of_an_instance_do_not_count_while_it_is_fitted(rare, scoring):
    X, y = rare
    settings = SETTINGS | {"early_stopping": True, "scoring": scoring}
    model = EqPropClassifier(**settings)
    model.predict = lambda X: np.where(model.predict_proba(X)[:, 1] > 0.05, "rare", "common")
    model.fit(X, y)  # the function asks the model, which has no weights yet
    plain = EqPropClassifier(**settings).fit(X, y)
    assert model.validation_scores_ == plain.validation_scores_
    assert model.score(X, y) == accuracy_score(y, model.predict(X)) < plain.score(X, y)
