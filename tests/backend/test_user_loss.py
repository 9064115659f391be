"""A loss of the user's own, which is given arrays of the device."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from sklearn_eqprop import EqPropClassifier


class Softplus:
    """A loss whose curvature is not known: its output is brought to rest by a search."""

    def value(self, output, target):
        return ((target - output) ** 4).sum(axis=1) + 0.5 * ((target - output) ** 2).sum(axis=1)

    def derivative(self, output, target):
        return -4 * (target - output) ** 3 - (target - output)


class Kinked:
    """A loss whose derivative jumps."""

    def value(self, output, target):
        return abs(target - output).sum(axis=1)

    def derivative(self, output, target):
        return 2.0 * (output > target) - 1


class LogCosh:
    """A loss written with NumPy's functions, which CuPy's arrays answer."""

    curvature = 1.0

    def value(self, output, target):
        return np.log(np.cosh(output - target)).sum(axis=1)

    def derivative(self, output, target):
        return np.tanh(output - target)


class HostOnly(LogCosh):
    """A loss that does not take arrays of a device."""

    def derivative(self, output, target):
        return np.tanh(np.asarray(output) - np.asarray(target))


def _fitted(backend, loss):
    X, y = load_digits(return_X_y=True)
    model = EqPropClassifier(
        (15, 12), loss=loss, backend=backend, batch_size=40, max_iter=2, random_state=0
    )
    return model.fit(X[:120] / 16, y[:120])


@pytest.mark.filterwarnings("ignore:Training")
@pytest.mark.parametrize(
    "loss", [Softplus(), Kinked(), LogCosh()], ids=lambda loss: type(loss).__name__
)
def test_a_cost_of_the_users_own_works_on_the_device(installed, loss):
    installed.answers_numpy = isinstance(loss, LogCosh)
    here, there = (_fitted(backend, loss) for backend in ("numpy", "cupy"))
    for one, other in zip(here.coefs_, there.coefs_, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-9)
    np.testing.assert_allclose(here.loss_curve_, there.loss_curve_, rtol=1e-8)


@pytest.mark.filterwarnings("ignore:Training reached max_iter")
def test_a_loss_for_the_host_alone_is_refused_with_a_remedy(installed):
    assert _fitted("numpy", HostOnly()).n_iter_ == 2
    installed.answers_numpy = True
    with pytest.raises(
        TypeError, match=r"loss=.*HostOnly.* failed on arrays of cupy.*\(.+\).*'numpy'"
    ):
        _fitted("cupy", HostOnly())
