"""Every bad parameter and array gets the right exception, with its name, value and a remedy."""

import re

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from sklearn_eqprop import EqPropClassifier, EqPropRegressor
from sklearn_eqprop._sklearn_compat import InvalidParameterError

pytestmark = pytest.mark.filterwarnings("ignore:Training reached max_iter")

SETTINGS = {"hidden_layer_sizes": (4,), "max_iter": 2, "random_state": 0}
BOTH = [EqPropClassifier, EqPropRegressor]
KINDS = pytest.mark.parametrize("estimator", BOTH)
INF, NAN = float("inf"), float("nan")

BAD_PARAMETERS = [
    *[("hidden_layer_sizes", v) for v in ((3.5,), (0,), (4, -1), 0, -3, 3.5, True, (True,), "abc")],
    *[("hidden_layer_sizes", v) for v in (None, ("a",), (None,), [[4, 4]], (NAN,))],
    *[("activation", v) for v in ("sigmoid", None, 1)],
    *[("output_activation", v) for v in ("softmax", None)],
    *[("feedback", v) for v in ("symmetric", True)],
    ("gradient", "exact"),
    *[("credit_coordinates", v) for v in ("rates", None)],
    *[("nudging", v) for v in ("centred", None)],
    ("feedback_init", "zero"),
    *[("feedback_scale", v) for v in (0, -1.0, NAN, INF, "1")],
    ("feedback_learning", "none"),
    ("objective", "loss"),
    *[("connections", v) for v in ("all", 3)],
    *[("loop_gain", v) for v in (0, 1, 1.5, -0.1, NAN, "0.5")],
    *[("layerwise_rescale", v) for v in ("yes", None, 2)],
    *[("beta", v) for v in (0, 0.0, NAN, -INF, "0.5", None)],
    *[("relaxation", v) for v in ("newton", None)],
    *[("step_size", v) for v in (0, 0.0, 1.5, -0.5, NAN, "1", None)],
    *[("max_relax_iter", v) for v in (0, -1, 2.5, None)],
    *[("max_nudge_iter", v) for v in (0, 1.0, "10")],
    *[("relax_tol", v) for v in (0, -1e-3, NAN, "tight", None)],
    *[("loss", v) for v in ("hinge", None)],
    *[("optimizer", v) for v in ("lbfgs", None)],
    *[("learning_rate_init", v) for v in (0, -0.1, NAN, INF, "fast", None)],
    *[
        ("learning_rate_init", v)
        for v in ([0.1], [0.1, 0.1, 0.1], [0.1, 0], [0.1, NAN], ["a", "b"])
    ],
    *[("learning_rate", v) for v in ("optimal", 0.1)],
    *[("momentum", v) for v in (-0.1, 1, 1.5, NAN)],
    *[("alpha", v) for v in (-1e-4, NAN, INF, None)],
    *[("batch_size", v) for v in (0, -5, 2.5, "all", None)],
    *[("max_iter", v) for v in (0, -1, 2.5, None)],
    *[("early_stopping", v) for v in ("yes", None)],
    *[("validation_fraction", v) for v in (0, 1, 1.5, -0.1)],
    *[("n_iter_no_change", v) for v in (0, -1, 2.5)],
    *[("tol", v) for v in (-1e-4, NAN, None)],
    *[("shuffle", v) for v in ("no", None)],
    *[("warm_start", v) for v in ("no", None)],
    *[("verbose", v) for v in (-1, "loud")],
    *[("random_state", v) for v in ("seed", -1, 1.5)],
    *[("input_shape", v) for v in (28, "28x28")],
    *[("backend", v) for v in ("torch", None)],
    *[("dtype", v) for v in ("float16", np.float32, None)],
]


