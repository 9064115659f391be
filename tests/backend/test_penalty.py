"""alpha='auto' chooses the same number on the device as on the host."""

import numpy as np
import pytest

from sklearn_eqprop import EqPropRegressor


@pytest.mark.filterwarnings("ignore:Training reached max_iter", "ignore:Training did not learn")
def test_the_device_chooses_the_same(installed):
    rng = np.random.RandomState(0)
    X, y = rng.standard_normal((500, 10)).astype(np.float32), rng.standard_normal(500)
    settings = {"hidden_layer_sizes": (20,), "max_iter": 40, "random_state": 0}
    settings |= {"learning_rate_init": 0.03}
    here = EqPropRegressor(**settings, backend="numpy").fit(X, y)
    for inputs in (X, installed.asarray(X)):
        there = EqPropRegressor(**settings, backend="cupy").fit(inputs, y)
        assert there.alpha_ == here.alpha_ > 0.1
