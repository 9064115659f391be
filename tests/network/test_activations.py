"""Activations against finite differences and the definitions in the tests' dense solver."""

import numpy as np
import pytest

from sklearn_eqprop._network import ACTIVATIONS
from tests.dense_truth import ACTIVATIONS as TRUTH

STATES = np.array([-30.0, -3.0, -0.7, -0.1, 0.1, 0.35, 0.9, 1.2, 4.0, 30.0])


def test_all_are_tested():
    assert set(ACTIVATIONS) == set(TRUTH)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_rate_and_range(name):
    activation = ACTIVATIONS[name]
    rho, _, low, high = TRUTH[name]
    assert np.abs(activation.rate(np, STATES) - rho(np.clip(STATES, low, high))).max() < 1e-15
    assert (-np.inf if activation.lower is None else activation.lower) == low
    assert (np.inf if activation.upper is None else activation.upper) == high
    in_range = np.clip(STATES, low, high)
    same = np.array_equal(activation.rate(np, in_range), in_range)
    assert activation.transmits_state == same


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_slope_is_the_derivative_of_rate_and_never_above_1(name):
    activation = ACTIVATIONS[name]
    step = 1e-5
    rates = [activation.rate(np, STATES + sign * step) for sign in (1, -1)]
    slope = activation.slope(np, STATES)
    assert np.abs(slope - (rates[0] - rates[1]) / (2 * step)).max() < 1e-9
    assert np.abs(activation.slope(np, np.linspace(-5, 5, 10_001))).max() <= 1


@pytest.mark.parametrize(("name", "bounds"), [("hard_sigmoid", [0.0, 1.0]), ("relu", [0.0])])
def test_slope_is_0_at_a_bound(name, bounds):
    assert not ACTIVATIONS[name].slope(np, np.array(bounds)).any()


@pytest.mark.parametrize("distance", [1.0, 1e-3, 1e-9, 1e-30])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_rate_change_keeps_the_accuracy_of_a_small_displacement(name, distance):
    activation = ACTIVATIONS[name]
    state = np.array([0.1, 0.35, 0.9]) if activation.lower is not None else STATES[2:8]
    displacement = distance * np.linspace(-0.05, 0.05, state.size)
    change = activation.rate_change(np, state, displacement)
    if distance < 1e-6:
        expected = activation.slope(np, state) * displacement
        assert np.abs(change / distance - expected / distance).max() < 1e-9
    else:
        rate = activation.rate
        expected = rate(np, state + displacement) - rate(np, state)
        assert np.abs(change - expected).max() < 1e-15


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_facts_are_those_of_the_rates(name):
    activation = ACTIVATIONS[name]
    states = np.maximum(STATES, -np.inf if activation.lower is None else activation.lower)
    states = np.minimum(states, np.inf if activation.upper is None else activation.upper)
    rates = activation.rate(np, states)
    assert activation.rate_is_bounded == (abs(rates).max() <= 1)
    assert activation.rate_is_signed == (rates.min() < 0)
