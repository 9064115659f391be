"""Inputs of any size learn alike; what scaling by powers of two cannot mend is pointed out."""

import pickle
import warnings

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from sklearn_eqprop import EqPropClassifier, EqPropRegressor
from sklearn_eqprop._estimators.data import outliers
from sklearn_eqprop._estimators.data import rows as columns
from sklearn_eqprop._estimators.data.rows import look_over, scales_of
from tests.dense_truth import DenseNet

pytestmark = pytest.mark.filterwarnings("ignore:Training reached max_iter")

X = np.random.RandomState(0).standard_normal((100, 5))
Y = (X[:, 0] + X[:, 1] ** 2 > 0.5).astype(int)
SETTINGS = {"hidden_layer_sizes": (6, 4), "random_state": 0, "batch_size": 30}
#: Far outside the ordinary range, each by a power of two.
FACTORS = 2.0 ** np.array([20, -30, 13, -25, 40])


def column_scales(inputs, dtype):
    return scales_of(look_over(inputs), dtype)


def warn_about_columns(inputs, n_channels=None):
    found = look_over(inputs)
    columns.warn_about_columns(found, scales_of(found, inputs.dtype), n_channels)


def warn_about_outliers(inputs):
    found = look_over(inputs)
    scales = scales_of(found, inputs.dtype)
    if scales is not None:
        outliers.warn_about_outliers(inputs, found, scales)


@pytest.mark.parametrize(
    "inputs",
    [X, X + 3, np.zeros((4, 2)), load_digits().data, load_digits().data / 16, np.c_[X, X > 0]],
    ids=["standard", "shifted", "constant", "digits", "pixels", "with binary columns"],
)
def test_ordinary_inputs_are_left_alone(inputs):
    assert column_scales(inputs, np.float64) is None


def test_scales_are_powers_of_two_that_bring_columns_to_ordinary_size():
    inputs = np.c_[X * [1, 1e4, 1e-3, 1e300, 1e-300], np.zeros(100)]
    scales = column_scales(inputs, np.float64)
    assert_array_equal(np.frexp(scales)[0], 0.5)
    assert_array_equal(scales[[0, 5]], 1)
    largest = np.abs(inputs / scales).max(axis=0)[1:5]
    assert (largest >= 2).all()
    assert (largest < 4).all()


def few_rows(n_rows, unit=1.0):
    return unit * np.random.RandomState(n_rows).standard_normal((n_rows, 2000))


@pytest.mark.parametrize("n_rows", [1, 2, 3, 9])
def test_few_rows_may_be_small_by_chance(n_rows):
    scales = column_scales(few_rows(n_rows), np.float64)
    # One column in a thousand may still pass for small.
    assert scales is None or (scales != 1).sum() <= 6
    scaled_alike = column_scales(few_rows(n_rows, 2.0**-20), np.float64)
    assert (scaled_alike == np.median(scaled_alike)).mean() > 0.4
    assert (np.abs(np.log2(scaled_alike / np.median(scaled_alike))) <= 2).mean() > 0.99


@pytest.mark.parametrize("n_rows", [1, 5])
def test_few_rows_that_are_small_beyond_chance_are_scaled(n_rows):
    inputs = few_rows(n_rows)
    inputs[:, 7] *= 1e-9
    inputs[:, 8] *= 1e9
    scales = column_scales(inputs, np.float64)
    assert scales[7] < 2.0**-20
    assert scales[8] > 2.0**20
    alone = column_scales(np.full((n_rows, 1), 1e-9), np.float64)
    assert alone[0] < 2.0**-20


SMALL = 1e-3 * X[:, [0]]  # no number twice
MOSTLY_ZERO = SMALL * (np.arange(100) < 49)[:, None]
MOSTLY_NEGATIVE = np.where(MOSTLY_ZERO == 0, -1e-3, MOSTLY_ZERO)
CONSTANT = np.full((100, 1), -0.01)
MOSTLY_ALIKE = np.where(MOSTLY_ZERO == 0, -0.01 + SMALL / 50, 0.03)


