"""Training and dynamics that go wrong say so, and leave something that can be used."""

import inspect
import re
import warnings

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sklearn_eqprop._estimators.fitting.judging as judging_module
import sklearn_eqprop._estimators.fitting.loop as loop_module
from sklearn_eqprop import EqPropClassifier, EqPropRegressor
from sklearn_eqprop.exceptions import DivergenceError
from tests.estimators.listening import fit_and_listen

SETTINGS = {"hidden_layer_sizes": (8, 6), "max_iter": 6, "batch_size": 16, "random_state": 0}
SETTINGS |= {"learning_rate_init": 0.01}
KINDS = pytest.mark.parametrize("estimator", [EqPropClassifier, EqPropRegressor])
MAX_ITER = pytest.mark.filterwarnings("ignore:Training reached max_iter")


class Sabotage:
    """run_epoch that does something else the n-th time."""

    def __init__(self, monkeypatch, nth, action):
        self._original, self._nth, self._action = loop_module.run_epoch, nth, action
        self.n_calls = 0
        monkeypatch.setattr(loop_module, "run_epoch", self)

    def __call__(self, trainer, *args, **options):
        self.n_calls += 1
        record = self._original(trainer, *args, **options)
        if self.n_calls == self._nth:
            self._action(trainer.network)
        return record


def break_weights(network):
    network.parameters()[0].array[0, 0] = np.nan


def interrupt(network):
    network.parameters()[0].array[...] += 1.0  # half an epoch, not to be kept
    raise KeyboardInterrupt


# ---- not enough training ---------------------------------------------------------------------


@KINDS
def test_max_iter_reached(binary, estimator):
    messages = fit_and_listen(estimator(**SETTINGS), *binary)
    assert len(messages) == 1
    assert re.search(r"max_iter=6 .*raise max_iter", messages[0])


@KINDS
def test_no_warning_when_training_is_done(binary, estimator):
    settings = SETTINGS | {"max_iter": 300, "tol": 0.05, "n_iter_no_change": 3}
    model = estimator(**settings)
    assert fit_and_listen(model, *binary) == []
    assert 3 < model.n_iter_ < 300
    assert model.score(*binary) > 0.5


@KINDS
def test_patience_is_counted_in_epochs_without_progress(binary, estimator):
    model = estimator(**SETTINGS | {"tol": 100.0, "n_iter_no_change": 3, "max_iter": 50})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(*binary)
    assert model.n_iter_ == 5  # the first counts as progress, then 3 are borne and one more ends it


@KINDS
def test_never_improved(binary, estimator):
    # A rate so small that nothing moves.
    settings = SETTINGS | {"learning_rate_init": 1e-15, "max_iter": 30, "n_iter_no_change": 4}
    X, y = binary
    [message] = fit_and_listen(estimator(**settings), X, y)
    assert re.search(r"did not learn.*Raise learning_rate_init \(now 1e-15\)", message)
    assert "StandardScaler" not in message  # the columns are standardised
    [message] = fit_and_listen(estimator(**settings), 5 * X, y)
    assert re.search(r"did not learn.*StandardScaler.*raise learning_rate_init", message)


# ---- dynamics that do not settle --------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("phase", ["free", "nudged"])
def test_too_few_steps_are_reported_once(binary, estimator, phase):
    limit = {"free": "max_relax_iter", "nudged": "max_nudge_iter"}[phase]
    settings = SETTINGS | {limit: 1, "activation": "relu", "relaxation": "euler", "step_size": 0.5}
    messages = fit_and_listen(estimator(**settings, relax_tol=1e-6), *binary)
    about = [message for message in messages if f"The {phase} phase did not settle" in message]
    assert len(about) == 1
    assert re.search(rf"100\.0% of the samples.*residual.*Raise {limit}", about[0])
    other = {"free": "nudged", "nudged": "free"}[phase]
    assert not any(f"The {other} phase" in message for message in messages)


