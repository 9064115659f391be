"""Rules say what they need, and a trainer refuses what cannot give it before anything settles."""

import numpy as np
import pytest

from sklearn_eqprop._backend import NumpyBackend
from sklearn_eqprop._network import initial_weights, layered_wiring, wired_network
from sklearn_eqprop._relaxation import GaussSeidel
from sklearn_eqprop._rules.asymmetric import AsymmetricRule
from sklearn_eqprop._rules.clamped import ClampedRule
from sklearn_eqprop._rules.continual import ContinualRule
from sklearn_eqprop._rules.recurrent_backprop import RecurrentBackpropRule
from sklearn_eqprop.learning import (
    FEEDBACK_WAYS,
    NUDGINGS,
    Adam,
    CreditRule,
    LearningSettings,
    LogLoss,
    SettlingLimits,
    SimulatedNetwork,
    SquaredError,
    Trainer,
    VectorFieldRule,
    trained_parameters,
)

CENTERED = NUDGINGS["centered"]
RULES = {
    "VectorFieldRule": VectorFieldRule(CENTERED, 0.1),
    "AsymmetricRule": AsymmetricRule(CENTERED, 0.1),
    "RecurrentBackpropRule": RecurrentBackpropRule(CENTERED, 0.1),
    "ContinualRule": ContinualRule(CENTERED, 0.1),
    "ClampedRule": ClampedRule(CENTERED, 0.1),
}


class Chip:
    """A substrate that can do nothing but what every substrate can."""

    def settle(self, inputs):
        raise AssertionError

    def settle_nudged(self, free, loss, target, strengths):
        raise AssertionError

    def local_change(self, free, deltas):
        raise AssertionError


def trainer(substrate, rule, loss, feedback_learning="local", **options):
    network = small_network()
    way = FEEDBACK_WAYS[feedback_learning]()
    settings = LearningSettings((0.1, 0.1), 0.0, way, True)
    optimizer = Adam(trained_parameters(network, way), network.backend)
    return Trainer(substrate, network, rule, loss, optimizer, None, settings, **options)


def small_network():
    wiring = layered_wiring(2)
    weights = initial_weights(
        (4, 5, 3),
        wiring,
        feedback_init="transpose",
        feedback_scale=0.3,
        rng=np.random.RandomState(0),
        dtype=np.float64,
    )
    return wired_network(wiring, *weights, activation="relu", backend=NumpyBackend())


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("AsymmetricRule", "settle_corrected"),
        ("RecurrentBackpropRule", "settle_adjoint"),
        ("ContinualRule", "flow"),
        ("ClampedRule", "settle_clamped"),
    ],
)
def test_a_substrate_without_the_ability_is_refused(name, method):
    with pytest.raises(TypeError, match=rf"{name} .* Chip: it needs .* {method}.* VectorFieldRule"):
        trainer(Chip(), RULES[name], SquaredError())


def test_the_paper_s_rule_needs_the_two_verbs_only():
    trainer(Chip(), RULES["VectorFieldRule"], LogLoss())


@pytest.mark.parametrize("name", RULES)
def test_a_simulated_network_can_do_whatever_any_rule_needs(name):
    substrate = SimulatedNetwork(
        small_network(), GaussSeidel(1.0), SettlingLimits(1e-6, 1e-6, 50, 50)
    )
    trainer(substrate, RULES[name], SquaredError())


def test_a_clamped_output_is_about_the_squared_error():
    substrate = SimulatedNetwork(
        small_network(), GaussSeidel(1.0), SettlingLimits(1e-6, 1e-6, 50, 50)
    )
    with pytest.raises(TypeError, match=r"ClampedRule .* LogLoss: use SquaredError"):
        trainer(substrate, RULES["ClampedRule"], LogLoss())


def test_homeostasis_needs_units_that_can_be_probed_and_probes():
    rule, probes = RULES["VectorFieldRule"], np.random.RandomState(0)
    with pytest.raises(TypeError, match=r"'homeostasis' .* Chip: .* local_asymmetry.*kolen_poll"):
        trainer(Chip(), rule, LogLoss(), "homeostasis", probe_rng=probes)
    substrate = SimulatedNetwork(
        small_network(), GaussSeidel(1.0), SettlingLimits(1e-6, 1e-6, 50, 50)
    )
    with pytest.raises(TypeError, match="probe_rng"):
        trainer(substrate, rule, LogLoss(), "homeostasis")


class OwnRule(VectorFieldRule):
    needs = ("my_method",)


class PlainRule(CreditRule):
    """A user's rule that declares nothing."""

    def credit(self, substrate, batch):
        raise AssertionError


def test_rules_of_a_user_s_own():
    trainer(Chip(), PlainRule(CENTERED, 0.1), LogLoss())
    with pytest.raises(TypeError, match=r"OwnRule .* Chip: .* no method my_method"):
        trainer(Chip(), OwnRule(CENTERED, 0.1), LogLoss())
