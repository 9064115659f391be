"""Model files: pickle, joblib, skops; smaller than MLP's, exact, and readable by later versions."""

import copy
import pickle
import warnings
from pathlib import Path
from unittest.mock import patch

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits, load_iris
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

from sklearn_eqprop import Conv2D, EqPropClassifier, EqPropRegressor
from sklearn_eqprop._estimators.fitted.model_file import (
    TRUSTED_TYPES,
)
from sklearn_eqprop.augmentation import Compose, Cutout, RandomCrop

pytestmark = pytest.mark.filterwarnings("ignore:Training reached max_iter")
KINDS = pytest.mark.parametrize("estimator", [EqPropClassifier, EqPropRegressor])
SETTINGS = {"hidden_layer_sizes": (8, 6), "max_iter": 6, "batch_size": 16, "random_state": 0}
#: Ways of training that leave different things to remember.
WAYS = {
    "default": {},
    "sgd tied": {"optimizer": "sgd", "feedback": "tied"},
    "random sign": {"nudging": "random_sign"},
    "homeostasis": {"feedback_learning": "homeostasis"},
    "early stopping": {"early_stopping": True},
    "images": {"hidden_layer_sizes": (Conv2D(3, 2, padding="same"), 5), "input_shape": (3, 2)},
    "augment": {
        "augment": Compose([RandomCrop(1, input_shape=(3, 2)), Cutout(1, input_shape=[2, 3])])
    },
    "averages": {"average_weights": True, "early_stopping": True},
    "graph": {"connections": [(0, 1), (1, 2), (2, 3), (3, 2), (2, 1), (0, 3), (1, 1)]},
}
FIXTURES = Path(__file__).parent / "model_files"


def through_pickle(model, folder):
    return pickle.loads(pickle.dumps(model))


def through_joblib(model, folder):
    joblib.dump(model, folder / "model.joblib", compress=3)
    return joblib.load(folder / "model.joblib")


def through_skops(model, folder):
    skops = pytest.importorskip("skops.io")
    skops.dump(model, folder / "model.skops")
    found = skops.get_untrusted_types(file=folder / "model.skops")
    assert set(found) <= set(TRUSTED_TYPES)
    return skops.load(folder / "model.skops", trusted=list(TRUSTED_TYPES))


def through_copy(model, folder):
    return copy.deepcopy(model)


@KINDS
@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize(
    "store", [through_pickle, through_joblib, through_skops, through_copy], ids=lambda f: f.__name__
)
def test_training_goes_on_exactly(binary, estimator, way, store, tmp_path):
    X, y = binary
    model = estimator(**SETTINGS | WAYS[way] | {"warm_start": True}).fit(X, y)
    stored = store(model, tmp_path)
    assert vars(stored).keys() - {"_checked_parameters"} == (
        vars(model).keys() - {"_checked_parameters"}
    )
    assert stored.get_params() == model.get_params()
    assert stored.relaxation_ == model.relaxation_
    assert_array_equal(stored.predict(X), model.predict(X))
    for fitted in (model, stored):
        fitted.fit(X, y)
    for name in ("coefs_", "intercepts_", "feedback_coefs_"):
        for left, right in zip(getattr(model, name), getattr(stored, name), strict=True):
            assert_array_equal(left, right)
    assert stored.loss_curve_ == model.loss_curve_
    assert stored.relaxation_ == model.relaxation_


