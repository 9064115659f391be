"""Dynamics that need not settle: Euler steps without end, and averages along them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._relaxation.field import Field


def trajectory(
    field: Field, states: Sequence[Array], step_size: float
) -> Iterator[tuple[list[Array], list[Any]]]:
    """States after each step s <- clip(s + ε μ^β(s)) (Eq. 77), and the signals that they send.

    Parameters
    ----------
    field : Field
    states : list of array
        Where to start; changed in place in every step.
    step_size : float
        ε.

    Yields
    ------
    states, signals : list of array, list
        Of all layers. The states are the arrays given: copy what is to be kept.
    """
    states = list(states)
    signals = field.signals(states)
    while True:
        velocities = [
            field.velocity(layer, field.drive(layer, signals), state)
            for layer, state in enumerate(states, start=1)
        ]
        for layer, (state, velocity) in enumerate(zip(states, velocities, strict=True), start=1):
            velocity *= step_size
            state += velocity
            field.project(layer, state, out=state)
        signals = field.signals(states)
        yield states, signals


class Average:
    """Mean of lists of arrays, one array a layer.

    Counted from a reference: what stays where it is averages to exactly that, and two runs that
    differ by little are compared without the rounding of long sums.

    Parameters
    ----------
    reference : list of array or None, default=None
        None: all zero.
    """

    def __init__(self, reference: Sequence[Array] | None = None) -> None:
        self._reference = reference
        self._totals: list[Array] = []
        self._count = 0

    def add(self, arrays: Sequence[Array]) -> None:
        """Count one more list; the arrays may change afterwards."""
        self._count += 1
        if self._reference is not None:
            arrays = [array - at for array, at in zip(arrays, self._reference, strict=True)]
        if not self._totals:
            self._totals = [array.copy() for array in arrays]
            return
        for total, array in zip(self._totals, arrays, strict=True):
            total += array

    def mean(self) -> list[Array]:
        """Mean of what has been added, less the reference."""
        return [total / self._count for total in self._totals]
