"""`augment`: the network learns from the changed rows and from nothing else.

The truth is a twin that gets the changed rows themselves, and has no `augment`.
"""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from sklearn_eqprop import Conv2D, EqPropClassifier, EqPropRegressor
from sklearn_eqprop.augmentation import RandomCrop

pytestmark = [
    pytest.mark.filterwarnings("ignore:Training reached max_iter"),
    pytest.mark.filterwarnings("ignore:Training did not learn"),  # noise is large, epochs are few
]

KINDS = pytest.mark.parametrize("estimator", [EqPropClassifier, EqPropRegressor])
# With stronger loops every phase is measured, so that a call per epoch is the same as one call.
SETTINGS = {
    **{"hidden_layer_sizes": (8, 6), "max_iter": 4, "batch_size": 16, "random_state": 0},
    **{"loop_gain": 0.5, "alpha": 1e-4},
}


class Noise:
    """Adds noise, and remembers what it got and what it returned."""

    def __init__(self, size=0.5):
        self.size, self.got, self.returned = size, [], []

    def __deepcopy__(self, memo):
        return self  # clones of the estimator share it

    def __call__(self, rows, rng):
        self.got.append(rows.copy())
        rows += self.size * rng.standard_normal(rows.shape)
        self.returned.append(rows.copy())
        return rows


def assert_same_networks(one, other):
    for name in ("coefs_", "intercepts_", "feedback_coefs_"):
        for left, right in zip(getattr(one, name), getattr(other, name), strict=True):
            assert_array_equal(left, right)


@KINDS
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("batch_size", [16, 200])
def test_network_learns_from_the_returned_rows(binary, estimator, dtype, batch_size):
    X, y = binary
    X = X.astype(dtype)
    before, weight = X.copy(), np.random.RandomState(1).uniform(0.5, 2, len(y))
    noise = Noise()
    settings = SETTINGS | {"batch_size": batch_size, "shuffle": False}
    model = estimator(augment=noise, **settings).fit(X, y, sample_weight=weight)
    assert_array_equal(X, before)
    assert noise.got[0].dtype == dtype
    assert_array_equal(np.concatenate(noise.got), np.tile(X, (4, 1)))
    truth = estimator(**settings)  # its first call sees the same scales of columns and targets
    for epoch in np.split(np.concatenate(noise.returned), 4):
        if estimator is EqPropClassifier:
            truth.partial_fit(epoch, y, np.unique(y), sample_weight=weight)
        else:
            truth.partial_fit(epoch, y, sample_weight=weight)
    if batch_size == 16:
        assert_same_networks(model, truth)
        assert model.loss_curve_ == truth.loss_curve_
    else:  # a lone minibatch without `augment` is sorted
        for left, right in zip(model.coefs_, truth.coefs_, strict=True):
            np.testing.assert_allclose(
                left, right, rtol=0, atol=1e-4 if dtype == np.float32 else 1e-10
            )


def test_each_minibatch_is_drawn_from_all_rows_and_changed_anew(binary):
    X, y = binary
    noise = Noise()
    EqPropClassifier(augment=noise, **SETTINGS).fit(X, y)
    got = np.concatenate(noise.got).reshape(4, *X.shape)
    for epoch in got:  # shuffled
        assert_array_equal(np.sort(epoch, axis=0), np.sort(X, axis=0))
    assert (got[0] != got[1]).any()
    added = np.concatenate(noise.returned) - got.reshape(-1, X.shape[1])
    assert len(np.unique(added.round(9))) == added.size


@KINDS
def test_same_seed_same_fit_and_other_seed_other_fit(binary, estimator):
    fits = [
        estimator(augment=Noise(), **SETTINGS | {"random_state": seed}).fit(*binary)
        for seed in (0, 0, 1)
    ]
    assert_same_networks(fits[0], fits[1])
    assert (fits[0].coefs_[0] != fits[2].coefs_[0]).any()
    # The stream is its own: it does not move others.
    plain, still = estimator(**SETTINGS), estimator(augment=lambda rows, rng: rows, **SETTINGS)
    assert_same_networks(plain.fit(*binary), still.fit(*binary))


def draws(rows, rng):
    return rows + 0.5 * rng.standard_normal(rows.shape)


@KINDS
@pytest.mark.parametrize(
    "more", [{}, {"early_stopping": True}, {"learning_rate": "cosine"}], ids=str
)
def test_warm_starts_and_model_files_go_on_exactly(binary, estimator, more):
    settings = SETTINGS | more | {"augment": draws, "warm_start": True, "n_iter_no_change": None}
    if more.get("learning_rate") == "cosine":
        settings["max_iter"] = 8
    model = estimator(**settings).fit(*binary)
    stored = pickle.loads(pickle.dumps(model))
    for fitted in (model, stored):
        fitted.fit(*binary)
    assert_same_networks(model, stored)
    if not more:
        at_once = estimator(**settings | {"max_iter": 8}).fit(*binary)
        assert_same_networks(model, at_once)
        slices = estimator(**settings)
        X, y = binary
        classes = [np.unique(y)] if estimator is EqPropClassifier else []
        for _ in range(8):
            slices.partial_fit(X, y, *classes)
        assert_same_networks(slices, at_once)


