"""Limits of the two phases: tolerances and numbers of steps; and the limit that rounding sets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sklearn_eqprop._backend.array_backend import Array, ArrayBackend

#: Residual that rounding alone may leave, in units of the rounding error of the largest state.
ROUNDING_UNITS = 10


@dataclass(frozen=True)
class SettlingLimits:
    """Tolerance and largest number of steps of each phase.

    Attributes
    ----------
    free_tolerance : float
        Largest residual of a settled sample in the free phase. If rounding does not allow such a
        small residual, the tolerance is raised to the smallest one that it allows.
    nudged_tolerance : float
        The same in a nudged phase. If `literal`: in units of β. Otherwise: relative to the force
        on each sample as it arrives at each layer.
    max_free, max_nudged : int
        Largest number of steps or sweeps of each phase.
    literal : bool, default=True
        True: the nudged phase starts from the free states unchanged, and every sample stops
        exactly when it is within tolerance.
        False: the free states count as settled, and a sample may settle further while others of
        its batch do.
    """

    free_tolerance: float
    nudged_tolerance: float
    max_free: int
    max_nudged: int
    literal: bool = True


def above_rounding(backend: ArrayBackend, tolerance: Any, states: Sequence[Array]) -> Array:
    """Tolerance of each sample, never below the rounding of the given states."""
    xp = backend.xp
    largest = backend.row_max_abs(states[0])
    for state in states[1:]:
        largest = xp.maximum(largest, backend.row_max_abs(state))
    # Infinite states must not mean infinite tolerance.
    largest = xp.where(xp.isfinite(largest), largest, xp.ones_like(largest))
    rounding = ROUNDING_UNITS * float(xp.finfo(states[0].dtype).eps)
    return xp.maximum(tolerance, rounding * largest)
