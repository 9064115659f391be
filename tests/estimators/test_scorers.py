"""Scores of early stopping: what they are weighed by, what scorers get, how their errors read."""

import re

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_array_equal
from sklearn import metrics
from sklearn.datasets import make_classification
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    log_loss,
    make_scorer,
    max_error,
)

from sklearn_eqprop import EqPropClassifier, EqPropRegressor

pytestmark = pytest.mark.filterwarnings("ignore:Training reached max_iter")
KINDS = pytest.mark.parametrize("estimator", [EqPropClassifier, EqPropRegressor])
SETTINGS = {"hidden_layer_sizes": (6,), "max_iter": 4, "early_stopping": True, "random_state": 0}


class Recorder:
    """A scorer that takes no weights and notes what it gets."""

    def __call__(self, estimator, X, y):
        self.X, self.y, self.predicted = X, y, estimator.predict(X)
        return 0.5

    def __deepcopy__(self, memo):
        return self


class WeightRecorder(Recorder):
    def __call__(self, estimator, X, y, sample_weight=None):
        self.weight = sample_weight
        return super().__call__(estimator, X, y)


@pytest.fixture
def rare():
    X, y = make_classification(300, 6, weights=[0.85], flip_y=0.1, random_state=0)
    return X, y


# ---- weights -------------------------------------------------------------------------------------

