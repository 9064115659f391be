"""Data on another scale than before are pointed out: later calls, and validation sets."""

import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from sklearn_eqprop import EqPropClassifier, EqPropRegressor
from sklearn_eqprop._estimators.data.other_scale import warn_about_held_out, warn_about_other_scale
from sklearn_eqprop._estimators.data.rows import Rows, look_over
from sklearn_eqprop._estimators.fitting.state import TrainingState
from tests.estimators.listening import fit_and_listen

pytestmark = pytest.mark.filterwarnings("ignore:Training reached max_iter")
LATER = "columns of X are on another scale than in earlier calls"
LOADERS = [
    load_iris,
    load_wine,
    load_breast_cancer,
    lambda **_: load_diabetes(return_X_y=True, scaled=False),
]
SCALERS = [StandardScaler, MinMaxScaler, RobustScaler]


def messages_of(function, *arguments):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", RuntimeWarning)  # `fit` ignores floating-point errors
        function(*arguments)
    return [str(warning.message) for warning in told]


# ---- validation sets -----------------------------------------------------------------------------


@pytest.mark.parametrize("scaler", SCALERS)
@pytest.mark.parametrize("load", LOADERS, ids=["iris", "wine", "cancer", "diabetes"])
def test_raw_validation_sets_are_told_from_small_ones(load, scaler):
    X, _ = load(return_X_y=True)
    for n_val in (1, 2, 5, 10, 20, 40):
        for seed in range(5):
            train, val = train_test_split(X, test_size=n_val, random_state=seed)
            scale = scaler().fit(train)
            seen = look_over(scale.transform(train))
            proper, raw = look_over(scale.transform(val)), look_over(val)
            assert not messages_of(warn_about_held_out, proper, seen, "X_val", "X")
            if n_val >= 10:
                assert messages_of(warn_about_held_out, raw, seen, "X_val", "X")


@pytest.mark.parametrize("factor", [30, 1e3, 1e6])
def test_a_single_centred_column_that_is_not_scaled(factor):
    rng = np.random.RandomState(0)
    X, y = rng.standard_normal((120, 5)), rng.randint(2, size=120)
    X_val = X[80:] * np.where(np.arange(5) == 3, factor, 1)
    model = EqPropClassifier((4,), early_stopping=True, max_iter=2, random_state=0)
    with pytest.warns(ConvergenceWarning, match=r"X_val is on another scale than X: column 3 has"):
        model.fit(X[:80], y[:80], X_val=X_val, y_val=y[80:])


@pytest.mark.parametrize("factor", [8.0, 1 / 8])
def test_centred_columns_that_are_not_scaled(factor):
    X = np.random.RandomState(0).standard_normal((120, 5))
    seen = look_over(X[:80])
    for n_val in (10, 40):
        held_out = look_over(factor * X[80 : 80 + n_val])
        [message] = messages_of(warn_about_held_out, held_out, seen, "X_val", "X")
        assert "X_val is on another scale than X" in message
        close = look_over(np.sqrt(factor) * X[80 : 80 + n_val])
        assert not messages_of(warn_about_held_out, close, seen, "X_val", "X")


@pytest.mark.parametrize("n_val", [1, 2, 5])
def test_a_few_rows_that_are_far_away(n_val):
    X = np.random.RandomState(0).standard_normal((100, 5))
    seen, held_out = look_over(X[10:]), look_over(8.0 + X[:n_val])
    assert messages_of(warn_about_held_out, held_out, seen, "X_val", "X")


def test_outliers_among_held_out_rows_are_no_other_scale():
    rng = np.random.RandomState(0)
    X, y = rng.standard_normal((150, 20)), rng.randint(2, size=150)
    X[:, 10:] = rng.uniform(size=(150, 10)) < 0.02
    X[100:102, 7:13] = [[1e3], [-1e3]]
    model = EqPropClassifier((4,), early_stopping=True, max_iter=2, random_state=0)
    messages = messages_of(lambda: model.fit(X[:100], y[:100], X_val=X[100:], y_val=y[100:]))
    assert not any("another scale" in message for message in messages)


