"""What scikit-learn's own tests ask of its MLP, asked of ours.

Behaviour by behaviour from sklearn/neural_network/tests/test_mlp.py (scikit-learn 1.9), in our own
words; docs/comparison.md lists the few that do not apply.
"""

import re
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.datasets import (
    load_digits,
    load_iris,
    make_classification,
    make_multilabel_classification,
    make_regression,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import PoissonRegressor
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import MinMaxScaler, StandardScaler, scale

from sklearn_eqprop import EqPropClassifier, EqPropRegressor
from sklearn_eqprop._training.epoch import ADAPTIVE_DIVISOR, ADAPTIVE_FLOOR
from sklearn_eqprop.exceptions import DivergenceError

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
KINDS = pytest.mark.parametrize("estimator", [EqPropClassifier, EqPropRegressor])
ACTIVATIONS = ["identity", "logistic", "tanh", "relu", "hard_sigmoid"]


def some_digits(n_classes, n_samples=200):
    X, y = load_digits(n_class=n_classes, return_X_y=True)
    return MinMaxScaler().fit_transform(X[:n_samples]), y[:n_samples]


@pytest.fixture(scope="module")
def two_digits():
    return some_digits(2)


@pytest.fixture(scope="module")
def three_digits():
    return some_digits(3)


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True)


@pytest.fixture(scope="module")
def noisy_regression():
    X, y = make_regression(n_samples=200, n_features=10, bias=20.0, noise=100.0, random_state=7)
    return X, scale(y)


def test_a_larger_alpha_gives_smaller_weights(two_digits):
    X, y = two_digits[0][:100], two_digits[1][:100]
    sizes = [
        [
            np.abs(coef).sum()
            for coef in EqPropClassifier(10, alpha=a, random_state=1).fit(X, y).coefs_
        ]
        for a in (0.0, 1.0)
    ]
    assert sizes[0][0] > sizes[1][0]
    assert sizes[0][1] > sizes[1][1]


def test_one_step_worked_out_by_hand():
    """One sample, one SGD step of the squared error, hidden units linear, no feedback to speak of.

    With feedback B = γ F_2^T the free phase solves h = x F_1 + b_1 + o B, o = h F_2 + b_2; the
    exact rule's step is then that of plain gradient descent on ½ (y - o)².
    """
    x, target = np.array([0.6, 0.8, 0.7]), 0.5
    F_1 = np.array([[0.1, 0.2], [0.3, 0.1], [0.5, 0.0]])
    F_2, b_1, b_2 = np.array([[0.1], [0.2]]), np.array([0.1, 0.1]), np.array([1.0])
    B = np.array([[0.05, 0.1]])
    rate, alpha = 0.1, 0.1

    def output(F_1, b_1, F_2, b_2):
        """o = (x F_1 + b_1) F_2 + b_2 + o B F_2."""
        return ((x @ F_1 + b_1) @ F_2 + b_2)[0] / (1 - (B @ F_2)[0, 0])

    # By hand: x F_1 + b_1 = (0.75, 0.3), times F_2 = 0.135, + 1 = 1.135; B F_2 = 0.025.
    o = output(F_1, b_1, F_2, b_2)
    assert o == pytest.approx(1.135 / 0.975)
    # dJ/do = o - y; do/db_1 = F_2 / 0.975, do/dF_2 = h / 0.975 with h = (0.75, 0.3) + o B.
    error = o - target
    h = np.array([0.75, 0.3]) + o * B[0]
    step_b_1 = -rate * error * F_2[:, 0] / 0.975
    step_F_1 = np.outer(x, step_b_1) - rate * alpha * F_1
    step_b_2 = -rate * error / 0.975
    step_F_2 = (h * step_b_2)[:, None] - rate * alpha * F_2

    # A regressor whose targets are standardised to themselves: mean 0, scale 1.
    model = EqPropRegressor(
        2,
        activation="identity",
        gradient="recurrent_backprop",
        feedback_learning="fixed",
        optimizer="sgd",
        momentum=0.0,
        learning_rate_init=rate,
        alpha=alpha,
        loop_gain=None,
        layerwise_rescale=False,
        relax_tol=1e-12,
    )
    model.partial_fit([[1.0, 1.0, 1.0], [-1.0, 1.0, 0.5]], [-1.0, 1.0])
    assert model.target_mean_ == [0.0]
    assert model.target_scale_ == [1.0]
    model.coefs_, model.intercepts_ = [F_1.copy(), F_2.copy()], [b_1.copy(), b_2.copy()]
    model.feedback_coefs_ = [B.copy()]
    model.partial_fit([x], [target])
    assert_allclose(model.coefs_[0], F_1 + step_F_1, rtol=1e-9)
    assert_allclose(model.coefs_[1], F_2 + step_F_2, rtol=1e-9)
    assert_allclose(model.intercepts_[0], b_1 + step_b_1, rtol=1e-9)
    assert_allclose(model.intercepts_[1], b_2 + step_b_2, rtol=1e-9)
    assert_allclose(
        model.predict([x]),
        output(F_1 + step_F_1, b_1 + step_b_1, F_2 + step_F_2, b_2 + step_b_2),
        rtol=1e-9,
    )


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_every_activation_learns_to_classify(activation, n_classes):
    X, y = some_digits(n_classes)
    model = EqPropClassifier(50, activation=activation, max_iter=80, random_state=1)
    model.fit(X[:150], y[:150])
    predicted = model.predict(X[150:])
    assert model.score(X[:150], y[:150]) > 0.95
    assert predicted.shape == (50,)
    assert predicted.dtype.kind == y.dtype.kind


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_learns_to_regress(noisy_regression, activation):
    X, y = noisy_regression
    rate = 0.03 if activation == "logistic" else 0.01  # whose slope is at most a quarter
    model = EqPropRegressor(
        50,
        activation=activation,
        batch_size=20,
        learning_rate_init=rate,
        alpha=1e-4,
        random_state=1,
    ).fit(X, y)
    # As of MLP's: an identity network is a linear model.
    assert model.score(X, y) > (0.80 if activation == "identity" else 0.95)


