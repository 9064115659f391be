"""Pipelines, searches, clones, model files and data frames."""

import copy
import pickle

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_eqprop import EqPropClassifier, EqPropRegressor

pytestmark = pytest.mark.filterwarnings("ignore:Training reached max_iter")

SETTINGS = {"hidden_layer_sizes": (8, 6), "max_iter": 6, "batch_size": 16, "random_state": 0}
SETTINGS |= {"learning_rate_init": 0.01}
KINDS = pytest.mark.parametrize("estimator", [EqPropClassifier, EqPropRegressor])
COLUMNS = [f"column {i}" for i in range(6)]


@KINDS
def test_grid_search_over_beta_and_step_size_in_a_pipeline(binary, estimator):
    X, y = binary
    name = estimator.__name__.lower()
    search = GridSearchCV(
        make_pipeline(StandardScaler(), estimator(**SETTINGS | {"max_iter": 25})),
        {f"{name}__beta": [0.1, 0.5], f"{name}__step_size": [0.5, 1.0]},
        cv=2,
        error_score="raise",
    ).fit(100 * X + 3, y)
    scores = search.cv_results_["mean_test_score"]
    assert scores.shape == (4,)
    assert np.isfinite(scores).all()
    assert search.best_score_ > (0.8 if estimator is EqPropClassifier else 0.3)
    assert set(search.best_params_) == {f"{name}__beta", f"{name}__step_size"}
    assert search.predict(100 * X + 3).shape == (80,)


@KINDS
def test_beta_and_step_size_reach_the_network(binary, estimator):
    X, y = binary
    base = estimator(**SETTINGS, nudging="one_sided").fit(X, y)
    other_beta = estimator(**SETTINGS, nudging="one_sided", beta=0.05).fit(X, y)
    slow = estimator(**SETTINGS, nudging="one_sided", step_size=0.3).fit(X, y)
    assert not np.array_equal(base.coefs_[0], other_beta.coefs_[0])
    assert np.mean(slow.relaxation_["free_steps"]) > np.mean(base.relaxation_["free_steps"])


@KINDS
def test_transformer_in_a_pipeline(binary, estimator):
    from sklearn.linear_model import LogisticRegression

    X, y = binary
    pipeline = make_pipeline(estimator(**SETTINGS), LogisticRegression())
    assert cross_val_score(pipeline, X, y, cv=2).mean() > 0.8


@KINDS
def test_clone_keeps_parameters_and_nothing_else(binary, estimator):
    rates = [0.01, 0.02, 0.03]
    model = estimator(**SETTINGS | {"learning_rate_init": rates}).fit(*binary)
    twin = clone(model)
    assert twin.get_params() == model.get_params()
    assert not hasattr(twin, "coefs_")
    assert not hasattr(twin, "feedback_coefs_")
    assert_array_equal(twin.fit(*binary).coefs_[0], model.coefs_[0])


def through_pickle(model, folder):
    return pickle.loads(pickle.dumps(model))


def through_joblib(model, folder):
    joblib.dump(model, folder / "model.joblib")
    return joblib.load(folder / "model.joblib")


def through_memory_map(model, folder):
    joblib.dump(model, folder / "model.joblib")
    return joblib.load(folder / "model.joblib", mmap_mode="r")


def through_deepcopy(model, folder):
    return copy.deepcopy(model)


@KINDS
@pytest.mark.parametrize(
    "store", [through_pickle, through_joblib, through_memory_map, through_deepcopy]
)
@pytest.mark.parametrize(
    "way", [{}, {"optimizer": "sgd", "feedback": "tied"}], ids=["", "tied sgd"]
)
def test_a_stored_model_is_the_same_model(binary, estimator, store, way, tmp_path):
    X, y = binary
    model = estimator(**SETTINGS, **way).fit(X, y)
    stored = store(model, tmp_path)
    assert_array_equal(stored.predict(X), model.predict(X))
    assert_array_equal(stored.transform(X), model.transform(X))
    for _ in range(2):
        model.partial_fit(X, y)
        stored.partial_fit(X, y)
    assert_array_equal(stored.coefs_[0], model.coefs_[0])
    assert_array_equal(stored.feedback_coefs_[0], model.feedback_coefs_[0])
    assert stored.loss_curve_ == model.loss_curve_


