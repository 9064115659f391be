"""Convolutional networks through the estimators: shapes, rules, tools, and what is refused."""

import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from sklearn_eqprop import Conv2D, EqPropClassifier, EqPropRegressor
from sklearn_eqprop._backend import NumpyBackend
from sklearn_eqprop._estimators.fitted.arrays import FittedArrays
from sklearn_eqprop.diagnostics import gradient_alignment, health_report, jacobian_symmetry
from tests.conv_truth import ConvLayer, ConvNet

pytestmark = pytest.mark.filterwarnings("ignore:Training reached max_iter")

MAX = (Conv2D(4, 3, pool=2), 12)
DEEP = (Conv2D(4, 3, padding="same", pool=2), Conv2D(5, 2), 12)
AVERAGE = (Conv2D(4, 3, pool=2, pooling="average"), 12)
SETTINGS = {"input_shape": (8, 8), "max_iter": 3, "n_iter_no_change": None, "random_state": 0}


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:300] / 16, y[:300]


@pytest.fixture(scope="module")
def fitted(digits):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Training reached max_iter")
        return EqPropClassifier(DEEP, **SETTINGS | {"max_iter": 25, "batch_size": 50}).fit(*digits)


def test_shapes_of_what_is_fitted(fitted, digits):
    shapes = [coef.shape for coef in fitted.coefs_]
    assert shapes == [(3, 3, 1, 4), (2, 2, 4, 5), (45, 12), (12, 10)]
    assert [bias.shape for bias in fitted.intercepts_] == [(4,), (5,), (12,), (10,)]
    assert [b.shape for b in fitted.feedback_coefs_] == [(2, 2, 4, 5), (12, 45), (10, 12)]
    X, _ = digits
    states = fitted.relax(X).states
    assert [state.shape for state in states] == [(300, 64), (300, 45), (300, 12), (300, 10)]
    assert fitted.transform(X).shape == (300, 121)
    assert len(fitted.get_feature_names_out()) == 121


def test_it_learns(fitted, digits):
    assert fitted.score(*digits) > 0.9
    assert max(fitted.relaxation_["free_unconverged"]) == 0


def test_one_bias_a_map_is_one_bias_a_map(fitted, digits):
    # Raising a map's bias raises every drive of it: the state, where it is active, by as much.
    X, _ = digits
    model = clone(fitted).set_params(max_iter=1).fit(*digits)
    model.feedback_coefs_ = [0 * coef for coef in model.feedback_coefs_]
    before = model.relax(X).states[0].reshape(-1, 4, 4, 4)
    model.intercepts_ = [model.intercepts_[0] + [0, 0.5, 0, 0], *model.intercepts_[1:]]
    after = model.relax(X).states[0].reshape(-1, 4, 4, 4)
    active = before > 0
    np.testing.assert_allclose((after - before)[..., 1][active[..., 1]], 0.5, atol=1e-9)
    np.testing.assert_array_equal(after[..., [0, 2, 3]], before[..., [0, 2, 3]])


#: Tied weights take many sweeps to settle: their loops are as strong as they.
TIED = {"feedback": "tied", "loop_gain": 0.9, "max_relax_iter": 3000}
RULES = {
    "one_sided": {},
    "centered": {"nudging": "centered"},
    "random_sign": {"nudging": "random_sign"},
    "local": {"feedback_learning": "local"},
    "fixed": {"feedback_learning": "fixed"},
    "independent": {"feedback_init": "independent"},
    "homeostasis": {"feedback_init": "independent", "feedback_learning": "homeostasis"},
    "asymmetric": {"gradient": "asymmetric", "nudging": "centered"},
    "recurrent_backprop": {"gradient": "recurrent_backprop"},
    "continual": {
        "gradient": "continual",
        "optimizer": "sgd",
        "learning_rate_init": 0.1,
        "momentum": 0.0,
        "step_size": 0.5,
    },
    "clamped": {"beta": float("inf"), "loss": "squared_error"},
    "tied": TIED | {"activation": "hard_sigmoid"},
    "tied relu": TIED,
    "tied clamped": TIED
    | {
        "activation": "hard_sigmoid",
        "beta": float("inf"),
        "loss": "squared_error",
    },
    "tanh": {"activation": "tanh"},
    "euler": {"relaxation": "euler", "step_size": 0.5},
    "anderson": {"relaxation": "anderson"},
    "sgd": {"optimizer": "sgd", "learning_rate_init": 0.05},
}