@KINDS
@pytest.mark.parametrize("max_iter", [1, 7])
def test_max_iter_is_a_limit_and_is_reported(two_digits, estimator, max_iter):
    with pytest.warns(ConvergenceWarning, match=f"max_iter={max_iter}"):
        model = estimator(10, max_iter=max_iter, random_state=1).fit(*two_digits)
    assert model.n_iter_ == max_iter


@pytest.mark.parametrize("learning_rate", ["constant", "invscaling"])
def test_a_schedule_goes_on_under_warm_start(iris, learning_rate):
    settings = {"optimizer": "sgd", "learning_rate": learning_rate, "random_state": 0}
    settings |= {"hidden_layer_sizes": 4, "n_iter_no_change": None}
    stepwise = EqPropClassifier(max_iter=1, warm_start=True, **settings)
    for _ in range(3):
        stepwise.fit(*iris)
    at_once = EqPropClassifier(max_iter=3, **settings).fit(*iris)
    assert_array_equal(stepwise.coefs_[0], at_once.coefs_[0])


def test_multilabel_classification():
    X, y = make_multilabel_classification(n_samples=50, random_state=0)
    X = StandardScaler().fit_transform(X)
    settings = {"learning_rate_init": 0.02, "alpha": 1e-4, "random_state": 0}
    model = EqPropClassifier(50, max_iter=150, **settings).fit(X, y)
    assert model.score(X, y) > 0.97
    stream = EqPropClassifier(50, learning_rate_init=0.02, random_state=0)
    for _ in range(100):
        stream.partial_fit(X, y, classes=[0, 1, 2, 3, 4])
    assert stream.score(X, y) > 0.9
    EqPropClassifier(early_stopping=True, max_iter=5).fit(X, y).predict(X)


def test_multioutput_regression():
    X, y = make_regression(n_samples=200, n_targets=5, random_state=11)
    model = EqPropRegressor(50, learning_rate_init=0.01, random_state=1).fit(X, y)
    assert model.score(X, y) > 0.9
    assert model.predict(X).shape == (200, 5)


