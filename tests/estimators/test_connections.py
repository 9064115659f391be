"""The `connections` parameter: graphs that learn, arrays that are the network."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from sklearn_eqprop import EqPropClassifier, EqPropRegressor
from tests.dense_graph import CHAIN, GRAPHS, GraphNet

pytestmark = pytest.mark.filterwarnings("ignore:Training reached max_iter")

SETTINGS = {"hidden_layer_sizes": (9, 7), "max_iter": 4, "batch_size": 16, "random_state": 0}
KINDS = pytest.mark.parametrize("estimator", [EqPropClassifier, EqPropRegressor])
ARRAYS = ("coefs_", "intercepts_", "feedback_coefs_")
WAYS = pytest.mark.parametrize(
    "way",
    [
        {},
        {"feedback": "tied"},
        {"feedback_init": "independent", "feedback_learning": "local"},
        {"gradient": "asymmetric", "feedback_learning": "fixed", "relaxation": "euler"},
        {"gradient": "recurrent_backprop", "optimizer": "sgd", "loop_gain": None},
        # Feedback this strong keeps the safeguard busy.
        {"feedback_scale": 3.0, "loop_gain": 0.1, "relaxation": "anderson"},
    ],
    ids=["default", "tied", "local", "asymmetric", "recurrent_backprop", "safeguard"],
)


def assert_identical(one, other):
    assert one.connections_ == other.connections_
    for name in ARRAYS:
        for left, right in zip(getattr(one, name), getattr(other, name), strict=True):
            assert_array_equal(left, right)
    assert_array_equal(one.loss_curve_, other.loss_curve_)


def dense_of(model):
    """The fitted arrays as a dense system of the tests' own."""
    tied = model.feedback == "tied"
    return GraphNet(
        model.activation,
        model.connections_,
        [coef.astype(float) for coef in model.coefs_],
        list(model.intercepts_),
        None if tied else [coef.astype(float) for coef in model.feedback_coefs_],
        list(model.feedback_gains_),
    )


# ---- the default -----------------------------------------------------------------------------


@KINDS
@WAYS
def test_layers_in_a_row_are_the_default_bit_for_bit(binary, estimator, way):
    X, y = binary
    default = estimator(**SETTINGS | way).fit(X, y)
    for graph in (CHAIN, CHAIN[::-1], [list(pair) for pair in CHAIN], np.array(CHAIN).tolist()):
        model = estimator(**SETTINGS | way, connections=graph).fit(X, y)
        assert_identical(model, default)
        for one, other in zip(model.relax(X).states, default.relax(X).states, strict=True):
            assert_array_equal(one, other)
    assert default.connections_ == ((0, 1), (1, 2), (2, 3), (2, 1), (3, 2))


def test_no_hidden_layer(binary):
    X, y = binary
    default = EqPropClassifier(**SETTINGS | {"hidden_layer_sizes": ()}).fit(X, y)
    assert default.connections_ == ((0, 1),)
    assert_identical(clone(default).set_params(connections=[(0, 1)]).fit(X, y), default)
    lateral = clone(default).set_params(connections=[(0, 1), (1, 1)]).fit(X, y)
    assert lateral.score(X, y) > 0.9
    assert lateral.feedback_coefs_[0].shape == (2, 2)


# Feedback that no forward connection leads along is not aligned with the gradient: with the
# paper's rule, the ring does not always learn.
UNALIGNED = pytest.mark.filterwarnings("ignore:Training did not learn")


# ---- the fitted network ----------------------------------------------------------------------


@UNALIGNED
@KINDS
@pytest.mark.parametrize("graph", GRAPHS)
def test_shapes_and_order(three_classes, estimator, graph):
    X, y = three_classes
    model = estimator(**SETTINGS, connections=GRAPHS[graph]).fit(X, y)
    sizes = (6, 9, 7, 3 if estimator is EqPropClassifier else 1)
    in_order = sorted(GRAPHS[graph], key=lambda pair: pair[::-1])
    forward = [pair for pair in in_order if pair[0] < pair[1]]
    feedback = [pair for pair in in_order if pair[0] >= pair[1]]
    assert model.connections_ == (*forward, *feedback)
    assert [c.shape for c in model.coefs_] == [(sizes[s], sizes[t]) for s, t in forward]
    assert [c.shape for c in model.feedback_coefs_] == [(sizes[s], sizes[t]) for s, t in feedback]
    assert [b.shape for b in model.intercepts_] == [(size,) for size in sizes[1:]]
    assert model.n_layers_ == 4
    assert model.transform(X).shape == (120, 16)
    assert len(model.get_feature_names_out()) == 16


