"""transform returns the layers one chooses."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from sklearn_eqprop import EqPropClassifier, EqPropRegressor

pytestmark = pytest.mark.filterwarnings("ignore:Training reached max_iter")
KINDS = pytest.mark.parametrize("estimator", [EqPropClassifier, EqPropRegressor])
SETTINGS = {"hidden_layer_sizes": (5, 4), "max_iter": 4, "batch_size": 16, "random_state": 0}


@KINDS
@pytest.mark.parametrize(
    ("chosen", "layers"),
    [(None, [1, 2]), (1, [1]), (2, [2]), ([2, 1], [2, 1]), ((3,), [3]), (np.array([1, 3]), [1, 3])],
    ids=str,
)
def test_layers(binary, estimator, chosen, layers):
    X, y = binary
    model = estimator(**SETTINGS, transform_layers=chosen).fit(X, y)
    states = model.relax(X).states
    expected = np.concatenate([states[layer - 1] for layer in layers], axis=1)
    assert_array_equal(model.transform(X), expected)
    assert len(model.get_feature_names_out()) == expected.shape[1]


@pytest.mark.parametrize("chosen", [0, 4, [], [1, 4], [1.0], [True], "first"], ids=str)
def test_layers_that_are_not_there(binary, chosen):
    with pytest.raises(ValueError, match=r"'transform_layers' parameter"):
        EqPropClassifier(**SETTINGS, transform_layers=chosen).fit(*binary)


def test_without_hidden_layers_there_is_only_the_output(binary):
    X, y = binary
    settings = SETTINGS | {"hidden_layer_sizes": ()}
    with pytest.raises(ValueError, match=r"hidden_layer_sizes is empty.*transform_layers=1"):
        EqPropClassifier(**settings).fit(X, y).transform(X)
    model = EqPropClassifier(**settings, transform_layers=1).fit(X, y)
    assert_array_equal(model.transform(X), model.relax(X).states[0])


def test_in_a_pipeline(binary):
    X, y = binary
    network = EqPropClassifier(**SETTINGS | {"max_iter": 20}, transform_layers=2)
    pipeline = make_pipeline(network, LinearSVC()).fit(X, y)
    assert pipeline[-1].n_features_in_ == 4
    assert pipeline.score(X, y) > 0.85
