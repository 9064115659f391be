"""A user's script for type checkers. test_typing.py runs mypy on it; pyright agrees."""

from typing import assert_type

import numpy as np

from sklearn_eqprop import Conv2D, EqPropClassifier, EqPropRegressor
from sklearn_eqprop.diagnostics import GradientAlignment, gradient_alignment
from sklearn_eqprop.learning import Result

X = np.zeros((4, 9))
y = np.array(["a", "b", "a", "b"])
classifier = EqPropClassifier((Conv2D(3, 3), 8), activation="tanh", input_shape=(3, 3))
assert_type(classifier.fit(X, y), EqPropClassifier)
assert_type(classifier.partial_fit(X, y, ["a", "b"], sample_weight=None), EqPropClassifier)
assert_type(classifier.predict(X), np.ndarray)
assert_type(classifier.predict_proba(X), np.ndarray)
assert_type(classifier.predict_log_proba(X), np.ndarray)
assert_type(classifier.decision_function(X), np.ndarray)
assert_type(classifier.transform(X), np.ndarray)
assert_type(classifier.score(X, y), float)
assert_type(classifier.relax(X, y, beta=0.1), Result)
assert_type(classifier.classes_, np.ndarray)
names: list[str] = [str(label) for label in classifier.classes_]

regressor = EqPropRegressor(5, loss="huber").fit(X, [1.0, 2.0, 3.0, 4.0])
assert_type(regressor, EqPropRegressor)
assert_type(regressor.predict(X), np.ndarray)
assert_type(regressor.target_mean_, np.ndarray)
assert_type(regressor.coefs_[0], np.ndarray)
assert_type(regressor.loss_curve_, list[float])
assert_type(regressor.best_loss_, float | None)
assert_type(regressor.n_iter_, int)
assert_type(gradient_alignment(regressor, X, y), GradientAlignment)


class Mine(EqPropClassifier):
    """A subclass of the user."""


assert_type(Mine().fit(X, y), Mine)
