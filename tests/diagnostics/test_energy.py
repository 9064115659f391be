"""Energy of tied networks: the dense formula, and that every sweep or step lowers it."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from sklearn_eqprop import Conv2D, EqPropClassifier, EqPropRegressor
from sklearn_eqprop._network.activations import Tanh
from sklearn_eqprop.diagnostics import EnergyDisplay, energy
from tests.conv_truth import ConvLayer
from tests.dense_graph import SIZES, GraphNet, random_graph_net
from tests.dense_truth import ACTIVATIONS, LOSSES, DenseNet, random_net, random_task
from tests.diagnostics.twins import twin
from tests.engine import joined, settle
from tests.rules.test_tied_strength import GRAPHS, dense_energy

GAMMA = 0.4
LEVELS = {
    "row": {1: 1, 2: GAMMA, 3: GAMMA**2},
    "skip": {1: 1, 2: GAMMA, 3: GAMMA**2},
    "side by side": {1: 1, 2: 1, 3: GAMMA},
}
BETA = 0.7


def _problem(kind="row", activation="tanh", loss="squared_error", **parameters):
    """A tied dense net, a task, and the estimator whose network it is."""
    if kind == "row":
        drawn = random_net(SIZES, activation, tied=True)
        net = DenseNet(activation, drawn.coefs, drawn.biases, strengths=[GAMMA] * 2)
    else:
        drawn = random_graph_net(GRAPHS[kind], activation, tied=True)
        levels = LEVELS[kind]
        strengths = [levels[source] / levels[target] for source, target in drawn.feedback_pairs]
        net = GraphNet(activation, GRAPHS[kind], drawn.coefs, drawn.biases, None, strengths)
        parameters["connections"] = list(GRAPHS[kind])
    X, Y = random_task(6, SIZES, loss)
    return net, X, Y, *twin(net, loss, X, Y, feedback_scale=GAMMA, **parameters)


def _total(net, levels, S, X, loss, Y):
    cost = LOSSES[loss][0](S[:, net.span(net.n_layers)], Y)
    return dense_energy(net, levels, S, X) + levels[net.n_layers] * BETA * cost


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("kind", LEVELS)
def test_energy_of_both_phases_is_the_dense_formula(kind, activation):
    net, X, Y, model, y = _problem(kind, activation)
    levels = LEVELS[kind]
    found = energy(model, X)
    np.testing.assert_allclose(found.scales, [levels[layer] for layer in (1, 2, 3)], rtol=1e-14)
    S = net.equilibrium(X)
    truth = dense_energy(net, levels, S, X)
    np.testing.assert_allclose(found.values, truth, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(found.total, found.values)
    np.testing.assert_allclose(found.curve[-1], truth, rtol=1e-12, atol=1e-12)
    nudged = energy(model, X, y, BETA)
    S = net.equilibrium(X, "squared_error", Y, BETA)
    truth = dense_energy(net, levels, S, X)
    np.testing.assert_allclose(nudged.values, truth, rtol=1e-12, atol=1e-12)
    truth = _total(net, levels, S, X, "squared_error", Y)
    np.testing.assert_allclose(nudged.total, truth, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("method", ["gauss_seidel", "euler"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("kind", LEVELS)
@pytest.mark.parametrize("beta", [0, BETA])
def test_energy_falls_in_every_sweep_and_step(beta, kind, activation, method):
    step_size = 1.0 if method == "gauss_seidel" else 0.3
    settings = {"relaxation": method, "step_size": step_size, "loss": "squared_error"}
    _, X, _, model, y = _problem(kind, activation, **settings)
    curve = energy(model, X, y, beta).curve
    assert (np.diff(curve, axis=0) <= 1e-13).all()
    assert (curve[0] - curve[-1] > 1e-4).all()


@pytest.mark.parametrize("method", ["gauss_seidel", "euler"])
def test_each_entry_of_the_curve_is_one_step(method):
    net, X, _, model, _ = _problem(activation="relu", relaxation=method)
    zeros = [np.zeros((len(X), size)) for size in SIZES[1:]]
    states = [zeros]
    for n_steps in range(1, 5):
        args = {"tolerance": 1e-300, "max_iter": n_steps, "start": zeros}
        states.append(settle(net, X, method, **args).states)
    truth = [dense_energy(net, LEVELS["row"], joined(state), X) for state in states]
    found = energy(model, X, n_steps=4)
    np.testing.assert_allclose(found.curve, truth, rtol=0, atol=1e-13)
    assert "(0 unsettled) at beta = 0" in str(found)
    assert "4 steps change the mean from 0 to" in str(found)


@pytest.mark.parametrize("loss", ["log_loss", "squared_error"])
def test_nudged_classifier_with_the_strengths_of_a_fit(loss):
    X, y = load_digits(return_X_y=True)
    X, y = X[:300] / 16, y[:300]
    settings = {"feedback": "tied", "dtype": "float64", "loss": loss, "max_iter": 3}
    model = EqPropClassifier((20, 15), **settings, random_state=0)
    with pytest.warns(ConvergenceWarning):
        model.fit(X, y)
    one, two = model.feedback_gains_
    assert abs(one - two) > 1e-3
    net = DenseNet("relu", model.coefs_, model.intercepts_, strengths=[one, two])
    levels, Y = {1: 1, 2: one, 3: one * two}, np.eye(10)[y[:20]]
    found = energy(model, X[:20], y[:20], BETA)
    S = net.equilibrium(X[:20], loss, Y, BETA)
    np.testing.assert_allclose(found.total, _total(net, levels, S, X[:20], loss, Y), rtol=1e-10)
    assert (np.diff(found.curve, axis=0) <= 1e-13).all()


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_convolutions(pooling):
    # With ReLU units E = -½ Σ c_l (clamped drive) · s_l at an equilibrium: 2 Φ = Σ c s · (s - b).
    rng = np.random.RandomState(0)
    X, y = rng.uniform(size=(40, 6, 6, 1)), rng.randint(3, size=40)
    layers = [Conv2D(3, 3, padding="same"), Conv2D(2, 3, padding="same", pool=2, pooling=pooling)]
    settings = {"input_shape": (6, 6, 1), "feedback": "tied", "dtype": "float64"}
    model = EqPropClassifier(layers, **settings, max_iter=1, relax_tol=1e-12, random_state=0)
    model.partial_fit(X.reshape(40, -1), y, classes=[0, 1, 2])
    for bias in model.intercepts_:
        bias += 0.3
    X = X[:5].reshape(5, -1)
    found = energy(model, X)
    convolution = ConvLayer((6, 6, 1), (6, 6, 3), (3, 3), pad=1).matrix(model.coefs_[0])
    truth, from_input = 0.0, X @ convolution
    for c, bias, state in zip(found.scales, model.intercepts_, model.relax(X).states, strict=True):
        clamped = np.tile(bias, state.shape[1] // bias.size) + from_input
        truth, from_input = truth - 0.5 * c * (clamped * state).sum(axis=1), 0
    np.testing.assert_allclose(found.values, truth, rtol=1e-9)
    assert (np.diff(found.curve, axis=0) <= 1e-12).all()
    nudged = energy(model, X, y[:5], BETA)
    assert (np.diff(nudged.curve, axis=0) <= 1e-12).all()
    assert (nudged.curve[0] > nudged.total).all()


def test_no_hidden_layer():
    X, Y = random_task(5, (4, 2))
    model = EqPropRegressor((), max_iter=1, random_state=0, n_iter_no_change=None)
    with pytest.warns(ConvergenceWarning):
        model.fit(X, Y)
    output = X @ model.coefs_[0] + model.intercepts_[0]
    np.testing.assert_allclose(energy(model, X).values, -0.5 * (output**2).sum(axis=1))


def test_unsettled_samples_are_reported():
    _, X, _, model, _ = _problem(relaxation="euler", step_size=1e-4)
    with pytest.warns(ConvergenceWarning, match="energy: 6 of 6 samples did not settle"):
        assert energy(model, X, n_steps=2).n_unsettled == 6


def test_networks_without_an_energy():
    X, Y = random_task(6, SIZES)
    net = random_net(SIZES, "tanh")
    model, _ = twin(net, "squared_error", X, Y)
    with pytest.raises(ValueError, match=r"no energy: its feedback has weights.*feedback='tied'"):
        energy(model, X)
    chain = [(0, 1), (1, 2), (2, 3), (3, 2), (2, 1), (1, 3)]
    graph = random_graph_net(chain, "tanh", tied=True)
    model, _ = twin(graph, "squared_error", X, Y, connections=chain)
    with pytest.raises(ValueError, match=r"connection \(1, 3\) has no feedback\. Add \(3, 1\)"):
        energy(model, X)
    *_, model, _ = _problem("skip")
    model._feedback_coefs[1] *= 2
    with pytest.raises(ValueError, match="along two ways between layers differ"):
        energy(model, X)
    model._feedback_coefs[1] *= -1
    with pytest.raises(ValueError, match=r"feedback_gains_ holds -0\.32"):
        energy(model, X)


def test_an_activation_without_a_potential(monkeypatch):
    _, X, _, model, _ = _problem()
    monkeypatch.delattr(Tanh, "potential")
    with pytest.raises(ValueError, match="activation='tanh' states no `potential`"):
        energy(model, X)


def test_bad_arguments():
    _, X, _, model, y = _problem()
    with pytest.raises(TypeError, match="energy needs a fitted"):
        energy(None, X)
    with pytest.raises(NotFittedError):
        energy(EqPropRegressor(feedback="tied"), X)
    with pytest.raises(ValueError, match="energy needs y"):
        energy(model, X, beta=0.5)
    for beta in (np.inf, np.nan, "1"):
        with pytest.raises(ValueError, match="beta must be a finite number"):
            energy(model, X, y, beta)
    with pytest.raises(ValueError, match=r"beta=-1\.5 is too large"):
        energy(model, X, y, -1.5)
    with pytest.raises(ValueError, match="n_steps must be an integer"):
        energy(model, X, n_steps=0)


def test_the_picture_shows_the_curve():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    _, X, _, model, y = _problem()
    drawn = EnergyDisplay.from_estimator(model, X, y, BETA, n_steps=6)
    drawn.figure_.canvas.draw()
    above = drawn.result.curve - drawn.result.curve[-1]
    assert drawn.result.curve.shape == (7, 6)
    for line, values in zip(drawn.lines_, [*above.T, above.mean(axis=1)], strict=True):
        np.testing.assert_array_equal(line.get_ydata()[:-1], values[:-1])
        assert np.isnan(line.get_ydata()[-1])
    _, ax = plt.subplots()
    assert drawn.plot(ax).ax_ is ax
    assert "β = 0.7" in ax.get_ylabel()
    plt.close("all")
