"""Building layered networks: the weights they start from, and the network around given weights."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from sklearn_eqprop.backend.array_backend import ArrayBackend
from sklearn_eqprop.network.activations import ACTIVATIONS
from sklearn_eqprop.network.connections import Connection, Dense, TiedFeedback
from sklearn_eqprop.network.network import Network

#: Forward weights start at this fraction of the Glorot-uniform range: the full range would put
#: the loops through transposed feedback beyond the safeguard from the start.
FORWARD_SCALE = 0.5


def _glorot_uniform(
    n_source: int, n_target: int, scale: float, rng: np.random.RandomState
) -> np.ndarray:
    bound = scale * np.sqrt(6.0 / (n_source + n_target))
    return rng.uniform(-bound, bound, size=(n_source, n_target))


def initial_weights(
    sizes: Sequence[int],
    *,
    feedback_init: str,
    feedback_scale: float,
    rng: np.random.RandomState,
    dtype: Any,
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Weights an untrained network starts from, drawn on the host.

    Parameters
    ----------
    sizes : sequence of int
        Units in layers 0..L.
    feedback_init : {'transpose', 'independent'}
        B_l = γ F_{l+1}^T, or γ times a draw of its own from the same distribution.
    feedback_scale : float
        γ.
    rng : RandomState
        Source of the draws; always float64, so that float32 and float64 networks start
        from the same numbers.
    dtype : dtype
        Type of the arrays returned.

    Returns
    -------
    coefs, intercepts, feedback_coefs : lists of ndarray
        Of shapes (n_l, n_{l+1}), (n_{l+1},) and (n_{l+2}, n_{l+1}).
    """
    pairs = list(itertools.pairwise(sizes))
    coefs = [_glorot_uniform(n, m, FORWARD_SCALE, rng) for n, m in pairs]
    if feedback_init == "transpose":
        feedback = [feedback_scale * coef.T for coef in coefs[1:]]
    else:
        scale = feedback_scale * FORWARD_SCALE
        feedback = [_glorot_uniform(m, n, scale, rng) for n, m in pairs[1:]]
    return (
        [coef.astype(dtype) for coef in coefs],
        [np.zeros(size, dtype=dtype) for size in sizes[1:]],
        [np.ascontiguousarray(coef, dtype=dtype) for coef in feedback],
    )


def layered_network(
    coefs: Sequence[Any],
    intercepts: Sequence[Any],
    feedback_coefs: Sequence[Any] | None,
    *,
    activation: str,
    backend: ArrayBackend,
) -> Network:
    """Network in which neighbouring layers drive each other.

    Parameters
    ----------
    coefs, intercepts : sequences of array
        Forward weights (n_{l-1}, n_l) and biases (n_l,) of layers l = 1..L.
    feedback_coefs : sequence of array or None
        Feedback weights (n_{l+1}, n_l) of layers l = 1..L-1; None ties them to `coefs`.
    activation : str
        Name of the hidden units' activation.
    backend : ArrayBackend
        Where the arrays live.

    Returns
    -------
    Network
        It holds the given arrays themselves.
    """
    forward: list[Connection] = [
        Dense(layer - 1, layer, weights) for layer, weights in enumerate(coefs, start=1)
    ]
    feedback: list[Connection]
    if feedback_coefs is None:
        feedback = [TiedFeedback(connection) for connection in forward[1:]]
    else:
        feedback = [
            Dense(layer + 1, layer, weights)
            for layer, weights in enumerate(feedback_coefs, start=1)
        ]
    return Network(ACTIVATIONS[activation], forward, feedback, intercepts, backend)
