"""Euler integration of the leaky-integrator dynamics, the paper's own simulation."""

from __future__ import annotations

from collections.abc import Sequence

from sklearn_eqprop.backend.array_backend import Array
from sklearn_eqprop.relaxation.field import Field
from sklearn_eqprop.relaxation.result import Result
from sklearn_eqprop.relaxation.settling import ActiveSamples


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
        active = ActiveSamples(field, states, tolerance)
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
