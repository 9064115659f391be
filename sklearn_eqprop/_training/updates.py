"""The contract of an optimiser, and one update of every block of parameters."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

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


@dataclass
class Chunk:
    """All blocks of a small network side by side, so that an optimiser needs one call for all."""

    #: The arrays that the optimiser keeps, each of shape (n_parameters,).
    memory: list[np.ndarray]
    #: Room for the directions, and then for the steps, shape (n_parameters,).
    direction: np.ndarray
    #: For each block: views of these arrays in its shape.
    memory_views: list[list[np.ndarray]]
    direction_views: list[np.ndarray]

    @classmethod
    def of(cls, blocks: Sequence[np.ndarray], kept: Sequence[Sequence[np.ndarray]]) -> Self:
        """Return room for these blocks that holds copies of what is kept for each of them."""
        size = sum(block.size for block in blocks)
        *memory, direction = (
            np.empty(size, dtype=blocks[0].dtype) for _ in range(len(kept[0]) + 1)
        )
        views = [_views(flat, blocks) for flat in memory]
        of_block = [[of_flat[index] for of_flat in views] for index in range(len(blocks))]
        for own_views, arrays in zip(of_block, kept, strict=True):
            for view, array in zip(own_views, arrays, strict=True):
                view[...] = array
        return cls(memory, direction, of_block, _views(direction, blocks))


def _views(flat: np.ndarray, blocks: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Views of consecutive parts of an array in the shapes and memory orders of the blocks."""
    views, start = [], 0
    for block in blocks:
        part = flat[start : start + block.size]
        views.append(part.reshape(block.shape, order="C" if block.flags.c_contiguous else "F"))
        start += block.size
    return views


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
        In [0, 1); for optimisers that use it.

    Attributes
    ----------
    name : str
        Value of the parameter ``optimizer`` that chooses it.
    normalises : bool, default=False
        Whether the size of its steps is about the learning rate, however large the gradients are.
    n_updates : int
        Number of updates begun so far.
    chunk : Chunk or None
        If all blocks together are small: the room for taking all steps at once.
    """

    name: ClassVar[str]
    normalises: ClassVar[bool] = False

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
        self.chunk = None
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
        if not backend.is_device and 0 < sum(block.size for block in blocks) <= CACHE_SIZE:
            self.chunk = Chunk.of(blocks, self._arrays)
            self._arrays = self.chunk.memory_views

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
    """How one block of parameters moves."""

    array: Array
    #: Direction in which they should move. It is overwritten.
    direction: Array
    rate: float
    #: The direction is divided by this, before the weight decay is added to it.
    scale: float
    decay: float
    #: Feedback weights that move together with the block.
    follower: Follower | None = None


def apply_updates(updates: Sequence[BlockUpdate], optimizer: Optimizer, *, whole: bool) -> None:
    """Move every block by a step of the optimiser, together with the feedback that follows it.

    The updates have the order of the optimiser's blocks. With `whole` they are taken in one piece:
    this is faster on a device, where each operation costs more than the passes over memory. Without
    it, they are taken in pieces that fit into the cache.
    """
    optimizer.begin_update()
    ends_round = optimizer.n_updates % ROUND == 0
    if optimizer.chunk is not None and len({update.rate for update in updates}) == 1:
        _move_together(updates, optimizer, optimizer.chunk, ends_round=ends_round)
        return
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


def _move_together(
    updates: Sequence[BlockUpdate], optimizer: Optimizer, chunk: Chunk, *, ends_round: bool
) -> None:
    """As `apply_updates`, with one step for all blocks. They have the same learning rate."""
    for update, direction in zip(updates, chunk.direction_views, strict=True):
        np.divide(update.direction, update.scale, out=direction)
        if update.decay:
            direction -= update.decay * update.array
    step = optimizer.step(chunk.memory, chunk.direction, updates[0].rate)
    if step is not chunk.direction:
        chunk.direction[...] = step
    for update, own_step in zip(updates, chunk.direction_views, strict=True):
        if update.follower is not None:
            decay = update.follower.decay_due(ROUND if ends_round else 0)
            update.follower.follow(update.follower.array, update.array, own_step, decay)
        update.array += own_step
    if ends_round:
        followers = [update.follower.array for update in updates if update.follower is not None]
        _flush([*(update.array for update in updates), *followers, *chunk.memory])


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
