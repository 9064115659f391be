"""The exposed arrays are the network: its shapes, its equations, its predictions."""

import copy
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_eqprop import EqPropClassifier, EqPropRegressor
from sklearn_eqprop._estimators.parameters.config import AUTO_LOOP_GAIN
from sklearn_eqprop._network import allowed_loop_product

pytestmark = pytest.mark.filterwarnings("ignore:Training reached max_iter")

SETTINGS = {"hidden_layer_sizes": (9, 7), "max_iter": 6, "batch_size": 16, "random_state": 0}
KINDS = pytest.mark.parametrize("estimator", [EqPropClassifier, EqPropRegressor])
RANGES = {"relu": (0, np.inf), "hard_sigmoid": (0, 1), "tanh": (-np.inf, np.inf)}


@KINDS
@pytest.mark.parametrize("name", ["coefs_", "intercepts_", "feedback_coefs_"])
def test_none_is_no_list_of_weights(binary, estimator, name):
    X, y = binary
    model = estimator(**SETTINGS).fit(X, y)
    with pytest.raises(ValueError, match=f"{name}"):  # noqa: PT012 -- in either of the two
        setattr(model, name, None)
        model.predict(X)


@KINDS
@pytest.mark.parametrize("name", ["coefs_", "intercepts_", "feedback_coefs_"])
@pytest.mark.parametrize("kind", ["bool", "complex", "masked"])
def test_weights_are_real_numbers(binary, estimator, name, kind):
    X, y = binary
    model = estimator(**SETTINGS).fit(X, y)
    for_kind = np.ma.masked_array if kind == "masked" else np.ndarray.astype
    argument = True if kind == "masked" else kind
    setattr(model, name, [for_kind(array, argument) for array in getattr(model, name)])
    with pytest.raises(ValueError, match=f"{name} holds"):
        model.predict(X)


@KINDS
def test_an_estimator_that_has_coefs_only_has_no_feedback(estimator):
    model = estimator()
    model.coefs_ = [np.eye(2)]
    assert not hasattr(model, "feedback_coefs_")
    assert isinstance(model._repr_html_inner(), str)


@KINDS
def test_none_is_no_feedback_of_an_unfitted_estimator_either(estimator):
    with pytest.raises(ValueError, match="assign arrays, one per feedback connection"):
        estimator().feedback_coefs_ = None


# ---- shapes and types ------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("hidden", [(9, 7), (5,), 5, [4, 3, 2], np.array([6, 2]), ()])
def test_shapes(three_classes, estimator, hidden):
    X, y = three_classes
    model = estimator(**SETTINGS | {"hidden_layer_sizes": hidden}).fit(X, y)
    n_outputs = 3 if estimator is EqPropClassifier else 1
    sizes = [6, *np.ravel(hidden).astype(int), n_outputs]
    assert [c.shape for c in model.coefs_] == list(pairwise(sizes))
    assert [b.shape for b in model.intercepts_] == [(size,) for size in sizes[1:]]
    expected = list(zip(sizes[2:], sizes[1:-1], strict=True))
    assert [b.shape for b in model.feedback_coefs_] == expected
    assert model.n_layers_ == len(sizes)
    assert model.n_outputs_ == n_outputs
    assert model.n_features_in_ == 6
    assert not hasattr(model, "feature_names_in_")


@KINDS
def test_records(binary, estimator):
    X, y = binary
    model = estimator(**SETTINGS).fit(X, y)
    assert model.n_iter_ == 6
    assert model.t_ == 6 * 80
    assert len(model.loss_curve_) == 6
    assert model.loss_ == model.loss_curve_[-1]
    assert model.best_loss_ == min(model.loss_curve_)
    assert model.validation_scores_ is None
    for name in ("steps", "residual", "unconverged"):
        for phase in ("free", "nudged"):
            record = model.relaxation_[f"{phase}_{name}"]
            assert len(record) == 6
            assert np.isfinite(record).all()
    assert max(model.relaxation_["free_unconverged"]) == 0
    assert min(model.relaxation_["free_steps"]) >= 1


@KINDS
@pytest.mark.parametrize("asked", ["auto", "float32", "float64"])
@pytest.mark.parametrize("given", [np.float32, np.float64, np.int64, np.float16])
def test_type_of_the_arrays(binary, estimator, asked, given):
    X, y = binary
    X = np.round(X * 10).astype(given)
    model = estimator(**SETTINGS | {"max_iter": 2}, dtype=asked).fit(
        X / 10 if given != np.int64 else X, y
    )
    follows = "float32" if given == np.float32 else "float64"
    expected = follows if asked == "auto" else asked
    arrays = [*model.coefs_, *model.intercepts_, *model.feedback_coefs_, *model.relax(X).states]
    assert {array.dtype.name for array in arrays} == {expected}
    assert {type(array) for array in arrays} == {np.ndarray}
    assert model.transform(X).dtype == expected


