"""Outputs settled only as far as decisions need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._network import Network, Reach, output_bound
from sklearn_eqprop._relaxation import Enough

#: Rows that repay the work on the bound.
FEWEST_ROWS = 500

#: ``is_decided(output, reach)``: which rows of the output (n_samples, n_outputs) stand for the same
#: label wherever within reach their equilibrium is.
IsDecided = Callable[[np.ndarray, Reach], np.ndarray]


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
        bound = output_bound(network)
    if bound is None:
        return None

    def enough(states: Sequence[Array], drives: Sequence[Array]) -> Array:
        return is_decided(states[-1], bound.reach_at(states, drives))

    return enough