@pytest.mark.parametrize("layers", [MAX, AVERAGE], ids=["max", "average"])
@pytest.mark.parametrize("rule", RULES)
def test_every_rule_learns(digits, rule, layers):
    X, y = digits
    settings = SETTINGS | {"max_iter": 12, "batch_size": 50} | RULES[rule]
    model = EqPropClassifier(layers, **settings).fit(X[:200], y[:200])
    assert model.loss_curve_[-1] < 0.9 * model.loss_curve_[0]
    assert model.score(X[:200], y[:200]) > 0.3


def test_trajectories_of_linear_pooling(digits):
    X, y = digits
    settings = {"objective": "trajectory", "relaxation": "euler", "step_size": 0.5}
    limits = {"max_relax_iter": 10, "max_nudge_iter": 10}
    model = EqPropClassifier(AVERAGE, **SETTINGS | settings | limits).fit(X[:100], y[:100])
    assert model.loss_curve_[-1] < model.loss_curve_[0]


AVERAGES = {"objective": "trajectory", "relaxation": "euler", "step_size": 0.5}


def test_trajectories_of_winners_among_the_inputs_are_those_of_a_dense_system(digits):
    # The inputs do not change, so their winners do not: the dynamics are linear between bounds.
    X, y = digits[0][:60], digits[1][:60]
    limits = {"max_relax_iter": 3, "max_nudge_iter": 4}
    model = EqPropClassifier(MAX, **SETTINGS | AVERAGES | limits).fit(X, y)
    feedback = [np.zeros((1, 1, 1, 1)), *model.feedback_coefs_]
    layers = [ConvLayer((8, 8, 1), (6, 6, 4), (3, 3), pool=2), None, None]
    net = ConvNet("relu", layers, model.coefs_, model.intercepts_, feedback[1:])
    target = np.eye(10)[y]

    def run(s, W, constant, n_steps, target=None, beta=0.0):
        path = []
        for _ in range(n_steps):
            velocity = s @ W + constant - s
            if beta:
                odds = np.exp(s[net.span(3)] - s[net.span(3)].max())
                velocity[net.span(3)] += beta * (target - odds / odds.sum())
            s = np.clip(s + 0.5 * velocity, net.low, net.high)
            path.append(s)
        return path

    for beta in (0.0, 0.3):
        found = np.concatenate(model.relax(X[:5], y[:5], beta=beta).states, axis=1)
        for row in range(5):
            W, constant = net.system(np.zeros(net.ends[-1]), X[row])
            start = run(np.zeros(net.ends[-1]), W, constant, 3)[-1]
            path = run(start, W, constant, 4, target[row], beta)
            np.testing.assert_allclose(found[row], np.mean(path[2:], axis=0), atol=1e-12)


@pytest.mark.parametrize("feedback_learning", ["kolen_pollack", "homeostasis"])
@pytest.mark.parametrize(
    "layers", [MAX, (*MAX[:1], Conv2D(3, 2, pool=2, pooling="average"))], ids=str
)
def test_averages_of_a_network_that_settles_are_its_fixed_points(digits, layers, feedback_learning):
    X, y = digits[0][:80], digits[1][:80]
    settings = SETTINGS | {"step_size": 0.5, "feedback_learning": feedback_learning}
    settings |= {"max_relax_iter": 300, "max_nudge_iter": 300, "relaxation": "euler"}
    at_rest = EqPropClassifier(layers, relax_tol=1e-13, **settings).fit(X, y)
    along = EqPropClassifier(layers, objective="trajectory", **settings).fit(X, y)
    for one, other in zip(along.coefs_, at_rest.coefs_, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-8)
    np.testing.assert_allclose(along.loss_curve_, at_rest.loss_curve_, atol=1e-9)


def test_a_window_of_one_unit_is_no_pooling(digits):
    X, y = digits[0][:60], digits[1][:60]
    settings = {"objective": "trajectory", "relaxation": "euler", "max_relax_iter": 5}
    EqPropClassifier((Conv2D(3, 3, pool=1), 8), **SETTINGS | settings).fit(X, y)
    model = EqPropClassifier((Conv2D(3, 3), 8), **SETTINGS | {"warm_start": True}).fit(X, y)
    model.set_params(hidden_layer_sizes=(Conv2D(3, 3, pooling="average"), 8)).fit(X, y)


TWO_POOLS = (Conv2D(8, 3, padding="same", pool=2), Conv2D(16, 3, padding="same", pool=2), 32)


