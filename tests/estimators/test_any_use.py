"""Whatever is drawn, there is a finite answer of the right shape and type, or we are told.

Hypothesis draws data, types, layouts, parameters and sequences of calls. A call may end in a
ValueError (ours and scikit-learn's) or with a warning; otherwise what it gives must be finite, of
the right shape and of the right type.
"""

import copy
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from sklearn_eqprop import EqPropClassifier, EqPropRegressor

CONNECTIONS = [(0, 1), (1, 2), (2, 1), (0, 2), (1, 1)]

PARAMETERS = {
    "hidden_layer_sizes": st.sampled_from([(), 3, (4,), (3, 2), (2, 2, 2), [5], (0,), (2.5,)]),
    "activation": st.sampled_from(["relu", "hard_sigmoid", "tanh", "logistic", "identity"]),
    "feedback": st.sampled_from(["untied", "untied", "tied"]),
    "gradient": st.sampled_from(
        ["vector_field", "vector_field", "asymmetric", "recurrent_backprop", "continual"]
    ),
    "credit_coordinates": st.sampled_from(["auto", "auto", "state", "rate"]),
    "nudging": st.sampled_from(["one_sided", "random_sign", "centered"]),
    "feedback_init": st.sampled_from(["transpose", "independent"]),
    "feedback_scale": st.sampled_from([1e-3, 0.3, 1.0, 30.0]),
    "feedback_learning": st.sampled_from(["kolen_pollack", "local", "homeostasis", "fixed"]),
    "objective": st.sampled_from(["fixed_point"] * 4 + ["trajectory"]),
    "connections": st.sampled_from([None, None, None, CONNECTIONS]),
    "loop_gain": st.sampled_from(["auto", None, 0.5, 0.99]),
    "layerwise_rescale": st.booleans(),
    "beta": st.sampled_from([0.5, 0.1, -0.2, 1.5, 1e-6, 0.0, float("inf")]),
    "relaxation": st.sampled_from(["gauss_seidel", "gauss_seidel", "euler", "anderson"]),
    "step_size": st.sampled_from([1.0, 0.5, 0.1]),
    "max_relax_iter": st.sampled_from([1, 30]),
    "max_nudge_iter": st.sampled_from([1, 30]),
    "relax_tol": st.sampled_from(["auto", 1e-4, 10.0]),
    "optimizer": st.sampled_from(["adam", "sgd"]),
    "learning_rate_init": st.sampled_from([1e-3, 0.1, 100.0, 1e-300, [0.1, 0.01]]),
    "learning_rate": st.sampled_from(["constant", "invscaling", "adaptive", "cosine"]),
    "alpha": st.sampled_from([1e-4, 0.0, 1e3]),
    "batch_size": st.sampled_from(["auto", 1, 5, 1000]),
    "early_stopping": st.sampled_from([False, False, True]),
    "scoring": st.sampled_from([None, "loss"]),
    "restore_best_weights": st.booleans(),
    "validation_fraction": st.sampled_from([0.1, 0.5]),
    "shuffle": st.booleans(),
    "warm_start": st.booleans(),
    "transform_layers": st.sampled_from([None, None, 1, 2]),
    "dtype": st.sampled_from(["auto", "auto", "float32", "float64"]),
}
LOSSES = {
    EqPropClassifier: ["log_loss", "squared_error"],
    EqPropRegressor: ["squared_error", "absolute_error", "huber", "poisson"],
}


