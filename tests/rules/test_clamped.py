"""β = ∞: outputs held at the target; GeneRec and contrastive Hebbian learning, written out."""

import math

import numpy as np
import pytest

from sklearn_eqprop._relaxation import RELAXATIONS
from sklearn_eqprop._rules.base import Minibatch
from sklearn_eqprop._rules.clamped import ClampedRule
from sklearn_eqprop._rules.vector_field import NUDGINGS
from sklearn_eqprop._substrates.limits import SettlingLimits
from sklearn_eqprop._substrates.phases import nudged_states
from sklearn_eqprop._substrates.simulated import SimulatedNetwork
from tests.clamped_truth import clamped_equilibrium, contrast_of_products, generec
from tests.dense_graph import CHAIN, GRAPHS, random_graph_net
from tests.dense_truth import ACTIVATIONS, random_net, random_task
from tests.engine import LOSSES, METHODS, joined, network_of, nudged_phases, substrate_of

SIZES = (4, 6, 5, 3)
SHARES = np.array([0.5, 0.1, 0.15, 0.25])
TIED_GRAPH = (*CHAIN, (0, 2), (1, 3), (3, 1))
STEPS = {"gauss_seidel": 1.0, "euler": 0.7, "anderson": 1.0}


def _problem(activation, *, tied=False, graph=None):
    if graph is None:
        net = random_net(SIZES, activation, tied=tied, gain=0.6 if tied else 0.9, loop=0.4)
    else:
        net = random_graph_net(graph, activation, SIZES, tied=tied)
    return net, *random_task(4, SIZES)


def _rule(net, X, Y, method="gauss_seidel", *, rates=True):
    substrate = substrate_of(net, method, step_size=STEPS[method], rate_coordinates=rates)
    rule = ClampedRule(NUDGINGS["one_sided"], math.inf)
    batch = Minibatch(X, Y, LOSSES["squared_error"], SHARES[:, None], np.random.RandomState(0))
    credit = rule.credit(substrate, batch)
    return credit.changes


def _assert_blocks(found, truth):
    for change, block in zip(found, truth, strict=True):
        assert np.abs(block).max() > 1e-4
        assert np.abs(change - block).max() < 1e-12


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_outputs_are_held_and_the_rest_settles(activation, method):
    net, X, Y = _problem(activation)
    substrate = substrate_of(net, method, step_size=STEPS[method])
    free = substrate.settle(X)
    moved = substrate.settle_clamped(free, Y)
    assert np.array_equal(moved.states[-1], Y - free.result.states[-1])
    assert moved.converged.all()
    found = joined(nudged_states(free, moved).states)
    assert np.abs(found - clamped_equilibrium(net, X, Y)).max() < 1e-12


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_tied_weights_change_by_the_contrast_of_products(activation, method):
    net, X, Y = _problem(activation, tied=True)
    _assert_blocks(_rule(net, X, Y, method), contrast_of_products(net, X, Y, SHARES))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_tied_weights_of_a_graph_change_by_the_contrast_of_products(activation):
    net, X, Y = _problem(activation, tied=True, graph=TIED_GRAPH)
    _assert_blocks(_rule(net, X, Y), contrast_of_products(net, X, Y, SHARES))


@pytest.mark.parametrize("rates", [True, False])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_untied_weights_change_by_generec(activation, rates):
    net, X, Y = _problem(activation)
    _assert_blocks(_rule(net, X, Y, rates=rates), generec(net, X, Y, SHARES, rates=rates))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("graph", GRAPHS)
def test_generec_on_any_graph(graph, activation, method):
    net, X, Y = _problem(activation, graph=GRAPHS[graph])
    _assert_blocks(_rule(net, X, Y, method), generec(net, X, Y, SHARES))


@pytest.mark.parametrize("activation", ["tanh", "hard_sigmoid"])
def test_it_is_the_limit_of_ever_stronger_nudges(activation):
    net, X, Y = _problem(activation)
    substrate = substrate_of(net)
    free = substrate.settle(X)
    held = joined(substrate.settle_clamped(free, Y).states) + joined(free.result.states)
    distances = []
    for beta in (10.0, 100.0, 1000.0):
        [nudged] = nudged_phases(substrate, free, LOSSES["squared_error"], Y, (beta,))
        distances.append(np.abs(joined(nudged.states) - held).max())
    slope = np.polyfit(np.log([10.0, 100.0, 1000.0]), np.log(distances), 1)[0]
    assert abs(slope + 1) < 0.1


@pytest.mark.parametrize("method", METHODS)
def test_training_tolerance_is_relative_to_the_error_of_each_sample(method):
    net, X, Y = _problem("tanh")
    Y = net.split(net.equilibrium(X))[-1] + np.array([[1.0], [1e-2], [1e-4], [1e-6]]) * Y
    tight = substrate_of(net)
    free = tight.settle(X)
    limits = SettlingLimits(1e-12, 1e-3, 500, 500, literal=False)
    loose = SimulatedNetwork(network_of(net), RELAXATIONS[method](STEPS[method]), limits)
    found, truth = loose.settle_clamped(free, Y), tight.settle_clamped(free, Y)
    for layer, exact in zip(found.states, truth.states, strict=True):
        error = np.abs(layer - exact).max(axis=1)
        assert (error < 0.02 * np.abs(exact).max(axis=1)).all()


def test_samples_do_not_depend_on_each_other():
    net, X, Y = _problem("tanh")
    substrate = substrate_of(net, tolerance=1e-6)
    together = substrate.settle_clamped(substrate.settle(X), Y)
    for row in range(4):
        alone = substrate.settle_clamped(substrate.settle(X[[row]]), Y[[row]])
        assert alone.n_steps[0] == together.n_steps[row]
        for one, other in zip(alone.states, together.states, strict=True):
            assert np.abs(one[0] - other[row]).max() < 1e-14
