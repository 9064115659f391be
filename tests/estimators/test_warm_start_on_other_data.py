"""Scores are compared only between epochs on the same rows, targets, weights and penalties."""

import pickle
import warnings

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.metrics import make_scorer, median_absolute_error

from sklearn_eqprop import EqPropClassifier, EqPropRegressor
from sklearn_eqprop._estimators.data import rows as rows_module
from sklearn_eqprop._estimators.data.rows import Rows

pytestmark = [
    pytest.mark.filterwarnings("ignore:Training reached max_iter"),
    pytest.mark.filterwarnings("ignore:Training did not learn"),
]
KINDS = pytest.mark.parametrize("estimator", [EqPropClassifier, EqPropRegressor])
SETTINGS = {"hidden_layer_sizes": (8,), "learning_rate_init": 0.02, "random_state": 0}
SETTINGS |= {"warm_start": True, "n_iter_no_change": None, "max_iter": 15}
RESTORING = {"restore_best_weights": True}
STOPPING = {"early_stopping": True, "scoring": "loss", "validation_fraction": 0.3}
BOTH = pytest.mark.parametrize(
    ("estimator", "way"), [(EqPropClassifier, RESTORING), (EqPropRegressor, STOPPING)]
)
RNG = np.random.RandomState(0)
#: Numbers that float32 can hold.
X = RNG.standard_normal((120, 4)).astype(np.float32).astype(np.float64)
EASY = (X[:, 0] > 0).astype(int)
HARD = ((X[:, 1] * X[:, 2] + RNG.standard_normal(120)) > 0).astype(int)
X_VAL, Y_VAL = X[:40] + 0.25, EASY[:40]


class Stretched:
    """A loss of the user's own."""

    curvature = 5.0

    def __init__(self, factor):
        self.factor = factor

    def value(self, output, target):
        return 0.5 * self.factor * ((output - target) ** 2).sum(axis=1)

    def derivative(self, output, target):
        return self.factor * (output - target)


def scores_of(model):
    """Scores of all epochs, higher is better, and the best of them."""
    if model.early_stopping:
        return model.validation_scores_, model.best_validation_score_
    return [-loss for loss in model.loss_curve_], -model.best_loss_


def assert_compared_anew(model, before):
    scores, best = scores_of(model)
    assert best == max(scores[-model.n_iter_ :])
    assert model._training_state.n_compared == model.n_iter_  # also if this fit is the better one
    assert not np.array_equal(before, model.coefs_[0])


def assert_still_compared(model, before):
    """The second fit ends worse, so the weights of the first one are kept.

    (The loss of an epoch is that of the weights before its updates. So the first epoch of the
    second fit may have a better one.)
    """
    scores, best = scores_of(model)
    assert best == max(scores)
    assert model._training_state.n_compared == len(scores) > model.n_iter_
    if model.early_stopping:
        assert best > max(scores[-model.n_iter_ :])
        assert_array_equal(before, model.coefs_[0])


def fit_easy(estimator, way, **data):
    model = estimator(**SETTINGS | way).fit(X, EASY, **data)
    return model, model.coefs_[0].copy()


def bad_year(X):
    X = X.copy()
    X[:, 0] = X[::-1, 0]
    return X


#: Other data, weights or penalties, with which the score of the first fit is out of reach.
CHANGES = {
    "new rows": lambda m: m.fit(bad_year(X), EASY),
    "new targets": lambda m: m.fit(X, HARD),
    "one target": lambda m: m.fit(X, np.r_[1 - EASY[:1], EASY[1:]]),
    "targets of other rows": lambda m: m.fit(X, np.roll(EASY, 1)),
    "growing data": lambda m: m.fit(np.r_[X, X], np.r_[EASY, HARD]),
    "fewer rows": lambda m: m.fit(X[:60], HARD[:60]),
    "sample weights": lambda m: m.fit(X, EASY, 0.1 + np.abs(X[:, 0] < 0.3)),
    "alpha": lambda m: m.set_params(alpha=5.0).fit(X, EASY),
    "partial_fit": lambda m: m.set_params(early_stopping=False).partial_fit(X, HARD),
}


@BOTH
@pytest.mark.parametrize("change", list(CHANGES))
def test_other_data_start_the_comparison_anew(estimator, way, change):
    model, before = fit_easy(estimator, way)
    CHANGES[change](model)
    if change == "partial_fit":
        before = model.coefs_[0].copy()
        model.set_params(**way).fit(X, EASY)
    assert_compared_anew(model, before)


@pytest.mark.parametrize("way", [RESTORING, STOPPING], ids=["restoring", "stopping"])
def test_other_class_weights_start_the_comparison_anew(way):
    model, before = fit_easy(EqPropClassifier, way)
    model.set_params(class_weight={0: 1.0, 1: 4.0}).fit(X, EASY)
    assert_compared_anew(model, before)