def test_held_out_rows_and_predictions_are_never_changed(binary):
    X, y = binary
    noise = Noise(5.0)
    settings = SETTINGS | {"early_stopping": True, "max_iter": 6}
    model = EqPropClassifier(augment=noise, validation_fraction=0.25, **settings).fit(X, y)
    seen = {row.tobytes() for row in np.concatenate(noise.got)}
    held_out = np.array([row.tobytes() not in seen for row in X])
    assert held_out.sum() == 20
    n_calls = len(noise.got)
    assert model.best_validation_score_ == model.score(X[held_out], y[held_out])
    model.predict(X), model.predict_proba(X), model.transform(X), model.relax(X, y, 0.1)
    assert len(noise.got) == n_calls
    given = clone(model).fit(X[:60], y[:60], X_val=X[60:], y_val=y[60:])
    assert given.best_validation_score_ == given.score(X[60:], y[60:])


def test_trial_of_alpha_auto_holds_rows_out_unchanged():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((600, 4))
    y = (X[:, 0] + rng.standard_normal(600) > 0).astype(int)
    noise = Noise()
    model = EqPropClassifier((6,), augment=noise, max_iter=10, random_state=0).fit(X, y)
    trial = np.concatenate([rows for rows in noise.got if len(rows) < 200])
    assert len(np.unique(trial, axis=0)) == 600 - sum(int(0.2 * sum(y == k)) for k in (0, 1))
    fit = np.concatenate([rows for rows in noise.got if len(rows) == 200])
    assert fit.shape[0] == 10 * 600
    # The fit draws from the start of its stream, as without a trial.
    alone = Noise()
    alpha = model.alpha_
    twin = EqPropClassifier((6,), augment=alone, alpha=alpha, max_iter=10, random_state=0)
    assert_same_networks(twin.fit(X, y), model)


def test_rows_are_changed_in_the_units_of_x(binary):
    X, y = binary
    noise = Noise(0.0)
    scaled = X * [1e4, 1e-4, 1, 1, 1, 1]
    model = EqPropClassifier(augment=noise, **SETTINGS).fit(scaled, y)
    assert model._training_state.input_scales is not None
    assert_array_equal(np.sort(np.concatenate(noise.got[:5]), axis=0), np.sort(scaled, axis=0))
    assert_same_networks(model, EqPropClassifier(**SETTINGS).fit(scaled, y))


def test_equal_rows_are_changed_apart(binary):
    X, y = binary
    noise = Noise()
    twice = np.concatenate([X, X])
    settings = SETTINGS | {"batch_size": 200}
    EqPropClassifier(augment=noise, **settings).fit(twice, np.concatenate([y, y]))
    assert {len(rows) for rows in noise.returned} == {160}
    assert len(np.unique(noise.returned[0], axis=0)) == 160


def test_images_of_convolutions_in_a_search():
    rng = np.random.RandomState(0)
    X, y = rng.uniform(size=(60, 36)), np.repeat([0, 1], 30)
    X[y == 1, ::3] += 1
    model = EqPropClassifier((Conv2D(2, 3), 5), input_shape=(6, 6), max_iter=3, random_state=0)
    ways = [None, RandomCrop(1, input_shape=(6, 6))]
    search = GridSearchCV(model, {"augment": ways}, cv=2).fit(X, y)
    assert set(search.cv_results_["param_augment"]) == set(ways)
    assert len(set(search.cv_results_["mean_test_score"])) > 1 or search.best_score_ == 1


def no_return(rows, rng):
    rows += 1


@pytest.mark.parametrize(
    ("augment", "kind", "parts"),
    [
        (no_return, TypeError, ["augment=no_return", "NoneType", "return the changed rows"]),
        (lambda rows, rng: rows.tolist(), TypeError, ["augment=", "list", "ndarray"]),
        (lambda rows, rng: rows.astype(str), TypeError, ["augment=", "<U", "real numbers"]),
        (lambda rows, rng: rows + 1j, TypeError, ["augment=", "complex", "real numbers"]),
        (lambda rows, rng: rows[:, :2], ValueError, ["(16, 2)", "(16, 6)", "reshape"]),
        (lambda rows, rng: rows.reshape(-1, 2, 3), ValueError, ["(16, 2, 3)", "reshape"]),
        (lambda rows, rng: rows[1:], ValueError, ["(15, 6)", "(16, 6)", "same shape"]),
        (lambda rows, rng: rows * np.nan, ValueError, ["nan", "finite"]),
        (lambda rows, rng: np.where(rows > 0, np.inf, 0), ValueError, ["inf", "finite"]),
        (lambda rows, rng: rows + 1e60, ValueError, ["inf (as float32)", "finite"]),
        (RandomCrop(1, input_shape=(3, 3)), ValueError, ["input_shape=(3, 3)", "6 columns"]),
    ],
)
def test_wrong_results_name_parameter_value_and_remedy(binary, augment, kind, parts):
    model = EqPropClassifier(augment=augment, dtype="float32", **SETTINGS)
    with pytest.raises(kind) as error:
        model.fit(*binary)
    for part in parts:
        assert part in str(error.value)
    assert not hasattr(model, "coefs_")


def test_large_finite_results_are_let_through(binary):
    X, y = binary
    enlarge = lambda rows, rng: 1e306 + 1e307 * np.abs(rows)  # noqa: E731
    with np.errstate(over="ignore"):
        assert np.isinf(enlarge(X[:16], None).sum())
    EqPropClassifier(augment=enlarge, **SETTINGS | {"max_iter": 1}).fit(X, y)


@KINDS
def test_sparse_rows_are_refused(binary, estimator):
    X, y = binary
    for alpha in ("auto", 1e-4):
        model = estimator(augment=draws, **SETTINGS | {"alpha": alpha, "max_iter": 10})
        with pytest.raises(ValueError, match=r"augment=draws.*sparse X.*X.toarray\(\)"):
            model.fit(sparse.csr_matrix(X), y)
    with pytest.raises(ValueError, match=r"'augment' parameter.*None or a callable.*'flip'"):
        estimator(augment="flip").fit(X, y)