@pytest.mark.parametrize(
    "settings",
    [
        {"activation": "tanh"},
        {"feedback_init": "independent"},
    ],
    ids=" ".join,
)
def test_winners_that_may_never_come_to_rest_are_pointed_out(digits, settings):
    X, y = digits[0][:60], digits[1][:60]
    with pytest.warns(ConvergenceWarning, match="Conv2D.*pools by the maximum.*average"):
        EqPropClassifier(TWO_POOLS, **SETTINGS | settings).fit(X, y)


def test_circles_of_winners_are_reported_with_their_remedy(digits):
    # Ten of these samples go round in a circle at any limit of steps.
    X, y = load_digits(return_X_y=True)
    model = EqPropClassifier(TWO_POOLS, **SETTINGS | {"max_iter": 5, "activation": "tanh"})
    with pytest.warns(ConvergenceWarning, match="pools by the maximum"):
        model.fit(X[:200] / 16, y[:200])
    with pytest.warns(ConvergenceWarning, match="had not settled.*pooling='average'"):
        model.predict(X[:200] / 16)


@pytest.mark.parametrize(
    ("layers", "settings"),
    [(TWO_POOLS, {}), (MAX, {"activation": "tanh"})],
    ids=["relu", "the input alone decides"],
)
def test_winners_that_come_to_rest_are_not(digits, layers, settings):
    X, y = digits[0][:60], digits[1][:60]
    EqPropClassifier(layers, **SETTINGS | settings).fit(X, y).predict(X)  # warnings are errors


def test_what_does_not_go_with_convolutions_is_refused(digits):
    pooled = (Conv2D(3, 3), Conv2D(4, 2, pool=2))
    model = EqPropClassifier(pooled, **SETTINGS | AVERAGES)
    message = r"objective='trajectory' does not go with Conv2D\(4, 2, pool=2\).*pooling='average'"
    with pytest.raises(ValueError, match=message):
        model.fit(*digits)
    # Winners among the inputs alone: the second layer skips the first.
    wide = Conv2D(4, 3, padding="same", pool=2)
    graph = [(0, 1), (0, 2), (1, 3), (2, 3), (3, 1), (3, 2)]
    model = EqPropClassifier((wide, wide), **SETTINGS | AVERAGES, connections=graph)
    model.fit(digits[0][:30], digits[1][:30])


SHAPES_REFUSED = [
    (
        MAX,
        None,
        r"input_shape=None. Set the 'input_shape' parameter.*must be 64, the number of col",
    ),
    (MAX, (8, 9), r"Got \(8, 9\): an image of that shape has 72 values, but X has 64"),
    (MAX, (64,), r"Got \(64,\): these are not two or three positive integers"),
    (MAX, (8, 8.0), r"these are not two or three positive integers"),
    (MAX, (8, 8, 2), r"has 128 values"),
    ((Conv2D(4, 9),), (8, 8), r"kernel_size=9 is larger than its input.*\(8, 8, 1\)"),
    (
        (Conv2D(4, 3, pool=2), Conv2D(4, 4)),
        (8, 8),
        r"Layer 2 .*kernel_size=4 is larger than its input.*\(3, 3, 4\)",
    ),
    (
        (20, Conv2D(4, 3)),
        (8, 8),
        r"Layer 2, Conv2D\(4, 3\), needs an input.*dense layer of shape \(20,\)",
    ),
    ((Conv2D(0, 3),), (8, 8), r"hidden_layer_sizes=.*filters must be a positive integer. Got 0"),
    (("Conv2D(4, 3)", 10), (8, 8), r"'hidden_layer_sizes'.*is not a positive integer"),
]


@pytest.mark.parametrize(("layers", "shape", "message"), SHAPES_REFUSED)
def test_shapes_that_do_not_fit_are_refused(digits, layers, shape, message):
    model = EqPropClassifier(layers, **SETTINGS | {"input_shape": shape})
    with pytest.raises(ValueError, match=message):
        model.fit(*digits)
    with pytest.raises(NotFittedError):
        model.predict(digits[0])


def test_a_single_spec_is_one_hidden_layer(digits):
    model = EqPropClassifier(Conv2D(3, 3, pool=2), **SETTINGS).fit(*digits)
    assert model.n_layers_ == 3


def test_a_shape_does_no_harm_to_dense_layers(digits):
    one = EqPropClassifier((20,), **SETTINGS).fit(*digits)
    other = EqPropClassifier((20,), **SETTINGS | {"input_shape": None}).fit(*digits)
    np.testing.assert_array_equal(one.coefs_[0], other.coefs_[0])


