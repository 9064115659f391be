"""Symmetry of A against A formed unit by unit."""

import numpy as np
import pytest

from sklearn_eqprop.diagnostics import jacobian_symmetry
from tests.dense_truth import ACTIVATIONS, random_net, random_task
from tests.diagnostics.twins import jacobians, problem, twin


def _ratio(matrices):
    half = sum(np.linalg.norm((A + A.T) / 2) ** 2 for A in matrices)
    return np.sqrt(half / sum(np.linalg.norm(A) ** 2 for A in matrices))


def _dense(net, X):
    matrices = [A for A, _ in jacobians(net, X)]
    return matrices, [A + np.eye(len(A)) for A in matrices]


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_unit_by_unit_it_is_exact(activation, tied):
    net, X, Y = problem(activation, tied=tied)
    model, _ = twin(net, "squared_error", X, Y)
    full, coupling = _dense(net, X)
    found = jacobian_symmetry(model, X)
    assert found.exact
    assert found.n_probes == 14
    assert found.symmetry == pytest.approx(_ratio(full), rel=1e-10)
    assert found.coupling == pytest.approx(_ratio(coupling), rel=1e-10)
    np.testing.assert_allclose(found.per_sample, [_ratio([A]) for A in full], rtol=1e-10)
    np.testing.assert_allclose(
        found.coupling_per_sample, [_ratio([A]) for A in coupling], rtol=1e-10
    )
    assert found.standard_error == found.coupling_error == 0


@pytest.mark.parametrize("activation", ["hard_sigmoid", "relu", "identity"])
def test_tied_weights_are_symmetric_where_the_slopes_are_one(activation):
    net, X, Y = problem(activation, tied=True)
    found = jacobian_symmetry(twin(net, "squared_error", X, Y)[0], X)
    assert found.symmetry == found.coupling == pytest.approx(1.0, abs=1e-14)


def test_tied_weights_are_not_where_the_slopes_differ():
    net, X, Y = problem("tanh", tied=True)
    assert jacobian_symmetry(twin(net, "squared_error", X, Y)[0], X).coupling < 0.9999


def test_feedback_of_the_opposite_sign_is_antisymmetric():
    net, X, Y = problem("identity", gain=0.5)
    net.feedback[:] = [-forward.T for forward in net.coefs[1:]]
    net.W = net._unit_by_unit()
    found = jacobian_symmetry(twin(net, "squared_error", X, Y)[0], X)
    assert found.coupling == pytest.approx(0.0, abs=1e-12)
    assert found.symmetry > 0.3  # the leak


@pytest.mark.parametrize("activation", ["hard_sigmoid", "tanh"])
def test_random_probes_come_as_close_as_they_say(activation):
    sizes = (5, 30, 25, 20, 4)
    net = random_net(sizes, activation, seed=1)
    X, Y = random_task(40, sizes)
    model, _ = twin(net, "squared_error", X, Y)
    full, coupling = (_ratio(matrices) for matrices in _dense(net, X))
    scores = []
    for seed in range(40):
        found = jacobian_symmetry(model, X, n_probes=20, random_state=seed)
        assert not found.exact
        assert found.n_probes == 20
        assert 0 < found.standard_error < 0.01
        assert 0 < found.coupling_error < 0.02
        scores += [
            (found.symmetry - full) / found.standard_error,
            (found.coupling - coupling) / found.coupling_error,
        ]
    assert np.abs(scores).max() < 4
    assert 0.75 < np.sqrt(np.mean(np.square(scores))) < 1.35


def test_probes_are_drawn_from_the_random_state():
    sizes = (5, 30, 4)
    net = random_net(sizes, "relu")
    X, Y = random_task(6, sizes)
    model, _ = twin(net, "squared_error", X, Y)
    one, same, other = (
        jacobian_symmetry(model, X, n_probes=10, random_state=seed) for seed in (0, 0, 1)
    )
    assert one.symmetry == same.symmetry != other.symmetry
    assert f"{one.symmetry:.4f}" in str(one)
    assert "10 random probes" in repr(one)


def test_no_hidden_layer_has_no_coupling():
    net = random_net((4, 2), "relu")
    X, Y = random_task(6, (4, 2))
    found = jacobian_symmetry(twin(net, "squared_error", X, Y)[0], X)
    assert found.symmetry == 1
    assert np.isnan(found.coupling)


def test_many_rows():
    net, X, Y = problem("tanh")
    model, _ = twin(net, "squared_error", X, Y)
    found = jacobian_symmetry(model, np.tile(X, (300, 1)))
    assert found.per_sample.shape == (1500,)
    assert found.symmetry == pytest.approx(jacobian_symmetry(model, X).symmetry, rel=1e-12)
