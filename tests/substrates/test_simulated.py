"""What counts as settled: the free phase relative to the drive, the nudged phase to β."""

import numpy as np
import pytest

from tests.dense_truth import random_net, random_task
from tests.engine import LOSSES, METHODS, joined, nudged_phases, substrate_of

SIZES = (4, 6, 5, 3)
TOLERANCE = 1e-4


def _setting(loss="log_loss"):
    net = random_net(SIZES, "tanh", gain=0.9, loop=0.5)
    return net, *random_task(5, SIZES, loss)


@pytest.mark.parametrize("beta", [1.0, 1e-3, -1e-3, 1e-6, -1e-6])
@pytest.mark.parametrize("method", METHODS)
def test_nudged_phase_settles_to_the_tolerance_times_beta(method, beta):
    # So the displacement is as accurate for a faint nudge as for a strong one, in deep layers too.
    net, X, Y = _setting()
    free = substrate_of(net).settle(X)
    loose = substrate_of(net, method, tolerance=TOLERANCE)
    [result] = nudged_phases(loose, free, LOSSES["log_loss"], Y, (beta,))
    found = joined(result.states)
    residual = net.residual(found, X, "log_loss", Y, beta)
    assert result.converged.all()
    assert (residual <= TOLERANCE * abs(beta) + 1e-14).all()
    assert result.n_steps.min() > 2
    displacement = (found - joined(free.result.states)) / beta
    [exact] = nudged_phases(substrate_of(net), free, LOSSES["log_loss"], Y, (beta,))
    truth = (joined(exact.states) - joined(free.result.states)) / beta
    assert np.abs(truth[:, net.span(1)]).max() > 1e-2
    assert np.abs(displacement - truth).max() < 10 * TOLERANCE


@pytest.mark.parametrize("method", METHODS)
def test_nudged_steps_hardly_depend_on_beta(method):
    # An absolute tolerance would stop a faint nudge at once.
    net, X, Y = _setting()
    free = substrate_of(net).settle(X)
    loose = substrate_of(net, method, tolerance=TOLERANCE)
    steps = [
        nudged_phases(loose, free, LOSSES["log_loss"], Y, (beta,))[0].n_steps
        for beta in (1e-2, 1e-4, 1e-6)
    ]
    for fainter in steps[1:]:
        assert np.abs(fainter - steps[0]).max() <= 1


@pytest.mark.parametrize("method", METHODS)
def test_a_nudge_below_rounding_is_given_up(method):
    # A residual of tolerance · β is out of reach then: it must not run to the limit of steps.
    net, X, Y = _setting()
    free = substrate_of(net).settle(X)
    loose = substrate_of(net, method, tolerance=TOLERANCE, max_iter=200)
    [result] = nudged_phases(loose, free, LOSSES["log_loss"], Y, (1e-13,))
    assert result.converged.all()
    assert result.n_steps.max() < 20


@pytest.mark.parametrize("method", METHODS)
def test_free_phase_settles_relative_to_the_drive_of_each_sample(method):
    net, X, _ = _setting()
    X[3] *= 1e4
    result = substrate_of(net, method, tolerance=TOLERANCE).settle(X).result
    size = np.maximum(1, np.abs(X @ net.coefs[0] + net.biases[0]).max(axis=1))
    residual = net.residual(joined(result.states), X)
    assert result.converged.all()
    assert (residual <= TOLERANCE * size).all()
    assert size[3] > 1e3
    assert (residual[np.arange(5) != 3] <= TOLERANCE * 10).all()


def test_several_strengths_settle_as_each_would_alone():
    net, X, Y = _setting()
    substrate = substrate_of(net, tolerance=1e-8)
    free = substrate.settle(X)
    kept = [state.copy() for state in free.result.states]
    strengths = (0.5, -0.5)
    together = nudged_phases(substrate, free, LOSSES["log_loss"], Y, strengths)
    for result, beta in zip(together, strengths, strict=True):
        [alone] = nudged_phases(substrate, free, LOSSES["log_loss"], Y, (beta,))
        assert np.abs(joined(result.states) - joined(alone.states)).max() < 1e-7
        assert (result.n_steps >= alone.n_steps).all()  # the phases of a sample stop together
    assert np.array_equal(together[0].n_steps, together[1].n_steps)
    for state, copy in zip(free.result.states, kept, strict=True):
        assert np.array_equal(state, copy)  # the next phase starts from it too


def test_free_phase_leaves_its_inputs_alone_and_keeps_them():
    net, X, _ = _setting()
    kept = X.copy()
    free = substrate_of(net).settle(X)
    assert np.array_equal(X, kept)
    assert np.array_equal(free.inputs, kept)
