"""Vector fields that a batch of samples settles in: of states, and of displacements.

A nudged equilibrium s^β and the free one s^0 differ by β Π γ in a layer that feedback reaches
through many loops. This is less than the rounding of s itself. Nudged phases therefore settle in
the coordinate d = s^β - s^0: the free equilibrium is its origin, and no large numbers are
subtracted. The dynamics and the fixed points stay those of the paper.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from sklearn_eqprop._backend.array_backend import Array, ArrayBackend
from sklearn_eqprop._network import Network


class Push(Protocol):
    """An external force on the output layer, -β ∂C/∂s (Eqs. 13-16, Scellier et al. 2018)."""

    def velocity(self, drive: Array, output: Array) -> Array:
        """``drive + force - s`` at the given output states; a fresh array."""

    def resolve(self, drive: Array, output: Array) -> Array:
        """Output state at which ``drive + force - s`` vanishes; the search starts at `output`."""

    def take(self, rows: Array) -> Push:
        """The same push for some of the samples."""


class Field(ABC):
    """A vector field ``drive_l - s_l`` (+ a push on the output) over the layers of a network.

    Relaxations use the methods below and nothing else. A *signal* is the value that a layer sends
    to the others. Only the field that made a signal looks into it.

    A subclass is a dataclass with the first five attributes as fields.
    """

    network: Network
    #: Number of rows of every state.
    n_samples: int
    push: Push | None
    #: Number of phases of the same samples that are stacked as rows. The phases of a sample stop
    #: together.
    n_phases: int = 1
    #: Part of each layer's residual that is rounding and does not count, one number per sample.
    #: None, for a layer or for all: the whole residual counts.
    allowances: Sequence[Array | None] | None
    #: Where the arrays live.
    backend: ArrayBackend
    #: Number of layers that have a state.
    n_layers: int

    def __post_init__(self) -> None:
        self.backend = self.network.backend
        self.n_layers = self.network.n_layers

    @abstractmethod
    def signal(self, layer: int, state: Array) -> Any:
        """Value that a layer sends to the layers it is connected with."""

    @abstractmethod
    def constant(self, layer: int) -> Array | None:
        """The part of a layer's drive that does not change; do not write to it. None: 0."""

    @abstractmethod
    def bounds(self, layer: int) -> tuple[Any, Any]:
        """Range of a layer's state: a number or an array for each side, None for an open side."""

    @abstractmethod
    def take(self, rows: Array) -> Field:
        """The same field for some of the samples, chosen by a mask or by indices."""

    def inflow(self, layer: int, signals: Sequence[Any], sources: range) -> Array | None:
        """Sum that the layers in `sources` send into a layer, a fresh array; None: no connection.

        A signal that is None is silent and costs no product.
        """
        return self.network.inflow(layer, signals, sources)

    def measured(self, layer: int, size: Array) -> Array:
        """Part of one layer's largest magnitudes, one per sample, that counts as residual."""
        allowance = None if self.allowances is None else self.allowances[layer - 1]
        return size if allowance is None else self.backend.xp.maximum(size - allowance, 0)

    def size(self, layer: int, difference: Array) -> Array:
        """Largest magnitude of each sample in one layer; overwrites `difference`."""
        return self.measured(layer, self.backend.row_max_abs(difference, overwrite=True))

    def project(self, layer: int, state: Array, out: Array | None = None) -> Array:
        """A layer's state clipped to its range, in `out` or in a fresh array."""
        return self.backend.project(state, *self.bounds(layer), out)

    def drive(self, layer: int, signals: Sequence[Any]) -> Array:
        """Drive of one layer, given every layer's signal; a fresh array."""
        inflow = self.inflow(layer, signals, range(1, self.n_layers + 1))
        return self.total(layer, inflow, self.constant(layer))

    def total(self, layer: int, inflow: Array | None, constant: Array | None) -> Array:
        """Sum of two parts of a drive, a fresh array or `inflow` itself."""
        if inflow is None:
            return self.zeros(layer) if constant is None else constant + self.zeros(layer)
        if constant is not None:
            inflow += constant
        return inflow

    def zeros(self, layer: int) -> Array:
        """Zero state of one layer."""
        shape = (self.n_samples, self.network.layer_sizes[layer - 1])
        return self.backend.xp.zeros(shape, dtype=self.network.dtype)

    def zero_states(self) -> list[Array]:
        """Zero state of every layer."""
        return [self.zeros(layer) for layer in range(1, self.n_layers + 1)]

    def signals(self, states: Sequence[Array]) -> list[Any]:
        """Signal of every layer."""
        return [self.signal(layer, state) for layer, state in enumerate(states, start=1)]

    def is_pushed(self, layer: int) -> bool:
        """Whether a push acts on this layer."""
        return self.push is not None and layer == self.n_layers

    def rest_state(self, layer: int, drive: Array, state: Array, out: Array | None = None) -> Array:
        """State at which a layer would settle if its drive stayed constant.

        A fresh array or `out`, which may be `drive`.
        """
        if self.push is not None and layer == self.n_layers:
            # Losses of bounded outputs act on each output alone: clipping gives the equilibrium.
            drive = out = self.push.resolve(drive, state)
        return self.project(layer, drive, out)

    def velocity(self, layer: int, drive: Array, state: Array) -> Array:
        """drive_l - s_l (+ force at the output), a fresh array."""
        if self.push is not None and layer == self.n_layers:
            return self.push.velocity(drive, state)
        return drive - state

    def residual(self, layer: int, drive: Array, state: Array) -> Array:
        """Largest ``|clip(drive (+ force)) - s|`` of each sample in one layer."""
        if self.push is not None and layer == self.n_layers:
            moved = self.push.velocity(drive, state)
            moved += state
            self.project(layer, moved, out=moved)
            moved -= state
            return self.size(layer, moved)
        return self.measured(layer, self.backend.row_residual(drive, state, *self.bounds(layer)))


