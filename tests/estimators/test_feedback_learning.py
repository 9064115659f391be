"""Ways to learn feedback, seen from the outside: does it come to face the forward weights?"""

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from sklearn_eqprop import EqPropClassifier, EqPropRegressor
from sklearn_eqprop._estimators.fitting.loop import _copies, _restore
from sklearn_eqprop._estimators.parameters.config import Config
from tests.dense_truth import random_net
from tests.engine import network_of

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
        ({"feedback": "tied"}, 0.2),
        ({"feedback": "tied", "activation": "tanh"}, 0.2),
        ({"feedback": "tied", "loop_gain": 0.3}, 0.3),
        ({"loop_gain": None}, None),
    ],
)
def test_bound_that_auto_stands_for(settings, bound):
    assert Config.of(EqPropClassifier(**settings)).loop_bound == bound


def test_tied_networks_learn(three_classes):
    X, y = three_classes
    for hidden, activation in (((16,), "relu"), ((16, 16), "hard_sigmoid"), ((16,) * 3, "relu")):
        model = EqPropClassifier(hidden, activation=activation, feedback="tied", random_state=0)
        assert model.fit(X, y).score(X, y) > 0.9


def test_tied_feedback_is_a_strength_times_the_forward_weights(three_classes):
    X, y = three_classes
    model = EqPropClassifier((16, 9), feedback="tied", random_state=0).fit(X, y)
    assert model.feedback_gains_.shape == (2,)
    assert (model.feedback_gains_ < 0.3).all()  # the safeguard has shrunk them
    transposes = [coef.T for coef in model.coefs_[1:]]
    for gain, B, back in zip(model.feedback_gains_, model.feedback_coefs_, transposes, strict=True):
        np.testing.assert_allclose(B, gain * back, rtol=1e-6)
    bound = 0.2 / (4 * np.cos(np.pi / 4) ** 2)
    for gain, back in zip(model.feedback_gains_, transposes, strict=True):
        assert gain * np.linalg.norm(back, 2) ** 2 < 1.05 * bound


def test_the_network_of_2017(three_classes):
    X, y = three_classes
    settings = {"feedback": "tied", "feedback_scale": 1.0, "loop_gain": None}
    model = EqPropClassifier((9, 7), activation="hard_sigmoid", max_iter=3, **settings)
    with pytest.warns(ConvergenceWarning):
        model.fit(X, y)
    assert (model.feedback_gains_ == 1).all()
    for B, coef in zip(model.feedback_coefs_, model.coefs_[1:], strict=True):
        assert np.array_equal(B, coef.T)


def test_gains_of_untied_feedback_are_ratios_of_norms(three_classes):
    model = EqPropClassifier((9, 7), random_state=0).fit(*three_classes)
    pairs = zip(model.feedback_coefs_, model.coefs_[1:], strict=True)
    ratios = [np.linalg.norm(B) / np.linalg.norm(coef) for B, coef in pairs]
    np.testing.assert_allclose(model.feedback_gains_, ratios, rtol=1e-5)
    with pytest.raises(AttributeError, match="feedback_gains_"):
        _ = EqPropClassifier().feedback_gains_


def test_restored_weights_have_their_strengths():
    net = random_net((3, 4, 4, 2), "relu", tied=True)
    net.strengths = [0.5, 0.25]
    network = network_of(net)
    kept = _copies(network.arrays)
    for array in network.arrays:
        array *= 0.5
    assert [connection.gain for connection in network.feedback] == [0.25, 0.125]
    _restore(network.arrays, kept)
    assert [connection.gain for connection in network.feedback] == [0.5, 0.25]
    for connection, coef in zip(network.forward, net.coefs, strict=True):
        assert np.array_equal(connection.weights, coef)
