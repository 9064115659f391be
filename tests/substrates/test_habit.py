"""Phases that repeat a number of steps: the same states as measured ones, and when they do so."""

import numpy as np
import pytest

from sklearn_eqprop import EqPropClassifier, EqPropRegressor
from sklearn_eqprop._relaxation import (
    RELAXATIONS,
    FreeField,
    GaussSeidel,
    Result,
    SettleOptions,
)
from sklearn_eqprop._relaxation.relaxation import SMALL_BATCH
from sklearn_eqprop._substrates.limits import SettlingLimits
from sklearn_eqprop._substrates.phases import MEASURE_EVERY, Habit
from sklearn_eqprop._substrates.simulated import SimulatedNetwork
from tests.dense_truth import random_net, random_task
from tests.engine import LOSSES, network_of

SIZES = (4, 6, 5, 3)


def result(n_steps, converged=True):
    return Result([], np.array([1, n_steps]), np.zeros(2), np.array([True, converged]))


def field_of(n_samples):
    network = network_of(random_net(SIZES, "tanh"))
    return FreeField(network, network.clamp(np.zeros((n_samples, SIZES[0]))), n_samples)


@pytest.mark.parametrize("n_steps", [1, 2, 3, 6])
@pytest.mark.parametrize("activation", ["hard_sigmoid", "tanh"])
def test_a_repeated_phase_has_the_states_of_a_measured_one(activation, n_steps):
    net = random_net(SIZES, activation, gain=0.9, loop=0.6)
    X, Y = random_task(5, SIZES, "log_loss")
    limits = SettlingLimits(1e-300, 1e-300, n_steps, n_steps, literal=False)
    measured = SimulatedNetwork(network_of(net), GaussSeidel(1.0), limits)
    repeating = SimulatedNetwork(network_of(net), GaussSeidel(1.0), limits, repeats=True)
    for habit in repeating.habits:
        habit._n_steps, habit._n_left = n_steps, 1
    phases = []
    for substrate in (measured, repeating):
        free = substrate.settle(X)
        [nudged] = substrate.settle_nudged(free, LOSSES["log_loss"], Y, (0.5,))
        phases.append([*free.result.states, *free.result.drives, *nudged.states])
    for one, other in zip(*phases, strict=True):
        assert np.abs(one - other).max() < 1e-13
    assert free.result.residual is None
    assert nudged.residual is None


def test_one_of_several_phases_is_measured():
    habit, field = Habit(), field_of(5)
    assert habit.known_steps(field) == 0
    habit.learn(result(3))
    assert [habit.known_steps(field) for _ in range(MEASURE_EVERY)] == [3] * (MEASURE_EVERY - 1) + [
        0
    ]


def test_what_does_not_settle_is_measured_every_time():
    habit, field = Habit(), field_of(5)
    habit.learn(result(9, converged=False))
    assert habit.known_steps(field) == 0


def test_large_batches_are_measured_every_time_if_samples_differ():
    habit = Habit()
    habit.learn(result(2))
    large = field_of(SMALL_BATCH // sum(SIZES[1:]) + 1)
    assert habit.known_steps(large) == 0
    habit.learn(result(1))  # as many steps as the other sample
    assert [habit.known_steps(large) for _ in range(MEASURE_EVERY)] == [1] * (MEASURE_EVERY - 1) + [
        0
    ]


@pytest.mark.filterwarnings("ignore:Training reached max_iter")
def test_an_epoch_without_a_measurement_repeats_the_last_numbers():
    X = np.random.RandomState(0).standard_normal((30, 3))
    model = EqPropRegressor((5,), max_iter=7, alpha=0.0, random_state=0).fit(X, X[:, 0])
    for numbers in model.relaxation_.values():
        assert len(numbers) == 7
        assert len(set(numbers[:5])) == 1
    assert model.relaxation_["free_residual"][5] != model.relaxation_["free_residual"][4]


@pytest.mark.filterwarnings("ignore:Training reached max_iter")
@pytest.mark.parametrize(
    "settings",
    [{"loop_gain": 0.9}, *({"relaxation": name} for name in RELAXATIONS if name != "gauss_seidel")],
)
def test_strong_loops_and_other_relaxations_are_measured_every_time(settings):
    X = np.random.RandomState(0).standard_normal((30, 3))
    model = EqPropClassifier((5,), max_iter=7, random_state=0, **settings).fit(X, X[:, 0] > 0)
    assert len(set(model.relaxation_["free_residual"])) == 7


def test_options_of_a_free_phase_keep_drives():
    net = network_of(random_net(SIZES, "tanh"))
    repeated = GaussSeidel(1.0).repeat(field_of(2), 2, SettleOptions(keeps="drives"))
    assert [drive.shape for drive in repeated.drives] == [(2, size) for size in net.layer_sizes]
