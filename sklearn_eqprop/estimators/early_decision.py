"""Outputs settled only as far as decisions need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sklearn_eqprop.backend.array_backend import Array
from sklearn_eqprop.backend.feeding import dense_rows
from sklearn_eqprop.estimators.fitted_network import chunks
from sklearn_eqprop.learning.substrate import SimulatedNetwork
from sklearn_eqprop.network import Network, output_error_factors
from sklearn_eqprop.relaxation import Result

#: Rows that repay the work on the bound.
FEWEST_ROWS = 500

#: ``is_decided(output, error)``: which rows of the output (n_samples, n_outputs) stand for the same
#: label whatever moves each of them by up to ``error`` (n_samples,), a Euclidean length.
IsDecided = Callable[[np.ndarray, np.ndarray], np.ndarray]


def may_decide_early(parameters: dict[str, Any]) -> bool:
    """Whether the equilibrium is what decides, and no tolerance of the user's own."""
    return parameters["relax_tol"] == "auto" and parameters["objective"] == "fixed_point"


def settle_until_decided(
    substrate: SimulatedNetwork, X: Any, is_decided: IsDecided
) -> tuple[np.ndarray, np.ndarray]:
    """Output of every row after a short settling, and which of them it decides.

    Parameters
    ----------
    substrate : SimulatedNetwork
        Settles loosely.
    X : ndarray or CSR matrix of shape (n_samples, n_features)
    is_decided : callable
        See `IsDecided`.

    Returns
    -------
    output : ndarray of shape (n_samples, n_outputs)
    decided : ndarray of bool, shape (n_samples,)
        All False, at no cost, where it is not known that settling is a contraction.
    """
    network = substrate.network
    output = np.empty((X.shape[0], network.layer_sizes[-1]), dtype=network.dtype)
    decided = np.zeros(X.shape[0], dtype=bool)
    with np.errstate(over="ignore", invalid="ignore"):
        factors = output_error_factors(network)
        if factors is None:
            return output, decided
        for rows in chunks(X.shape[0], X.shape[1], network):
            inputs = network.backend.from_host(dense_rows(X, rows), network.dtype)
            result = substrate.settle(inputs).result
            output[rows] = result.states[-1]
            decided[rows] = is_decided(output[rows], _output_error(network, result, factors))
    return output, decided


def _output_error(network: Network, result: Result, factors: Sequence[float]) -> Array:
    """Most that each output can be from its equilibrium, see `network.contraction`."""
    assert result.drives is not None  # the free field keeps them
    total = 0.0
    for layer, factor in enumerate(factors, start=1):
        left = network.project(layer, result.drives[layer - 1])
        left -= result.states[layer - 1]
        left *= left
        total = total + factor * network.backend.xp.sqrt(left.sum(axis=1))
    return total
