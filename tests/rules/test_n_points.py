"""N-point nudging against dense float64 algebra: complex equilibria, and the order of the error."""

import itertools

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_iris

from sklearn_eqprop import Conv2D, EqPropClassifier, EqPropRegressor
from sklearn_eqprop._relaxation import RELAXATIONS, relaxation
from sklearn_eqprop._rules import RULES, Minibatch
from sklearn_eqprop._rules.n_points import NPoints
from sklearn_eqprop._substrates.complex_phases import ComplexPhases
from sklearn_eqprop._substrates.limits import SettlingLimits
from sklearn_eqprop.diagnostics import gradient_alignment
from tests.dense_truth import random_net, random_task
from tests.engine import ALL_LOSSES, joined, network_of, update

SIZES = (4, 6, 5, 3)
N_SAMPLES = 5
SHARES = np.full(N_SAMPLES, 1 / N_SAMPLES)
BETAS = np.array([0.15, 0.2, 0.25])


def _problem(activation, loss):
    net = random_net(SIZES, activation, gain=0.9, loop=0.4)
    return net, *random_task(N_SAMPLES, SIZES, loss)


def _credit(net, X, Y, loss, beta, n_points, gradient="vector_field", method="gauss_seidel"):
    limits = SettlingLimits(1e-15, 1e-15, 3000, 3000, literal=False)
    substrate = ComplexPhases(network_of(net), RELAXATIONS[method](1.0), limits)
    shares = np.full((len(X), 1), 1 / len(X))
    batch = Minibatch(X, Y, ALL_LOSSES[loss], shares, np.random.RandomState(0))
    return RULES[gradient](NPoints(n_points), beta).credit(substrate, batch)


def _update(*arguments, **settings):
    credit = _credit(*arguments, **settings)
    return np.concatenate([change.ravel() for change in credit.changes])


@pytest.mark.parametrize("gradient", ["vector_field", "asymmetric"])
@pytest.mark.parametrize("n_points", [3, 4, 6, 8])
@pytest.mark.parametrize("loss", ["squared_error", "log_loss", "multilabel_log_loss"])
@pytest.mark.parametrize("activation", ["tanh", "logistic"])
def test_the_error_falls_as_beta_to_the_power_n(activation, loss, n_points, gradient):
    net, X, Y = _problem(activation, loss)
    if gradient == "vector_field":
        truth = net.theorem_1(X, loss, Y, SHARES)
    else:
        truth = _minus_gradient(net, X, loss, Y)
    errors = [
        np.linalg.norm(_update(net, X, Y, loss, beta, n_points, gradient) - truth) for beta in BETAS
    ]
    slope = np.polyfit(np.log(BETAS), np.log(errors), 1)[0]
    assert abs(slope - n_points) < 0.1


def _minus_gradient(net, X, loss, Y):
    """-dJ/dθ by dense linear algebra: A^T in place of A in Theorem 1."""
    total, outputs = 0.0, net.span(net.n_layers)
    for s, x, y in zip(net.equilibrium(X), X, Y, strict=True):
        C_s = np.zeros(s.size)
        C_s[outputs] = (ALL_LOSSES[loss].force(np, s[None, outputs], y[None]))[0]
        total = total - C_s @ np.linalg.inv(net.jacobian(s)) @ net.dmu_dtheta(s, x) / N_SAMPLES
    return total


@pytest.mark.parametrize("method", ["gauss_seidel", "euler"])
@pytest.mark.parametrize("loss", ["squared_error", "log_loss"])
def test_equilibria_are_those_of_the_complex_field(loss, method):
    net, X, Y = _problem("tanh", loss)
    nudging = NPoints(5)
    credit = _credit(net, X, Y, loss, 0.4, 5, method=method)
    free = net.equilibrium(X)
    strengths = nudging.strengths(0.4, None)
    assert len(credit.nudged) == len(strengths) == 3
    for result, beta in zip(credit.nudged, strengths, strict=True):
        S = free.astype(complex)
        for _ in range(3000):
            S = S + 0.4 * net.field(S, X, loss, Y, beta)
        assert np.abs(net.field(S, X, loss, Y, beta)).max() < 1e-12
        assert np.abs(joined(result.states) - (S - free)).max() < 1e-11
        assert result.converged.all()


def test_both_parts_must_settle():
    # At an imaginary β the first step moves imaginary parts only: the real ones seem settled.
    net, X, Y = _problem("tanh", "squared_error")
    limits = SettlingLimits(1e-15, 1e-6, 3000, 1, literal=False)
    substrate = ComplexPhases(network_of(net), RELAXATIONS["euler"](1e-3), limits)
    free = substrate.settle(X)
    [nudged] = substrate.settle_nudged(free, ALL_LOSSES["squared_error"], Y, [0.2j])
    assert not nudged.converged.any()


@pytest.mark.parametrize("gradient", ["vector_field", "asymmetric"])
def test_two_points_are_centred_nudging(gradient):
    net, X, Y = _problem("tanh", "log_loss")
    found = _update(net, X, Y, "log_loss", 0.3, 2, gradient)
    centred = update(net, X, Y, "log_loss", 0.3, SHARES, "centered", gradient=gradient)
    assert np.abs(found - centred).max() < 1e-13


