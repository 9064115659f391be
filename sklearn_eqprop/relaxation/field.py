"""The vector field a batch of samples settles in: a network, its clamped input, a push."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sklearn_eqprop.backend.array_backend import Array, ArrayBackend
from sklearn_eqprop.network import Network


class Push(Protocol):
    """An external force on the output layer, β times minus the cost's derivative (Eqs. 13-16)."""

    def force(self, output: Array) -> Array:
        """Force at the given output states, -β ∂C/∂s."""
        ...

    def resolve(self, drive: Array, output: Array) -> Array:
        """Output state at which ``drive + force - s`` vanishes, starting from `output`."""
        ...

    def take(self, rows: Array) -> Push:
        """The same push for some of the samples."""
        ...


class Field:
    """μ^β for a batch: ``μ_l = drive_l - s_l``, plus the push on the output layer.

    Parameters
    ----------
    network : Network
    clamped : list of array
        Constant part of every layer's drive, from `Network.clamp`.
    n_samples : int
    push : Push or None
        None in the free phase.
    n_phases : int, default=1
        Phases of the same samples stacked one below the other. They stop together: what they
        have not settled is then common to all, and cancels in their difference.
    """

    def __init__(
        self,
        network: Network,
        clamped: Sequence[Array],
        n_samples: int,
        push: Push | None = None,
        n_phases: int = 1,
    ) -> None:
        self.network = network
        self.clamped = clamped
        self.n_samples = n_samples
        self.push = push
        self.n_phases = n_phases

    @property
    def backend(self) -> ArrayBackend:
        """Where the arrays live."""
        return self.network.backend

    def drive(self, layer: int, rates: Sequence[Array | None]) -> Array:
        """Drive of one layer, given every layer's rates."""
        return self.network.drive(layer, rates, self.clamped)

    def is_pushed(self, layer: int) -> bool:
        """Whether a push acts on this layer."""
        return self.push is not None and layer == self.network.n_layers

    def rest_state(self, layer: int, drive: Array, state: Array) -> Array:
        """State in which a layer would rest if its drive stayed as it is.

        Without a push that is the drive, kept in range; it is worked out in place.
        """
        if self.push is not None and self.is_pushed(layer):
            return self.push.resolve(drive, state)
        return self.network.project(layer, drive)

    def velocity(self, layer: int, drive: Array, state: Array) -> Array:
        """μ_l^β = drive_l - s_l (+ force at the output), a fresh array."""
        velocity = drive - state
        if self.push is not None and self.is_pushed(layer):
            velocity += self.push.force(state)
        return velocity

    def residual(self, layer: int, drive: Array, state: Array) -> Array:
        """Largest ``|clip(s + μ^β) - s|`` of each sample in one layer."""
        moved = self.velocity(layer, drive, state)
        moved += state
        self.network.project(layer, moved)
        moved -= state
        return self.backend.row_max_abs(moved)

    def full_residual(self, states: Sequence[Array]) -> Array:
        """Largest residual of each sample over all layers, every layer at the given states."""
        rates = self.network.rates(states)
        total = None
        for layer, state in enumerate(states, start=1):
            residual = self.residual(layer, self.drive(layer, rates), state)
            total = residual if total is None else self.backend.xp.maximum(total, residual)
        return total

    def take(self, rows: Array) -> Field:
        """The same field for some of the samples, chosen by a mask or by indices."""
        clamped = [part[rows] if part.ndim > 1 else part for part in self.clamped]
        push = None if self.push is None else self.push.take(rows)
        return Field(self.network, clamped, clamped[0].shape[0], push, self.n_phases)
