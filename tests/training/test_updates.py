"""Updates in pieces against the formulas, written out for whole arrays."""

import numpy as np
import pytest

from sklearn_eqprop._backend import NumpyBackend
from sklearn_eqprop._feedback.kolen_pollack import Follower
from sklearn_eqprop._training import updates
from sklearn_eqprop._training.adam import Adam
from sklearn_eqprop._training.sgd import SGD
from sklearn_eqprop._training.updates import BlockUpdate, apply_updates

HOST = NumpyBackend()
SHAPES = [(5, 3), (4,)]
SCALES, DECAYS = (0.25, 1.0), (0.2, 0.0)
GAIN, FOLLOWER_DECAY = 0.4, 0.05


def draws(seed):
    rng = np.random.RandomState(seed)
    return [rng.standard_normal(shape) for shape in SHAPES]


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("layouts", ["CCC", "FFF", "CCF", "CFC", "FCC"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("together", [True, False])
def test_scaled_decaying_and_followed(monkeypatch, whole, layouts, momentum, together):
    rates = (0.1, 0.1) if together else (0.1, 0.3)
    monkeypatch.setattr(updates, "CACHE_SIZE", 19 if together else 4)
    blocks, follower = draws(0), np.random.RandomState(1).standard_normal(SHAPES[0])
    of_array, of_direction, of_follower = layouts
    found = [np.array(block, order=of_array) for block in blocks]
    found_follower = np.array(follower, order=of_follower)
    optimizer = SGD(found, HOST, momentum=momentum)
    velocities = [np.zeros(shape) for shape in SHAPES]
    for seed in (2, 3, 4):
        directions = draws(seed)
        moves = [
            BlockUpdate(array, np.array(direction, order=of_direction), rate, scale, decay)
            for array, direction, rate, scale, decay in zip(
                found, directions, rates, SCALES, DECAYS, strict=True
            )
        ]
        moves[0].follower = Follower(found_follower, GAIN, FOLLOWER_DECAY)
        apply_updates(moves, optimizer, whole=whole)
        for i, (block, direction) in enumerate(zip(blocks, directions, strict=True)):
            step = rates[i] * (direction / SCALES[i] - DECAYS[i] * block)
            velocities[i] = step = momentum * velocities[i] + step
            if i == 0:
                follower = follower + GAIN * step - FOLLOWER_DECAY * (follower - GAIN * block)
            blocks[i] = block + step
    for one, other in zip([*blocks, follower], [*found, found_follower], strict=True):
        assert np.abs(one - other).max() < 1e-14


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_slow_decay_comes_to_the_same_round_by_round(whole, dtype):
    # In float32, rounding would swallow each single one of these.
    decay, n_updates = 2e-8, 64 * 300
    array, follower = np.full((2, 3), 2.0, dtype), np.full((2, 3), -1.0, dtype)
    optimizer, nothing = SGD([array], HOST), np.zeros_like(array)
    for _ in range(n_updates):
        move = BlockUpdate(array, nothing, rate=1.0, scale=1.0, decay=0.0)
        move.follower = Follower(follower, 0.5, decay)
        apply_updates([move], optimizer, whole=whole)
    expected = 1 - 2 * (1 - decay) ** n_updates
    assert abs(follower - expected).max() < (3e-5 if dtype == np.float32 else 1e-9)
    assert expected > -1 + 7e-4


def subnormal(array):
    return (array != 0) & (np.abs(array) < np.finfo(array.dtype).tiny)


@pytest.mark.parametrize(
    ("make", "dtype", "n_updates"),
    [
        (lambda blocks: SGD(blocks, HOST, momentum=0.9), np.float32, 3200),
        (lambda blocks: SGD(blocks, HOST, momentum=0.9), np.float64, 19_200),
        (lambda blocks: Adam(blocks, HOST), np.float32, 3200),
    ],
    ids=["sgd", "sgd in float64", "adam"],
)
def test_what_fades_ends_at_zero_and_nothing_else_does(make, dtype, n_updates):
    # One row is never heard of again but for its decay, the other goes on learning.
    array = np.ones((2, 4), dtype=dtype)
    follower = np.ones_like(array)
    optimizer = make([array])
    for update in range(n_updates):
        direction = np.zeros_like(array)
        direction[1] = (-1) ** update
        move = BlockUpdate(array, direction, rate=0.05, scale=1.0, decay=1.0)
        move.follower = Follower(follower, 1.0, 0.05)
        apply_updates([move], optimizer, whole=False)
        if (update + 1) % 64 == 0:
            for numbers in (array, follower, *optimizer.memory_of(0)):
                assert not subnormal(numbers).any()
    assert (array[0] == 0).all()
    assert (follower[0] == 0).all()
    assert (np.abs(array[1]) > 1e-3).all()


def test_an_optimiser_goes_on_counting():
    for momentum in (0.0, 0.9):
        first = SGD([np.ones(3)], HOST, momentum=momentum)
        for _ in range(3):
            first.begin_update()
        memory = first.memory()
        assert SGD([np.ones(3)], HOST, memory, momentum=momentum).n_updates == 3
        # Memory of another kind, of other shapes or with other arrays is of no use.
        assert Adam([np.ones(3)], HOST, memory).n_updates == 0
        assert SGD([np.ones(4)], HOST, memory, momentum=momentum).n_updates == 0
        assert SGD([np.ones(3)], HOST, memory, momentum=0.9 - momentum).n_updates == 0


def test_an_optimiser_of_small_blocks_goes_on_as_one_of_large_blocks(monkeypatch):
    def moved(n_before, n_after):
        found = draws(0)
        optimizer = Adam(found, HOST)
        for number in range(n_before + n_after):
            if number == n_before:
                optimizer = Adam(found, HOST, optimizer.memory())
            moves = [
                BlockUpdate(array, direction, rate=0.1, scale=0.5, decay=0.01)
                for array, direction in zip(found, draws(number), strict=True)
            ]
            apply_updates(moves, optimizer, whole=False)
        return found

    together = moved(3, 4)
    monkeypatch.setattr(updates, "CACHE_SIZE", 4)
    for one, other in zip(together, moved(0, 7), strict=True):
        assert np.abs(one - other).max() < 1e-14