def test_classes_may_not_change_between_calls():
    model = EqPropClassifier().partial_fit([[3, 2]], [0], classes=[0, 1])
    with pytest.raises(ValueError, match=r"classes=\[1, 2\].*first call"):
        model.partial_fit([[3, 2]], [0], classes=[1, 2])


@pytest.mark.parametrize("n_classes", [2, 3])
def test_partial_fit_does_what_fit_does_for_classes(n_classes):
    X, y = some_digits(n_classes)
    settings = {"optimizer": "sgd", "learning_rate_init": 0.2, "random_state": 1, "tol": 0}
    whole = EqPropClassifier(max_iter=30, n_iter_no_change=None, **settings).fit(X, y)
    stream = EqPropClassifier(**settings)
    for _ in range(30):
        stream.partial_fit(X, y, classes=np.unique(y))
    assert_array_equal(whole.predict(X), stream.predict(X))
    assert stream.score(X, y) > 0.95


@pytest.mark.parametrize("momentum", [0, 0.9])
def test_partial_fit_does_what_fit_does_for_numbers(noisy_regression, momentum):
    X, y = noisy_regression
    settings = {"optimizer": "sgd", "momentum": momentum, "learning_rate_init": 0.05}
    settings |= {"batch_size": 50, "random_state": 1, "n_iter_no_change": None, "alpha": 1e-4}
    whole = EqPropRegressor(max_iter=15, **settings).fit(X, y)
    stream = EqPropRegressor(**settings)
    for _ in range(15):
        stream.partial_fit(X, y)
    assert_allclose(whole.predict(X), stream.predict(X), rtol=1e-7)
    assert stream.score(X, y) > 0.65


def test_a_class_may_come_late():
    model = EqPropClassifier(random_state=0)
    model.partial_fit([[1], [2], [3]], ["a", "b", "c"], classes=["a", "b", "c", "d"])
    model.partial_fit([[4]], ["d"])
    assert model.score([[1], [2], [3], [4]], ["a", "b", "c", "d"]) > 0


def test_partial_fit_wants_all_classes():
    with pytest.raises(ValueError, match=r"labels \[0, 1\] that are not in classes_|1 class"):
        EqPropClassifier().partial_fit([[3, 2], [1, 6]], [1, 0], classes=[2])
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        EqPropClassifier().partial_fit([[3, 2], [1, 6]], [1, 0])


def test_inputs_at_the_end_of_the_range_of_floats():
    """MLP gives up: "Solver produced non-finite parameter weights"."""
    rng = np.random.RandomState(0)
    X = np.finfo(np.float64).max * rng.uniform(size=(10, 2))
    y = rng.standard_normal(10)
    model = EqPropRegressor(max_iter=20, random_state=0).fit(X, y)
    assert np.isfinite(model.predict(X)).all()
    assert all(np.isfinite(coef).all() for coef in model.coefs_)


def test_probabilities_of_two_classes(two_digits):
    X, y = two_digits[0][:50], two_digits[1][:50]
    model = EqPropClassifier(5, activation="logistic", random_state=1, learning_rate_init=0.02)
    probabilities = model.fit(X, y).predict_proba(X)
    assert probabilities.shape == (50, 2)
    assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)
    assert_allclose(model.predict_log_proba(X), np.log(probabilities))
    assert roc_auc_score(y, probabilities[:, 1]) == 1.0


def test_probabilities_of_three_classes(three_digits):
    X, y = three_digits[0][:10], three_digits[1][:10]
    model = EqPropClassifier(5, random_state=0).fit(X, y)
    probabilities = model.predict_proba(X)
    assert probabilities.shape == (10, 3)
    assert_array_equal(model.classes_[probabilities.argmax(axis=1)], model.predict(X))
    assert_allclose(model.predict_log_proba(X), np.log(probabilities))


