"""Optimisers: from the direction a block should move in to the step it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from sklearn_eqprop._backend.array_backend import Array

BETA_1 = 0.9
BETA_2 = 0.999
EPSILON = 1e-8

#: Entries of a memory that are arrays.
MOVED = ("velocities", "means", "squares")


class Optimizer(Protocol):
    """Turns directions of ascent into steps, block by block and piece by piece.

    Attributes
    ----------
    n_updates : int
        Updates begun so far.
    """

    n_updates: int

    def begin_update(self) -> None:
        """Call before the steps of every update."""
        ...

    def memory_of(self, block: int) -> list[Array]:
        """What is remembered of a block, in arrays of its shape."""
        ...

    def step(self, memory: Sequence[Array], direction: Array, rate: float) -> Array:
        """Step of a block or a piece of it; may work in the arrays it is given."""
        ...

    def memory(self) -> dict[str, Any]:
        """Everything it remembers, to go on later as if never interrupted."""
        ...


class PlainSteps:
    """The step is rate · direction, and nothing is remembered: SGD without momentum.

    Parameters
    ----------
    memory : dict or None, default=None
        What an earlier optimiser remembered; passed over if it was of another kind.
    """

    def __init__(self, memory: dict[str, Any] | None = None) -> None:
        self.n_updates: int = (
            memory["n_updates"] if memory is not None and _fits(memory, "plain", []) else 0
        )

    def begin_update(self) -> None:
        """See `Optimizer.begin_update`."""
        self.n_updates += 1

    def memory_of(self, block: int) -> list[Array]:
        """See `Optimizer.memory_of`."""
        return []

    def step(self, memory: Sequence[Array], direction: Array, rate: float) -> Array:
        """See `Optimizer.step`."""
        direction *= rate
        return direction

    def memory(self) -> dict[str, Any]:
        """See `Optimizer.memory`."""
        return {"kind": "plain", "shapes": [], "n_updates": self.n_updates}


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
        if memory is not None and _fits(memory, "sgd", parameters):
            self.n_updates: int = memory["n_updates"]
            self._velocities = memory["velocities"]
        else:
            self.n_updates = 0
            self._velocities = [xp.zeros_like(block) for block in parameters]

    def begin_update(self) -> None:
        """See `Optimizer.begin_update`."""
        self.n_updates += 1

    def memory_of(self, block: int) -> list[Array]:
        """See `Optimizer.memory_of`."""
        return [self._velocities[block]]

    def step(self, memory: Sequence[Array], direction: Array, rate: float) -> Array:
        """See `Optimizer.step`."""
        [velocity] = memory
        velocity *= self._momentum
        direction *= rate
        velocity += direction
        return velocity

    def memory(self) -> dict[str, Any]:
        """See `Optimizer.memory`."""
        return {
            "kind": "sgd",
            "shapes": _shapes(self._velocities),
            "n_updates": self.n_updates,
            "velocities": self._velocities,
        }


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
        self._correction = 1.0
        if memory is not None and _fits(memory, "adam", parameters):
            self.n_updates: int = memory["n_updates"]
            self._means, self._squares = memory["means"], memory["squares"]
        else:
            self.n_updates = 0
            self._means = [xp.zeros_like(block) for block in parameters]
            self._squares = [xp.zeros_like(block) for block in parameters]

    def begin_update(self) -> None:
        """See `Optimizer.begin_update`."""
        self.n_updates += 1
        # Kept as sums that fade, m / (1 - β_1) and v / (1 - β_2), moments take fewer passes.
        self._correction = (1 - BETA_2**self.n_updates) ** 0.5 / (1 - BETA_1**self.n_updates)
        self._correction *= (1 - BETA_1) / (1 - BETA_2) ** 0.5

    def memory_of(self, block: int) -> list[Array]:
        """See `Optimizer.memory_of`."""
        return [self._means[block], self._squares[block]]

    def step(self, memory: Sequence[Array], direction: Array, rate: float) -> Array:
        """See `Optimizer.step`; it takes the place of the direction."""
        xp, (mean, square) = self._xp, memory
        rate *= self._correction
        epsilon = EPSILON / (1 - BETA_2) ** 0.5
        if self._fused is not None and lie_alike(mean, square, direction):
            self._fused(mean, square, direction, BETA_1, BETA_2, epsilon, rate)
            return direction
        mean *= BETA_1
        mean += direction
        square *= BETA_2
        xp.multiply(direction, direction, out=direction)
        square += direction
        xp.sqrt(square, out=direction)
        direction += epsilon
        xp.divide(mean, direction, out=direction)
        direction *= rate
        return direction

    def memory(self) -> dict[str, Any]:
        """See `Optimizer.memory`."""
        return {
            "kind": "adam",
            "shapes": _shapes(self._means),
            "n_updates": self.n_updates,
            "means": self._means,
            "squares": self._squares,
        }


def moved_memory(memory: dict[str, Any], move: Callable[[Array], Array]) -> dict[str, Any]:
    """What an optimiser remembers with every array moved, to the host or to a device."""
    return {
        name: [move(part) for part in value] if name in MOVED else value
        for name, value in memory.items()
    }


def lie_alike(*arrays: Array) -> bool:
    """Whether arrays of one shape lie in memory alike, without gaps."""
    flags = [(array.flags.c_contiguous, array.flags.f_contiguous) for array in arrays]
    return all(c for c, _ in flags) or all(f for _, f in flags)


def _shapes(blocks: Sequence[Array]) -> list[tuple[int, ...]]:
    return [block.shape for block in blocks]


def _fits(memory: dict[str, Any], kind: str, parameters: Sequence[Array]) -> bool:
    """Whether a memory is of this kind of optimiser and these blocks; another is of no use."""
    return memory["kind"] == kind and memory["shapes"] == _shapes(parameters)
