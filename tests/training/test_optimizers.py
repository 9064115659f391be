"""Optimisers against plain re-implementations, one number at a time."""

import numpy as np
import pytest
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer

from sklearn_eqprop._backend import NumpyBackend
from sklearn_eqprop._training import updates
from sklearn_eqprop._training.adam import Adam
from sklearn_eqprop._training.sgd import SGD
from sklearn_eqprop._training.updates import BlockUpdate, apply_updates

HOST = NumpyBackend()
SHAPES = ((3, 2), (4,), (2, 5))
RATES = (0.1, 0.02, 0.5)
N_UPDATES = 25


def _directions():
    """Directions of ascent for every update and block."""
    rng = np.random.RandomState(0)
    return [[rng.standard_normal(shape) for shape in SHAPES] for _ in range(N_UPDATES)]


def _run(optimizer, directions, blocks, rates=RATES):
    for update in directions:
        moves = [
            BlockUpdate(block, direction.copy(order="K"), rate, scale=1.0, decay=0.0)
            for block, direction, rate in zip(blocks, update, rates, strict=True)
        ]
        apply_updates(moves, optimizer, whole=False)
    return blocks


def _blocks():
    return [np.ones(shape) for shape in SHAPES]


def _scalar_sgd(directions, rate, momentum):
    position, velocity = 1.0, 0.0
    for direction in directions:
        velocity = momentum * velocity + rate * direction
        position += velocity
    return position


def _scalar_adam(directions, rate):
    # Kingma & Ba (2015), with the reordering at the end of their section 2.
    position, mean, square = 1.0, 0.0, 0.0
    for t, direction in enumerate(directions, start=1):
        mean = 0.9 * mean + 0.1 * direction
        square = 0.999 * square + 0.001 * direction**2
        corrected = rate * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        position += corrected * mean / (np.sqrt(square) + 1e-8)
    return position


def _compare(blocks, directions, scalar, **kwargs):
    for number, (block, rate) in enumerate(zip(blocks, RATES, strict=True)):
        for index in np.ndindex(block.shape):
            history = [update[number][index] for update in directions]
            assert abs(block[index] - scalar(history, rate, **kwargs)) < 1e-13


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd(momentum):
    directions = _directions()
    blocks = _run(SGD(_blocks(), HOST, momentum=momentum), directions, _blocks())
    _compare(blocks, directions, _scalar_sgd, momentum=momentum)


def test_adam():
    directions = _directions()
    blocks = _run(Adam(_blocks(), HOST), directions, _blocks())
    _compare(blocks, directions, _scalar_adam)


def test_adam_is_that_of_scikit_learns_mlp():
    directions = _directions()
    ours, theirs = _blocks(), _blocks()
    _run(Adam(ours, HOST), directions, ours, rates=[0.1] * 3)
    reference = AdamOptimizer(theirs, learning_rate_init=0.1)
    for update in directions:
        reference.update_params(theirs, [-direction for direction in update])
    for one, other in zip(ours, theirs, strict=True):
        assert np.abs(one - other).max() < 1e-13


@pytest.mark.parametrize("layouts", ["CCC", "FFF", "CFC", "FFC", "FCF"])
def test_adam_does_not_mind_how_arrays_lie_in_memory(layouts, monkeypatch):
    monkeypatch.setattr(updates, "CACHE_SIZE", 4)
    directions = _directions()
    plain = _run(Adam(_blocks(), HOST), directions, _blocks())
    started = [np.array(b, order=o) for b, o in zip(_blocks(), layouts, strict=True)]
    turned = [
        [np.asarray(d, order=o) for d, o in zip(update, layouts[::-1], strict=True)]
        for update in directions
    ]
    found = _run(Adam(started, HOST), turned, started)
    for one, other in zip(plain, found, strict=True):
        assert np.abs(one - other).max() < 1e-15


@pytest.mark.parametrize(
    "make",
    [
        lambda memory: SGD(_blocks(), HOST, memory, momentum=0.9),
        lambda memory: Adam(_blocks(), HOST, memory),
    ],
    ids=["sgd", "adam"],
)
def test_goes_on_from_its_memory_as_if_never_interrupted(make):
    directions = _directions()
    through = _run(make(None), directions, _blocks())
    first = make(None)
    blocks = _run(first, directions[:10], _blocks())
    resumed = _run(make(first.memory()), directions[10:], blocks)
    for one, other in zip(through, resumed, strict=True):
        assert np.array_equal(one, other)
