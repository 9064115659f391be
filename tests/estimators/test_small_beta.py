"""gradient='asymmetric' takes a small β by default, and float32 resolves even the smallest."""

import numpy as np
import pytest

from sklearn_eqprop import EqPropClassifier
from sklearn_eqprop._estimators.parameters.config import Config
from sklearn_eqprop._rules import NUDGINGS, RULES
from tests import every_loss
from tests.dense_truth import ACTIVATIONS, LOSSES
from tests.diagnostics.twins import blocks_of, problem, shares, twin

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SETTINGS = {
    "hidden_layer_sizes": (16, 16, 16),
    "feedback_init": "independent",
    "feedback_learning": "fixed",
    "optimizer": "sgd",
    "momentum": 0.0,
    "alpha": 0.0,
    "learning_rate_init": 0.1,
    "batch_size": 20,
    "max_iter": 20,
    "random_state": 0,
}


def step(X, y, dtype, trained, **settings):
    """One step of plain SGD from given weights."""
    settings = SETTINGS | {"batch_size": len(X), "dtype": dtype} | settings
    model = EqPropClassifier(**settings)
    model.partial_fit(X, y, classes=[0, 1, 2])
    for name in ("coefs_", "intercepts_", "feedback_coefs_"):
        setattr(model, name, [block.astype(dtype) for block in getattr(trained, name)])
    before = [*model.coefs_, *model.intercepts_]
    model.partial_fit(X, y)
    after = [*model.coefs_, *model.intercepts_]
    return np.concatenate([(new - old).ravel() for new, old in zip(after, before, strict=True)])


def cosine(one, other):
    one, other = one.astype(float), other.astype(float)
    return one @ other / (np.linalg.norm(one) * np.linalg.norm(other))


def descent(model, X, y):
    """Direction of one training step of plain SGD, block by block; feedback stays fixed."""
    plain = {"optimizer": "sgd", "momentum": 0.0, "alpha": 0.0, "feedback_learning": "fixed"}
    model.set_params(learning_rate_init=1e-3, **plain)
    before = [block.copy() for block in (*model.coefs_, *model.intercepts_)]
    model.partial_fit(X, y)
    after = [*model.coefs_, *model.intercepts_]
    return [(new - old).ravel() for new, old in zip(after, before, strict=True)]


def check_every_layer(model, y, X, net, gradient):
    """Compare a step with the gradient of dense float64 algebra in every layer."""
    truth, n_forward = blocks_of(net, -gradient), len(net.coefs)
    truth = truth[:n_forward] + truth[n_forward + len(net.feedback) :]
    for found, of_gradient in zip(descent(model, X, y), truth, strict=True):
        assert cosine(found, of_gradient) > 0.9999


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_it_is_the_gradient_in_every_layer_with_nothing_set(activation, loss):
    net, X, Y = problem(activation, loss)
    model, y = twin(net, loss, X, Y, gradient="asymmetric")
    check_every_layer(model, y, X, net, net.gradient(X, loss, Y, shares()))


@pytest.mark.parametrize("nudging", ["auto", *NUDGINGS])
@pytest.mark.parametrize("loss", ["absolute_error", "huber", "user's", "user's, bounded"])
def test_it_is_the_gradient_with_every_loss_and_nudging(loss, nudging):
    net, X, _ = problem("relu")
    Y = every_loss.targets_of(net, X)[loss]
    given = every_loss.USERS.get(loss, loss)
    settings = {"gradient": "asymmetric", "loss": given, "nudging": nudging}
    model, y = twin(net, "squared_error", X, Y, **settings)
    gradient = every_loss.gradients(net, X, {loss: Y}, shares())[loss]
    check_every_layer(model, y, X, net, gradient)


def test_a_beta_that_is_given_is_kept():
    auto = {name: Config.of(EqPropClassifier(gradient=name)).influence for name in RULES}
    assert auto.pop("asymmetric") == 1e-8
    assert set(auto.values()) == {0.5}
    given = EqPropClassifier(gradient="asymmetric", beta=0.5)
    assert Config.of(given).influence == 0.5
    net, X, Y = problem("tanh")
    model, y = twin(net, "squared_error", X, Y, gradient="asymmetric", beta=0.5)
    gradient = -net.gradient(X, "squared_error", Y, shares())
    assert cosine(descent(model, X, y)[0], blocks_of(net, gradient)[0]) < 0.9999


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("nudging", ["one_sided", "centered"])
@pytest.mark.parametrize("activation", ["relu", "hard_sigmoid", "tanh"])
def test_a_small_beta_is_what_makes_it_exact(three_classes, activation, nudging, dtype):
    kind = {"activation": activation, "gradient": "asymmetric", "nudging": nudging}
    trained = EqPropClassifier(**SETTINGS, **kind).fit(*three_classes)
    exact = {"activation": activation, "gradient": "recurrent_backprop", "relax_tol": 1e-12}
    gradient = step(*three_classes, "float64", trained, **exact)
    large, small, tiny = (
        cosine(step(*three_classes, dtype, trained, **kind, beta=beta), gradient)
        for beta in (0.5, 0.005, "auto")
    )
    assert large < 0.999 < small
    assert tiny > 1 - 1e-6


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_the_free_phase_of_continual_plasticity_settles_further_at_a_small_beta(
    three_classes, activation
):
    # States are absolute there: what the free phase leaves goes into the weights, divided by β.
    kind = {"activation": activation, "credit_coordinates": "state", "max_nudge_iter": 2000}
    trained = EqPropClassifier(**SETTINGS | {"feedback_init": "transpose"}, **kind)
    trained.fit(*three_classes)
    kind["gradient"] = "continual"
    one, *smaller = (
        step(*three_classes, "float64", trained, beta=beta, learning_rate_init=1e-4 * beta, **kind)
        for beta in (1e-2, 1e-3, 1e-4)
    )
    for other in smaller:
        assert cosine(one, other) > 0.98