def test_rare_entries_that_are_larger_among_held_out_rows_are_no_other_scale():
    for seed in range(8):
        X = sparse.random(200, 300, 0.02, random_state=seed, format="csr")
        for n_train in (30, 100, 170):
            train, held_out = X[:n_train], Rows(X[n_train:], np.zeros(200 - n_train), None, None)
            arguments = (held_out.columns, look_over(train), "X_val", "X", held_out)
            assert not messages_of(warn_about_held_out, *arguments)


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_array])
def test_a_pipeline_that_leaves_out_the_validation_set(layout):
    X, y = load_breast_cancer(return_X_y=True)
    X, X_val, y, y_val = train_test_split(X, y, random_state=0)
    settings = {"early_stopping": True, "random_state": 0, "max_iter": 5}
    network = EqPropClassifier((6,), **settings)
    scaler = StandardScaler(with_mean=layout is np.asarray)
    pipeline = make_pipeline(scaler, network)
    step = "eqpropclassifier__"
    with pytest.warns(
        ConvergenceWarning, match=r"X_val is .* column 23 has a mean of .*_input"
    ) as told:
        pipeline.fit(layout(X), y, **{f"{step}X_val": layout(X_val), f"{step}y_val": y_val})
    assert "but" in str(told[0].message)
    X_val = scaler.transform(layout(X_val))
    assert not any(
        "X_val" in message
        for message in fit_and_listen(
            network, scaler.transform(layout(X)), y, X_val=X_val, y_val=y_val
        )
    )


def test_rare_and_constant_columns_of_small_validation_sets_raise_no_alarm():
    rng = np.random.RandomState(0)
    train = np.c_[rng.standard_normal((500, 2)), rng.rand(500, 300) < 0.01, np.ones(500)]
    train = np.c_[train, rng.standard_cauchy((500, 3)), rng.lognormal(0, 2, (500, 3))]
    val = np.c_[rng.standard_normal((500, 2)), rng.rand(500, 300) < 0.01, np.ones(500)]
    val = np.c_[val, rng.standard_cauchy((500, 3)), rng.lognormal(0, 2, (500, 3))]
    scale = StandardScaler().fit(train)
    for one, other in ((train, val), (scale.transform(train), scale.transform(val))):
        for n_val in (1, 3, 10, 30):
            for start in range(0, 500 - n_val, n_val + 7):
                held_out = look_over(other[start : start + n_val])
                assert not messages_of(warn_about_held_out, held_out, look_over(one), "X_val", "X")


@pytest.mark.parametrize("transformer", [None, np.log, np.sqrt])
def test_targets_of_a_validation_set_that_were_not_transformed(transformer):
    X, y = load_diabetes(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    ways = {"transformer": StandardScaler()}
    if transformer is not None:
        ways = {
            "func": transformer,
            "inverse_func": {np.log: np.exp, np.sqrt: np.square}[transformer],
        }
    network = EqPropRegressor((6,), early_stopping=True, random_state=0, max_iter=5)
    model = TransformedTargetRegressor(network, **ways)
    with pytest.warns(
        ConvergenceWarning, match=r"y_val is on another scale than y: .* transform it"
    ):
        model.fit(X[:300], y[:300], X_val=X[300:], y_val=y[300:])
    said = fit_and_listen(network, X[:300], y[:300], X_val=X[300:310], y_val=y[300:310])
    assert not any("y_val" in message for message in said)


def test_the_user_guide_shows_how_a_validation_set_is_transformed():
    guide = (Path(__file__).parents[3] / "docs" / "user_guide.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    [block] = [block for block in blocks if "transform_input" in block]
    X_train, y_train = load_breast_cancer(return_X_y=True)
    names = {"X_train": X_train, "y_train": y_train, "train_test_split": train_test_split}
    names |= {"EqPropClassifier": EqPropClassifier, "StandardScaler": StandardScaler}
    exec(block, names)  # a warning would be an error
    model, scored = names["model"], (names["X_val"], names["y_val"])
    assert model.score(*scored) > 0.95
    network = model[-1]
    scores = network.set_params(scoring=None).fit(
        model[0].transform(names["X_fit"]),
        names["y_fit"],
        X_val=model[0].transform(scored[0]),
        y_val=scored[1],
    )
    assert scores.best_validation_score_ == network.score(model[0].transform(scored[0]), scored[1])


# ---- later calls ---------------------------------------------------------------------------------


def alarms(X, n_rows, first=None):
    """Numbers of the calls that are warned about, if X comes in slices."""
    state = TrainingState(0, {}, *[np.random.RandomState(0)] * 4)
    found = []
    for number, start in enumerate([0, *range(first or n_rows, X.shape[0], n_rows)]):
        stop = start + n_rows if start else first or n_rows
        rows = Rows(X[start:stop], np.zeros(1), None)
        if start and messages_of(warn_about_other_scale, rows, state.seen_sizes, state.most_rows):
            found.append(number)
        state.note_sizes(rows.columns.sizes, rows.n_samples)
    return found


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_array, lambda X: X.astype(np.float32)])
@pytest.mark.parametrize("factor", [60.0, 1000.0, 1 / 60, 1 / 1000])
@pytest.mark.parametrize("n_rows", [20, 200])
@pytest.mark.parametrize("shift", [0.0, 5.0])
def test_a_column_that_changes_its_unit(factor, n_rows, shift, layout):
    X = np.random.RandomState(0).standard_normal((10 * n_rows, 6)) + shift
    X[6 * n_rows :, 3] *= factor
    assert alarms(layout(X), n_rows)[:1] == [6]


