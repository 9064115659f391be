"""Facts that rules, ways of nudging and of feedback learning state about themselves."""

import numpy as np
import pytest

from sklearn_eqprop._feedback import FEEDBACK_WAYS
from sklearn_eqprop._losses import LABEL_LOSSES, MULTILABEL_LOSSES, NUMBER_LOSSES
from sklearn_eqprop._network import Wiring
from sklearn_eqprop._rules import NUDGINGS, RULES, Credit, CreditRule
from sklearn_eqprop._rules.clamped import ClampedRule
from sklearn_eqprop._substrates.seam import Substrate
from sklearn_eqprop._substrates.simulated import SimulatedNetwork
from sklearn_eqprop._training import OPTIMIZERS, SCHEDULES
from sklearn_eqprop.learning import (
    SGD,
    LearningSettings,
    Trainer,
    TrainingData,
    run_epoch,
    trained_parameters,
)
from tests.dense_truth import random_net, random_task
from tests.engine import LOSSES, substrate_of

SIZES = (4, 6, 5, 3)
EVERY_RULE = [*RULES.values(), ClampedRule]


def test_registries_hold_each_class_by_its_name():
    assert set(RULES) == {"vector_field", "asymmetric", "recurrent_backprop", "continual"}
    assert list(NUDGINGS) == ["one_sided", "random_sign", "centered"]
    assert set(FEEDBACK_WAYS) == {"local", "kolen_pollack", "homeostasis", "fixed"}
    assert set(OPTIMIZERS) == {"adam", "sgd"}
    assert list(SCHEDULES) == ["constant", "invscaling", "adaptive", "cosine"]
    for registry in (RULES, NUDGINGS, FEEDBACK_WAYS, OPTIMIZERS, SCHEDULES):
        assert all(entry.name == name for name, entry in registry.items())


@pytest.mark.parametrize("kind", [*EVERY_RULE, *FEEDBACK_WAYS.values()], ids=lambda k: k.name)
def test_needs_are_methods_beyond_those_of_every_substrate(kind):
    for need in kind.needs:
        assert callable(getattr(SimulatedNetwork, need))
        assert not hasattr(Substrate, need)


@pytest.mark.parametrize("rule", EVERY_RULE, ids=lambda rule: rule.name)
def test_facts_of_a_rule_agree(rule):
    # The exact gradient needs no feedback, so feedback cannot attenuate it.
    assert not (rule.exact and rule.attenuated)
    if rule.losses is not None:
        losses = {**NUMBER_LOSSES, **LABEL_LOSSES, **MULTILABEL_LOSSES}
        assert [name for name, loss in losses.items() if getattr(loss, rule.losses)]
    if rule.in_states_only:
        assert rule.auto_coordinates == "state"
    assert 0 < rule.free_tolerance <= rule.nudged_tolerance


@pytest.mark.parametrize("name", NUDGINGS)
def test_facts_of_nudging(name):
    nudging, rng = NUDGINGS[name], np.random.RandomState(0)
    before = rng.get_state()[2]
    signs = {np.sign(beta) for _ in range(20) for beta in nudging.strengths(0.5, rng)}
    assert nudging.both_signs == (signs == {-1, 1})
    assert nudging.draws == (rng.get_state()[2] != before)


def test_only_what_turns_feedback_to_its_partner_aligns():
    aligns = {name for name, way in FEEDBACK_WAYS.items() if way.aligns}
    assert aligns == {"kolen_pollack", "homeostasis"}
    wiring = Wiring.of([(0, 1), (1, 2), (2, 1)])
    for way in FEEDBACK_WAYS.values():
        assert not (way.follows and any(way().own_change(wiring)))


class OutputOnly(CreditRule):
    """A rule without a second phase: the output layer learns, the others do not."""

    name = "output_only"

    def credit(self, substrate, batch):
        free = substrate.settle(batch.inputs)
        force = batch.loss.force(np, free.result.states[-1], batch.target) * batch.weights
        deltas = [0 * state for state in free.result.states[:-1]]
        return Credit(substrate.local_change(free, [*deltas, force]), free, [])


def test_a_rule_may_have_no_second_phase():
    net = random_net(SIZES, "tanh")
    X, Y = random_task(4, SIZES)
    substrate, way = substrate_of(net), FEEDBACK_WAYS["fixed"]()
    network = substrate.network
    trainer = Trainer(
        substrate,
        network,
        OutputOnly(NUDGINGS["one_sided"], 1.0),
        LOSSES["squared_error"],
        SGD(trained_parameters(network, way), network.backend),
        None,
        LearningSettings((0.1,) * 3, 0.0, way, layerwise_rescale=True),
    )
    record = run_epoch(
        trainer,
        TrainingData(X, Y, None, 4),
        batch_size=4,
        rate_factor=1.0,
        shuffle_rng=None,
        nudging_rng=np.random.RandomState(0),
        beta=1.0,
    )
    assert record.free_steps > 0
    assert record.nudged_steps == record.nudged_residual == record.nudged_unconverged == 0
    # The gradient of the squared error in the output's bias is the mean of s - y.
    error = Y - net.split(net.equilibrium(X))[-1]
    moved = network.biases[-1] - net.biases[-1]
    assert np.abs(moved - 0.1 * error.mean(axis=0)).max() < 1e-12
    assert np.array_equal(network.forward[0].weights, net.coefs[0])