METRICS = {
    None: lambda model, X, y, w: accuracy_score(y, model.predict(X), sample_weight=w),
    "accuracy": lambda model, X, y, w: accuracy_score(y, model.predict(X), sample_weight=w),
    "f1": lambda model, X, y, w: f1_score(y, model.predict(X), sample_weight=w),
    "loss": lambda model, X, y, w: -log_loss(y, model.predict_proba(X), sample_weight=w),
    "neg_log_loss": lambda model, X, y, w: -log_loss(y, model.predict_proba(X), sample_weight=w),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("own_set", [False, True])
@pytest.mark.parametrize("class_weight", ["balanced", {0: 0.1, 1: 7.0}])
@pytest.mark.parametrize("scoring", METRICS)
def test_scores_are_weighed_by_sample_weight_only(rare, scoring, class_weight, own_set, weighted):
    X, y = rare
    # Sample numbers are a column, so that the scorer's rows tell which ones they are.
    X = np.c_[X, np.linspace(-1, 1, 300)]
    weight = np.random.RandomState(1).randint(0, 4, size=300) if weighted else None
    settings = SETTINGS | {"class_weight": class_weight, "relax_tol": 1e-12, "max_iter": 1}
    recorder = Recorder()

    def fit(scoring):
        model = EqPropClassifier(**settings, scoring=scoring)
        if not own_set:
            return model.fit(X, y, weight)
        first, second = (None, None) if weight is None else (weight[::2], weight[1::2])
        own = {"X_val": X[1::2], "y_val": y[1::2], "sample_weight_val": second}
        return model.fit(X[::2], y[::2], first, **own)

    fit(recorder)
    model = fit(scoring)
    held_out = np.rint((recorder.X[:, -1] + 1) * 299 / 2).astype(int)
    assert_array_equal(recorder.y, y[held_out])
    w = None if weight is None else weight[held_out]
    assert w is None or w.min() > 0
    expected = METRICS[scoring](model, X[held_out], y[held_out], w)
    assert model.best_validation_score_ == pytest.approx(expected, rel=1e-9)


def test_a_class_of_weight_0_counts_in_the_score_all_the_same(three_classes):
    X, y = three_classes
    recorder = Recorder()
    settings = SETTINGS | {"class_weight": {0: 1, 1: 1, 2: 0}, "validation_fraction": 0.3}
    settings |= {"max_iter": 1}
    EqPropClassifier(**settings, scoring=recorder).fit(X, y)
    assert_array_equal(np.bincount(recorder.y), [12, 12, 12])
    model = EqPropClassifier(**settings).fit(X, y)
    assert model.best_validation_score_ == accuracy_score(recorder.y, model.predict(recorder.X))
    assert model.t_ == 56  # training leaves the class out


def g_mean(y_true, y_pred):
    return np.sqrt(np.prod([(y_pred[y_true == c] == c).mean() for c in (0, 1)]))


WITHOUT_WEIGHTS = {
    "a metric": make_scorer(g_mean),
    "a scorer": lambda model, X, y: g_mean(y, model.predict(X)),
    "scikit-learn's max_error": make_scorer(max_error, greater_is_better=False),
}


@pytest.mark.parametrize("scorer", WITHOUT_WEIGHTS.values(), ids=WITHOUT_WEIGHTS)
@pytest.mark.parametrize("weights", ["class", "sample", "both"])
def test_scorers_that_take_no_weights(rare, scorer, weights):
    X, y = rare
    settings = SETTINGS | {"class_weight": None if weights == "sample" else "balanced"}
    weight = None if weights == "class" else np.arange(200) % 3 + 0.5
    model = EqPropClassifier(**settings, scoring=scorer)
    model.fit(X[:200], y[:200], weight, X_val=X[200:], y_val=y[200:])
    assert model.best_validation_score_ == scorer(model, X[200:], y[200:])
    model.fit(X[:200], y[:200], weight)  # rows held out have weights too
    assert len(model.validation_scores_) == 4


@KINDS
def test_scorers_that_take_weights_get_those_of_the_held_out_rows(binary, estimator):
    X, y = binary
    X = np.c_[X, np.arange(80) / 40 - 1]
    weight, scorer = np.arange(80) % 4 / 2, WeightRecorder()
    estimator(**SETTINGS, scoring=scorer).fit(X, y, sample_weight=weight)
    held_out = np.rint((scorer.X[:, -1] + 1) * 40).astype(int)
    assert_array_equal(scorer.weight, weight[held_out])
    estimator(**SETTINGS, scoring=scorer).fit(X, y)
    assert scorer.weight is None


# ---- tables --------------------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("own_set", [False, True])
@pytest.mark.parametrize("library", [pd, pl])
def test_scorers_get_tables_as_they_were_passed(binary, estimator, own_set, library):
    X, y = binary
    columns = {f"column {i}": X[:, i] for i in range(6)} | {"group": np.arange(80) % 2 == 0}
    frame = library.DataFrame(columns)
    if library is pd:
        frame.index = np.arange(100, 180)
        y = pd.Series(y, index=frame.index, name="answer")
    weight = np.arange(80) % 5
    gaps = []

    def gap_between_groups(model, X, y):
        right = model.predict(X) == np.asarray(y)
        group = np.asarray(X["group"])
        assert isinstance(X, library.DataFrame)
        if library is pd:
            assert X["group"].dtype == bool
            assert X.index.equals(y.index)
            assert (weight[X.index - 100] > 0).all()
        gaps.append(-abs(right[group].mean() - right[~group].mean()))
        return gaps[-1]

    model = estimator(**SETTINGS, scoring=gap_between_groups)
    if own_set:
        model.fit(frame, y, X_val=frame, y_val=y, sample_weight_val=weight)
    else:
        model.fit(frame, y, sample_weight=weight)
    assert model.validation_scores_ == gaps
    if library is pd or hasattr(model, "feature_names_in_"):  # scikit-learn 1.6 has none of polars
        assert list(model.feature_names_in_) == list(columns)


@pytest.mark.parametrize("kind", [object, "str", "string", "category"])
def test_scorers_get_series_of_every_kind(binary, kind):
    X, y = binary
    y = pd.Series(np.array(["no", "yes"])[y], index=np.arange(100, 180)).astype(kind)

    def by_index(model, X, held_out):
        assert held_out.dtype == y.dtype
        assert held_out.equals(y[held_out.index])
        return accuracy_score(held_out, model.predict(X))

    model = EqPropClassifier(**SETTINGS, scoring=by_index).fit(X, y)
    expected = EqPropClassifier(**SETTINGS).fit(X, y).validation_scores_
    assert model.validation_scores_ == expected


@pytest.mark.parametrize("kind", ["float64", "Float64"])
def test_scorers_get_frames_of_targets(binary, kind):
    X, y = binary
    frame = pd.DataFrame({"first": y + X[:, 0], "second": X[:, 1]}).astype(kind)
    is_plain = kind == "float64"  # scikit-learn's metrics do not know all nullable frames

    def of_first(model, X, y):
        first = y["first"] if is_plain else y[:, 0]
        return -metrics.mean_absolute_error(first, model.predict(X)[:, 0])

    model = EqPropRegressor(**SETTINGS, scoring=of_first).fit(X, frame)
    assert len(model.validation_scores_) == 4


# ---- errors --------------------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize(
    "error",
    [KeyError("b"), IndexError("far"), AttributeError("x"), TypeError("no"), RuntimeError()],
)
def test_errors_of_a_scorer_name_it(binary, estimator, error):
    def picky(model, X, y):
        raise error

    name = type(error).__name__
    with pytest.raises(
        ValueError, match=rf"scoring=<function .*picky.*{name}: .*ndarray"
    ) as caught:
        estimator(**SETTINGS, scoring=picky).fit(*binary)
    assert caught.value.__cause__ is error


def test_an_interrupt_in_a_scorer_is_no_error_of_the_scorer(binary):
    def pressed(model, X, y):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        EqPropClassifier(**SETTINGS, scoring=pressed).fit(*binary)


def test_no_function_that_is_not_a_scorer(binary):
    with pytest.raises(ValueError, match="make_scorer"):
        EqPropClassifier(**SETTINGS, scoring=accuracy_score).fit(*binary)


