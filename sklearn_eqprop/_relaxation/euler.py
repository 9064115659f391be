"""Euler integration of the leaky-integrator dynamics, the paper's own simulation."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

from sklearn_eqprop._backend.array_backend import Array, DeviceBackend
from sklearn_eqprop._relaxation.fields import Field
from sklearn_eqprop._relaxation.relaxation import Batch, Relaxation


class Euler(Relaxation):
    """All layers at once: s <- clip(s + ε μ^β(s)) (Eq. 77, Scellier et al. 2018)."""

    name = "euler"
    explicit_steps = True
    follows_trajectory = True

    def measure(self, batch: Batch) -> tuple[Array, list[Array]]:
        """Residual and drives; remembers the velocities, on a device the next states."""
        if batch.field.backend.is_device:
            residual, drives, batch.memory = self._measured_on_device(batch)
        else:
            residual, drives, batch.memory = flow(batch.field, batch.states)
        return residual, drives

    def advance(self, batch: Batch) -> None:
        if batch.field.backend.is_device:
            batch.states = batch.memory
        else:
            batch.states = euler_step(batch.field, batch.states, batch.memory, self.step_size)

    def _measured_on_device(self, batch: Batch) -> tuple[Array, list[Array], list[Array]]:
        """Residual, drives and next states, each layer in one pass over memory."""
        field = batch.field
        device = cast("DeviceBackend", field.backend)
        signals = field.signals(batch.states)
        residual, drives, moved = None, [], []
        for layer, state in enumerate(batch.states, start=1):
            drive = field.drive(layer, signals)
            drives.append(drive)
            goal = drive
            if field.is_pushed(layer):
                goal = field.velocity(layer, drive, state)
                goal += state
            size, after = device.row_euler(goal, state, *field.bounds(layer), self.step_size)
            in_layer = field.measured(layer, size)
            residual = in_layer if residual is None else device.xp.maximum(residual, in_layer)
            moved.append(after)
        return residual, drives, moved


def flow(field: Field, states: Sequence[Array]) -> tuple[Array, list[Array], list[Array]]:
    """Residual of each sample, drive and velocity μ^β of each layer, all at the same states."""
    signals = field.signals(states)
    drives, velocities, residual = [], [], None
    for layer, state in enumerate(states, start=1):
        drive = field.drive(layer, signals)
        velocity = field.velocity(layer, drive, state)
        moved = state + velocity
        field.project(layer, moved, out=moved)
        moved -= state
        in_layer = field.size(layer, moved)
        residual = in_layer if residual is None else field.backend.xp.maximum(residual, in_layer)
        drives.append(drive)
        velocities.append(velocity)
    return residual, drives, velocities


def euler_step(
    field: Field, states: Sequence[Array], velocities: Sequence[Array], step_size: float
) -> list[Array]:
    """States after one step, clip(s + ε v), in the arrays of the velocities."""
    moved = []
    for layer, (state, velocity) in enumerate(zip(states, velocities, strict=True), start=1):
        velocity *= step_size
        velocity += state
        moved.append(field.project(layer, velocity, out=velocity))
    return moved


def trajectory(
    field: Field, states: Sequence[Array], step_size: float
) -> Iterator[tuple[list[Array], list[Any]]]:
    """States of layers 1..L after each Euler step, without end, and the signals at these states.

    The states at the start stay unchanged.
    """
    signals = field.signals(states)
    while True:
        velocities = [
            field.velocity(layer, field.drive(layer, signals), state)
            for layer, state in enumerate(states, start=1)
        ]
        states = euler_step(field, states, velocities, step_size)
        signals = field.signals(states)
        yield states, signals
