"""The losses of both estimators, and losses that a user brings."""

import numpy as np
import pytest
from scipy.special import xlogy
from sklearn.base import clone
from sklearn.linear_model import PoissonRegressor
from sklearn.metrics import mean_poisson_deviance, r2_score

from sklearn_eqprop import EqPropClassifier, EqPropRegressor
from tests import own_losses
from tests.dense_truth import ALL_LOSSES, DenseNet

pytestmark = pytest.mark.filterwarnings("ignore:Training reached max_iter")

LOSSES = pytest.mark.parametrize("loss", ["absolute_error", "huber", "poisson"])
SETTINGS = {
    "hidden_layer_sizes": (20,),
    "learning_rate_init": 1e-2,
    "max_iter": 100,
    "random_state": 0,
}
ONE_STEP = {
    "hidden_layer_sizes": (5, 4),
    "activation": "tanh",
    "feedback": "tied",
    "optimizer": "sgd",
    "momentum": 0.0,
    "learning_rate_init": 1e-3,
    "alpha": 0.0,
    "beta": 1e-4,
    "loop_gain": None,
    "relax_tol": 1e-13,
    "max_relax_iter": 2000,
    "max_nudge_iter": 2000,
    "random_state": 1,  # each sample has one equilibrium
}


class LogCosh:
    """A loss of the user's own, without a bound of its curvature."""

    def value(self, output, target):
        return np.log(np.cosh(output - target)).sum(axis=1)

    def derivative(self, output, target):
        return np.tanh(output - target)


class BoundedLogCosh(LogCosh):
    curvature = 1.0


class CrossEntropy:
    label_threshold = 0.0

    def value(self, output, target):
        return (np.logaddexp(0, output) - target * output).sum(axis=1)

    def derivative(self, output, target):
        return 1 / (1 + np.exp(-output)) - target


class WithProbabilities(CrossEntropy):
    def probabilities(self, output):
        rates = 1 / (1 + np.exp(-output))
        return rates / rates.sum(axis=1, keepdims=True)


@pytest.fixture
def counts():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((300, 4))
    return X, rng.poisson(np.exp(1.0 + X @ [0.8, -0.5, 0.3, 0.0]))


def _targets(loss, y):
    """What the regressor's documentation says the output is nudged towards."""
    y = y.reshape(len(y), -1).astype(float)
    return y / y.mean(axis=0) if loss == "poisson" else (y - y.mean(axis=0)) / y.std(axis=0)


@pytest.mark.parametrize("nudging", ["one_sided", "centered"])
@LOSSES
def test_a_step_follows_the_gradient(counts, loss, nudging):
    X, y = counts[0][:30], counts[1][:30]
    model = EqPropRegressor(loss=loss, nudging=nudging, **ONE_STEP).partial_fit(X, y)
    before = [*model.coefs_, *model.intercepts_]
    coefs, strengths = [c.copy() for c in model.coefs_], list(model.feedback_gains_)
    net = DenseNet("tanh", coefs, list(model.intercepts_), strengths=strengths)
    target = _targets(loss, y)
    gradient = net.gradient(X, loss, target, np.full(30, 1 / 30))
    model.partial_fit(X, y)
    after = [*model.coefs_, *model.intercepts_]
    step = np.concatenate([(b - a).ravel() for a, b in zip(before, after, strict=True)])
    assert np.abs(step / 1e-3 + gradient).max() < 1e-3 * np.abs(gradient).max()
    output = net.split(net.equilibrium(X))[-1]
    assert abs(model.loss_ - ALL_LOSSES[loss][0](output, target).mean()) < 1e-10


@pytest.mark.parametrize("relaxation", ["gauss_seidel", "euler", "anderson"])
@LOSSES
def test_every_loss_learns(counts, loss, relaxation):
    X, y = counts
    model = EqPropRegressor(loss=loss, relaxation=relaxation, **SETTINGS).fit(X, y)
    assert model.loss_ < 0.6 * model.loss_curve_[0]
    assert model.score(X, y) > 0.6


def test_poisson_beats_the_generalised_linear_model(counts):
    X, y = counts
    y = y * 1000.0  # any unit
    model = EqPropRegressor(loss="poisson", **SETTINGS).fit(X, y)
    linear = PoissonRegressor(alpha=0).fit(X, y)
    assert model.target_mean_ == 0
    assert model.target_scale_ == pytest.approx(y.mean(), rel=1e-12)
    predicted = model.predict(X)
    output = model.relax(X).states[-1]
    assert np.array_equal(predicted, (np.exp(output) * model.target_scale_).ravel())
    assert model.score(X, y) == pytest.approx(r2_score(y, predicted), abs=1e-12)
    deviance = mean_poisson_deviance(y, predicted)
    assert deviance < mean_poisson_deviance(y, linear.predict(X))
    target = y / y.mean()
    rate = predicted / y.mean()
    half = xlogy(target, target / rate) - target + rate
    assert deviance == pytest.approx(2 * half.mean() * y.mean(), rel=1e-9)


