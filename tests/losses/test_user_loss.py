"""A wrapped that the user brings: it settles, it follows Theorem 1, and it is tried out first."""

import math

import numpy as np
import pytest

from sklearn_eqprop._losses.user_loss import WrappedLoss
from sklearn_eqprop._rules.base import Minibatch
from sklearn_eqprop._rules.vector_field import NUDGINGS, VectorFieldRule
from tests.dense_truth import LOSSES as TRUTH
from tests.dense_truth import random_net, random_task
from tests.engine import METHODS, joined, nudged_phases, substrate_of

SIZES = (4, 6, 5, 3)
SHARES = np.array([0.5, 0.1, 0.15, 0.25])


class Squared:
    def value(self, output, target):
        return 0.5 * ((output - target) ** 2).sum(axis=1)

    def derivative(self, output, target):
        return output - target


class CrossEntropy:
    """Softmax; every output acts on every other."""

    def value(self, output, target):
        return np.log(np.exp(output).sum(axis=1)) - (target * output).sum(axis=1)

    def derivative(self, output, target):
        grown = np.exp(output)
        return grown / grown.sum(axis=1, keepdims=True) - target


class Quartic:
    """Curvature from 0 at the target to any size far off."""

    def value(self, output, target):
        return 0.25 * ((output - target) ** 4).sum(axis=1)

    def derivative(self, output, target):
        return (output - target) ** 3


class Exponential:
    def value(self, output, target):
        return (np.exp(output) - target * output).sum(axis=1)

    def derivative(self, output, target):
        return np.exp(output) - target


class Steep:
    """Nearly the absolute error: curvature 50 at the target, 0 elsewhere."""

    def value(self, output, target):
        return np.logaddexp(50 * (output - target), 50 * (target - output)).sum(axis=1) / 50

    def derivative(self, output, target):
        return np.tanh(50 * (output - target))


LOSSES = pytest.mark.parametrize("loss", [Squared, CrossEntropy, Quartic, Exponential, Steep])


def _outputs_and_targets(n_rows=30):
    rng = np.random.RandomState(0)
    return 1.5 * rng.standard_normal((n_rows, 3)), np.abs(rng.standard_normal((n_rows, 3)))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("beta", [0.05, 0.5, 2.0, 10.0])
@LOSSES
def test_resolve_brings_any_output_to_rest(loss, beta, dtype):
    output, target = (array.astype(dtype) for array in _outputs_and_targets())
    wrapped = WrappedLoss(loss())
    drive, moved = np.zeros_like(output), np.zeros_like(output)
    with np.errstate(over="ignore"):  # trial steps may go too far
        for _ in range(8):
            moved = wrapped.resolve(np, drive, moved, output, target, beta)
    assert moved.dtype == dtype
    residual = np.abs(-beta * loss().derivative(output + moved, target) - moved)
    force = np.abs(beta * loss().derivative(output, target)).max(axis=1, keepdims=True)
    assert (residual <= (1e-6 if dtype == np.float64 else 1e-4) * np.maximum(force, 1)).all()


@LOSSES
def test_resolve_treats_every_sample_alone(loss):
    output, target = _outputs_and_targets(8)
    wrapped = WrappedLoss(loss())
    nothing = np.zeros_like(output)
    together = wrapped.resolve(np, nothing, nothing, output, target, 0.7)
    for row in range(8):
        rows = [row]
        alone = wrapped.resolve(np, nothing[rows], nothing[rows], output[rows], target[rows], 0.7)
        assert np.abs(together[rows] - alone).max() < 1e-12


@pytest.mark.parametrize("method", METHODS)
@LOSSES
def test_nudged_equilibria_are_those_of_the_equations(loss, method):
    net = random_net(SIZES, "tanh", gain=0.9, loop=0.4)
    X, Y = random_task(5, SIZES, "poisson")
    substrate = substrate_of(net, method, step_size=0.1 if method == "euler" else 1.0)
    free = substrate.settle(X)
    beta = 0.05 if method == "euler" else 0.5  # Euler must step as finely as the wrapped is curved
    [result] = nudged_phases(substrate, free, WrappedLoss(loss()), Y, (beta,))
    assert result.converged.all()
    S = joined(result.states)
    balance = net.drive(S, X) - S
    balance[:, net.span(3)] -= beta * loss().derivative(S[:, net.span(3)], Y)
    assert np.abs(balance).max() < 1e-11
    assert np.abs(S - joined(free.result.states)).max() > 1e-3


@pytest.mark.parametrize("nudging", ["one_sided", "centered"])
@pytest.mark.parametrize(("loss", "name"), [(Squared, "squared_error"), (CrossEntropy, "log_loss")])
def test_update_follows_the_theorem(loss, name, nudging):
    net = random_net(SIZES, "tanh", gain=0.9, loop=0.4)
    X, Y = random_task(4, SIZES, name)
    truth = net.theorem_1(X, name, Y, SHARES)
    rule = VectorFieldRule(NUDGINGS[nudging], 1e-5)
    wrapped = WrappedLoss(loss())
    batch = Minibatch(X, Y, wrapped, SHARES[:, None], np.random.RandomState(0))
    credit = rule.credit(substrate_of(net), batch)
    found = np.concatenate([change.ravel() for change in credit.changes])
    assert np.linalg.norm(found - truth) < 1e-4 * np.linalg.norm(truth)


