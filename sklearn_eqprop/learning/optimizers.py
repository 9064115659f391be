"""Optimisers: from the direction each block should move in to the step it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from sklearn_eqprop.backend.array_backend import Array

BETA_1 = 0.9
BETA_2 = 0.999
EPSILON = 1e-8
#: Numbers worked on at a time: each pass over them then finds them in the cache.
CACHE_SIZE = 2**15

#: Entries of a memory that are arrays.
MOVED = ("velocities", "means", "squares")


class Optimizer(Protocol):
    """Turns directions of ascent into steps, block by block."""

    def steps(self, directions: Sequence[Array], rates: Sequence[float]) -> list[Array]:
        """Step of each block; may work in the arrays it is given."""
        ...

    def memory(self) -> dict[str, Any]:
        """Everything it remembers, to go on later as if never interrupted."""
        ...


class SGD:
    """velocity <- momentum · velocity + rate · direction; the step is the velocity.

    Parameters
    ----------
    parameters : sequence of array
        The blocks, for their shapes.
    momentum : float
        In [0, 1).
    xp : module
        Array module.
    memory : dict or None
        What an earlier optimiser remembered; passed over if it was of another kind.
    """

    def __init__(
        self,
        parameters: Sequence[Array],
        momentum: float,
        xp: Any,
        memory: dict[str, Any] | None = None,
    ) -> None:
        self._momentum = momentum
        self._velocities = (
            memory["velocities"]
            if memory is not None and _fits(memory, "sgd", parameters)
            else [xp.zeros_like(block) for block in parameters]
        )

    def steps(self, directions: Sequence[Array], rates: Sequence[float]) -> list[Array]:
        """See `Optimizer.steps`."""
        for velocity, direction, rate in zip(self._velocities, directions, rates, strict=True):
            velocity *= self._momentum
            direction *= rate
            velocity += direction
        return self._velocities

    def memory(self) -> dict[str, Any]:
        """See `Optimizer.memory`."""
        return {"kind": "sgd", "shapes": _shapes(self._velocities), "velocities": self._velocities}


class Adam:
    """Kingma & Ba (2015), with the constants scikit-learn's MLP uses by default.

    Parameters
    ----------
    parameters : sequence of array
        The blocks, for their shapes.
    xp : module
        Array module.
    memory : dict or None
        What an earlier optimiser remembered; passed over if it was of another kind.
    fused : callable or None, default=None
        ``fused(mean, square, direction, β_1, β_2, ε, rate)``, a step in one pass where the backend
        has one.
    """

    def __init__(
        self,
        parameters: Sequence[Array],
        xp: Any,
        memory: dict[str, Any] | None = None,
        fused: Callable[..., None] | None = None,
    ) -> None:
        self._xp = xp
        self._fused = fused
        if memory is not None and _fits(memory, "adam", parameters):
            self._n_updates = memory["n_updates"]
            self._means, self._squares = memory["means"], memory["squares"]
        else:
            self._n_updates = 0
            self._means = [xp.zeros_like(block) for block in parameters]
            self._squares = [xp.zeros_like(block) for block in parameters]

    def steps(self, directions: Sequence[Array], rates: Sequence[float]) -> list[Array]:
        """See `Optimizer.steps`."""
        self._n_updates += 1
        correction = (1 - BETA_2**self._n_updates) ** 0.5 / (1 - BETA_1**self._n_updates)
        correction *= (1 - BETA_1) / (1 - BETA_2) ** 0.5
        for mean, square, direction, rate in zip(
            self._means, self._squares, directions, rates, strict=True
        ):
            if self._fused is not None and _lie_alike(mean, square, direction):
                fades = (BETA_1, BETA_2, EPSILON / (1 - BETA_2) ** 0.5)
                self._fused(mean, square, direction, *fades, rate * correction)
                continue
            for mean_part, square_part, part in _parts(mean, square, direction):
                self._step(mean_part, square_part, part, rate * correction)
        return list(directions)

    def _step(self, mean: Array, square: Array, direction: Array, rate: float) -> None:
        """Update the moments; the step takes the place of the direction.

        Kept as sums that fade, m / (1 - β_1) and v / (1 - β_2), moments take fewer passes.
        """
        xp = self._xp
        mean *= BETA_1
        mean += direction
        square *= BETA_2
        xp.multiply(direction, direction, out=direction)
        square += direction
        xp.sqrt(square, out=direction)
        direction += EPSILON / (1 - BETA_2) ** 0.5
        xp.divide(mean, direction, out=direction)
        direction *= rate

    def memory(self) -> dict[str, Any]:
        """See `Optimizer.memory`."""
        return {
            "kind": "adam",
            "shapes": _shapes(self._means),
            "n_updates": self._n_updates,
            "means": self._means,
            "squares": self._squares,
        }


def moved_memory(memory: dict[str, Any], move: Callable[[Array], Array]) -> dict[str, Any]:
    """What an optimiser remembers with every array moved, to the host or to a device."""
    return {
        name: [move(part) for part in value] if name in MOVED else value
        for name, value in memory.items()
    }


def _parts(*arrays: Array) -> Iterator[Sequence[Array]]:
    """Arrays of one shape, piece by piece as they lie in memory; whole if they lie differently."""
    if not _lie_alike(*arrays):
        yield arrays
        return
    flat = [array.ravel(order="K") for array in arrays]
    for start in range(0, flat[0].shape[0], CACHE_SIZE):
        yield [array[start : start + CACHE_SIZE] for array in flat]


def _lie_alike(*arrays: Array) -> bool:
    """Whether arrays of one shape lie in memory alike, without gaps."""
    flags = [(array.flags.c_contiguous, array.flags.f_contiguous) for array in arrays]
    return all(c for c, _ in flags) or all(f for _, f in flags)


def _shapes(blocks: Sequence[Array]) -> list[tuple[int, ...]]:
    return [block.shape for block in blocks]


def _fits(memory: dict[str, Any], kind: str, parameters: Sequence[Array]) -> bool:
    """Whether a memory is of this kind of optimiser and these blocks; another is of no use."""
    return memory["kind"] == kind and memory["shapes"] == _shapes(parameters)