@KINDS
def test_both_phases_are_reported_once_each(binary, estimator):
    settings = SETTINGS | {"max_relax_iter": 1, "max_nudge_iter": 1, "relax_tol": 1e-9}
    messages = fit_and_listen(estimator(**settings), *binary)
    assert sum("phase did not settle" in message for message in messages) == 2


#: Feedback far too strong: without the safeguard the dynamics never come to rest.
WILD = SETTINGS | {"hidden_layer_sizes": (30, 30), "activation": "hard_sigmoid"}
WILD |= {"feedback_init": "independent", "feedback_scale": 30.0, "relaxation": "euler"}


def test_feedback_without_safeguard_that_oscillates_is_reported(three_classes):
    settings = WILD | {"learning_rate_init": 1e-6, "max_iter": 2, "max_relax_iter": 50}
    model = EqPropClassifier(**settings, loop_gain=None, layerwise_rescale=False)
    messages = fit_and_listen(model, *three_classes)
    about = [message for message in messages if "phase did not settle" in message]
    assert len(about) == 2
    assert all(re.search(r"\d%.*loop_gain", message) for message in about)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_single_sample_that_runs_away_is_reported(optimizer):
    # Far fewer than one in a hundred do not settle, and yet no weight is what it was.
    rng = np.random.RandomState(0)
    X, y = rng.standard_normal((300, 4)), np.arange(300) % 3
    X[0] = 6.0
    settings = {"hidden_layer_sizes": (20,), "loop_gain": None, "feedback_learning": "fixed"}
    settings |= {"loss": "squared_error", "nudging": "centered", "beta": 0.6, "batch_size": 300}
    model = EqPropClassifier(**settings, optimizer=optimizer, momentum=0.0, random_state=0)
    model.partial_fit(X, y, classes=[0, 1, 2])
    # Eighteen of the units speak for that sample alone.
    model.coefs_[0][:, :2] = 0.3 * rng.standard_normal((4, 2))
    model.coefs_[0][:, 2:] = 1.0
    model.intercepts_[0][:] = [0.1] * 2 + [-18.0] * 18
    model.coefs_[1][:] = 0.1 * np.abs(rng.standard_normal((20, 3)))
    gain = 0.7 / np.linalg.norm(model.coefs_[1][2:], 2) ** 2
    model.feedback_coefs_[0][:] = gain * model.coefs_[1].T
    with pytest.warns(ConvergenceWarning) as caught:
        model.partial_fit(X, y)
    assert 0 < model.relaxation_["nudged_unconverged"][-1] < 0.01
    messages = [str(warning.message) for warning in caught]
    assert any(re.search(r"nudged phase samples ran away.*loop_gain", m) for m in messages)


def test_safeguard_settles_the_same_feedback(three_classes):
    model = EqPropClassifier(**WILD)
    messages = fit_and_listen(model, *three_classes)
    assert not any("settle" in message for message in messages)
    assert max(model.relaxation_["free_unconverged"]) == 0


@MAX_ITER
@KINDS
@pytest.mark.parametrize("method", ["predict", "transform", "relax"])
def test_unsettled_predictions_are_reported(binary, estimator, method):
    X, y = binary
    model = estimator(**SETTINGS, activation="relu").fit(X, y)
    model.set_params(max_relax_iter=1, relaxation="euler", step_size=0.5)
    with pytest.warns(
        ConvergenceWarning, match=r"80 of 80 samples had not settled.*max_relax_iter"
    ):
        getattr(model, method)(X)


@MAX_ITER
def test_unsettled_probabilities_are_reported(binary):
    X, y = binary
    model = EqPropClassifier(**SETTINGS, activation="relu").fit(X, y)
    model.set_params(max_relax_iter=1, relaxation="euler", step_size=0.5)
    for method in ("predict_proba", "decision_function", "predict_log_proba"):
        with pytest.warns(ConvergenceWarning, match="80 of 80 samples") as caught:
            getattr(model, method)(X)
        assert len(caught) == 1


