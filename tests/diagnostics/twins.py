"""Estimators around the weights of a `DenseNet`, and what dense algebra says of their networks."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from sklearn_eqprop import EqPropClassifier, EqPropRegressor
from tests.dense_truth import LOSSES, DenseNet, random_net, random_task

SIZES = (4, 6, 5, 3)
N_SAMPLES = 5
#: No unit may be closer to a bound: the field has a kink there.
KINK_MARGIN = 1e-3


def twin(net, kind, X, Y, **parameters):
    """Estimator whose network is `net`, and the y it calls Y."""
    settings = {
        "hidden_layer_sizes": [bias.size for bias in net.biases[:-1]],
        "activation": net.activation,
        "feedback": "tied" if net.feedback is None else "untied",
        "loop_gain": None,
        "feedback_scale": 1.0,
        "max_iter": 1,
        "random_state": 0,
    }
    if kind == "squared_error":
        y = Y.ravel() if Y.shape[1] == 1 else Y
        model = EqPropRegressor(**settings | parameters)
    else:
        model = EqPropClassifier(loss="log_loss", **settings | parameters)
        y = Y.argmax(axis=1) if kind == "log_loss" else Y.astype(int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if kind == "log_loss":
            model.partial_fit(X, y, classes=np.arange(Y.shape[1]))
        else:
            model.partial_fit(X, y)
    if kind == "squared_error":  # the targets as they are
        model.target_mean_, model.target_scale_ = np.zeros(Y.shape[1]), np.ones(Y.shape[1])
    model.coefs_ = [block.copy() for block in net.coefs]
    model.intercepts_ = [block.copy() for block in net.biases]
    if net.feedback is not None:
        model.feedback_coefs_ = [block.copy() for block in net.feedback]
    return model, y


def problem(activation="hard_sigmoid", loss="squared_error", *, tied=False, **net_settings):
    """A dense net with a task: the first draw in which no unit is near a kink."""
    settings = {"gain": 0.5 if tied else 0.9, "loop": 0.4} | net_settings
    X, Y = random_task(N_SAMPLES, SIZES, loss)
    for seed in range(20):
        net = random_net(SIZES, activation, tied=tied, seed=seed, **settings)
        if net.margin(net.equilibrium(X), X) > KINK_MARGIN:
            return net, X, Y
    raise AssertionError("every draw has a unit near a bound")


def shares(n_samples=N_SAMPLES):
    return np.full(n_samples, 1 / n_samples)


def blocks_of(net, theta):
    """A vector of parameters, block by block."""
    ends = np.cumsum([block.size for block in net.blocks()])
    return np.split(theta, ends[:-1])


def cosine(one, other):
    return one @ other / (np.linalg.norm(one) * np.linalg.norm(other))


def jacobians(net, X):
    """A of every sample at its free equilibrium, without the units at a bound."""
    found = []
    for s in net.equilibrium(X):
        free = net.interior(s)
        found.append((net.jacobian(s)[np.ix_(free, free)], free))
    return found


def cost_slopes(net, loss, X, Y):
    """C_s of every sample as one long vector a sample."""
    S = net.equilibrium(X)
    C_s = np.zeros_like(S)
    outputs = net.span(net.n_layers)
    C_s[:, outputs] = LOSSES[loss][1](S[:, outputs], Y)
    return C_s


def driven_loop(weight, bias=1.0):
    """A linear unit and an output that drive each other by `weight`: above 1 they run away."""
    return DenseNet(
        "identity",
        [np.ones((1, 1)), np.array([[weight]])],
        [np.full(1, bias), np.zeros(1)],
        [np.array([[weight]])],
    )
