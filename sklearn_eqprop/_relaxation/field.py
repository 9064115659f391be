"""Vector fields a batch of samples can settle in; the free one, and what all of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from sklearn_eqprop._backend.array_backend import Array, ArrayBackend
from sklearn_eqprop._network import Network
from sklearn_eqprop._relaxation.pacing import Pacing


class Push(Protocol):
    """An external force on the output layer, β times minus the loss's derivative (Eqs. 13-16)."""

    def velocity(self, drive: Array, output: Array) -> Array:
        """``drive + force - s`` at the given output states, force = -β ∂C/∂s; a fresh array."""
        ...

    def resolve(self, drive: Array, output: Array) -> Array:
        """Output state at which ``drive + force - s`` vanishes, starting from `output`."""
        ...

    def take(self, rows: Array) -> Push:
        """The same push for some of the samples."""
        ...


#: ``enough(states, drives)``: which samples, given every layer's state and drive, need not settle
#: any further, whatever their residuals. Of the states only the output's is then kept.
Enough = Callable[[Sequence[Array], Sequence[Array]], Array]


class Field(ABC):
    """A vector field ``drive_l - s_l`` (+ a push on the output) over the layers of a network.

    Relaxations know fields by the methods below alone. What a layer tells the others is its
    *signal*; only the field that made a signal looks into it.

    Parameters
    ----------
    network : Network
        For its layers; which way its connections are used is the field's business.
    n_samples : int
        Rows of every state.
    push : Push or None
    n_phases : int, default=1
        Phases of the same samples stacked one below the other. They stop together.
    """

    #: Whether a relaxation is to keep the drives at the states it returns.
    keeps_drives = False
    #: Whether a settled sample must stay where it settled, so that no result depends on which
    #: samples share the batch; or may go on settling while others do, which is cheaper.
    freezes = True
    #: By which share of itself feedback is about to carry the output further than a feedforward
    #: pass leads. Sweeps from rest go on from there, and need not measure how far the pass has led.
    #: None: they do measure, and go on from where they are.
    lead: float | None = None
    #: What else than the tolerance lets a sample stop; not asked on a device.
    enough: Enough | None = None
    #: What of a residual each layer may keep, one number a sample: rounding. None: nothing.
    allowances: Sequence[Array | None] | None = None
    #: On a device: when to look whether all samples have settled. None: every few sweeps.
    pacing: Pacing | None = None

    def __init__(
        self, network: Network, n_samples: int, push: Push | None = None, n_phases: int = 1
    ) -> None:
        self.network = network
        #: Where the arrays live; how many layers have a state.
        self.backend: ArrayBackend = network.backend
        self.n_layers: int = network.n_layers
        self.n_samples = n_samples
        self.push = push
        self.n_phases = n_phases

    @abstractmethod
    def signal(self, layer: int, state: Array) -> Any:
        """What a layer tells the layers it is connected with."""

    @abstractmethod
    def inflow(self, layer: int, signals: Sequence[Any], sources: range) -> Array | None:
        """What flows into a layer from some layers, a fresh array; None if nothing does.

        A signal that is None is silent: it costs no product.
        """

    @abstractmethod
    def constant(self, layer: int) -> Array | None:
        """The part of a layer's drive that does not change; None: 0. Not to be written to."""

    @abstractmethod
    def bounds(self, layer: int) -> tuple[Any, Any]:
        """Range of a layer's state: a number or an array for each side, None where it is open."""

    @abstractmethod
    def take(self, rows: Array) -> Field:
        """The same field for some of the samples, chosen by a mask or by indices."""

    def measured(self, layer: int, size: Array) -> Array:
        """Largest magnitudes of one layer, one a sample, as residuals are measured."""
        allowance = None if self.allowances is None else self.allowances[layer - 1]
        return size if allowance is None else self.backend.xp.maximum(size - allowance, 0)

    def allowances_of(self, rows: Array) -> list[Array | None] | None:
        """The allowances of some of the samples."""
        if self.allowances is None:
            return None
        return [None if part is None else part[rows] for part in self.allowances]

    def size(self, layer: int, difference: Array) -> Array:
        """Largest magnitude of each sample in one layer, as residuals are measured.

        Uses the difference up.
        """
        return self.measured(layer, self.backend.row_max_abs(difference, overwrite=True))

    def project(self, layer: int, state: Array, out: Array | None = None) -> Array:
        """A layer's state kept in range, in `out` or in a fresh array."""
        return self.backend.project(state, *self.bounds(layer), out)

    def drive(self, layer: int, signals: Sequence[Any]) -> Array:
        """Drive of one layer, given every layer's signal; a fresh array."""
        inflow = self.inflow(layer, signals, range(1, self.n_layers + 1))
        return self.total(layer, inflow, self.constant(layer))

    def total(self, layer: int, inflow: Array | None, constant: Array | None) -> Array:
        """Sum of two parts of a drive, a fresh array or the inflow itself."""
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
        """States that are all zero."""
        return [self.zeros(layer) for layer in range(1, self.n_layers + 1)]

    def signals(self, states: Sequence[Array]) -> list[Any]:
        """Signal of every layer."""
        return [self.signal(layer, state) for layer, state in enumerate(states, start=1)]

    def is_pushed(self, layer: int) -> bool:
        """Whether a push acts on this layer."""
        return self.push is not None and layer == self.n_layers

    def rest_state(self, layer: int, drive: Array, state: Array, out: Array | None = None) -> Array:
        """State in which a layer would rest if its drive stayed as it is.

        A fresh array or `out`, which may be `drive`.
        """
        if self.push is not None and self.is_pushed(layer):
            return self.push.resolve(drive, state)
        return self.project(layer, drive, out)

    def velocity(self, layer: int, drive: Array, state: Array) -> Array:
        """drive_l - s_l (+ force at the output), a fresh array."""
        if self.push is not None and self.is_pushed(layer):
            return self.push.velocity(drive, state)
        return drive - state

    def residual(self, layer: int, drive: Array, state: Array) -> Array:
        """Size of ``clip(drive (+ force)) - s``, all that is left to move, of each sample."""
        if self.push is not None and layer == self.n_layers:
            moved = self.push.velocity(drive, state)
            moved += state
            self.project(layer, moved, out=moved)
            moved -= state
            return self.size(layer, moved)
        return self.measured(layer, self.backend.row_residual(drive, state, *self.bounds(layer)))

    def full_residual(self, states: Sequence[Array]) -> tuple[Array, list[Array]]:
        """Largest residual of each sample over all layers, and every layer's drive."""
        signals = self.signals(states)
        total, drives = None, []
        for layer, state in enumerate(states, start=1):
            drive = self.drive(layer, signals)
            residual = self.residual(layer, drive, state)
            total = residual if total is None else self.backend.xp.maximum(total, residual)
            drives.append(drive)
        return total, drives


