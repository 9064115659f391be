"""Building networks: the weights they start from, and the network around given weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from sklearn_eqprop.backend.array_backend import ArrayBackend
from sklearn_eqprop.network.activations import ACTIVATIONS
from sklearn_eqprop.network.connections import Connection, Dense, TiedFeedback
from sklearn_eqprop.network.network import Network
from sklearn_eqprop.network.wiring import Pair, Wiring

#: Forward weights start at this fraction of the Glorot-uniform range: the full range would put
#: the loops through transposed feedback beyond the safeguard from the start.
FORWARD_SCALE = 0.5


def _glorot_uniform(
    n_source: int, n_target: int, scale: float, rng: np.random.RandomState
) -> np.ndarray:
    bound = scale * np.sqrt(6.0 / (n_source + n_target))
    return rng.uniform(-bound, bound, size=(n_source, n_target))


def starting_norm(n_source: int, n_target: int) -> float:
    """Root mean square of the Frobenius norm that forward weights of this shape start with."""
    return FORWARD_SCALE * math.sqrt(2 * n_source * n_target / (n_source + n_target))


def initial_weights(
    sizes: Sequence[int],
    wiring: Wiring,
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
    wiring : Wiring
    feedback_init : {'transpose', 'independent'}
        B = γ F^T, F being the forward partner, or γ times a draw of its own from the same
        distribution. Feedback without a partner always gets a draw of its own; lateral
        connections start without those of a unit to itself.
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
        Weights of shape (n_source, n_target) in the order of the wiring, biases (n_l,) of
        layers 1..L.
    """

    def draw(pair: Pair, scale: float) -> np.ndarray:
        source, target = pair
        return _glorot_uniform(sizes[source], sizes[target], scale * FORWARD_SCALE, rng)

    coefs = [draw(pair, 1.0) for pair in wiring.forward]
    feedback = []
    for pair, partner in zip(wiring.feedback, wiring.partners, strict=True):
        if partner is not None and feedback_init == "transpose":
            feedback.append(feedback_scale * coefs[partner].T)
            continue
        feedback.append(draw(pair, feedback_scale))
        if pair[0] == pair[1]:
            np.fill_diagonal(feedback[-1], 0)
    return (
        [coef.astype(dtype) for coef in coefs],
        [np.zeros(size, dtype=dtype) for size in sizes[1:]],
        # Laid out like the forward weights they run beside, whose changes they may be given.
        [np.asfortranarray(coef, dtype=dtype) for coef in feedback],
    )


def wired_network(
    wiring: Wiring,
    coefs: Sequence[Any],
    intercepts: Sequence[Any],
    feedback_coefs: Sequence[Any] | None,
    *,
    activation: str,
    backend: ArrayBackend,
) -> Network:
    """Network in which layers drive each other as the wiring says.

    Parameters
    ----------
    wiring : Wiring
    coefs, feedback_coefs : sequences of array
        Weights (n_source, n_target) of the forward and of the feedback connections, in the order
        of the wiring. Feedback that is None is tied to the partners in `coefs`.
    intercepts : sequence of array
        Biases (n_l,) of layers l = 1..L.
    activation : str
        Name of the hidden units' activation.
    backend : ArrayBackend
        Where the arrays live.

    Returns
    -------
    Network
        It holds the given arrays themselves.

    Raises
    ------
    ValueError
        If feedback is to be tied, but a connection has no partner.
    """
    forward: list[Connection] = [
        Dense(*pair, weights) for pair, weights in zip(wiring.forward, coefs, strict=True)
    ]
    feedback: list[Connection]
    if feedback_coefs is None:
        feedback = [
            TiedFeedback(forward[_existing(pair, partner)])
            for pair, partner in zip(wiring.feedback, wiring.partners, strict=True)
        ]
    else:
        feedback = [
            Dense(*pair, weights)
            for pair, weights in zip(wiring.feedback, feedback_coefs, strict=True)
        ]
    return Network(ACTIVATIONS[activation], forward, feedback, intercepts, backend)


def _existing(pair: Pair, partner: int | None) -> int:
    if partner is None:
        msg = f"Feedback {pair} cannot be tied: no connection {pair[::-1]} leads the other way."
        raise ValueError(msg)
    return partner