@pytest.mark.parametrize("method", ["gauss_seidel", "euler"])
def test_samples_that_settle_early_leave_the_batch(monkeypatch, method):
    monkeypatch.setattr(relaxation, "SMALL_BATCH", 0)
    net = random_net(SIZES, "tanh", gain=0.9, loop=0.4)
    X, Y = random_task(40, SIZES, "log_loss")
    X[:30] *= 30  # saturated units transmit little: these samples settle early
    together = _credit(net, X, Y, "log_loss", 0.3, 4, method=method)
    steps = together.nudged[0].n_steps
    assert steps.min() < steps.max()
    alone = [_update(net, X[[i]], Y[[i]], "log_loss", 0.3, 4, method=method) for i in range(40)]
    whole = np.concatenate([change.ravel() for change in together.changes])
    assert np.abs(whole - np.mean(alone, axis=0)).max() < 1e-12


@pytest.mark.parametrize("loss", ["huber", "absolute_error", "poisson"])
def test_forces_that_are_not_analytic_are_held(loss):
    net, X, Y = _problem("tanh", loss)
    truth = _minus_gradient(net, X, loss, Y)
    found = _update(net, X, Y, loss, 0.2, 6, "asymmetric")
    assert np.linalg.norm(found - truth) < 1e-5 * np.linalg.norm(truth)


def test_an_estimator_is_as_exact_as_its_points():
    X, y = load_digits(return_X_y=True)
    X, y = X[:200] / 16, y[:200]
    settings = {"activation": "tanh", "max_iter": 5, "random_state": 0, "alpha": 0.0}
    model = EqPropClassifier((20, 20), gradient="asymmetric", **settings)
    with pytest.warns():
        model.fit(X, y)
    missing = [
        1 - gradient_alignment(model.set_params(beta=0.4, nudging=nudging), X, y).update
        for nudging in ("one_sided", "centered", 4, 8)
    ]
    assert all(after < 0.2 * before for before, after in itertools.pairwise(missing))
    assert missing[-1] < 1e-7


@pytest.mark.parametrize("pooling", ["average", "max"])
def test_convolutions(pooling):
    X, y = load_digits(return_X_y=True)
    X = (X / 16)[:60]
    settings = {"activation": "tanh", "input_shape": (8, 8), "max_iter": 2, "random_state": 0}
    model = EqPropClassifier((Conv2D(3, 3, pool=2, pooling=pooling), 10), **settings)
    with pytest.warns():
        model.fit(X, y[:60])
    updates = {}
    for nudging, beta in ((6, 0.3), ("centered", 1e-4)):
        model.set_params(nudging=nudging, beta=beta, relax_tol=1e-10)
        found = gradient_alignment(model, X, y[:60])
        updates[nudging] = [block.update_cosine for block in found.blocks]
    assert found.blocks[0].limit_cosine == pytest.approx(updates[6][0], abs=1e-6)
    for of_points, centred in zip(updates[6], updates["centered"], strict=True):
        assert of_points == pytest.approx(centred, abs=1e-6)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_estimator_learns_by_it(dtype):
    X, y = load_digits(return_X_y=True)
    settings = {"activation": "tanh", "max_iter": 10, "random_state": 0, "dtype": dtype}
    settings["batch_size"] = 50
    model = EqPropClassifier((30, 30), nudging=np.int64(4), **settings).fit(X[::2] / 16, y[::2])
    assert model.score(X[1::2] / 16, y[1::2]) > 0.9
    assert model.coefs_[0].dtype == dtype
    assert max(model.relaxation_["nudged_unconverged"]) == 0


def test_what_it_does_not_go_with():
    kinked = r"activation='relu': its kinks.*Use activation='tanh' or nudging='centered'"
    for settings, message in (
        ({}, kinked),
        ({"activation": "tanh", "relaxation": "anderson"}, "Use relaxation='gauss_seidel'"),
        ({"activation": "tanh", "gradient": "continual"}, "Use gradient='vector_field'"),
        ({"activation": "tanh", "objective": "trajectory", "relaxation": "euler"}, "objective="),
        ({"activation": "tanh", "loss": "squared_error", "beta": np.inf}, "nudging='one_sided'"),
        ({"activation": "tanh", "loss": "squared_error", "beta": 1.0}, "beta=1.0"),
    ):
        with pytest.raises(ValueError, match=message):
            EqPropClassifier((5,), nudging=4, **settings).fit(*load_iris(return_X_y=True))
    for nudging in (2, True, 3.0):
        with pytest.raises(ValueError, match="'nudging' parameter"):
            EqPropRegressor((5,), nudging=nudging).fit(*load_iris(return_X_y=True))
    linear = {"gradient": "recurrent_backprop", "max_iter": 1}  # has no nudge
    with pytest.warns():
        EqPropClassifier((5,), nudging=4, **linear).fit(*load_iris(return_X_y=True))
