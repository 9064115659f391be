"""Block Gauss-Seidel sweeps: layers solved one after the other, each from the newest others."""

from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from sklearn_eqprop._backend.array_backend import Array, DeviceBackend
from sklearn_eqprop._relaxation.fields import Field
from sklearn_eqprop._relaxation.relaxation import Batch, Relaxation


@dataclass
class _Sweep:
    """Memory of the sweeps over one batch."""

    #: Layers in the order of the sweep.
    order: range
    #: Newest signal of every layer; None: the layer is silent.
    signals: list[Any]
    #: Inflow of each layer from those before it in the sweep, and all the rest of its drive.
    early: list[Array | None]
    late: list[Array | None]
    #: See `SettleOptions.lead`; None once it is used, and after any start but a feedforward pass.
    lead: float | None


class GaussSeidel(Relaxation):
    """Sweeps through the layers, from the input up or from the output down.

    Free phases sweep up: from zero states the first sweep is the feedforward pass. Nudged phases
    sweep down: the push reaches every layer in the first sweep. `advance` computes the inflow of
    each layer from those before it in the sweep, `measure` that from the others once all have
    moved. This completes the drives at the newest states: the residual is known, and the next
    sweep repeats no product. After the feedforward pass, drives are completed for an
    output that is moved further, see `SettleOptions.lead`.

    Parameters
    ----------
    step_size : float
        Damping in (0, 1]: s <- s + step_size (rest state - s). 1 solves each layer.
    """

    name = "gauss_seidel"
    solves_layers = True

    def begin(self, batch: Batch) -> _Sweep:
        field, n_layers = batch.field, batch.field.n_layers
        layers = range(1, n_layers + 1)
        # Zero states are silent: the first sweep needs no product for them.
        signals = [None] * n_layers if batch.from_rest else field.signals(batch.states)
        passes_forward = batch.from_rest and not batch.downward and field.push is None
        batch.memory = sweep = _Sweep(
            order=layers[::-1] if batch.downward else layers,
            signals=signals,
            early=[None] * n_layers,
            late=[None] * n_layers,
            lead=batch.options.lead if passes_forward and self.step_size == 1 else None,
        )
        late = field.constant if batch.from_rest else partial(_late_inflow, batch)
        sweep.late = list(map(late, layers))
        return sweep

    def measure(self, batch: Batch) -> tuple[Array, list[Array]] | None:
        """Complete the drives and measure the residual; not before the first sweep."""
        if batch.n_steps == 0 or (batch.n_steps == 1 and _complete_ahead(batch)):
            return None
        field, sweep, states = batch.field, batch.memory, batch.states
        device, xp = _device_of(field), field.backend.xp
        drives, residual = [], None
        for layer, state in enumerate(states, start=1):
            early = sweep.early[layer - 1]
            sweep.late[layer - 1] = late = _late_inflow(batch, layer)
            if batch.is_counted:
                if batch.is_last:
                    drives.append(_drive(field, layer, early, late))
                continue
            # A layer is solved if its drive has not changed since. Only downward sweeps use this:
            # there, numbers that are not finite show in the layers that come later.
            unchanged = batch.downward and late is field.constant(layer)
            if unchanged and self.step_size == 1 and layer < field.n_layers:
                continue  # nobody reads the drives of a downward phase
            if device and not (early is None or field.is_pushed(layer)):
                drive, size = device.row_check(early, late, state, *field.bounds(layer))
                in_layer = field.measured(layer, size)
            else:
                drive = _drive(field, layer, early, late)
                in_layer = field.residual(layer, drive, state)
            drives.append(drive)
            residual = in_layer if residual is None else xp.maximum(residual, in_layer)
        return residual, drives

    def advance(self, batch: Batch) -> None:
        field, sweep = batch.field, batch.memory
        if batch.n_steps == 1 and sweep.lead is not None:
            _send_ahead(batch)
        device = _device_of(field)
        states = list(batch.states)
        for layer in sweep.order:
            before = range(layer + 1, field.n_layers + 1) if batch.downward else range(1, layer)
            early = field.inflow(layer, sweep.signals, before)
            sweep.early[layer - 1] = early
            state, late = states[layer - 1], sweep.late[layer - 1]
            if device and early is not None and not field.is_pushed(layer):
                rest = device.row_solve(early, late, *field.bounds(layer))
            else:
                drive = _drive(field, layer, early, late)
                is_fresh = drive is not early and drive is not late
                rest = field.rest_state(layer, drive, state, drive if is_fresh else None)
            if self.step_size != 1:
                rest = state + self.step_size * (rest - state)
            states[layer - 1] = rest
            sweep.signals[layer - 1] = field.signal(layer, rest)
        batch.states = states

    def keep_rows(self, batch: Batch, rows: Array) -> None:
        """Keep some of the samples: signals are computed anew, early inflow in the next sweep."""
        sweep, batch.memory = batch.memory, None
        super().keep_rows(batch, rows)
        late = [part if part is None or part.ndim == 1 else part[rows] for part in sweep.late]
        signals = batch.field.signals(batch.states)
        batch.memory = _Sweep(sweep.order, signals, [None] * len(late), late, sweep.lead)