@pytest.mark.parametrize("layout", [np.asarray, np.asfortranarray, sparse.csr_matrix])
def test_columns_that_are_small_because_large_numbers_are_rare_keep_their_size(layout):
    rare = np.c_[MOSTLY_ZERO, MOSTLY_NEGATIVE, CONSTANT, MOSTLY_ALIKE, np.zeros(100)]
    inputs = np.c_[SMALL, rare, X]
    scales = column_scales(layout(inputs), np.float64)
    assert scales[0] < 2.0**-9
    assert_array_equal(scales[1:], 1)
    # If everything is tiny, they are scaled by the factor of the largest column.
    tiny = column_scales(layout(2.0**-40 * inputs), np.float64)
    assert_array_equal(tiny[1:], tiny[6:].max())
    assert tiny[0] < 2.0**-49


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_matrix])
def test_columns_that_are_too_small_to_be_just_rare_are_scaled(layout):
    inputs = np.c_[X, 1e-9 * (np.arange(100) < 10)]
    scales = column_scales(layout(inputs), np.float64)
    assert_array_equal(scales[:5], 1)
    assert scales[5] < 2.0**-30


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("n_rows", [1, 30])
def test_a_channel_is_rare_as_a_whole(layout, n_rows):
    rng = np.random.RandomState(0)
    images = rng.standard_normal((n_rows, 16, 3)) * [1, 1e-3, 1e-3]
    images[..., 2] *= rng.rand(n_rows, 16) < 0.2
    found = look_over(layout(images.reshape(n_rows, 48)))
    scales = scales_of(found, np.float64, n_channels=3).reshape(16, 3)
    assert_array_equal(scales, scales[:1].repeat(16, axis=0))
    assert_array_equal(scales[0, [0, 2]], 1)
    assert scales[0, 1] < 2.0**-8


def texts(n_texts=400, n_words=2000):
    """TF-IDF of two kinds of texts whose words differ a little in frequency."""
    rng = np.random.RandomState(0)
    shares = 1 / np.arange(1.0, n_words + 1) * np.exp(0.3 * rng.standard_normal((2, n_words)))
    shares /= shares.sum(axis=1, keepdims=True)
    kind = np.arange(n_texts) % 2
    lengths = np.ceil(100 * np.exp(2 * rng.standard_normal(n_texts))).astype(int)
    counts = [rng.multinomial(length, shares[k]) for length, k in zip(lengths, kind, strict=True)]
    return TfidfTransformer().fit_transform(np.array(counts)), kind


@pytest.mark.parametrize("layout", [sparse.csr_matrix, sparse.csr_matrix.toarray])
def test_rare_words_do_not_drown_the_others(layout):
    inputs, kind = texts()
    inputs = layout(inputs)
    assert (look_over(inputs[:200]).largest < 1 / 16).mean() > 0.25
    model = EqPropClassifier(random_state=0, max_iter=20).fit(inputs[:200], kind[:200])
    assert model.score(inputs[200:], kind[200:]) > 0.8
    assert log_loss(kind[200:], model.predict_proba(inputs[200:])) < 0.4


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_matrix])
def test_sparse_inputs_that_are_tiny_as_a_whole_learn(layout):
    inputs, kind = texts()
    inputs = layout(inputs.toarray())
    # With alpha='auto', rows of another scale are other rows, and others are held out.
    settings = {"random_state": 0, "max_iter": 20, "alpha": 1e-4}
    tiny = EqPropClassifier(**settings).fit(2.0**-20 * inputs[:200], kind[:200])
    assert tiny.score(2.0**-20 * inputs[200:], kind[200:]) > 0.8
    tinier = EqPropClassifier(**settings).fit(2.0**-30 * inputs[:200], kind[:200])
    assert_array_equal(tinier.coefs_[0], 2.0**10 * tiny.coefs_[0])


