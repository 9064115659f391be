"""The network of Scellier & Bengio (2017), tied with γ = 1: it learns digits, or it warns."""

import warnings

import pytest
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import scale

from sklearn_eqprop import EqPropClassifier

#: As in the user guide and in benchmarks/classical.py.
CLASSICAL = {
    "activation": "hard_sigmoid",
    "feedback": "tied",
    "feedback_scale": 1.0,
    "loop_gain": None,
    "loss": "squared_error",
    "learning_rate": "cosine",
    "random_state": 0,
}
SCALINGS = {"in [0, 1]": lambda X: X / 16, "standardised": scale}


def _fitted(scaling, **changed):
    """Accuracy on held-out digits, and the warnings of the fit."""
    X, y = load_digits(return_X_y=True)
    parts = train_test_split(SCALINGS[scaling](X), y, stratify=y, random_state=0)
    X_train, X_test, y_train, y_test = parts
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = EqPropClassifier(**CLASSICAL | changed).fit(X_train, y_train)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # some samples settle slowly
        score = model.score(X_test, y_test)
    assert (model.feedback_gains_ == 1).all()
    return score, [str(warning.message) for warning in caught]


@pytest.mark.parametrize("scaling", SCALINGS)
def test_the_settings_of_the_user_guide_learn(scaling):
    score, messages = _fitted(scaling)
    assert score > 0.96
    assert messages == []


@pytest.mark.parametrize(
    "cell",
    [
        {"loss": "squared_error", "optimizer": "adam", "learning_rate_init": 1e-2},
        {"loss": "squared_error", "optimizer": "sgd", "learning_rate_init": 1e-1},
        {"loss": "log_loss", "optimizer": "adam", "learning_rate_init": 1e-2},
        {"loss": "log_loss", "optimizer": "sgd", "learning_rate_init": 1e-2},
    ],
)
@pytest.mark.parametrize("scaling", SCALINGS)
def test_other_settings_learn(scaling, cell):
    score, _ = _fitted(scaling, max_iter=30, alpha=1e-4, **cell)
    assert score > 0.88


@pytest.mark.parametrize(
    "cell",
    [
        {"loss": "squared_error", "optimizer": "adam", "learning_rate_init": 1e-1},
        {"loss": "log_loss", "optimizer": "adam", "learning_rate_init": 1e-1},
    ],
)
def test_a_fit_that_collapses_warns(cell):
    score, messages = _fitted("in [0, 1]", max_iter=30, alpha=1e-4, **cell)
    assert score < 0.3
    assert any("did not learn" in message for message in messages)
