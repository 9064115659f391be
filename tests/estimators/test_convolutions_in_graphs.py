"""Skip, lateral and far-reaching connections of convolutional layers, through the estimators."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from sklearn_eqprop import Conv2D, EqPropClassifier

pytestmark = pytest.mark.filterwarnings("ignore:Training reached max_iter")

SAME = Conv2D(3, 3, padding="same")
SETTINGS = {"input_shape": (8, 8), "max_iter": 8, "n_iter_no_change": None, "random_state": 0}


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:150] / 16, y[:150]


GRAPHS = {
    "skip over a map": [(0, 1), (1, 2), (0, 2), (2, 3), (3, 2), (2, 1)],
    "map to the output": [(0, 1), (1, 2), (2, 3), (1, 3), (3, 1), (3, 2)],
    "lateral": [(0, 1), (1, 2), (2, 3), (3, 2), (2, 1), (2, 2), (1, 1)],
    "input to the output": [(0, 1), (1, 2), (2, 3), (0, 3), (3, 2), (2, 1)],
}


@pytest.mark.parametrize("gradient", ["vector_field", "asymmetric"])
@pytest.mark.parametrize("connections", GRAPHS.values(), ids=GRAPHS)
def test_graphs_of_maps_learn(digits, connections, gradient):
    model = EqPropClassifier((SAME, SAME), connections=connections, gradient=gradient, **SETTINGS)
    model.fit(*digits)
    assert model.loss_curve_[-1] < 0.95 * model.loss_curve_[0]
    assert model.relax(digits[0]).converged.all()


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_pooling_that_skips(digits, pooling):
    # Layer 2 reads the input by itself, pooled; both poolings of one layer have winners.
    wide = Conv2D(4, 3, padding="same", pool=2, pooling=pooling)
    connections = [(0, 1), (0, 2), (1, 3), (2, 3), (3, 1), (3, 2), (1, 4), (3, 4), (4, 3)]
    model = EqPropClassifier((wide, wide, 9), connections=connections, **SETTINGS).fit(*digits)
    assert model.loss_curve_[-1] < model.loss_curve_[0]
    result = model.relax(digits[0])
    assert result.converged.all()
    assert result.states[1].shape == (150, 64)


def test_maps_that_do_not_meet_are_refused(digits):
    model = EqPropClassifier(
        (Conv2D(3, 3, padding="same", stride=2), SAME),
        connections=[(0, 1), (1, 2), (0, 2), (2, 3), (3, 2), (2, 1)],
        **SETTINGS,
    )
    with pytest.raises(ValueError, match=r"layer 0.*\(8, 8, 3\).*has the shape \(4, 4, 3\)"):
        model.fit(*digits)


def test_equilibria_satisfy_the_equations(digits):
    """Settled states are the drives written out with the fitted arrays."""
    X, _ = digits
    connections = GRAPHS["skip over a map"]
    model = EqPropClassifier((SAME, SAME), connections=connections, **SETTINGS).fit(*digits)
    s1, s2, s3 = (state[:10] for state in model.relax(X[:10]).states)
    image = X[:10].reshape(-1, 8, 8, 1)

    def convolved(maps, kernel):
        padded = np.pad(maps, [(0, 0), (1, 1), (1, 1), (0, 0)])
        return sum(
            padded[:, i : i + 8, j : j + 8] @ kernel[i, j] for i in range(3) for j in range(3)
        )

    coefs = dict(zip(model.connections_[: len(model.coefs_)], model.coefs_, strict=True))
    back = dict(zip(model.connections_[len(coefs) :], model.feedback_coefs_, strict=True))
    drive = (
        convolved(image, coefs[0, 2])
        + convolved(s1.reshape(-1, 8, 8, 3), coefs[1, 2])
        + (s3 @ back[3, 2]).reshape(-1, 8, 8, 3)
        + model.intercepts_[1]
    )
    np.testing.assert_allclose(s2, np.maximum(drive, 0).reshape(10, -1), atol=1e-9)