def test_a_bound_of_the_curvature_is_taken_at_its_word():
    class Bounded(CrossEntropy):
        curvature = 0.5

    output, target = random_task(6, (3, 3), "log_loss")
    assert WrappedLoss(Bounded()).curvature == 0.5
    assert math.isinf(WrappedLoss(CrossEntropy()).curvature)
    start = np.zeros_like(output)
    found = start
    for _ in range(60):
        found = WrappedLoss(Bounded()).resolve(np, start, found, output, target, -1.5)
    slope = TRUTH["log_loss"][1](output + found, target)
    assert np.abs(1.5 * slope - found).max() < 1e-12


def test_a_loss_that_works_in_place_does_no_harm():
    class InPlace(Squared):
        def derivative(self, output, target):
            output -= target
            return output

    output, target = _outputs_and_targets()
    kept = output.copy(), target.copy()
    wrapped = WrappedLoss(InPlace())
    assert np.array_equal(wrapped.force(np, output, target), target - output)
    wrapped.try_out(np, target)
    assert np.array_equal(output, kept[0])
    assert np.array_equal(target, kept[1])


@LOSSES
def test_good_losses_pass_the_trial(loss):
    for dtype in (np.float64, np.float32):
        WrappedLoss(loss()).try_out(np, _outputs_and_targets()[1].astype(dtype))


def test_kinks_pass_the_trial():
    class Pinball:
        def value(self, output, target):
            return np.maximum(0.9 * (target - output), 0.1 * (output - target)).sum(axis=1)

        def derivative(self, output, target):
            return np.where(output > target, 0.1, -0.9)

    for shift in np.linspace(0, 0.02, 41):  # some of them within a step of an output
        target = np.random.RandomState(0).standard_normal((5, 3)) + shift
        WrappedLoss(Pinball()).try_out(np, target)


def _bad(**methods):
    return type("Bad", (Squared,), methods)()


BAD = {
    "wrong sign": (
        _bad(derivative=lambda self, s, y: y - s),
        r"loss\.derivative returned .* but loss\.value rises by .* per unit of output \d",
    ),
    "wrong scale": (_bad(derivative=lambda self, s, y: 2 * (s - y)), r"must return ∂value/∂output"),
    "averages": (
        _bad(value=lambda self, s, y: np.full(len(s), ((s - y) ** 2).mean())),
        r"loss\.value gives a sample .* alone and .* with others",
    ),
    "one number": (
        _bad(value=lambda self, s, y: ((s - y) ** 2).sum()),
        r"loss\.value must return real numbers in the shape \(5,\), but returned float64 .* \(\)",
    ),
    "an array of outputs": (
        _bad(value=lambda self, s, y: (s - y) ** 2),
        r"loss\.value .* shape \(5,\), but returned float64 in the shape \(5, 3\)",
    ),
    "one slope a sample": (
        _bad(derivative=lambda self, s, y: (s - y).sum(axis=1)),
        r"loss\.derivative .* shape \(5, 3\), but returned float64 in the shape \(5,\)",
    ),
    "None": (_bad(derivative=lambda self, s, y: None), r"loss\.derivative .* returned object"),
    "complex": (
        _bad(derivative=lambda self, s, y: s - y + 0j),
        r"real numbers.* returned complex128",
    ),
    "nan": (
        _bad(value=lambda self, s, y: np.full(len(s), np.nan)),
        r"loss\.value returned numbers that are not finite",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_losses_do_not(case):
    loss, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        WrappedLoss(loss).try_out(np, _outputs_and_targets()[1])


@pytest.mark.parametrize("curvature", [-1, "steep", math.nan])
def test_bad_curvature(curvature):
    loss = _bad(curvature=curvature)
    with pytest.raises(ValueError, match=r"loss\.curvature=.* must be a number >= 0"):
        WrappedLoss(loss)


def test_a_curvature_that_the_derivative_gives_the_lie():
    class Steep(CrossEntropy):
        curvature = 0.05

    target = _outputs_and_targets()[1]
    with pytest.raises(ValueError, match=r"loss\.curvature=0\.05, but .* rises by 0\.\d+ per unit"):
        WrappedLoss(Steep()).try_out(np, target)
    Steep.curvature = 0.25  # no single output's is larger
    WrappedLoss(Steep()).try_out(np, target)


def test_a_class_in_place_of_an_object():
    with pytest.raises(ValueError, match=r"is a class\. Pass an object of it, Squared\(\.\.\.\)"):
        WrappedLoss(Squared)