class FreeField(Field):
    """μ of Eq. 1 for a batch of clamped inputs; with a push, μ^β.

    Parameters
    ----------
    network : Network
    clamped : list of array
        Constant part of every layer's drive, from `Network.clamp`.
    n_samples : int
    push : Push or None, default=None
    """

    keeps_drives = True

    def __init__(
        self, network: Network, clamped: Sequence[Array], n_samples: int, push: Push | None = None
    ) -> None:
        super().__init__(network, n_samples, push)
        self.clamped = clamped

    def signal(self, layer: int, state: Array) -> Any:
        """See `Field.signal`; the rate ρ(s)."""
        return self.network.signal(layer, state)

    def inflow(self, layer: int, signals: Sequence[Any], sources: range) -> Array | None:
        """See `Field.inflow`."""
        return self.network.inflow(layer, signals, sources)

    def constant(self, layer: int) -> Array | None:
        """See `Field.constant`; the clamped input's drive and the bias."""
        return self.clamped[layer - 1]

    def bounds(self, layer: int) -> tuple[Any, Any]:
        """See `Field.bounds`; those of the activation."""
        return self.network.bounds(layer)

    def take(self, rows: Array) -> FreeField:
        """See `Field.take`."""
        clamped = [part[rows] if part.ndim > 1 else part for part in self.clamped]
        n_samples = next(part.shape[0] for part in clamped if part.ndim > 1)
        push = None if self.push is None else self.push.take(rows)
        field = FreeField(self.network, clamped, n_samples, push)
        field.allowances = self.allowances_of(rows)
        return field
