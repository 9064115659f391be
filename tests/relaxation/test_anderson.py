"""Anderson acceleration: safeguarded, and faster than what it accelerates."""

import numpy as np
import pytest

from sklearn_eqprop.relaxation import Anderson, Euler, FreeField
from tests.dense_truth import DenseNet, random_net, random_task
from tests.engine import joined, network_of, settle

SIZES = (4, 8, 6, 3)


def _unruly(activation, seed):
    """Strong feedback of the opposite sign, B = -2 F^T: Euler with ε = 1 goes round in circles."""
    net = random_net(SIZES, activation, gain=1.5, seed=seed)
    feedback = [-2 * coef.T for coef in net.coefs[1:]]
    return DenseNet(activation, net.coefs, net.biases, feedback)


@pytest.mark.parametrize("step_size", [1.0, 0.5])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("activation", ["hard_sigmoid", "tanh"])
def test_never_returns_a_worse_residual_than_it_saw(activation, seed, step_size):
    # A run of k + 1 steps sees all that a run of k steps saw, so the residual cannot rise.
    net = _unruly(activation, seed)
    X, _ = random_task(6, SIZES)
    assert settle(net, X, "euler", tolerance=1e-9, max_iter=300).converged.sum() < 5
    best = net.residual(np.zeros((6, net.ends[-1])), X)
    for max_iter in range(1, 25):
        result = settle(
            net, X, "anderson", step_size=step_size, tolerance=1e-300, max_iter=max_iter
        )
        assert (result.residual <= best).all()
        truth = net.residual(joined(result.states), X)
        assert np.abs(truth - result.residual).max() < 1e-14
        best = result.residual


def test_its_first_step_is_the_step_it_accelerates():
    net = random_net(SIZES, "hard_sigmoid")
    X, _ = random_task(6, SIZES)
    options = {"step_size": 0.7, "tolerance": 1e-300, "max_iter": 1}
    ours = settle(net, X, "anderson", **options)
    euler = settle(net, X, "euler", **options)
    better = euler.residual < net.residual(np.zeros((6, net.ends[-1])), X)
    assert better.any()
    assert np.array_equal(joined(ours.states)[better], joined(euler.states)[better])


@pytest.mark.parametrize("activation", ["identity", "tanh", "relu", "hard_sigmoid"])
def test_needs_far_fewer_steps_on_a_slow_network(activation):
    # Tied weights at loop gain 0.95: Euler's slowest mode shrinks by 0.975 a step when ε = 0.5.
    net = random_net((4, 8, 3), activation, tied=True, gain=0.95)
    X, _ = random_task(6, (4, 8, 3))
    euler = settle(net, X, "euler", step_size=0.5, tolerance=1e-10)
    ours = settle(net, X, "anderson", step_size=0.5, tolerance=1e-10)
    assert euler.converged.all()
    assert ours.converged.all()
    assert euler.n_steps.max() > 150
    assert 4 * ours.n_steps.max() < euler.n_steps.max()


class _Cliff:
    """A push on one linear unit, almost flat below 2, and not a number beyond 50.

    The secant through the first two states points far over the cliff.
    """

    def velocity(self, drive, output):
        overflow = np.where(output > 50, np.nan, 0.0)
        return drive - 2 + np.where(output < 2, 2 - 0.01 * output, 3.98 - output) + overflow

    def resolve(self, drive, output):
        pytest.fail("Anderson acceleration takes velocities: it never solves the push")

    def take(self, rows):
        return self


def test_one_overflowing_extrapolation_does_not_end_the_acceleration():
    # From s = 0 with ε = 0.1: f falls by 0.2 % over the first step, so the secant jumps to about
    # 200. From there on it has to accelerate again, not plod on with the history of a non-number.
    net = DenseNet("identity", [np.zeros((1, 1))], [np.array([2.0])])
    network = network_of(net)
    X = np.zeros((1, 1))

    def run(method):
        field = FreeField(network, network.clamp(X), 1, _Cliff())
        return method(0.1).settle(field, network.zero_states(1), np.full(1, 1e-10), 1000)

    ours, euler = run(Anderson), run(Euler)
    assert ours.converged.all()
    assert euler.converged.all()
    assert abs(ours.states[0][0, 0] - euler.states[0][0, 0]) < 1e-8
    assert 2 * ours.n_steps[0] < euler.n_steps[0]