@pytest.mark.parametrize("factor", [1000.0, 1 / 1000])
def test_a_unit_that_changes_before_the_scaler(factor):
    heights = np.random.RandomState(0).normal(170, 60, (2000, 3))
    scaler = StandardScaler().fit(heights)
    heights[1200:, 1] *= factor
    assert alarms(scaler.transform(heights), 200)[:1] == [6]


def test_an_estimator_names_the_column_once():
    rng = np.random.RandomState(0)
    X, y = rng.standard_normal((400, 4)), rng.standard_normal(400)
    model = EqPropRegressor((5,), random_state=0)
    for start in range(0, 200, 40):
        model.partial_fit(X[start : start + 40], y[start : start + 40])
    X[200:, 2] *= 60
    with pytest.warns(
        ConvergenceWarning, match=f"{LATER}: column 2 has a standard deviation of [4-7]"
    ) as told:
        model.partial_fit(X[200:240], y[200:240])
    assert "from 0." in str(told[0].message)
    model.partial_fit(X[240:280], y[240:280])  # it has been said


STREAMS = {
    "rare indicators": lambda r: (r.rand(4000, 40) < 0.005).astype(float),
    "rare indicators, standardised": lambda r: StandardScaler().fit_transform(
        r.rand(4000, 40) < 0.005
    ),
    "outliers": lambda r: r.standard_normal((4000, 5)) * np.where(r.rand(4000, 5) < 1e-3, 1e3, 1.0),
    "heavy tails": lambda r: r.standard_t(2, (4000, 5)),
    "sorted": lambda r: np.sort(r.standard_normal((4000, 5)), axis=0),
    "sorted, skewed": lambda r: np.sort(r.lognormal(0, 1, (4000, 5)), axis=0),
    "drift": lambda r: r.standard_normal((4000, 5)) + np.linspace(0, 5, 4000)[:, None],
    "seasons": lambda r: (
        r.standard_normal((4000, 5)) * (1 + np.sin(np.arange(4000) / 300) ** 2)[:, None]
    ),
    "counts": lambda r: r.poisson(0.1, (4000, 20)).astype(float),
    "constants": lambda r: np.repeat(r.standard_normal((4, 5)), 1000, axis=0),
}


@pytest.mark.parametrize("stream", list(STREAMS))
@pytest.mark.parametrize(
    ("n_rows", "first"), [(1, 30), (5, None), (20, None), (200, None), (20, 1000)]
)
def test_streams_without_a_change_of_unit(stream, n_rows, first):
    X = STREAMS[stream](np.random.RandomState(0))
    X = X if n_rows >= 20 else X[::4]
    assert alarms(X, n_rows, first) == []


def test_single_rows_far_beyond_all_others():
    X = np.random.RandomState(0).standard_normal((60, 3))
    X[40:] *= 1e6
    assert alarms(X, 1, first=20)[:1] == [21]