@KINDS
def test_loss_is_the_mean_cost_plus_penalty(binary, estimator):
    X, y = binary
    settings = {
        "batch_size": 80,
        "max_iter": 1,
        "relax_tol": 1e-12,
        "alpha": 0.3,
        "optimizer": "sgd",
        "loop_gain": None,  # the safeguard would move the weights after the loss was taken
    }
    model = estimator(**SETTINGS | settings, learning_rate_init=1e-12, loss="squared_error").fit(
        X, y
    )
    output = model.relax(X).states[-1]
    target = np.eye(2)[y] if estimator is EqPropClassifier else ((y - y.mean()) / y.std())[:, None]
    loss = 0.5 * ((target - output) ** 2).sum(axis=1).mean()
    squares = sum((w**2).sum() for w in [*model.coefs_, *model.feedback_coefs_])
    assert model.loss_ == pytest.approx(loss + 0.5 * 0.3 * squares / 80, rel=1e-8)


# ---- the equations ---------------------------------------------------------------------------


def softmax(s):
    grown = np.exp(s - s.max(axis=1, keepdims=True))
    return grown / grown.sum(axis=1, keepdims=True)


def settle(model, X, activation, beta=0.0, force=None):
    """Fixed point of μ^β by small Euler steps, from the equations alone (theory, sections 1, 2)."""
    rate = np.tanh if activation == "tanh" else lambda s: s
    low, high = RANGES[activation]
    states = [np.zeros((len(X), len(b))) for b in model.intercepts_]
    last = len(states) - 1
    for _ in range(4000):
        rates = [X, *(rate(s) for s in states[:-1]), states[-1]]
        moved = []
        for layer, state in enumerate(states):
            velocity = rates[layer] @ model.coefs_[layer] + model.intercepts_[layer] - state
            if layer < last:
                velocity += rates[layer + 2] @ model.feedback_coefs_[layer]
                moved.append(np.clip(state + 0.3 * velocity, low, high))
            else:
                velocity += beta * force(state) if force else 0
                moved.append(state + 0.3 * velocity)
        change = max(np.abs(a - b).max() for a, b in zip(states, moved, strict=True))
        states = moved
        if change < 1e-14:
            return states
    raise AssertionError(f"the reference did not settle: {change}")


@pytest.mark.parametrize("relaxation", ["gauss_seidel", "euler", "anderson"])
@pytest.mark.parametrize("activation", list(RANGES))
@pytest.mark.parametrize("feedback", ["untied", "tied"])
def test_free_states_solve_the_equations(three_classes, activation, feedback, relaxation):
    X, y = three_classes
    settings = SETTINGS | {"activation": activation, "feedback": feedback, "loop_gain": 0.5}
    model = EqPropClassifier(**settings, relaxation=relaxation, step_size=0.8).fit(X, y)
    result = model.relax(X)
    assert result.converged.all()
    assert result.residual.shape == result.n_steps.shape == (120,)
    for state, expected in zip(result.states, settle(model, X, activation), strict=True):
        assert_allclose(state, expected, atol=1e-8)
    assert np.ptp(result.states[0]) > 0.01


@pytest.mark.parametrize("beta", [0.4, -0.3, 1e-3])
@pytest.mark.parametrize("activation", list(RANGES))
@pytest.mark.parametrize("loss", ["log_loss", "squared_error"])
def test_nudged_states_solve_the_equations(three_classes, activation, loss, beta):
    X, y = three_classes
    model = EqPropClassifier(**SETTINGS, activation=activation, loss=loss).fit(X, y)
    target = np.eye(3)[y]

    def force(output):
        return target - (softmax(output) if loss == "log_loss" else output)

    expected = settle(model, X, activation, beta, force)
    for state, truth in zip(model.relax(X, y, beta=beta).states, expected, strict=True):
        assert_allclose(state, truth, atol=1e-8)
    free = model.relax(X).states[-1]
    assert np.abs(free - expected[-1]).max() > 1e-4


@pytest.mark.parametrize("beta", [0.0, 0.4, -0.3])
@pytest.mark.parametrize("activation", list(RANGES))
def test_regressor_states_solve_the_equations(two_outputs, activation, beta):
    X, y = two_outputs
    model = EqPropRegressor(**SETTINGS, activation=activation).fit(X, y)
    target = (y - y.mean(axis=0)) / y.std(axis=0)
    expected = settle(model, X, activation, beta, lambda output: target - output)
    for state, truth in zip(model.relax(X, y, beta=beta).states, expected, strict=True):
        assert_allclose(state, truth, atol=1e-8)
    if not beta:
        assert_allclose(model.predict(X), expected[-1] * y.std(axis=0) + y.mean(axis=0), atol=1e-6)


