"""`SpikingNetwork`: sigma-delta units. Many spikes are the simulated network, few still learn."""

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_iris
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import scale

from sklearn_eqprop import Conv2D, EqPropClassifier
from sklearn_eqprop.exceptions import SubstrateError
from sklearn_eqprop.learning import LogLoss
from sklearn_eqprop.substrates import SpikingNetwork, check_substrate
from tests.substrates.described import Simulated
from tests.substrates.test_analog_chip import record_of, task

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
MANY = SpikingNetwork(spikes_per_step=1e9, free_steps=800, nudged_steps=800, step_size=0.3)


@pytest.mark.parametrize("activation", ["relu", "hard_sigmoid", "tanh", "identity"])
def test_with_many_spikes_it_is_the_simulated_network(activation):
    record, (X, Y) = record_of(activation=activation), task()
    units, simulated = MANY.connect(record), Simulated().connect(record)
    free, expected = units.settle(X), simulated.settle(X)
    for state, other in zip(free.result.states, expected.result.states, strict=True):
        np.testing.assert_allclose(state, other, rtol=0, atol=1e-7)
    [nudged] = units.settle_nudged(free, LogLoss(), Y, [0.5])
    [other] = simulated.settle_nudged(expected, LogLoss(), Y, [0.5])
    for moved, by in zip(nudged.states, other.states, strict=True):
        np.testing.assert_allclose(moved, by, rtol=0, atol=1e-7)
    changes = (
        units.local_change(free, nudged.states),
        simulated.local_change(expected, nudged.states),
    )
    for change, by in zip(*changes, strict=True):
        np.testing.assert_allclose(change, by, rtol=0, atol=1e-6)


def test_with_many_spikes_an_epoch_is_that_of_the_simulated_network():
    X, Y = task(40)
    settings = {"max_iter": 1, "batch_size": 10, "loop_gain": 0.5, "random_state": 0}
    model = EqPropClassifier((8, 7), **settings, substrate=MANY).fit(X, Y.argmax(axis=1))
    tight = {"relax_tol": 1e-12, "max_relax_iter": 500, "max_nudge_iter": 500}
    direct = EqPropClassifier((8, 7), **settings, **tight).fit(X, Y.argmax(axis=1))
    for ours, theirs in zip(model.coefs_, direct.coefs_, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("drive", [0.0, 0.07, 0.5, 1.3, -0.4])
def test_a_unit_sends_its_rate_in_spikes(drive):
    # After any number of steps, what it has sent differs by at most half a spike from the sum of
    # its rates. Its state is drive (1 - (1 - ε)^t).
    record = record_of((6, 1), "identity")
    for parameter in record.parameters():
        parameter.array[...] = 0
    record.biases[0][...] = drive
    for n_steps in (10, 37, 100):
        units = SpikingNetwork(free_steps=n_steps, step_size=0.2).connect(record)
        units.settle(np.zeros((2, 6)))
        rates = drive * (1 - 0.8 ** np.arange(n_steps))
        assert np.abs(units.n_spikes - abs(rates.sum())).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_it_passes_the_check(activation):
    X, y = load_iris(return_X_y=True)
    order = np.random.RandomState(0).permutation(150)
    check_substrate(SpikingNetwork(), scale(X)[order], y[order], activation=activation)


def test_it_learns_iris_and_reports_its_spikes():
    X, y = load_iris(return_X_y=True)
    settings = {"batch_size": 30, "max_iter": 20, "learning_rate_init": 0.02, "alpha": 1e-3}
    model = EqPropClassifier((10,), substrate=SpikingNetwork(), random_state=0, **settings)
    model.fit(scale(X), y)
    assert model.score(scale(X), y) >= 0.95
    states = model.relax(scale(X)).states
    # About one spike per step and unit of rate, over 120 steps.
    expected = 120 * sum(np.abs(state).sum(axis=1) for state in states).mean()
    assert model.substrate_.n_spikes.shape == (150,)
    assert model.substrate_.n_spikes.mean() == pytest.approx(expected, rel=0.2)


@pytest.mark.slow
def test_it_learns_digits_and_predicts_within_ten_steps():
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(scale(X), y, stratify=y, random_state=0)
    settings = {"batch_size": 100, "max_iter": 12, "learning_rate_init": 0.006, "alpha": 1e-4}
    model = EqPropClassifier(
        (32,),
        substrate=SpikingNetwork(),
        learning_rate="cosine",
        loop_gain=0.5,
        n_iter_no_change=None,
        random_state=0,
        **settings,
    ).fit(X, y)
    assert model.score(X_test, y_test) >= 0.95
    model.set_params(substrate__free_steps=10)
    assert model.score(X_test, y_test) >= 0.95


def test_max_pooling_is_refused():
    images = np.random.RandomState(0).standard_normal((20, 16))
    with pytest.raises(SubstrateError, match="Spikes have no maximum"):
        EqPropClassifier(
            (Conv2D(2, 3, pool=2),), input_shape=(4, 4), substrate=SpikingNetwork()
        ).fit(images, np.arange(20) % 2)
