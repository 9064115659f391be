"""How closely the phases settle: tolerances of every sample, never below what rounding allows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from sklearn_eqprop._backend.array_backend import Array, ArrayBackend
from sklearn_eqprop._network import Network

#: Units of rounding that a residual may hold however long a network settles.
ROUNDING_UNITS = 10
#: Where rates are bounded, numbers larger than this in one layer say nothing of the others.
LARGEST_BOUNDED = 100.0


def faintest(dtype: Any, beta: float = 1.0) -> float:
    """Push of the output that counts as none: a smaller one has a square that underflows.

    In proportion to a β below 1, which makes all pushes small, as far as there are normal numbers.
    """
    tiny = float(np.finfo(dtype).tiny)
    return max(math.sqrt(tiny) * min(abs(beta), 1.0), tiny)


@dataclass(frozen=True)
class SettlingLimits:
    """How far, and how long at most, the two phases settle.

    Attributes
    ----------
    free_tolerance : float
        Largest residual of a settled sample in the free phase. Where rounding would not let the
        states come that close, it is the limit.
    nudged_tolerance : float
        The same in a nudged phase. If `literal`, in units of β; otherwise in units of the force
        on each sample as it arrives at each layer, grown by what it has moved where it pushes away
        from the target.
    max_free, max_nudged : int
        Most steps or sweeps of each phase.
    literal : bool, default=True
        Whether the nudged phase starts from the free state as it stands, with whatever is
        unsettled in it, or counts it as settled; and whether every sample stops exactly when it
        is within tolerance, or may go on while others of its batch do.
    """

    free_tolerance: float
    nudged_tolerance: float
    max_free: int
    max_nudged: int
    literal: bool = True

    def relative(self, backend: ArrayBackend, force: Array, beta: float = 1.0) -> Array:
        """Tolerance of each sample in a nudged phase, relative to the force on it, β included."""
        size = backend.row_max_abs(force)
        rounding = ROUNDING_UNITS * float(backend.xp.finfo(size.dtype).eps)
        size *= max(self.nudged_tolerance, rounding)
        # Where there is next to no force, staying at zero is right.
        size += 4 * faintest(size.dtype, beta)
        return size


def tolerances(
    network: Network, tolerance: float, numbers: Sequence[Array | None]
) -> tuple[Array, list[Array | None]]:
    """Tolerance of each sample, and what rounding may leave in each layer beyond it.

    Unbounded rates carry large numbers on to every layer, and their rounding with them, and so
    does an output that the input drives. Bounded ones do not: only the layers that hold large
    numbers themselves are given more.

    Parameters
    ----------
    network : Network
    tolerance : float
    numbers : sequence of array or None
        What each layer holds, as far as that is known: states, or the constant part of drives.

    Returns
    -------
    tolerance : array of shape (n_samples,)
    allowances : list of array of shape (n_samples,), or None
        One a layer; None where the tolerance is all.
    """
    backend, xp = network.backend, network.backend.xp
    own = [None if part is None else _of_layer(backend, tolerance, part) for part in numbers]
    total = reduce(xp.maximum, [each for each in own if each is not None])
    output_is_driven = (0, network.n_layers) in network.wiring.pairs
    if output_is_driven or not network.activations[0].rate_is_bounded:
        return total, [None] * network.n_layers
    rounding = ROUNDING_UNITS * float(xp.finfo(network.dtype).eps)
    allowances = [
        None if each is None or activation.lower is not None else each - tolerance
        for activation, each in zip(network.activations, own, strict=True)
    ]
    return xp.minimum(total, max(tolerance, rounding * LARGEST_BOUNDED)), allowances


def _of_layer(backend: ArrayBackend, tolerance: float, numbers: Array) -> Array:
    """`above_rounding` of one layer; most often a look at all its numbers together says enough."""
    bound = tolerance / (ROUNDING_UNITS * float(backend.xp.finfo(numbers.dtype).eps))
    looks = not backend.is_device and numbers.size > 0
    if looks and -bound <= numbers.min() and numbers.max() <= bound:  # False for NaN
        return backend.xp.full(numbers.shape[0], tolerance, dtype=numbers.dtype)
    return above_rounding(backend, tolerance, [numbers])


def above_rounding(backend: ArrayBackend, tolerance: Any, states: Sequence[Array]) -> Array:
    """Tolerance of each sample, never below what rounding in the given states allows."""
    xp = backend.xp
    largest = backend.row_max_abs(states[0])
    for state in states[1:]:
        largest = xp.maximum(largest, backend.row_max_abs(state))
    # Infinite states must not mean infinite tolerance.
    largest = xp.where(xp.isfinite(largest), largest, xp.ones_like(largest))
    rounding = ROUNDING_UNITS * float(xp.finfo(states[0].dtype).eps)
    return xp.maximum(tolerance, rounding * largest)
