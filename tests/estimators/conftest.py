"""Small data sets, brought to unit scale, that every module here may use."""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes, make_classification, make_regression
from sklearn.preprocessing import StandardScaler


@pytest.fixture
def pyarrow():
    """PyArrow; skips where it does not work: its wheels ask for newer NumPy than the oldest."""
    try:
        pd.array([1], dtype="int64[pyarrow]")
        import pyarrow
    except (ImportError, NameError, AttributeError):
        pytest.skip("PyArrow does not work with this NumPy")
    return pyarrow


@pytest.fixture
def binary():
    X, y = make_classification(n_samples=80, n_features=6, class_sep=2.0, random_state=0)
    return StandardScaler().fit_transform(X), y


@pytest.fixture
def three_classes():
    X, y = make_classification(
        n_samples=120, n_features=6, n_informative=4, n_classes=3, class_sep=2.0, random_state=1
    )
    return StandardScaler().fit_transform(X), y


@pytest.fixture
def multilabel():
    rng = np.random.RandomState(2)
    X = rng.standard_normal((120, 6))
    return X, (X[:, :3] + 0.1 * rng.standard_normal((120, 3)) > 0).astype(int)


@pytest.fixture
def regression():
    X, y = make_regression(n_samples=100, n_features=5, noise=1.0, random_state=3)
    return StandardScaler().fit_transform(X), y


@pytest.fixture
def two_outputs():
    X, y = make_regression(n_samples=100, n_features=5, n_targets=2, noise=1.0, random_state=4)
    return StandardScaler().fit_transform(X), y * [1.0, 1e-3] + [0.0, 50.0]


@pytest.fixture
def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return StandardScaler().fit_transform(X), y
