"""The package's engine built around the weights of a `DenseNet`, for tests that compare the two."""

import numpy as np

from sklearn_eqprop._backend import NumpyBackend
from sklearn_eqprop._feedback import FEEDBACK_WAYS
from sklearn_eqprop._losses.absolute_error import AbsoluteError
from sklearn_eqprop._losses.huber import Huber
from sklearn_eqprop._losses.log_loss import LogLoss, MultilabelLogLoss
from sklearn_eqprop._losses.poisson import Poisson
from sklearn_eqprop._losses.squared_error import SquaredError
from sklearn_eqprop._network import Wiring, wired_network
from sklearn_eqprop._relaxation import RELAXATIONS, FreeField
from sklearn_eqprop._rules import NUDGINGS, RULES, Minibatch
from sklearn_eqprop._rules.vector_field import VectorFieldRule
from sklearn_eqprop._substrates.limits import SettlingLimits
from sklearn_eqprop._substrates.phases import nudged_states
from sklearn_eqprop._substrates.simulated import SimulatedNetwork
from sklearn_eqprop._training.sgd import SGD
from sklearn_eqprop._training.trainer import LearningSettings, Trainer, trained_parameters

LOSSES = {
    "squared_error": SquaredError(),
    "log_loss": LogLoss(),
    "multilabel_log_loss": MultilabelLogLoss(),
}
REGRESSION_LOSSES = {
    "absolute_error": AbsoluteError(),
    "huber": Huber(),
    "poisson": Poisson(),
}
ALL_LOSSES = LOSSES | REGRESSION_LOSSES
METHODS = tuple(RELAXATIONS)

#: Centred nudging is off by O(β²), settling by 1e-14 / β.
CENTERED_BETA = 1e-4


def network_of(net):
    """The package's network with copies of a dense net's parameters.

    A graph may name `identities` among its connections; their blocks are multiples of 1.
    """
    feedback, identities = feedback_of(net), getattr(net, "identities", ())
    wiring = Wiring.of(net.connections, identities)
    if feedback is not None:
        for index, pair in enumerate(wiring.feedback):
            if pair in identities and feedback[index].ndim:
                feedback[index] = np.array(feedback[index][0, 0])
    coefs = zip(wiring.forward, net.coefs, strict=True)
    return wired_network(
        wiring,
        [np.empty(0) if pair in identities else block.copy() for pair, block in coefs],
        [block.copy() for block in net.biases],
        feedback,
        activation=net.activation,
        output_activation=net.output,
        backend=NumpyBackend(),
    )


def feedback_of(net):
    """Copies of a net's feedback weights, or the strengths of its tied feedback."""
    blocks = net.strengths if net.feedback is None else net.feedback
    return None if blocks is None else [np.array(block) for block in blocks]


def substrate_of(
    net,
    method="gauss_seidel",
    *,
    step_size=1.0,
    tolerance=1e-14,
    max_iter=3000,
    **measured,
):
    """A dense net's twin, ready to settle."""
    limits = SettlingLimits(tolerance, tolerance, max_iter, max_iter)
    relaxation = RELAXATIONS[method](step_size)
    return SimulatedNetwork(network_of(net), relaxation, limits, **measured)


def settle(net, X, method, *, step_size=1.0, tolerance=1e-13, max_iter=3000, start=None):
    """Free phase straight through the relaxation, absolute tolerance, from rest or `start`."""
    network = network_of(net)
    n_samples = X.shape[0]
    field = FreeField(network, network.clamp(X), n_samples)
    states = None if start is None else [s.copy() for s in start]
    tolerances = np.full(n_samples, float(tolerance))
    return RELAXATIONS[method](step_size).settle(field, states, tolerances, max_iter)


def nudged_phases(substrate, free, loss, Y, strengths):
    """Nudged phases by their states, one result for each strength."""
    displaced = substrate.settle_nudged(free, loss, Y, strengths)
    return [nudged_states(free, result) for result in displaced]


def joined(states):
    """All layers side by side, as `DenseNet` keeps them."""
    return np.concatenate(states, axis=1)


def rule_of(gradient, nudging="centered", beta=1e-4):
    """Credit rule by the name the user chooses it by."""
    return RULES[gradient](NUDGINGS[nudging], beta)


def update(
    net,
    X,
    Y,
    loss,
    beta,
    shares,
    nudging="one_sided",
    method="gauss_seidel",
    gradient="vector_field",
    coordinates="state",
):
    """The package's update of every parameter as one vector, at tight tolerance."""
    rule = rule_of(gradient, nudging, beta)
    substrate = substrate_of(
        net, method, rate_coordinates=coordinates == "rate", attenuated=rule.attenuated
    )
    batch = Minibatch(X, Y, ALL_LOSSES[loss], shares[:, None], np.random.RandomState(0))
    credit = rule.credit(substrate, batch)
    return np.concatenate([change.ravel() for change in credit.changes])


def trainer_of(net, loss="squared_error", **settings):
    """Return a trainer with centred nudges of size CENTERED_BETA and plain steps."""
    defaults = {"alpha": 0.0, "feedback_learning": "local", "layerwise_rescale": False}
    settings = defaults | settings
    settings["feedback_learning"] = FEEDBACK_WAYS[settings["feedback_learning"]]()
    substrate = substrate_of(net)
    network = substrate.network
    optimizer = SGD(trained_parameters(network, settings["feedback_learning"]), network.backend)
    rule = VectorFieldRule(NUDGINGS["centered"], CENTERED_BETA)
    settings = LearningSettings(**settings)
    return Trainer(substrate, network, rule, LOSSES[loss], optimizer, None, settings)
