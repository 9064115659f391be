"""Arguments that could be taken for something else are refused, or we are told."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sklearn_eqprop import EqPropClassifier, EqPropRegressor
from sklearn_eqprop.exceptions import EqPropWarning

rng = np.random.RandomState(0)
X = rng.standard_normal((40, 4))
LABELS = np.arange(40) % 3
ONE_HOT = np.eye(3, dtype=int)[LABELS]
SETTINGS = {"hidden_layer_sizes": (4,), "max_iter": 2, "n_iter_no_change": None, "random_state": 0}


def said(call):
    """Messages of warnings of our own, except those about the few epochs."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    ours = [str(w.message) for w in caught if isinstance(w.message, EqPropWarning)]
    return [message for message in ours if "max_iter" not in message]


@pytest.mark.parametrize(
    "convert",
    [
        np.asarray,
        lambda y: y.astype(bool),
        lambda y: y.astype(float),
        lambda y: y.tolist(),
        pd.DataFrame,
        sparse.csr_matrix,
        lambda y: np.c_[y, np.zeros(len(y), int)],  # a class that does not occur
        lambda y: y[:10],
    ],
    ids=["int", "bool", "float", "list", "frame", "sparse", "unused", "ten rows"],
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_one_hot_labels(convert, method):
    y = convert(ONE_HOT)
    rows = X[: y.shape[0] if hasattr(y, "shape") else len(y)]
    model = EqPropClassifier(**SETTINGS)
    [message] = said(lambda: getattr(model, method)(rows, y))
    assert "exactly one 1" in message
    assert "multilabel" in message
    assert "y.argmax(axis=1)" in message


def test_the_remedy_for_one_hot_labels():
    model = EqPropClassifier(**SETTINGS)
    assert said(lambda: model.fit(X, ONE_HOT.argmax(axis=1))) == []
    np.testing.assert_array_equal(model.classes_, [0, 1, 2])


def test_independent_labels_are_taken_as_such():
    y = (X[:, :3] > 0).astype(int)
    assert said(lambda: EqPropClassifier(**SETTINGS).fit(X, y)) == []
    assert said(lambda: EqPropClassifier(**SETTINGS).fit(X[:5], ONE_HOT[:5])) == []  # by chance
    almost = ONE_HOT.copy()
    almost[7] = 0
    assert said(lambda: EqPropClassifier(**SETTINGS).fit(X, almost)) == []


def test_probabilities_of_classes():
    y = rng.dirichlet([1, 1, 1], 40)
    message = r"not whole, such as probabilities.*argmax.*Regressor"
    with pytest.raises(ValueError, match=message):
        EqPropClassifier(**SETTINGS).fit(X, pd.DataFrame(y))
    with pytest.raises(ValueError, match=message):
        EqPropClassifier(**SETTINGS, early_stopping=True).fit(X, LABELS, X_val=X, y_val=y)


WEIGHTS = {
    "ones": np.ones(40),
    "keep half": (X[:, 0] > 0).astype(int),
    "mask": X[:, 0] > 0,
    "uniform": rng.uniform(size=40),
    "list": rng.uniform(size=40).tolist(),
    "series": pd.Series(rng.uniform(size=40)),
    "repeats": np.repeat([1, 2], 20),
}


@pytest.mark.parametrize("weight", WEIGHTS.values(), ids=WEIGHTS.keys())
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("later", [False, True])
def test_weights_in_the_place_of_classes(weight, n_classes, later):
    y = LABELS % n_classes
    model = EqPropClassifier(**SETTINGS)
    if later:
        model.partial_fit(X, y, list(range(n_classes)))
    with pytest.raises(ValueError, match=r"name every class label once.*sample_weight="):
        model.partial_fit(X, y, weight)
    classes = None if later else np.unique(y)
    model.partial_fit(X, y, classes, sample_weight=np.asarray(weight, float) + 0.5)  # the remedy


@pytest.mark.parametrize(
    "classes",
    [[0, 1, 2], (2, 1, 0), range(3), np.arange(3.0), pd.Series([0, 1, 2]), pd.Index([2, 0, 1])],
    ids=lambda classes: type(classes).__name__,
)
def test_classes_in_their_place(classes):
    model = EqPropClassifier(**SETTINGS).partial_fit(X, LABELS, classes)
    np.testing.assert_array_equal(model.classes_, [0, 1, 2])


def test_weights_in_the_place_of_classes_of_a_regressor():
    with pytest.raises(TypeError, match="positional"):
        EqPropRegressor(**SETTINGS).partial_fit(X, X[:, 0], WEIGHTS["uniform"])


@pytest.mark.filterwarnings("ignore:Training reached max_iter")
def test_beta_in_the_place_of_targets():
    model = EqPropClassifier(**SETTINGS).fit(X, LABELS)
    with pytest.raises(ValueError, match=r"y=0.5 is one value.*Write beta=0.5"):
        model.relax(X, 0.5)
