"""`SpiceCircuit`: ngspice solves the network. Ideal clips agree with `relax`; diodes learn."""

import re

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_iris
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import scale

from sklearn_eqprop import Conv2D, EqPropClassifier, EqPropRegressor
from sklearn_eqprop._substrates.hardware import ngspice, spice
from sklearn_eqprop.exceptions import SubstrateError
from sklearn_eqprop.learning import LogLoss, SquaredError
from sklearn_eqprop.substrates import SpiceCircuit, check_substrate, spice_transient, to_spice
from tests.substrates.described import Simulated
from tests.substrates.test_analog_chip import record_of, task

try:
    ngspice.library()
    HAS_NGSPICE = True
except OSError:
    HAS_NGSPICE = False
needs_ngspice = pytest.mark.skipif(not HAS_NGSPICE, reason="the library of ngspice is missing")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture
def iris():
    X, y = load_iris(return_X_y=True)
    order = np.random.RandomState(0).permutation(150)
    return scale(X)[order], y[order]


@needs_ngspice
@pytest.mark.parametrize("loss", [LogLoss(), SquaredError()])
@pytest.mark.parametrize("activation", ["relu", "hard_sigmoid", "tanh", "logistic", "identity"])
def test_operating_points_are_the_equilibria(activation, loss):
    record, (X, Y) = record_of(activation=activation), task(20)
    circuit, simulated = SpiceCircuit().connect(record), Simulated().connect(record)
    free, expected = circuit.settle(X), simulated.settle(X)
    for state, other in zip(free.result.states, expected.result.states, strict=True):
        np.testing.assert_allclose(state, other, rtol=0, atol=1e-8)
    strengths = (0.5, -0.3)
    nudged = circuit.settle_nudged(free, loss, Y, strengths)
    others = simulated.settle_nudged(expected, loss, Y, strengths)
    for result, other in zip(nudged, others, strict=True):
        for moved, by in zip(result.states, other.states, strict=True):
            np.testing.assert_allclose(moved, by, rtol=0, atol=1e-8)
    deltas = nudged[0].states
    changes = circuit.local_change(free, deltas), simulated.local_change(expected, deltas)
    for change, other in zip(*changes, strict=True):
        np.testing.assert_allclose(change, other, rtol=0, atol=1e-6)


