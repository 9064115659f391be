"""Inputs a network can hardly learn from are pointed out, all others are not."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from sklearn_eqprop.estimators.input_scale import warn_about_input_scale

X = np.random.RandomState(0).standard_normal((100, 5))


@pytest.mark.parametrize(
    ("inputs", "column"),
    [
        (X * [1, 1, 1e4, 1e-3, 1], 2),
        (X + np.array([0, 0, 0, 0, 1e4]), 4),
        (np.c_[X, np.full(100, 1e6)], 5),
    ],
    ids=["uneven", "offset", "large constant"],
)
def test_a_column_that_drowns_the_others_is_named(inputs, column):
    with pytest.warns(ConvergenceWarning, match=f"column {column} .*StandardScaler"):
        warn_about_input_scale(inputs)


@pytest.mark.parametrize(
    "inputs",
    [X, 1e6 * X, X + 3, np.zeros((4, 2)), load_digits().data, np.c_[X, np.ones(100)]],
    ids=["scaled", "large", "shifted", "constant", "digits", "with a column of ones"],
)
def test_ordinary_inputs_raise_no_alarm(inputs):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_about_input_scale(inputs)


def test_columns_that_hardly_vary_are_pointed_out():
    with pytest.warns(ConvergenceWarning, match=r"hardly vary.*1.01e-06.*StandardScaler"):
        warn_about_input_scale(1e-6 * X[:, :1])
