"""What the diagnostics say of any graph of layers and of any loss, against the dense system."""

import functools

import numpy as np
import pytest

from sklearn_eqprop.diagnostics import (
    error_processes,
    good_parameter,
    gradient_alignment,
    jacobian_symmetry,
)
from tests import every_loss
from tests.dense_graph import GRAPHS, SIZES, random_graph_net
from tests.dense_truth import random_task
from tests.diagnostics.twins import KINK_MARGIN, N_SAMPLES, blocks_of, cosine, jacobians, shares
from tests.diagnostics.twins import twin as twin_of

STEP, N_STEPS = 0.25, 8
EXACT = ("asymmetric", "recurrent_backprop")
OF_THEOREM_1 = ("vector_field", "continual")
GRAPHS_AND_ACTIVATIONS = [
    pytest.mark.parametrize("activation", ["tanh", "relu"]),
    pytest.mark.parametrize("graph", ["ring", "skip", "lateral inhibition", "all"]),
]
EVERY_LOSS = pytest.mark.parametrize("loss", every_loss.LOSSES)


def on_every_graph(test):
    for mark in GRAPHS_AND_ACTIVATIONS:
        test = mark(test)
    return test


@functools.cache
def problem(graph, activation):
    """First random network without a unit near a kink, inputs, and a target for every loss."""
    X, _ = random_task(N_SAMPLES, SIZES)
    for seed in range(20):
        net = random_graph_net(GRAPHS[graph], activation, seed=seed)
        if net.margin(net.equilibrium(X), X) > KINK_MARGIN:
            return net, X, every_loss.targets_of(net, X)
    raise AssertionError((graph, activation))


@functools.cache
def truths(graph, activation):
    """dJ/dθ and ν of every loss."""
    task = *problem(graph, activation), shares()
    return every_loss.gradients(*task), every_loss.theorem_1(*task)


def twin(graph, activation, loss="squared_error", **parameters):
    """Estimator whose network and loss are those of a problem, and its data."""
    net, X, targets = problem(graph, activation)
    parameters["connections"] = GRAPHS[graph]
    kind = loss
    if not loss.endswith("log_loss"):  # a regressor
        kind, parameters["loss"] = "squared_error", every_loss.USERS.get(loss, loss)
    model, y = twin_of(net, kind, X, targets[loss], **parameters)
    return model, X, y


@EVERY_LOSS
@on_every_graph
def test_every_cosine_and_size_of_the_alignment(graph, activation, loss):
    net, X, targets = problem(graph, activation)
    gradient, nu = (truth[loss] for truth in truths(graph, activation))
    found = gradient_alignment(*twin(graph, activation, loss))
    assert found.overall == pytest.approx(cosine(nu, -gradient), abs=1e-6)
    assert found.slope == pytest.approx(nu @ gradient, rel=1e-5)
    outputs = net.split(net.equilibrium(X))[-1]
    objective = every_loss.VALUES[loss](outputs, targets[loss]).mean()
    assert found.objective == pytest.approx(objective, rel=1e-9)
    assert found.n_unsettled == 0
    layers = [*(target for _, target in net.connections), 1, 2, 3]
    assert [block.layer for block in found.blocks] == layers
    of_blocks = zip(blocks_of(net, nu), blocks_of(net, gradient), strict=True)
    for block, (of_nu, of_gradient) in zip(found.blocks, of_blocks, strict=True):
        assert block.cosine == pytest.approx(cosine(of_nu, -of_gradient), abs=1e-5)
        assert block.nu_norm == pytest.approx(np.linalg.norm(of_nu), rel=1e-6)
        assert block.gradient_norm == pytest.approx(np.linalg.norm(of_gradient), rel=1e-5)


@pytest.mark.parametrize("gradient", EXACT + OF_THEOREM_1)
@EVERY_LOSS
def test_the_update_is_minus_the_gradient_or_nu(loss, gradient):
    settings = {"gradient": gradient, "nudging": "centered", "beta": 1e-4, "relax_tol": 1e-13}
    settings |= {"feedback_learning": "local", "layerwise_rescale": False}
    settings |= {"max_relax_iter": 2000, "max_nudge_iter": 2000}
    found = gradient_alignment(*twin("all", "tanh", loss, **settings))
    for block in found.blocks:
        truth = 1 if gradient in EXACT else block.cosine
        assert block.update_cosine == pytest.approx(truth, abs=1e-6)
    assert found.overall < 0.999


