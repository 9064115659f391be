"""Updates in pieces against the formulas, written out for whole arrays."""

import numpy as np
import pytest

from sklearn_eqprop.learning import updates
from sklearn_eqprop.learning.optimizers import SGD, PlainSteps
from sklearn_eqprop.learning.updates import BlockUpdate, Follower, apply_updates

SHAPES = [(5, 3), (4,)]
RATES, SCALES, DECAYS = (0.1, 0.3), (0.25, 1.0), (0.2, 0.0)
GAIN, FOLLOWER_DECAY = 0.4, 0.05


def draws(seed):
    rng = np.random.RandomState(seed)
    return [rng.standard_normal(shape) for shape in SHAPES]


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("layouts", ["CCC", "FFF", "CCF", "CFC", "FCC"])
@pytest.mark.parametrize("momentum", [None, 0.0, 0.9])
def test_scaled_decaying_and_followed(monkeypatch, whole, layouts, momentum):
    monkeypatch.setattr(updates, "CACHE_SIZE", 4)
    blocks, follower = draws(0), np.random.RandomState(1).standard_normal(SHAPES[0])
    of_array, of_direction, of_follower = layouts
    found = [np.array(block, order=of_array) for block in blocks]
    found_follower = np.array(follower, order=of_follower)
    optimizer = PlainSteps() if momentum is None else SGD(found, momentum, np)
    velocities = [np.zeros(shape) for shape in SHAPES]
    for seed in (2, 3, 4):
        directions = draws(seed)
        moves = [
            BlockUpdate(array, np.array(direction, order=of_direction), rate, scale, decay)
            for array, direction, rate, scale, decay in zip(
                found, directions, RATES, SCALES, DECAYS, strict=True
            )
        ]
        moves[0].follower = Follower(found_follower, GAIN, FOLLOWER_DECAY)
        apply_updates(moves, optimizer, whole=whole)
        for i, (block, direction) in enumerate(zip(blocks, directions, strict=True)):
            step = RATES[i] * (direction / SCALES[i] - DECAYS[i] * block)
            velocities[i] = step = (momentum or 0.0) * velocities[i] + step
            if i == 0:
                follower = follower + GAIN * step - FOLLOWER_DECAY * (follower - GAIN * block)
            blocks[i] = block + step
    for one, other in zip([*blocks, follower], [*found, found_follower], strict=True):
        assert np.abs(one - other).max() < 1e-14
