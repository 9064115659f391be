"""The literal baseline of the speed benchmark comes to rest where the package does."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from sklearn_eqprop import EqPropRegressor

REFERENCE = Path(__file__).parents[1] / "benchmarks" / "reference.py"


@pytest.fixture(scope="module")
def reference():
    spec = importlib.util.spec_from_file_location("reference", REFERENCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def fitted():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((40, 6))
    y = np.c_[X[:, 0] * X[:, 1], X[:, 2]]
    settings = {"activation": "hard_sigmoid", "max_iter": 5, "n_iter_no_change": None}
    model = EqPropRegressor((8, 7), learning_rate="cosine", random_state=0, **settings)
    return model.fit(X, y), X, (y - model.target_mean_) / model.target_scale_, y


def literal(reference, model):
    arrays = (model.coefs_, model.feedback_coefs_, model.intercepts_)
    return reference.LiteralNetwork(*([a.copy() for a in blocks] for blocks in arrays))


@pytest.mark.parametrize("beta", [0.0, 0.3])
def test_both_come_to_rest_at_the_same_states(reference, fitted, beta):
    model, X, target, y = fitted
    net = literal(reference, model)
    states = net.relax(X, net.rest(len(X)), 400)
    assert net.residual(X, states).max() < 1e-12
    states = net.relax(X, states, 400, target=target, beta=beta)
    expected = model.relax(X, y, beta=beta) if beta else model.relax(X)
    for state, ours in zip(states, expected.states, strict=True):
        assert np.abs(state - ours).max() < 1e-8


def test_its_update_is_the_rule_of_the_paper(reference, fitted):
    model, X, target, y = fitted
    net = literal(reference, model)
    before = [coef.copy() for coef in net.forward]
    net.train_on(X, target, rate=0.1, beta=0.2, n_free=300, n_nudged=300)
    free, nudged = model.relax(X), model.relax(X, y, beta=0.2)
    rates = [X, *free.states]
    for layer, (old, new) in enumerate(zip(before, net.forward, strict=True)):
        moved = nudged.states[layer] - free.states[layer]
        change = rates[layer].T @ moved / (0.2 * len(X))
        assert np.abs(new - old - 0.1 * change).max() < 1e-9
