"""The same seed gives the same bits; nothing that belongs to the caller is touched."""

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.model_selection import GridSearchCV

from sklearn_eqprop import EqPropClassifier, EqPropRegressor

pytestmark = pytest.mark.filterwarnings("ignore:Training reached max_iter")

SETTINGS = {"hidden_layer_sizes": (8, 6), "max_iter": 6, "batch_size": 16}
KINDS = pytest.mark.parametrize("estimator", [EqPropClassifier, EqPropRegressor])


def arrays_of(model):
    return [*model.coefs_, *model.intercepts_, *model.feedback_coefs_]


def same(one, other):
    return all(map(np.array_equal, arrays_of(one), arrays_of(other)))


@KINDS
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "way",
    [
        {},
        {"early_stopping": True},
        {"nudging": "random_sign"},
        {"feedback_init": "independent"},
        {"feedback_learning": "homeostasis"},
    ],
    ids=["default", "early_stopping", "random_sign", "independent", "homeostasis"],
)
def test_same_seed_same_bits(binary, estimator, dtype, way):
    X, y = binary
    X = X.astype(dtype)
    one = estimator(**SETTINGS | way, random_state=3).fit(X, y)
    other = estimator(**SETTINGS | way, random_state=3).fit(X, y)
    assert same(one, other)
    assert one.loss_curve_ == other.loss_curve_
    assert one.validation_scores_ == other.validation_scores_


@KINDS
def test_other_seed_other_fit(binary, estimator):
    one = estimator(**SETTINGS, random_state=3).fit(*binary)
    assert not same(one, estimator(**SETTINGS, random_state=4).fit(*binary))
    unseeded = estimator(**SETTINGS).fit(*binary)
    assert not same(unseeded, estimator(**SETTINGS).fit(*binary))


@KINDS
def test_random_state_instance(binary, estimator):
    one = estimator(**SETTINGS, random_state=np.random.RandomState(3)).fit(*binary)
    assert same(one, estimator(**SETTINGS, random_state=np.random.RandomState(3)).fit(*binary))
    assert same(one, estimator(**SETTINGS, random_state=3).fit(*binary))
    shared = estimator(**SETTINGS, random_state=np.random.RandomState(3))
    first = [array.copy() for array in arrays_of(shared.fit(*binary))]
    second = arrays_of(shared.fit(*binary))
    assert not all(map(np.array_equal, first, second))


@KINDS
def test_global_random_stream_is_left_alone(binary, estimator):
    X, y = binary
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()  # noqa: NPY002
    estimator(**SETTINGS, random_state=3, nudging="random_sign").fit(X, y).predict(X)
    after = np.random.get_state()  # noqa: NPY002
    assert_array_equal(before[1], after[1])
    assert before[2:] == after[2:]


@KINDS
def test_grid_search_does_not_depend_on_the_number_of_workers(binary, estimator):
    searches = [
        GridSearchCV(
            estimator(**SETTINGS, random_state=0), {"beta": [0.1, 0.5]}, cv=2, n_jobs=n_jobs
        ).fit(*binary)
        for n_jobs in (1, 2)
    ]
    one, other = searches
    assert_array_equal(one.cv_results_["mean_test_score"], other.cv_results_["mean_test_score"])
    assert same(one.best_estimator_, other.best_estimator_)


@KINDS
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_the_caller_hands_in_is_never_changed(binary, estimator, order, dtype):
    X, y = binary
    X = np.array(X, dtype=dtype, order=order)
    y = y.astype(float)
    weight = np.linspace(0.0, 2, len(y))
    copies = X.copy(), y.copy(), weight.copy()
    model = estimator(**SETTINGS, random_state=0).fit(X, y, sample_weight=weight)
    model.partial_fit(X, y, sample_weight=weight)
    model.predict(X)
    model.transform(X)
    model.relax(X, y, beta=0.1)
    model.score(X, y, sample_weight=weight)
    for now, copy in zip((X, y, weight), copies, strict=True):
        assert_array_equal(now, copy)


@KINDS
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_read_only_memory_maps(binary, estimator, dtype, tmp_path):
    X, y = binary
    X, y, weight = X.astype(dtype), y.astype(dtype), np.linspace(0.5, 2, len(y)).astype(dtype)
    joblib.dump((X, y, weight), tmp_path / "data")
    mapped = joblib.load(tmp_path / "data", mmap_mode="r")
    assert isinstance(mapped[0], np.memmap)
    assert not mapped[0].flags.writeable
    model = estimator(**SETTINGS, random_state=0)
    for _ in range(2):
        model.partial_fit(mapped[0], mapped[1], **_named(estimator), sample_weight=mapped[2])
    expected = estimator(**SETTINGS, random_state=0)
    for _ in range(2):
        expected.partial_fit(X, y, **_named(estimator), sample_weight=weight)
    assert same(model, expected)
    fitted = estimator(**SETTINGS, random_state=0).fit(mapped[0], mapped[1], mapped[2])
    assert same(fitted, estimator(**SETTINGS, random_state=0).fit(X, y, weight))
    assert_array_equal(fitted.predict(mapped[0]), fitted.predict(X))
    assert all(type(state) is np.ndarray for state in fitted.relax(mapped[0]).states)


@KINDS
def test_read_only_weights_can_be_trained_further(binary, estimator):
    X, y = binary
    model = estimator(**SETTINGS, random_state=0).fit(X, y)
    expected = estimator(**SETTINGS, random_state=0).fit(X, y).partial_fit(X, y)
    frozen = []
    for name in ("coefs_", "intercepts_", "feedback_coefs_"):
        copies = [array.copy() for array in getattr(model, name)]
        for array in copies:
            array.flags.writeable = False
        frozen += [(array, array.copy()) for array in copies]
        setattr(model, name, copies)
    model.partial_fit(X, y)
    assert same(model, expected)
    for array, copy in frozen:
        assert_array_equal(array, copy)


def _named(estimator):
    return {"classes": [0, 1]} if estimator is EqPropClassifier else {}