def _device_of(field: Field) -> DeviceBackend | None:
    """The backend if it is a device, whose kernels do more in one pass over memory."""
    return cast("DeviceBackend", field.backend) if field.backend.is_device else None


def _late_inflow(batch: Batch, layer: int) -> Array | None:
    """All of a layer's drive except the inflow from layers before it in the sweep."""
    field = batch.field
    others = range(1, layer + 1) if batch.downward else range(layer, field.n_layers + 1)
    inflow, constant = field.inflow(layer, batch.memory.signals, others), field.constant(layer)
    return constant if inflow is None else field.total(layer, inflow, constant)


def _drive(field: Field, layer: int, early: Array | None, late: Array | None) -> Array:
    """Sum of both parts of a drive; do not write to it."""
    if early is None:
        return late if late is not None and late.ndim > 1 else field.total(layer, None, late)
    return early if late is None else early + late


def _complete_ahead(batch: Batch) -> bool:
    """Complete the drives for an output that is moved further; whether that was done.

    With feedback, a feedforward pass almost never reaches the equilibrium, so its residual is not
    measured. Feedback is about to move the output further. To start from there saves part of a
    sweep.
    """
    field, sweep = batch.field, batch.memory
    asks_at_once = batch.options.enough is not None and not field.backend.is_device
    if sweep.lead is None or asks_at_once or batch.is_last:
        return False
    layers, own = range(1, field.n_layers + 1), sweep.signals[-1]
    sweep.signals[-1] = _signal_ahead(batch)
    sweep.late = [_late_inflow(batch, layer) for layer in layers]
    if any(sweep.late[layer - 1] is not field.constant(layer) for layer in layers):
        sweep.lead = None
        return True
    sweep.signals[-1] = own
    return False


def _send_ahead(batch: Batch) -> None:
    """Move the output further although the residual of the feedforward pass was measured.

    Inflow from the output is linear in its signal, so only the difference is sent.
    """
    field, sweep, last = batch.field, batch.memory, batch.field.n_layers
    further = [None] * (last - 1) + [_signal_ahead(batch) - sweep.signals[-1]]
    for layer in range(1, last + 1):
        sent = field.inflow(layer, further, range(last, last + 1))
        if sent is not None:
            sweep.late[layer - 1] = field.total(layer, sent, sweep.late[layer - 1])
    sweep.lead = None


def _signal_ahead(batch: Batch) -> Any:
    """Signal of the output at the state that feedback is expected to move it to."""
    field, last = batch.field, batch.field.n_layers
    return field.signal(last, field.project(last, (1 + batch.memory.lead) * batch.states[-1]))
