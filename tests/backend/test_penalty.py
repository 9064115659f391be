"""alpha='auto' chooses the same number on the device as on the host."""

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import StandardScaler

from sklearn_eqprop import EqPropRegressor


@pytest.mark.filterwarnings("ignore:Training reached max_iter")
def test_the_device_chooses_the_same(installed):
    X, y = load_diabetes(return_X_y=True)
    X = StandardScaler().fit_transform(X).astype(np.float32)
    settings = {"hidden_layer_sizes": (8,), "max_iter": 20, "random_state": 0}
    settings |= {"learning_rate_init": 0.03}
    here = EqPropRegressor(**settings, backend="numpy").fit(X, y)
    for inputs in (X, installed.asarray(X)):
        there = EqPropRegressor(**settings, backend="cupy").fit(inputs, y)
        assert there.alpha_ == here.alpha_ > 1e-4
