"""One update of every block of parameters, in as few passes over memory as there can be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sklearn_eqprop._backend import Array, batches
from sklearn_eqprop._feedback.following import follow
from sklearn_eqprop._training.optimizers import Optimizer, lie_alike

#: Numbers of each array worked on at a time: all that is done to them finds them in the cache.
CACHE_SIZE = 2**15

#: Updates from one round to the next of what need not be done in each.
ROUND = 64
#: What counts as nothing in `_flush`, in units of the smallest normal number: what fades by a
#: third an update, faster than Adam's memory and weights do, stays normal from round to round.
NOTHING = 2.0**46
#: Decay of a follower that waits for the end of the round, for all of its updates: next to nothing
#: even then. In float32 rounding lets more of it through than update by update, if not all.
SLOW_DECAY = 1e-6


@dataclass
class Follower:
    """Feedback weights that copy what the forward weights beside them do, see `follow`.

    Attributes
    ----------
    array : array
        In the shape of the forward weights.
    gain : float
    decay : float
        Of an update.
    """

    array: Array
    gain: float
    decay: float

    def decay_due(self, *, ends_round: bool) -> float:
        """What to let it decay by in this update: slow decay comes once a round."""
        if self.decay > SLOW_DECAY:
            return self.decay
        return ROUND * self.decay if ends_round else 0.0


@dataclass
class BlockUpdate:
    """How one block of parameters moves.

    Attributes
    ----------
    array : array
        The parameters.
    direction : array
        Where they should move; used up.
    rate : float
    scale : float
        What the direction is divided by, before the weights' own decay is added to it.
    decay : float
    follower : Follower or None, default=None
    """

    array: Array
    direction: Array
    rate: float
    scale: float
    decay: float
    follower: Follower | None = None


def apply_updates(updates: Sequence[BlockUpdate], optimizer: Optimizer, *, whole: bool) -> None:
    """Move every block by a step of the optimiser, and with it the feedback that follows.

    Parameters
    ----------
    updates : sequence of BlockUpdate
        One for each block that the optimiser was made for, in the same order.
    optimizer : Optimizer
    whole : bool
        Work on whole arrays, where each operation costs more than the passes over memory.
    """
    optimizer.begin_update()
    ends_round = optimizer.n_updates % ROUND == 0
    for block, update in enumerate(updates):
        arrays = [update.array, update.direction, *optimizer.memory_of(block)]
        follower = update.follower
        if follower is not None:
            arrays.append(follower.array)
        for array, direction, *others in [arrays] if whole else _pieces(arrays):
            if update.scale != 1:
                direction /= update.scale
            if update.decay:
                direction -= update.decay * array
            following = None if follower is None else others.pop()
            step = optimizer.step(others, direction, update.rate)
            if follower is not None:
                decay = follower.decay_due(ends_round=ends_round)
                follow(following, array, step, follower.gain, decay)
            array += step
            if ends_round and not whole:
                _flush([array, *others] if follower is None else [array, following, *others])


def _flush(arrays: Sequence[Array]) -> None:
    """Set to 0 what has all but faded away.

    Weights of units that died and of inputs that are always 0, and what an optimiser remembers of
    them, fade until they are subnormal, and never end there. Processors take up to a hundred
    times as long for products with such numbers. A device does not, and has nothing to flush.
    """
    for array in arrays:
        bound = NOTHING * float(np.finfo(array.dtype).tiny)
        np.copyto(array, 0, where=np.abs(array) < bound)


def _pieces(arrays: Sequence[Array]) -> Iterator[Sequence[Array]]:
    """Arrays of one shape, piece by piece as they lie in memory; whole if they lie differently.

    Or if they are one piece.
    """
    if arrays[0].size <= CACHE_SIZE or not lie_alike(*arrays):
        yield arrays
        return
    flat = [array.ravel(order="K") for array in arrays]
    for piece in batches(flat[0].shape[0], CACHE_SIZE):
        yield [array[piece] for array in flat]
