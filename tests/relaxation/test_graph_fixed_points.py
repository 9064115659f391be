"""Every method of relaxation finds the fixed points of any graph of layers."""

import numpy as np
import pytest

from sklearn_eqprop._relaxation import FreeField
from tests.dense_graph import GRAPHS, SIZES, random_graph_net
from tests.dense_truth import ACTIVATIONS, random_task
from tests.engine import LOSSES, METHODS, joined, network_of, nudged_phases, settle, substrate_of

BETA = 0.2
#: Residuals are at most 1e-13; distance to the fixed point is that over 1 - contraction.
ACCURACY = 5e-12
LOSS_OF = dict(zip(GRAPHS, list(LOSSES) * 2, strict=True))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("graph", GRAPHS)
def test_free_and_nudged_fixed_points_are_those_of_the_dense_system(graph, activation):
    net = random_graph_net(GRAPHS[graph], activation)
    loss = LOSS_OF[graph]
    X, Y = random_task(4, SIZES, loss)
    truth = {beta: net.equilibrium(X, loss, Y, beta) for beta in (0.0, BETA, -BETA)}
    assert np.abs(truth[BETA] - truth[0.0]).max() > 0.01
    for method in METHODS:
        for step_size in (1.0, 0.5):
            substrate = substrate_of(net, method, step_size=step_size, tolerance=1e-13)
            free = substrate.settle(X)
            nudged = nudged_phases(substrate, free, LOSSES[loss], Y, (BETA, -BETA))
            for beta, result in zip(truth, (free.result, *nudged), strict=True):
                found = joined(result.states)
                case = f"{method}, step_size={step_size}, beta={beta}"
                residual = net.residual(found, X, loss, Y, beta)
                assert result.converged.all(), case
                assert np.abs(found - truth[beta]).max() < ACCURACY, case
                assert np.abs(result.residual - residual).max() < 1e-14, case


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("graph", GRAPHS)
def test_no_sample_depends_on_the_others(graph, method):
    # Where the input drives a layer other than the first, too, rows are put aside one by one.
    net = random_graph_net(GRAPHS[graph], "relu")
    X, _ = random_task(12, SIZES)
    X *= np.logspace(-2, 2, 12)[:, None]
    # So loose that some settle before Anderson acceleration sets in, where all take as many steps.
    together = settle(net, X, method, tolerance=1e-3)
    assert np.unique(together.n_steps).size > 1
    for row in range(12):
        alone = settle(net, X[[row]], method, tolerance=1e-3)
        assert alone.n_steps[0] == together.n_steps[row]
        apart = joined(alone.states)[0] - joined(together.states)[row]
        assert np.abs(apart).max() < 1e-12


@pytest.mark.parametrize("graph", GRAPHS)
def test_a_field_of_fewer_samples(graph):
    network = network_of(random_graph_net(GRAPHS[graph], "relu"))
    X, _ = random_task(12, SIZES)
    rows = np.array([1, 5, 6, 11])
    taken = FreeField(network, network.clamp(X), 12).take(rows)
    alone = FreeField(network, network.clamp(X[rows]), 4)
    assert taken.n_samples == 4
    assert [zeros.shape for zeros in taken.zero_states()] == [(4, size) for size in SIZES[1:]]
    for layer in (1, 2, 3):
        drives = [field.drive(layer, [None] * 3) for field in (taken, alone)]
        assert np.abs(drives[0] - drives[1]).max() < 1e-14


def test_lateral_inhibition_quietens_a_layer():
    # What it is for.
    net = random_graph_net(GRAPHS["lateral inhibition"], "relu", strength=0.8)
    X, _ = random_task(40, SIZES)
    with_it = joined(settle(net, X, "gauss_seidel").states)[:, net.span(1)]
    for pair, block in zip(net.feedback_pairs, net.feedback, strict=True):
        if pair[0] == pair[1]:
            block[:] = 0
    without = joined(settle(net, X, "gauss_seidel").states)[:, net.span(1)]
    assert (with_it > 0).mean() < (without > 0).mean()
    assert with_it.mean() < 0.9 * without.mean()