# ---- divergence ------------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_divergence_names_epoch_cause_and_parameter(binary, estimator, dtype):
    model = estimator(
        **SETTINGS | {"learning_rate_init": 1e30, "optimizer": "sgd", "loop_gain": None},
        dtype=dtype,
    )
    with pytest.raises(
        DivergenceError, match=r"diverged in epoch \d+.*learning_rate_init.*loop_gain"
    ):
        model.fit(*binary)


@KINDS
def test_divergence_keeps_the_last_good_weights(binary, estimator, monkeypatch):
    X, y = binary
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        expected = estimator(**SETTINGS | {"max_iter": 2}, loop_gain=None).fit(X, y)
    Sabotage(monkeypatch, 3, break_weights)
    model = estimator(**SETTINGS, loop_gain=None)
    with pytest.raises(DivergenceError, match=r"epoch 3: a weight is not finite"):
        model.fit(X, y)
    assert len(model.loss_curve_) == model.n_iter_ == 2
    assert_array_equal(model.coefs_[0], expected.coefs_[0])
    assert_array_equal(model.predict(X), expected.predict(X))


@MAX_ITER
@KINDS
def test_divergence_in_the_first_epoch_leaves_the_estimator_as_it_was(
    binary, three_classes, estimator, monkeypatch
):
    X, y = binary
    model = estimator(**SETTINGS).fit(X[:, :4], y)
    before, kept = joblib.hash(model.__dict__), model.predict(X[:, :4])
    Sabotage(monkeypatch, 1, break_weights)
    with pytest.raises(
        DivergenceError, match=r"epoch 1: .* or lower step_size \(now 1\)\.$"
    ):  # nothing is kept
        model.fit(*three_classes)
    assert joblib.hash(model.__dict__) == before
    assert_array_equal(model.predict(X[:, :4]), kept)


@MAX_ITER
@KINDS
def test_partial_fit_that_diverges_changes_nothing(binary, estimator, monkeypatch):
    X, y = binary
    model = estimator(**SETTINGS).fit(X, y)
    before = joblib.hash(model.__dict__)
    Sabotage(monkeypatch, 1, break_weights)
    with pytest.raises(DivergenceError, match="epoch 7"):
        model.partial_fit(X, y)
    assert joblib.hash(model.__dict__) == before


@KINDS
def test_first_partial_fit_that_diverges_leaves_an_unfitted_estimator(
    binary, estimator, monkeypatch
):
    X, y = binary
    model = estimator(**SETTINGS)
    named = {"classes": [0, 1]} if estimator is EqPropClassifier else {}
    Sabotage(monkeypatch, 1, break_weights)
    with pytest.raises(DivergenceError):
        model.partial_fit(X, y, **named)
    assert vars(model).keys() == vars(estimator(**SETTINGS)).keys()


@MAX_ITER
@KINDS
@pytest.mark.parametrize(
    "bad", [{"beta": 0.0}, {"learning_rate_init": [0.1]}, {"early_stopping": True}], ids=str
)
def test_a_fit_that_is_refused_leaves_the_estimator_as_it_was(
    binary, three_classes, estimator, bad
):
    X, y = binary
    model = estimator(**SETTINGS).fit(X[:, :4], y)
    kept = model.predict(X[:, :4])
    model.set_params(**bad, validation_fraction=0.001)
    before = joblib.hash(model.__dict__)
    with pytest.raises(ValueError, match=r"beta|learning_rate_init|validation_fraction|test_size"):
        model.fit(*three_classes)
    assert joblib.hash(model.__dict__) == before
    assert_array_equal(model.predict(X[:, :4]), kept)


@KINDS
def test_a_first_fit_that_is_refused_leaves_an_unfitted_estimator(binary, estimator):
    from sklearn.exceptions import NotFittedError

    model = estimator(**SETTINGS, beta=0.0)
    with pytest.raises(ValueError, match="beta"):
        model.fit(*binary)
    with pytest.raises(NotFittedError):
        model.predict(binary[0])


