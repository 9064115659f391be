"""Residual connections through the estimators: fitted attributes, training, refusals."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits

from sklearn_eqprop import Conv2D, EqPropClassifier, EqPropRegressor
from sklearn_eqprop._sklearn_compat import InvalidParameterError
from sklearn_eqprop.diagnostics import (
    energy,
    error_processes,
    gradient_alignment,
    health_report,
    jacobian_symmetry,
)
from tests.conv_truth import ConvLayer
from tests.dense_graph import GraphNet

pytestmark = pytest.mark.filterwarnings("ignore:Training reached max_iter")

ROW = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 3), (3, 2), (2, 1)]
RESIDUAL = [*ROW, (1, 3, "identity"), (3, 1, "identity")]
SETTINGS = {
    "hidden_layer_sizes": (9, 9, 9),
    "connections": RESIDUAL,
    "max_iter": 4,
    "batch_size": 16,
    "random_state": 0,
}
KINDS = pytest.mark.parametrize("estimator", [EqPropClassifier, EqPropRegressor])
WAYS = {
    "default": {},
    "tied": {"feedback": "tied"},
    "local": {"feedback_init": "independent", "feedback_learning": "local"},
    "homeostasis": {"feedback_learning": "homeostasis"},
    "asymmetric": {"gradient": "asymmetric", "feedback_learning": "fixed", "relaxation": "euler"},
    "recurrent_backprop": {"gradient": "recurrent_backprop", "optimizer": "sgd"},
    "continual": {"gradient": "continual"},
    "trajectory": {"objective": "trajectory", "relaxation": "euler"},
    "complex nudging": {"nudging": 4, "activation": "tanh"},
    "clamped": {"beta": np.inf, "loss": "squared_error", "nudging": "one_sided"},
    "safeguard": {"feedback_scale": 3.0, "loop_gain": 0.1, "activation": "tanh"},
    "no safeguard": {"loop_gain": None, "activation": "hard_sigmoid"},
}
WAYS = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def dense_of(model):
    """The fitted arrays as a dense system, in which an identity is a matrix."""
    eye = np.eye(9)
    return GraphNet(
        model.activation,
        model.connections_,
        [coef if coef.size else eye for coef in model.coefs_],
        list(model.intercepts_),
        [block if block.ndim else block * eye for block in model.feedback_coefs_],
    )


@WAYS
@KINDS
def test_states_solve_the_equations_after_any_training(binary, estimator, way):
    X, y = binary
    model = estimator(**SETTINGS | way).fit(X, y)
    assert (1, 3) in model.connections_
    assert model.coefs_[model.connections_.index((1, 3))].shape == (0,)
    strength = model.feedback_coefs_[model.connections_.index((3, 1)) - len(model.coefs_)]
    assert strength.shape == ()
    gains = dict(zip(model.connections_[len(model.coefs_) :], model.feedback_gains_, strict=True))
    assert gains[3, 1] == pytest.approx(float(strength))
    if "feedback_learning" not in way and way.get("gradient") != "continual":
        # It is still as strong as the two connections beside it.
        assert gains[3, 1] == pytest.approx(gains[3, 2] * gains[2, 1], rel=1e-3)
    if way.get("objective") != "trajectory":
        states = np.concatenate(model.relax(X).states, axis=1)
        assert dense_of(model).residual(states, X).max() < 2e-10
    assert len(set(model.loss_curve_)) > 1


@KINDS
@pytest.mark.parametrize("feedback", ["tied", "untied"])
def test_training_goes_on_exactly_where_it_ended(binary, estimator, feedback):
    X, y = binary
    settings = SETTINGS | {"feedback": feedback, "alpha": 1e-4, "n_iter_no_change": None}
    whole = estimator(**settings | {"max_iter": 6}).fit(X, y)
    part = estimator(**settings | {"max_iter": 3, "warm_start": True}).fit(X, y)
    part = pickle.loads(pickle.dumps(part)).fit(X, y)
    assert_array_equal(whole.loss_curve_, part.loss_curve_)
    for name in ("coefs_", "intercepts_", "feedback_coefs_"):
        for one, other in zip(getattr(whole, name), getattr(part, name), strict=True):
            assert_array_equal(one, other)


def test_an_identity_is_not_a_connection_with_weights_when_training_goes_on(binary):
    model = EqPropClassifier(**SETTINGS, warm_start=True).fit(*binary)
    model.set_params(connections=[*ROW, (1, 3), (3, 1)])
    with pytest.raises(ValueError, match="The network fitted so far has connections="):
        model.fit(*binary)
    clone(model).fit(*binary)


def test_assigned_feedback_is_used(binary):
    X, y = binary
    model = EqPropClassifier(**SETTINGS).fit(X, y)
    before = model.predict_proba(X)
    model.feedback_coefs_ = [2 * block for block in model.feedback_coefs_]
    assert np.abs(model.predict_proba(X) - before).max() > 1e-6
    states = np.concatenate(model.relax(X).states, axis=1)
    assert dense_of(model).residual(states, X).max() < 2e-10


def test_layers_that_have_become_different_are_refused(binary):
    X, y = binary
    model = EqPropClassifier(**SETTINGS).fit(X, y)
    coefs, back = dict(zip(model.connections_, model.coefs_, strict=False)), model.feedback_coefs_
    assert list(coefs) == [(0, 1), (1, 2), (1, 3), (2, 3), (3, 4)]
    model.coefs_ = [coefs[0, 1], coefs[1, 2], coefs[1, 3], coefs[2, 3][:, :8], coefs[3, 4][:8]]
    model.intercepts_[2] = model.intercepts_[2][:8]
    model.feedback_coefs_ = [back[0], back[1], back[2][:8], back[3][:, :8]]
    with pytest.raises(ValueError, match=r"identity from layer 1 to layer 3 .*\(9,\) and \(8,\)"):
        model.predict(X)


@pytest.mark.parametrize("feedback", ["tied", "untied"])
def test_diagnostics_look_inside(binary, feedback):
    X, y = binary
    model = EqPropClassifier(**SETTINGS, feedback=feedback).fit(X, y)
    found = gradient_alignment(model, X, y)
    assert found.update > 0.98
    names = [block.name for block in found.blocks if block.role == "forward"]
    assert names == ["F_0→1", "F_1→2", "F_2→3", "F_3→4"]
    assert all(block.cosine == block.cosine for block in found.blocks)
    processes = error_processes(model, X, y, max_time=5)
    assert processes.theta_cosine.shape[1] == len(processes.blocks) == len(found.blocks)
    assert str(health_report(model, X, y))
    assert jacobian_symmetry(model, X).n_samples == len(X)
    if feedback == "tied":
        curve = energy(model, X).curve
        assert (np.diff(curve, axis=0) <= 1e-12).all()
    assert "<svg" in model._repr_html_()


# ---- maps ------------------------------------------------------------------------------------

MAP = Conv2D(4, 3, padding="same")
MAPS = {
    "hidden_layer_sizes": (
        MAP,
        MAP,
        MAP,
        Conv2D(6, 3, stride=2, padding="same"),
        Conv2D(6, 3, padding="same"),
    ),
    "connections": [
        *((layer - 1, layer) for layer in range(1, 7)),
        *((layer + 1, layer) for layer in range(1, 6)),
        *((1, 3, "identity"), (3, 1, "identity")),
        *((3, 5, Conv2D(6, 1, stride=2)), (5, 3)),
    ],
    "input_shape": (8, 8),
    "max_iter": 6,
    "random_state": 0,
}


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:300] / 16, y[:300]


@pytest.mark.parametrize("feedback", ["tied", "untied"])
def test_residual_maps_learn(digits, feedback):
    X, y = digits
    model = EqPropClassifier(**MAPS, feedback=feedback).fit(X, y)
    assert model.loss_curve_[-1] < 0.8 * model.loss_curve_[0]
    assert model.relax(X).converged.all()
    assert gradient_alignment(model, X[:50], y[:50]).update > 0.98
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict_proba(X), model.predict_proba(X))


def test_states_of_residual_maps_solve_the_equations(digits):
    X, y = digits
    model = EqPropClassifier(**MAPS).fit(X, y)
    shapes = [(8, 8, 1), *[(8, 8, 4)] * 3, *[(4, 4, 6)] * 2]

    def matrix(pair, weights):
        low, high = sorted(pair)
        if high == 6:
            return weights
        if (low, high) == (1, 3):
            made = np.eye(256) * (weights if weights.ndim == 0 else 1.0)
        else:
            stride = 1 if shapes[low][:2] == shapes[high][:2] else 2
            size = weights.shape[:2]
            # Same padding of 8 by stride 2 needs one row of zeros, below.
            pad = 1 if size == (3, 3) and stride == 1 else 0
            made = ConvLayer(shapes[low], shapes[high], size, stride=stride, pad=pad).matrix(
                weights
            )
        return made if pair == (low, high) else made.T

    arrays = [*model.coefs_, *model.feedback_coefs_]
    blocks = [matrix(*of) for of in zip(model.connections_, arrays, strict=True)]
    sizes = [256, 256, 256, 96, 96, 10]
    biases = [np.tile(b, n // b.size) for b, n in zip(model.intercepts_, sizes, strict=True)]
    n_forward = len(model.coefs_)
    net = GraphNet("relu", model.connections_, blocks[:n_forward], biases, blocks[n_forward:])
    states = np.concatenate(model.relax(X[:20]).states, axis=1)
    assert net.residual(states, X[:20]).max() < 2e-10


# ---- what is refused -------------------------------------------------------------------------

BAD = {
    "input": ([*ROW, (0, 2, "identity")], r"identity from the input"),
    "no way up": ([*ROW, (3, 1, "identity")], r"needs \(1, 3, 'identity'\)\. Add it"),
    "lateral": ([*ROW, (1, 1, "identity")], r"an identity within a layer\. Remove it"),
    "weights back": (
        [*ROW, (1, 3, "identity"), (3, 1)],
        r"\(3, 1\) is feedback beside an identity\. Write \(3, 1, 'identity'\)",
    ),
    "beside weights": ([*RESIDUAL, (1, 3)], r"\(1, 3\) is repeated"),
    "another word": ([*ROW, (1, 3, "copy")], r"not 'identity' or a Conv2D"),
    "dense": ([*ROW, (1, 3, Conv2D(2, 1))], r"into a dense layer\. Write \(1, 3\)"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_residual_network_is_refused(binary, case):
    connections, message = BAD[case]
    model = EqPropClassifier(**SETTINGS | {"connections": connections})
    with pytest.raises(InvalidParameterError, match=message):
        model.fit(*binary)


def test_feedback_beside_a_convolution_has_none_of_its_own(digits):
    connections = [*MAPS["connections"][:-1], (5, 3, Conv2D(4, 1))]
    with pytest.raises(InvalidParameterError, match=r"beside \(3, 5\), whose kernels it uses"):
        EqPropClassifier(**MAPS | {"connections": connections}).fit(*digits)


def test_shapes_that_differ_are_refused(binary, digits):
    model = EqPropClassifier(**SETTINGS | {"hidden_layer_sizes": (9, 9, 8)})
    with pytest.raises(ValueError, match=r"\(9,\) and \(8,\)\. Give them one shape"):
        model.fit(*binary)
    connections = [*MAPS["connections"], (1, 5, "identity")]
    with pytest.raises(ValueError, match=r"\(8, 8, 4\) and \(4, 4, 6\)"):
        EqPropClassifier(**MAPS | {"connections": connections}).fit(*digits)
