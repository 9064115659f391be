"""The contract of an optimiser, and one update of every block of parameters."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sklearn_eqprop._backend import Array, ArrayBackend, batches
from sklearn_eqprop._feedback.kolen_pollack import Follower

#: Numbers of each array that are updated together, so that every pass finds them in the cache.
CACHE_SIZE = 2**15
#: Updates per round. Some work is done once per round only.
ROUND = 64
#: `_flush` sets numbers to 0 below this many times the smallest normal number. A number that
#: shrinks by a third per update, faster than Adam's memory and weights do, stays normal until the
#: next round.
FLUSH_BELOW = 2.0**46


class Optimizer(ABC):
    """Turns the direction in which each block should move into a step.

    A new optimiser is a subclass with `step`, imported in `sklearn_eqprop._training`.

    Parameters
    ----------
    blocks : sequence of array
        The blocks of parameters. Only their shapes and types are used.
    backend : ArrayBackend
        Backend of the blocks.
    memory : dict or None, default=None
        Result of `memory` of an earlier optimiser, to continue from. It is ignored if its kind of
        optimiser or its shapes are different.
    momentum : float, default=0.0
        In [0, 1); for optimisers with `uses_momentum`.

    Attributes
    ----------
    name : str
        Value of the parameter ``optimizer`` that chooses it.
    uses_momentum : bool, default=False
        Whether it reads the parameter `momentum`.
    n_updates : int
        Number of updates begun so far.
    """

    name: ClassVar[str]
    uses_momentum: ClassVar[bool] = False

    def __init__(
        self,
        blocks: Sequence[Array],
        backend: ArrayBackend,
        memory: dict[str, Any] | None = None,
        *,
        momentum: float = 0.0,
    ) -> None:
        self._backend = backend
        self._momentum = momentum
        self._shapes = [block.shape for block in blocks]
        self.n_updates = 0
        if memory is not None and self._is_own(memory):
            self.n_updates = memory["n_updates"]
            self._arrays = [
                [backend.from_host(memory[name][index], block.dtype) for name in self.remembers()]
                for index, block in enumerate(blocks)
            ]
        else:
            self._arrays = [
                [backend.xp.zeros_like(block) for _ in self.remembers()] for block in blocks
            ]

    def remembers(self) -> tuple[str, ...]:
        """Names of the arrays that are kept for each block, in its shape. They start as zeros."""
        return ()

    def _is_own(self, memory: dict[str, Any]) -> bool:
        """Whether the memory comes from such an optimiser of such blocks."""
        keys = {"kind", "shapes", "n_updates", *self.remembers()}
        alike = memory["kind"] == self.name and memory["shapes"] == self._shapes
        return alike and memory.keys() == keys

    def begin_update(self) -> None:
        """Count an update; called before the steps of its blocks."""
        self.n_updates += 1

    def memory_of(self, block: int) -> list[Array]:
        """Arrays that are kept for a block, in the order of `remembers`."""
        return self._arrays[block]

    @abstractmethod
    def step(self, memory: Sequence[Array], direction: Array, rate: float) -> Array:
        """Step of a block, or of a piece of it.

        Parameters
        ----------
        memory : sequence of array
            Those of `memory_of`, or pieces of them. They are changed in place.
        direction : array
            Direction of ascent. It may be overwritten, and returned.
        rate : float
            Learning rate.
        """

    def memory(self) -> dict[str, Any]:
        """State of the optimiser, as host arrays and numbers, to continue from later."""
        kept = {
            name: [self._backend.to_host(arrays[index]) for arrays in self._arrays]
            for index, name in enumerate(self.remembers())
        }
        return {"kind": self.name, "shapes": self._shapes, "n_updates": self.n_updates, **kept}


@dataclass
class BlockUpdate:
    """How one block of parameters moves.

    Attributes
    ----------
    array : array
        The parameters.
    direction : array
        Direction in which they should move. It is overwritten.
    rate : float
        Learning rate.
    scale : float
        The direction is divided by this, before the weight decay is added to it.
    decay : float
        Weight decay.
    follower : Follower or None, default=None
        Feedback weights that move together with the block.
    """

    array: Array
    direction: Array
    rate: float
    scale: float
    decay: float
    follower: Follower | None = None


def apply_updates(updates: Sequence[BlockUpdate], optimizer: Optimizer, *, whole: bool) -> None:
    """Move every block by a step of the optimiser, together with the feedback that follows it.

    Parameters
    ----------
    updates : sequence of BlockUpdate
        One for each block of the optimiser, in the same order.
    optimizer : Optimizer
    whole : bool
        True: update whole arrays. This is faster on a device, where each operation costs more than
        the passes over memory. False: update pieces that fit into the cache.
    """
    optimizer.begin_update()
    ends_round = optimizer.n_updates % ROUND == 0
    for block, update in enumerate(updates):
        arrays = [update.array, update.direction, *optimizer.memory_of(block)]
        follower = update.follower
        if follower is not None:
            arrays.append(follower.array)
            decay = follower.decay_due(ROUND if ends_round else 0)
        for array, direction, *others in [arrays] if whole else _pieces(arrays):
            if update.scale != 1:
                direction /= update.scale
            if update.decay:
                direction -= update.decay * array
            following = None if follower is None else others.pop()
            step = optimizer.step(others, direction, update.rate)
            if follower is not None:
                follower.follow(following, array, step, decay)
            array += step
            if ends_round and not whole:
                _flush([array, *others] if follower is None else [array, following, *others])


def _flush(arrays: Sequence[Array]) -> None:
    """Set to 0 the numbers that have nearly faded away.

    Weights of dead units and of inputs that are always 0 fade until they are subnormal, and so does
    the optimiser's memory of them. Products with subnormal numbers can take a hundred times as long
    on a processor. Devices are not slower, and their arrays are not flushed.
    """
    for array in arrays:
        bound = FLUSH_BELOW * float(np.finfo(array.dtype).tiny)
        np.copyto(array, 0, where=np.abs(array) < bound)


def _pieces(arrays: Sequence[Array]) -> Iterator[Sequence[Array]]:
    """Arrays of one shape in pieces of `CACHE_SIZE` numbers, in the order of their memory.

    They stay whole if they are small, or if they are laid out differently in memory.
    """
    if arrays[0].size <= CACHE_SIZE or not share_layout(*arrays):
        yield arrays
        return
    flat = [array.ravel(order="K") for array in arrays]
    for piece in batches(flat[0].shape[0], CACHE_SIZE):
        yield [array[piece] for array in flat]


def share_layout(*arrays: Array) -> bool:
    """Whether arrays of one shape have the same layout in memory, without gaps."""
    flags = [(array.flags.c_contiguous, array.flags.f_contiguous) for array in arrays]
    return all(c for c, _ in flags) or all(f for _, f in flags)
