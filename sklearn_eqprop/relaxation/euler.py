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
            states = field.network.zero_states(field.n_samples)
        active = ActiveSamples(field, states, tolerance)
        layers = range(1, field.network.n_layers + 1)
        n_steps = 0
        while True:
            residual, velocities = residual_and_velocities(active.field, active.states)
            keep = active.put_aside(residual, n_steps, everything=n_steps == max_iter)
            if active.is_empty:
                return active.result()
            if keep is not None:
                velocities = [velocity[keep] for velocity in velocities]
            for layer, state, velocity in zip(layers, active.states, velocities, strict=True):
                velocity *= self.step_size
                state += velocity
                field.network.project(layer, state)
            n_steps += 1


def residual_and_velocities(field: Field, states: list[Array]) -> tuple[Array, list[Array]]:
    """Residual of each sample and μ^β of each layer, at the same states."""
    network, backend = field.network, field.backend
    rates = network.rates(states)
    velocities, residual = [], None
    for layer, state in enumerate(states, start=1):
        velocity = field.velocity(layer, field.drive(layer, rates), state)
        moved = network.project(layer, state + velocity)
        moved -= state
        in_layer = backend.row_max_abs(moved)
        residual = in_layer if residual is None else backend.xp.maximum(residual, in_layer)
        velocities.append(velocity)
    return residual, velocities
