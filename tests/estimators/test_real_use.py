"""Real use: whatever is drawn, an answer is right, or we are told that it may not be.

Hypothesis draws subclasses, warm starts on other data, validation sets, scorers, class and sample
weights, losses of one's own, `np.seterr`, parameters that change after the fit, and interrupts. A
call may end in a ValueError that says why, or with a warning. What must not happen is a wrong
answer without a word. The truth is computed here, from public predictions and scikit-learn's
metrics.
"""

import copy
import pickle
import warnings
from contextlib import nullcontext

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.metrics import accuracy_score, get_scorer, log_loss, make_scorer, r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.utils import compute_class_weight

from sklearn_eqprop import EqPropClassifier, EqPropRegressor

# ---- subclasses --------------------------------------------------------------------------------


class Threshold(EqPropClassifier):
    """A cost-sensitive threshold."""

    def predict(self, X):
        certain = super().predict_proba(X)[:, 0] > 0.8
        return np.where(certain, self.classes_[0], super().predict(X))


class Tempered(EqPropClassifier):
    """Probabilities of another temperature."""

    def predict_proba(self, X):
        flat = np.sqrt(super().predict_proba(X))
        return flat / flat.sum(axis=1, keepdims=True)


class Centring(EqPropRegressor):
    """It centres X by itself, in both directions."""

    def fit(self, X, y, **more):
        self.mean_ = X.mean(axis=0)
        return super().fit(X - self.mean_, y, **more)

    def predict(self, X):
        return super().predict(X - self.mean_)


class Clipped(EqPropRegressor):
    """Predictions within a range."""

    def predict(self, X):
        return np.clip(super().predict(X), -0.1, 0.1)


def patched(model):
    """An instance whose `predict` was replaced."""
    inner = type(model).predict
    model.predict = lambda X: inner(model, X)[::-1].copy()
    return model


SUBCLASSES = {
    "classifier": [EqPropClassifier, Threshold, Tempered],
    "regressor": [EqPropRegressor, Centring, Clipped],
}

# ---- scorers and losses ------------------------------------------------------------------------


def plain(estimator, X, y):
    """Two arguments besides the estimator, as most scorers that people write."""
    return float(np.mean(np.ravel(estimator.predict(X)) == np.ravel(y)))


def weighted(estimator, X, y, sample_weight=None):
    return float(np.average(np.ravel(estimator.predict(X)) == np.ravel(y), weights=sample_weight))


def share_of_first(y_true, y_pred):
    """A metric that takes no weights."""
    return float(np.mean((y_true == y_true[0]) == (y_pred == y_true[0])))


def fails_with(error):
    def scorer(estimator, X, y):
        raise error

    return scorer


def returns(value):
    def scorer(estimator, X, y):
        return value

    return scorer


def by_column(estimator, X, y):
    return estimator.score(X[:, ["a"]], y)


class Witness:
    """A scorer that notes the weights it is given."""

    def __init__(self, seen):
        self.seen = seen

    def __call__(self, estimator, X, y, sample_weight=None):
        self.seen.extend([1.0] if sample_weight is None else np.ravel(sample_weight).tolist())
        return weighted(estimator, X, y, sample_weight)


class Interrupting:
    """A scorer that presses Ctrl-C in its n-th call, as long as it is armed."""

    def __init__(self, n_calls):
        self.n_left = n_calls

    def __call__(self, estimator, X, y, sample_weight=None):
        self.n_left -= 1
        if self.n_left == 0:
            raise KeyboardInterrupt
        return -float(self.n_left < 0) + 0.01 * np.random.RandomState(self.n_left % 7).rand()


class InterruptingLoss:
    """A squared error that presses Ctrl-C in its n-th force."""

    curvature = 1.0
    label_threshold = 0.5

    def __init__(self, n_calls):
        self.n_left = n_calls

    def value(self, output, target):
        return 0.5 * ((output - target) ** 2).sum(axis=1)

    def derivative(self, output, target):
        self.n_left -= 1
        if self.n_left == 0:
            raise KeyboardInterrupt
        return output - target