@dataclass(eq=False)
class FreeField(Field):
    """μ of Eq. 1 for a batch of clamped inputs; with a push, μ^β.

    `clamped` is the constant part of every layer's drive, from `Network.clamp`.
    """

    network: Network
    clamped: Sequence[Array]
    n_samples: int
    push: Push | None = None
    allowances: Sequence[Array | None] | None = None

    def signal(self, layer: int, state: Array) -> Any:
        return self.network.signal(layer, state)

    def constant(self, layer: int) -> Array | None:
        return self.clamped[layer - 1]

    def bounds(self, layer: int) -> tuple[Any, Any]:
        return self.network.bounds(layer)

    def take(self, rows: Array) -> FreeField:
        clamped = [part[rows] if part.ndim > 1 else part for part in self.clamped]
        n_samples = next(part.shape[0] for part in clamped if part.ndim > 1)
        push = None if self.push is None else self.push.take(rows)
        allowances = _each(self.allowances, rows)
        return replace(self, clamped=clamped, n_samples=n_samples, push=push, allowances=allowances)


@dataclass(frozen=True)
class Origin:
    """A free equilibrium as displacements from it need it; entries are None if not needed."""

    #: s^0 of each layer; never None for the output.
    states: list[Any]
    #: Drive at d = 0: the force that holds a unit at its bound. None: 0.
    offsets: list[Array | None]
    #: Range of d. None: open on that side.
    lower: list[Array | None]
    upper: list[Array | None]
    #: ρ'(s^0), 0 for units at a bound. None: 1 for every unit of the layer.
    slopes: list[Array | None]

    def each(self, change: Callable[[Array], Array]) -> Origin:
        """An origin with every array changed alike: rows selected, or all rows repeated."""

        def of(arrays: list[Array | None]) -> list[Any]:
            return [None if array is None else change(array) for array in arrays]

        return Origin(
            *(of(x) for x in (self.states, self.offsets, self.lower, self.upper, self.slopes))
        )


def origin_of(
    network: Network,
    states: Sequence[Array],
    drives: Sequence[Array],
    *,
    literal: bool,
    with_slopes: bool = False,
) -> Origin:
    """Origin at the end of a free phase, given the states there and the drive of every layer.

    If it is `literal`, the origin is the states given, although they are not settled exactly.
    Otherwise each unit is moved to where its drive puts it, so that it counts as settled.
    """
    xp = network.backend.xp
    origin = Origin([], [], [], [], [])
    for layer, (state, drive) in enumerate(zip(states, drives, strict=True), start=1):
        activation = network.activations[layer - 1]
        if not literal:
            state = network.project(layer, drive) if activation.bounded else drive
        is_seen = literal or not activation.transmits_state or layer == network.n_layers
        origin.states.append(state if is_seen else None)
        origin.offsets.append(drive - state if literal or activation.bounded else None)
        origin.lower.append(None if activation.lower is None else activation.lower - state)
        origin.upper.append(None if activation.upper is None else activation.upper - state)
        needed = with_slopes and activation.name != "identity"
        origin.slopes.append(activation.slope(xp, state) if needed else None)
    return origin


@dataclass(eq=False)
class DisplacementField(Field):
    """μ^β(s^0 + d), the nudged dynamics seen from the free equilibrium (Eqs. 13-16).

    Without a push, the range of the output holds it at one displacement (β = ∞).
    """

    #: As it is at the origin, see `Network.hold`.
    network: Network
    origin: Origin
    n_samples: int
    push: Push | None
    n_phases: int = 1
    #: Size of a displacement in each layer: residuals are divided by it. None: 1.
    scales: Sequence[float] | None = None
    allowances: Sequence[Array | None] | None = None

    def signal(self, layer: int, state: Array) -> Any:
        """The change of the rate, ρ(s^0 + d) - ρ(s^0)."""
        return self.network.rate_change(layer, self.origin.states[layer - 1], state)

    def constant(self, layer: int) -> Array | None:
        return self.origin.offsets[layer - 1]

    def bounds(self, layer: int) -> tuple[Any, Any]:
        return self.origin.lower[layer - 1], self.origin.upper[layer - 1]

    def measured(self, layer: int, size: Array) -> Array:
        """Residual of one layer in units of its scale."""
        size = super().measured(layer, size)
        return size if self.scales is None else size / self.scales[layer - 1]

    def take(self, rows: Array) -> DisplacementField:
        origin = self.origin.each(lambda array: array[rows])
        return replace(
            self,
            network=self.network.each(lambda array: array[rows]),
            origin=origin,
            n_samples=origin.states[-1].shape[0],
            push=None if self.push is None else self.push.take(rows),
            allowances=_each(self.allowances, rows),
        )


def _each(arrays: Sequence[Array | None] | None, rows: Array) -> list[Array | None] | None:
    """Some rows of each array."""
    return None if arrays is None else [None if part is None else part[rows] for part in arrays]
