"""gradient='asymmetric' is exact for small β only, and float32 resolves even the smallest."""

import numpy as np
import pytest

from sklearn_eqprop import EqPropClassifier

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
        for beta in (0.5, 0.005, 5e-7)
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
