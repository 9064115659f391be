"""Where a user's loss lets a pushed output rest: the minimum of ½ ||s - drive||² + β C(s)."""

import numpy as np
import pytest

from sklearn_eqprop._losses.rest import shape_of
from sklearn_eqprop._losses.user_loss import WrappedLoss
from tests import own_losses
from tests.dense_truth import random_net, random_task
from tests.engine import METHODS, joined, nudged_phases, substrate_of

LOSSES = own_losses.SEPARABLE | own_losses.COUPLED
SIZES = (4, 6, 5, 3)


def _problem(dtype, n_rows=20, n_outputs=3):
    """Free outputs, drives relative to them, and 0/1 indicators."""
    rng = np.random.RandomState(0)
    origin = 1.5 * rng.standard_normal((n_rows, n_outputs))
    drive = 0.3 * rng.standard_normal(origin.shape)
    target = np.eye(n_outputs)[rng.randint(n_outputs, size=n_rows)]
    return [array.astype(dtype) for array in (origin, drive, target)]


def _evaluations(loss, beta, dtype, n_sweeps=8):
    """Displacement after a few sweeps, velocity there, and evaluations of the loss per call."""
    origin, drive, target = _problem(dtype)
    wrapped, counts = WrappedLoss(loss), []
    wrapped.try_out(np, target)
    original = wrapped.force

    def counted(*arguments):
        counts[-1] += 1
        return original(*arguments)

    wrapped.force = counted
    moved = np.zeros_like(origin)
    for _ in range(n_sweeps):
        counts.append(0)
        moved = wrapped.resolve(np, drive, moved, origin, target, beta)
    counts.append(0)
    velocity = wrapped.velocity(np, drive, moved, origin, target, beta)
    assert moved.dtype == velocity.dtype == dtype
    return moved, velocity, counts


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("beta", [0.05, 0.5, 10.0])
@pytest.mark.parametrize("name", LOSSES)
def test_no_step_in_any_direction_lowers_the_energy(name, beta, dtype):
    # The energy is strongly convex: within a step that does not lower it lies its minimum.
    loss = LOSSES[name]
    moved, velocity, counts = _evaluations(loss, beta, dtype)
    origin, drive, target = (array.astype(float) for array in _problem(dtype))

    def energy(d):
        return 0.5 * ((d - drive) ** 2).sum(axis=1) + beta * loss.value(origin + d, target)

    step = 1e-5 if dtype == np.float64 else 1e-2
    moved = moved.astype(float)
    directions = np.random.RandomState(1).standard_normal((10, 3))
    for direction in [*np.eye(3), *-np.eye(3), *directions]:
        assert (energy(moved + step * direction) >= energy(moved)).all()
    force = np.abs(moved - drive).max()
    assert np.abs(velocity).max() <= (1e-8 if dtype == np.float64 else 1e-3) * max(force, 1)
    assert max(counts) <= 80


@pytest.mark.parametrize("name", LOSSES)
def test_an_output_at_rest_is_recognised(name):
    _, _, counts = _evaluations(LOSSES[name], 0.5, np.float32, n_sweeps=20)
    assert counts[-1] <= (4 if name in own_losses.SEPARABLE else 70)


@pytest.mark.parametrize("beta", [0.05, 0.5, 3.0])
def test_closed_forms(beta):
    origin, drive, target = _problem(np.float64)
    at = origin + drive
    sign = 2 * target - 1
    expected = {
        "hinge": np.where(sign * at < 1, sign * np.minimum(sign * at + beta, 1), at),
        "pinball": target + np.clip(at - target - 0.1 * beta, 0, None)
        + np.clip(at - target + 0.9 * beta, None, 0),
        "squared, scale 1e4": (at + 1e4 * beta * target) / (1 + 1e4 * beta),
    }  # fmt: skip
    for name, truth in expected.items():
        moved, _, _ = _evaluations(LOSSES[name], beta, np.float64)
        assert np.abs(origin + moved - truth).max() < 1e-9


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", own_losses.KINKED)
def test_every_relaxation_settles_with_a_kink(name, method):
    net = random_net(SIZES, "tanh", gain=0.9, loop=0.4)
    X, Y = random_task(5, SIZES, "multilabel_log_loss")
    substrate = substrate_of(net, method, step_size=0.5 if method == "euler" else 1.0)
    free = substrate.settle(X)
    loss, beta = LOSSES[name], 0.4
    [result] = nudged_phases(substrate, free, WrappedLoss(loss), Y, (beta,))
    assert result.converged.all()
    S = joined(result.states)
    balance = net.drive(S, X) - S
    assert np.abs(balance[:, : net.ends[-2]]).max() < 1e-12
    # The force that the output needs lies between those on both sides of it.
    output, needed = S[:, net.span(3)], balance[:, net.span(3)]
    below, above = (beta * loss.derivative(output + side, Y) for side in (-1e-9, 1e-9))
    assert (below - 1e-8 <= needed).all()
    assert (needed <= above + 1e-8).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("loss", [own_losses.MulticlassHinge(), own_losses.CrossEntropy(1e4)])
