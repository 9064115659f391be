"""Data out of the ordinary: it learns, or says what is wrong."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from sklearn_eqprop import EqPropClassifier, EqPropRegressor

pytestmark = pytest.mark.filterwarnings("ignore:Training reached max_iter")


def test_five_samples():
    X = np.array([[-2.0, 0.3], [-1.0, -0.5], [0.1, 1.0], [1.0, -0.2], [2.0, 0.4]])
    y = np.array([0, 0, 1, 1, 1])
    model = EqPropClassifier(random_state=0, learning_rate_init=0.01).fit(X, y)
    assert model.score(X, y) == 1
    model = EqPropRegressor(random_state=0, learning_rate_init=0.01).fit(X, X[:, 0])
    assert model.score(X, X[:, 0]) > 0.9


def test_one_sample_each_of_two_classes():
    X = np.array([[-1.0], [1.0]])
    model = EqPropClassifier(random_state=0, max_iter=50, learning_rate_init=0.01)
    assert model.fit(X, ["a", "b"]).score(X, ["a", "b"]) == 1


@pytest.mark.filterwarnings("ignore:Training did not learn")
def test_one_sample_of_a_regression():
    model = EqPropRegressor(random_state=0, max_iter=20).fit([[1.0, 2.0]], [7.0])
    assert_allclose(model.predict([[1.0, 2.0]]), [7.0], atol=1)


@pytest.mark.parametrize("estimator", [EqPropClassifier, EqPropRegressor])
def test_constant_columns(binary, estimator):
    X, y = binary
    X = np.hstack([X, np.zeros((80, 2)), np.full((80, 1), 3.0)])
    model = estimator(random_state=0, max_iter=40, learning_rate_init=0.01).fit(X, y)
    assert model.score(X, y) > (0.9 if estimator is EqPropClassifier else 0.5)


@pytest.mark.filterwarnings("ignore:Training did not learn")
def test_nothing_but_constant_columns(binary):
    _, y = binary
    X = np.ones((80, 3))
    model = EqPropClassifier(random_state=0, max_iter=20)
    with pytest.warns(ConvergenceWarning, match="did not learn.*depend on the inputs"):
        model.fit(X, y)
    share = np.bincount(y) / 80
    assert_allclose(model.predict_proba(X[:1])[0], share, atol=0.1)


def test_ten_thousand_features():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((60, 10_000)).astype(np.float32)
    y = (X[:, :5000].sum(axis=1) > X[:, 5000:].sum(axis=1)).astype(int)
    model = EqPropClassifier(random_state=0, max_iter=10).fit(X, y)
    assert model.score(X, y) == 1
    target = X[:, :100].sum(axis=1)
    # Sixty rows do not show other rows what the target is, so alpha='auto' would be large.
    settings = {"alpha": 1e-4, "learning_rate_init": 1e-3, "max_iter": 15, "random_state": 0}
    assert EqPropRegressor(**settings).fit(X, target).score(X, target) > 0.5


def test_two_hundred_classes():
    rng = np.random.RandomState(0)
    centres = 3 * rng.standard_normal((200, 20))
    y = np.repeat(np.arange(200), 6)
    X = StandardScaler().fit_transform(centres[y] + 0.3 * rng.standard_normal((1200, 20)))
    model = EqPropClassifier(
        hidden_layer_sizes=(50,),
        random_state=0,
        max_iter=80,
        learning_rate_init=0.01,
        batch_size=50,
    ).fit(X, y)
    assert model.predict_proba(X).shape == (1200, 200)
    assert model.score(X, y) > 0.8


def test_raw_digits():
    X, y = load_digits(return_X_y=True)
    model = EqPropClassifier(random_state=0, max_iter=10).fit(X[:1200], y[:1200])
    assert model.score(X[1200:], y[1200:]) > 0.85


@pytest.mark.filterwarnings("ignore:Training did not learn")
def test_labels_that_are_noise_are_learnt_or_complained_about():
    rng = np.random.RandomState(0)
    X, y = rng.standard_normal((100, 3)), rng.randint(2, size=100)
    model = EqPropClassifier(random_state=0, max_iter=10, hidden_layer_sizes=(5,)).fit(X, y)
    assert np.isfinite(model.predict_proba(X)).all()


@pytest.mark.filterwarnings("ignore:Training did not learn")
@pytest.mark.parametrize("hidden", [(1,), (1, 1), (3, 200, 3), (5,) * 6])
def test_odd_sizes_settle(binary, hidden):
    X, y = binary
    model = EqPropClassifier(hidden_layer_sizes=hidden, random_state=0, max_iter=5, tol=0.0)
    model.fit(X, y)
    assert max(model.relaxation_["free_unconverged"]) == 0
    assert model.relax(X).converged.all()
