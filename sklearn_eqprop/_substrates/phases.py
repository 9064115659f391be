"""Settled free phases, pushes on the output, tolerances relative to them, and repeated phases."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any, cast

import numpy as np

from sklearn_eqprop._backend.array_backend import Array, ArrayBackend
from sklearn_eqprop._losses.base import HeldForce, Loss
from sklearn_eqprop._network import Network
from sklearn_eqprop._relaxation import Field, Origin, Result, is_small
from sklearn_eqprop._substrates.limits import ROUNDING_UNITS

#: While training, one of so many phases is measured. The others repeat its number of steps.
MEASURE_EVERY = 5


@dataclass
class FreePhase:
    """A free equilibrium and the inputs that it belongs to.

    Attributes
    ----------
    inputs : array, or CSR array on the host, of shape (n_samples, n_features)
    result : Result
        The learner reads the output of its ``states``, for the loss. It passes all of them back to
        the substrate in `Substrate.local_change`.
    """

    inputs: Array
    result: Result

    def loss(self, xp: Any, loss: Loss, target: Array) -> Array:
        """C of each sample at the free equilibrium, shape (n_samples,)."""
        return loss.value(xp, self.result.states[-1], target)

    def force(self, xp: Any, loss: Loss, target: Array) -> Array:
        """-∂C/∂s_L at the free equilibrium, shape (n_samples, n_outputs)."""
        return loss.force(xp, self.result.states[-1], target)


@dataclass
class SimulatedFreePhase(FreePhase):
    """A free phase of a simulated network."""

    #: The network with the winners held that the inputs decide on.
    driven: Network

    @cached_property
    def network(self) -> Network:
        """The network with the winners of its max pooling held at this equilibrium."""
        return self.driven.hold(self.result.states)


def network_at(free: FreePhase) -> Network:
    """The network at the equilibrium of a simulated free phase, with its winners held."""
    return cast("SimulatedFreePhase", free).network


def nudged_states(free: FreePhase, displacement: Result) -> Result:
    """Result of a nudged phase with its states, s^0 + d, in place of its displacements."""
    states = [s + d for s, d in zip(free.result.states, displacement.states, strict=True)]
    return replace(displacement, states=states)


@dataclass(eq=False)
class Nudge:
    """The push β (-∂C/∂s_L) on the output of every sample (Eqs. 13-16, Scellier et al. 2018)."""

    loss: Loss
    target: Array
    #: Influence parameter; if phases are stacked, one per sample, shape (n_samples, 1).
    beta: Any
    #: Output states that displacements are measured from; 0 if outputs are states themselves.
    origin: Any
    xp: Any

    def __post_init__(self) -> None:
        self._size = size_of(self.xp, self.beta)

    def velocity(self, drive: Array, output: Array) -> Array:
        arguments = (drive, output, self.origin, self.target, self.beta)
        return without_faint(self.xp, self.loss.velocity(self.xp, *arguments), self._size)

    def resolve(self, drive: Array, output: Array) -> Array:
        arguments = (drive, output, self.origin, self.target, self.beta)
        return without_faint(self.xp, self.loss.resolve(self.xp, *arguments), self._size)

    def take(self, rows: Array) -> Nudge:
        def of(value: Any) -> Any:
            return value[rows] if hasattr(value, "shape") else value

        return Nudge(self.loss, self.target[rows], of(self.beta), of(self.origin), self.xp)


def held_push(force: Array, xp: Any) -> Nudge:
    """A push by a force that does not depend on the output."""
    return Nudge(HeldForce(), force, 1.0, 0.0, xp)


@cache
def faintest(dtype: Any, beta: float = 1.0) -> float:
    """Smallest push of the output that is not set to 0; the square of a smaller one underflows.

    A β below 1 makes all pushes small, so the limit shrinks with it, down to the smallest normal
    number.
    """
    tiny = float(np.finfo(dtype).tiny)
    return max(math.sqrt(tiny) * min(abs(beta), 1.0), tiny)


def without_faint(xp: Any, push: Array, beta: float = 1.0) -> Array:
    """A push of the output, or the displacement it caused, with tiny numbers set to 0.

    Well-fitted samples get tiny nudges, which weak feedback shrinks further. They become subnormal
    numbers, which are slow on some processors. Devices have no such problem and skip this.
    """
    return push if xp is not np else np.where(np.abs(push) < faintest(push.dtype, beta), 0, push)


def size_of(xp: Any, beta: Any) -> float:
    """Largest ``|β|`` of the samples, for `without_faint`; 1 on a device, which is not read."""
    if isinstance(beta, float):
        return abs(beta)
    return float(np.abs(beta).max()) if xp is np else 1.0


def stacked(free: FreePhase, origin: Origin, n_phases: int) -> tuple[Origin, Network]:
    """A free equilibrium and its network for several phases of the same samples, as rows."""
    network = network_at(free)
    xp = network.backend.xp

    def repeated(array: Array) -> Array:
        return xp.concatenate([array] * n_phases)

    return origin.each(repeated), network.each(repeated)


def stacked_strengths(network: Network, strengths: Sequence[float], n_samples: int) -> Array:
    """β of every row if phases of the same samples are stacked, shape (n_rows, 1)."""
    xp = network.backend.xp
    columns = [xp.full((n_samples, 1), strength, dtype=network.dtype) for strength in strengths]
    return xp.concatenate(columns)


def relative_tolerance(
    backend: ArrayBackend, tolerance: float, force: Array, beta: float = 1.0
) -> Array:
    """Tolerance of each sample in a second phase, relative to the force on its output.

    The force has β in it. A tolerance below the rounding error is raised to that.
    """
    size = backend.row_max_abs(force)
    rounding = ROUNDING_UNITS * float(backend.xp.finfo(size.dtype).eps)
    size *= max(tolerance, rounding)
    # Without a force, staying at zero is right.
    size += 4 * faintest(size.dtype, beta)
    return size


class Habit:
    """Number of steps of phases that need about as many as the last one did.

    A phase that does not settle is not repeated: the next one is measured, too.

    Parameters
    ----------
    any_size : bool, default=False
        Whether phases of large batches are repeated, too.
    """

    def __init__(self, *, any_size: bool = False) -> None:
        self._any_size = any_size
        self._n_steps = self._n_left = 0
        self._are_alike = False

    def known_steps(self, field: Field) -> int:
        """Number of steps of the next phase; 0: it has to be measured.

        In a large batch, samples that settle early leave it. That is worth the measurement, unless
        all samples have needed the same number of steps.
        """
        repeats = self._any_size or self._are_alike or is_small(field, field.n_samples)
        if self._n_left == 0 or not repeats:
            return 0
        self._n_left -= 1
        return self._n_steps

    def learn(self, result: Result) -> None:
        """Note a phase that was measured."""
        self._n_steps = int(result.n_steps.max(initial=0))
        self._are_alike = bool((result.n_steps == self._n_steps).all())
        self._n_left = MEASURE_EVERY - 1 if result.converged.all() else 0