def test_multilabel_states_solve_the_equations(multilabel):
    X, Y = multilabel
    model = EqPropClassifier(**SETTINGS, activation="relu").fit(X, Y)
    expected = settle(model, X, "relu", 0.5, lambda s: Y - 1 / (1 + np.exp(-s)))
    for state, truth in zip(model.relax(X, Y, beta=0.5).states, expected, strict=True):
        assert_allclose(state, truth, atol=1e-8)


@KINDS
def test_transform_is_the_hidden_states(binary, estimator):
    X, y = binary
    model = estimator(**SETTINGS).fit(X, y)
    assert_array_equal(model.transform(X), np.hstack(model.relax(X).states[:-1]))
    names = model.get_feature_names_out()
    assert names.tolist() == [f"{estimator.__name__.lower()}{i}" for i in range(16)]


def test_fit_transform_is_fit_and_transform(binary):
    one = EqPropClassifier(**SETTINGS).fit_transform(*binary)
    assert_array_equal(one, EqPropClassifier(**SETTINGS).fit(*binary).transform(binary[0]))


@KINDS
def test_a_prediction_depends_on_its_row_alone(binary, estimator):
    rng = np.random.RandomState(0)
    model = estimator(**SETTINGS).fit(*binary)
    X = rng.standard_normal((2500, 6)) * rng.uniform(0.1, 5, size=(2500, 1))
    whole = model.relax(X).states[-1]
    order = rng.permutation(2500)
    assert_allclose(model.relax(X[order]).states[-1], whole[order], rtol=0, atol=1e-9)
    for rows in (slice(0, 1), slice(1020, 1030), slice(2047, 2049), slice(0, 1024)):
        assert_allclose(model.relax(X[rows]).states[-1], whole[rows], rtol=0, atol=1e-9)
    alone = np.vstack([model.relax(row[None]).states[-1] for row in X[::50]])
    assert_allclose(alone, whole[::50], rtol=0, atol=1e-9)


# ---- assigning arrays ------------------------------------------------------------------------


def changed(model, name, how):
    """The model with one array of `name` halved, by assigning the list or the entry."""
    other = copy.deepcopy(model)
    arrays = getattr(other, name)
    if how == "list":
        setattr(other, name, [arrays[0] * 0.5 + 0.1, *arrays[1:]])
    else:
        arrays[0] = arrays[0] * 0.5 + 0.1
    return other


@KINDS
@pytest.mark.parametrize("how", ["list", "entry"])
@pytest.mark.parametrize("name", ["coefs_", "intercepts_", "feedback_coefs_"])
def test_assigned_arrays_are_used(binary, estimator, name, how):
    X, y = binary
    # Without the safeguard, which would shrink the new feedback at once if it were too strong.
    model = estimator(**SETTINGS, activation="relu", loop_gain=None).fit(X, y)
    other = changed(model, name, how)
    assert np.abs(other.relax(X).states[-1] - model.relax(X).states[-1]).max() > 1e-6
    for state, truth in zip(other.relax(X).states, settle(other, X, "relu"), strict=True):
        assert_allclose(state, truth, atol=1e-8)
    assigned = getattr(other, name)[0].copy()
    other.partial_fit(X, y)
    moved = np.abs(getattr(other, name)[0] - assigned).max()
    assert 0 < moved < 0.05


def test_assigned_lists_become_arrays(binary):
    X, y = binary
    model = EqPropClassifier(**SETTINGS).fit(X, y)
    expected = model.predict_proba(X)
    model.coefs_ = [coef.tolist() for coef in model.coefs_]
    assert_array_equal(model.predict_proba(X), expected)
    model.partial_fit(X, y)
    assert all(isinstance(coef, np.ndarray) for coef in model.coefs_)