@KINDS
@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
def test_data_frames(binary, estimator, frame):
    X, y = binary
    table = frame(dict(zip(COLUMNS, X.T, strict=True)))
    model = estimator(**SETTINGS).fit(table, y)
    # Which frames have names is for scikit-learn to say: 1.6 reads none from a recent polars.
    of_scikit_learn = getattr(StandardScaler().fit(table), "feature_names_in_", np.array(None))
    assert getattr(model, "feature_names_in_", np.array(None)).tolist() == of_scikit_learn.tolist()
    if frame is pd.DataFrame:
        assert of_scikit_learn.tolist() == COLUMNS
    plain = estimator(**SETTINGS).fit(X, y)
    assert_array_equal(model.predict(table), plain.predict(X))
    assert_array_equal(model.transform(table), plain.transform(X))
    # Not a word about feature names: warnings are errors.
    free, nudged = model.relax(table), model.relax(table, y, beta=0.3)
    assert_array_equal(free.states[0], plain.relax(X).states[0])
    assert_array_equal(nudged.states[0], plain.relax(X, y, beta=0.3).states[0])
    model.partial_fit(table, y)


@KINDS
def test_arrow_tables(binary, estimator, pyarrow):
    pa = pyarrow
    X, y = binary
    table = pa.table(dict(zip(COLUMNS, X.T, strict=True)))
    plain = estimator(**SETTINGS).fit(X, y)
    for labels in (y, pa.array(y), pa.chunked_array([y[:30], y[30:]])):
        model = estimator(**SETTINGS).fit(table, labels)
        assert_array_equal(model.predict(table), plain.predict(X))
        assert model.score(table, labels) == plain.score(X, y)
    if estimator is EqPropClassifier:
        assert model.classes_.dtype.kind == "i"
    of_scikit_learn = getattr(StandardScaler().fit(table), "feature_names_in_", np.array(None))
    assert getattr(model, "feature_names_in_", np.array(None)).tolist() == of_scikit_learn.tolist()


@KINDS
def test_other_column_names_are_refused(binary, estimator):
    X, y = binary
    table = pd.DataFrame(X, columns=COLUMNS)
    model = estimator(**SETTINGS).fit(table, y)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(table[COLUMNS[::-1]])
    with pytest.raises(ValueError, match="feature names"):
        model.relax(table.rename(columns={"column 1": "other"}), y, beta=0.1)


def test_early_stopping_with_a_data_frame_warns_of_nothing(binary):
    X, y = binary
    table = pd.DataFrame(X, columns=COLUMNS)
    model = EqPropClassifier(**SETTINGS, early_stopping=True).fit(table, y)
    assert len(model.validation_scores_) == model.n_iter_


@KINDS
def test_series_and_one_column_frames_as_targets(binary, estimator):
    X, y = binary
    plain = estimator(**SETTINGS).fit(X, y).predict(X)
    for series in (pd.Series(y, index=range(5, 85)), pl.Series(y)):
        assert_array_equal(estimator(**SETTINGS).fit(X, series).predict(X), plain)
    with pytest.warns(UserWarning, match="column-vector"):
        model = estimator(**SETTINGS).fit(X, pd.DataFrame({"target": y}))
    assert_array_equal(model.predict(X), plain)


@pytest.mark.parametrize("kind", ["category", "string", "object"])
def test_pandas_labels(binary, kind):
    X, y = binary
    labels = pd.Series(np.array(["no", "yes"])[y]).astype(kind)
    model = EqPropClassifier(**SETTINGS | {"max_iter": 25}).fit(X, labels)
    assert model.classes_.tolist() == ["no", "yes"]
    assert (model.predict(X) == labels.to_numpy()).mean() > 0.9


def test_pandas_nullable_integer_labels_stay_integers(binary):
    X, y = binary
    model = EqPropClassifier(**SETTINGS).fit(X, pd.Series(y).astype("Int64"))
    assert model.classes_.dtype.kind == "i"
    assert model.predict(X).dtype.kind == "i"


@KINDS
@pytest.mark.parametrize(
    ("container", "kind"), [("pandas", pd.DataFrame), ("polars", pl.DataFrame)]
)
def test_set_output(binary, estimator, container, kind):
    X, y = binary
    model = estimator(**SETTINGS).set_output(transform=container).fit(X, y)
    table = model.transform(X)
    assert isinstance(table, kind)
    assert list(table.columns) == model.get_feature_names_out().tolist()
    plain = estimator(**SETTINGS).fit(X, y).transform(X)
    assert_array_equal(table.to_numpy(), plain)


@KINDS
def test_nothing_is_set_by_predicting(binary, estimator):
    X, y = binary
    model = estimator(**SETTINGS).fit(X, y)
    before = joblib.hash(model.__dict__)
    model.predict(X)
    model.transform(X)
    model.relax(X, y, beta=0.2)
    model.score(X, y)
    assert joblib.hash(model.__dict__) == before
