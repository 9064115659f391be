"""What the backend's fused passes compute, on the kernels' own source, against NumPy."""

import numpy as np
import pytest

from sklearn_eqprop._backend import NumpyBackend
from sklearn_eqprop._backend.cuda.kernels import BLOCK, MOST_BLOCKS

#: Neither a multiple of a block nor of a warp; one that is; rows or columns that are not there.
FIXED_SHAPES = [(7, 5), (3, 300), (64, 256), (1, 1), (2, 1000), (0, 4), (4, 0)]
DRAWN_SHAPES = np.random.RandomState(0).randint(1, [60, 900], size=(5, 2)).tolist()
SHAPES = [*FIXED_SHAPES, *map(tuple, DRAWN_SHAPES)]
DTYPES = ["float32", "float64"]


def _draw(shape, dtype, seed=0, *, with_nan=False):
    values = np.random.RandomState(seed).standard_normal(shape).astype(dtype)
    if with_nan and values.size:
        values.flat[values.size // 2] = np.nan
        values.flat[0] = -np.inf
    return values


def _sides(shape, dtype, kind):
    """Range of the states, as an activation or a displaced layer has it."""
    if kind == "arrays":
        return -np.abs(_draw(shape, dtype, 8)), np.abs(_draw(shape, dtype, 9))
    return {"open": (None, None), "lower": (0.0, None), "both": (-0.5, 0.25)}[kind]


def _placed(backend, values):
    if isinstance(values, np.ndarray):
        return backend.from_host(values, values.dtype)
    return values


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["open", "lower", "both", "arrays"])
def test_project(any_device, shape, dtype, kind):
    values = _draw(shape, dtype, with_nan=True)
    sides = _sides(shape, dtype, kind)
    placed = any_device.from_host(values, dtype)
    found = any_device.project(placed, *(_placed(any_device, side) for side in sides))
    expected = NumpyBackend().project(values, *sides)
    np.testing.assert_array_equal(any_device.to_host(found), expected)
    np.testing.assert_array_equal(any_device.to_host(placed), values)
    any_device.project(placed, *(_placed(any_device, side) for side in sides), out=placed)
    np.testing.assert_array_equal(any_device.to_host(placed), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_row_max_abs(any_device, shape, dtype):
    values = _draw(shape, dtype, with_nan=True)
    found = any_device.to_host(any_device.row_max_abs(any_device.from_host(values, dtype)))
    expected = np.abs(values).max(axis=1, initial=0)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == dtype


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["open", "lower", "both", "arrays"])
def test_row_residual(any_device, shape, dtype, kind):
    drive, state = _draw(shape, dtype, 1, with_nan=True), _draw(shape, dtype, 2)
    sides = _sides(shape, dtype, kind)
    found = any_device.row_residual(*(_placed(any_device, x) for x in (drive, state, *sides)))
    projected = NumpyBackend().project(drive, *sides)
    expected = np.abs(projected - state).max(axis=1, initial=0)
    np.testing.assert_array_equal(any_device.to_host(found), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["open", "lower", "both", "arrays"])
def test_row_euler(any_device, shape, dtype, kind):
    goal, state = _draw(shape, dtype, 1, with_nan=True), _draw(shape, dtype, 2)
    sides = _sides(shape, dtype, kind)
    placed = [_placed(any_device, x) for x in (goal, state, *sides)]
    residual, moved = any_device.row_euler(*placed, 0.25)
    project = NumpyBackend().project
    expected = project(state + np.dtype(dtype).type(0.25) * (goal - state), *sides)
    np.testing.assert_array_equal(any_device.to_host(moved), expected)
    left = np.abs(project(goal, *sides) - state).max(axis=1, initial=0)
    np.testing.assert_array_equal(any_device.to_host(residual), left)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["open", "lower", "both", "arrays"])
@pytest.mark.parametrize("late", ["none", "shared", "own"])
def test_layers_are_solved_and_checked(any_device, shape, dtype, kind, late):
    early, state = _draw(shape, dtype, 1, with_nan=True), _draw(shape, dtype, 2)
    sides = _sides(shape, dtype, kind)
    late = {"none": None, "shared": _draw(shape[1:], dtype, 3), "own": _draw(shape, dtype, 4)}[late]
    drive = early if late is None else early + late
    expected = NumpyBackend().project(drive, *sides)
    placed_early, placed_late, placed_state, *placed_sides = (
        _placed(any_device, x) for x in (early, late, state, *sides)
    )
    solved = any_device.row_solve(placed_early, placed_late, *placed_sides)
    np.testing.assert_array_equal(any_device.to_host(solved), expected)
    found, residual = any_device.row_check(placed_early, placed_late, placed_state, *placed_sides)
    np.testing.assert_array_equal(any_device.to_host(found), drive)
    left = np.abs(expected - state).max(axis=1, initial=0)
    np.testing.assert_array_equal(any_device.to_host(residual), left)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [*SHAPES, (9,)])
