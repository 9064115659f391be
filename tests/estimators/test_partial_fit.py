"""partial_fit and warm starts: training goes on exactly where it ended."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from sklearn_eqprop import EqPropClassifier, EqPropRegressor

pytestmark = pytest.mark.filterwarnings("ignore:Training reached max_iter")

SETTINGS = {"hidden_layer_sizes": (8, 6), "random_state": 0, "learning_rate_init": 0.01}
SETTINGS |= {"batch_size": 16, "tol": 0.0, "n_iter_no_change": None}
KINDS = pytest.mark.parametrize("estimator", [EqPropClassifier, EqPropRegressor])
WAYS = pytest.mark.parametrize(
    "way",
    [
        {},
        {"optimizer": "sgd", "loop_gain": None},
        {"feedback": "tied"},
        {"feedback_learning": "kolen_pollack"},
        {"feedback_learning": "homeostasis"},
        {"feedback_learning": "fixed", "nudging": "random_sign"},
        {"learning_rate": "invscaling", "relaxation": "anderson"},
        # Feedback this strong keeps the safeguard busy.
        {"feedback_scale": 3.0, "loop_gain": 0.1, "learning_rate_init": 0.05},
    ],
    ids=[
        "default",
        "sgd",
        "tied",
        "kolen_pollack",
        "homeostasis",
        "random_sign",
        "invscaling",
        "safeguard",
    ],
)


def named(estimator):
    return {"classes": [0, 1]} if estimator is EqPropClassifier else {}


def assert_identical(one, other):
    for name in ("coefs_", "intercepts_", "feedback_coefs_"):
        for left, right in zip(getattr(one, name), getattr(other, name), strict=True):
            assert_array_equal(left, right)
    assert_array_equal(one.loss_curve_, other.loss_curve_)
    assert one.t_ == other.t_


@KINDS
@WAYS
def test_one_pass_is_one_epoch_of_fit(binary, estimator, way):
    X, y = binary
    model = estimator(**SETTINGS | way)
    fitted = clone(model).set_params(max_iter=1).fit(X, y)
    assert_identical(model.partial_fit(X, y, **named(estimator)), fitted)


@KINDS
@WAYS
def test_passes_are_epochs_of_fit(binary, estimator, way):
    X, y = binary
    model = estimator(**SETTINGS | way)
    fitted = clone(model).set_params(max_iter=5).fit(X, y)
    for _ in range(5):
        model.partial_fit(X, y, **named(estimator))
    assert_identical(model, fitted)


@KINDS
@WAYS
def test_warm_start_continues_exactly(binary, estimator, way):
    X, y = binary
    whole = estimator(**SETTINGS | way, max_iter=6).fit(X, y)
    parts = estimator(**SETTINGS | way, max_iter=3, warm_start=True).fit(X, y)
    first = parts.coefs_[0].copy()
    parts.fit(X, y)
    assert not np.array_equal(first, parts.coefs_[0])
    assert_identical(parts, whole)


def test_without_warm_start_fit_starts_over(binary):
    X, y = binary
    model = EqPropClassifier(**SETTINGS, max_iter=3).fit(X, y)
    once = clone(model).fit(X, y)
    assert_identical(model.fit(X, y), once)


def test_fit_after_partial_fit_starts_over(binary):
    X, y = binary
    model = EqPropClassifier(**SETTINGS, max_iter=3).partial_fit(X, y, classes=[0, 1, 2])
    assert_identical(model.fit(X, y), clone(model).fit(X, y))
    assert_array_equal(model.classes_, [0, 1])


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("loop_gain", [None, 0.5])
def test_slices_in_turn_are_the_minibatches_of_an_epoch(three_classes, optimizer, loop_gain):
    X, y = three_classes
    model = EqPropClassifier(
        **SETTINGS | {"batch_size": 20, "shuffle": False},
        optimizer=optimizer,
        loop_gain=loop_gain,
        max_iter=1,
    )
    whole = clone(model).fit(X, y)
    for start in range(0, 120, 20):
        rows = slice(start, start + 20)
        model.partial_fit(X[rows], y[rows], classes=[0, 1, 2])
    for one, other in zip(model.coefs_, whole.coefs_, strict=True):
        assert_allclose(one, other, rtol=1e-10, atol=1e-13)  # rows of a lone minibatch are sorted
    assert model.t_ == whole.t_ == 120


@KINDS
def test_a_stream_of_slices_raises_no_false_alarm(binary, estimator):
    # One slice is harder than another: that is no lack of learning, and warnings are errors.
    X, y = binary
    model = estimator(**SETTINGS)
    easy = np.argsort((y - 0.5) * X[:, :1].ravel())
    for rows in np.array_split(easy[::-1], 8):
        model.partial_fit(X[rows], y[rows], **named(estimator))
    assert model.t_ == 80


def test_classes_must_be_named_in_the_first_call(binary):
    with pytest.raises(ValueError, match="classes"):
        EqPropClassifier(**SETTINGS).partial_fit(*binary)


def test_classes_need_naming_only_once(binary):
    X, y = binary
    model = EqPropClassifier(**SETTINGS).partial_fit(X[:40], y[:40], classes=[0, 1, 5])
    model.partial_fit(X[40:], y[40:])
    assert_array_equal(model.classes_, [0, 1, 5])
    assert model.predict_proba(X).shape == (80, 3)


def test_first_slice_may_hold_one_class(binary):
    X, y = binary
    model = EqPropClassifier(**SETTINGS).partial_fit(X[y == 1], y[y == 1], classes=[0, 1])
    model.partial_fit(X[y == 0], y[y == 0])
    assert model.n_outputs_ == 2


def test_classes_may_come_in_any_order(binary):
    X, y = binary
    one = EqPropClassifier(**SETTINGS).partial_fit(X, y, classes=[1, 0])
    other = EqPropClassifier(**SETTINGS).partial_fit(X, y, classes=[0, 1])
    assert_identical(one, other)


def test_unknown_label_in_the_first_call(binary):
    with pytest.raises(ValueError, match=r"labels \[1\] that are not in classes_"):
        EqPropClassifier(**SETTINGS).partial_fit(*binary, classes=[0, 2])


def test_unknown_label_in_a_later_call(binary):
    X, y = binary
    model = EqPropClassifier(**SETTINGS).partial_fit(X, y, classes=[0, 1])
    before = model.predict_proba(X)
    with pytest.raises(
        ValueError, match=r"labels \[7\] that are not in classes_.*name all classes"
    ):
        model.partial_fit(X, np.where(y == 1, 7, 0))
    assert_array_equal(model.predict_proba(X), before)


def test_other_classes_in_a_later_call(binary):
    X, y = binary
    model = EqPropClassifier(**SETTINGS).partial_fit(X, y, classes=[0, 1])
    with pytest.raises(ValueError, match="not the same as in the first call"):
        model.partial_fit(X, y, classes=[0, 1, 2])


@KINDS
def test_other_number_of_features_in_a_later_call(binary, estimator):
    X, y = binary
    model = estimator(**SETTINGS).partial_fit(X, y, **named(estimator))
    before = model.predict(X)
    with pytest.raises(ValueError, match=r"5 features, but .* is expecting 6 features"):
        model.partial_fit(X[:, :5], y)
    assert_array_equal(model.predict(X), before)


def test_other_number_of_outputs_in_a_later_call(two_outputs):
    X, y = two_outputs
    model = EqPropRegressor(**SETTINGS).partial_fit(X, y)
    with pytest.raises(ValueError, match="y has 1 outputs per sample, but it had 2"):
        model.partial_fit(X, y[:, 0])


def test_multilabel_needs_no_classes_and_stays_multilabel(multilabel):
    X, Y = multilabel
    model = EqPropClassifier(**SETTINGS).partial_fit(X, Y).partial_fit(X, Y)
    with pytest.raises(ValueError, match="it had 3 0/1 labels"):
        model.partial_fit(X, Y[:, 0])
    with pytest.raises(ValueError, match="y has 2 0/1 labels"):
        model.partial_fit(X, Y[:, :2])


def test_balanced_class_weight_is_refused(binary):
    model = EqPropClassifier(**SETTINGS, class_weight="balanced")
    with pytest.raises(ValueError, match=r"class_weight='balanced' .*partial_fit.*sample_weight"):
        model.partial_fit(*binary, classes=[0, 1])


def test_class_weight_dict_works(binary):
    X, y = binary
    one = EqPropClassifier(**SETTINGS, class_weight={0: 1, 1: 3}).partial_fit(X, y, [0, 1])
    other = EqPropClassifier(**SETTINGS)
    other.partial_fit(X, y, [0, 1], sample_weight=np.array([1, 3])[y])
    assert_identical(one, other)


@KINDS
def test_early_stopping_is_refused(binary, estimator):
    model = estimator(**SETTINGS, early_stopping=True)
    with pytest.raises(ValueError, match=r"partial_fit does not support early_stopping=True"):
        model.partial_fit(*binary, **named(estimator))


@KINDS
@pytest.mark.parametrize("again", ["partial_fit", "fit"])
def test_changed_sizes_are_refused(binary, estimator, again):
    X, y = binary
    model = estimator(**SETTINGS, max_iter=2, warm_start=True).fit(X, y)
    before = model.predict(X)
    model.set_params(hidden_layer_sizes=(8, 7))
    with pytest.raises(ValueError, match=r"hidden_layer_sizes.*\(6, 8, 7, .*fresh clone"):
        getattr(model, again)(X, y)
    assert_array_equal(model.predict(X), before)
    more = named(estimator) if again == "partial_fit" else {}
    getattr(clone(model), again)(X, y, **more)  # warm_start=False would not help partial_fit


@KINDS
@pytest.mark.parametrize(
    "change",
    [
        {"optimizer": "sgd"},
        {"feedback_learning": "fixed"},
        {"feedback": "tied"},
        {"loop_gain": None},
        {"dtype": "float32"},
        {"relaxation": "anderson"},
        {"learning_rate_init": 0.001},
        {"activation": "tanh"},
        {"n_iter_no_change": 3},
    ],
    ids=lambda change: next(iter(change)),
)
def test_changed_parameters_are_taken_or_refused_by_name(binary, estimator, change):
    X, y = binary
    model = estimator(**SETTINGS, max_iter=2).fit(X, y)
    (name,) = change
    model.set_params(**change)
    try:
        model.partial_fit(X, y)
    except ValueError as error:
        assert name in str(error)  # noqa: PT017
    else:
        assert np.isfinite(model.predict(X)).all()


def test_cosine_schedule_goes_on_learning_in_partial_fit(binary):
    X, y = binary
    model = EqPropClassifier(**SETTINGS, learning_rate="cosine", max_iter=2)
    for _ in range(4):
        model.partial_fit(X, y, [0, 1])
    before = model.coefs_[0].copy()
    model.partial_fit(X, y)
    assert not np.array_equal(before, model.coefs_[0])


@KINDS
def test_best_weights_are_not_restored(binary, estimator):
    X, y = binary
    plain = estimator(**SETTINGS)
    restoring = estimator(**SETTINGS, restore_best_weights=True)
    for _ in range(3):
        plain.partial_fit(X, y, **named(estimator))
        restoring.partial_fit(X, y, **named(estimator))
    assert_identical(plain, restoring)


@KINDS
@pytest.mark.filterwarnings("ignore:Training did not learn")
def test_fit_after_partial_fit_keeps_what_it_learns(binary, estimator):
    X, y = binary
    model = estimator(**SETTINGS, restore_best_weights=True, warm_start=True, max_iter=5)
    model.fit(X, y)
    for _ in range(20):
        model.partial_fit(X, y[::-1])  # nothing to learn: the loss of fit is out of reach
    before = [coef.copy() for coef in model.coefs_]
    model.set_params(max_iter=1).fit(X, y)
    assert not np.array_equal(before[0], model.coefs_[0])


def rows_one_by_one(model, X, y, n_rows, **weights):
    for row in range(n_rows):
        of_row = {name: weight[row : row + 1] for name, weight in weights.items()}
        model.partial_fit(X[row : row + 1], y[row : row + 1], **of_row)
    return model


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_where_the_first_call_leaves_it_open_ten_rows_fix_the_scale_of_targets(loss, weighted):
    rng = np.random.RandomState(0)
    X, y = rng.standard_normal((30, 3)), 150 + 70 * rng.uniform(-1, 1, 30)
    weight = {"sample_weight": rng.uniform(0.5, 2, 30)} if weighted else {}
    model = rows_one_by_one(EqPropRegressor((5,), loss=loss, random_state=0), X, y, 30, **weight)
    share = (weight.get("sample_weight", np.ones(30)))[:10]
    share = share / share.sum()
    mean = (share * y[:10]).sum()
    if loss == "poisson":
        assert_allclose((model.target_mean_, model.target_scale_), ([0], [mean]), rtol=1e-12)
    else:
        spread = np.sqrt((share * (y[:10] - mean) ** 2).sum())
        assert_allclose((model.target_mean_, model.target_scale_), ([mean], [spread]), rtol=1e-12)
    at_once = EqPropRegressor((5,), loss=loss, random_state=0).partial_fit(X[:2], y[:2])
    before = at_once.target_scale_
    assert_array_equal(at_once.partial_fit(X[15:], 2 * y[15:]).target_scale_, before)


def test_a_regressor_that_starts_with_one_row_learns():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((400, 4))
    y = 1000 + 200 * (X[:, 0] + X[:, 1] ** 2)
    scores = []
    for n_single in (0, 3):
        model = rows_one_by_one(EqPropRegressor((20,), random_state=0), X, y, n_single)
        for _ in range(40):
            for start in range(n_single, 400, 40):
                model.partial_fit(X[start : start + 40], y[start : start + 40])
        scores.append(model.score(X, y))
    assert scores[1] > scores[0] - 0.02
    assert scores[0] > 0.8


def test_what_is_remembered_of_first_targets_goes_with_the_model():
    X = np.random.RandomState(0).standard_normal((12, 3))
    model = rows_one_by_one(EqPropRegressor((5,), random_state=0), X, X[:, 0], 4)
    restored = pickle.loads(pickle.dumps(model))
    for each in (model, restored):
        each.partial_fit(X[4:], X[4:, 0])
    assert_identical(model, restored)
    assert_array_equal(model.target_scale_, restored.target_scale_)


@pytest.mark.filterwarnings("ignore:y is up to")
def test_a_fit_closes_what_the_first_call_left_open():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((200, 4))
    y = 500 + 30 * (X[:, 0] + X[:, 1])
    settings = {
        "random_state": 0,
        "max_iter": 150,
        "n_iter_no_change": 500,
        "learning_rate_init": 0.01,
    }
    model = EqPropRegressor((20,), warm_start=True, **settings)
    model.partial_fit(X[:1], y[:1]).fit(X, y)
    of_all = np.append(y[0], y)
    assert_allclose(model.target_mean_, of_all.mean())
    assert_allclose(model.target_scale_, of_all.std())
    before = model.score(X, y)
    assert before > 0.9
    model.partial_fit(X[5:6], y[5:6])
    assert_allclose(model.target_mean_, of_all.mean())
    assert model.score(X, y) > before - 0.02


@pytest.mark.parametrize("first", [[0.3, 0.3], [0.3, 0.1 + 0.2]], ids=["equal", "but for rounding"])
def test_targets_that_differ_by_rounding_leave_the_scale_open(first):
    X = np.random.RandomState(0).standard_normal((40, 3))
    y = 1000 + 200 * X[:, 0]
    model = EqPropRegressor((5,), random_state=0).partial_fit(X[:2], first).partial_fit(X, y)
    assert_allclose(model.target_scale_, np.append(first, y).std())


def test_one_constant_output_leaves_the_scale_of_all_open():
    X = np.random.RandomState(0).standard_normal((40, 3))
    Y = np.c_[X[:, 0], np.r_[np.full(5, 7.0), X[5:, 1]]]
    model = (
        EqPropRegressor((5,), random_state=0).partial_fit(X[:5], Y[:5]).partial_fit(X[5:], Y[5:])
    )
    assert_allclose(model.target_mean_, Y.mean(axis=0))
    assert_allclose(model.target_scale_, Y.std(axis=0))
    before = model.target_scale_.copy()
    assert_array_equal(model.partial_fit(X, 2 * Y).target_scale_, before)


def test_partial_fit_never_says_that_it_stops(binary, capsys):
    X, y = binary
    model = EqPropClassifier(random_state=0, verbose=True, tol=1e9, n_iter_no_change=1)
    for _ in range(4):
        model.partial_fit(X, y, classes=[0, 1])
    printed = capsys.readouterr().out
    assert printed.count("Epoch") == 4
    assert "Stopping" not in printed
