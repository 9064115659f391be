"""The loose tolerance of training must not cost the update of any layer its direction."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.preprocessing import StandardScaler

from sklearn_eqprop import EqPropClassifier
from sklearn_eqprop._backend import NumpyBackend
from sklearn_eqprop._estimators.fitted.arrays import FittedArrays
from sklearn_eqprop._estimators.fitting.train import training_limits
from sklearn_eqprop._estimators.parameters.config import Config
from sklearn_eqprop._losses.log_loss import LogLoss
from sklearn_eqprop._relaxation import RELAXATIONS
from sklearn_eqprop._rules import NUDGINGS, CreditRule, Minibatch
from sklearn_eqprop._rules.recurrent_backprop import RecurrentBackpropRule
from sklearn_eqprop._substrates.limits import SettlingLimits
from sklearn_eqprop._substrates.simulated import SimulatedNetwork

WAYS = [
    {"relaxation": "gauss_seidel", "nudging": "centered"},
    {"relaxation": "gauss_seidel", "nudging": "one_sided", "beta": 0.1},
    {"relaxation": "euler", "nudging": "centered", "step_size": 0.5},
    {"relaxation": "anderson", "nudging": "random_sign"},
    # Loops that the first sweep must not leave out.
    {"loop_gain": 0.5},
    {"loop_gain": 0.9},
    {"feedback": "tied", "activation": "relu"},
]


def digits():
    X, y = load_digits(return_X_y=True)
    return StandardScaler().fit_transform(X)[:300], y[:300]


def updates(model, limits, X, target, rule: CreditRule | None = None):
    """Update of F_1..F_L by the model's rule or another, settled within the given limits."""
    network = FittedArrays.of(model).network(model, NumpyBackend())
    substrate = SimulatedNetwork(network, RELAXATIONS[model.relaxation](model.step_size), limits)
    config = Config.of(model)
    rule = rule or config.rule(config.nudges, config.influence)
    rng = np.random.RandomState(0)
    credit = rule.credit(substrate, Minibatch(X, target, LogLoss(), 1 / len(X), rng))
    return credit.changes[: network.n_layers]


def cosine(one, other):
    return (one * other).sum() / np.sqrt((one**2).sum() * (other**2).sum())


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("n_hidden", [1, 3, 5])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: " ".join(map(str, way.values())))
def test_every_layer_gets_the_direction_of_a_tight_settling(way, n_hidden):
    X, y = digits()
    model = EqPropClassifier((32,) * n_hidden, random_state=0, max_iter=5, **way).fit(X, y)
    target = np.eye(10)[y]
    loose = updates(model, training_limits(Config.of(model)), X, target)
    tight = updates(model, SettlingLimits(1e-13, 1e-13, 1000, 1000), X, target)
    cosines = [cosine(one, other) for one, other in zip(loose, tight, strict=True)]
    assert min(cosines) > 0.98, cosines


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("loop_gain", ["auto", 0.5, 0.9])
@pytest.mark.parametrize("n_hidden", [1, 3])
@pytest.mark.parametrize("gradient", ["asymmetric", "recurrent_backprop"])
@pytest.mark.parametrize("epochs", [5, 100])  # in the end, hardly any error is left
def test_exact_gradients_are_exact_by_default(gradient, n_hidden, loop_gain, epochs):
    X, y = digits()
    settings = {"gradient": gradient, "beta": 1e-3, "loop_gain": loop_gain, "dtype": "float64"}
    settings |= {"max_iter": epochs, "n_iter_no_change": None, "alpha": 1e-4}
    model = EqPropClassifier((24,) * n_hidden, random_state=2, **settings).fit(X, y)
    target = np.eye(10)[y]
    found = updates(model, training_limits(Config.of(model)), X, target)
    tight = SettlingLimits(1e-13, 1e-13, 1000, 1000)
    exact = updates(model, tight, X, target, RecurrentBackpropRule(NUDGINGS["one_sided"], 1.0))
    cosines = [cosine(one, other) for one, other in zip(found, exact, strict=True)]
    assert min(cosines) > 0.99999, cosines


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_eight_hidden_layers_learn(dtype):
    # The nudge arrives in the first layer at about 1e-11 of its size.
    X, y = digits()
    model = EqPropClassifier((64,) * 8, random_state=0, max_iter=80, batch_size=50, dtype=dtype)
    model.fit(X, y)
    assert model.score(X, y) > 0.8


@pytest.mark.filterwarnings("ignore:Training reached max_iter")
@pytest.mark.parametrize("relax_tol", [1e-2, 1e-4])
def test_an_explicit_tolerance_trains_deep_networks_too(relax_tol):
    # Unsettled rests of the free phase, taken for part of the nudge, drowned what reached layer 1.
    X, y = load_digits(return_X_y=True)
    model = EqPropClassifier((32, 32, 32), relax_tol=relax_tol, max_iter=15, random_state=0)
    assert model.fit(X[:600] / 16, y[:600]).score(X[:600] / 16, y[:600]) > 0.8