# ---- interruption ----------------------------------------------------------------------------


@KINDS
def test_interruption_keeps_the_epochs_done(binary, estimator, monkeypatch):
    X, y = binary
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        expected = estimator(**SETTINGS | {"max_iter": 2}).fit(X, y)
    Sabotage(monkeypatch, 3, interrupt)
    model = estimator(**SETTINGS)
    with pytest.warns(UserWarning, match="interrupted") as caught:
        model.fit(X, y)
    assert len(caught) == 1
    assert model.n_iter_ == 2
    # The safeguard measured the loops once more in the epoch that was given up.
    assert_allclose(model.relax(X).states[-1], expected.relax(X).states[-1], atol=1e-6)


@KINDS
@MAX_ITER
@pytest.mark.parametrize("fitted", [False, True])
def test_interruption_of_the_first_epoch_changes_nothing(binary, estimator, monkeypatch, fitted):
    # Nothing has been learned yet that could be kept.
    X, y = binary
    model = estimator(**SETTINGS, warm_start=True)
    if fitted:
        model.fit(X, y)
    before = joblib.hash(vars(model))
    Sabotage(monkeypatch, 1, interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert joblib.hash(vars(model)) == before


@MAX_ITER
@KINDS
def test_interruption_of_partial_fit_keeps_the_weights(binary, estimator, monkeypatch):
    X, y = binary
    model = estimator(**SETTINGS).fit(X, y)
    before = model.predict(X)
    hashed = joblib.hash(model.__dict__)
    Sabotage(monkeypatch, 1, interrupt)
    # Raised: the loop over slices that calls partial_fit is what is to end.
    with pytest.raises(KeyboardInterrupt):
        model.partial_fit(X, y)
    assert joblib.hash(model.__dict__) == hashed
    assert_array_equal(model.predict(X), before)


# ---- progress --------------------------------------------------------------------------------


@MAX_ITER
@KINDS
@pytest.mark.parametrize("early_stopping", [False, True])
def test_verbose_prints_a_line_an_epoch(binary, estimator, early_stopping, capsys):
    estimator(**SETTINGS, verbose=True, early_stopping=early_stopping).fit(*binary)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    for number, line in enumerate(lines, start=1):
        assert re.match(rf"Epoch +{number} .*loss", line)
        assert ("validation" in line) == early_stopping


@pytest.mark.parametrize("n_rows", [20, 2000])
def test_verbose_counts_the_samples_of_this_epoch(monkeypatch, n_rows, capsys):
    X = np.random.RandomState(0).standard_normal((200, 3))
    model = EqPropRegressor(4, verbose=True, random_state=0).partial_fit(X, X[:, 0])
    ticks = iter(range(100))
    monkeypatch.setattr(loop_module.time, "perf_counter", lambda: next(ticks) / 10)
    rows = np.resize(np.arange(200), n_rows)
    capsys.readouterr()
    model.partial_fit(X[rows], X[rows, 0])
    rate = re.search(r"([\d,]+) samples/s", capsys.readouterr().out)
    assert int(rate[1].replace(",", "")) == 10 * n_rows


@MAX_ITER
@KINDS
def test_silent_by_default(binary, estimator, capsys):
    estimator(**SETTINGS).fit(*binary)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


@MAX_ITER
def test_verbose_says_why_it_stops(binary, capsys):
    settings = SETTINGS | {"max_iter": 300, "tol": 0.05, "n_iter_no_change": 3}
    model = EqPropClassifier(**settings, verbose=1).fit(*binary)
    of_trial, *lines = capsys.readouterr().out.splitlines()
    assert of_trial.startswith("alpha='auto'")
    assert len(lines) == model.n_iter_ + 1
    assert re.search(r"did not improve by more than tol=0\.05", lines[-1])


@KINDS
def test_a_tolerance_that_no_improvement_can_reach_is_reported(binary, estimator):
    [message] = fit_and_listen(estimator(8, tol=5.0, random_state=0), *binary)
    assert re.search(
        r"stopped before it could learn: tol=5 .* loss of no more than 0\.\d+", message
    )


# ---- training that ends badly ----------------------------------------------------------------


def test_training_that_collapses_after_a_good_start_is_reported(three_classes):
    model = EqPropClassifier(
        (32, 32), optimizer="adam", learning_rate_init=3.0, max_iter=30, random_state=0
    )
    messages = fit_and_listen(model, *three_classes)
    assert model.loss_ > model.best_loss_
    assert any("did not learn" in message for message in messages)


@pytest.mark.parametrize(
    ("settings", "warns"),
    [
        ({"relax_tol": 1e-3}, False),
        ({"relax_tol": 1e-3, "dtype": "float64"}, False),
        ({"relax_tol": 1e-3, "gradient": "recurrent_backprop"}, False),
        ({}, False),  # displacements have an accuracy of their own
        ({"feedback_scale": 1e-11}, True),
    ],
)
def test_feedback_too_weak_for_the_arithmetic_is_reported(three_classes, settings, warns):
    settings = {"dtype": "float32", "feedback_scale": 0.01, "max_iter": 2} | settings
    messages = fit_and_listen(EqPropClassifier((16,) * 3, **settings), *three_classes)
    about = [m for m in messages if re.search(r"below the rounding of float32.*float64", m)]
    assert bool(about) == warns


@MAX_ITER
@pytest.mark.filterwarnings("ignore:Training did not learn")
def test_weak_feedback_is_no_concern_of_a_later_rule_that_does_not_use_it(three_classes):
    settings = SETTINGS | {"feedback_scale": 1e-30, "dtype": "float32", "warm_start": True}
    model = EqPropClassifier(**settings)
    with pytest.warns(ConvergenceWarning, match="Feedback carries only"):
        model.fit(*three_classes)
    model.set_params(gradient="recurrent_backprop").fit(*three_classes)


@MAX_ITER
def test_divergence_on_held_out_rows_names_the_epoch(binary, monkeypatch):
    X, y = binary
    good = EqPropClassifier(**SETTINGS | {"max_iter": 2}, early_stopping=True).fit(X, y)
    settle, n_calls = judging_module.settle_rows, []

    def blow_up_in_the_third_epoch(*args, **kwargs):
        n_calls.append(1)
        if len(n_calls) == 3:
            msg = "States stopped being finite."
            raise DivergenceError(msg)
        return settle(*args, **kwargs)

    monkeypatch.setattr(judging_module, "settle_rows", blow_up_in_the_third_epoch)
    model = EqPropClassifier(**SETTINGS | {"max_iter": 5}, early_stopping=True)
    with pytest.raises(DivergenceError, match=r"diverged in epoch 3: States stopped.*last good"):
        model.fit(X, y)
    assert len(model.validation_scores_) == len(model.loss_curve_) == 2
    assert model.loss_curve_ == good.loss_curve_
    assert model.t_ == good.t_


def test_fit_goes_on_after_a_divergence(binary):
    X, y = binary
    model = EqPropRegressor(**SETTINGS | {"optimizer": "sgd", "max_iter": 3}, warm_start=True)
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        model.fit(X, y)
    model.set_params(learning_rate_init=2.0, loop_gain=None, max_iter=100)
    with pytest.raises(DivergenceError):
        model.fit(X, y)
    model.set_params(learning_rate_init=1e-3, loop_gain=0.2, max_iter=3)
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        model.fit(X, y)  # velocities that had blown up are not taken along
    assert np.isfinite(model.loss_)


def test_assigned_feedback_is_brought_within_the_bound_before_training(three_classes):
    X, y = three_classes
    model = EqPropClassifier(**SETTINGS, loop_gain=0.2).partial_fit(X, y, classes=[0, 1, 2])
    rng = np.random.RandomState(0)
    model.feedback_coefs_ = [30 * rng.standard_normal(B.shape) for B in model.feedback_coefs_]
    model.partial_fit(X, y)
    loop = np.linalg.norm(model.coefs_[1], 2) * np.linalg.norm(model.feedback_coefs_[0], 2)
    assert loop < 0.21


@MAX_ITER
def test_a_penalty_that_overflows_is_divergence(binary):
    X, y = binary
    model = EqPropClassifier((5,), max_iter=1, random_state=0).fit(X, y)
    model.coefs_ = [1e160 * coef for coef in model.coefs_]
    model.feedback_coefs_ = [1e-300 * coef for coef in model.feedback_coefs_]
    model.set_params(alpha=1e30, optimizer="sgd", momentum=0.0, learning_rate_init=1e-300)
    with pytest.raises(DivergenceError, match=r"diverged in epoch 2"):
        model.partial_fit(X, y)


@MAX_ITER
@pytest.mark.filterwarnings("ignore:Training did not learn")
def test_a_loss_is_not_compared_with_an_accuracy(three_classes):
    X, y = three_classes
    settings = {"max_iter": 12, "warm_start": True, "learning_rate_init": 1e-3, "random_state": 0}
    model = EqPropClassifier((8,), early_stopping=True, **settings).fit(X, y)
    model.set_params(early_stopping=False, max_iter=40).fit(X, y)
    assert model.n_iter_ == 40
    assert model.loss_curve_[-1] < model.loss_curve_[-39]


@MAX_ITER
@pytest.mark.parametrize("parameters", [{"feedback_scale": 1e-300}, {"loop_gain": 1e-30}], ids=str)
def test_feedback_of_no_strength_is_pointed_out(binary, parameters):
    X, y = binary
    with pytest.warns(ConvergenceWarning, match=r"below the rounding.*feedback_scale"):
        EqPropClassifier((6,), max_iter=3, random_state=0, **parameters).fit(X, y)


def _far_stream(X, y):
    EqPropRegressor((6,), random_state=0).partial_fit(X, y).partial_fit(1e6 * X, 1e6 * y)


def _outlier(X, y):
    X = X.copy()
    X[0] *= 1e12
    EqPropClassifier((6,), max_iter=2).fit(X, y)


def _beyond_the_largest_number(X, y):
    model = EqPropRegressor((8,), loss="poisson", max_iter=5, dtype="float32", random_state=0)
    model.fit(X, 1e30 * np.exp(X[:, 0])).predict(300 * X)


def _unsettled(X, y):
    return EqPropClassifier((5,), max_iter=2, max_relax_iter=1, max_nudge_iter=1).fit(X, y)


@MAX_ITER
@pytest.mark.parametrize(
    "trouble",
    [
        _far_stream,
        _outlier,
        lambda X, y: EqPropClassifier((5,) * 3, max_iter=2, feedback="tied").fit(X, y),
        lambda X, y: EqPropRegressor((5,), max_iter=2, beta=0.97, loop_gain=0.9).fit(X, y),
        lambda X, y: _unsettled(X, y).predict(X),
        lambda X, y: _unsettled(X, y).score(X, y),
        lambda X, y: _unsettled(X, y).transform(X),
        lambda X, y: _unsettled(X, y).relax(X),
        lambda X, y: _unsettled(X, y).relax(X, y, beta=0.5),
        _beyond_the_largest_number,
        lambda X, y: make_pipeline(StandardScaler(), EqPropClassifier((5,), max_iter=2)).fit(X, y),
        lambda X, y: GridSearchCV(EqPropClassifier((5,)), {"max_iter": [1, 2]}).fit(X, y),
        lambda X, y: cross_val_predict(EqPropClassifier((5,), max_iter=2), X, y, cv=2),
    ],
)
def test_warnings_point_to_the_call(binary, trouble):
    this_line = inspect.currentframe().f_lineno  # what is called stands above
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trouble(*binary)
    assert caught
    assert {warning.filename for warning in caught} == {__file__}
    assert max(warning.lineno for warning in caught) < this_line
