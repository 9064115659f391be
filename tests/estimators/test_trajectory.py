"""objective='trajectory' in both estimators. No warning is silenced here: none must appear."""

import pickle
import re

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from sklearn_eqprop import EqPropClassifier, EqPropRegressor
from sklearn_eqprop._estimators.fitted.settle import CHUNK_ROWS
from sklearn_eqprop.exceptions import DivergenceError
from tests.dense_graph import GraphNet
from tests.dense_truth import DenseNet
from tests.trajectories import RINGING, after_transient, average_loss, ringing_net, run, swing

KINDS = pytest.mark.parametrize("estimator", [EqPropClassifier, EqPropRegressor])
#: The cosine schedule ends by design, so that reaching max_iter is no news.
ALONG = {"objective": "trajectory", "relaxation": "euler", "learning_rate": "cosine"}
SETTINGS = ALONG | {"hidden_layer_sizes": (8,), "n_iter_no_change": None, "random_state": 0}


def _net_of(model):
    """The fitted arrays as the tests' own network."""
    return GraphNet(
        "tanh", model.connections_, model.coefs_, model.intercepts_, model.feedback_coefs_
    )


def _ringing(estimator, X, y, seed, **settings):
    """An estimator whose network turns for good, after an epoch that decided nothing."""
    settings = {
        "activation": "tanh",
        "connections": RINGING,
        "loop_gain": None,
        "feedback_learning": "fixed",
        "step_size": 0.2,
        "max_relax_iter": 100,
        "max_nudge_iter": 200,
        "learning_rate_init": 0.03,
        "max_iter": 60,
        **settings,
    }
    classes = [np.unique(y)] if estimator is EqPropClassifier else []
    model = estimator(**SETTINGS | settings).partial_fit(X, y, *classes)
    net = ringing_net((X.shape[1], 8, model.n_outputs_), seed=seed)
    model.coefs_, model.intercepts_, model.feedback_coefs_ = net.coefs, net.biases, net.feedback
    return model


def _swing(model, X):
    """How far hidden units of the fitted network still move after 2,000 steps."""
    net = _net_of(model)
    path = run(net, X, after_transient(net, X, 0.2, 2000), 0.2, 1000).path
    return swing(path[:, :, net.span(1)])


@pytest.mark.parametrize("settings", [{}, {"optimizer": "sgd", "momentum": 0.0}], ids=str)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_training_lowers_the_average_cost_of_a_network_that_turns(seed, settings):
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((40, 3))
    y = np.stack([np.sin(X[:, 0]) + X[:, 1], X[:, 2] - 0.5 * X[:, 0]], axis=1)
    settings = settings | ({"learning_rate_init": 0.1} if settings else {})
    model = _ringing(EqPropRegressor, X, y, seed, **settings)
    target = (y - model.target_mean_) / model.target_scale_

    def loss():
        """Along a run that is longer than those of training."""
        return average_loss(_net_of(model), X, target, "squared_error", 0.2, 500, 3000).mean()

    before = loss()
    assert _swing(model, X) > 0.4
    for _ in range(60):
        model.partial_fit(X, y)
    after = loss()
    assert _swing(model, X) > 0.4  # it has not learned to stop
    assert after < before / 2
    assert abs(model.loss_ - after) < 0.3 * after
    assert model.relaxation_["free_unconverged"] == [0.0] * 61
    assert model.relaxation_["nudged_unconverged"] == [0.0] * 61
    assert model.relaxation_["free_residual"][-1] > 0.1
    assert set(model.relaxation_["free_steps"]) == {300.0}


def test_a_classifier_that_turns_learns(three_classes):
    X, y = three_classes
    model = _ringing(EqPropClassifier, X, y, 1)
    before = model.score(X, y)
    for _ in range(60):
        model.partial_fit(X, y)
    assert _swing(model, X) > 0.2
    assert before < 0.5
    assert model.score(X, y) > 0.7
    assert model.loss_ < 0.6 * model.loss_curve_[1]


def test_what_is_predicted_are_averages_along_the_run(regression):
    X, y = regression
    model = _ringing(EqPropRegressor, X, y, 3)
    net = _net_of(model)
    start = after_transient(net, X, 0.2, 100)
    free = run(net, X, start, 0.2, 200)
    output = free.states[:, net.span(2)]
    assert np.abs(model.transform(X) - free.states[:, net.span(1)]).max() < 1e-11
    predicted = model.target_mean_ + model.target_scale_ * output[:, 0]
    assert np.abs(model.predict(X) - predicted).max() < 1e-11 * np.abs(predicted).max()
    result = model.relax(X)
    assert result.converged.all()
    assert (result.n_steps == 300).all()
    assert result.n_averaged == 100
    assert result.reason.startswith("The states are averages over the last 100 of 300 steps")
    assert np.abs(result.residual - net.residual(free.path[-1], X)).max() < 1e-11
    target = (y[:, None] - model.target_mean_) / model.target_scale_
    nudged = run(net, X, start, 0.2, 200, "squared_error", target, 0.3)
    result = model.relax(X, y, beta=0.3)
    assert np.abs(np.hstack(result.states) - nudged.states).max() < 1e-11
    assert result.n_averaged == 100


