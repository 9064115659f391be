"""What messages advise: never what is in force already, and it works when it is followed."""

import re
import warnings

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris, make_blobs, make_regression
from sklearn.preprocessing import StandardScaler

from sklearn_eqprop import Conv2D, EqPropClassifier, EqPropRegressor
from sklearn_eqprop._estimators.parameters import remedies as ways
from sklearn_eqprop._estimators.parameters.config import Config
from sklearn_eqprop._estimators.parameters.remedies import Remedy, Situation, sentence
from sklearn_eqprop.exceptions import DivergenceError
from tests.estimators.listening import assert_nothing_in_force, fit_and_listen

REMEDIES = {name: value for name, value in vars(ways).items() if isinstance(value, Remedy)}


def scaled(load):
    X, y = load(return_X_y=True)
    return StandardScaler().fit_transform(X), y


def said(model, X, y, **arguments):
    """What a fit says, by a warning or an error."""
    try:
        return fit_and_listen(model, X, y, **arguments)
    except DivergenceError as error:
        return [str(error)]


# ---- a warning only where more epochs would help -----------------------------------------------


@pytest.mark.parametrize("seed", range(2))
def test_defaults_end_without_a_warning(seed):
    assert fit_and_listen(EqPropClassifier(random_state=seed), *scaled(load_iris)) == []
    assert fit_and_listen(EqPropRegressor(random_state=seed), *scaled(load_diabetes)) == []


@pytest.mark.parametrize("max_iter", [3, 10, 20])
def test_too_few_epochs_are_reported_and_more_help(max_iter):
    X, y = scaled(load_iris)
    model = EqPropClassifier(max_iter=max_iter, random_state=0)
    [message] = fit_and_listen(model, X, y)
    assert f"reached max_iter={max_iter} epochs before the loss stopped improving" in message
    assert f"raise max_iter (now {max_iter}) or raise learning_rate_init (now 0.003)" in message
    few = model.score(X, y)
    assert fit_and_listen(model.set_params(max_iter=200), X, y) == []
    assert model.score(X, y) > few
    faster = model.set_params(max_iter=max(max_iter, 20), learning_rate_init=0.1)
    assert fit_and_listen(faster, X, y) == []


def test_what_the_last_epochs_brought_is_told():
    X, y = scaled(load_iris)
    model = EqPropClassifier(max_iter=20, alpha=0, random_state=0)
    [message] = fit_and_listen(model, X, y)
    before, last = np.mean(np.reshape(model.loss_curve_[-4:], (2, 2)), axis=1)
    assert f"the last 2 epochs brought {before - last:.2g}" in message
    assert before - last > 0.05 * (np.log(3) - last)


def test_epochs_that_bring_little_are_not_asked_for():
    # The loss falls to the end, but the last tenth of the epochs brought 0.5 % of all progress.
    X, y = scaled(load_iris)
    model = EqPropClassifier(n_iter_no_change=None, random_state=0)
    assert fit_and_listen(model, X, y) == []
    assert model.n_iter_ == 200
    assert model.loss_curve_[-1] < model.loss_curve_[-2]


def test_the_validation_score_decides_if_it_is_what_training_waits_for():
    X, y = scaled(load_diabetes)
    settings = {"early_stopping": True, "learning_rate_init": 1e-4, "random_state": 0}
    [message] = fit_and_listen(EqPropRegressor(**settings, max_iter=100), X, y)
    assert "reached max_iter=100 epochs before the validation score stopped improving" in message
    assert "early_stopping" not in message
    settings |= {"learning_rate_init": 1e-3, "n_iter_no_change": None}
    assert fit_and_listen(EqPropRegressor(**settings, max_iter=100), X, y) == []