@pytest.mark.parametrize("load", [load_iris, load_digits, load_diabetes])
@pytest.mark.parametrize("hidden", [(20,), (100,), (64, 64, 64)])
def test_no_larger_than_the_file_of_mlp(load, hidden):
    X, y = load(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    regression = load is load_diabetes
    settings = {"hidden_layer_sizes": hidden, "max_iter": 4, "random_state": 0}
    ours = (EqPropRegressor if regression else EqPropClassifier)(**settings)
    theirs = (MLPRegressor if regression else MLPClassifier)(**settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for model in (ours, theirs):
            model.fit(X, y)
    # We have more parameters than MLP.
    sizes = [len(pickle.dumps(m)) - len(pickle.dumps(m.get_params())) for m in (ours, theirs)]
    assert sizes[0] <= sizes[1]


@KINDS
def test_an_estimator_that_is_not_fitted(binary, estimator):
    model = pickle.loads(pickle.dumps(estimator(**SETTINGS)))
    assert model.get_params() == estimator(**SETTINGS).get_params()
    assert not hasattr(model, "coefs_")
    assert_array_equal(model.fit(*binary).coefs_[0], clone(model).fit(*binary).coefs_[0])


def test_a_file_of_a_later_version_is_refused(binary):
    model = EqPropClassifier(**SETTINGS).fit(*binary)
    stored = model.__getstate__()
    stored["_model_format"] += 1
    with pytest.raises(ValueError, match=r"model file has format 2, but this version .* format 1"):
        EqPropClassifier.__new__(EqPropClassifier).__setstate__(stored)


@pytest.mark.parametrize("through", [through_pickle, through_joblib, through_skops, through_copy])
@pytest.mark.parametrize("generator", [np.random.MT19937, np.random.PCG64])
def test_a_generator_of_the_user(generator, through, tmp_path):
    """NumPy 1 cannot read a RandomState that NumPy 2 has pickled, so no pickle holds one."""
    stream = np.random.RandomState(generator(3))
    X, y = load_iris(return_X_y=True)
    model = EqPropClassifier(**SETTINGS | {"max_iter": 1, "random_state": stream}).fit(X, y)
    assert model.random_state is stream
    assert b"numpy.random" not in pickle.dumps(model)
    restored = through(model, tmp_path)
    assert_array_equal(restored.predict(X), model.predict(X))
    assert_array_equal(restored.random_state.uniform(size=5), stream.uniform(size=5))


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*.joblib")), ids=lambda p: p.stem)
def test_models_of_earlier_versions(path):
    """Each fixture is a model, inputs, and what the version that stored it predicted for them."""
    fixture = joblib.load(path)
    model, X, y = fixture["model"], fixture["X"], fixture["y"]
    assert_allclose(model.predict(X), fixture["predicted"], rtol=1e-6)
    assert_allclose(model.relax(X).states[-1], fixture["output"], rtol=1e-6, atol=1e-8)
    assert model.get_params()["hidden_layer_sizes"] == (5, 4)
    n_epochs = len(model.loss_curve_)
    state = model._training_state
    assert state.n_epochs == n_epochs
    assert state.optimizer["n_updates"] >= n_epochs
    # Drawn from already, and not begun anew.
    fresh = np.random.RandomState(state.stream_seeds["shuffle_rng"]).get_state()[1:3]
    now = state.shuffle_rng.get_state()[1:3]
    assert not (np.array_equal(now[0], fresh[0]) and now[1] == fresh[1])
    model.partial_fit(X, y)
    assert len(model.loss_curve_) == n_epochs + 1
    # Free phases of training settle to 1e-2, by ways that may change from version to version.
    assert_allclose(model.loss_curve_[-1], fixture["next_loss"], rtol=5e-4)


@KINDS
def test_a_tied_model_that_was_stored_without_strengths(binary, estimator):
    X, y = binary
    settings = SETTINGS | {"feedback": "tied", "feedback_scale": 1.0, "loop_gain": None}
    model = estimator(**settings, activation="hard_sigmoid").fit(X, y)
    stored = model.__getstate__() | {"_feedback_coefs": None}
    restored = estimator.__new__(estimator)
    restored.__setstate__(stored)
    assert (restored.feedback_gains_ == 1).all()
    assert_array_equal(restored.predict(X), model.predict(X))
    assert_array_equal(restored.fit(X, y).coefs_[0], model.fit(X, y).coefs_[0])


def test_there_are_fixtures():
    assert {path.stem.split("-")[0] for path in FIXTURES.glob("*.joblib")} == {
        "classifier",
        "regressor",
    }


@KINDS
def test_a_loaded_model_validates_parameters_only_if_they_have_changed(binary, estimator):
    X, y = binary
    model = pickle.loads(pickle.dumps(estimator(**SETTINGS).fit(X, y)))
    with patch.object(type(model), "_validate_params", side_effect=AssertionError):
        model.predict(X)
    model.set_params(max_relax_iter=0)
    with pytest.raises(ValueError, match="max_relax_iter"):
        model.predict(X)
    with pytest.raises(ValueError, match="max_relax_iter"):
        pickle.loads(pickle.dumps(model)).predict(X)