def test_tied_feedback_follows_the_forward_weights(binary):
    X, y = binary
    model = EqPropClassifier(**SETTINGS, feedback="tied", activation="relu").fit(X, y)
    gains = model.feedback_gains_
    assert_array_equal(model.feedback_coefs_[0], gains[0] * model.coefs_[1].T)
    assert_array_equal(model.feedback_coefs_[1], gains[1] * model.coefs_[2].T)
    model.coefs_[2] = 0.5 * model.coefs_[2]
    assert_array_equal(model.feedback_coefs_[1], gains[1] * model.coefs_[2].T)
    for state, truth in zip(model.relax(X).states, settle(model, X, "relu"), strict=True):
        assert_allclose(state, truth, atol=1e-8)
    with pytest.raises(AttributeError, match=r"feedback_coefs_ is tied to coefs_.*assign coefs_"):
        model.feedback_coefs_ = [coef.T for coef in model.coefs_[1:]]
    # An entry must not seem to be assigned without being used.
    with pytest.raises(TypeError):
        model.feedback_coefs_[0] = np.zeros_like(model.feedback_coefs_[0])


@KINDS
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("coefs_", lambda arrays: arrays[:-1]),
        ("coefs_", lambda arrays: []),
        ("coefs_", lambda arrays: [arrays[0][:, :-1], *arrays[1:]]),
        ("coefs_", lambda arrays: [arrays[0][:-1], *arrays[1:]]),
        ("coefs_", lambda arrays: [*arrays[:-1], np.hstack([arrays[-1], arrays[-1]])]),
        ("coefs_", lambda arrays: [arrays[0].ravel(), *arrays[1:]]),
        ("coefs_", lambda arrays: [1.0, *arrays[1:]]),
        ("intercepts_", lambda arrays: arrays[:-1]),
        ("intercepts_", lambda arrays: [arrays[0][:-1], *arrays[1:]]),
        ("intercepts_", lambda arrays: [arrays[0][None], *arrays[1:]]),
        ("feedback_coefs_", lambda arrays: arrays[:-1]),
        ("feedback_coefs_", lambda arrays: [arrays[0].T, *arrays[1:]]),
    ],
)
def test_arrays_of_other_shapes_are_refused(three_classes, estimator, name, change):
    X, y = three_classes
    model = estimator(**SETTINGS).fit(X, y)
    setattr(model, name, change(getattr(model, name)))
    for act in (model.predict, model.transform, lambda X: model.partial_fit(X, y)):
        with pytest.raises(ValueError, match=r"(coefs_|intercepts_|feedback_coefs_) has shapes"):
            act(X)


@KINDS
def test_weights_that_are_not_finite_are_reported(binary, estimator):
    X, y = binary
    model = estimator(**SETTINGS).fit(X, y)
    model.coefs_[0] = np.full_like(model.coefs_[0], np.nan)
    with pytest.raises(ValueError, match="finite"):
        model.predict(X)


@KINDS
def test_deep_copies_are_independent(binary, estimator):
    X, y = binary
    model = estimator(**SETTINGS).fit(X, y)
    before = model.predict(X)
    twin = copy.deepcopy(model)
    twin.partial_fit(X, y)
    twin.coefs_[0][...] = 0
    assert_array_equal(model.predict(X), before)
    fresh = estimator(**SETTINGS).fit(X, y).partial_fit(X, y)
    assert_array_equal(model.partial_fit(X, y).coefs_[0], fresh.coefs_[0])


@KINDS
def test_partial_fit_makes_new_arrays(binary, estimator):
    X, y = binary
    model = estimator(**SETTINGS).fit(X, y)
    held, copies = list(model.coefs_), [coef.copy() for coef in model.coefs_]
    curve = model.loss_curve_
    model.partial_fit(X, y)
    for array, earlier in zip(held, copies, strict=True):
        assert_array_equal(array, earlier)
    assert len(curve) == 6


def test_relax_takes_targets_as_they_are_where_weights_are_integers(binary):
    X, _ = binary
    model = EqPropRegressor((6,), max_iter=2, random_state=0).fit(X, X[:, 0])
    model.coefs_ = [np.rint(3 * coef).astype(int) for coef in model.coefs_]
    whole = model.relax(X, X[:, 0], beta=0.5).states[-1]
    model.coefs_ = [coef.astype(float) for coef in model.coefs_]
    assert_allclose(whole, model.relax(X, X[:, 0], beta=0.5).states[-1], atol=1e-12)


def test_the_safeguard_measures_weights_anew_that_have_been_replaced(three_classes):
    model = EqPropClassifier((60, 40), max_iter=15, random_state=0).fit(*three_classes)
    # Of the same size, but with loops of another strength.
    model.coefs_ = [model.coefs_[0], np.abs(model.coefs_[1]), model.coefs_[2]]
    model.partial_fit(*three_classes)
    loops = [
        np.linalg.norm(forward, 2) * np.linalg.norm(feedback, 2)
        for forward, feedback in zip(model.coefs_[1:], model.feedback_coefs_, strict=True)
    ]
    assert max(loops) <= 1.05 * allowed_loop_product(3, AUTO_LOOP_GAIN)
