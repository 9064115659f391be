"""A validation set of the user's own, on the device."""

import numpy as np

from sklearn_eqprop import EqPropClassifier


def test_fit_takes_a_validation_set_that_lives_on_the_device(installed):
    rng = np.random.RandomState(0)
    X, y = rng.rand(60, 4).astype(np.float32), np.arange(60) % 2
    settings = {"early_stopping": True, "max_iter": 3, "random_state": 0}
    there = EqPropClassifier((8,), backend="cupy", learning_rate="cosine", **settings)
    there.fit(installed.asarray(X), y, X_val=installed.asarray(X[:20]), y_val=y[:20])
    here = EqPropClassifier((8,), backend="numpy", learning_rate="cosine", **settings)
    here.fit(X, y, X_val=X[:20], y_val=y[:20])
    np.testing.assert_allclose(there.validation_scores_, here.validation_scores_)
