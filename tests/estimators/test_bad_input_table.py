"""Bad input, case by case: the exact class of the error, and its parameter, value and remedy.

A case is what is done with a fresh classifier `c`, regressor `r`, their fitted twins `fc`, `fr`,
and data X, y; the error's class; and parts that its message must hold, in this order (of a tuple
any). Where
scikit-learn's validation answers, its message is what users know.
"""

import copy
import re

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.datasets import make_classification
from sklearn.utils._param_validation import InvalidParameterError

from sklearn_eqprop import EqPropClassifier, EqPropRegressor
from sklearn_eqprop.exceptions import DivergenceError

pytestmark = pytest.mark.filterwarnings("ignore:Training reached max_iter")
SETTINGS = {"hidden_layer_sizes": (4,), "max_iter": 2, "random_state": 0}
NAN, INF = float("nan"), float("inf")
MASK = np.arange(40) < 3
DAYS = np.array(["2020-01-01"] * 40, dtype="datetime64[D]")


def c(**parameters):
    return EqPropClassifier(**SETTINGS | parameters)


def r(**parameters):
    return EqPropRegressor(**SETTINGS | parameters)


@pytest.fixture(scope="module")
def data():
    return make_classification(n_samples=40, n_features=6, random_state=0)


@pytest.fixture(scope="module")
def fitted(data):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return c().fit(*data), r().fit(*data)


def spoilt(X, value):
    X = X.copy()
    X[3, 2] = value
    return X


def masked(values):
    return np.ma.masked_array(values, mask=MASK if values.ndim == 1 else np.abs(values) > 1.5)


def judged(X, y, X_val, y_val, weight=None, **parameters):
    model = c(early_stopping=True, **parameters)
    return model.fit(X, y, X_val=X_val, y_val=y_val, sample_weight_val=weight)


def after(model, **parameters):
    return copy.deepcopy(model).set_params(**parameters)


def with_weights(model, **attributes):
    model = copy.deepcopy(model)
    for name, value in attributes.items():
        setattr(model, name, value)
    return model


INVALID = InvalidParameterError  # a ValueError
SIZES = ["'hidden_layer_sizes' parameter", "positive integer"]
UNMASK = ["masked", "Fill them", "filled(", "leave out those rows"]
TIMES = ["dates or times", "Turn them into numbers"]
SIZES_NOW = ["layers of (6, 4, 2) units", "now ask for (6, 5, 2)", "fresh clone"]