def test_probabilities_of_labels_do_not_sum_to_one():
    X, Y = make_multilabel_classification(n_samples=50, random_state=0)
    X = StandardScaler().fit_transform(X)
    model = EqPropClassifier(30, learning_rate_init=0.03, alpha=1e-4, random_state=0).fit(X, Y)
    probabilities = model.predict_proba(X)
    assert probabilities.shape == Y.shape
    assert_array_equal(probabilities > 0.5, Y)
    assert np.abs(probabilities.sum(axis=1) - 1).max() > 0.1
    assert_allclose(model.predict_log_proba(X), np.log(probabilities))


def test_shuffle_is_used_and_reproducible():
    X, y = make_regression(n_samples=50, n_features=5, random_state=0)

    def weights(shuffle):
        model = EqPropRegressor(3, max_iter=1, batch_size=1, random_state=0, shuffle=shuffle)
        return model.fit(X, y).coefs_[0]

    for shuffle in (True, False):
        assert_array_equal(weights(shuffle), weights(shuffle))
    assert not np.array_equal(weights(True), weights(False))


@pytest.mark.parametrize("container", [sparse.csr_matrix, sparse.csr_array])
def test_sparse_matrices(two_digits, container):
    X, y = two_digits[0][:50], two_digits[1][:50]
    dense = EqPropClassifier(15, random_state=1, max_iter=20).fit(X, y)
    model = EqPropClassifier(15, random_state=1, max_iter=20).fit(container(X), y)
    assert_array_equal(dense.predict_proba(X), model.predict_proba(container(X)))
    assert_array_equal(model.predict(X), model.predict(container(X)))


def test_tolerance_ends_training():
    model = EqPropClassifier(tol=0.5, max_iter=3000, optimizer="sgd")
    model.fit([[3, 2], [1, 6]], [1, 0])
    assert model.n_iter_ < 3000


def test_verbose(capsys):
    X, y = [[3, 2], [1, 6]], [1, 0]
    model = EqPropClassifier(2, optimizer="sgd", max_iter=2, verbose=10).fit(X, y)
    model.partial_fit(X, y)
    assert capsys.readouterr().out.count("Epoch") == 3


@KINDS
def test_early_stopping(two_digits, estimator):
    X, y = two_digits[0][:100], two_digits[1][:100]
    tol = 0.2
    model = estimator(tol=tol, max_iter=3000, optimizer="sgd", early_stopping=True).fit(X, y)
    assert model.n_iter_ < 3000
    assert model.best_loss_ is None
    assert isinstance(model.validation_scores_, list)
    assert max(model.validation_scores_) == model.best_validation_score_
    assert model.best_validation_score_ + tol > model.validation_scores_[-2]
    assert model.best_validation_score_ + tol > model.validation_scores_[-1]
    model = estimator(tol=tol, max_iter=3000, optimizer="sgd").fit(X, y)
    assert model.validation_scores_ is None
    assert model.best_validation_score_ is None
    assert model.best_loss_ is not None


def test_adaptive_rate_ends_at_its_floor():
    model = EqPropClassifier(tol=0.5, max_iter=3000, optimizer="sgd", learning_rate="adaptive")
    model.fit([[3, 2], [1, 6]], [1, 0])
    assert model.n_iter_ < 3000
    n_cuts = int(np.log(1 / ADAPTIVE_FLOOR) / np.log(ADAPTIVE_DIVISOR))
    assert model.n_iter_ >= 11 * (n_cuts + 1)


def test_warm_start_wants_the_same_classes(iris):
    X, y = iris
    settings = {"hidden_layer_sizes": 2, "warm_start": True, "random_state": 42, "max_iter": 3}
    model = EqPropClassifier(**settings).fit(X, y)
    model.fit(X, y)
    model.fit(X, np.array([0] * 40 + [1] * 40 + [2] * 70))
    for others, unknown in (
        (np.array([0] * 50 + [1] * 50 + [3] * 50), "3"),
        (np.array([0] * 37 + [1] * 37 + [2] * 38 + [3] * 38), "3"),
        (np.array([0] * 30 + [1] * 30 + [2] * 30 + [3] * 30 + [4] * 30), "3, 4"),
    ):
        before = joblib.hash(model.__dict__)
        message = rf"labels \[{unknown}\] that are not in classes_ \(\[0, 1, 2\]\)"
        with pytest.raises(ValueError, match=message):
            model.fit(X, others)
        assert joblib.hash(model.__dict__) == before
    fewer = np.array([0] * 75 + [1] * 75)
    with pytest.raises(ValueError, match=r"earlier fit, .* no sample of its classes \[2\]"):
        model.fit(X, fewer)


