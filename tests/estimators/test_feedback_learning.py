"""Ways to learn feedback, seen from the outside: does it come to face the forward weights?"""

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from sklearn_eqprop import EqPropClassifier, EqPropRegressor
from sklearn_eqprop._estimators.parameters.config import Config

pytestmark = pytest.mark.filterwarnings("ignore:Training reached max_iter")

SETTINGS = {"hidden_layer_sizes": (12, 10), "batch_size": 20, "random_state": 0, "max_iter": 40}
PATIENT = {"n_iter_no_change": None}


def cosines(model):
    return [
        np.vdot(B, F.T) / (np.linalg.norm(B) * np.linalg.norm(F))
        for B, F in zip(model.feedback_coefs_, model.coefs_[1:], strict=True)
    ]


@pytest.mark.parametrize("estimator", [EqPropClassifier, EqPropRegressor])
@pytest.mark.parametrize("activation", ["relu", "hard_sigmoid", "tanh"])
def test_homeostasis_turns_independent_feedback_towards_the_transpose(
    binary, estimator, activation
):
    settings = SETTINGS | {"feedback_init": "independent", "activation": activation} | PATIENT
    settings |= {"learning_rate_init": 0.001}  # slow enough for forward weights to stay apart
    turned, left = (
        cosines(estimator(**settings, feedback_learning=name).fit(*binary))
        for name in ("homeostasis", "fixed")
    )
    assert min(turned) > 0.6
    assert max(left) < 0.5


@pytest.mark.parametrize("gradient", ["asymmetric", "recurrent_backprop"])
def test_homeostasis_goes_with_every_rule(binary, gradient):
    model = EqPropClassifier(**SETTINGS, feedback_learning="homeostasis", gradient=gradient)
    assert model.fit(*binary).score(*binary) > 0.9


def test_tied_feedback_has_nothing_to_balance(binary):
    models = [
        EqPropClassifier(**SETTINGS, feedback="tied", feedback_learning=name).fit(*binary)
        for name in ("homeostasis", "local")
    ]
    for one, other in zip(models[0].coefs_, models[1].coefs_, strict=True):
        assert np.array_equal(one, other)


def test_a_network_without_hidden_layers_has_nothing_to_balance(binary):
    settings = SETTINGS | {"hidden_layer_sizes": ()}
    models = [
        EqPropClassifier(**settings, feedback_learning=name).fit(*binary)
        for name in ("homeostasis", "local")
    ]
    assert np.array_equal(models[0].coefs_[0], models[1].coefs_[0])


@pytest.mark.parametrize("feedback_learning", ["homeostasis", "local"])
def test_probes_shift_no_other_draw(binary, feedback_learning):
    # A fit takes four numbers from the user's generator, as it did before there were probes.
    rng, alone = np.random.RandomState(3), np.random.RandomState(3)
    settings = SETTINGS | {"random_state": rng, "max_iter": 2}
    EqPropClassifier(**settings, feedback_learning=feedback_learning).fit(*binary)
    alone.randint(2**31 - 1, size=4)
    assert rng.randint(2**31 - 1) == alone.randint(2**31 - 1)


def test_weights_are_repetitions_under_homeostasis(binary):
    X, y = binary
    weight = np.random.RandomState(0).randint(0, 4, size=len(y))
    settings = SETTINGS | {"batch_size": 1000, "max_iter": 5, "feedback_learning": "homeostasis"}
    weighted = EqPropClassifier(**settings).fit(X, y, sample_weight=weight)
    repeated = EqPropClassifier(**settings).fit(X.repeat(weight, axis=0), y.repeat(weight))
    for one, other in zip(weighted.feedback_coefs_, repeated.feedback_coefs_, strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize(
    ("settings", "bound"),
    [
        ({}, 0.2),
        ({"activation": "hard_sigmoid"}, 0.2),
        ({"feedback": "tied"}, 0.9),
        ({"feedback": "tied", "activation": "identity"}, 0.9),
        ({"feedback": "tied", "activation": "hard_sigmoid"}, None),
        ({"feedback": "tied", "activation": "tanh"}, None),
        ({"feedback": "tied", "loop_gain": 0.3}, 0.3),
        ({"loop_gain": None}, None),
    ],
)
def test_bound_that_auto_stands_for(settings, bound):
    assert Config.of(EqPropClassifier(**settings)).loop_bound == bound


def test_tied_networks_learn(three_classes):
    X, y = three_classes
    settings = {"feedback": "tied", "max_relax_iter": 2000, "random_state": 0}
    shallow = EqPropClassifier((16,), learning_rate_init=0.01, **settings).fit(X, y)
    assert shallow.score(X, y) > 0.9
    deep = EqPropClassifier((16, 16), activation="hard_sigmoid", **settings).fit(X, y)
    assert deep.score(X, y) > 0.9


@pytest.mark.filterwarnings("ignore:Training did not learn")
@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        ({}, "activation='hard_sigmoid' with loop_gain=None"),
        ({"activation": "hard_sigmoid", "loop_gain": 0.5}, "or loop_gain=None"),
    ],
)
def test_tied_weights_that_must_stay_small_are_pointed_out(three_classes, settings, remedy):
    model = EqPropClassifier((8, 8, 8), feedback="tied", max_iter=2, random_state=0, **settings)
    with pytest.warns(ConvergenceWarning, match=f"'tied' has 3 hidden layers.*untied.*{remedy}"):
        model.fit(*three_classes)
