"""`label_smoothing` trains on softened targets, and nothing else sees them.

The truth is a loss of our own that softens the targets inside, by the definition alone.
"""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import GridSearchCV

from sklearn_eqprop import EqPropClassifier, EqPropRegressor

pytestmark = pytest.mark.filterwarnings("ignore:Training reached max_iter")
SETTINGS = {
    **{"hidden_layer_sizes": (8,), "max_iter": 6, "batch_size": 20, "random_state": 0},
    **{"alpha": 1e-4, "gradient": "recurrent_backprop", "relax_tol": 1e-10},
}


class Soft:
    """Cross-entropy or squared error of targets (1 - e) y + e / K."""

    label_threshold = 0.0  # for multilabel targets

    def __init__(self, kind, smoothing, n_choices):
        self.kind, self.smoothing, self.n_choices = kind, smoothing, n_choices
        self.curvature = {"log_loss": 0.5, "squared_error": 1.0, "labels": 0.25}[kind]

    def _soft(self, target):
        return (1 - self.smoothing) * target + self.smoothing / self.n_choices

    def value(self, output, target):
        target = self._soft(target)
        if self.kind == "squared_error":
            return ((target - output) ** 2).sum(axis=1) / 2
        if self.kind == "labels":
            return (np.logaddexp(0, output) - target * output).sum(axis=1)
        largest = output.max(axis=1, keepdims=True)
        logs = output - largest - np.log(np.exp(output - largest).sum(axis=1, keepdims=True))
        return -(target * logs).sum(axis=1)

    def derivative(self, output, target):
        if self.kind == "squared_error":
            return output - self._soft(target)
        if self.kind == "labels":
            return 1 / (1 + np.exp(-output)) - self._soft(target)
        grown = np.exp(output - output.max(axis=1, keepdims=True))
        return grown / grown.sum(axis=1, keepdims=True) - self._soft(target)


@pytest.mark.parametrize("smoothing", [0.1, 0.5])
@pytest.mark.parametrize("kind", ["log_loss", "squared_error", "labels"])
def test_trains_like_a_loss_of_soft_targets(three_classes, multilabel, kind, smoothing):
    X, y = multilabel if kind == "labels" else three_classes
    name = "log_loss" if kind == "labels" else kind
    n_choices = 2 if kind == "labels" else 3
    ours = EqPropClassifier(loss=name, label_smoothing=smoothing, **SETTINGS).fit(X, y)
    theirs = EqPropClassifier(loss=Soft(kind, smoothing, n_choices), **SETTINGS).fit(X, y)
    assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-9)
    for left, right in zip(ours.coefs_, theirs.coefs_, strict=True):
        assert_allclose(left, right, rtol=0, atol=1e-8)
    plain = EqPropClassifier(loss=name, **SETTINGS).fit(X, y)
    assert abs(plain.loss_ - ours.loss_) > 1e-3


def test_a_network_that_has_learned_predicts_the_soft_targets(three_classes):
    X, y = three_classes
    settings = SETTINGS | {"max_iter": 300, "alpha": 0, "learning_rate_init": 0.03}
    settings |= {"gradient": "vector_field", "relax_tol": "auto", "hidden_layer_sizes": (40,)}
    for loss in ("log_loss", "squared_error"):
        model = EqPropClassifier(loss=loss, label_smoothing=0.3, n_iter_no_change=None, **settings)
        chosen = model.fit(X, y).predict_proba(X)[np.arange(len(y)), y]
        assert abs(np.median(chosen) - 0.8) < 0.05  # 1 - 0.3 + 0.3 / 3


@pytest.mark.parametrize("scoring", [None, "loss", "neg_log_loss"])
def test_scores_use_the_labels_themselves(three_classes, scoring):
    X, y = three_classes
    settings = SETTINGS | {"early_stopping": True, "max_iter": 15, "gradient": "vector_field"}
    model = EqPropClassifier(label_smoothing=0.4, scoring=scoring, **settings)
    model.fit(X[:80], y[:80], X_val=X[80:], y_val=y[80:])
    expected = -log_loss(y[80:], model.predict_proba(X[80:]))
    if scoring is None:
        expected = accuracy_score(y[80:], model.predict(X[80:]))
    assert_allclose(model.best_validation_score_, expected, rtol=1e-5)


def test_trial_of_alpha_compares_the_same_losses(three_classes):
    """With soft targets in one of the two losses only, the gap would be off by 0.3 and more."""
    rng = np.random.RandomState(0)
    X = rng.standard_normal((200, 10))
    y = (X[:, 0] + rng.standard_normal(200) > 0).astype(int)
    alphas = [
        EqPropClassifier((30,), label_smoothing=e, max_iter=40, random_state=0).fit(X, y).alpha_
        for e in (0.0, 0.2)
    ]
    assert alphas[0] > 0.1
    assert 0.2 < alphas[1] / alphas[0] < 5


def test_parameter_of_the_classifier(three_classes):
    X, y = three_classes
    model = EqPropClassifier(label_smoothing=np.float64(0.2), **SETTINGS)
    assert clone(model).label_smoothing == 0.2
    stored = pickle.loads(pickle.dumps(model.fit(X, y)))
    for fitted in (model, stored):
        fitted.partial_fit(X, y)
    assert_array_equal(model.coefs_[0], stored.coefs_[0])
    search = GridSearchCV(model, {"label_smoothing": [0.0, 0.2]}, cv=2).fit(X, y)
    assert search.best_params_["label_smoothing"] in (0.0, 0.2)
    assert "label_smoothing" not in EqPropRegressor().get_params()
    for wrong in (1.0, -0.1, "auto", None):
        with pytest.raises(ValueError, match="'label_smoothing' parameter"):
            EqPropClassifier(label_smoothing=wrong).fit(X, y)


def test_earlier_scores_do_not_count_with_another_smoothing(three_classes):
    settings = SETTINGS | {"max_iter": 60, "learning_rate_init": 0.03, "gradient": "vector_field"}
    model = EqPropClassifier(warm_start=True, **settings).fit(*three_classes)
    best = model.best_loss_
    model.set_params(label_smoothing=0.3).fit(*three_classes)
    assert model.best_loss_ > best