def test_copy_rows(any_device, shape, dtype):
    target, source = _draw(shape, dtype, 1), _draw(shape, dtype, 2, with_nan=True)
    marked = np.arange(shape[0]) % 3 == 1
    placed = any_device.from_host(target, dtype)
    any_device.copy_rows(
        placed, any_device.from_host(source, dtype), any_device.from_host(marked, bool)
    )
    target[marked] = source[marked]
    np.testing.assert_array_equal(any_device.to_host(placed), target)


def test_copy_rows_refuses_a_target_that_does_not_lie_row_by_row(any_device):
    target = any_device.from_host(np.zeros((3, 4)).T, "float64")
    with pytest.raises(ValueError, match="row by row"):
        any_device.copy_rows(target, target, any_device.from_host(np.ones(4), bool))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [*SHAPES, (1,)])
@pytest.mark.parametrize("with_nan", [False, True])
def test_adam(any_device, shape, dtype, order, with_nan):
    _assert_adam_agrees(any_device, shape, dtype, order, with_nan=with_nan)


@pytest.mark.parametrize("dtype", DTYPES)
def test_kernels_stride_over_more_numbers_than_threads(any_device, dtype):
    shape = (784, 2048)
    assert np.prod(shape) > MOST_BLOCKS * BLOCK
    _assert_adam_agrees(any_device, shape, dtype, "C")
    values = _draw(shape, dtype, with_nan=True)
    found = any_device.project(any_device.from_host(values, dtype), -0.5, 0.25)
    expected = NumpyBackend().project(values, -0.5, 0.25)
    np.testing.assert_array_equal(any_device.to_host(found), expected)


def _assert_adam_agrees(any_device, shape, dtype, order, *, with_nan=False):
    blocks = [_draw(shape, dtype, seed, with_nan=with_nan) for seed in range(3)]
    blocks = [np.asarray(block, order=order) for block in blocks]
    blocks[1] = np.abs(blocks[1])
    placed = [any_device.from_host(block, dtype) for block in blocks]
    any_device.adam(*placed, 0.9, 0.999, 1e-7, 0.01)
    real = np.dtype(dtype).type
    mean, square, change = blocks
    mean = mean * real(0.9) + change
    square = square * real(0.999) + change * change
    with np.errstate(invalid="ignore"):  # an infinite moment over another
        step = mean / (np.sqrt(square) + real(1e-7)) * real(0.01)
    for found, expected in zip(placed, (mean, square, step), strict=True):
        np.testing.assert_array_equal(any_device.to_host(found), expected)


def test_arrays_that_lie_in_another_way_are_brought_into_order(any_device):
    values = np.asfortranarray(_draw((5, 7), "float64"))
    placed = any_device.from_host(values, "float64")
    assert placed.flags.f_contiguous
    found = any_device.to_host(any_device.row_max_abs(placed))
    np.testing.assert_array_equal(found, np.abs(values).max(axis=1))


@pytest.mark.parametrize("dtype", DTYPES)
def test_norms_are_read_together_and_do_not_overflow(device, fake, dtype):
    blocks = [_draw((6, 4), dtype), np.asfortranarray(_draw((5, 3), dtype, 1)), _draw(7, dtype, 2)]
    placed = [device.from_host(block, dtype) for block in blocks]
    fake.counts.reset()
    found = device.norms(placed)
    assert fake.counts.waits == fake.counts.to_host == 1
    expected = [np.linalg.norm(block.astype(np.float64)) for block in blocks]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    huge = np.sqrt(np.finfo(dtype).max) * 4
    placed.append(device.from_host(np.full(4, huge), dtype))
    placed.append(device.from_host(np.array([np.inf, 0.0]), dtype))
    found = device.norms(placed)
    # Squares of float32 numbers fit into float64; those of float64 numbers do not.
    of_huge = 2 * huge if np.dtype(dtype) == np.float32 else np.inf
    np.testing.assert_allclose(found, [*expected, of_huge, np.inf], rtol=1e-5)


def test_numbers_come_in_one_transfer_and_keep_their_order(device, fake):
    values = [device.xp.full((), 3.0), 5.0, device.xp.full((), 7.0)]
    fake.counts.reset()
    assert device.numbers(values) == [3.0, 5.0, 7.0]
    assert fake.counts.to_host == 1
    assert device.numbers([]) == []
    assert device.numbers([2.0]) == [2.0]
    assert fake.counts.to_host == 1


def test_data_cross_in_their_final_type(device, fake):
    fake.counts.reset()
    device.from_host(np.zeros((10, 10)), np.float32)
    assert (fake.counts.to_device, fake.counts.bytes_to_device) == (1, 400)
