"""Passes over the columns of X: right whatever the blocks, and never a copy of X."""

import tracemalloc
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sklearn_eqprop._estimators.data import outliers, sparse_columns
from sklearn_eqprop._estimators.data import rows as columns_module
from sklearn_eqprop._estimators.data.outliers import warn_about_outliers
from sklearn_eqprop._estimators.data.rows import look_over, scales_of, warn_about_columns

LAYOUTS = [np.asarray, np.asfortranarray, sparse.csr_matrix]
#: Mostly zeros; no zeros and an offset; all negative; zeros alone; one that dwarfs.
X = np.random.RandomState(0).standard_normal((50, 5)) + np.array([0, 100, -5, 0, 0])
X[5:, 0] = X[:, 3] = 0
X[7, 4] = 1e9


@pytest.fixture(params=[1, 12, 2**20], ids=lambda size: f"blocks of {size}")
def _block_size(request, monkeypatch):
    for module in (columns_module, sparse_columns):
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
