"""A user's validation set, what early stopping judges by, and the best weights restored."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    log_loss,
    make_scorer,
    mean_absolute_error,
    r2_score,
)

from sklearn_eqprop import EqPropClassifier, EqPropRegressor
from sklearn_eqprop.exceptions import DivergenceError

pytestmark = pytest.mark.filterwarnings("ignore:Training reached max_iter")

KINDS = pytest.mark.parametrize("estimator", [EqPropClassifier, EqPropRegressor])
SETTINGS = {"hidden_layer_sizes": (12,), "max_iter": 12, "batch_size": 10, "random_state": 0}
SETTINGS |= {"learning_rate_init": 0.02, "early_stopping": True}


@pytest.fixture
def parts(binary):
    """Noisy training rows, clean validation rows with weights."""
    X, y = binary
    rng = np.random.RandomState(0)
    noisy = np.where(rng.uniform(size=50) < 0.25, 1 - y[:50], y[:50])
    weight = rng.uniform(0.2, 3.0, size=30)
    return X[:50], noisy, X[50:], y[50:], weight


def fitted(estimator, parts, **parameters):
    X, y, X_val, y_val, weight = parts
    model = estimator(**SETTINGS | parameters)
    return model.fit(X, y, X_val=X_val, y_val=y_val, sample_weight_val=weight)


@KINDS
def test_no_row_given_for_validation_is_trained_on(parts, estimator):
    X, y, X_val, y_val, _ = parts
    model = estimator(**SETTINGS).fit(X, y, X_val=X_val, y_val=y_val)
    assert model.t_ == len(y) * model.n_iter_
    # Training itself does not look at the validation set: only where it stops depends on it.
    plain = estimator(**SETTINGS | {"early_stopping": False}).fit(X, y)
    assert model.loss_curve_ == plain.loss_curve_[: model.n_iter_]


SCORES = {
    EqPropClassifier: {
        None: lambda m, X, y, w: accuracy_score(y, m.predict(X), sample_weight=w),
        "accuracy": lambda m, X, y, w: accuracy_score(y, m.predict(X), sample_weight=w),
        "f1": lambda m, X, y, w: f1_score(y, m.predict(X), sample_weight=w),
        "loss": lambda m, X, y, w: -log_loss(y, m.predict_proba(X), sample_weight=w),
        "neg_log_loss": lambda m, X, y, w: -log_loss(y, m.predict_proba(X), sample_weight=w),
    },
    EqPropRegressor: {
        None: lambda m, X, y, w: r2_score(y, m.predict(X), sample_weight=w),
        "neg_mean_absolute_error": lambda m, X, y, w: (
            -mean_absolute_error(y, m.predict(X), sample_weight=w)
        ),
        "loss": lambda m, X, y, w: (
            -0.5 * np.average(((y - m.predict(X)) / m.target_scale_) ** 2, weights=w)
        ),
    },
}


@pytest.mark.parametrize(
    ("estimator", "scoring"), [(kind, name) for kind, ways in SCORES.items() for name in ways]
)
def test_best_score_is_the_score_of_the_weights_kept(parts, estimator, scoring):
    model = fitted(estimator, parts, scoring=scoring, relax_tol=1e-12)
    assert len(model.validation_scores_) == model.n_iter_ == len(model.loss_curve_)
    assert model.best_validation_score_ == max(model.validation_scores_)
    _, _, X_val, y_val, weight = parts
    expected = SCORES[estimator][scoring](model, X_val, y_val, weight)
    assert model.best_validation_score_ == pytest.approx(expected, rel=1e-9)


@KINDS
def test_weights_of_the_validation_set_count(parts, estimator):
    X, y, X_val, y_val, weight = parts
    weight = np.round(weight)
    model = estimator(**SETTINGS, scoring="loss")
    weighted = model.fit(X, y, X_val=X_val, y_val=y_val, sample_weight_val=weight)
    scores = weighted.validation_scores_
    times = weight.astype(int)
    repeated = model.fit(
        X, y, X_val=X_val.repeat(times, axis=0), y_val=y_val.repeat(times)
    ).validation_scores_
    unweighted = model.fit(X, y, X_val=X_val, y_val=y_val).validation_scores_
    assert_allclose(scores, repeated, rtol=1e-10)
    assert not np.allclose(scores, unweighted, rtol=1e-4)


@KINDS
def test_a_scorer_of_ones_own(parts, estimator):
    def worst_residual(y_true, y_pred):
        return np.abs(y_true - y_pred).max()

    scorer = make_scorer(worst_residual, greater_is_better=False)
    X, y, X_val, y_val, _ = parts
    model = estimator(**SETTINGS, scoring=scorer).fit(X, y, X_val=X_val, y_val=y_val)
    assert model.best_validation_score_ == -np.abs(y_val - model.predict(X_val)).max()


@KINDS
def test_scorers_judge_the_internal_split_too(binary, estimator):
    X, y = binary
    by_name = {EqPropClassifier: "accuracy", EqPropRegressor: "r2"}[estimator]
    own = estimator(**SETTINGS, validation_fraction=0.3).fit(X, y)
    named = estimator(**SETTINGS, validation_fraction=0.3, scoring=by_name).fit(X, y)
    assert_allclose(named.validation_scores_, own.validation_scores_, rtol=1e-12)
    assert_array_equal(named.coefs_[0], own.coefs_[0])


def test_a_network_that_diverges_while_it_is_scored_is_not_blamed_on_the_scorer(parts):
    def diverges(model, X, y, sample_weight=None):
        raise DivergenceError("the states are not finite.")

    with pytest.raises(DivergenceError, match="Training diverged in epoch 1"):
        fitted(EqPropClassifier, parts, scoring=diverges)


@KINDS
def test_text_labels_and_frames(parts, estimator):
    X, y, X_val, y_val, weight = parts
    columns = [f"column {i}" for i in range(X.shape[1])]
    frame, frame_val = pd.DataFrame(X, columns=columns), pd.DataFrame(X_val, columns=columns)
    by_name = "r2"
    if estimator is EqPropClassifier:
        names = np.array(["no", "yes"], dtype=object)
        y, y_val, by_name = names[y], names[y_val], "balanced_accuracy"
    for scoring in (None, "loss", by_name):  # not a word about column names: warnings are errors
        model = estimator(**SETTINGS, scoring=scoring)
        model.fit(frame, y, X_val=frame_val, y_val=y_val, sample_weight_val=weight)
        assert np.isfinite(model.validation_scores_).all()
    with pytest.raises(ValueError, match="feature names"):
        model.fit(frame, y, X_val=frame_val[columns[::-1]], y_val=y_val)


@KINDS
def test_training_loss_keeps_its_best_weights_if_asked(parts, estimator):
    X, y, *_ = parts
    settings = SETTINGS | {"early_stopping": False, "learning_rate_init": 0.2, "max_iter": 28}
    settings |= {"alpha": 1e-4}
    last = estimator(**settings).fit(X, y)
    best = estimator(**settings, restore_best_weights=True).fit(X, y)
    assert best.loss_curve_ == last.loss_curve_
    n_best = int(np.argmin(last.loss_curve_)) + 1
    assert n_best < 28  # or there would be nothing to see
    short = estimator(**settings | {"max_iter": n_best}).fit(X, y)
    assert_array_equal(best.coefs_[0], short.coefs_[0])
    assert not np.array_equal(best.coefs_[0], last.coefs_[0])
    assert best.best_loss_ == min(best.loss_curve_)


@KINDS
def test_validation_sets_through_a_pipeline(parts, estimator):
    from sklearn import config_context
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    X, y, X_val, y_val, weight = parts
    with config_context(enable_metadata_routing=True):
        network = estimator(**SETTINGS).set_fit_request(
            X_val=True, y_val=True, sample_weight_val=True
        )
        steps = [("scaler", StandardScaler()), ("network", network)]
        pipeline = Pipeline(steps, transform_input=["X_val"])
        pipeline.fit(50 * X + 3, y, X_val=50 * X_val + 3, y_val=y_val, sample_weight_val=weight)
    scaler = StandardScaler().fit(50 * X + 3)
    direct = estimator(**SETTINGS).fit(
        scaler.transform(50 * X + 3),
        y,
        X_val=scaler.transform(50 * X_val + 3),
        y_val=y_val,
        sample_weight_val=weight,
    )
    assert_array_equal(pipeline[-1].coefs_[0], direct.coefs_[0])


@KINDS
def test_another_validation_set_starts_the_comparison_anew(parts, estimator):
    X, y, X_val, y_val, _ = parts
    model = estimator(**SETTINGS, warm_start=True, scoring="loss")
    model.fit(X, y, X_val=X_val, y_val=y_val)
    best = model.best_validation_score_
    model.fit(X, y, X_val=X_val, y_val=y_val)  # the same: the best so far is still to be beaten
    assert model.best_validation_score_ >= best
    before = len(model.validation_scores_)
    model.fit(X, y, X_val=X_val[:9] * 3, y_val=1 - y_val[:9])
    new_scores = model.validation_scores_[before:]
    again = -SCORES_OF_LOSS[estimator](model, X_val[:9] * 3, 1 - y_val[:9])
    assert max(new_scores) == pytest.approx(again, rel=1e-4)


SCORES_OF_LOSS = {
    EqPropClassifier: lambda m, X, y: log_loss(y, m.predict_proba(X)),
    EqPropRegressor: lambda m, X, y: 0.5 * np.mean(((y - m.predict(X)) / m.target_scale_) ** 2),
}


@pytest.mark.filterwarnings("ignore:y_val is on another scale")
@pytest.mark.filterwarnings("ignore:R.2 score is not well-defined")
@pytest.mark.parametrize(
    ("scoring", "value", "n_rows", "size"), [(None, "nan", 1, 1.0), ("loss", "-inf", 4, 1e200)]
)
def test_a_score_that_cannot_be_compared_is_refused(parts, scoring, value, n_rows, size):
    X, y, X_val, y_val, _ = parts
    model = EqPropRegressor(early_stopping=True, scoring=scoring, random_state=0)
    with pytest.raises(ValueError, match=f"scoring={scoring!r} gives {value} on the validation"):
        model.fit(X, y, X_val=X_val[:n_rows], y_val=size * (0.5 + y_val[:n_rows]))