def test_channels_stand_side_by_side(digits):
    # Three equal channels and a kernel shared out among them: the same drives.
    X, y = digits
    colour = np.repeat(X, 3, axis=1)
    model = EqPropClassifier(MAX, **SETTINGS).fit(X, y)
    other = EqPropClassifier(MAX, **SETTINGS | {"input_shape": (8, 8, 3)}).fit(colour, y)
    assert other.coefs_[0].shape == (3, 3, 3, 4)
    share = np.repeat(model.coefs_[0] / 3, 3, axis=2)
    other.coefs_ = [share, *model.coefs_[1:]]
    other.intercepts_, other.feedback_coefs_ = model.intercepts_, model.feedback_coefs_
    np.testing.assert_allclose(other.transform(colour), model.transform(X), atol=1e-9)


def test_a_convolution_of_one_pixel_is_a_dense_layer():
    rng = np.random.RandomState(0)
    X, y = rng.standard_normal((60, 5)), rng.randint(3, size=60)
    settings = {"max_iter": 4, "random_state": 0, "n_iter_no_change": None, "optimizer": "sgd"}
    settings |= {"momentum": 0.0, "learning_rate_init": 0.05, "batch_size": 20, "dtype": "float64"}
    conv = EqPropClassifier((Conv2D(7, 1), 6), input_shape=(1, 1, 5), **settings).fit(X, y)
    dense = EqPropClassifier((7, 6), **settings).fit(X, y)
    dense.coefs_ = [conv.coefs_[0][0, 0].copy(), *(coef.copy() for coef in conv.coefs_[1:])]
    dense.intercepts_ = [bias.copy() for bias in conv.intercepts_]
    dense.feedback_coefs_ = [coef.copy() for coef in conv.feedback_coefs_]
    before = dense.coefs_[1].copy()
    for model in (conv, dense):
        model.set_params(warm_start=True, max_iter=3).fit(X, y)
    np.testing.assert_allclose(conv.coefs_[0][0, 0], dense.coefs_[0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(conv.coefs_[1], dense.coefs_[1], rtol=0, atol=1e-12)
    assert abs(dense.coefs_[1] - before).max() > 1e-3
    np.testing.assert_allclose(conv.transform(X), dense.transform(X), rtol=0, atol=1e-12)
    conv_alignment, dense_alignment = (gradient_alignment(m, X, y) for m in (conv, dense))
    assert abs(conv_alignment.overall - dense_alignment.overall) < 1e-9
    assert abs(conv_alignment.slope - dense_alignment.slope) < 1e-9 * abs(dense_alignment.slope)


def test_columns_of_extreme_size_are_scaled_by_channel(digits):
    X, y = digits
    model = EqPropClassifier(MAX, **SETTINGS).fit(X, y)
    huge = EqPropClassifier(MAX, **SETTINGS).fit(X * 2.0**20, y)
    np.testing.assert_allclose(huge.predict_proba(X * 2.0**20), model.predict_proba(X), atol=0.2)
    assert np.isfinite(huge.coefs_[0]).all()
    assert huge.score(X * 2.0**20, y) > 0.5 * model.score(X, y)


def test_specs_survive_cloning_pickling_and_searching(digits, fitted):
    X, y = digits
    twin = clone(fitted)
    assert twin.hidden_layer_sizes == DEEP
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))
    # Of equal length: the oldest scikit-learn and NumPy together choke on any others.
    grid = {"eqpropclassifier__hidden_layer_sizes": [(10, 5), MAX, (Conv2D(3, 3, stride=2), 8)]}
    model = make_pipeline(MinMaxScaler(), EqPropClassifier(**SETTINGS | {"max_iter": 2}))
    search = GridSearchCV(model, grid, cv=2).fit(X[:100], y[:100])
    assert len(search.cv_results_["params"]) == 3
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_going_on_is_as_if_never_stopped(digits):
    X, y = digits
    whole = EqPropClassifier(DEEP, **SETTINGS | {"max_iter": 4}).fit(X, y)
    parts = EqPropClassifier(DEEP, **SETTINGS | {"max_iter": 2, "warm_start": True})
    parts.fit(X, y)
    parts = pickle.loads(pickle.dumps(parts)).fit(X, y)
    for one, other in zip(whole.coefs_, parts.coefs_, strict=True):
        np.testing.assert_array_equal(one, other)
    stepwise = EqPropClassifier(DEEP, **SETTINGS)
    for _ in range(2):
        stepwise.partial_fit(X, y, classes=np.arange(10))
    assert stepwise.coefs_[0].shape == (3, 3, 1, 4)