@KINDS
def test_warm_start_trains_max_iter_epochs_each_time(iris, estimator):
    model = estimator(2, optimizer="sgd", warm_start=True, max_iter=3)
    for _ in range(2):
        assert model.fit(*iris).n_iter_ == 3


@pytest.mark.parametrize("patience", [2, 5, 10, 50])
def test_patience(two_digits, patience):
    X, y = two_digits[0][:100], two_digits[1][:100]
    model = EqPropClassifier(
        tol=0.01, max_iter=3000, optimizer="sgd", n_iter_no_change=patience, random_state=0
    ).fit(X, y)
    assert model.n_iter_ < 3000
    curve = np.array(model.loss_curve_)
    best = np.minimum.accumulate(curve)
    waiting = curve[1:] >= best[:-1] - 0.01
    assert waiting[-(patience + 1) :].all()


def test_no_end_to_patience(two_digits):
    X, y = two_digits[0][:100], two_digits[1][:100]
    # MLP says so with inf, we with None.
    model = EqPropClassifier(3, tol=1e9, max_iter=300, n_iter_no_change=None).fit(X, y)
    assert model.n_iter_ == 300


def test_the_validation_split_is_stratified():
    with pytest.raises(ValueError, match=r"least populated class.*only 1 member"):
        EqPropClassifier(early_stopping=True).fit([[1, 2], [2, 3], [3, 4], [4, 5]], [0, 0, 0, 1])


def test_early_stopping_with_text_as_labels():
    X, y = make_classification(200, 10, n_classes=3, n_informative=5, random_state=42)
    y = np.array(["class_a", "class_b", "class_c"], dtype=object)[y]
    model = EqPropClassifier(early_stopping=True, max_iter=15, random_state=42).fit(X, y)
    assert len(model.validation_scores_) == model.n_iter_
    assert np.isfinite(model.validation_scores_).all()


@KINDS
def test_single_precision_learns_the_same(estimator):
    X, y = some_digits(2, 360)
    settings = {"hidden_layer_sizes": (5, 3), "random_state": 1, "max_iter": 30, "alpha": 1e-4}
    in_64 = estimator(**settings).fit(X[:300], y[:300])
    in_32 = estimator(**settings).fit(X[:300].astype(np.float32), y[:300])
    rows = X[300:]
    if estimator is EqPropClassifier:
        assert_array_equal(in_64.predict(rows), in_32.predict(rows.astype(np.float32)))
        of_32 = in_32.predict_proba(rows.astype(np.float32))
        assert_allclose(in_64.predict_proba(rows), of_32, rtol=1e-2)
    else:
        assert_allclose(in_64.predict(rows), in_32.predict(rows.astype(np.float32)), atol=5e-3)


@KINDS
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrays_have_the_type_of_the_inputs(two_digits, estimator, dtype):
    X, y = two_digits[0].astype(dtype), two_digits[1]
    model = estimator((5, 3), max_iter=5, random_state=1).fit(X, y)
    for arrays in (model.coefs_, model.intercepts_, model.feedback_coefs_):
        assert all(array.dtype == dtype for array in arrays)
    if estimator is EqPropRegressor:
        assert model.predict(X).dtype == dtype


def test_a_loaded_model_learns_something_new(tmp_path):
    # While training, free phases settle to 1e-2 by default: enough to learn, not for four digits.
    settings = {"learning_rate_init": 0.01, "relax_tol": 1e-8, "max_iter": 200}
    model = EqPropRegressor(42, random_state=42, **settings)
    joblib.dump(model.fit([[2]], [4]), tmp_path / "model.joblib")
    loaded = joblib.load(tmp_path / "model.joblib")
    for _ in range(200):
        loaded.partial_fit([[2]], [1])
    assert_allclose(loaded.predict([[2]]), [1], rtol=1e-4)


