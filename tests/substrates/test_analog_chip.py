"""`AnalogChip`: the simulated network in the limit of no faults, and each of its faults."""

import numpy as np
import pytest

from sklearn_eqprop import Conv2D, EqPropClassifier
from sklearn_eqprop._backend import NumpyBackend
from sklearn_eqprop._network import LoopGainGuard, initial_weights, layered_wiring, wired_network
from sklearn_eqprop.learning import LogLoss
from sklearn_eqprop.substrates import AnalogChip
from tests.substrates.described import Simulated

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
FAULTLESS = {"mismatch": 0, "noise": 0, "bits": None, "random_state": 0}
LONG = {"free_steps": 300, "nudged_steps": 300, "read_steps": 1}
IDEAL = AnalogChip(**FAULTLESS, **LONG)


def record_of(sizes=(6, 8, 7, 5), activation="relu"):
    wiring, rng = layered_wiring(len(sizes) - 1), np.random.RandomState(0)
    coefs, biases, feedback = initial_weights(
        sizes,
        wiring,
        feedback_init="independent",
        feedback_scale=0.5,
        rng=rng,
        dtype=np.float64,
    )
    biases = [rng.standard_normal(bias.shape) for bias in biases]
    network = wired_network(
        wiring, coefs, biases, feedback, activation=activation, backend=NumpyBackend()
    )
    LoopGainGuard(network, 0.6).enforce()
    return network


def task(n=9):
    rng = np.random.RandomState(1)
    return rng.standard_normal((n, 6)), np.eye(5)[rng.randint(5, size=n)]


@pytest.mark.parametrize("activation", ["relu", "hard_sigmoid", "tanh", "logistic", "identity"])
def test_without_faults_states_and_changes_are_those_of_the_simulated_network(activation):
    record, (X, Y) = record_of(activation=activation), task()
    chip, simulated = IDEAL.connect(record), Simulated().connect(record)
    free, expected = chip.settle(X), simulated.settle(X)
    for state, other in zip(free.result.states, expected.result.states, strict=True):
        np.testing.assert_allclose(state, other, rtol=0, atol=1e-9)
    loss, strengths = LogLoss(), (0.5, -0.3)
    nudged = [
        substrate.settle_nudged(phase, loss, Y, strengths)
        for substrate, phase in ((chip, free), (simulated, expected))
    ]
    for result, other in zip(*nudged, strict=True):
        for moved, by in zip(result.states, other.states, strict=True):
            assert np.abs(by).max() > 1e-5
            np.testing.assert_allclose(moved, by, rtol=0, atol=1e-9)
    deltas = nudged[0][0].states
    changes = chip.local_change(free, deltas), simulated.local_change(expected, deltas)
    for change, other in zip(*changes, strict=True):
        np.testing.assert_allclose(change, other, rtol=0, atol=1e-8)


@pytest.mark.parametrize(
    "settings",
    [
        {"hidden_layer_sizes": (8, 7)},
        {"hidden_layer_sizes": (8,), "activation": "tanh", "feedback": "tied"},
        {"connections": [(0, 1), (0, 2), (1, 2), (2, 1), (1, 1)], "hidden_layer_sizes": (8,)},
        {
            "hidden_layer_sizes": (Conv2D(2, 2, padding="valid"), 5),
            "input_shape": (3, 2),
            "nudging": "centered",
        },
    ],
)
def test_without_faults_an_epoch_is_that_of_the_simulated_network(settings):
    X, Y = task(60)
    settings = settings | {"max_iter": 1, "batch_size": 10, "random_state": 0}
    settings |= {"loop_gain": 0.5}
    chip = EqPropClassifier(**settings, substrate=IDEAL).fit(X, Y.argmax(axis=1))
    tight = {"relax_tol": 1e-12, "max_relax_iter": 500, "max_nudge_iter": 500}
    direct = EqPropClassifier(**settings, **tight).fit(X, Y.argmax(axis=1))
    ours, theirs = (
        [*model.coefs_, *model.feedback_coefs_, *model.intercepts_] for model in (chip, direct)
    )
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-7)
    np.testing.assert_allclose(chip.predict_proba(X), direct.predict_proba(X), atol=1e-7)


def test_weights_have_few_levels_and_fixed_factors():
    record = record_of()
    written = [parameter.array.copy() for parameter in record.parameters()]
    chip = AnalogChip(mismatch=0.2, bits=4, weight_range=0.3, random_state=0).connect(record)
    chip.settle(np.zeros((1, 6)))
    held = [parameter.array.copy() for parameter in chip.held.parameters()]
    chip.settle(np.zeros((1, 6)))
    factors = []
    for block, weights, again in zip(written, held, chip.held.parameters(), strict=True):
        np.testing.assert_array_equal(weights, again.array)
        level = 0.3 / 7 * np.clip(np.round(block / (0.3 / 7)), -7, 7)
        np.testing.assert_array_equal(weights == 0, level == 0)
        factors.append((weights / np.where(level == 0, 1, level))[level != 0])
    factors = np.concatenate(factors)
    assert factors.mean() == pytest.approx(1, abs=0.06)
    assert factors.std() == pytest.approx(0.2, abs=0.04)
    for block, parameter in zip(written, record.parameters(), strict=True):
        np.testing.assert_array_equal(parameter.array, block)  # the record keeps full precision