# ---- the learning rate -------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [10.0, 1000.0])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("kind", [EqPropClassifier, EqPropRegressor])
def test_a_rate_that_is_too_large_is_to_be_lowered(kind, optimizer, rate):
    X, y = scaled(load_iris)
    y = y if kind is EqPropClassifier else X[:, 0] * X[:, 1]
    settings = {"max_iter": 40, "optimizer": optimizer, "random_state": 0}
    messages = said(kind((20,), learning_rate_init=rate, **settings), X, y)
    assert re.search(rf"[Ll]ower learning_rate_init \(now {rate}\)", messages[0])
    assert not any(re.search("raise (max_iter|learning_rate_init)", m) for m in messages)
    assert not any("StandardScaler" in m or "below the rounding" in m for m in messages)
    lower = kind((20,), learning_rate_init=0.01, **settings)
    assert not any(re.search("did not learn|diverged", m) for m in said(lower, X, y))


def test_a_loss_that_still_falls_from_far_above_a_constant_prediction():
    # At the limit of epochs, with the best loss so far: neither more epochs nor a larger rate.
    X, y = make_regression(300, 10, noise=10, random_state=0)
    settings = {"nudging": "centered", "alpha": 7.5, "random_state": 0}
    model = EqPropRegressor(learning_rate_init=10.0, **settings)
    [message] = fit_and_listen(model, X, y)
    assert model.loss_ == model.best_loss_ > 0.5
    assert "did not learn" in message
    assert message.endswith("Lower learning_rate_init (now 10.0).")


def test_a_loss_that_falls_in_every_epoch_but_jumped_in_the_first():
    # The minibatches of the first epoch blow the network up; then nothing ever rises.
    rng = np.random.RandomState(2)
    X = rng.standard_normal((400, 20))
    y = X[:, 0] + X[:, 1] ** 2
    settings = {"learning_rate_init": 10.0, "batch_size": 100, "max_iter": 15, "random_state": 1}
    model = EqPropRegressor((20,), **settings)
    [message] = fit_and_listen(model, X, y)
    assert model.loss_curve_ == sorted(model.loss_curve_, reverse=True)
    assert model.loss_curve_[0] > 1e3
    assert model.loss_ > 0.5
    assert "did not learn" in message
    assert "Lower learning_rate_init (now 10.0)" in message
    assert "aise" not in message


@pytest.mark.parametrize("rate", [1e-9, 1e-6, 1e-5])
def test_a_rate_that_is_too_small_is_to_be_raised(rate):
    X, y = scaled(load_iris)
    model = EqPropClassifier(learning_rate_init=rate, random_state=0)
    [message] = fit_and_listen(model, X, y)
    assert re.search(r"did not learn.*a constant prediction has a loss of 1\.099", message)
    assert f"aise learning_rate_init (now {rate})" in message
    # More epochs were of no use to training that has stopped by itself.
    assert ("aise max_iter (now 200)" in message) == (model.n_iter_ == 200)
    assert fit_and_listen(model.set_params(learning_rate_init=1e-3), X, y) == []


def test_inputs_are_to_be_scaled_unless_they_are():
    X, y = scaled(load_iris)
    settings = {"learning_rate_init": 1e-9, "random_state": 0}
    for shifted, advised in ((X, False), (X + 3, True), (7 * X, True)):
        [message] = fit_and_listen(EqPropClassifier(**settings), shifted, y)
        assert ("StandardScaler" in message) == advised


# ---- other messages ----------------------------------------------------------------------------


def test_a_smaller_tolerance_lets_it_learn():
    X, y = scaled(load_iris)
    [message] = fit_and_listen(EqPropClassifier(tol=5.0, random_state=0), X, y)
    assert "Lower tol." in message
    assert fit_and_listen(EqPropClassifier(tol=1e-4, random_state=0), X, y) == []


@pytest.mark.parametrize("weight", [1.0, 1e-9])
def test_a_smaller_penalty_lets_it_learn(weight):
    X, y = scaled(load_iris)
    weights = np.full(len(y), weight)
    model = EqPropClassifier(alpha=1e4 * weight, random_state=0)
    [message] = fit_and_listen(model, X, y, sample_weight=weights)
    assert "Lower alpha" in message
    assert "aise learning_rate_init" not in message
    model.set_params(alpha=1e-4 * weight)
    assert fit_and_listen(model, X, y, sample_weight=weights) == []


