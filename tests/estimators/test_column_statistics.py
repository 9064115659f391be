"""Passes over the columns of X: right whatever the blocks, and never a copy of X."""

import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sklearn_eqprop._estimators.data import column_statistics
from sklearn_eqprop._estimators.data.column_statistics import (
    extremes,
    mean_and_spread,
    mostly_below,
)
from sklearn_eqprop._estimators.data.input_scale import column_scales
from sklearn_eqprop._estimators.data.input_warnings import (
    warn_about_input_scale,
    warn_about_outliers,
)

LAYOUTS = [np.asarray, np.asfortranarray, sparse.csr_matrix]
#: Mostly zeros; no zeros and an offset; all negative; zeros alone; one that dwarfs.
X = np.random.RandomState(0).standard_normal((50, 5)) + np.array([0, 100, -5, 0, 0])
X[5:, 0] = X[:, 3] = 0
X[7, 4] = 1e9


@pytest.fixture(params=[1, 12, 2**20], ids=lambda size: f"blocks of {size}")
def _block_size(request, monkeypatch):
    monkeypatch.setattr(column_statistics, "BLOCK_NUMBERS", request.param)


@pytest.mark.usefixtures("_block_size")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_extremes(layout):
    lowest, highest = extremes(layout(X), None)
    assert_array_equal(lowest, X.min(axis=0))
    assert_array_equal(highest, X.max(axis=0))


@pytest.mark.usefixtures("_block_size")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("scales", [None, 2.0 ** np.arange(5)])
def test_mean_and_spread(layout, scales):
    mean, spread = mean_and_spread(layout(X), scales, None)
    expected = X if scales is None else X / scales
    assert_allclose(mean, expected.mean(axis=0))
    assert_allclose(spread, expected.std(axis=0))


def test_spread_beside_a_huge_mean():
    _, spread = mean_and_spread(X[:, :1] + 1e12, None, None)
    assert_allclose(spread, X[:, :1].std(axis=0), rtol=1e-3)


@pytest.mark.usefixtures("_block_size")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_columns_mostly_below_a_limit(layout):
    limits = np.array([0.01, 1000, 1, 1, 1e3])
    sizes = np.where(X == 0, np.nan, np.abs(X))
    expected = [bool(np.nanmedian(sizes[:, k]) < limits[k]) for k in (0, 1, 2)]
    expected += [False, True]
    assert mostly_below(layout(X), limits).tolist() == expected


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_looking_over_inputs_takes_blocks_of_memory(layout, dtype, monkeypatch):
    monkeypatch.setattr(column_statistics, "BLOCK_NUMBERS", 2**14)
    inputs = layout(np.random.RandomState(0).rand(40_000, 20).astype(dtype) * 255)
    tracemalloc.start()
    try:
        scales = column_scales(inputs, dtype)
        warn_about_input_scale(inputs, scales)
        warn_about_outliers(inputs, scales)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6 * 8 * 2**14 < 40_000 * 20