@UNALIGNED
@pytest.mark.parametrize("activation", ["relu", "hard_sigmoid", "tanh"])
@pytest.mark.parametrize("relaxation", ["gauss_seidel", "euler", "anderson"])
@pytest.mark.parametrize("graph", GRAPHS)
def test_states_solve_the_equations(three_classes, graph, relaxation, activation):
    X, y = three_classes
    model = EqPropClassifier(
        **SETTINGS, connections=GRAPHS[graph], relaxation=relaxation, activation=activation
    ).fit(X, y)
    net = dense_of(model)
    free = np.concatenate(model.relax(X).states, axis=1)
    assert net.residual(free, X).max() < 2e-10
    nudged = np.concatenate(model.relax(X, y, beta=0.3).states, axis=1)
    Y = np.eye(3)[y]
    assert net.residual(nudged, X, "log_loss", Y, 0.3).max() < 2e-10
    assert np.abs(nudged - free).max() > 1e-3


def test_tied_feedback_follows_its_partners(three_classes):
    X, y = three_classes
    graph = [*CHAIN, (1, 3), (3, 1), (0, 2)]
    model = EqPropClassifier(**SETTINGS, connections=graph, feedback="tied").fit(X, y)
    of_pair = dict(zip(model.connections_, model.coefs_, strict=False))
    feedback = zip(
        model.connections_[5:], model.feedback_gains_, model.feedback_coefs_, strict=True
    )
    for pair, gain, block in feedback:
        assert_array_equal(block, gain * of_pair[pair[::-1]].T)
    states = np.concatenate(model.relax(X).states, axis=1)
    assert dense_of(model).residual(states, X).max() < 2e-10


def test_assigned_arrays_are_used_and_checked(binary):
    X, y = binary
    model = EqPropClassifier(**SETTINGS, connections=GRAPHS["all"]).fit(X, y)
    before = model.predict_proba(X)
    model.feedback_coefs_ = [1.5 * block for block in model.feedback_coefs_]
    assert np.abs(model.predict_proba(X) - before).max() > 1e-4
    states = np.concatenate(model.relax(X).states, axis=1)
    assert dense_of(model).residual(states, X).max() < 2e-10
    for name in ARRAYS:
        kept = getattr(model, name)
        setattr(model, name, kept[:-1])
        with pytest.raises(ValueError, match=f"{name} has shapes"):
            model.predict(X)
        setattr(model, name, kept)
    model.coefs_[0] = model.coefs_[0].T
    with pytest.raises(ValueError, match="coefs_ has shapes"):
        model.predict(X)


# ---- training --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    X = (X - X.mean(axis=0)) / np.maximum(X.std(axis=0), 1.0)
    return train_test_split(X, y, test_size=0.3, random_state=0, stratify=y)


LEARNING = {
    "input skip": [*CHAIN, (0, 2), (0, 3)],
    "hidden skip": [*CHAIN, (1, 3), (3, 1)],
    "lateral": [*CHAIN, (1, 1), (2, 2)],
    "all": GRAPHS["all"],
}


@pytest.mark.parametrize(
    "way", [{}, {"feedback_learning": "local"}, {"gradient": "recurrent_backprop"}], ids=str
)
@pytest.mark.parametrize("graph", LEARNING)
def test_graphs_learn_digits(digits, graph, way):
    X_train, X_test, y_train, y_test = digits
    model = EqPropClassifier(
        (40, 30), max_iter=15, learning_rate_init=0.003, random_state=0, **way
    ).set_params(connections=LEARNING[graph])
    model.fit(X_train, y_train)
    assert model.score(X_test, y_test) > 0.93
    assert max(model.relaxation_["free_unconverged"]) == 0
    assert max(model.relaxation_["nudged_unconverged"]) == 0


