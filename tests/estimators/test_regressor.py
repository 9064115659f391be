"""EqPropRegressor: targets of any shape and scale."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import r2_score

from sklearn_eqprop import EqPropRegressor

pytestmark = pytest.mark.filterwarnings("ignore:Training reached max_iter")


def small(**parameters):
    settings = {"hidden_layer_sizes": (12,), "learning_rate_init": 0.01, "max_iter": 80}
    return EqPropRegressor(**settings | {"random_state": 0} | parameters)


def test_single_output(regression):
    X, y = regression
    model = small().fit(X, y)
    assert model.predict(X).shape == (100,)
    assert model.n_outputs_ == 1
    assert model.score(X, y) > 0.9


def test_several_outputs_of_different_scale(two_outputs):
    X, y = two_outputs
    model = small().fit(X, y)
    assert model.predict(X).shape == y.shape
    assert model.n_outputs_ == 2
    assert (r2_score(y, model.predict(X), multioutput="raw_values") > 0.85).all()


def test_one_column_matrix_keeps_to_the_flat_answer_with_a_warning(regression):
    X, y = regression
    with pytest.warns(UserWarning, match="column-vector"):
        model = small(max_iter=3).fit(X, y.reshape(-1, 1))
    assert_array_equal(model.predict(X), small(max_iter=3).fit(X, y).predict(X))


def test_raw_diabetes_targets(diabetes):
    X, y = diabetes
    assert small(max_iter=20).fit(X, y).score(X, y) > 0.45


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-300, 1e-6, 1e6, 1e300])
def test_scale_of_the_targets_does_not_matter(regression, scale, dtype):
    X, y = regression
    X, y = X.astype(dtype), y / np.abs(y).max()
    plain = small(max_iter=10).fit(X, y)
    scaled = small(max_iter=10).fit(X, y * scale)
    assert_allclose(scaled.coefs_[0], plain.coefs_[0], rtol=1e-3, atol=1e-4)
    predicted = scaled.predict(X)
    assert np.isfinite(predicted).all()
    assert_allclose(predicted / scale, plain.predict(X), rtol=1e-2, atol=1e-3)


def test_score_on_huge_targets_is_a_number(regression):
    X, y = regression
    y = y / np.abs(y).max() * 1e300
    model = small().fit(X, y)
    assert r2_score(y / 1e300, model.predict(X) / 1e300) > 0.9
    assert model.score(X, y) > 0.9


def test_targets_far_beyond_those_of_training_are_refused(regression):
    X, y = regression
    model = small(max_iter=2).fit(X.astype(np.float32), y)
    y = y.copy()
    y[7] = -1e300
    with pytest.raises(ValueError, match=r"y holds -1e\+300, which is too far from .*float32"):
        model.relax(X, y, beta=0.1)
    with (
        pytest.warns(ConvergenceWarning, match="times target_scale_ away from target_mean_"),
        pytest.raises(ValueError, match=r"y holds -1e\+300, which is too far from .*float32"),
    ):
        model.partial_fit(X, y)


def test_score_on_huge_targets_after_constant_ones(regression):
    X, y = regression
    model = small(max_iter=2, n_iter_no_change=None).fit(X, np.full(100, 3.0))
    huge = y / np.abs(y).max() * 1e300
    assert_allclose(model.score(X, huge), r2_score(huge / 1e300, np.zeros(100)), rtol=1e-6)


def test_score_of_predictions_too_wrong_to_be_squared(regression):
    X, y = regression
    model = small(max_iter=2, nudging="centered").fit(X, y)
    with pytest.warns(ConvergenceWarning, match="predictions are wrong by"):
        score = model.score(X * 1e299, y)
    assert -np.inf < score < -1e100
    with pytest.warns(ConvergenceWarning, match="predictions are wrong by"):
        assert model.score(X * 1e299, y, sample_weight=np.full(100, 1e100)) == score


@pytest.mark.parametrize("value", [1.0, -0.1, 1e6, 1e-9])
def test_a_column_of_constant_targets_scores_0(two_outputs, value):
    # As r2_score has it, but for numbers whose mean is rounded.
    X, y = two_outputs
    model = small(max_iter=2).fit(X, y)
    alone = r2_score(y[:, 1], model.predict(X)[:, 1])
    y = np.c_[np.full(100, value), y[:, 1]]
    assert_allclose(model.score(X, y), alone / 2, rtol=1e-6)
    single = small(max_iter=2).fit(X, y[:, 1])
    assert single.score(X, y[:, 0]) == 0


def test_score_weighs_columns_of_any_size_alike(two_outputs):
    X, y = two_outputs
    model = small(max_iter=2).fit(X, y)
    huge = np.c_[-3 * y[:, 0], np.sign(y[:, 1]) * 1e300]
    alone = r2_score(huge[:, 0], model.predict(X)[:, 0])
    other = r2_score(np.sign(y[:, 1]), np.zeros(100))  # predictions are nothing beside it
    assert_allclose(model.score(X, huge), (alone + other) / 2, rtol=1e-6)


def test_targets_up_to_the_largest_number(regression):
    X, y = regression
    largest = np.finfo(np.float64).max
    targets = np.where(y > np.median(y), largest, -largest)
    model = small().fit(X, targets)
    with pytest.warns(ConvergenceWarning, match="cut off"):
        predicted = model.predict(X)
    assert (np.sign(predicted) == np.sign(targets)).mean() > 0.9
    with pytest.warns(ConvergenceWarning, match="cut off"):  # predict warns
        assert model.score(X, targets) > 0.5


def test_counts_far_from_those_of_training(regression):
    X, y = regression
    model = small(loss="poisson", max_iter=5).fit(X, np.abs(y))
    with pytest.warns(ConvergenceWarning, match="cut off"):
        model.predict(X * 1e10)
    with (
        pytest.warns(ConvergenceWarning, match="predictions are wrong by"),
        pytest.warns(ConvergenceWarning, match="cut off"),  # predict warns
    ):
        assert model.score(X * 1e10, np.abs(y)) < -1e100


def test_shift_of_the_targets_does_not_matter(regression):
    X, y = regression
    plain, shifted = small(max_iter=10).fit(X, y), small(max_iter=10).fit(X, y + 1e6)
    assert_allclose(shifted.predict(X) - 1e6, plain.predict(X), rtol=1e-6, atol=1e-4)


@pytest.mark.filterwarnings("ignore:Training never improved")
@pytest.mark.parametrize("value", [0.0, 3.0, -1e-9, 1e12, 0.1])
def test_constant_target(regression, value):
    X, _ = regression
    model = small().fit(X, np.full(100, value))
    assert_array_equal(model.target_scale_, [1.0])
    assert_allclose(model.target_mean_, [value], rtol=1e-12)
    assert_allclose(model.predict(X), value, atol=0.2, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_predictions_follow_the_type_of_the_inputs(regression, dtype):
    X, y = regression
    model = small(max_iter=3).fit(X.astype(dtype), y)
    assert model.predict(X.astype(dtype)).dtype == dtype


def test_standardisation_is_that_of_the_targets(two_outputs):
    X, y = two_outputs
    model = small(max_iter=2).fit(X, y)
    assert_allclose(model.target_mean_, y.mean(axis=0), rtol=1e-12)
    assert_allclose(model.target_scale_, y.std(axis=0), rtol=1e-12)
    restored = model.relax(X).states[-1] * model.target_scale_ + model.target_mean_
    assert_allclose(model.predict(X), restored, rtol=1e-12)


def test_standardisation_follows_the_weights(two_outputs):
    X, y = two_outputs
    weight = np.random.RandomState(0).uniform(size=100)
    model = small(max_iter=2).fit(X, y, sample_weight=weight)
    mean = np.average(y, axis=0, weights=weight)
    assert_allclose(model.target_mean_, mean, rtol=1e-12)
    spread = np.sqrt(np.average((y - mean) ** 2, axis=0, weights=weight))
    assert_allclose(model.target_scale_, spread, rtol=1e-12)


@pytest.mark.filterwarnings("ignore:Training never improved")
def test_partial_fit_keeps_the_standardisation_of_the_first_call(regression):
    X, y = regression
    model = small().partial_fit(X, y)
    mean, scale = model.target_mean_.copy(), model.target_scale_.copy()
    model.partial_fit(X, 100 * y + 7)
    assert_array_equal(model.target_mean_, mean)
    assert_array_equal(model.target_scale_, scale)


def test_early_stopping(regression):
    X, y = regression
    model = small(early_stopping=True, n_iter_no_change=3, max_iter=300).fit(X, y)
    assert len(model.validation_scores_) == model.n_iter_
    assert max(model.validation_scores_) > 0.8
    assert model.score(X, y) > 0.8


def test_integer_and_boolean_targets(regression):
    X, y = regression
    whole = y.astype(int)
    assert_array_equal(
        small(max_iter=3).fit(X, whole).predict(X),
        small(max_iter=3).fit(X, whole.astype(float)).predict(X),
    )
    assert small(max_iter=30).fit(X, y > 0).score(X, y > 0) > 0.4


def test_score_wants_the_outputs_that_were_trained(binary):
    X, _ = binary
    model = EqPropRegressor((5,), max_iter=2, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, X[:, :2])
    with pytest.raises(ValueError, match=r"y has 1 outputs per sample, but it had 2 .*one column"):
        model.score(X, X[:, 0])


def test_score_wants_as_many_targets_as_rows(regression):
    X, y = regression
    model = small().fit(X, y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.score(X, y[:-1])


def test_missing_targets_are_called_that(regression):
    X, y = regression
    with pytest.raises(ValueError, match="y holds None, NaN or NA 1 times: leave out"):
        small().fit(X, np.array([None, *y[1:]], dtype=object))


def test_sparse_targets_are_refused_with_a_remedy(two_outputs):
    X, y = two_outputs
    with pytest.raises(ValueError, match=r"y is sparse, with 2 columns\. Pass y.toarray\(\)"):
        small().fit(X, sparse.csr_matrix(y))