def test_units_settle_where_their_offsets_and_slopes_put_them():
    record, (X, _) = record_of((6, 8, 5)), task()
    faults = FAULTLESS | {"offsets": 0.1, "slopes": 0.2, "state_scale": (2.0, 4.0)}
    chip = AnalogChip(**faults, **LONG).connect(record)
    hidden, output = chip.settle(X).result.states
    F1, F2, B, b1, b2 = (parameter.array for parameter in record.parameters())
    drives = X @ F1 + output @ B + b1, hidden @ F2 + b2
    drives = [
        slope * (drive + offset)
        for drive, slope, offset in zip(drives, chip._slopes, chip._offsets, strict=True)
    ]
    np.testing.assert_allclose(hidden, np.maximum(drives[0], 0), atol=1e-9)
    np.testing.assert_allclose(output, drives[1], atol=1e-9)
    many = AnalogChip(**faults).connect(record_of((6, 400, 400)))
    for offsets, slopes, scale in zip(many._offsets, many._slopes, (2.0, 4.0), strict=True):
        assert offsets.std() == pytest.approx(0.1 * scale, rel=0.15)
        assert slopes.std() == pytest.approx(0.2, rel=0.15)


def test_noise_has_the_variance_of_an_autoregression():
    # s <- (1 - ε) s + noise of variance σ² in a linear unit without drive.
    record = record_of((6, 2000), "identity")
    for parameter in record.parameters():
        parameter.array[...] = 0
    chip = AnalogChip(**FAULTLESS | {"noise": 0.1}, read_steps=1, free_steps=60, step_size=0.3)
    [state] = chip.connect(record).settle(np.zeros((3, 6))).result.states
    expected = 0.1 / np.sqrt(1 - 0.7**2)
    assert state.std() == pytest.approx(expected, rel=0.05)


def test_old_weights_have_drifted():
    held = []
    for age in (1, 100):
        chip = AnalogChip(**FAULTLESS, drift=0.05, age=age).connect(record_of((6, 300, 5)))
        chip.settle(np.zeros((1, 6)))
        held.append(chip.held.parameters()[0].array.copy())
    exponents = -np.log(held[1] / held[0]) / np.log(100)
    assert exponents.min() >= 0
    assert exponents.mean() == pytest.approx(0.05, rel=0.05)
    assert exponents.std() == pytest.approx(0.025, rel=0.1)


@pytest.mark.parametrize("step", [0.02, -0.02])
def test_updates_are_asymmetric_and_saturate(step):
    record = record_of()
    settings = {"storage": "nearest", "weight_range": 0.5, "asymmetry": 0.2, "saturation": 0.5}
    chip = AnalogChip(**FAULTLESS, **settings).connect(record)
    chip.settle(np.zeros((1, 6)))
    before = [parameter.array.copy() for parameter in record.parameters()]
    for parameter in record.parameters():
        parameter.array += step
    chip.take_update()
    for parameter, old in zip(record.parameters(), before, strict=True):
        away = np.maximum(np.sign(step) * old / 0.5, 0)
        moved = step * (1.2 if step > 0 else 0.8) * (1 - 0.5 * away)
        np.testing.assert_allclose(parameter.array, np.clip(old + moved, -0.5, 0.5), atol=1e-12)
    after = [parameter.array.copy() for parameter in record.parameters()]
    chip.settle(np.zeros((1, 6)))
    for weights, parameter, old in zip(
        chip.held.parameters(), record.parameters(), after, strict=True
    ):
        np.testing.assert_array_equal(parameter.array, old)
        np.testing.assert_allclose(weights.array, old)


def test_small_steps_are_lost_by_rounding_but_not_on_average_by_chance():
    moved = {}
    for storage in ("nearest", "stochastic"):
        record = record_of((6, 300, 5))
        faults = FAULTLESS | {"bits": 5, "storage": storage, "weight_range": 0.6}
        chip = AnalogChip(**faults).connect(record)
        chip.settle(np.zeros((1, 6)))
        weights = record.parameters()[0].array
        before = weights.copy()
        weights += 0.01  # a quarter of the distance between two levels
        chip.take_update()
        moved[storage] = weights - before
    assert np.abs(moved["nearest"]).max() < 1e-12
    assert moved["stochastic"].mean() == pytest.approx(0.01, rel=0.15)
    assert set(np.round(moved["stochastic"] / 0.04, 6).ravel()) == {0.0, 1.0}


def test_a_chip_remembers_its_faults():
    record, (X, _) = record_of(), task()
    one, other = (AnalogChip().connect(record) for _ in range(2))
    assert np.abs(one.settle(X).result.states[0] - other.settle(X).result.states[0]).max() > 0.01
    other.restore(one.memory())
    for state, same in zip(one.settle(X).result.states, other.settle(X).result.states, strict=True):
        np.testing.assert_array_equal(state, same)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"bits": 1}, "'bits' parameter of AnalogChip"),
        ({"mismatch": -0.1}, "'mismatch'"),
        ({"asymmetry": 0.1}, r"asymmetry=0.1 .* no effect .* storage='stochastic'"),
        ({"storage": "nearest"}, "storage='nearest' needs a weight_range"),
        ({"weight_range": (1.0, 2.0)}, "weight_range has 2 entries, but 8 are needed"),
    ],
)
def test_unusable_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        AnalogChip(**parameters).connect(record_of())