@pytest.mark.parametrize("estimator", [EqPropClassifier, EqPropRegressor])
def test_a_rare_category_that_comes_late_in_a_stream_does_no_harm(estimator):
    rng = np.random.RandomState(0)
    indicators = np.arange(1000)[:, None] == [500, 700, 900]
    raw = np.c_[rng.standard_normal((1000, 4)), indicators]
    inputs, signal = StandardScaler().fit_transform(raw), raw[:, 0] + raw[:, 1] / 2
    targets = signal > 0 if estimator is EqPropClassifier else signal
    models = [estimator((30,), random_state=0) for _ in range(2)]
    for start in range(0, 1000, 20):
        classes = {"classes": [0, 1]} if estimator is EqPropClassifier else {}
        for model, n_columns in zip(models, (7, 4), strict=True):
            model.partial_fit(
                inputs[start : start + 20, :n_columns], targets[start : start + 20], **classes
            )
    with_rare = models[0].score(inputs, targets)
    assert with_rare > models[1].score(inputs[:, :4], targets) - 0.1


def test_a_column_of_zeros_shares_the_unit_of_a_tiny_stream():
    inputs = 2.0**-20 * np.c_[X, np.zeros(100)]
    scales = column_scales(inputs, np.float64)
    assert scales[5] == scales[:5].max()


@pytest.mark.parametrize("estimator", [EqPropClassifier, EqPropRegressor])
def test_a_weight_of_two_is_two_rows_also_where_there_are_few(estimator):
    inputs = np.random.RandomState(1).uniform(-0.1, 0.1, (5, 6)) * [1, 1, 1, 1, 1, 0.5]
    inputs[0] = [0.1] * 5 + [0.05]
    targets = np.array([0, 1, 1, 0, 1])
    settings = {"random_state": 0, "max_iter": 20, "shuffle": False, "tol": 0}
    weighted = estimator((10,), **settings).fit(inputs, targets, np.full(5, 2.0))
    twice = estimator((10,), **settings).fit(np.repeat(inputs, 2, axis=0), np.repeat(targets, 2))
    assert_array_equal(weighted.coefs_[0], twice.coefs_[0])
    lighter = estimator((10,), **settings).fit(inputs, targets, np.full(5, 0.5))
    plain = estimator((10,), **settings, alpha=2e-4).fit(inputs, targets)
    np.testing.assert_allclose(lighter.coefs_[0], plain.coefs_[0], rtol=1e-6)


def test_a_first_slice_of_one_row_does_no_harm():
    digits, digit = load_digits(return_X_y=True)
    digits = (digits - digits.mean(axis=0)) / (digits.std(axis=0) + 1e-9)
    accuracies = []
    for first in (1, 50):
        model = EqPropClassifier((40,), random_state=0)
        starts = [0, *range(first, 1000, 20)]
        for start, stop in zip(starts, [*starts[1:], 1000], strict=True):
            model.partial_fit(digits[start:stop], digit[start:stop], classes=range(10))
        accuracies.append(model.score(digits[1000:], digit[1000:]))
    assert accuracies[0] > accuracies[1] - 0.04
    assert accuracies[1] > 0.75


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("estimator", [EqPropClassifier, EqPropRegressor])
def test_the_unit_of_a_column_makes_no_difference_at_all(estimator, early_stopping):
    settings = SETTINGS | {"max_iter": 5, "early_stopping": early_stopping}
    large = estimator(**settings).fit(X * FACTORS, Y)
    larger = estimator(**settings).fit(X * FACTORS * 2.0**10, Y)
    assert_array_equal(large.coefs_[0], larger.coefs_[0] * 2.0**10)
    assert_array_equal(large.coefs_[1], larger.coefs_[1])
    assert_array_equal(large.predict(X * FACTORS), larger.predict(X * FACTORS * 2.0**10))
    assert large.loss_curve_ == larger.loss_curve_


@pytest.mark.parametrize(
    ("factor", "dtype"), [(1e30, "float32"), (1e-30, "float32"), (1e200, "float64")]
)
def test_inputs_of_astronomical_size_learn(factor, dtype):
    digits, digit = load_digits(return_X_y=True)
    inputs = (digits[:600] / 16).astype(dtype) * np.array(factor, dtype)
    model = EqPropClassifier((30,), random_state=0, max_iter=30, batch_size=50).fit(
        inputs, digit[:600]
    )
    assert model.score(inputs, digit[:600]) > 0.95