@pytest.mark.parametrize("gradient", ["asymmetric", "recurrent_backprop"])
@pytest.mark.parametrize(
    "graph", [GRAPHS["ring"], GRAPHS["direct feedback"], [(0, 1), (1, 2), (2, 3), (1, 3)]], ids=str
)
def test_exact_gradients_learn_digits_whatever_the_feedback(digits, graph, gradient):
    X_train, X_test, y_train, y_test = digits
    model = EqPropClassifier(
        (40, 30), max_iter=15, learning_rate_init=0.003, random_state=0, gradient=gradient
    ).set_params(connections=graph)
    assert model.fit(X_train, y_train).score(X_test, y_test) > 0.93


def test_skip_and_lateral_nets_fit_a_regression(regression):
    X, y = regression
    for graph in ([*CHAIN, (0, 3)], [*CHAIN, (1, 1)]):
        model = EqPropRegressor((20, 10), max_iter=150, random_state=0, connections=graph)
        assert model.fit(X, y).score(X, y) > 0.95


@UNALIGNED
@pytest.mark.parametrize("graph", GRAPHS)
def test_the_safeguard_holds_through_training(three_classes, graph):
    X, y = three_classes
    model = EqPropClassifier(
        **SETTINGS | {"max_iter": 15},
        connections=GRAPHS[graph],
        feedback_scale=3.0,
        learning_rate_init=0.02,
        loop_gain=0.2,
    ).fit(X, y)
    radius = np.abs(np.linalg.eigvals(dense_of(model).norms())).max()
    assert np.sqrt(0.2) * 0.95 < radius < np.sqrt(0.2) * 1.05


def test_feedback_too_weak_for_any_layer_is_reported(binary):
    # Feedback into layer 1 is as strong as ever, into layer 2 next to nothing.
    X, y = binary
    graph = [(0, 1), (1, 2), (2, 3), (3, 1), (3, 2)]
    # Averages hold nudges as differences of states, which rounding limits.
    settings = SETTINGS | {"max_iter": 1, "dtype": "float32", "objective": "trajectory"}
    settings |= {"relaxation": "euler", "step_size": 0.5, "max_nudge_iter": 20}
    model = EqPropClassifier(**settings, connections=graph)
    model.fit(X, y)
    assert model.connections_[3:] == ((3, 1), (3, 2))
    model.feedback_coefs_[1] *= 1e-12
    with pytest.warns(ConvergenceWarning, match=r"farthest from the output.* rounding of float32"):
        model.partial_fit(X, y)
    assert np.linalg.norm(model.feedback_coefs_[0]) > 1e-2


@KINDS
@pytest.mark.parametrize("graph", ["skip", "lateral inhibition", "all"])
def test_training_goes_on_exactly_where_it_ended(binary, estimator, graph):
    X, y = binary
    model = estimator(**SETTINGS, connections=GRAPHS[graph], tol=0.0, feedback_scale=3.0)
    whole = clone(model).fit(X, y)
    warm = clone(model).set_params(max_iter=2, warm_start=True).fit(X, y)
    warm = pickle.loads(pickle.dumps(warm)).fit(X, y)
    assert_identical(warm, whole)
    named = {"classes": [0, 1]} if estimator is EqPropClassifier else {}
    parts = clone(model)
    for _ in range(4):
        parts = pickle.loads(pickle.dumps(parts.partial_fit(X, y, **named)))
    assert_identical(parts, whole)
    assert_array_equal(parts.predict(X), whole.predict(X))


def test_changed_connections_are_refused_while_going_on(binary):
    X, y = binary
    model = EqPropClassifier(**SETTINGS, warm_start=True).fit(X, y)
    model.set_params(connections=[*CHAIN, (0, 3)])
    for go_on in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match=r"has the connections .* now ask for .*\(0, 3\)"):
            go_on(X, y)
    assert model.set_params(connections=list(CHAIN)).fit(X, y).n_iter_ == 4