CASES = {
    # constructor, found in fit
    "sizes 3.5": (
        lambda X, y, fc, fr: c(hidden_layer_sizes=(3.5,)).fit(X, y),
        INVALID,
        [*SIZES, "(3.5,)"],
    ),
    "sizes 0": (
        lambda X, y, fc, fr: c(hidden_layer_sizes=(4, 0)).fit(X, y),
        INVALID,
        [*SIZES, "(4, 0)"],
    ),
    "sizes -3": (
        lambda X, y, fc, fr: r(hidden_layer_sizes=-3).fit(X, y),
        INVALID,
        ["'hidden_layer_sizes' parameter", "int in the range [1, inf)", "-3"],
    ),
    "sizes True": (
        lambda X, y, fc, fr: r(hidden_layer_sizes=(True,)).fit(X, y),
        INVALID,
        [*SIZES, "(True,)"],
    ),
    "sizes nested": (
        lambda X, y, fc, fr: c(hidden_layer_sizes=((3, 4),)).fit(X, y),
        INVALID,
        [*SIZES, "((3, 4),)"],
    ),
    "sizes 2d": (
        lambda X, y, fc, fr: c(hidden_layer_sizes=np.array([[3, 4]])).fit(X, y),
        INVALID,
        SIZES,
    ),
    "sizes floats": (
        lambda X, y, fc, fr: c(hidden_layer_sizes=np.array([3.0])).fit(X, y),
        INVALID,
        [*SIZES, "3.0"],
    ),
    "sizes set": (
        lambda X, y, fc, fr: c(hidden_layer_sizes={4, 5}).fit(X, y),
        INVALID,
        [*SIZES, "{4, 5}", "no order", "tuple"],
    ),
    "sizes dict": (
        lambda X, y, fc, fr: c(hidden_layer_sizes={1: 2}).fit(X, y),
        INVALID,
        [*SIZES, "{1: 2}", "no order", "tuple"],
    ),
    "sizes text": (
        lambda X, y, fc, fr: c(hidden_layer_sizes="100").fit(X, y),
        INVALID,
        ["'hidden_layer_sizes' parameter", "'100'"],
    ),
    "sizes None": (
        lambda X, y, fc, fr: c(hidden_layer_sizes=None).fit(X, y),
        INVALID,
        ["'hidden_layer_sizes' parameter", "None"],
    ),
    "activation": (
        lambda X, y, fc, fr: c(activation="sigmoid").fit(X, y),
        INVALID,
        ["'activation' parameter", "hard_sigmoid", "'sigmoid'"],
    ),
    "beta 0": (
        lambda X, y, fc, fr: c(beta=0).fit(X, y),
        INVALID,
        ["'beta' parameter", "0", "0.1 to 1"],
    ),
    "beta nan": (lambda X, y, fc, fr: r(beta=NAN).fit(X, y), INVALID, ["'beta' parameter", "nan"]),
    "beta too large": (
        lambda X, y, fc, fr: r(beta=2.5, nudging="centered").fit(X, y),
        ValueError,
        ["beta=2.5", "Use |beta| < 1", "one_sided"],
    ),
    "rates of a layer too few": (
        lambda X, y, fc, fr: c(learning_rate_init=[0.1]).fit(X, y),
        INVALID,
        ["'learning_rate_init' parameter", "2 layers", "[0.1]"],
    ),
    "rates negative": (
        lambda X, y, fc, fr: c(learning_rate_init=[0.1, -1]).fit(X, y),
        INVALID,
        ["'learning_rate_init' parameter", "positive", "[0.1, -1]"],
    ),
    "rate in an array": (
        lambda X, y, fc, fr: c(learning_rate_init=np.array(0.01)).fit(X, y),
        INVALID,
        ["'learning_rate_init' parameter", "positive number", "Got array(0.01)"],
    ),
    "rate nan": (
        lambda X, y, fc, fr: c(learning_rate_init=NAN).fit(X, y),
        INVALID,
        ["'learning_rate_init' parameter", "(0.0, inf)", "nan"],
    ),
    "step_size 0": (
        lambda X, y, fc, fr: r(step_size=0).fit(X, y),
        INVALID,
        ["'step_size' parameter", "(0.0, 1.0]", "0"],
    ),
    "relax_tol": (
        lambda X, y, fc, fr: r(relax_tol=-1e-3).fit(X, y),
        INVALID,
        ["'relax_tol' parameter", "auto", "-0.001"],
    ),
    "alpha": (
        lambda X, y, fc, fr: r(alpha=INF).fit(X, y),
        INVALID,
        ["'alpha' parameter", "[0.0, inf)", "inf"],
    ),
    "batch_size": (
        lambda X, y, fc, fr: c(batch_size=2.5).fit(X, y),
        INVALID,
        ["'batch_size' parameter", "auto", "2.5"],
    ),
    "max_iter": (
        lambda X, y, fc, fr: c(max_iter=0).fit(X, y),
        INVALID,
        ["'max_iter' parameter", "[1, inf)", "0"],
    ),
    "random_state": (
        lambda X, y, fc, fr: c(random_state=np.random.default_rng(0)).fit(X, y),
        INVALID,
        ["'random_state' parameter", "RandomState", "Generator"],
    ),
    "loss": (
        lambda X, y, fc, fr: c(loss="hinge").fit(X, y),
        INVALID,
        ["'loss' parameter", "'hinge'"],
    ),
    "scoring": (
        lambda X, y, fc, fr: c(scoring="best").fit(X, y),
        INVALID,
        ["'scoring' parameter", "'best'"],
    ),
    "restore": (
        lambda X, y, fc, fr: c(restore_best_weights="yes").fit(X, y),
        INVALID,
        ["'restore_best_weights' parameter", "'yes'"],
    ),
    "transform_layers": (
        lambda X, y, fc, fr: r(transform_layers=[1, 5]).fit(X, y),
        INVALID,
        ["'transform_layers' parameter", "to 2", "[1, 5]"],
    ),
    "class_weight names": (
        lambda X, y, fc, fr: c(class_weight={5: 1.0}).fit(X, y),
        ValueError,
        ["class_weight={5: 1.0}", "[0, 1]", "balanced"],
    ),
    "class_weight text": (
        lambda X, y, fc, fr: c(class_weight={0: "a", 1: 1}).fit(X, y),
        ValueError,
        ["class_weight={0: 'a', 1: 1}", "a number for each"],
    ),
    "class_weight of arrays": (
        lambda X, y, fc, fr: c(class_weight={0: np.ones(2), 1: 1}).fit(X, y),
        ValueError,
        ["class_weight={0: array", "with a sequence. Pass a number for each"],
    ),
    "weights in a dict": (
        lambda X, y, fc, fr: c().fit(X, y, sample_weight={0: 1.0}),
        ValueError,
        ["sample_weight does not fit these 40 samples", "'dict'"],
    ),
    "class_weight of one class": (
        lambda X, y, fc, fr: c(class_weight={0: 0}).fit(X, y),
        ValueError,
        ["class_weight={0: 0}", "all classes of [0, 1] except one", "at least two"],
    ),
    "class_weight negative": (
        lambda X, y, fc, fr: c(class_weight={0: -1, 1: 1}).fit(X, y),
        ValueError,
        ["class_weight", "-1", "0 or positive"],
    ),
    "tied rate": (
        lambda X, y, fc, fr: c(
            gradient="asymmetric", credit_coordinates="rate", activation="tanh"
        ).fit(X, y),
        ValueError,
        ["credit_coordinates='rate'", "gradient='asymmetric'", "or credit_coordinates='auto'"],
    ),
    # fit
    "X nan": (lambda X, y, fc, fr: c().fit(spoilt(X, NAN), y), ValueError, ["X contains NaN"]),
    "X masked": (
        lambda X, y, fc, fr: c().fit(masked(X), y),
        ValueError,
        ["X is a masked array", *UNMASK],
    ),
    "y masked": (
        lambda X, y, fc, fr: r().fit(X, masked(y)),
        ValueError,
        ["y is a masked array with 3", *UNMASK],
    ),
    "weight masked": (
        lambda X, y, fc, fr: c().fit(X, y, sample_weight=masked(np.ones(40))),
        ValueError,
        ["sample_weight is a masked", *UNMASK],
    ),
    "weight negative": (
        lambda X, y, fc, fr: c().fit(X, y, sample_weight=y - 0.5),
        ValueError,
        ["sample_weight", "-0.5", "0 or positive"],
    ),
    "weight all 0": (
        lambda X, y, fc, fr: r().fit(X, y, sample_weight=0 * y),
        ValueError,
        ["ample", "weight", "at least one"],
    ),
    "X dates": (lambda X, y, fc, fr: c().fit(DAYS[:, None], y), ValueError, ["X holds", *TIMES]),
    "X dates pandas": (
        lambda X, y, fc, fr: c().fit(
            pd.DataFrame({"a": X[:, 0], "b": DAYS.astype("datetime64[ns]")}), y
        ),
        ValueError,
        ["X holds", *TIMES],
    ),
    "X dates polars": (
        lambda X, y, fc, fr: c().fit(pl.DataFrame({"a": X[:, 0], "b": DAYS}), y),
        ValueError,
        ["X holds", *TIMES],
    ),
    "y dates": (lambda X, y, fc, fr: r().fit(X, DAYS), ValueError, ["y holds", *TIMES]),
    "X text": (
        lambda X, y, fc, fr: c().fit(np.full((40, 1), "x"), y),
        ValueError,
        [("could not convert", "numeric")],
    ),
    "X ragged": (
        lambda X, y, fc, fr: c().fit([[1, 2]] * 39 + [[1]], y),
        ValueError,
        [("inhomogeneous", "sequence")],
    ),
    "X names": (
        lambda X, y, fc, fr: c().fit(pd.DataFrame(X[:, :2], columns=["a", 1]), y),
        TypeError,
        ["eature names", "string"],
    ),
    "X sparse complex": (
        lambda X, y, fc, fr: c().fit(sparse.csr_matrix(X + 1j), y),
        ValueError,
        ["Complex data not supported"],
    ),
    "y nullable with NA": (
        lambda X, y, fc, fr: c().fit(X, pd.Series([1, 0] * 19 + [1, None], dtype="Int64")),
        ValueError,
        ["y", ("NaN", "NA")],
    ),
    "y None among text": (
        lambda X, y, fc, fr: c().fit(X, np.array(["a", "b"] * 19 + ["a", None], dtype=object)),
        ValueError,
        ["y", "None", "leave out"],
    ),
    "y NaN in a list of text": (
        lambda X, y, fc, fr: c().fit(X, ["a", "b"] * 19 + ["a", NAN]),
        ValueError,
        ["y holds", "NaN", "1 times", "leave out"],
    ),
    "y NaN in a column of text": (
        lambda X, y, fc, fr: c().fit(X, [["a"], ["b"]] * 19 + [["a"], [NAN]]),
        ValueError,
        ["y holds", "NaN", "1 times", "leave out"],
    ),
    "y text and numbers in a list": (
        lambda X, y, fc, fr: c().fit(X, ["a", 1] * 20),
        ValueError,
        ["y is a list of text ('a') and numbers (1)", "Convert everything to text"],
    ),
    "y integers among objects": (
        lambda X, y, fc, fr: c().fit(X, y.astype(object)),
        ValueError,
        ["Unknown label type", "holds int.", "y.astype(int)"],
    ),
    "classes NaN among text": (
        lambda X, y, fc, fr: c().partial_fit(X, y, classes=["a", "b", NAN]),
        ValueError,
        ["classes holds", "NaN", "1 times", "labels only"],
    ),
    "classes None among text": (
        lambda X, y, fc, fr: c().partial_fit(X, y, classes=["a", "b", None]),
        ValueError,
        ["classes holds", "None", "1 times", "labels only"],
    ),
    "y NA among text": (
        lambda X, y, fc, fr: c().fit(X, pd.Series(["a", "b"] * 19 + ["a", pd.NA], dtype="string")),
        ValueError,
        ["y holds", "NA", "1 times", "leave out"],
    ),
    "y NA among objects": (
        lambda X, y, fc, fr: c().fit(X, np.array(["a", "b"] * 19 + ["a", pd.NA], dtype=object)),
        ValueError,
        ["y holds", "NA", "1 times", "leave out"],
    ),
    "y NA in score": (
        lambda X, y, fc, fr: fc.score(X, pd.Series([1, 0] * 19 + [1, None], dtype="Int64")),
        ValueError,
        ["y holds", "NA", "1 times", "leave out"],
    ),
    "y NA of a regressor": (
        lambda X, y, fc, fr: r().fit(X, pd.Series([1, 0] * 19 + [1, None], dtype="Float64")),
        ValueError,
        ["y holds", "NA", "1 times", "leave out"],
    ),
    "y mixed labels": (
        lambda X, y, fc, fr: c().fit(X, np.array(["a", 1] * 20, dtype=object)),
        ValueError,
        ["Unknown label type", "y is an array of objects", "int and text", "y.astype(str)"],
    ),
    "y dates among objects": (
        lambda X, y, fc, fr: c().fit(X, np.array(DAYS.tolist(), dtype=object)),
        ValueError,
        ["Unknown label type", "y is an array of objects", "date", "y.astype(str)"],
    ),
    "y one class": (
        lambda X, y, fc, fr: c().fit(X, 0 * y),
        ValueError,
        ["1 class", "at least 2 classes"],
    ),
    "y numbers for classes": (
        lambda X, y, fc, fr: c().fit(X, y + X[:, 0]),
        ValueError,
        ["nknown label type", "continuous"],
    ),
    "y infinite": (
        lambda X, y, fc, fr: r().fit(X, np.where(y == 1, INF, 0)),
        ValueError,
        ["y contains infinity"],
    ),
    "poisson negative": (
        lambda X, y, fc, fr: r(loss="poisson").fit(X, y - 1),
        ValueError,
        ["y holds -1", "poisson", "another loss"],
    ),
    # validation set
    "X_val alone": (
        lambda X, y, fc, fr: judged(X, y, X, None),
        ValueError,
        ["y_val=None", "Pass X_val and y_val together"],
    ),
    "y_val alone": (
        lambda X, y, fc, fr: judged(X, y, None, y),
        ValueError,
        ["X_val=None", "Pass X_val and y_val together"],
    ),
    "weight_val alone": (
        lambda X, y, fc, fr: judged(X, y, None, None, y),
        ValueError,
        ["X_val=None", "together"],
    ),
    "X_val ignored": (
        lambda X, y, fc, fr: r().fit(X, y, X_val=X, y_val=y),
        ValueError,
        ["X_val and y_val", "early_stopping=False", "Set early_stopping=True"],
    ),
    "X_val features": (
        lambda X, y, fc, fr: judged(X, y, X[:, :4], y),
        ValueError,
        ["X has 4 features", "6 features"],
    ),
    "y_val labels": (
        lambda X, y, fc, fr: judged(X, y, X, y + 5),
        ValueError,
        ["labels [5, 6]", "classes_ ([0, 1])"],
    ),
    "y_val short": (
        lambda X, y, fc, fr: judged(X, y, X, y[:9]),
        ValueError,
        ["inconsistent numbers of samples: [40, 9]"],
    ),
    "weight_val negative": (
        lambda X, y, fc, fr: judged(X, y, X, y, -1.0 - y),
        ValueError,
        ["sample_weight_val", ("-1", "-2"), "0 or positive"],
    ),
    "scoring nan": (
        lambda X, y, fc, fr: judged(X, y, X, y, scoring=lambda e, X, y: NAN),
        ValueError,
        ["scoring=", "nan", "use another scoring"],
    ),
    "scoring text": (
        lambda X, y, fc, fr: judged(X, y, X, y, scoring=lambda e, X, y: "good"),
        ValueError,
        ["scoring=", "'good'", "use another scoring"],
    ),
    "scoring unfit": (
        lambda X, y, fc, fr: r(early_stopping=True, scoring="accuracy").fit(X, y + X[:, 0]),
        ValueError,
        ["scoring='accuracy'", "does not work", "continuous"],
    ),
    # warm start and partial_fit
    "warm sizes": (
        lambda X, y, fc, fr: after(fc, warm_start=True, hidden_layer_sizes=(5,)).fit(X, y),
        ValueError,
        SIZES_NOW,
    ),
    "warm features": (
        lambda X, y, fc, fr: after(fr, warm_start=True).fit(X[:, :4], y),
        ValueError,
        ["X has 4 features", "6 features"],
    ),
    "warm outputs": (
        lambda X, y, fc, fr: after(fr, warm_start=True).fit(X, np.c_[y, y]),
        ValueError,
        ["y has 2 outputs", "had 1", "fresh clone"],
    ),
    "warm labels": (
        lambda X, y, fc, fr: after(fc, warm_start=True).fit(X, y + 1),
        ValueError,
        ["labels [2]", "classes_ ([0, 1])"],
    ),
    "warm fewer labels": (
        lambda X, y, fc, fr: after(fc, warm_start=True).fit(X, 0 * y),
        ValueError,
        ["no sample of its classes [1]", "warm_start=False", "partial_fit"],
    ),
    "labels of columns": (
        lambda X, y, fc, fr: c().fit(X, 2 * np.c_[y, 1 - y] - 1),
        ValueError,
        ["values [-1, 1]", "0 or 1"],
    ),
    "stream labels of columns": (
        lambda X, y, fc, fr: c().partial_fit(X, np.c_[y, y]).partial_fit(X, 2 * np.c_[y, y]),
        ValueError,
        ["values [0, 2]", "0 or 1"],
    ),
    "classes of columns": (
        lambda X, y, fc, fr: c().partial_fit(X, np.c_[y, y, y], classes=[0, 1]),
        ValueError,
        ["classes=[0, 1]", "3 labels", "leave classes out"],
    ),
    "targets beyond float64": (
        lambda X, y, fc, fr: r().fit(X, y * np.longdouble("1e4000")),
        ValueError,
        ["y holds numbers beyond", "divide it"],
    ),
    "columns too small": (
        lambda X, y, fc, fr: r(learning_rate_init=1.0, max_iter=50).fit(X * 1e-308, y),
        ValueError,
        ["columns of very small numbers", "StandardScaler"],
    ),
    "weights of text": (
        lambda X, y, fc, fr: c().fit(X, y, sample_weight=["a"] * 40),
        ValueError,
        ["sample_weight", "'a'"],
    ),
    "weights beyond any sum": (
        lambda X, y, fc, fr: c().fit(X, y, sample_weight=np.full(40, 1e307)),
        ValueError,
        ["sample_weight", "1e+307", "largest float", "divide"],
    ),
    "class weights beyond any sum": (
        lambda X, y, fc, fr: c(class_weight={0: 1e308, 1: 1e308}).fit(X, y),
        ValueError,
        ["class_weight", "1e+308", "largest float", "divide"],
    ),
    "class weights times sample weights": (
        lambda X, y, fc, fr: c(class_weight={0: 1e200, 1: 1}).fit(X, y, np.full(40, 1e200)),
        ValueError,
        ["class_weight", "inf", "finite"],
    ),
    "weights of a score beyond any sum": (
        lambda X, y, fc, fr: fc.score(X, y, np.full(40, 1e307)),
        ValueError,
        ["sample_weight", "1e+307", "largest float", "divide"],
    ),
    "weights of validation beyond any sum": (
        lambda X, y, fc, fr: judged(X, y, X, y, np.full(40, 1e307)),
        ValueError,
        ["validation set", "sample_weight_val", "1e+307", "largest float", "divide"],
    ),
    "weights of nothing": (
        lambda X, y, fc, fr: c().fit(X, y, sample_weight=np.full(40, 1e-320)),
        ValueError,
        ["sample_weight sums to", "multiply"],
    ),
    "sizes in an array of no dimension": (
        lambda X, y, fc, fr: c(hidden_layer_sizes=np.array(5)).fit(X, y),
        INVALID,
        ["'hidden_layer_sizes' parameter", "array(5)"],
    ),
    "validation inputs": (
        lambda X, y, fc, fr: c(early_stopping=True).fit(X, y, X_val=X[:, :3], y_val=y),
        ValueError,
        ["validation set (X_val", "X has 3 features"],
    ),
    "validation labels": (
        lambda X, y, fc, fr: c(early_stopping=True).fit(X, y, X_val=X, y_val=y + 5),
        ValueError,
        ["validation set (X_val, y_val", "labels [5, 6]", "leave out those rows"],
    ),
    "validation weights": (
        lambda X, y, fc, fr: c(early_stopping=True).fit(
            X, y, X_val=X, y_val=y, sample_weight_val=np.ones(3)
        ),
        ValueError,
        ["validation set", "sample_weight_val", "(3,)"],
    ),
    "warm feedback": (
        lambda X, y, fc, fr: after(fc, warm_start=True, feedback="tied").fit(X, y),
        ValueError,
        ["feedback='untied'", "'tied'", "Set it back"],
    ),
    "stream sizes": (
        lambda X, y, fc, fr: after(fc, hidden_layer_sizes=(5,)).partial_fit(X, y),
        ValueError,
        SIZES_NOW,
    ),
    "stream beta": (
        lambda X, y, fc, fr: after(fr, beta="strong").partial_fit(X, y),
        INVALID,
        ["'beta' parameter", "'strong'"],
    ),
    "stream optimizer": (
        lambda X, y, fc, fr: after(fc, optimizer="lbfgs").partial_fit(X, y),
        INVALID,
        ["'optimizer' parameter", "'lbfgs'"],
    ),
    "stream classes": (
        lambda X, y, fc, fr: c().partial_fit(X, y),
        ValueError,
        ["classes must be passed", "all labels"],
    ),
    "stream classes missing": (
        lambda X, y, fc, fr: c().partial_fit(X, y, classes=[0, 5]),
        ValueError,
        ["labels [1]", "[0, 5]", "name all classes"],
    ),
    "stream early stopping": (
        lambda X, y, fc, fr: r(early_stopping=True).partial_fit(X, y),
        ValueError,
        ["early_stopping=True", "False, or use fit"],
    ),
    "stream balanced": (
        lambda X, y, fc, fr: c(class_weight="balanced").partial_fit(X, y, classes=[0, 1]),
        ValueError,
        ["class_weight='balanced'", "pass a dict"],
    ),
    "stream weight": (
        lambda X, y, fc, fr: copy.deepcopy(fr).partial_fit(X, y, sample_weight=-1 - y),
        ValueError,
        ["sample_weight", ("-1", "-2"), "0 or positive"],
    ),
    # predict, score, transform
    "predict masked": (
        lambda X, y, fc, fr: fc.predict(masked(X)),
        ValueError,
        ["X is a masked", *UNMASK],
    ),
    "predict features": (
        lambda X, y, fc, fr: fr.predict(X[:, 1:]),
        ValueError,
        ["X has 5 features", "6 features"],
    ),
    "predict activation": (
        lambda X, y, fc, fr: after(fc, activation="x").predict(X),
        INVALID,
        ["'activation' parameter", "'x'"],
    ),
    "predict steps": (
        lambda X, y, fc, fr: after(fr, max_relax_iter=0).predict(X),
        INVALID,
        ["'max_relax_iter' parameter", "0"],
    ),
    "predict infinite": (
        lambda X, y, fc, fr: fr.predict(spoilt(X, INF)),
        ValueError,
        ["X contains infinity"],
    ),
    "transform layer": (
        lambda X, y, fc, fr: after(fc, transform_layers=9).transform(X),
        INVALID,
        ["'transform_layers' parameter", "9"],
    ),
    "weights of other shapes": (
        lambda X, y, fc, fr: with_weights(fc, coefs_=[np.ones((2, 2))]).predict(X),
        ValueError,
        ["coefs_ has shapes [(2, 2)]", "expected [(6, 4), (4, 2)]"],
    ),
    "weights nan": (
        lambda X, y, fc, fr: with_weights(fr, coefs_=[NAN * coef for coef in fr.coefs_]).predict(X),
        DivergenceError,
        ["coefs_", "not finite", "assign other weights"],
    ),
    "weights complex": (
        lambda X, y, fc, fr: with_weights(fc, coefs_=[coef + 1j for coef in fc.coefs_]).predict(X),
        ValueError,
        ["coefs_", "complex128", "assign arrays of floats"],
    ),
    "weights masked": (
        lambda X, y, fc, fr: with_weights(
            fc, intercepts_=[np.ma.masked_less(b, 99) for b in fc.intercepts_]
        ).predict(X),
        ValueError,
        ["intercepts_", "masked", "assign arrays of floats"],
    ),
    "score weight negative": (
        lambda X, y, fc, fr: fc.score(X, y, sample_weight=-1 - y),
        ValueError,
        ["sample_weight", ("-1", "-2"), "0 or positive"],
    ),
    "score weight short": (
        lambda X, y, fc, fr: fr.score(X, y, sample_weight=[1, 1]),
        ValueError,
        ["sample_weight.shape == (2,)", "expected (40,)"],
    ),
    "score y masked": (
        lambda X, y, fc, fr: fr.score(X, masked(y)),
        ValueError,
        ["y is a masked", *UNMASK],
    ),
    "score y short": (
        lambda X, y, fc, fr: fc.score(X, y[:5]),
        ValueError,
        ["inconsistent numbers of samples"],
    ),
    "score outputs": (
        lambda X, y, fc, fr: fr.score(X, np.c_[y, y]),
        ValueError,
        ["y has 2 outputs", "had 1"],
    ),
    # relax
    "relax beta text": (
        lambda X, y, fc, fr: fc.relax(X, y, beta="a"),
        INVALID,
        ["beta must be a real number", "'a'"],
    ),
    "relax beta True": (
        lambda X, y, fc, fr: fc.relax(X, y, beta=True),
        INVALID,
        ["beta must be a real number", "True"],
    ),
    "relax without y": (
        lambda X, y, fc, fr: fr.relax(X, beta=0.1),
        ValueError,
        ["beta=0.1 needs y"],
    ),
    "relax labels": (
        lambda X, y, fc, fr: fc.relax(X, y + 7, beta=0.1),
        ValueError,
        ["labels [7, 8]", "classes_ ([0, 1])"],
    ),
    "relax clamp": (
        lambda X, y, fc, fr: fc.relax(X, y, beta=INF),
        ValueError,
        ["beta=inf", "loss='log_loss'", "a finite beta"],
    ),
    "relax outputs": (
        lambda X, y, fc, fr: fr.relax(X, np.c_[y, y], beta=0.1),
        ValueError,
        ["y has 2 outputs", "had 1"],
    ),
    "relax masked": (
        lambda X, y, fc, fr: fr.relax(X, masked(y), beta=0.1),
        ValueError,
        ["y is a masked", *UNMASK],
    ),
}