def test_fitted_arrays_are_the_network_that_faces_the_inputs_as_given():
    inputs = X * FACTORS
    model = EqPropRegressor(**SETTINGS, max_iter=5, activation="tanh").fit(inputs, Y)
    net = DenseNet("tanh", model.coefs_, model.intercepts_, model.feedback_coefs_)
    states = np.concatenate(model.relax(inputs).states, axis=1)
    assert np.abs(states - net.equilibrium(inputs)).max() < 1e-9


def test_training_goes_on_in_the_scales_it_began_with():
    inputs = X * FACTORS
    whole = EqPropClassifier(**SETTINGS, max_iter=4, tol=0.0).fit(inputs, Y)
    parts = EqPropClassifier(**SETTINGS, max_iter=4)
    for _ in range(4):
        parts = pickle.loads(pickle.dumps(parts)).partial_fit(inputs, Y, classes=[0, 1])
    for one, other in zip(whole.coefs_, parts.coefs_, strict=True):
        assert_array_equal(one, other)


def test_a_column_that_drowns_the_others_is_named():
    inputs = 0.05 * X
    inputs[:, 3] *= 400
    with pytest.warns(ConvergenceWarning, match=r"uneven scales: column 3 .*StandardScaler"):
        warn_about_columns(inputs)


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    ("mean", "deviation"), [(2005, 9), (1000, 1), (50, 1), (-12, 1), (1.5, 0.1), (1.7e9, 1e4)]
)
def test_an_offset_that_hides_how_a_column_varies_is_pointed_out(mean, deviation, dtype, layout):
    inputs = X.copy()
    inputs[:, 3] = mean + deviation * (X[:, 3] - X[:, 3].mean()) / X[:, 3].std()
    inputs = layout(inputs.astype(dtype))
    with pytest.warns(ConvergenceWarning) as told:
        warn_about_columns(inputs)
    remedy = "Subtract the mean" if sparse.issparse(inputs) else "StandardScaler"
    for part in ("Column 3 of X", f"mean of {mean:.5g} ", f"deviation of {deviation:.3g}:", remedy):
        assert part in str(told[0].message)


def test_a_column_that_its_offset_hides_is_named_by_fit():
    inputs = X + np.array([0, 0, 300, 0, 0])
    with pytest.warns(ConvergenceWarning, match="Column 2 of X has a mean of 299.* StandardScaler"):
        EqPropRegressor(**SETTINGS, max_iter=2).fit(inputs, Y)


@pytest.mark.parametrize(
    ("n_columns", "others"), [(3, "likewise 1, 2"), (10, "likewise 9 more, such as 1, 2, 3, 4, 5")]
)
def test_columns_that_hardly_vary_are_counted_and_named(n_columns, others):
    inputs = np.c_[X, X][:, :n_columns] + 1e4
    with pytest.warns(ConvergenceWarning, match=rf"^Column 0 .*\({others}\): "):
        warn_about_columns(inputs)


def test_a_channel_that_its_offset_hides_is_pointed_out():
    pixels = np.random.RandomState(0).rand(20, 16, 2) + np.array([0, 50])
    inputs = pixels.reshape(20, 32)
    with pytest.warns(ConvergenceWarning, match=r"^Channel 1 of X has a mean of 50\..*deviation"):
        warn_about_columns(inputs, n_channels=2)