def test_absolute_error_and_huber_shrug_off_outliers(counts):
    X, _ = counts
    clean = X @ [1.0, -1.0, 0.5, 0.0]
    spoilt = clean.copy()
    spoilt[::20] += 30
    errors = {}
    for loss in ("squared_error", "absolute_error", "huber"):
        model = EqPropRegressor(loss=loss, **SETTINGS).fit(X, spoilt)
        errors[loss] = np.abs(model.predict(X) - clean).mean()
    assert errors["absolute_error"] < 0.5 * errors["squared_error"]
    assert errors["huber"] < 0.7 * errors["squared_error"]


@pytest.mark.parametrize("method", ["fit", "partial_fit", "relax"])
def test_poisson_refuses_negative_targets(counts, method):
    X, y = counts
    model = EqPropRegressor(loss="poisson", **SETTINGS)
    arguments = {}
    if method == "relax":
        model.fit(X, y)
        arguments = {"beta": 0.1}
    with pytest.raises(ValueError, match=r"y holds -3, but loss='poisson' is for targets >= 0"):
        getattr(model, method)(X, y - 3.0 * (y == 0), **arguments)


def test_poisson_of_nothing_but_zeros(counts):
    X, y = counts
    model = EqPropRegressor(loss="poisson", **SETTINGS).partial_fit(X, 0.0 * y)
    assert model.target_scale_ == 1
    assert np.isfinite(model.predict(X)).all()


@pytest.mark.parametrize("loss", ["poisson", LogCosh()])
def test_relax_refuses_a_push_away_that_may_run_off(counts, loss):
    X, y = counts
    model = EqPropRegressor(loss=loss, **SETTINGS | {"max_iter": 2}).fit(X, y)
    with pytest.raises(ValueError, match=r"beta=-0\.1 is negative, and the curvature of loss="):
        model.relax(X, y, beta=-0.1)


@pytest.mark.parametrize("nudging", ["one_sided", "centered", "random_sign"])
@pytest.mark.parametrize("loss", [LogCosh(), BoundedLogCosh()])
def test_regression_with_a_loss_of_ones_own(counts, loss, nudging):
    X, y = counts
    model = EqPropRegressor(loss=loss, nudging=nudging, **SETTINGS).fit(X, np.log1p(y))
    assert model.loss_ < 0.6 * model.loss_curve_[0]
    standardised = (np.log1p(y) - model.target_mean_) / model.target_scale_
    output = model.relax(X).states[-1]
    assert model.relaxation_["nudged_unconverged"][-1] == 0
    # A nudged equilibrium of Eq. 16: the output balances its drive against the push.
    nudged = model.relax(X, np.log1p(y), beta=0.7)
    drive = nudged.states[-2] @ model.coefs_[-1] + model.intercepts_[-1]
    force = -0.7 * loss.derivative(nudged.states[-1], standardised[:, None])
    assert np.abs(drive + force - nudged.states[-1]).max() < 1e-8
    assert np.abs(nudged.states[-1] - output).max() > 0.01


@pytest.mark.parametrize("relaxation", ["gauss_seidel", "euler", "anderson"])
def test_classification_with_a_loss_of_ones_own(three_classes, relaxation):
    X, y = three_classes
    model = EqPropClassifier(loss=CrossEntropy(), relaxation=relaxation, **SETTINGS).fit(X, y)
    assert model.score(X, y) > 0.9
    assert np.array_equal(model.predict(X), model.relax(X).states[-1].argmax(axis=1))
    assert clone(model).fit(X, y).loss_ == model.loss_


def test_a_loss_of_ones_own_may_tell_probabilities(three_classes):
    X, y = three_classes
    for loss, has in ((CrossEntropy(), False), (WithProbabilities(), True)):
        model = EqPropClassifier(loss=loss, **SETTINGS | {"max_iter": 5}).fit(X, y)
        assert hasattr(model, "predict_proba") is has
        assert hasattr(model, "predict_log_proba") is has
    truth = WithProbabilities().probabilities(model.relax(X).states[-1])
    assert np.array_equal(model.predict_proba(X), truth)


def test_multilabel_with_a_loss_of_ones_own(multilabel):
    X, y = multilabel
    model = EqPropClassifier(loss=CrossEntropy(), **SETTINGS).fit(X, y)
    assert (model.predict(X) == y).mean() > 0.9
    assert np.array_equal(model.predict(X), model.relax(X).states[-1] > 0)
    with pytest.raises(ValueError, match=r"no attribute label_threshold.*multilabel targets need"):
        EqPropClassifier(loss=LogCosh(), **SETTINGS).fit(X, y)


def test_a_bad_loss_is_told_before_training(counts):
    class Wrong(LogCosh):
        def derivative(self, output, target):
            return np.tanh(target - output)

    model = EqPropRegressor(loss=Wrong(), **SETTINGS)
    with pytest.raises(ValueError, match=r"loss\.derivative .* must return ∂value/∂output"):
        model.fit(*counts)
    assert not hasattr(model, "coefs_")