@pytest.mark.parametrize("labels", [["no", "yes"], [2, 5]])
@pytest.mark.parametrize(
    "scoring", ["f1", "precision", "jaccard", "average_precision", "neg_brier_score"]
)
@pytest.mark.filterwarnings("ignore:Precision is ill-defined")
def test_remedy_for_the_positive_label(rare, scoring, labels):
    X, y = rare
    y = np.array(labels)[y]
    model = EqPropClassifier(**SETTINGS, scoring=scoring)
    try:
        model.fit(X, y)
    except ValueError as error:
        [remedy] = re.findall(
            r"Name the label that counts as positive: scoring=(.*\))\.$", str(error)
        )
    else:
        assert scoring in ("average_precision", "neg_brier_score")  # newer versions choose a label
        return
    model.set_params(scoring=eval(remedy, vars(metrics))).fit(X, y)
    if scoring == "f1":
        recorder = Recorder()
        EqPropClassifier(**SETTINGS, scoring=recorder).fit(X, y)
        expected = f1_score(recorder.y, recorder.predicted, pos_label=labels[1])
        assert model.validation_scores_[-1] == pytest.approx(expected)


def test_remedy_for_a_positive_label_that_does_not_occur(rare):
    X, y = rare
    scorer = make_scorer(f1_score, pos_label="oui")
    with pytest.raises(ValueError, match=r"scoring=make_scorer\(f1_score, pos_label='yes'\)\.$"):
        EqPropClassifier(**SETTINGS, scoring=scorer).fit(X, np.array(["no", "yes"])[y])


@pytest.mark.parametrize("scoring", ["f1", "recall", "roc_auc"])
def test_remedy_for_several_classes(three_classes, scoring):
    model = EqPropClassifier(**SETTINGS, scoring=scoring)
    with pytest.raises(ValueError, match="use one of the scorers") as caught:
        model.fit(*three_classes)
    for name in re.findall(r"'(\w+)'", str(caught.value).partition("use one of")[2]):
        model.set_params(scoring=name, validation_fraction=0.3).fit(*three_classes)
        assert np.isfinite(model.best_validation_score_)


def test_remedy_for_a_class_that_is_not_held_out(rare):
    X, y = rare
    y = y.copy()
    y[:3] = 2
    model = EqPropClassifier(**SETTINGS, scoring="neg_log_loss")
    message = r"different number of classes:? 2.* 3\. The validation set holds no sample of the "
    with pytest.raises(ValueError, match=message + r"classes \[2\]\. Use scoring='loss'"):
        model.fit(X, y)
    model.fit(X, y, X_val=X[:50], y_val=y[:50])
    model.set_params(scoring="loss").fit(X, y)
    assert np.isfinite(model.best_validation_score_)


@pytest.mark.filterwarnings("ignore:Only one class is present")
def test_remedy_for_a_score_that_needs_both_classes(rare):
    X, y = rare
    of_one_class = {"X_val": X[y == 0], "y_val": y[y == 0]}
    model = EqPropClassifier(**SETTINGS, scoring="roc_auc")
    with pytest.raises(ValueError, match=r"no sample of the classes \[1\]\. Use scoring='loss'"):
        model.fit(X, y, **of_one_class)
    model.set_params(scoring="loss").fit(X, y, **of_one_class)
    assert np.isfinite(model.best_validation_score_)


def test_remedy_for_a_class_of_one_row(rare):
    X, y = rare
    y = y.copy()
    y[0] = 2
    model = EqPropClassifier(**SETTINGS)
    with pytest.raises(ValueError, match=r"classes in y, \[2\], have only 1 .*leave them out"):
        model.fit(X, y)
    model.fit(X[1:], y[1:])
    model.fit(X, y, X_val=X[:50], y_val=y[:50])
    model.fit(np.r_[X, X[:1]], np.append(y, 2))
    model.set_params(early_stopping=False).fit(X, y)


@pytest.mark.parametrize(
    ("n_rows", "n_classes", "fraction"), [(60, 10, 0.1), (60, 10, 0.9), (7, 3, 0.2), (9, 2, 0.95)]
)
def test_remedy_for_parts_that_are_too_small(n_rows, n_classes, fraction):
    X, y = np.random.RandomState(0).randn(n_rows, 3), np.arange(n_rows) % n_classes
    model = EqPropClassifier(**SETTINGS | {"batch_size": 2}, validation_fraction=fraction)
    with pytest.raises(ValueError, match="Set validation_fraction=") as caught:
        model.fit(X, y)
    [better] = re.findall(r"Set validation_fraction=([\d.]+),", str(caught.value))
    model.set_params(validation_fraction=float(better)).fit(X, y)
    assert len(model.validation_scores_) == 4


def test_no_fraction_is_named_if_none_would_do(regression):
    X, y = regression
    model = EqPropRegressor(**SETTINGS | {"batch_size": 2})
    with pytest.raises(ValueError, match=r"samples, but at least 2 .*to train on\. Pass X_val"):
        model.fit(X[:2], y[:2])
    model.fit(X[:2], y[:2], X_val=X[2:9], y_val=y[2:9])