RARE = (np.arange(1000) % 100 == 0).astype(float)
BINARY = np.random.RandomState(0).standard_normal((1000, 2)), RARE[:, None]
JITTER = np.where(np.arange(100) % 2, 1 / 3, np.nextafter(1 / 3, 1))


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize(
    "inputs",
    [
        X,
        X + 3,
        1e6 * X,
        1e-9 * X,
        X * FACTORS,
        np.zeros((4, 2)),
        np.c_[X, np.full(100, 1e6)],
        np.c_[X, np.full(100, 1 / 3), JITTER],
        np.hstack(BINARY),
        1 - np.hstack(BINARY),
        np.random.RandomState(0).poisson(5, (100, 3)),
        load_digits().data,
        255 * load_digits().data,
        16 - load_digits().data,
        load_iris().data,
        load_breast_cancer().data,
        load_diabetes(scaled=False).data,
        np.array([[20.0], [21.0]]),
    ],
    ids=[
        "standardised",
        "shifted a little",
        "large",
        "small",
        "uneven",
        "zeros",
        "with a large constant",
        "with constants but for rounding",
        "rare",
        "rarely not",
        "counts",
        "digits",
        "large pixels",
        "on white",
        "iris",
        "cancer",
        "diabetes",
        "two rows",
    ],
)
def test_what_can_be_mended_raises_no_alarm(inputs, layout):
    inputs = layout(inputs.astype(np.float64))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_about_columns(inputs)
        warn_about_outliers(inputs)


def test_columns_below_the_range_of_the_weights(binary):
    X, y = binary
    model = EqPropRegressor((6,), dtype="float32", max_iter=5, random_state=0)
    with pytest.warns(ConvergenceWarning, match=r"Column 0 of X .* below .*dtype='float64'"):
        model.fit(X * 1e-39, y)
    assert np.isfinite(model.coefs_[0]).all()


@pytest.mark.parametrize("factor", [1e39, 1e300])
def test_columns_beyond_the_range_of_the_weights(binary, factor):
    X, y = binary
    X = X * np.where(np.arange(X.shape[1]) == 1, factor, 1.0)
    model = EqPropRegressor((6,), dtype="float32", max_iter=5, random_state=0)
    with pytest.raises(ValueError, match=r"Column 1 of X .* largest of float32 .*dtype='float64'"):
        model.fit(X, y)
    with pytest.raises(ValueError, match="Column 1 of X"):
        model.fit(np.clip(X, -3, 3), y).partial_fit(X, y)


def test_columns_beyond_the_range_of_the_weights_in_the_validation_set(binary):
    X, y = binary
    model = EqPropRegressor((6,), dtype="float32", early_stopping=True, max_iter=5, random_state=0)
    with pytest.raises(ValueError, match=r"Column . of X_val .* largest of float32"):
        model.fit(X, y, X_val=1e39 * X, y_val=y)


def test_a_column_too_small_for_float32_is_named(binary):
    X, y = binary
    X = X * np.where(np.arange(X.shape[1]) == 1, 1e-50, 1.0)
    settings = {"hidden_layer_sizes": (6,), "max_iter": 5, "random_state": 0}
    with pytest.warns(ConvergenceWarning, match=r"Column 1 of X .* below .*dtype='float64'"):
        EqPropClassifier(**settings, dtype="float32").fit(X, y)
    EqPropClassifier(**settings).fit(X, y)


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_matrix])
def test_outliers_that_dwarf_their_column_are_pointed_out(layout):
    inputs = X.copy()
    inputs[7, 2] = 1e12
    with pytest.warns(ConvergenceWarning, match=r"Column 2 of X holds numbers up to 1e\+12.*Clip"):
        warn_about_outliers(layout(inputs))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_about_outliers(layout(1e6 * X))


@pytest.mark.parametrize(("first", "later"), [(1e6, 1.0), (1.0, 1e6)])
def test_a_stream_that_changes_its_scale_is_pointed_out(binary, first, later):
    X, y = binary
    model = EqPropRegressor((6,), random_state=0).partial_fit(first * X, y)
    with pytest.warns(ConvergenceWarning, match="The columns of X are on another scale"):
        model.partial_fit(later * X, y)


def test_targets_that_change_their_scale_are_pointed_out(binary):
    X, y = binary
    model = EqPropRegressor((6,), random_state=0).partial_fit(X[:12], [150, 150.001] * 6)
    with pytest.warns(
        ConvergenceWarning, match=r"targets lie .* times target_scale_ away from target_mean_"
    ):
        model.partial_fit(X, 100 * y)


def test_single_rows_near_zero_raise_no_alarm():
    model = EqPropRegressor((3,), random_state=0).partial_fit([[1.0], [-1.0]], [1.0, -1.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.partial_fit([[1e-7]], [0.0])