@pytest.mark.parametrize("feedback", ["untied", "tied"])
@pytest.mark.parametrize("feedback_learning", ["local", "kolen_pollack", "homeostasis"])
@KINDS
def test_a_network_that_settles_learns_as_at_its_fixed_points(
    binary, estimator, feedback_learning, feedback
):
    X, y = binary
    settings = SETTINGS | {
        "activation": "tanh",
        "feedback": feedback,
        "feedback_learning": feedback_learning,
        "step_size": 0.5,
        "loop_gain": 0.2,
        "max_iter": 4,
    }
    settings |= {"max_relax_iter": 300, "max_nudge_iter": 300}
    at_rest = estimator(**settings | {"objective": "fixed_point", "relax_tol": 1e-13}).fit(X, y)
    along = estimator(**settings).fit(X, y)
    for one, other in zip(along.coefs_, at_rest.coefs_, strict=True):
        assert np.abs(one - other).max() < 1e-8
    assert np.abs(np.subtract(along.loss_curve_, at_rest.loss_curve_)).max() < 1e-9
    assert np.abs(along.transform(X) - at_rest.transform(X)).max() < 1e-8


@KINDS
def test_weights_count_and_epochs_go_on(binary, estimator):
    X, y = binary
    model = estimator(**SETTINGS | {"max_iter": 2, "max_relax_iter": 20, "max_nudge_iter": 20})
    weight = np.random.RandomState(0).randint(0, 3, size=len(X))
    weighted = clone(model).fit(X, y, sample_weight=weight)
    repeated = clone(model).fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    halves = [
        clone(model).partial_fit(X, y, *([[0, 1]] if estimator is EqPropClassifier else [])),
        clone(model).set_params(warm_start=True, learning_rate="constant", max_iter=1),
    ]
    halves[0].partial_fit(X, y)
    whole = clone(model).fit(X, y)
    for one, other in ((weighted, repeated), (halves[0], whole)):
        for a, b in zip(one.coefs_, other.coefs_, strict=True):
            assert np.abs(a - b).max() < 1e-7
    again = pickle.loads(pickle.dumps(whole))
    assert np.array_equal(again.predict(X), whole.predict(X))
    assert np.array_equal(again.partial_fit(X, y).coefs_[0], whole.partial_fit(X, y).coefs_[0])


def test_warm_start_and_early_stopping(binary):
    X, y = binary
    settings = SETTINGS | {"max_relax_iter": 20, "max_nudge_iter": 20}
    model = EqPropClassifier(**settings | {"max_iter": 3, "warm_start": True}).fit(X, y)
    assert len(model.fit(X, y).loss_curve_) == 6
    model = EqPropClassifier(**settings | {"max_iter": 3, "early_stopping": True}).fit(X, y)
    assert len(model.validation_scores_) == 3


