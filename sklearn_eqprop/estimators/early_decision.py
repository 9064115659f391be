"""Outputs settled only as far as decisions need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sklearn_eqprop.backend.array_backend import Array
from sklearn_eqprop.network import Network, output_error_factors
from sklearn_eqprop.relaxation import Enough

#: Rows that repay the work on the bound.
FEWEST_ROWS = 500

#: ``is_decided(output, error)``: which rows of the output (n_samples, n_outputs) stand for the same
#: label whatever moves each of them by up to ``error`` (n_samples,), a Euclidean length.
IsDecided = Callable[[np.ndarray, np.ndarray], np.ndarray]


def may_decide_early(parameters: dict[str, Any]) -> bool:
    """Whether the equilibrium is what decides, and no tolerance of the user's own."""
    return parameters["relax_tol"] == "auto" and parameters["objective"] == "fixed_point"


def enough_to_decide(network: Network, is_decided: IsDecided) -> Enough | None:
    """Which samples are settled far enough: their equilibrium cannot stand for another label.

    Parameters
    ----------
    network : Network
    is_decided : callable
        See `IsDecided`.

    Returns
    -------
    callable or None
        See `Enough`. None where it is not known that settling is a contraction.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        factors = output_error_factors(network)
    if factors is None:
        return None

    def enough(states: Sequence[Array], drives: Sequence[Array]) -> Array:
        return is_decided(states[-1], _output_error(network, states, drives, factors))

    return enough


def _output_error(
    network: Network, states: Sequence[Array], drives: Sequence[Array], factors: Sequence[float]
) -> Array:
    """Most that each output can be from its equilibrium, see `network.contraction`."""
    total = 0.0
    for layer, (state, drive, factor) in enumerate(zip(states, drives, factors, strict=True), 1):
        left = network.project(layer, drive)
        left -= state
        total = total + factor * np.sqrt(np.einsum("ij,ij->i", left, left))
    return total