@needs_ngspice
@pytest.mark.parametrize(
    "settings",
    [
        {"hidden_layer_sizes": (8, 7), "nudging": "centered"},
        {"feedback": "tied", "activation": "tanh"},
        {"connections": [(0, 1), (0, 2), (1, 2), (2, 1), (1, 1)]},
        {"hidden_layer_sizes": (Conv2D(2, 2, padding="valid"),), "input_shape": (3, 2)},
        {"loss": "squared_error", "output_activation": "hard_sigmoid"},
    ],
)
def test_an_epoch_is_that_of_the_simulated_network(settings):
    X, Y = task(40)
    settings = {"hidden_layer_sizes": (8,), "max_iter": 1, "batch_size": 20} | settings
    model = EqPropClassifier(**settings, loop_gain=0.5, random_state=0)
    tight = {"relax_tol": 1e-12, "max_relax_iter": 500, "max_nudge_iter": 500}
    direct = EqPropClassifier(**model.get_params() | tight).fit(X, Y.argmax(axis=1))
    model.set_params(substrate=SpiceCircuit()).fit(X, Y.argmax(axis=1))
    for ours, theirs in zip(model.coefs_, direct.coefs_, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


@needs_ngspice
def test_real_diodes_clip_where_their_equation_says(iris):
    # One unit with a current I: I - v / R = Is (1 - exp(-v / (N Vt))), with v below 0.
    record = record_of((6, 1, 1))
    for parameter in record.parameters():
        parameter.array[...] = 0
    record.biases[0][...] = -3.0
    state = SpiceCircuit(diode=1.0).connect(record).settle(np.zeros((1, 6))).result.states[0][0, 0]
    thermal = 1.380649e-23 * 300.15 / 1.602176634e-19
    current = 1e-14 * (np.exp(-state / thermal) - 1) - state / 1e4
    assert current == pytest.approx(3e-4, rel=1e-3)
    assert -0.7 < state < -0.5


@needs_ngspice
@pytest.mark.parametrize("diode", [None, 1.0])
def test_circuits_learn_iris(iris, diode):
    X, y = iris
    check_substrate(SpiceCircuit(diode=diode), X, y)
    settings = {"batch_size": 30, "max_iter": 20, "learning_rate_init": 0.02, "alpha": 1e-3}
    model = EqPropClassifier(
        (10,), substrate=SpiceCircuit(diode=diode), random_state=0, **settings
    ).fit(X, y)
    assert model.score(X, y) >= 0.95
    inside, outside = model.relax(X).states, model.set_params(substrate=None).relax(X).states
    for state, other in zip(inside, outside, strict=True):
        difference = np.abs(state - other).max()
        assert difference < 1e-6 if diode is None else difference > 0.1


@needs_ngspice
@pytest.mark.slow
def test_a_circuit_with_real_diodes_learns_digits():
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(scale(X), y, stratify=y, random_state=0)
    settings = {"batch_size": 50, "max_iter": 8, "learning_rate_init": 0.01, "alpha": 1e-4}
    model = EqPropClassifier(
        (16,),
        substrate=SpiceCircuit(diode=1.0),
        learning_rate="cosine",
        n_iter_no_change=None,
        random_state=0,
        **settings,
    ).fit(X, y)
    assert model.score(X_test, y_test) >= 0.95


@needs_ngspice
def test_a_netlist_runs_on_its_own_and_settles_like_euler_steps(iris, tmp_path):
    X, y = iris
    model = EqPropClassifier((6,), max_iter=20, loop_gain=0.5, random_state=0).fit(X, y)
    to_spice(model, tmp_path / "net.cir", X[3])
    lines = (tmp_path / "net.cir").read_text().splitlines()
    [printed] = [line for line in lines if line.startswith(".print tran ")]
    nodes = re.findall(r"v\((\w+)\)", printed)
    [analysis] = [line[1:] for line in lines if line.startswith(".tran")]
    circuit = [line for line in lines if not line.startswith((".tran", ".print"))]
    [solved] = ngspice.voltages(circuit, "op", nodes, 1)
    np.testing.assert_allclose(solved, model.relax(X[3:4]).states[-1][0], atol=1e-8)
    assert analysis == "tran 10n 20u uic"
    times, (hidden, course) = spice_transient(model, X[3])
    assert hidden.shape == (len(times), 6)
    assert times[-1] == pytest.approx(20)
    np.testing.assert_allclose(course[-1], solved, atol=1e-4)
    # The same course by small Euler steps, s <- clip(s + ε (drive - s)).
    F1, F2, B = *model.coefs_, model.feedback_coefs_[0]
    step, (h, o) = 1e-3, (np.zeros(6), np.zeros(3))
    states = [o]
    for _ in range(20_000):
        to_h = X[3] @ F1 + o @ B + model.intercepts_[0] - h
        to_o = h @ F2 + model.intercepts_[1] - o
        h, o = np.maximum(h + step * to_h, 0), o + step * to_o
        states.append(o)
    euler = np.array(states)
    for unit in range(3):
        ours = np.interp(np.arange(20_001) * step, times, course[:, unit])
        assert np.abs(ours - euler[:, unit]).max() < 0.01 * np.abs(euler).max()


@needs_ngspice
def test_what_no_circuit_can_do_is_refused(iris):
    X, y = iris
    settings = {"max_iter": 1, "random_state": 0, "substrate": SpiceCircuit()}
    with pytest.raises(SubstrateError, match=r"no circuit for Huber\. Use loss='squared_error'"):
        EqPropRegressor(loss="huber", **settings).fit(X, y)
    images, layers = np.random.RandomState(0).standard_normal((20, 16)), (Conv2D(2, 3, pool=2),)
    with pytest.raises(SubstrateError, match="circuit has no maximum"):
        EqPropClassifier(layers, input_shape=(4, 4), **settings).fit(images, np.arange(20) % 2)
    wrong = ["* wrong", "d1 a 0 nothing", "r1 a 0 1", ".end"]
    with pytest.raises(RuntimeError, match=r"ngspice"):
        ngspice.voltages(wrong, "op", ["a"], 1)
    right = ["* right", "i1 0 a 2", "r1 a 0 3", ".end"]
    assert ngspice.voltages(right, "op", ["a"], 1) == 6


def test_without_the_library_the_message_says_what_to_install(iris, monkeypatch):
    monkeypatch.setattr(ngspice, "_NAMES", ("libnothing.so",))
    monkeypatch.setattr(ngspice, "find_library", lambda name: None)
    # Without the cache: the library crashes if it is initialised twice.
    monkeypatch.setattr(spice, "library", ngspice.library.__wrapped__)
    with pytest.raises(SubstrateError, match=r"connect failed.*not installed.*libngspice0"):
        EqPropClassifier(max_iter=1, substrate=SpiceCircuit()).fit(*iris)