def test_many_rows_are_averaged_alike(binary):
    X, y = binary
    model = EqPropClassifier(**SETTINGS | {"max_iter": 1}).fit(X, y)
    many = np.tile(X, (CHUNK_ROWS // len(X) + 1, 1))
    assert len(many) > CHUNK_ROWS
    result = model.relax(many)
    assert result.n_averaged == 100
    assert result.reason.startswith("The states are averages over the last 100 of 400 steps")
    assert np.abs(result.states[0][-len(X) :] - model.relax(X).states[0]).max() < 1e-12


def test_a_short_line_tells_what_still_moves(binary, capsys):
    EqPropRegressor(**SETTINGS | {"max_iter": 1, "verbose": True}).fit(*binary)
    line = capsys.readouterr().out
    assert "  moving " in line
    assert "settled" not in line


def test_states_that_run_off_are_an_error(binary):
    X, y = binary
    model = EqPropRegressor(**SETTINGS | {"max_iter": 1, "activation": "identity"}).fit(X, y)
    model.feedback_coefs_ = [1e4 * model.feedback_coefs_[0]]
    with pytest.raises(DivergenceError, match="stopped being finite"):
        model.predict(X)


@pytest.mark.parametrize("activation", ["relu", "identity"])
@KINDS
def test_a_network_that_runs_away_is_reported(estimator, activation):
    rng = np.random.RandomState(0)
    X = rng.standard_normal((80, 4))
    y = X[:, 0] + 0.3 * rng.standard_normal(80)
    y = y if estimator is EqPropRegressor else (y > 0).astype(int)
    settings = SETTINGS | {"activation": activation, "max_iter": 5, "loop_gain": None}
    model = estimator(**settings, feedback_scale=5.0)
    with pytest.warns(ConvergenceWarning) as caught:
        model.fit(X, y)
    told = [str(warning.message) for warning in caught if "ran away" in str(warning.message)]
    assert len(told) == 1
    assert re.match(
        r"In the free phase samples ran away \(largest .*loop_gain.*fit a fresh clone", told[0]
    )
    assert model.relaxation_["free_unconverged"][-1] > 0
    for use in (model.predict, model.transform, model.relax, lambda X: model.score(X, y)):
        with pytest.warns(ConvergenceWarning, match=r"of 80 samples ran away within 400 steps"):
            use(X)
    with pytest.warns(ConvergenceWarning):
        result = model.relax(X, y, beta=0.3)
    assert not result.converged.all()
    assert "ran away within 200 steps" in result.reason


@pytest.mark.parametrize("beta", [1e-5, 0.9])
def test_what_swings_is_no_runaway_whatever_the_nudge(regression, beta):
    X, y = regression
    model = _ringing(EqPropRegressor, X, y, 3, beta=beta).partial_fit(X, y)
    assert model.relaxation_["nudged_residual"][-1] * beta > 0.1
    assert model.relaxation_["nudged_unconverged"] == [0.0, 0.0]
    assert model.relax(X, y, beta=beta).converged.all()


@pytest.mark.parametrize(
    ("wrong", "use"),
    [
        ({"relaxation": "gauss_seidel"}, "relaxation='euler'"),
        ({"relaxation": "anderson"}, "relaxation='euler'"),
        ({"gradient": "asymmetric"}, "gradient='vector_field'"),
        ({"gradient": "recurrent_backprop"}, "gradient='vector_field'"),
        ({"gradient": "continual"}, "gradient='vector_field'"),
        ({"beta": float("inf"), "nudging": "one_sided"}, "a finite beta"),
    ],
    ids=str,
)
@KINDS
def test_what_needs_a_fixed_point_is_refused(binary, estimator, wrong, use):
    name, value = next(iter(wrong.items()))
    said = f"objective='trajectory' does not go with {name}={value!r}: "
    model = estimator(**SETTINGS | wrong)
    with pytest.raises(ValueError, match=rf"{re.escape(said)}.*\. Use {re.escape(use)} or object"):
        model.fit(*binary)
    with pytest.raises(NotFittedError):
        model.predict(binary[0])


def test_a_clamped_output_is_refused_afterwards_too(binary):
    X, y = binary
    model = EqPropRegressor(**SETTINGS | {"max_iter": 1}).fit(X, y)
    with pytest.raises(ValueError, match=r"beta=inf does not go with objective='trajectory'"):
        model.relax(X, y, beta=float("inf"))


def test_layers_in_a_row_are_a_dense_net_too(binary):
    # The same average from the other twin, whose feedback is no list of connections.
    X, y = binary
    model = EqPropRegressor(**SETTINGS | {"max_iter": 1, "max_relax_iter": 2, "max_nudge_iter": 3})
    model.fit(X, y)
    net = DenseNet("relu", model.coefs_, model.intercepts_, model.feedback_coefs_)
    free = run(net, X, after_transient(net, X, 1.0, 2), 1.0, 3)
    assert np.abs(np.hstack(model.relax(X).states) - free.states).max() < 1e-12


@KINDS
def test_runs_too_short_for_the_nudge_to_arrive(estimator, binary):
    # An Euler step carries a nudge by one layer.
    settings = SETTINGS | {"hidden_layer_sizes": (8, 8, 8), "max_iter": 3}
    with pytest.warns(
        ConvergenceWarning, match=r"max_nudge_iter=2 .* in layers 1, 2, where nothing is learned"
    ):
        model = estimator(**settings, max_nudge_iter=2).fit(*binary)
    before = [coef.copy() for coef in model.coefs_]
    model.set_params(alpha=0.0, optimizer="sgd", momentum=0.0).partial_fit(*binary)
    stayed = [(a == b).all() for a, b in zip(before, model.coefs_, strict=True)]
    assert stayed == [True, True, False, False]
    estimator(**settings, max_nudge_iter=4).fit(*binary)