@KINDS
def test_early_stopping_knows_the_column_names(estimator):
    rng = np.random.RandomState(0)
    X = pd.DataFrame(rng.standard_normal((20, 2)), columns=["colname_a", "colname_b"])
    y = pd.Series(np.arange(20) % 2, name="colname_y")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = estimator(early_stopping=True, validation_fraction=0.2, max_iter=5).fit(X, y)
    assert model.feature_names_in_.tolist() == ["colname_a", "colname_b"]


@KINDS
def test_warm_start_with_early_stopping(iris, estimator):
    model = estimator(max_iter=5, random_state=0, warm_start=True, early_stopping=True).fit(*iris)
    n_scores = len(model.validation_scores_)
    model.set_params(max_iter=10).fit(*iris)
    assert len(model.validation_scores_) > n_scores


@KINDS
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_warm_start_without_convergence(iris, estimator, optimizer):
    model = estimator(
        optimizer=optimizer, warm_start=True, max_iter=10, n_iter_no_change=None, random_state=0
    )
    for max_iter in (5, 20):  # a fit warns if more epochs would help, or after fewer than ten
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ConvergenceWarning)
            model.set_params(max_iter=max_iter).fit(*iris)
        assert model.n_iter_ == max_iter
        assert caught or max_iter == 20


@KINDS
def test_partial_fit_after_early_stopping(iris, estimator):
    model = estimator(early_stopping=True, random_state=0, max_iter=5).fit(*iris)
    with pytest.raises(ValueError, match="partial_fit does not support early_stopping=True"):
        model.partial_fit(*iris)


def test_divergence_is_an_error_and_not_a_nan(iris):
    """MLP warns and ends with validation scores that are NaN."""
    model = EqPropRegressor(
        activation="identity",
        optimizer="sgd",
        learning_rate_init=1e3,
        loop_gain=None,
        max_iter=20,
        early_stopping=True,
        random_state=0,
    )
    with pytest.raises(DivergenceError, match=re.escape("learning_rate_init")):
        model.fit(*iris)
    assert all(np.isfinite(getattr(model, "validation_scores_", [])))


def test_weights_of_one_change_nothing_with_early_stopping():
    X, y = make_regression(n_samples=100, n_features=2, n_informative=2, random_state=42)
    settings = {"hidden_layer_sizes": 10, "early_stopping": True, "tol": 1e-2, "batch_size": 10}
    settings |= {"learning_rate_init": 0.01, "random_state": 42}
    weighted = EqPropRegressor(**settings).fit(X, y, sample_weight=np.ones_like(y))
    plain = EqPropRegressor(**settings).fit(X, y)
    assert_allclose(weighted.predict(X), plain.predict(X))


@pytest.mark.parametrize("seed", range(2))
def test_poisson_without_hidden_layer_is_the_linear_model(seed):
    rng = np.random.default_rng(seed)
    X = np.linspace(0, 1, 100)
    y = rng.poisson(np.exp(X + 1))
    X = X[:, None]
    linear = PoissonRegressor(alpha=0, tol=1e-9).fit(X, y)
    settings = {"hidden_layer_sizes": (), "alpha": 0, "max_iter": 3000, "tol": 0}
    settings |= {"learning_rate_init": 0.03, "n_iter_no_change": None, "learning_rate": "cosine"}
    ours = EqPropRegressor(loss="poisson", random_state=seed, **settings).fit(X, y)
    assert_allclose(ours.predict(X), linear.predict(X), rtol=1e-4)
    other = EqPropRegressor(loss="squared_error", random_state=seed, **settings).fit(X, y)
    assert not np.allclose(other.predict(X), linear.predict(X), rtol=1e-3)


def test_too_few_samples_to_hold_any_out():
    X, y = make_regression(n_samples=2, n_features=5, random_state=0)
    with pytest.raises(ValueError, match=r"validation_fraction.*1 of 2 samples"):
        EqPropRegressor(early_stopping=True, random_state=0).fit(X, y)