GOOD_SCORERS = {
    "classifier": [
        *(None, "accuracy", "balanced_accuracy", "neg_log_loss"),
        *(plain, weighted, make_scorer(share_of_first)),
    ],
    "regressor": [None, "r2", "neg_mean_absolute_error", "neg_max_error"],
}
BAD_SCORERS = [
    fails_with(KeyError("b")),
    fails_with(IndexError("list index out of range")),
    fails_with(ZeroDivisionError("division by zero")),
    fails_with(ValueError("labels argument")),
    fails_with(TypeError("an argument")),
    by_column,
    returns(float("nan")),
    returns(None),
    returns("good"),
    returns(np.ones(2)),
]
TAKES_NO_WEIGHTS = (plain, "neg_max_error")

# ---- draws -------------------------------------------------------------------------------------


def data_of(kind, seed, n_samples=36, shift=0.0):
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((n_samples, 3)) + shift
    signal = X[:, 0] - 0.5 * X[:, 1] + 0.1 * rng.standard_normal(n_samples)
    if kind == "regressor":
        return X, signal
    y = np.digitize(signal, [-0.4, 0.6]) if seed % 2 else (signal > 0).astype(int)
    y[:6] = [0, 1, 2, 0, 1, 2] if seed % 2 else [0, 1, 0, 1, 0, 1]
    return X, np.array(["no", "yes", "ü"])[y] if seed % 3 == 0 else y


CHANGES = {
    "activation": ["tanh", "logistic", "hard_sigmoid", "identity"],
    "loss": {"classifier": ["squared_error"], "regressor": ["poisson", "huber"]},
    "feedback": ["tied"],
    "hidden_layer_sizes": [(5,), (4, 3)],
    "connections": [[(0, 1), (1, 2), (2, 1), (0, 2)]],
    "input_shape": [(3, 1)],
    "loop_gain": [0.5, None],
    "feedback_init": ["independent"],
    "feedback_scale": [3.0],
    "dtype": ["float32", "float64"],
    "gradient": ["asymmetric"],
    "alpha": [10.0],
    "scoring": ["loss"],
    "early_stopping": [True, False],
    "learning_rate_init": [1.0],
}
SETTINGS = {
    "activation": st.sampled_from(["relu", "tanh", "logistic", "hard_sigmoid"]),
    "feedback": st.sampled_from(["untied", "untied", "tied"]),
    "nudging": st.sampled_from(["one_sided", "centered", "random_sign"]),
    "hidden_layer_sizes": st.sampled_from([(), (4,), (4, 3)]),
    "dtype": st.sampled_from(["auto", "auto", "float32"]),
    "batch_size": st.sampled_from(["auto", 10]),
    "alpha": st.sampled_from([1e-4, 0.0, 0.1]),
    "n_iter_no_change": st.sampled_from([2, None]),
    "restore_best_weights": st.booleans(),
    "learning_rate_init": st.sampled_from([1e-2, 1e-3]),
    "max_iter": st.sampled_from([1, 3, 6]),
}

#: What may be drawn besides the estimator, its data and its settings; the first is "not at all".
EXTRAS = {
    "subclasses": {"subclass": [0, 1, 2, "patched"]},
    "validation": {"X_val": [None, "alike", "raw"], "y_val": ["alike", "raw"]},
    "scorers": {"scoring": ["good", "bad"], "X_val": [None, "alike"]},
    "weights": {
        "weights": [False, True],
        "class_weight": ["balanced", "dict", None],
        "X_val": ["split", "alike", None],
        "scoring": [None, "good"],
    },
    "warm starts": {
        "second": [None, "rows", "targets", "weights", "penalty", "class_weight", "growing"],
        "between": [None, "partial_fit"],
        "X_val": [None, "alike", "split"],
    },
    "seterr": {"raises": [True, False], "size": [1.0, 200.0, 1e5, 1e-3], "loss": [None, 1]},
    "changes": {"change": [None, *CHANGES]},
    "interrupts": {"interrupt": ["scorer", "loss", None], "in_search": [False, True]},
    "misreadings": {"misread": ["one-hot labels", "weights for classes", None]},
}


