"""Estimators of ds/dβ on polynomials in β, whose derivative is known."""

import numpy as np
import pytest

from sklearn_eqprop._rules.vector_field import NUDGINGS
from sklearn_eqprop._substrates.phases import Nudge
from tests.dense_truth import LOSSES as TRUTH
from tests.dense_truth import random_net, random_task
from tests.engine import LOSSES, update

COEFFICIENTS = np.random.RandomState(0).standard_normal((4, 3, 2))


def _state(beta):
    """A cubic in β, so that the error of each estimator is known exactly."""
    return sum(c * beta**power for power, c in enumerate(COEFFICIENTS))


def _estimate(name, beta, rng=None):
    nudging = NUDGINGS[name]
    strengths = nudging.strengths(beta, rng)
    displacements = [_state(strength) - _state(0.0) for strength in strengths]
    return nudging.slope(displacements, strengths), strengths


@pytest.mark.parametrize("beta", [0.3, -0.3, 1e-3])
def test_one_sided(beta):
    found, strengths = _estimate("one_sided", beta)
    _, first, second, third = COEFFICIENTS
    assert strengths == (beta,)
    assert np.abs(found - (first + beta * second + beta**2 * third)).max() < 1e-12


@pytest.mark.parametrize("beta", [0.3, -0.3, 1e-3])
def test_centered_loses_the_even_orders(beta):
    found, strengths = _estimate("centered", beta)
    _, first, _, third = COEFFICIENTS
    assert strengths == (beta, -beta)
    assert np.abs(found - (first + beta**2 * third)).max() < 1e-12


def test_random_sign_is_one_sided_with_either_sign():
    rng = np.random.RandomState(1)
    signs = []
    for _ in range(400):
        found, strengths = _estimate("random_sign", 0.3, rng)
        expected, _ = _estimate("one_sided", strengths[0])
        assert np.array_equal(found, expected)
        signs.append(strengths[0] / 0.3)
    assert set(signs) == {1.0, -1.0}
    assert abs(np.mean(signs)) < 0.15  # three standard deviations


@pytest.mark.parametrize("loss", LOSSES)
def test_nudge_is_minus_beta_times_the_slope_of_the_cost(loss):
    _, target = random_task(5, (1, 3), loss)
    output = np.random.RandomState(3).standard_normal((5, 3))
    betas = np.array([[0.5], [-0.5], [0.1], [0.2], [-0.3]])
    truth = -betas * TRUTH[loss][1](output, target)
    nudge = Nudge(LOSSES[loss], target, betas, 0.0, np)
    drive = output[::-1]
    velocity = nudge.velocity(drive, output)
    assert np.abs(velocity - (drive - output + truth)).max() < 1e-15
    rows = np.array([4, 1])
    assert np.array_equal(nudge.take(rows).velocity(drive[rows], output[rows]), velocity[rows])
    one = Nudge(LOSSES[loss], target, 0.5, 0.0, np)
    velocity = one.velocity(drive, output)
    assert np.array_equal(one.take(rows).velocity(drive[rows], output[rows]), velocity[rows])


@pytest.mark.parametrize("loss", LOSSES)
def test_nudge_counts_displacements_from_its_origin(loss):
    _, target = random_task(5, (1, 3), loss)
    origin, moved, drive = np.random.RandomState(3).standard_normal((3, 5, 3))
    from_origin = Nudge(LOSSES[loss], target, 0.4, origin, np)
    from_zero = Nudge(LOSSES[loss], target, 0.4, 0.0, np)
    velocity = from_origin.velocity(drive, moved)
    shifted = from_zero.velocity(origin + drive, origin + moved)
    assert np.abs(velocity - shifted).max() < 1e-14
    rows = np.array([4, 1])
    found = from_origin.take(rows).velocity(drive[rows], moved[rows])
    assert np.array_equal(found, velocity[rows])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pushes_that_have_all_but_faded_are_none(dtype):
    # Subnormal numbers would follow in the layers below, and slow down every product there.
    faint = np.sqrt(np.finfo(dtype).tiny)
    target = np.array([[0.5 * faint, 0.2 * faint], [3 * faint, 0.5 * faint]], dtype=dtype)
    zero = np.zeros_like(target)
    nudge = Nudge(LOSSES["squared_error"], target, 1.0, zero, np)
    np.testing.assert_array_equal(nudge.velocity(zero, zero), [[0, 0], [target[1, 0], 0]])
    np.testing.assert_array_equal(nudge.resolve(zero, zero), [[0, 0], [target[1, 0] / 2, 0]])


@pytest.mark.parametrize("beta", [1e-3, 1e-18])
def test_a_small_beta_makes_no_push_faint(beta):
    target = np.array([[1.0, -1.0]], dtype=np.float32)
    zero = np.zeros_like(target)
    nudge = Nudge(LOSSES["squared_error"], target, np.float32(beta), zero, np)
    np.testing.assert_allclose(nudge.velocity(zero, zero), beta * target, rtol=1e-6)


@pytest.mark.parametrize("nudging", ["one_sided", "centered"])
@pytest.mark.parametrize("activation", ["relu", "hard_sigmoid"])
def test_direction_is_exact_for_one_output_and_a_squared_error(activation, nudging):
    # As long as no unit crosses a kink, the hidden layers answer in proportion to the output.
    sizes, one = (4, 6, 5, 1), np.ones(1)
    net = random_net(sizes, activation, gain=0.9, loop=0.2)
    X, Y = random_task(1, sizes, "squared_error")
    truth = update(net, X, Y, "squared_error", 1e-5, one, "centered")
    found = update(net, X, Y, "squared_error", 0.1, one, nudging)
    size = np.linalg.norm(found) / np.linalg.norm(truth)
    assert abs(size - 1) > 0.005
    assert np.abs(found / size - truth).max() < 1e-6 * np.abs(truth).max()