@st.composite
def data(draw):
    """X in some container, and a generator of targets for it."""
    n_samples = draw(st.integers(1, 24))
    n_features = draw(st.integers(1, 4))
    rng = np.random.RandomState(draw(st.integers(0, 99)))
    X = rng.standard_normal((n_samples, n_features))
    X = X * draw(st.sampled_from([1.0, 1.0, 1.0, 1e-30, 1e30, 1e300])) + draw(
        st.sampled_from([0.0, 0.0, 1e3])
    )
    if draw(st.booleans()):
        X[rng.uniform(size=X.shape) < 0.5] = 0.0
    kind = draw(st.sampled_from(["f8", "f8", "f4", "f2", "i4", "bool"]))
    with np.errstate(over="ignore", invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        X = X.astype(kind)
    layout = draw(
        st.sampled_from(["C", "F", "strided", "list", "frame", "csr", "csc", "memmap", "nan"])
    )
    return rng, X, layout


def in_layout(X, layout):
    if layout == "F":
        return np.asfortranarray(X)
    if layout == "strided":
        return np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, ::3]
    if layout == "list":
        return X.tolist()
    if layout == "frame":
        return pd.DataFrame(X, columns=[f"column {i}" for i in range(X.shape[1])])
    if layout in ("csr", "csc"):
        X = X.astype(np.float64) if X.dtype == np.float16 else X
        return (sparse.csr_array if layout == "csr" else sparse.csc_matrix)(X)
    if layout == "nan" and X.dtype.kind == "f":
        X = X.copy()
        X[0, 0] = np.nan
    if layout == "memmap":
        X.setflags(write=False)
    return X


def targets(rng, estimator, n_samples, kind):
    if estimator is EqPropRegressor:
        y = np.abs(rng.standard_normal(n_samples))
        return {
            "plain": y,
            "huge": y * 1e300,
            "tiny": y * 1e-300,
            "columns": np.c_[y, 1e6 * y],
            "constant": np.full(n_samples, 3.0),
        }[kind]
    y = rng.randint(0, 3, size=n_samples)
    return {
        "plain": y,
        "huge": y * 10**12,
        "tiny": np.array(["a", "b", "ü"], dtype=object)[y],
        "columns": (rng.uniform(size=(n_samples, 3)) < 0.5).astype(int),
        "constant": np.full(n_samples, 3),
    }[kind]


CALLS = st.lists(
    st.sampled_from(
        [
            *("fit", "partial_fit", "predict", "transform", "relax", "score"),
            *("clone", "pickle", "copy", "set_params", "weights"),
        ]
    ),
    min_size=1,
    max_size=4,
).map(lambda calls: ["fit", *calls, "predict"])


def check_prediction(model, X, y):
    n_samples = X.shape[0]
    predicted = model.predict(in_layout(X, "C"))
    assert predicted.shape[0] == n_samples
    if isinstance(model, EqPropRegressor):
        assert predicted.dtype.kind == "f"
        assert np.isfinite(predicted).all()
        expected = (n_samples,) if model.n_outputs_ == 1 else (n_samples, model.n_outputs_)
        assert predicted.shape == expected or predicted.shape == (n_samples, model.n_outputs_)
    else:
        probabilities = model.predict_proba(in_layout(X, "C"))
        assert probabilities.shape == (n_samples, model.n_outputs_)
        assert np.isfinite(probabilities).all()
        assert (probabilities >= 0).all()
        if predicted.ndim == 1:
            assert np.isin(predicted, model.classes_).all()
            assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
            assert predicted.dtype == model.classes_.dtype


def check_fitted(model):
    for arrays in (model.coefs_, model.intercepts_, model.feedback_coefs_):
        assert all(np.isfinite(array).all() for array in arrays)
    assert np.isfinite(model.loss_curve_).all()