@pytest.mark.parametrize("way", [RESTORING, STOPPING], ids=["restoring", "stopping"])
def test_data_changed_in_place_start_the_comparison_anew(way):
    inputs, targets = X.copy(), EASY.copy()
    model = EqPropClassifier(**SETTINGS | way).fit(inputs, targets)
    before = model.coefs_[0].copy()
    targets[:] = HARD
    assert_compared_anew(model.fit(inputs, targets), before)


@KINDS
@pytest.mark.parametrize(
    ("later", "parameters"),
    [
        ({"X_val": X_VAL, "y_val": 1 - Y_VAL}, {}),
        ({"X_val": X_VAL - 1, "y_val": Y_VAL}, {}),
        ({"X_val": X_VAL, "y_val": Y_VAL, "sample_weight_val": 0.1 + (X_VAL[:, 0] < 0.3)}, {}),
        ({"X_val": X_VAL, "y_val": Y_VAL}, {"scoring": None}),
        ({}, {}),
        ({}, {"validation_fraction": 0.5}),
    ],
    ids=["y_val", "X_val", "weights", "scoring", "internal split", "fraction"],
)
def test_another_validation_starts_the_comparison_anew(estimator, later, parameters):
    first = {"X_val": X_VAL, "y_val": Y_VAL}
    model, before = fit_easy(estimator, STOPPING, **first)
    model.set_params(**parameters).fit(X, EASY, **later)
    assert_compared_anew(model, before)


@KINDS
@pytest.mark.parametrize("change", ["rows", "targets", "weights"])
def test_other_training_data_start_it_anew_with_the_same_validation_set(estimator, change):
    own = {"X_val": X_VAL, "y_val": Y_VAL}
    model, before = fit_easy(estimator, STOPPING, **own)
    changed = {"rows": (bad_year(X), EASY), "targets": (X, HARD)}
    changed["weights"] = (X, EASY, 0.1 + np.abs(X[:, 0] < 0.3))
    assert_compared_anew(model.fit(*changed[change], **own), before)


def test_another_loss_starts_the_comparison_anew():
    model, before = fit_easy(EqPropRegressor, STOPPING | {"loss": "huber"})
    assert_compared_anew(model.set_params(loss="absolute_error").fit(X, EASY), before)


@pytest.mark.parametrize("change", ["loss", "scoring"])
def test_an_object_with_other_attributes_starts_the_comparison_anew(change):
    scorer = make_scorer(median_absolute_error)
    model, before = fit_easy(
        EqPropRegressor,
        STOPPING | {"loss": Stretched(0.5), "nudging": "one_sided", "scoring": scorer},
    )
    if change == "loss":
        model.loss.factor = 5.0
    else:
        model.set_params(scoring=make_scorer(median_absolute_error, greater_is_better=False))
    assert_compared_anew(model.fit(X, EASY), before)


@KINDS
def test_assigned_weights_do_not_have_the_score_of_others(estimator):
    model, _ = fit_easy(estimator, RESTORING)
    model.coefs_ = [0.1 * coef for coef in model.coefs_]
    before = model.coefs_[0].copy()
    assert_compared_anew(model.set_params(learning_rate_init=1e-4).fit(X, EASY), before)


ORDER = np.random.RandomState(1).permutation(120)
SAME = {
    "the same arrays": (X, EASY),
    "another order": (X[ORDER], EASY[ORDER]),
    "float32": (X.astype(np.float32), EASY),
    "Fortran order": (np.asfortranarray(X), EASY),
    "a list": (X.tolist(), EASY.tolist()),
    "sparse": (sparse.csr_array(X), EASY),
    "targets of another type": (X, EASY.astype(np.float32)),
    "negative zeros": (np.where(X == 0, -0.0, X), EASY),
    "weights of 1": (X, EASY, np.ones(120)),
}


@pytest.mark.parametrize(
    ("estimator", "way", "same"),
    [
        *[(EqPropClassifier, RESTORING, same) for same in SAME],
        # In another order the internal split draws other rows.
        *[(EqPropRegressor, STOPPING, same) for same in SAME if same != "another order"],
    ],
)
def test_the_same_rows_are_compared_however_they_come(estimator, way, same):
    model, before = fit_easy(estimator, way)
    model = pickle.loads(pickle.dumps(model))
    model.set_params(learning_rate_init=9.0, max_iter=3).fit(*SAME[same])
    assert_still_compared(model, before)


@KINDS
def test_the_order_of_a_validation_set_does_not_matter(estimator):
    model, before = fit_easy(estimator, STOPPING, X_val=X_VAL, y_val=Y_VAL)
    model.set_params(learning_rate_init=9.0, max_iter=3)
    model.fit(X[ORDER], EASY[ORDER], X_val=X_VAL[::-1], y_val=Y_VAL[::-1])
    assert_still_compared(model, before)