@KINDS
@pytest.mark.parametrize(("name", "value"), BAD_PARAMETERS, ids=str)
def test_bad_parameter(binary, estimator, name, value):
    model = estimator(**SETTINGS | {name: value})
    pattern = rf"The '{name}' parameter.* must be .*Got {re.escape(repr(value))}"
    with pytest.raises(InvalidParameterError, match=pattern):
        model.fit(*binary)


@pytest.mark.parametrize("value", ["even", 1.0, [1, 2]])
def test_bad_class_weight(binary, value):
    with pytest.raises(InvalidParameterError, match=r"'class_weight' parameter.*Got"):
        EqPropClassifier(**SETTINGS, class_weight=value).fit(*binary)


class SpecOfALayer:
    def __repr__(self):
        return "Conv2D(8, 3)"


@KINDS
def test_layers_that_are_no_numbers(binary, estimator):
    with pytest.raises(ValueError, match=r"'hidden_layer_sizes'.*Conv2D\(8, 3\)"):
        estimator(**SETTINGS | {"hidden_layer_sizes": (SpecOfALayer(), 10)}).fit(*binary)


@KINDS
@pytest.mark.parametrize("nudging", ["centered", "random_sign"])
@pytest.mark.parametrize("beta", [2.5, -2.5])
def test_beta_too_large_for_a_push_away(binary, estimator, nudging, beta):
    model = estimator(**SETTINGS, nudging=nudging, beta=beta)
    with pytest.raises(
        ValueError, match=rf"beta={beta} is too large for loss=.*Use \|beta\| < [12]"
    ):
        model.fit(*binary)


@KINDS
def test_large_beta_is_fine_towards_the_target(binary, estimator):
    X, y = binary
    model = estimator(**SETTINGS, nudging="one_sided", beta=2.5).fit(X, y)
    assert np.isfinite(model.predict(X)).all()


@KINDS
def test_negative_beta_too_large_one_sided(binary, estimator):
    with pytest.raises(ValueError, match=r"beta=-2\.5 is too large"):
        estimator(**SETTINGS, nudging="one_sided", beta=-2.5).fit(*binary)


# ---- X ---------------------------------------------------------------------------------------


def spoilt(X, value):
    X = X.copy()
    X[3, 2] = value
    return X


BAD_X = {
    "nan": (lambda X: spoilt(X, NAN), ValueError, "NaN"),
    "inf": (lambda X: spoilt(X, INF), ValueError, "infinity"),
    "1d": (lambda X: X[:, 0], ValueError, "Expected 2D array, got 1D array"),
    "3d": (lambda X: X[:, :, None], ValueError, "dim 3|3D array"),
    "no rows": (lambda X: X[:0], ValueError, "0 sample"),
    "no columns": (lambda X: X[:, :0], ValueError, r"0 feature"),
    "text": (lambda X: X.astype(str).astype(object) + "x", ValueError, "could not convert|numeric"),
    "complex": (lambda X: X + 1j, ValueError, "Complex data not supported"),
    "None": (lambda X: None, ValueError, "None|NoneType|scalar"),
    "scalar": (lambda X: 3.0, ValueError, "scalar"),
}


@KINDS
@pytest.mark.parametrize("case", list(BAD_X))
@pytest.mark.parametrize("method", ["fit", "partial_fit", "predict", "transform", "relax", "score"])
def test_bad_inputs(binary, estimator, case, method):
    X, y = binary
    change, error, message = BAD_X[case]
    model = estimator(**SETTINGS)
    if method not in {"fit", "partial_fit"}:
        model.fit(X, y)
    arguments = (y,) if method in {"fit", "partial_fit", "score"} else ()
    if method == "partial_fit" and estimator is EqPropClassifier:
        arguments += ([0, 1],)
    if method in {"fit", "partial_fit"} and case == "no rows":
        arguments = (y[:0], *arguments[1:])
    with pytest.raises(error, match=message):
        getattr(model, method)(change(X), *arguments)