@pytest.mark.parametrize("estimator", [EqPropClassifier, EqPropRegressor])
def test_a_class_or_half_a_loss_is_refused(binary, estimator):
    with pytest.raises(ValueError, match=r"is a class\. Pass an object of it"):
        estimator(loss=LogCosh).fit(*binary)

    class Half:
        def value(self, output, target):
            return ((output - target) ** 2).sum(axis=1)

    with pytest.raises(ValueError, match=r"'loss' parameter.*'value' and 'derivative'"):
        estimator(loss=Half()).fit(*binary)


def test_bounded_loss_refuses_a_beta_that_runs_off(counts):
    with pytest.raises(ValueError, match=r"beta=1\.5 is too large for loss="):
        EqPropRegressor(loss=BoundedLogCosh(), beta=1.5).fit(*counts)


class Absolute:
    def value(self, output, target):
        return np.abs(output - target).sum(axis=1)

    def derivative(self, output, target):
        return np.sign(output - target)


@pytest.mark.parametrize("relaxation", ["gauss_seidel", "euler", "anderson"])
def test_a_kink_of_ones_own_is_like_a_built_in_one(counts, relaxation):
    X, y = counts
    settings = SETTINGS | {"max_iter": 5, "nudging": "one_sided", "relaxation": relaxation}
    own, built_in = (
        EqPropRegressor(loss=loss, **settings).fit(X, y) for loss in (Absolute(), "absolute_error")
    )
    for one, other in zip(own.coefs_, built_in.coefs_, strict=True):
        assert np.abs(one - other).max() < 1e-8
    assert own.relaxation_["nudged_steps"] == built_in.relaxation_["nudged_steps"]
    beta = 0.3
    states = [model.relax(X, y, beta=beta).states[-1] for model in (own, built_in)]
    assert np.abs(states[0] - states[1]).max() < 1e-8
    target = (y - own.target_mean_) / own.target_scale_
    assert (np.abs(states[0][:, 0] - target) < 1e-8).mean() > 0.05  # at rest on the kink


def test_a_quantile_of_ones_own_is_found(counts):
    X, _ = counts
    y = X[:, 0] + np.random.RandomState(1).exponential(size=len(X))
    settings = SETTINGS | {"max_iter": 60, "nudging": "one_sided"}
    model = EqPropRegressor(loss=own_losses.Pinball(0.8), **settings).fit(X, y)
    assert 0.7 < (y <= model.predict(X)).mean() < 0.9
    assert sum(model.relaxation_["nudged_unconverged"]) == 0


@pytest.mark.parametrize("nudging", ["one_sided", "random_sign", "centered"])
@pytest.mark.parametrize(
    "loss", [own_losses.Hinge(), own_losses.SquaredHinge(), own_losses.MulticlassHinge()]
)
def test_margins_of_ones_own_train_in_few_sweeps(three_classes, loss, nudging):
    X, y = three_classes
    settings = SETTINGS | {"max_iter": 30}
    model = EqPropClassifier(loss=loss, nudging=nudging, **settings).fit(X, y)
    assert model.score(X, y) > 0.9
    assert max(model.relaxation_["nudged_steps"]) <= 3
    assert sum(model.relaxation_["nudged_unconverged"]) == 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scale", [1e4, 1e9])
@pytest.mark.parametrize("kind", [own_losses.Squared, own_losses.CrossEntropy])
def test_a_loss_of_any_scale_trains(three_classes, kind, scale, dtype):
    X, y = three_classes
    settings = SETTINGS | {"max_iter": 60, "dtype": dtype}
    model = EqPropClassifier(loss=kind(scale), **settings).fit(X, y)
    assert model.score(X, y) > 0.9
    assert model.loss_ < model.loss_curve_[0]


def test_the_cost_of_a_step_does_not_depend_on_the_number_of_outputs():
    class Counted(own_losses.CrossEntropy):
        n_calls = 0

        def derivative(self, output, target):
            self.n_calls += 1
            return super().derivative(output, target)

    rng, calls = np.random.RandomState(0), []
    for n_classes in (5, 50):
        X, y = rng.standard_normal((200, 8)), np.arange(200) % n_classes
        loss = Counted()
        EqPropClassifier(loss=loss, **SETTINGS | {"max_iter": 4}).fit(X, y)
        calls.append(loss.n_calls)
    assert calls[1] < 1.5 * calls[0]
    assert calls[1] < 150


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("losses", [("poisson", "huber"), ("squared_error", "poisson")])
def test_the_meaning_of_the_output_cannot_change(counts, losses, method):
    X, y = counts
    before, after = losses
    model = EqPropRegressor(loss=before, **SETTINGS | {"max_iter": 2, "warm_start": True})
    predicted = model.fit(X, y).predict(X)
    model.set_params(loss=after)
    assert np.array_equal(model.predict(X), predicted)
    with pytest.raises(ValueError, match=rf"loss='{before}', but .* '{after}'"):
        getattr(model, method)(X, y)


def test_a_loss_may_change_where_the_output_means_the_same(counts):
    X, y = counts
    model = EqPropRegressor(loss="squared_error", **SETTINGS | {"max_iter": 5, "warm_start": True})
    scale = model.fit(X, y).target_scale_
    model.set_params(loss="absolute_error").fit(X, y)
    assert np.array_equal(model.target_scale_, scale)
    assert len(model.loss_curve_) == 10