def test_ones_own_loss_is_known_again_after_loading():
    model, before = fit_easy(
        EqPropRegressor, RESTORING | {"loss": Stretched(0.5), "nudging": "one_sided"}
    )
    model = pickle.loads(pickle.dumps(model))
    assert_still_compared(model.set_params(learning_rate_init=9.0, max_iter=3).fit(X, EASY), before)


def test_a_month_that_is_harder_is_learned():
    """The case of the issue: the second fit was thrown away."""
    rng = np.random.RandomState(0)
    easy = rng.standard_normal((400, 5))
    hard = rng.standard_normal((400, 5))
    y_hard = hard[:, 0] * hard[:, 1] + 0.5 * rng.standard_normal(400) > 0
    way = {"n_iter_no_change": 10, "max_iter": 200, "hidden_layer_sizes": (16,), "alpha": 1e-4}
    way |= {"random_state": 1}  # seeds end between 0.6 and 0.8
    model = EqPropClassifier(**SETTINGS | way, early_stopping=True)
    model.fit(easy, easy[:, 0] > 0)
    model.fit(hard, y_hard)
    assert model.n_iter_ > 20
    assert model.score(hard, y_hard) > 0.74


def test_rate_cuts_and_patience_start_anew():
    way = {"learning_rate": "adaptive", "optimizer": "sgd", "n_iter_no_change": 2, "tol": 1e-2}
    model = EqPropClassifier(**SETTINGS | way | {"max_iter": 400}).fit(X, EASY)
    assert model._training_state.n_rate_cuts > 0
    model.set_params(max_iter=1).fit(X, HARD)
    assert model._training_state.n_rate_cuts == model._training_state.n_waiting == 0


@pytest.mark.parametrize(("learning_rate", "n_compared"), [("adaptive", 2), ("constant", 1)])
def test_partial_fit_compares_calls_with_the_same_rows_if_the_rate_adapts(
    learning_rate, n_compared
):
    way = {"learning_rate": learning_rate, "optimizer": "sgd"}
    model = EqPropClassifier(**SETTINGS | way)
    model.partial_fit(X, EASY, [0, 1]).partial_fit(X, EASY)
    assert model._training_state.n_compared == n_compared
    model.set_params(learning_rate_init=100.0).partial_fit(X, EASY).partial_fit(X, EASY)
    # The last call is the worst: is the best loss that of an earlier call, or its own?
    assert model.loss_curve_[-1] > 2 * min(model.loss_curve_)
    expected = min(model.loss_curve_) if learning_rate == "adaptive" else model.loss_
    assert model.best_loss_ == expected
    model.partial_fit(X, HARD)
    assert model.best_loss_ == model.loss_ == model.loss_curve_[-1]


def test_messages_are_about_the_data_of_this_fit():
    model = EqPropClassifier(**SETTINGS | {"max_iter": 60, "n_iter_no_change": 10}).fit(X, EASY)
    noise = np.random.RandomState(3).randint(0, 2, 120)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model.set_params(learning_rate_init=1e-7).fit(X, noise)
    [message] = [str(one.message) for one in told]
    first = model.loss_curve_[-model.n_iter_]
    assert f"the loss was {first:.4g} in the first epoch" in message
    assert f"in the last of {model.n_iter_};" in message


@pytest.mark.parametrize("block", [1, 50, 2**18])
def test_a_fingerprint_depends_on_every_number_and_on_nothing_else(block, monkeypatch):
    expected = Rows(X, EASY, None).fingerprint(EASY)
    monkeypatch.setattr(rows_module, "HASHED_NUMBERS", block)
    thinned = np.where(np.abs(X) < 1, 0.0, X)
    as_dense = Rows(thinned, EASY, None).fingerprint(EASY)
    assert Rows(sparse.csr_array(thinned), EASY, None).fingerprint(EASY) == as_dense
    assert Rows(X, EASY, None).fingerprint(EASY) == expected
    assert Rows(X[ORDER], EASY, None).fingerprint(EASY[ORDER]) == expected
    found = {expected, as_dense}
    for row in range(0, 120, 7):
        for change in (np.nextafter(X, 9), 0 * X, X[:, ::-1], np.roll(X, 1, axis=0)):
            inputs = X.copy()
            inputs[row] = change[row]
            found.add(Rows(inputs, EASY, None).fingerprint(EASY))
        weight = np.ones(120)
        weight[row] = 2.0
        found.add(Rows(X, EASY, weight).fingerprint(EASY))
        found.add(Rows(X, EASY, None).fingerprint(np.where(np.arange(120) == row, 5, EASY)))
    assert len(found) == 2 + 6 * 18


def test_rows_of_whole_numbers_are_told_apart():
    """Whole numbers differ in few of their bits, and all of these are at the upper end."""
    rows = np.unique(np.random.RandomState(0).randint(2, size=(1500, 20)), axis=0).astype(float)
    found = {Rows(row[None], EASY[:1], None).fingerprint(EASY[:1]) for row in rows}
    assert len(found) == len(rows) > 1400