@pytest.mark.parametrize("case", list(CASES))
def test_error(case, data, fitted):
    call, error, parts = CASES[case]
    with pytest.raises(ValueError if error is not TypeError else TypeError) as caught:
        call(*data, *fitted)
    assert caught.type is error
    message, position = str(caught.value), 0
    for part in parts:
        ways = (part,) if isinstance(part, str) else part
        pattern = "|".join(re.escape(way) for way in ways)
        found = re.search(pattern, message[position:], re.IGNORECASE)
        assert found, f"{part!r} is not in {message[position:]!r}"
        position += found.end()


def test_enough_cases():
    assert len(CASES) >= 60


@pytest.mark.parametrize("estimator", [EqPropClassifier, EqPropRegressor])
def test_inputs_times_1e30(data, estimator):
    X, y = data
    model = estimator(**SETTINGS | {"max_iter": 200, "learning_rate_init": 0.01}).fit(X * 1e30, y)
    assert np.isfinite(model.predict(X * 1e30)).all()
    assert model.score(X * 1e30, y) > (0.8 if estimator is EqPropClassifier else 0.4)


@pytest.mark.parametrize("size", [1e300, 1e-300, 1e-310])
def test_targets_of_any_size(data, size):
    X, y = data
    model = EqPropRegressor(**SETTINGS | {"max_iter": 40}).fit(X, (2 * y - 1) * size)
    plain = EqPropRegressor(**SETTINGS | {"max_iter": 40}).fit(X, 2 * y - 1)
    np.testing.assert_allclose(model.predict(X) / size, plain.predict(X), rtol=1e-2)


