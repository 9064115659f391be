"""beta=inf in both estimators: it trains, relax clamps, and what has no such limit is refused."""

import itertools

import numpy as np
import pytest

from sklearn_eqprop import EqPropClassifier, EqPropRegressor
from sklearn_eqprop._rules import RULES

INF = float("inf")
SETTINGS = {
    "beta": INF,
    "nudging": "one_sided",
    "loss": "squared_error",
    "hidden_layer_sizes": (16,),
    "learning_rate_init": 5e-3,
    "max_iter": 60,
    "random_state": 0,
}
KINDS = pytest.mark.parametrize("estimator", [EqPropClassifier, EqPropRegressor])


@pytest.mark.filterwarnings("ignore:Training reached max_iter")
@pytest.mark.parametrize("relaxation", ["gauss_seidel", "euler", "anderson"])
@pytest.mark.parametrize("feedback", ["tied", "untied"])
def test_clamped_networks_learn(three_classes, feedback, relaxation):
    X, y = three_classes
    settings = SETTINGS | {"loop_gain": 0.2}  # so that Euler steps settle within the limit
    model = EqPropClassifier(feedback=feedback, relaxation=relaxation, **settings).fit(X, y)
    assert model.score(X, y) > 0.9
    assert max(model.relaxation_["nudged_unconverged"]) == 0
    # In units of the error that the clamp displaces, not of an infinite β.
    assert model.relaxation_["nudged_residual"][-1] < 0.05


@pytest.mark.filterwarnings("ignore:Training reached max_iter")
@pytest.mark.parametrize("credit_coordinates", ["auto", "rate", "state"])
def test_smooth_and_deep(diabetes, credit_coordinates):
    settings = SETTINGS | {"hidden_layer_sizes": (12, 8), "max_iter": 30}
    model = EqPropRegressor(
        activation="tanh", credit_coordinates=credit_coordinates, **settings
    ).fit(*diabetes)
    assert model.score(*diabetes) > 0.4


@pytest.mark.filterwarnings("ignore:Training reached max_iter")
@KINDS
def test_relax_holds_the_output(binary, estimator):
    X, y = binary
    settings = SETTINGS | {"max_iter": 3, "activation": "tanh", "hidden_layer_sizes": (7, 5)}
    model = estimator(**settings).fit(X, y)
    result = model.relax(X, y, beta=INF)
    target = np.eye(2)[y] if estimator is EqPropClassifier else (y - y.mean())[:, None] / y.std()
    assert np.abs(result.states[-1] - target).max() < 1e-15
    assert result.converged.all()
    first = X @ model.coefs_[0] + model.intercepts_[0]
    first = first + np.tanh(result.states[1]) @ model.feedback_coefs_[0]
    second = np.tanh(result.states[0]) @ model.coefs_[1] + model.intercepts_[1]
    second = second + target @ model.feedback_coefs_[1]
    assert np.abs(result.states[0] - first).max() < 1e-9
    assert np.abs(result.states[1] - second).max() < 1e-9


REFUSED = {
    "nudging": ["centered", "random_sign"],
    "gradient": ["asymmetric", "continual"],
}


@KINDS
@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in REFUSED.items() for value in values]
)
def test_refused(binary, estimator, name, value):
    with pytest.raises(
        ValueError, match=rf"beta=inf does not go with {name}='{value}': .* Use {name}="
    ):
        estimator(**SETTINGS | {name: value}).fit(*binary)


@pytest.mark.parametrize(
    ("estimator", "loss"),
    [(EqPropClassifier, "log_loss"), (EqPropRegressor, "huber"), (EqPropRegressor, "poisson")],
)
def test_losses_that_do_not_rest_at_the_target_are_refused(binary, estimator, loss):
    X, y = binary
    message = rf"beta=inf does not go with loss='{loss}': it holds"
    with pytest.raises(ValueError, match=message):
        estimator(**SETTINGS | {"loss": loss}).fit(X, y)
    model = estimator(loss=loss).partial_fit(
        X, y, *([[0, 1]] if estimator is EqPropClassifier else [])
    )
    with pytest.raises(ValueError, match=message):
        model.relax(X, y, beta=INF)


@KINDS
def test_contrastive_hebbian_learning_is_one_of_rates(binary, estimator):
    settings = SETTINGS | {"feedback": "tied", "credit_coordinates": "state", "max_iter": 3}
    model = estimator(activation="tanh", **settings)
    with pytest.raises(ValueError, match=r"beta=inf .*feedback='tied': .*products of rates. Use"):
        model.fit(*binary)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("activation", ["relu", "hard_sigmoid", "identity"])
@pytest.mark.parametrize("gradient", RULES)
@KINDS
def test_states_that_are_rates_are_rates(binary, estimator, gradient, activation):
    # A search over credit_coordinates meets the same network three times.
    settings = {"activation": activation, "gradient": gradient, "max_iter": 3, "random_state": 0}
    settings |= {"learning_rate_init": 1e-4}  # 'continual' needs a rate well below β
    betas = [0.5] + ([INF] if gradient in ("vector_field", "recurrent_backprop") else [])
    for beta, feedback in itertools.product(betas, ("tied", "untied")):
        more = {"beta": beta, "feedback": feedback, "nudging": "one_sided", "loss": "squared_error"}
        one, *others = [
            estimator((6, 5), credit_coordinates=chosen, **settings, **more).fit(*binary)
            for chosen in ("state", "rate", "auto")
        ]
        for other in others:
            assert all(map(np.array_equal, one.coefs_, other.coefs_))
            assert one.loss_curve_ == other.loss_curve_


@pytest.mark.filterwarnings("ignore:Training reached max_iter")
@pytest.mark.parametrize("changed", [{}, {"nudging": "centered"}, {"loss": None}], ids=str)
@KINDS
def test_a_linear_system_has_no_use_for_beta(binary, estimator, changed):
    # Recurrent backpropagation has no nudge: an infinite one is ignored as any other.
    loss = {EqPropClassifier: "log_loss", EqPropRegressor: "huber"}[estimator]
    settings = SETTINGS | {"gradient": "recurrent_backprop", "max_iter": 4} | changed
    settings["loss"] = settings["loss"] or loss
    infinite, finite = (estimator(**settings | {"beta": beta}).fit(*binary) for beta in (INF, 0.1))
    assert all(map(np.array_equal, infinite.coefs_, finite.coefs_))
    assert infinite.relaxation_ == finite.relaxation_
    assert np.isfinite(infinite.relaxation_["nudged_residual"]).all()
