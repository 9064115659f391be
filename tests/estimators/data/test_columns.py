"""Passes over the columns of X: right whatever the blocks, and never a copy of X."""

import tracemalloc
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sklearn_eqprop._backend.cuda.cupy_backend import CupyBackend
from sklearn_eqprop._estimators.data import outliers, rare_columns, sparse_columns
from sklearn_eqprop._estimators.data import rows as columns_module
from sklearn_eqprop._estimators.data.outliers import warn_about_outliers
from sklearn_eqprop._estimators.data.rows import look_over, scales_of, warn_about_columns
from tests.backend.fake_cupy import FakeCupy

LAYOUTS = [np.asarray, np.asfortranarray, sparse.csr_matrix]
#: Mostly zeros; no zeros and an offset; all negative; zeros alone; one that dwarfs.
X = np.random.RandomState(0).standard_normal((50, 5)) + np.array([0, 100, -5, 0, 0])
X[5:, 0] = X[:, 3] = 0
X[7, 4] = 1e9


@pytest.fixture(params=[1, 12, 2**20], ids=lambda size: f"blocks of {size}")
def _block_size(request, monkeypatch):
    for module in (columns_module, sparse_columns, rare_columns):
        monkeypatch.setattr(module, "BLOCK_NUMBERS", request.param)


@pytest.mark.usefixtures("_block_size")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_extremes(layout):
    columns = look_over(layout(X))
    assert_array_equal(columns.lowest, X.min(axis=0))
    assert_array_equal(columns.highest, X.max(axis=0))
    assert_array_equal(columns.largest, np.abs(X).max(axis=0))


@pytest.mark.usefixtures("_block_size")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", [1.0, 2.0 ** np.arange(5), 2.0**-960, 2.0**980])
def test_mean_and_spread(layout, size):
    columns = look_over(layout(X * size))
    assert_allclose(columns.mean / size, X.mean(axis=0))
    assert_allclose(columns.spread / size, X.std(axis=0))


@pytest.mark.usefixtures("_block_size")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("sizes", [(1e-300, 1e300), (1e300, 1e-300), (5e-324, 1.7e308)])
def test_columns_of_numbers_of_all_sizes(layout, sizes):
    inputs = np.zeros((9, 2))
    inputs[2], inputs[5] = sizes[0], sizes[1]
    inputs[7, 1] = -sizes[1]
    columns = look_over(layout(inputs))
    largest = max(sizes)
    assert_allclose(columns.mean / largest, (inputs / largest).mean(axis=0), atol=1e-16)
    assert_allclose(columns.spread / largest, (inputs / largest).std(axis=0))
    assert_array_equal(columns.lowest, inputs.min(axis=0))


def test_spread_beside_a_huge_mean():
    columns = look_over(X[:, :1] + 1e12)
    assert_allclose(columns.spread, X[:, :1].std(axis=0), rtol=1e-3)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("weight", "expected"), [(None, 50), (0.5, 50), (1.5, 75)])
def test_weights_count_as_rows(layout, weight, expected):
    weight = None if weight is None else np.full(50, weight)
    assert look_over(layout(X), weight).n_rows == expected


#: A common number in 0 % to 100 % of the entries of each column.
REPEATS = np.random.RandomState(0).standard_normal((101, 9))
for _column, _n_equal in enumerate([0, 1, 40, 51, 101, 60, 51, 40, 90]):
    _rows = np.random.RandomState(_column).permutation(101)[:_n_equal]
    REPEATS[_rows, _column] = -0.01 * (_column % 3)


def by_medians(columns):
    """Which columns are mostly alike, from the median distance to the median."""
    distances = np.abs(columns - np.median(columns, axis=0))
    return np.median(distances, axis=0) <= np.abs(columns).max(axis=0) / 64


@pytest.mark.usefixtures("_block_size")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_columns", [9, 3], ids=["columns", "channels"])
def test_columns_whose_entries_are_mostly_alike(layout, dtype, n_columns):
    answer = look_over(layout(REPEATS.astype(dtype))).mostly_alike
    expected = by_medians(REPEATS.reshape(-1, n_columns))
    assert 0 < expected.sum() < n_columns
    for asked in (np.ones(n_columns, dtype=bool), expected, ~expected):
        assert_array_equal(answer(asked), expected[asked])


@pytest.mark.parametrize("n_columns", [9, 3], ids=["columns", "channels"])
def test_columns_on_a_device_whose_entries_are_mostly_alike(n_columns):
    device = CupyBackend(FakeCupy())
    inputs = device.from_host(REPEATS, np.float64)
    expected = by_medians(REPEATS.reshape(-1, n_columns))
    answer = look_over(inputs, device=device).mostly_alike
    for asked in (np.ones(n_columns, dtype=bool), ~expected):
        assert_array_equal(answer(asked), expected[asked])


def test_stored_zeros_count_as_zeros():
    inputs = sparse.csr_matrix(np.arange(1.0, 31).reshape(10, 3))
    inputs.data[inputs.indices == 1] = [0] * 6 + [1] * 4
    answer = look_over(inputs).mostly_alike
    assert_array_equal(answer(np.ones(3, dtype=bool)), [False, True, False])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("sample_size", [1, 1000, 2**20])
@pytest.mark.parametrize("n_small", [0, 800, 1200])
@pytest.mark.parametrize("share", [1.0, 0.5])  # of numbers that are not 0
def test_columns_whose_entries_are_mostly_dwarfed(layout, sample_size, n_small, share, monkeypatch):
    monkeypatch.setattr(outliers, "SAMPLE_NUMBERS", sample_size)
    rng = np.random.RandomState(0)
    inputs = rng.uniform(1, 2, (2000, 4)) * (rng.rand(2000, 4) < share)
    inputs[rng.permutation(2000)[n_small:], 2] *= 1e9
    inputs = layout(inputs)
    columns = look_over(inputs)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        warn_about_outliers(inputs, columns, scales_of(columns, np.float64))
    if sample_size == 1:  # ten rows are too few to tell 800 of 2000 from 1200
        assert n_small or not told
    else:
        assert [str(warning.message)[:8] for warning in told] == ["Column 2"] * (n_small > 1000)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_looking_over_inputs_takes_blocks_of_memory(layout, dtype, monkeypatch):
    for module in (columns_module, sparse_columns):
        monkeypatch.setattr(module, "BLOCK_NUMBERS", 2**14)
    monkeypatch.setattr(outliers, "SAMPLE_NUMBERS", 2**14)
    inputs = layout(np.random.RandomState(0).rand(40_000, 20).astype(dtype) * 255)
    tracemalloc.start()
    try:
        columns = look_over(inputs)
        scales = scales_of(columns, dtype)
        warn_about_columns(columns, scales)
        warn_about_outliers(inputs, columns, scales)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6 * 8 * 2**14 < 40_000 * 20