def test_another_convolution_of_the_same_sizes_is_no_continuation(digits):
    model = EqPropClassifier((Conv2D(3, 3), 5), **SETTINGS | {"warm_start": True}).fit(*digits)
    model.set_params(hidden_layer_sizes=(Conv2D(3, 2, stride=1), 5))
    with pytest.raises(ValueError, match="layers of"):
        model.fit(*digits)
    model.set_params(hidden_layer_sizes=(Conv2D(12, 3, padding="same", pool=2, pooling="max"), 5))
    model.set_params(warm_start=False).fit(*digits)
    model.set_params(
        warm_start=True,
        hidden_layer_sizes=(Conv2D(12, 3, padding="same", pool=2, pooling="average"), 5),
    )
    with pytest.raises(ValueError, match=r"has hidden_layer_sizes=.*Conv2D.* but .*average"):
        model.fit(*digits)


def test_arrays_of_other_shapes_are_refused(fitted, digits):
    model = pickle.loads(pickle.dumps(fitted))
    model.coefs_ = [model.coefs_[0][:2], *model.coefs_[1:]]
    with pytest.raises(ValueError, match=r"coefs_ has shapes \[\(2, 3, 1, 4\)"):
        model.predict(digits[0])


def test_tied_feedback_is_the_forward_kernels(digits):
    settings = SETTINGS | TIED | {"max_iter": 8}
    model = EqPropClassifier(DEEP[:2], activation="hard_sigmoid", **settings).fit(*digits)
    np.testing.assert_array_equal(
        model.feedback_coefs_[0], model.feedback_gains_[0] * model.coefs_[1]
    )
    assert model.feedback_coefs_[1].shape == model.coefs_[2].T.shape


def test_predictions_do_not_depend_on_who_shares_the_batch(fitted, digits):
    X, _ = digits
    together = fitted.predict_proba(X[:40])
    alone = np.concatenate([fitted.predict_proba(X[[row]]) for row in range(40)])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-7)


def test_large_maps_settle_in_small_chunks(fitted, digits, monkeypatch):
    X, _ = digits
    whole = fitted.relax(X)
    monkeypatch.setattr("sklearn_eqprop._estimators.fitted.settle.CHUNK_NUMBERS", 1000)
    cut = fitted.relax(X)
    for one, other in zip(whole.states, cut.states, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(whole.n_steps, cut.n_steps)


def test_single_precision_comes_close_to_double(fitted, digits):
    X, _ = digits
    single = pickle.loads(pickle.dumps(fitted))
    single.coefs_ = [coef.astype(np.float32) for coef in single.coefs_]
    assert single.transform(X).dtype == np.float32
    np.testing.assert_allclose(single.transform(X), fitted.transform(X), atol=1e-3)


def test_regression(digits):
    X, _ = digits
    y = X.reshape(-1, 8, 8)[:, :, 4:].sum(axis=(1, 2))
    model = EqPropRegressor(MAX, **SETTINGS | {"max_iter": 60}).fit(X, y)
    assert model.score(X, y) > 0.7


@pytest.mark.parametrize("layers", [DEEP, AVERAGE], ids=["max", "average"])
def test_diagnostics_look_inside(digits, layers):
    X, y = digits
    X, y = X[:60], y[:60]
    model = EqPropClassifier(layers, **SETTINGS | {"max_iter": 5}).fit(X, y)
    alignment = gradient_alignment(model, X, y)
    assert alignment.n_unsettled == 0
    assert alignment.update > 0.9
    exact = EqPropClassifier(layers, gradient="recurrent_backprop", **SETTINGS).fit(X, y)
    assert gradient_alignment(exact, X, y).update > 0.9999
    assert gradient_alignment(exact.set_params(relax_tol=1e-12), X, y).update > 1 - 1e-9
    assert 0 < jacobian_symmetry(model, X[:20], n_probes=16).symmetry <= 1
    assert "loop" in str(health_report(model, X, y)).lower()


def test_loops_are_bounded(digits):
    # Winners held, the equilibrium is a contraction's: the dense norms of a loop keep the bound.
    X, y = digits
    model = EqPropClassifier(
        (Conv2D(4, 3), Conv2D(5, 3, pool=2)), **SETTINGS | {"feedback_scale": 30.0}
    ).fit(X, y)
    network = FittedArrays.of(model).network(model, NumpyBackend())
    forward, feedback = network.forward[1].envelope, network.feedback[0].envelope
    up = forward.apply(np.eye(forward.n_source))
    down = feedback.apply(np.eye(feedback.n_source))
    product = np.linalg.norm(up, 2) * np.linalg.norm(down, 2)
    assert product <= 1.03 * 0.2 / (4 * np.cos(np.pi / 4) ** 2)
    assert model.relax(X).converged.all()
