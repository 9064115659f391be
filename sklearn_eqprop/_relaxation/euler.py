"""Euler integration of the leaky-integrator dynamics, the paper's own simulation."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import cast

from sklearn_eqprop._backend.array_backend import Array, DeviceBackend
from sklearn_eqprop._relaxation.field import Field
from sklearn_eqprop._relaxation.result import Result
from sklearn_eqprop._relaxation.settling import active_samples


class Euler:
    """All layers at once: s <- clip(s + ε μ^β(s)) (Eq. 77, Scellier et al. 2018).

    Parameters
    ----------
    step_size : float
        ε, in (0, 1].
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
        """See `Relaxation.settle`; `downward` makes no difference here."""
        if states is None:
            states = field.zero_states()
        if field.backend.is_device:
            return self._settle_on_device(field, states, tolerance, max_iter)
        active = active_samples(field, states, tolerance)
        layers = range(1, field.n_layers + 1)
        n_steps = 0
        while True:
            residual, drives, velocities = flow(active.field, active.states)
            left = active.put_aside(residual, n_steps, drives, everything=n_steps == max_iter)
            if active.is_empty:
                return active.result()
            if left is not None:
                velocities = [velocity[left] for velocity in velocities]
            for layer, state, velocity in zip(layers, active.states, velocities, strict=True):
                velocity *= self.step_size
                state += velocity
                active.field.project(layer, state, out=state)
            n_steps += 1

    def _settle_on_device(
        self, field: Field, states: Sequence[Array], tolerance: Array, max_iter: int
    ) -> Result:
        """The same, each layer's residual and step in one pass over memory."""
        active = active_samples(field, states, tolerance)
        for n_steps in itertools.count():
            residual, drives, moved = self._step(field, active.states)
            active.put_aside(residual, n_steps, drives, everything=n_steps == max_iter)
            if active.is_empty:
                break
            active.states = moved
        return active.result()

    def _step(
        self, field: Field, states: Sequence[Array]
    ) -> tuple[Array, list[Array], list[Array]]:
        """Residual of each sample and drive of each layer at the states, and the next states."""
        device = cast("DeviceBackend", field.backend)
        signals = field.signals(states)
        residual, drives, moved = None, [], []
        for layer, state in enumerate(states, start=1):
            drive = field.drive(layer, signals)
            drives.append(drive)
            goal = drive
            if field.is_pushed(layer):
                goal = field.velocity(layer, drive, state)
                goal += state
            bounds = field.bounds(layer)
            size, after = device.row_euler(goal, state, *bounds, self.step_size)
            in_layer = field.measured(layer, size)
            residual = in_layer if residual is None else device.xp.maximum(residual, in_layer)
            moved.append(after)
        return residual, drives, moved


def flow(field: Field, states: Sequence[Array]) -> tuple[Array, list[Array], list[Array]]:
    """Residual of each sample, drive and velocity μ^β of each layer, at the same states."""
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