def use(drawn):
    """Make the calls; anything but a ValueError or an answer is a failure."""
    estimator, (rng, X, layout), kind, weighted, calls, parameters, later, _ = drawn
    y = targets(rng, estimator, X.shape[0], kind)
    weight = rng.randint(0, 3, size=X.shape[0]) if weighted else None
    model = estimator(max_iter=3, random_state=0).set_params(**parameters)
    classes = {}
    if estimator is EqPropClassifier and np.ndim(y) == 1:
        classes = {"classes": np.unique(np.append(y, y[0] + y[0]))}
    given_X, in_C = in_layout(X, layout), in_layout(X, "C")
    for call in calls:
        before = copy.deepcopy(model)
        try:
            if call == "fit":
                model.fit(given_X, y, sample_weight=weight)
            elif call == "partial_fit":
                model.partial_fit(given_X, y, sample_weight=weight, **classes)
            elif call == "clone":
                model = clone(model)
            elif call == "pickle":
                model = pickle.loads(pickle.dumps(model))
            elif call == "copy":
                model = copy.copy(model)
            elif call == "set_params":
                model.set_params(**later)
            elif not hasattr(model, "coefs_"):
                continue
            elif call == "predict":
                check_prediction(model, X, y)
            elif call == "transform":
                hidden = model.transform(in_C)
                assert hidden.shape == (X.shape[0], len(model.get_feature_names_out()))
                assert np.isfinite(hidden).all()
            elif call == "relax":
                result = model.relax(in_C, y, beta=0.1)
                assert all(np.isfinite(state).all() for state in result.states)
            elif call == "score":
                if X.shape[0] > 1:
                    assert np.isfinite(model.score(in_C, y, sample_weight=None))
            elif call == "weights":
                model.coefs_ = [0.9 * coef for coef in model.coefs_]
        except ValueError as error:
            assert str(error)  # noqa: PT017
            diverged = "diverged" in str(error)
            if call in ("fit", "partial_fit") and not (diverged and call == "fit"):
                assert_same_state(model, before)
        except (TypeError, OverflowError) as error:
            # scikit-learn's own answers to containers it does not take.
            assert "sparse" in str(error).lower() or "feature names" in str(error).lower(), error  # noqa: PT017
        if hasattr(model, "coefs_"):
            check_fitted(model)


def assert_same_state(model, before):
    passing = {"_checked_parameters"}  # no part of copies and model files
    assert vars(model).keys() - passing == vars(before).keys() - passing
    if hasattr(model, "coefs_"):
        for name in ("coefs_", "intercepts_", "feedback_coefs_"):
            for left, right in zip(getattr(model, name), getattr(before, name), strict=True):
                np.testing.assert_array_equal(left, right)
        assert model.loss_curve_ == before.loss_curve_
        assert model.t_ == before.t_


def some(parameters, most):
    """A few of the parameters, each with a value of its own."""
    names = st.lists(st.sampled_from(sorted(parameters)), max_size=most, unique=True)
    return names.flatmap(lambda chosen: st.fixed_dictionaries({n: parameters[n] for n in chosen}))


@st.composite
def uses(draw):
    estimator = draw(st.sampled_from([EqPropClassifier, EqPropRegressor]))
    ways = PARAMETERS | {"loss": st.sampled_from(LOSSES[estimator])}
    if estimator is EqPropClassifier:
        ways = ways | {"class_weight": st.sampled_from([None, "balanced"])}
    return (
        estimator,
        draw(data()),
        draw(st.sampled_from(["plain", "plain", "plain", "huge", "tiny", "columns", "constant"])),
        draw(st.booleans()),
        draw(CALLS),
        draw(some(ways, 6)),
        draw(some(ways, 2)),
        draw(st.sampled_from(["warn", "raise"])),  # what the caller told np.seterr
    )


def run(drawn):
    with warnings.catch_warnings(), np.errstate(all=drawn[-1]):
        # Ours, and those of scikit-learn about names, scores and splits, are answers; whatever
        # NumPy says of overflow and division is not.
        warnings.simplefilter("error", RuntimeWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", UserWarning)
        use(drawn)


QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


@settings(max_examples=160, deadline=None, derandomize=True, suppress_health_check=QUIET)
@given(uses())
def test_any_use(drawn):
    run(drawn)


@pytest.mark.slow
@settings(max_examples=2000, deadline=None, suppress_health_check=QUIET)
@given(uses())
def test_any_use_at_length(drawn):
    run(drawn)