@st.composite
def uses(draw, themes):
    """One way to use an estimator, with the extras of up to three of the themes."""
    themes = draw(st.lists(st.sampled_from(themes), min_size=1, max_size=3, unique=True))
    kind = draw(st.sampled_from(["classifier", "regressor"]))
    names = st.lists(st.sampled_from(sorted(SETTINGS)), max_size=4, unique=True)
    use = {
        "kind": kind,
        "seed": draw(st.integers(0, 30)),
        "settings": {name: draw(SETTINGS[name]) for name in draw(names)},
        "n_interrupt": draw(st.integers(1, 12)),
        "pick": draw(st.integers(0, 99)),
    }
    wanted = {}
    for theme in themes:
        for name, values in EXTRAS[theme].items():
            wanted[name] = [*values, *(v for v in wanted.get(name, []) if v not in values)]
    return use | {name: draw(st.sampled_from(values)) for name, values in wanted.items()}


# ---- the truth ---------------------------------------------------------------------------------


class Told(Exception):  # noqa: N818
    """A call has said that it cannot be, which is an answer."""


def call(action, *, refusals=(ValueError,)):
    """Return the result of a call and the warnings that it gave; raise Told if it is refused."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.simplefilter("error", RuntimeWarning)  # of NumPy: never an answer
        try:
            result = action()
        except FloatingPointError as error:
            raise AssertionError(f"NumPy's own error came through: {error!r}") from error
        except refusals as error:
            said = str(error)
            if len(said) < 20 or type(error).__module__.startswith("numpy"):
                raise AssertionError(f"no sentence: {error!r}") from error
            raise Told(said) from error
    return result, [str(warning.message) for warning in caught]


def score_of(model, X, y, weight=None):
    metric = r2_score if isinstance(model, EqPropRegressor) else accuracy_score
    predicted = model.predict(X)
    with np.errstate(over="ignore"):  # R² is -inf if an error is too large to be squared
        return metric(y, predicted, sample_weight=weight)


def check_public_methods(model, X, y):
    """Public methods agree with each other, whichever of them are overridden."""
    weight = np.random.RandomState(0).randint(1, 4, size=len(y))
    for given_weight in (None, weight):
        (found, _), truth = (
            call(lambda w=given_weight: model.score(X, y, sample_weight=w)),
            score_of(model, X, y, given_weight),
        )
        if truth == -np.inf:  # ours cuts off errors that cannot be squared
            assert found < -1e100
            continue
        assert found == pytest.approx(truth, rel=1e-5, abs=1e-6), "score is not that of predict"
    if isinstance(model, EqPropClassifier):
        proba, _ = call(lambda: model.predict_proba(X))
        logs, _ = call(lambda: model.predict_log_proba(X))
        np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-5)
        with np.errstate(divide="ignore", under="ignore"):
            usual = proba > 1e-6
            np.testing.assert_allclose(logs[usual], np.log(proba[usual]), rtol=1e-3, atol=1e-5)
        if "predict" not in vars(model) and not isinstance(model, Threshold):
            certain = np.sort(proba, axis=1)[:, -1] - np.sort(proba, axis=1)[:, -2] > 1e-4
            most = model.classes_[proba.argmax(axis=1)]
            np.testing.assert_array_equal(model.predict(X)[certain], most[certain])


def metric_on(model, scoring, X, y, weight):
    """The score that early stopping should have seen; None if the rule leaves it open."""
    if scoring is None:
        return score_of(model, X, y, weight)
    if scoring == "neg_log_loss":
        proba = model.predict_proba(X)
        return -log_loss(y, proba, labels=model.classes_, sample_weight=weight)
    if weight is not None and not isinstance(scoring, str) and scoring is not weighted:
        return None  # a callable may take weights or not
    scorer = get_scorer(scoring) if isinstance(scoring, str) else scoring
    if weight is None or scoring in TAKES_NO_WEIGHTS:
        return scorer(model, X, y)
    return scorer(model, X, y, sample_weight=weight)


def weights_of(model):
    return [*model.coefs_, *model.intercepts_]


def same(one, other):
    return all(map(np.array_equal, one, other))


# ---- one use -----------------------------------------------------------------------------------


def use_once(use):
    """Fit as the draw says, and check every answer."""
    get = use.get
    kind, seed, pick = use["kind"], use["seed"], use["pick"]
    subclass = get("subclass", 0) or 0
    base = SUBCLASSES[kind][0 if subclass == "patched" else subclass]
    X, y = data_of(kind, seed)
    validation, weight = {}, None
    parameters = {"hidden_layer_sizes": (4,), "max_iter": 3, "random_state": 0} | use["settings"]
    scoring, X_val, y_val = None, get("X_val"), None
    if get("scoring") is not None:
        scorers = GOOD_SCORERS[kind] if use["scoring"] == "good" else BAD_SCORERS
        scoring = scorers[pick % len(scorers)]
        parameters |= {"scoring": scoring, "early_stopping": True}
    if get("second"):  # long enough to fit the first data better than the others at the start
        parameters |= {"max_iter": 25, "learning_rate_init": 0.02}
    if X_val is not None and base is not Centring:
        parameters["early_stopping"] = True
        if X_val != "split":
            X_val, y_val = data_of(kind, seed + 6, n_samples=20)
            y_val = np.exp(y_val) if get("loss") and kind == "regressor" else y_val
            X_val = 100 + 50 * X_val if get("X_val") == "raw" else X_val
            if get("y_val") == "raw" and kind == "regressor":
                y_val = 1000 + 300 * y_val
            validation = {"X_val": X_val, "y_val": y_val}
    if get("weights"):
        weight = np.random.RandomState(seed).randint(1, 4, size=len(X)).astype(float)
        if validation:
            validation["sample_weight_val"] = np.arange(1.0, 1 + len(X_val))
    if get("class_weight") and kind == "classifier":
        chosen = use["class_weight"]
        if chosen == "dict":
            chosen = {label: 1.0 + 3 * (n == 0) for n, label in enumerate(np.unique(y))}
        parameters["class_weight"] = chosen
    if get("loss"):
        parameters["loss"] = "squared_error" if kind == "classifier" else "poisson"
        y = np.exp(y) if kind == "regressor" else y
    model = base(**parameters)
    if get("interrupt"):
        interrupt(model, use, X, y)
        return
    if get("misread") and kind == "classifier":
        misread(model, use["misread"], X, y)
        return
    ruled = np.errstate(all="raise") if get("raises") else nullcontext()
    with ruled:
        first_fit(model, use, (X, y, weight), validation, scoring)
        if subclass == "patched":
            patched(model)
        rows = X * get("size", 1.0)
        check_public_methods(model, rows, y)
        hidden = bool(parameters["hidden_layer_sizes"])
        answers = [
            call(lambda: model.predict(rows))[0],
            call(lambda: model.relax(rows, y, beta=0.1))[0],
        ]
        if hidden:
            answers.append(call(lambda: model.transform(rows))[0])
    if get("raises"):
        np.testing.assert_array_equal(answers[0], model.predict(rows))
        again = clone(model)
        call(lambda: again.fit(X, y, sample_weight=weight, **validation))
        assert same(weights_of(model), weights_of(again)), "np.seterr changes the result"
    if subclass != "patched":
        for twin in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
            np.testing.assert_array_equal(twin.predict(rows), answers[0])
    if get("change"):
        change(model, use, X)
    if get("second"):
        continue_on_other_data(model, use, X, y, validation)


def first_fit(model, use, data, validation, scoring):
    X, y, weight = data
    before = copy.deepcopy(vars(model))
    failing = use.get("scoring") == "bad"
    try:
        _, said = call(lambda: model.fit(X, y, sample_weight=weight, **validation))
    except Told as told:
        wrong = [
            (hasattr(model, "coefs_"), "a fit that failed left something behind"),
            (vars(model).keys() - {"mean_"} != before.keys(), "a fit that failed set attributes"),
            (failing and "scor" not in str(told), "the scorer is not named"),
            # Some metrics take no weights, or need every class in the validation set.
            (
                not failing and weight is None and scoring != "neg_log_loss",
                "refused without a reason",
            ),
        ]
        for is_wrong, what in wrong:
            if is_wrong:
                raise AssertionError(f"{what}: {told}") from told
        raise
    assert not failing, "the scorer fails, and fit said nothing"
    raw = [name for name in ("X_val", "y_val") if use.get(name) == "raw" and validation]
    if raw and (raw != ["y_val"] or use["kind"] == "regressor"):
        assert any("scale" in message or "lie" in message for message in said), (
            f"{raw} skipped the preprocessing, and fit said {said}"
        )
        return
    if model.early_stopping and use.get("class_weight") and scoring is None:
        check_weights_of_scores(model, data, validation)
    if validation and type(model) in (EqPropClassifier, EqPropRegressor):
        weight_val = validation.get("sample_weight_val")
        truth = metric_on(model, scoring, validation["X_val"], validation["y_val"], weight_val)
        if truth is not None:
            assert model.best_validation_score_ == pytest.approx(truth, rel=1e-4, abs=1e-5), (
                "best_validation_score_ is not the metric of the model that was kept"
            )
        assert model.best_validation_score_ == max(model.validation_scores_), "not the best score"


def check_weights_of_scores(model, data, validation):
    """Scores are weighed by sample weights alone, whoever holds out the rows."""
    X, y, weight = data
    if isinstance(model, EqPropClassifier):
        twin = clone(model).set_params(scoring=weighted)
        call(lambda: twin.fit(X, y, sample_weight=weight, **validation))
        np.testing.assert_allclose(
            model.validation_scores_,
            twin.validation_scores_,
            err_msg="the default score and a metric of one's own are weighed in two ways",
        )
        seen = []
        witness = clone(twin).set_params(scoring=Witness(seen))
        call(lambda: witness.fit(X, y, sample_weight=weight, **validation))
        allowed = {1.0} if weight is None else set(np.arange(1.0, 21.0))
        assert set(seen) <= allowed, f"class_weight weighs validation scores: {set(seen)}"


def misread(model, what, X, y):
    """Arguments that are easily taken for something else: an error, or a warning."""
    classes, columns = np.unique(y, return_inverse=True)
    if what == "one-hot labels" and len(classes) > 2:
        one_hot = np.eye(len(classes), dtype=int)[columns]
        _, said = call(lambda: model.fit(X, one_hot))
        assert any("one" in message or "multilabel" in message for message in said), (
            "one-hot labels became multilabel targets without a word"
        )
    elif what == "weights for classes":
        numbers = (X[:, 0] > 0).astype(int)
        _, said = call(lambda: model.partial_fit(X, columns % 2, numbers))
        raise AssertionError(f"weights were taken for classes: {said}")


def change(model, use, X):
    """Set a parameter after the fit: predictions stay, or somebody is told."""
    name = use["change"]
    values = CHANGES[name]
    values = values[use["kind"]] if isinstance(values, dict) else values
    before = model.predict(X)
    value = values[use["pick"] % len(values)]
    _, said = call(lambda: model.set_params(**{name: value}))
    after, more = call(lambda: model.predict(X))
    if not said and not more:
        as_before = np.allclose if use["kind"] == "regressor" else np.array_equal
        assert as_before(after, before), f"set_params({name}={value!r}) changed the fitted model"


def continue_on_other_data(model, use, X, y, validation):
    """A second fit trains on what it is given, or says that it did not."""
    kind, second = use["kind"], use["second"]
    if use.get("between") == "partial_fit":
        if model.early_stopping or getattr(model, "class_weight", None) == "balanced":
            return
        call(lambda: model.partial_fit(X, y))
    model.set_params(warm_start=True)
    X2, y2, weight = X, y, None
    if second in ("rows", "growing"):
        X2, y2 = data_of(kind, use["seed"] + 6, n_samples=30)
        if second == "growing":
            X2, y2 = np.concatenate([X, X2]), np.concatenate([y, y2])
    elif second == "targets":
        y2 = y[::-1].copy()
    elif second == "weights":
        weight = np.where(np.arange(len(X)) % 2, 9.0, 0.1)
    elif second == "penalty":
        model.set_params(alpha=30.0)
    elif second == "class_weight" and kind == "classifier":
        classes = np.unique(y)
        of_class = compute_class_weight("balanced", classes=classes, y=y) * (
            1 + np.arange(len(classes))
        )
        model.set_params(class_weight=dict(zip(classes.tolist(), of_class, strict=True)))
    else:
        return
    before = [array.copy() for array in weights_of(model)]
    n_before = len(model.loss_curve_)
    _, said = call(lambda: model.fit(X2, y2, sample_weight=weight, **validation))
    assert model.n_iter_ >= 1
    assert len(model.loss_curve_) == n_before + model.n_iter_
    told = [message for message in said if "max_iter" not in message]
    # On the same validation set, the earlier weights may be the better ones.
    assert told or validation or not same(before, weights_of(model)), (
        f"a warm start on other {second} was thrown away without a word"
    )
    if model.early_stopping:
        of_this_fit = model.validation_scores_[-model.n_iter_ :]
        # Scores on other rows, weights or targets cannot be compared with these.
        assert model.best_validation_score_ == max(of_this_fit) or validation, (
            f"best_validation_score_ is that of an earlier fit, with other {second}"
        )
    check_public_methods(model, X2, y2)


def interrupt(model, use, X, y):
    """Ctrl-C ends a fit with a usable model and a warning, or comes through; a search stops."""
    after = use["n_interrupt"]
    if use["interrupt"] == "scorer":
        source = Interrupting(after)
        model.set_params(early_stopping=True, scoring=source, n_iter_no_change=None, max_iter=8)
    else:
        source = InterruptingLoss(3 * after)
        model = SUBCLASSES[use["kind"]][0](**model.get_params())  # it has no probabilities
        model.set_params(loss=source, scoring=None, n_iter_no_change=None, max_iter=8, beta=0.3)
    if use["in_search"]:
        search = GridSearchCV(model, {"alpha": [1e-4, 1e-3]}, cv=2, error_score="raise")
        # clone copies the source, so each fit of the search has its own
        try:
            call(lambda: search.fit(X, y))
        except KeyboardInterrupt:
            return
        results = search.cv_results_["mean_test_score"]
        assert np.isfinite(results).all()
        interrupted = _reached(use, model, X, y)
        assert not interrupted, "Ctrl-C was swallowed, and half-trained candidates were ranked"
        return
    try:
        _, said = call(lambda: model.fit(X, y))
    except KeyboardInterrupt:
        assert not hasattr(model, "coefs_")
        return
    if source.n_left <= 0:
        assert any("interrupted" in message for message in said), "Ctrl-C was swallowed"
    assert (
        np.isfinite(model.predict(X)).all() if use["kind"] == "regressor" else model.predict(X).size
    )


def _reached(use, model, X, y):
    """Whether a fit to half of the rows gets as far as the interrupt."""
    twin = clone(model)
    try:
        _, said = call(lambda: twin.fit(X[::2], y[::2]))
    except KeyboardInterrupt:
        return True
    return any("interrupted" in message for message in said)


def run(use):
    with warnings.catch_warnings():  # `call` looks at them
        warnings.simplefilter("ignore")
        try:
            use_once(use)
        except Told:
            return


QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


@pytest.mark.parametrize("theme", EXTRAS)
@settings(max_examples=18, deadline=None, derandomize=True, suppress_health_check=QUIET)
@given(drawn=st.data())
def test_real_use(theme, drawn):
    run(drawn.draw(uses([theme])))


@pytest.mark.slow
@settings(max_examples=2000, deadline=None, suppress_health_check=QUIET)
@given(uses(list(EXTRAS)))
def test_real_use_at_length(use):
    run(use)
