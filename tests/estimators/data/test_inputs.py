"""Arguments of host libraries need no module for other libraries; rows are frozen."""

from dataclasses import FrozenInstanceError

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse

from sklearn_eqprop import EqPropClassifier, EqPropRegressor
from sklearn_eqprop._estimators.data import array_home
from sklearn_eqprop._estimators.data.rows import Rows, check_inputs_fit

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X = np.random.RandomState(0).standard_normal((30, 4))
Y = (X[:, 0] > 0).astype(int)


@pytest.mark.parametrize("estimator", [EqPropClassifier, EqPropRegressor])
@pytest.mark.parametrize(
    ("convert", "convert_y"),
    [
        (np.asarray, np.asarray),
        (np.ndarray.tolist, np.ndarray.tolist),
        (pd.DataFrame, pd.Series),
        (pl.DataFrame, pl.Series),
        (sparse.csr_matrix, np.asarray),
        (sparse.csc_array, np.asarray),
    ],
    ids=["NumPy", "lists", "pandas", "polars", "csr", "csc"],
)
def test_host_libraries_need_no_other_module(estimator, convert, convert_y, monkeypatch):
    for name in ("received", "on_host", "validated_on_device"):
        monkeypatch.delattr(array_home, name)
    inputs, targets = convert(X), convert_y(Y)
    model = estimator((3,), max_iter=2, random_state=0)
    model.fit(inputs, targets, sample_weight=convert_y(np.ones(30)))
    assert type(model.predict(inputs)) is np.ndarray
    assert type(model.relax(inputs).states[0]) is np.ndarray


def test_rows_are_frozen_and_know_their_columns():
    rows = Rows(X, Y, np.full(30, 2.0))
    with pytest.raises(FrozenInstanceError):
        rows.X = X[1:]
    assert rows.columns is rows.columns
    assert rows.columns.n_rows == 60
    part = rows.part(np.array([3, 5, 7]))
    assert part.n_samples == 3
    assert_array_equal(part.y, Y[[3, 5, 7]])
    assert_array_equal(part.columns.highest, X[[3, 5, 7]].max(axis=0))
    assert part.columns.n_rows == 6


def test_columns_are_looked_over_only_if_the_range_of_the_network_is_smaller():
    rows = Rows(X, Y, None)
    check_inputs_fit(rows, np.float64)
    assert "columns" not in vars(rows)
    check_inputs_fit(rows, np.float32)
    assert "columns" in vars(rows)
    with pytest.raises(ValueError, match=r"Column . of X_val holds numbers up to .* float32"):
        check_inputs_fit(Rows(1e39 * X, Y, None), np.float32, "X_val")
