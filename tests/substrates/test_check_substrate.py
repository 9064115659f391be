"""`check_substrate` finds each of many deliberate faults, and none in hardware without one."""

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_digits, load_iris
from sklearn.preprocessing import scale

from sklearn_eqprop.exceptions import SubstrateError
from sklearn_eqprop.substrates import AnalogChip, FreePhase, Result, check_substrate
from tests.substrates.described import Simulated

FAULTLESS = AnalogChip(mismatch=0, noise=0, bits=None)
FAULTS = {
    "batch": "States of the same rows differ by",
    "other weights": "Free states of layer 1 do not follow",
    "weights once": "Read record.parameters",
    "absolute": "Subtract the free states",
    "sign": "with a plus",
    "ignores beta": "Multiply the force with the beta",
    "one direction": "pushes_away = False",
    "output only": "The nudge moves layer 1 by 0.00 times",
    "swapped": "block 1 .* this is the change of block [34].* order and shapes",
    "transposed": "perhaps transposed",
    "mean": "without a mean",
    "no rates": "Multiply the rate of the source",
    "sign of changes": "Turn the sign around",
}


def data(load):
    X, y = load(return_X_y=True)
    rows = np.random.RandomState(0).permutation(len(X))
    return scale(X)[rows], y[rows]


@pytest.mark.parametrize("load", [load_digits, load_iris, load_diabetes])
@pytest.mark.parametrize("activation", ["relu", "tanh", "hard_sigmoid"])
@pytest.mark.parametrize("hidden", [(), (10,), (12, 8), (10, 9, 8)])
def test_hardware_without_faults_passes(load, activation, hidden):
    X, y = data(load)
    for hardware in (Simulated(), FAULTLESS):
        check_substrate(hardware, X, y, hidden_layer_sizes=hidden, activation=activation)


@pytest.mark.parametrize("seed", range(3))
def test_a_chip_with_its_default_faults_passes(seed):
    for load in (load_digits, load_iris, load_diabetes):
        check_substrate(AnalogChip(random_state=seed), *data(load), random_state=seed)


@pytest.mark.parametrize("load", [load_digits, load_iris, load_diabetes])
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found(fault, seed, load):
    hidden = (10, 10)
    with pytest.raises(SubstrateError, match=FAULTS[fault]) as found:
        check_substrate(Simulated(fault), *data(load), hidden_layer_sizes=hidden, random_state=seed)
    [first, *findings] = str(found.value).splitlines()
    assert first == f"Simulated(fault={fault!r}) does not do what the learner asks for:"
    # A number that shows it, and what to do.
    for finding in findings:
        assert finding.startswith("* ")
        assert any(sign.isdigit() for sign in finding)
        assert finding.endswith(".")


def test_blocks_of_other_shapes_are_found():
    with pytest.raises(SubstrateError, match=r"block 6 \(bias into layer 2\): the shape is \(3,\)"):
        check_substrate(
            Simulated("biases turned around"), *data(load_iris), hidden_layer_sizes=(10, 9)
        )


class Answers:
    """Hardware that answers each call with given values."""

    def __init__(self, settle=None, nudged=None, change=None):
        self.given = (settle, nudged, change)

    def __eq__(self, other):
        return isinstance(other, Answers)

    __hash__ = None

    def __repr__(self):
        return "Answers()"

    def connect(self, record):
        settle, nudged, change = self.given
        hardware = Simulated().connect(record)
        if settle:
            hardware.settle = settle
        if nudged:
            hardware.settle_nudged = nudged
        if change:
            hardware.local_change = change
        return hardware


def _zeros(inputs, *sizes):
    return [np.zeros((len(inputs), size)) for size in sizes]


def _timed_out(*_):
    raise TimeoutError("no answer within 2 s.")


@pytest.mark.parametrize(
    ("hardware", "message"),
    [
        (Answers(settle=lambda x: x), r"settle returned a ndarray. Return FreePhase"),
        (Answers(settle=lambda x: FreePhase(x, x)), r"settle returned a ndarray instead"),
        (
            Answers(settle=lambda x: FreePhase(x, Result(_zeros(x, 4, 10, 3)))),
            "states of 3 layers, but there are 2. .* without the input",
        ),
        (
            Answers(settle=lambda x: FreePhase(x, Result(_zeros(x, 3, 10)))),
            r"settle, layer 1: the shape is \(100, 3\). Return an array of shape \(100, 10\)",
        ),
        (
            Answers(settle=lambda x: FreePhase(x, Result([np.nan * s for s in _zeros(x, 10, 3)]))),
            r"settle, layer 1: 1000 of 1000 numbers are not finite. Look at the hardware",
        ),
        (
            Answers(nudged=lambda free, loss, target, betas: [free.result]),
            r"settle_nudged \(beta=0.2, 0.4, -0.2\) returned 1 results for 3 strengths",
        ),
        (
            Answers(nudged=_timed_out),
            r"settle_nudged .*failed. TimeoutError: no answer within 2 s\.$",
        ),
        (Answers(change=lambda free, deltas: deltas), "returned 2 arrays, but there are 5 blocks"),
        (
            Answers(change=lambda free, deltas: [np.zeros((2, 2))] * 5),
            r"local_change, block 0 \(forward into layer 1\): the shape is \(2, 2\)",
        ),
    ],
)
def test_calls_that_fail_are_named(hardware, message):
    with pytest.raises(SubstrateError, match=message):
        check_substrate(hardware, *data(load_iris))
