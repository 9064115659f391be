"""Costs against finite differences, closed forms and brute force."""

import itertools

import numpy as np
import pytest

from sklearn_eqprop._losses.log_loss import MultilabelLogLoss
from sklearn_eqprop._losses.squared_error import MultilabelSquaredError
from tests.dense_truth import LOSSES as TRUTH
from tests.dense_truth import random_task
from tests.engine import LOSSES

N_OUTPUTS = 4


def _outputs_and_targets(loss, scale=1.5):
    rng = np.random.RandomState(2)
    _, target = random_task(6, (1, N_OUTPUTS), loss)
    return scale * rng.standard_normal((6, N_OUTPUTS)), target


@pytest.mark.parametrize("name", LOSSES)
def test_value_is_the_textbook_formula(name):
    output, target = _outputs_and_targets(name)
    assert np.abs(LOSSES[name].value(np, output, target) - TRUTH[name][0](output, target)).max() < (
        1e-13
    )


@pytest.mark.parametrize("name", LOSSES)
def test_force_is_minus_the_slope_of_the_value(name):
    output, target = _outputs_and_targets(name)
    step = 1e-5
    slopes = np.empty_like(output)
    for unit in range(N_OUTPUTS):
        shift = step * np.eye(N_OUTPUTS)[unit]
        values = [LOSSES[name].value(np, output + sign * shift, target) for sign in (1, -1)]
        slopes[:, unit] = (values[0] - values[1]) / (2 * step)
    assert np.abs(LOSSES[name].force(np, output, target) + slopes).max() < 1e-9


@pytest.mark.parametrize("name", LOSSES)
def test_curvature_bounds_the_hessian_and_is_reached(name):
    # Hessians by finite differences of the force, at random outputs and at the steepest place.
    loss = LOSSES[name]
    rng = np.random.RandomState(0)
    outputs = 3 * rng.standard_normal((200, N_OUTPUTS))
    outputs[0] = 0
    outputs[1] = [0, 0, -60, -60]  # two classes, evens: the softmax's steepest place
    target = np.zeros_like(outputs)
    step = 1e-5
    columns = [
        (
            loss.force(np, outputs - step * unit, target)
            - loss.force(np, outputs + step * unit, target)
        )
        / (2 * step)
        for unit in np.eye(N_OUTPUTS)
    ]
    eigenvalues = np.linalg.eigvalsh(np.stack(columns, axis=2))
    assert eigenvalues.max() <= loss.curvature + 1e-9
    assert eigenvalues.max() >= loss.curvature - 1e-9


@pytest.mark.parametrize("name", ["log_loss", "multilabel_log_loss"])
def test_values_and_forces_of_extreme_outputs_are_finite(name):
    output = np.array([[1e4, -1e4, 0.0, 5.0]])
    target = np.array([[0.0, 1.0, 0.0, 0.0]])
    value = LOSSES[name].value(np, output, target)
    expected = {"log_loss": 2e4, "multilabel_log_loss": 2e4 + np.log(2) + np.logaddexp(0, 5)}
    assert value == pytest.approx([expected[name]], rel=1e-12)
    assert np.abs(LOSSES[name].force(np, output, target)).max() <= 1


def _solve(name, drive, target, beta):
    """drive + β force(s) = s by Newton, one row at a time."""
    solution = drive.copy()
    for row, s in enumerate(solution):
        for _ in range(50):
            error = drive[row] - beta[row] * TRUTH[name][1](s, target[row]) - s
            hessian = np.eye(s.size) + beta[row] * TRUTH[name][2](s)
            s += np.linalg.solve(hessian, error)
        assert np.abs(error).max() < 1e-14
    return solution


@pytest.mark.parametrize("beta", [0.05, 0.5, 1.5, -0.3, -0.9])
@pytest.mark.parametrize("name", LOSSES)
def test_resolve_comes_as_close_as_it_promises(name, beta):
    # Exact for the squared error, else the error shrinks by |β| κ / (2 + β κ) a step.
    loss = LOSSES[name]
    output, target = _outputs_and_targets(name)
    drive = output[::-1].copy()
    truth = _solve(name, drive, target, np.full(6, beta))
    found = loss.resolve(np, drive, output, 0.0, target, beta)
    error = np.linalg.norm(found - truth, axis=1)
    if name == "squared_error":
        assert error.max() < 1e-13
        return
    rate = abs(beta) * loss.curvature / (2 + beta * loss.curvature)
    start = np.linalg.norm(output - truth, axis=1)
    assert (error <= rate * start + 1e-15).all()
    # Repeated, it gets there.
    for _ in range(60):
        found = loss.resolve(np, drive, found, 0.0, target, beta)
    assert np.abs(found - truth).max() < 1e-13