@KINDS
@pytest.mark.parametrize("method", ["predict", "transform", "relax", "score"])
def test_other_number_of_features(binary, estimator, method):
    X, y = binary
    model = estimator(**SETTINGS).fit(X, y)
    arguments = (y,) if method == "score" else ()
    with pytest.raises(ValueError, match=r"X has 5 features, but .* is expecting 6 features"):
        getattr(model, method)(X[:, :5], *arguments)


@KINDS
@pytest.mark.parametrize("method", ["predict", "transform", "relax", "score"])
def test_not_fitted(binary, estimator, method):
    X, y = binary
    arguments = (y,) if method == "score" else ()
    with pytest.raises(NotFittedError, match=estimator.__name__):
        getattr(estimator(**SETTINGS), method)(X, *arguments)


@pytest.mark.parametrize("method", ["predict_proba", "predict_log_proba", "decision_function"])
def test_not_fitted_classifier(binary, method):
    with pytest.raises(NotFittedError, match="EqPropClassifier"):
        getattr(EqPropClassifier(**SETTINGS), method)(binary[0])


@KINDS
@pytest.mark.parametrize(
    ("factor", "dtype"), [(1e30, np.float32), (1e30, np.float64), (1e300, np.float64)]
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_huge_inputs_give_finite_answers_or_an_error_of_ours(binary, estimator, factor, dtype):
    X, y = binary
    X = (X * factor).astype(dtype)
    try:
        predicted = estimator(**SETTINGS).fit(X, y).predict(X)
    except ValueError as error:
        assert re.search(r"scale|infinity", str(error))  # noqa: PT017
    else:
        assert np.isfinite(predicted).all()


# ---- y ---------------------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize(
    ("y", "message"),
    [
        (lambda y: y[:-1], "inconsistent numbers of samples"),
        (lambda y: np.where(y == 1, NAN, 0.0), "NaN"),
        (lambda y: np.where(y == 1, INF, 0.0), "infinity"),
        (lambda y: None, "requires y to be passed"),
        (lambda y: 3, "scalar|should be|Expected|iterable|inconsistent|array"),
        (
            lambda y: y[:, None, None].repeat(2, axis=1),
            "dim 3|3D|Found array|not supported|Unknown",
        ),
        (lambda y: y + 1j, "Complex data not supported"),
    ],
    ids=["short", "nan", "inf", "None", "scalar", "3d", "complex"],
)
def test_bad_y(binary, estimator, y, message):
    X, labels = binary
    with pytest.raises((ValueError, TypeError), match=message):
        estimator(**SETTINGS).fit(X, y(labels))


def test_text_as_regression_target(binary):
    X, y = binary
    with pytest.raises(ValueError, match=r"could not convert string to float|numeric"):
        EqPropRegressor(**SETTINGS).fit(X, np.array(["a", "b"])[y])


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.zeros_like, r"1 class \(.*0.*at least 2 classes"),
        (lambda y: np.array(["a"] * len(y)), r"1 class \('?.*a.*at least 2 classes"),
        (lambda y: y + 0.5 * np.linspace(0, 1, len(y)), "[Uu]nknown label type.*continuous"),
        (
            lambda y: np.column_stack([y, y + 1, y]),
            "3 columns of class labels.*MultiOutputClassifier",
        ),
        (lambda y: np.array([0, "a"], dtype=object)[y], "[Mm]ix|unknown|Unknown|uniformly"),
    ],
    ids=["one class", "one string", "continuous", "multioutput", "mixed"],
)
def test_bad_labels(binary, y, message):
    X, labels = binary
    with pytest.raises((ValueError, TypeError), match=message):
        EqPropClassifier(**SETTINGS).fit(X, y(labels))


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([], "class"),
        ([0], r"class"),
        (5, "class"),
        ([[0, 1], [1, 2]], "class|label"),
        ([0.0, NAN], "class|NaN|label"),
        (["a", "b"], r"labels .*not in classes_|[Mm]ix"),
    ],
    ids=str,
)
def test_bad_classes(binary, classes, message):
    with pytest.raises((ValueError, TypeError), match=message):
        EqPropClassifier(**SETTINGS).partial_fit(*binary, classes=classes)


