"""Block Gauss-Seidel sweeps: layers solved one after the other, each from the newest others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from sklearn_eqprop._backend.array_backend import Array, DeviceBackend
from sklearn_eqprop._relaxation.field import Field
from sklearn_eqprop._relaxation.result import Result
from sklearn_eqprop._relaxation.settling import active_samples


class GaussSeidel:
    """Sweeps through the layers, from the input up or from the output down.

    Free phases sweep up: from zero states the first sweep is the feedforward pass. Nudged phases
    sweep down: the push reaches every layer in the first sweep. What flows into a layer from those
    before it in the sweep is worked out on the way; what flows in from the others, once all have
    moved. That completes the drives at the states as they now are: the residual is known,
    and the next sweep needs no product that has been worked out already. Behind the feedforward
    pass, drives are completed for an output taken further, see `Field.lead`.

    Parameters
    ----------
    step_size : float
        Damping in (0, 1]: s <- s + step_size (rest state - s). 1 solves each layer.
    """

    def __init__(self, step_size: float) -> None:
        self.step_size = step_size

    def settle(
        self,
        field: Field,
        states: Sequence[Array] | None,
        tolerance: Array,
        max_iter: int,
        *,
        downward: bool = False,
    ) -> Result:
        """See `Relaxation.settle`."""
        sweeps = _Sweeps(field, states, tolerance, self.step_size, downward=downward)
        n_sweeps, done = 0, False
        while not done:
            n_sweeps += 1
            sweeps.sweep()
            last = n_sweeps >= max_iter
            if n_sweeps == 1 and not last and sweeps.look_ahead():
                continue
            done = sweeps.complete_and_check(n_sweeps, last=last)
            if n_sweeps == 1 and not done:
                sweeps.send_ahead()
        return sweeps.active.result()


class _Sweeps:
    """Where the sweeps over one batch stand.

    Parameters
    ----------
    field : Field
    states : list of array or None
    tolerance : array of shape (n_samples,)
    step_size : float
    downward : bool
    """

    def __init__(
        self,
        field: Field,
        states: Sequence[Array] | None,
        tolerance: Array,
        step_size: float,
        *,
        downward: bool,
    ) -> None:
        layers = range(1, field.n_layers + 1)
        self._order = layers[::-1] if downward else layers
        self._downward = downward
        self._step_size = step_size
        self._fuses = field.backend.is_device
        #: How far to look ahead, where the first sweep is a feedforward pass; None: not at all.
        passes_forward = states is None and step_size == 1 and not downward and field.push is None
        self._lead = field.lead if passes_forward else None
        self._asks_at_once = field.enough is not None and not field.backend.is_device
        # From rest all layers are silent: what they send back costs nothing in the first sweep.
        signals = [None] * field.n_layers if states is None else field.signals(states)
        self._signals: list[Any] = signals
        self.active = active_samples(field, states or field.zero_states(), tolerance)
        #: What flows into each layer from those before it in the sweep, and all the rest of its
        #: drive; None: nothing.
        self._early: list[Array | None] = [None] * field.n_layers
        self._late = [self._late_inflow(layer) for layer in layers]

    def sweep(self) -> None:
        """Solve every layer once, in order."""
        field, states = self.active.field, self.active.states
        for layer in self._order:
            early = field.inflow(layer, self._signals, self._before(layer))
            self._early[layer - 1] = early
            state = states[layer - 1]
            if self._fuses and early is not None and not field.is_pushed(layer):
                rest = self._fused_rest_state(layer, early)
            else:
                drive = self._drive(layer, early)
                is_fresh = drive is not early and drive is not self._late[layer - 1]
                rest = field.rest_state(layer, drive, state, drive if is_fresh else None)
            if self._step_size != 1:
                rest = state + self._step_size * (rest - state)
            states[layer - 1] = rest
            self._signals[layer - 1] = field.signal(layer, rest)

    def look_ahead(self) -> bool:
        """After a feedforward pass, complete the drives for the next sweep; whether that was done.

        Where anything is sent back such a pass has hardly ever led to the equilibrium, and how far
        is not measured. Feedback is going to carry the output further: taken there beforehand, it
        saves part of a sweep.
        """
        field = self.active.field
        if self._lead is None or self._asks_at_once:
            return False
        layers, own = range(1, field.n_layers + 1), self._signals[-1]
        self._signals[-1] = self._signal_ahead(self._lead)
        self._late = [self._late_inflow(layer) for layer in layers]
        if any(self._late[layer - 1] is not field.constant(layer) for layer in layers):
            return True
        self._signals[-1] = own
        return False

    def send_ahead(self) -> None:
        """The same, when it has been asked how far the feedforward pass led: the drives are there.

        What the output sends back is linear in its signal: only the difference is sent.
        """
        field, last = self.active.field, self.active.field.n_layers
        if self._lead is None:
            return
        further = [None] * (last - 1) + [self._signal_ahead(self._lead) - self._signals[-1]]
        for layer in range(1, last + 1):
            sent = field.inflow(layer, further, range(last, last + 1))
            if sent is not None:
                self._late[layer - 1] = field.total(layer, sent, self._late[layer - 1])

    def _signal_ahead(self, lead: float) -> Any:
        """Signal of the output where feedback is going to carry it."""
        field, last = self.active.field, self.active.field.n_layers
        return field.signal(last, field.project(last, (1 + lead) * self.active.states[-1]))

    def complete_and_check(self, n_sweeps: int, *, last: bool) -> bool:
        """Bring the drives up to date, put aside what has settled; return whether all has."""
        field, states, xp = self.active.field, self.active.states, self.active.field.backend.xp
        drives, residual = [], None
        for layer, state in enumerate(states, start=1):
            late = self._late_inflow(layer)
            self._late[layer - 1] = late
            early, is_solved = self._early[layer - 1], self._is_solved(layer, late)
            if self._fuses and not (is_solved or early is None or field.is_pushed(layer)):
                drive, in_layer = self._fused_check(layer, early, state)
                drives.append(drive)
            else:
                drive = self._drive(layer, early)
                drives.append(drive)
                if is_solved:
                    continue
                in_layer = field.residual(layer, drive, state)
            residual = in_layer if residual is None else xp.maximum(residual, in_layer)
        left = self.active.put_aside(residual, n_sweeps, drives, everything=last)
        if self.active.is_empty:
            return True
        if left is not None:  # what flows in early is worked out anew
            self._late = [self._rows(part, left) for part in self._late]
            self._signals = self.active.field.signals(self.active.states)
        return False

    def _fused_rest_state(self, layer: int, early: Array) -> Array:
        """Where a layer would rest with its drive as it is, in one pass over memory."""
        field = self.active.field
        device = cast("DeviceBackend", field.backend)
        return device.row_solve(early, self._late[layer - 1], *field.bounds(layer))

    def _fused_check(self, layer: int, early: Array, state: Array) -> tuple[Array, Array]:
        """Drive of a layer, and what is left to move in it, in one pass over memory."""
        field, late = self.active.field, self._late[layer - 1]
        device = cast("DeviceBackend", field.backend)
        drive, size = device.row_check(early, late, state, *field.bounds(layer))
        return drive, field.measured(layer, size)

    def _is_solved(self, layer: int, late: Array | None) -> bool:
        """Whether a layer is where its drive has just put it, and nothing has changed that since.

        Only in downward sweeps, where what is not finite shows in the layers it goes on to.
        """
        field = self.active.field
        unchanged = self._downward and late is field.constant(layer)
        return unchanged and self._step_size == 1 and layer < field.n_layers

    def _before(self, layer: int) -> range:
        last = self.active.field.n_layers
        return range(layer + 1, last + 1) if self._downward else range(1, layer)

    def _late_inflow(self, layer: int) -> Array | None:
        """All of a layer's drive but what comes from layers before it."""
        field = self.active.field
        others = range(1, layer + 1) if self._downward else range(layer, field.n_layers + 1)
        inflow, constant = field.inflow(layer, self._signals, others), field.constant(layer)
        return constant if inflow is None else field.total(layer, inflow, constant)

    def _drive(self, layer: int, early: Array | None) -> Array:
        """Both parts together; not to be written to."""
        late = self._late[layer - 1]
        if early is None:
            field = self.active.field
            return late if late is not None and late.ndim > 1 else field.total(layer, None, late)
        return early if late is None else early + late

    @staticmethod
    def _rows(part: Array | None, rows: Array) -> Array | None:
        return part[rows] if part is not None and part.ndim > 1 else part