def test_predictions_beyond_the_largest_float_are_cut_off_and_reported(data):
    X, y = data
    model = EqPropRegressor(**SETTINGS).fit(X, (2 * y - 1) * 1.7e308)
    with pytest.warns(UserWarning, match=r"beyond 1\.8e\+308.*Divide the targets"):
        predicted = model.predict(20 * X)
    assert np.isfinite(predicted).all()


def test_times_in_arrow_tables(data, pyarrow):
    pa = pyarrow
    X, y = data
    table = pa.table({"a": X[:, 0], "b": DAYS.astype("datetime64[ns]")})
    with pytest.raises(ValueError, match=r"X holds dates or times \(timestamp"):
        c().fit(table, y)


@pytest.mark.parametrize("kind", ["Int64", "UInt8", "boolean", "int64[pyarrow]"])
def test_nullable_labels_keep_their_type(data, kind, request):
    if "pyarrow" in kind:
        request.getfixturevalue("pyarrow")
    X, y = data
    labels = pd.Series(y).astype("bool" if kind == "boolean" else "int64").astype(kind)
    model = c().fit(X, labels)
    assert model.classes_.dtype.kind == {"Int64": "i", "UInt8": "u", "boolean": "b"}.get(kind, "i")
    assert model.predict(X).dtype == model.classes_.dtype
    assert model.score(X, labels) == (model.predict(X) == y).mean()
    with pytest.warns(UserWarning, match="column-vector"):
        assert c().fit(X, labels.to_frame()).classes_.dtype == model.classes_.dtype
    stream = c().partial_fit(X, labels, classes=labels.drop_duplicates())
    assert stream.classes_.dtype == model.classes_.dtype


@pytest.mark.parametrize("estimator", [EqPropClassifier, EqPropRegressor])
def test_masked_arrays_without_masked_entries_are_arrays(data, estimator):
    X, y = data
    model = estimator(**SETTINGS).fit(np.ma.masked_array(X), np.ma.masked_array(y))
    np.testing.assert_array_equal(model.predict(X), estimator(**SETTINGS).fit(X, y).predict(X))
