"""The package's engine built around the weights of a `DenseNet`, for tests that compare the two."""

import numpy as np

from sklearn_eqprop.backend import NumpyBackend
from sklearn_eqprop.learning.costs import LogLoss, MultilabelLogLoss, SquaredError
from sklearn_eqprop.learning.credit import VectorFieldRule
from sklearn_eqprop.learning.nudging import NUDGINGS
from sklearn_eqprop.learning.substrate import SettlingLimits, SimulatedNetwork
from sklearn_eqprop.network import layered_network
from sklearn_eqprop.relaxation import RELAXATIONS, Field

COSTS = {
    "squared_error": SquaredError(),
    "log_loss": LogLoss(),
    "multilabel_log_loss": MultilabelLogLoss(),
}
METHODS = tuple(RELAXATIONS)


def network_of(net):
    """The package's network with copies of a dense net's parameters."""
    feedback = None if net.feedback is None else [block.copy() for block in net.feedback]
    return layered_network(
        [block.copy() for block in net.coefs],
        [block.copy() for block in net.biases],
        feedback,
        activation=net.activation,
        backend=NumpyBackend(),
    )


def substrate_of(net, method="gauss_seidel", *, step_size=1.0, tolerance=1e-14, max_iter=3000):
    """A dense net's twin, ready to settle."""
    limits = SettlingLimits(tolerance, max_iter, max_iter)
    return SimulatedNetwork(network_of(net), RELAXATIONS[method](step_size), limits)


def settle(net, X, method, *, step_size=1.0, tolerance=1e-13, max_iter=3000, start=None):
    """Free phase straight through the relaxation, absolute tolerance, from rest or `start`."""
    network = network_of(net)
    n_samples = X.shape[0]
    field = Field(network, network.clamp(X), n_samples)
    states = None if start is None else [s.copy() for s in start]
    tolerances = np.full(n_samples, float(tolerance))
    return RELAXATIONS[method](step_size).settle(field, states, tolerances, max_iter)


def joined(states):
    """All layers side by side, as `DenseNet` keeps them."""
    return np.concatenate(states, axis=1)


def update(net, X, Y, cost, beta, shares, nudging="one_sided", method="gauss_seidel"):
    """The package's two-phase update of every parameter as one vector, at tight tolerance."""
    rule = VectorFieldRule(NUDGINGS[nudging], beta)
    credit = rule.credit(
        substrate_of(net, method), X, Y, COSTS[cost], shares[:, None], np.random.RandomState(0)
    )
    return np.concatenate([change.ravel() for change in credit.changes])