# ---- sample_weight ---------------------------------------------------------------------------

BAD_WEIGHTS = {
    "negative": (lambda n: np.r_[-1.0, np.ones(n - 1)], "sample_weight.*-1.*0 or positive"),
    "all zero": (np.zeros, "[Ss]ample.weight.*at least one"),
    "short": (lambda n: np.ones(n - 1), r"sample_weight.*shape"),
    "2d": (lambda n: np.ones((n, 2)), "Sample weights must be 1D"),
    "nan": (lambda n: np.r_[NAN, np.ones(n - 1)], "sample_weight.*NaN|NaN"),
    "inf": (lambda n: np.r_[INF, np.ones(n - 1)], "sample_weight.*infinity|infinity"),
    "text": (lambda n: np.array(["heavy"] * n), "could not convert"),
}


@KINDS
@pytest.mark.parametrize("case", list(BAD_WEIGHTS))
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_bad_sample_weight(binary, estimator, case, method):
    X, y = binary
    make, message = BAD_WEIGHTS[case]
    named = {"classes": [0, 1]} if (method, estimator) == ("partial_fit", EqPropClassifier) else {}
    with pytest.raises(ValueError, match=message):
        getattr(estimator(**SETTINGS), method)(X, y, **named, sample_weight=make(len(y)))


def test_weights_that_leave_one_class(binary):
    X, y = binary
    with pytest.raises(ValueError, match="1 class"):
        EqPropClassifier(**SETTINGS).fit(X, y, sample_weight=(y == 1).astype(float))


# ---- relax -----------------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize(
    ("beta", "message"),
    [
        (NAN, "beta.*nan"),
        (-INF, "beta.*-inf"),
        (-2.5, r"beta=-2\.5 is too large"),
        ("strong", "beta.*strong"),
        (None, "beta.*None"),
        ([0.1, 0.2], r"beta.*0\.1, 0\.2"),
    ],
    ids=str,
)
def test_relax_with_bad_beta(binary, estimator, beta, message):
    X, y = binary
    model = estimator(**SETTINGS).fit(X, y)
    with pytest.raises(ValueError, match=message):
        model.relax(X, y, beta=beta)


@KINDS
def test_relax_nudged_without_targets(binary, estimator):
    model = estimator(**SETTINGS).fit(*binary)
    with pytest.raises(ValueError, match=r"beta=1 needs y: pass the targets"):
        model.relax(binary[0], beta=1)


@KINDS
def test_relax_with_too_few_targets(binary, estimator):
    X, y = binary
    model = estimator(**SETTINGS).fit(X, y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.relax(X, y[:-1], beta=0.1)


def test_relax_with_unknown_label(binary):
    X, y = binary
    model = EqPropClassifier(**SETTINGS).fit(X, y)
    with pytest.raises(ValueError, match=r"labels \[9\] that are not in classes_"):
        model.relax(X, np.where(y == 1, 9, 0), beta=0.1)


def test_relax_with_other_number_of_outputs(two_outputs):
    X, y = two_outputs
    model = EqPropRegressor(**SETTINGS).fit(X, y)
    with pytest.raises(ValueError, match="y has 1 outputs per sample, but it had 2"):
        model.relax(X, y[:, 0], beta=0.1)


# ---- early stopping --------------------------------------------------------------------------


@KINDS
def test_too_few_rows_to_hold_any_out(binary, estimator):
    X, y = binary
    rows = np.r_[np.flatnonzero(y == 0)[:3], np.flatnonzero(y == 1)[:3]]
    model = estimator(**SETTINGS, early_stopping=True, validation_fraction=0.1)
    with pytest.raises(ValueError, match=r"validation_fraction=0\.1|early_stopping"):
        model.fit(X[rows], y[rows])