def test_coupled_outputs_hold_a_force_that_is_kinked_or_very_steep(loss, method):
    net = random_net(SIZES, "tanh", gain=0.9, loop=0.4)
    X, Y = random_task(5, SIZES, "log_loss")
    step_size = 0.5 if method == "euler" else 1.0
    substrate = substrate_of(net, method, step_size=step_size, tolerance=1e-10)
    free = substrate.settle(X)
    [result] = nudged_phases(substrate, free, WrappedLoss(loss), Y, (0.4,))
    assert result.converged.all()
    S = joined(result.states)
    balance = net.drive(S, X) - S
    force = -0.4 * loss.derivative(free.result.states[-1], Y)
    balance[:, net.span(3)] += force
    assert np.abs(balance).max() < 1e-9


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", [*LOSSES, "multiclass hinge", "distance"])
def test_the_trial_sees_kinks_and_coupled_outputs(name, dtype):
    others = {"multiclass hinge": own_losses.MulticlassHinge(), "distance": own_losses.Distance()}
    loss = (LOSSES | others)[name]
    for target in (np.eye(3)[[0, 2, 1, 1, 0]], np.random.RandomState(0).standard_normal((5, 3))):
        if target.min() < 0 and name == "multiclass hinge":
            continue
        shape = shape_of(loss.derivative, target.astype(dtype))
        assert shape.couples == (name not in own_losses.SEPARABLE)
        assert shape.kinked == (name in {*own_losses.KINKED, *others})


def test_a_user_who_bounds_a_large_curvature_need_not_wait():
    class Bounded(own_losses.Squared):
        curvature = 1e4

    origin, drive, target = _problem(np.float64)
    wrapped, nothing = WrappedLoss(Bounded(1e4)), np.zeros_like(origin)
    moved = wrapped.resolve(np, drive, nothing, origin, target, 0.5)
    truth = (drive + 5e3 * (target - origin)) / (1 + 5e3)
    assert np.abs(moved - truth).max() < 1e-12


@pytest.mark.parametrize("name", ["hinge", "quartic", "cross-entropy, scale 20"])
def test_every_sample_is_searched_alone(name):
    origin, drive, target = _problem(np.float64, 8)
    wrapped, nothing = WrappedLoss(LOSSES[name]), np.zeros_like(drive)
    together = wrapped.resolve(np, drive, nothing, origin, target, 0.7)
    for row in range(8):
        rows = [row]
        alone = wrapped.resolve(np, drive[rows], nothing[rows], origin[rows], target[rows], 0.7)
        assert np.abs(together[rows] - alone).max() < 1e-12


def test_a_loss_that_is_not_convex_finds_a_stable_rest():
    class Welsch(own_losses.Separable):
        def cost(self, s, y):
            return 1 - np.exp(-((s - y) ** 2))

        def slope(self, s, y):
            return 2 * (s - y) * np.exp(-((s - y) ** 2))

    origin, drive, target = _problem(np.float64)
    moved = np.zeros_like(origin)
    wrapped = WrappedLoss(Welsch())
    for _ in range(8):
        moved = wrapped.resolve(np, drive, moved, origin, target, 1.0)
    slope = 2 * (origin + moved - target) * np.exp(-((origin + moved - target) ** 2))
    assert np.abs(drive - slope - moved).max() < 1e-10


@pytest.mark.parametrize("scale", [1e4, 1e9, 1e12])
@pytest.mark.parametrize(
    ("kind", "most", "error"), [(own_losses.Hinge, 45, 1e-9), (own_losses.SquaredHinge, 25, 0.03)]
)
def test_a_steep_loss_is_resolved_in_few_evaluations(kind, most, error, scale):
    class Scaled(kind):
        def cost(self, s, y):
            return scale * super().cost(s, y)

        def slope(self, s, y):
            return scale * super().slope(s, y)

    origin, drive, target = _problem(np.float64)
    moved, _, counts = _evaluations(Scaled(), 0.5, np.float64, n_sweeps=1)
    sign = 2 * target - 1
    # Outputs within the margin rest on its edge, or less than 1e-3 before it.
    truth = np.maximum(sign * (origin + drive), 1)
    assert np.abs(sign * (origin + moved) - truth).max() < error
    assert counts[0] <= most