def test_a_validation_score_that_never_rises():
    X, y = make_blobs(80, n_features=5, centers=3, random_state=24)
    X = StandardScaler().fit_transform(X)
    settings = {"random_state": 24, "early_stopping": True}
    model = EqPropClassifier(learning_rate_init=3e-4, scoring="loss", **settings)
    [own] = fit_and_listen(model, X, y, X_val=X, y_val=(y + 1) % 3)
    assert "scale X_val like X" in own
    assert "validation_fraction" not in own  # which is not used
    faster = EqPropClassifier(learning_rate_init=1e-2, **settings)
    assert fit_and_listen(faster, X, y) == []
    restored = {"restore_best_weights": True, "learning_rate_init": 1e-9, "random_state": 0}
    [message] = fit_and_listen(EqPropClassifier(**restored), X, y)
    assert "validation" not in message


@pytest.mark.parametrize(
    ("trouble", "remedy", "answer"),
    [
        ({"max_relax_iter": 1}, r"The free phase did not.*Raise max_relax_iter \(now 1\)", {}),
        (
            {"max_nudge_iter": 1, "relaxation": "euler", "step_size": 0.5},
            r"The nudged phase did not.*Raise max_nudge_iter \(now 1\)",
            {"max_nudge_iter": 200},
        ),
        (
            {"max_nudge_iter": 1, "relaxation": "euler", "step_size": 0.5},
            r"or use relaxation='gauss_seidel'|, use relaxation='gauss_seidel'",
            {"relaxation": "gauss_seidel", "max_nudge_iter": 9, "step_size": 1.0},
        ),
        (
            {"feedback_scale": 1e-11, "dtype": "float32"},
            "below the rounding of float32.*Use dtype='float64'",
            {"dtype": "float64"},
        ),
        (
            {"feedback_scale": 1e-11, "dtype": "float32"},
            r"below the rounding.*raise feedback_scale \(now 1e-11\)",
            {"feedback_scale": 0.3},
        ),
        (
            {"learning_rate_init": 1e30, "optimizer": "sgd"},
            r"diverged in epoch.*Lower learning_rate_init \(now 1e\+30\)",
            {"learning_rate_init": 0.01},
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_other_messages_go_away_when_they_are_followed(three_classes, trouble, remedy, answer):
    settings = {"max_iter": 3, "relax_tol": 1e-6, "random_state": 0} | trouble
    about = said(EqPropClassifier((8,) * 3, **settings), *three_classes)
    [message] = [m for m in about if re.search(remedy, m)]
    answer = answer or {"max_relax_iter": 200}
    followed = said(EqPropClassifier((8,) * 3, **settings | answer), *three_classes)
    assert not any(m[:20] == message[:20] for m in followed)


def test_unsettled_predictions_name_the_limit_that_helps(binary):
    X, y = binary
    model = EqPropClassifier((6,), max_iter=300, random_state=0).fit(X, y)
    short = {"max_relax_iter": 1, "max_nudge_iter": 1, "relaxation": "euler", "step_size": 0.5}
    model.set_params(**short)
    with pytest.warns(match=r"Raise max_relax_iter \(now 1\), lower loop_gain \(now 0\.2\)"):
        model.predict(X)
    model.set_params(max_relax_iter=200)
    model.predict(X)
    with pytest.warns(match=r"[Rr]aise max_nudge_iter \(now 1\)"):
        model.relax(X, y, beta=0.5)
    model.set_params(max_nudge_iter=200).relax(X, y, beta=0.5)


# ---- remedies in force -------------------------------------------------------------------------


SETTINGS = {
    "activation": ["relu", "tanh"],
    "relaxation": ["gauss_seidel", "euler"],
    "nudging": ["one_sided", "centered"],
    "layerwise_rescale": [True, False],
    "loop_gain": ["auto", None, 0.5],
    "early_stopping": [False, True],
    "dtype": ["float32", "float64"],
    "feedback": ["untied", "tied"],
    "gradient": ["vector_field", "recurrent_backprop"],
    "hidden_layer_sizes": [(), (3,), (3, 3)],
}


@pytest.mark.parametrize("standardised", [True, False])
def test_no_remedy_is_offered_that_is_in_force(standardised):
    rng = np.random.RandomState(0)
    for _ in range(200):
        values = [choices[rng.randint(len(choices))] for choices in SETTINGS.values()]
        model = EqPropClassifier(**dict(zip(SETTINGS, values, strict=True)))
        situation = Situation(Config.of(model), np.dtype(model.dtype), standardised)
        text = sentence(situation, *REMEDIES.values())
        assert_nothing_in_force(text, model)
        assert ("StandardScaler" in text) == (not standardised)
        assert ("fewer hidden layers" in text) == (len(model.hidden_layer_sizes) > 1)
        assert "feedback_scale" in text
        assert ("|beta|" in text) == (model.gradient == "vector_field")


@pytest.mark.parametrize(
    ("settings", "advised"),
    [
        ({"beta": -0.97, "nudging": "one_sided"}, "or a positive beta."),
        ({"beta": 0.97, "nudging": "centered"}, "or nudging='one_sided'."),
        ({"beta": -0.97, "nudging": "centered"}, "or nudging='one_sided' with a positive beta."),
    ],
    ids=str,
)
def test_a_strong_nudge_away_from_the_target(regression, settings, advised):
    model = EqPropRegressor((5,), loop_gain=0.9, max_iter=1, random_state=0, **settings)
    [message] = [m for m in said(model, *regression) if "may be too strong" in m]
    assert message.endswith(advised)


@pytest.mark.parametrize(
    ("settings", "advised"),
    [
        ({"activation": "tanh"}, "or activation='relu'."),
        ({"feedback_init": "independent"}, "or feedback_init='transpose'."),
        (
            {"activation": "tanh", "feedback_init": "independent"},
            "or activation='relu' with feedback_init='transpose'.",
        ),
    ],
    ids=str,
)
def test_winners_that_may_change_for_ever(settings, advised):
    X, y = np.random.RandomState(0).standard_normal((12, 16)), np.arange(12) % 2
    layers = (Conv2D(2, 3, padding="same"), Conv2D(2, 3, padding="same", pool=2))
    model = EqPropClassifier(layers, input_shape=(4, 4), max_iter=1, random_state=0, **settings)
    [message] = [m for m in said(model, X, y) if "pools by the maximum" in m]
    assert message.endswith(advised)


def test_remedies_in_words():
    situation = Situation(Config.of(EqPropClassifier((3,))), np.dtype("float64"), True)
    assert sentence(situation, ways.SCALE_INPUTS, ways.FLOAT64, ways.RELU) == ""
    assert sentence(situation, ways.LOWER_BETA) == "Use a smaller |beta| (now 0.5)."
    two = "Lower loop_gain (now 0.2) or raise max_iter (now 200)."
    assert sentence(situation, *ways.WEAKER_LOOPS, ways.RAISE_MAX_ITER) == two
    three = sentence(situation, ways.RAISE_ALPHA, ways.RAISE_MAX_ITER, ways.OTHER_SEED)
    assert three.startswith(
        "Raise alpha (now None), raise max_iter (now 200), or fit with another random_state."
    )


TROUBLE = [
    {"learning_rate_init": 1e-9},
    {"learning_rate_init": 100.0},
    {"learning_rate_init": 1e30, "optimizer": "sgd"},
    {"max_relax_iter": 1, "max_nudge_iter": 1, "relax_tol": 1e-9},
    {"feedback_scale": 1e-13},  # 1e-12 is the limit itself
    {"loop_gain": None, "feedback_scale": 20.0},
]


@pytest.mark.parametrize("trouble", TROUBLE, ids=str)
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"dtype": "float32", "nudging": "centered", "relaxation": "euler", "step_size": 0.5},
        {"activation": "tanh", "early_stopping": True, "layerwise_rescale": False},
        {"feedback": "tied", "activation": "hard_sigmoid"},
    ],
    ids=str,
)
def test_no_message_of_a_fit_names_what_is_in_force(three_classes, trouble, more):
    model = EqPropClassifier((6, 6), max_iter=12, random_state=0, **{**more, **trouble})
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        messages = said(model, *three_classes)
    assert messages
    for message in messages:
        assert_nothing_in_force(message.replace("max_iter=12 epochs", ""), model)
        assert "StandardScaler" not in message