@EVERY_LOSS
@on_every_graph
def test_the_limits_of_both_processes(graph, activation, loss):
    net, _, _ = problem(graph, activation)
    settings = {"step_size": 0.5, "max_time": 200, "tol": 1e-9, "n_records": 5}
    found = error_processes(*twin(graph, activation, loss), **settings)
    assert found.remaining <= 1e-9
    for limits, truth, accuracy in zip(
        (found.gradient, found.nu), truths(graph, activation), (1e-6, 1e-5), strict=True
    ):
        for limit, block in zip(limits, blocks_of(net, truth[loss]), strict=True):
            error = np.abs(limit.ravel() - block).max()
            assert error < accuracy * np.abs(block).max() + 1e-8


def _dense_signals(net, X, C_s, *, transposed):
    """S or σ of every sample after 0..N_STEPS Euler steps, (times, samples, units)."""
    signals = np.zeros((N_STEPS + 1, N_SAMPLES, net.ends[-1]))
    signals[0][:, net.span(net.n_layers)] = C_s if transposed else -C_s
    for sample, (A, free) in enumerate(jacobians(net, X)):
        matrix = np.eye(len(A)) + STEP * (A.T if transposed else A)
        for step in range(N_STEPS):
            signals[step + 1, sample, free] = matrix @ signals[step, sample, free]
    return signals


@EVERY_LOSS
@on_every_graph
def test_both_processes_step_by_step(graph, activation, loss):
    net, X, targets = problem(graph, activation)
    found = error_processes(
        *twin(graph, activation, loss), step_size=STEP, max_time=STEP * N_STEPS, tol=0
    )
    C_s = every_loss.SLOPES[loss](net.split(net.equilibrium(X))[-1], targets[loss])
    S = _dense_signals(net, X, C_s, transposed=True)
    sigma = _dense_signals(net, X, C_s, transposed=False)
    for index, (of_S, of_sigma) in enumerate(zip(net.split(S), net.split(sigma), strict=True)):
        sizes = [np.linalg.norm(of, axis=(1, 2)) / np.sqrt(N_SAMPLES) for of in (of_S, of_sigma)]
        np.testing.assert_allclose(found.S_size[:, index], sizes[0], rtol=1e-9, atol=1e-12)
        # σ is measured at β = 1e-6.
        np.testing.assert_allclose(found.sigma_size[:, index], sizes[1], rtol=2e-4, atol=1e-9)
        with np.errstate(invalid="ignore"):  # NaN until both have arrived
            cosines = -(of_S * of_sigma).mean(axis=1).sum(axis=-1) / (sizes[0] * sizes[1])
        np.testing.assert_allclose(found.cosine[:, index], cosines, atol=1e-4)


@on_every_graph
def test_symmetry_of_the_jacobian(graph, activation):
    net, X, _ = problem(graph, activation)
    matrices = [A for A, _ in jacobians(net, X)]
    half = sum(np.linalg.norm((A + A.T) / 2) ** 2 for A in matrices)
    truth = np.sqrt(half / sum(np.linalg.norm(A) ** 2 for A in matrices))
    found = jacobian_symmetry(twin(graph, activation)[0], X)
    assert found.symmetry == pytest.approx(truth, rel=1e-10)


@EVERY_LOSS
@on_every_graph
def test_nu_leads_downhill_from_a_good_parameter(graph, activation, loss):
    gradient, nu = (truth[loss] for truth in truths(graph, activation))
    found = good_parameter(*twin(graph, activation, loss), n_starts=2)
    assert found.converged == 1
    assert found.slope == pytest.approx(nu @ gradient, rel=1e-5)
    assert found.cosine == pytest.approx(cosine(nu, -gradient), abs=1e-6)
    assert nu @ gradient < 0
    assert found.is_good