@pytest.mark.parametrize("name", LOSSES)
def test_resolve_from_an_origin_is_a_change_of_coordinate(name):
    loss = LOSSES[name]
    output, target = _outputs_and_targets(name)
    origin = 0.5 * output[::-1]
    drive, start = output + 1, 0.1 * output
    found = loss.resolve(np, drive - origin, start - origin, origin, target, 0.5) + origin
    assert np.abs(found - loss.resolve(np, drive, start, 0.0, target, 0.5)).max() < 1e-14


@pytest.mark.parametrize("name", LOSSES)
def test_resolve_takes_one_beta_a_sample(name):
    output, target = _outputs_and_targets(name)
    betas = np.array([0.5, -0.5, 0.1, 0.2, -0.1, 0.4])
    together = LOSSES[name].resolve(np, output, output, 0.0, target, betas[:, None])
    for row in range(len(betas)):
        rows = [row]
        beta = betas[rows][:, None]
        alone = LOSSES[name].resolve(np, output[rows], output[rows], 0.0, target[rows], beta)
        assert np.abs(together[rows] - alone).max() < 1e-15


@pytest.mark.parametrize("name", LOSSES)
def test_resolve_and_force_change_nothing_they_are_given(name):
    output, target = _outputs_and_targets(name)
    drive = output + 1
    kept = [array.copy() for array in (drive, output, target)]
    LOSSES[name].resolve(np, drive, output, 0.0, target, 0.5)
    LOSSES[name].force(np, output, target)
    for array, copy in zip((drive, output, target), kept, strict=True):
        assert np.array_equal(array, copy)


@pytest.mark.parametrize("name", ["log_loss", "multilabel_log_loss"])
def test_probabilities_are_those_whose_cost_is_least(name):
    # At p = y the force vanishes: outputs fitted to soft targets return them.
    _, target = _outputs_and_targets("log_loss")
    soft = 0.7 * target + 0.3 / N_OUTPUTS
    output = np.log(soft) if name == "log_loss" else np.log(soft / (1 - soft))
    assert np.abs(LOSSES[name].probabilities(np, output) - soft).max() < 1e-15
    assert np.abs(LOSSES[name].force(np, output, soft)).max() < 1e-15


def _nearest_on_simplex(point):
    """Brute force: the best of the projections onto every face."""
    best, best_distance = None, np.inf
    for size in range(1, point.size + 1):
        for face in itertools.combinations(range(point.size), size):
            candidate = np.zeros_like(point)
            face = list(face)
            candidate[face] = point[face] - (point[face].sum() - 1) / size
            distance = np.linalg.norm(candidate - point)
            if (candidate >= 0).all() and distance < best_distance:
                best, best_distance = candidate, distance
    return best


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_squared_error_probabilities_are_the_nearest_point_of_the_simplex(scale):
    outputs = scale * np.random.RandomState(4).standard_normal((40, 5))
    outputs[0] = 0.2  # all equal
    outputs[1, :2] = 1e3  # a tie far outside
    found = LOSSES["squared_error"].probabilities(np, outputs)
    for point, probabilities in zip(outputs, found, strict=True):
        assert np.abs(probabilities - _nearest_on_simplex(point)).max() < 1e-12
    assert np.abs(found.sum(axis=1) - 1).max() < 1e-12


@pytest.mark.parametrize(("dtype", "size"), [(np.float32, 1e8), (np.float64, 1e17)])
def test_squared_error_probabilities_beside_which_1_is_nothing(dtype, size):
    outputs = np.array([[-size, 2 * size, size], [size, size, -size]], dtype=dtype)
    found = LOSSES["squared_error"].probabilities(np, outputs)
    assert np.array_equal(found, [[0, 1, 0], [0.5, 0.5, 0]])
    assert found.dtype == dtype


@pytest.mark.parametrize("name", LOSSES)
def test_probabilities_keep_the_order_of_the_outputs(name):
    outputs = 2 * np.random.RandomState(4).standard_normal((50, 6))
    ordered = np.take_along_axis(
        LOSSES[name].probabilities(np, outputs), outputs.argsort(axis=1), axis=1
    )
    assert (np.diff(ordered, axis=1) >= 0).all()
    assert (np.diff(ordered[:, -2:], axis=1) > 0).all()  # the winner stays the only winner


def test_multilabel_squared_error_cuts_off_at_0_and_1():
    output = np.array([[-0.2, 0.3, 1.7]])
    found = MultilabelSquaredError().probabilities(np, output)
    assert np.allclose(found, [[0.0, 0.3, 1.0]], rtol=0, atol=1e-15)
    assert ((found > 0) & (found < 1)).all()  # scikit-learn's own checks ask for it


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_small_probabilities_of_labels_are_not_rounded_to_zero(dtype):
    from scipy.special import expit

    output = np.array([[-80.0, -40.0, -1.0, 0.0, 3.0, 50.0]], dtype=dtype)
    probabilities = MultilabelLogLoss().probabilities(np, output)
    assert probabilities.dtype == dtype
    np.testing.assert_allclose(probabilities, expit(output), rtol=20 * np.finfo(dtype).eps)
