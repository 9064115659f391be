"""Equilibria of rows, chunk by chunk."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import sparse

from sklearn_eqprop._backend.array_backend import Array, Feed
from sklearn_eqprop._backend.feeding import host_rows, stays_sparse
from sklearn_eqprop._losses.classification import Loss
from sklearn_eqprop._network import Network
from sklearn_eqprop._relaxation import Result
from sklearn_eqprop._substrates.averaging import AveragingNetwork
from sklearn_eqprop._substrates.phases import nudged_states
from sklearn_eqprop._substrates.simulated import SimulatedNetwork
from sklearn_eqprop.exceptions import DivergenceError

#: Most rows settled at once by predict, transform and relax, and most numbers in one copy of their
#: states, which maps may have many of: bounds their memory.
CHUNK_ROWS = 1024
CHUNK_NUMBERS = 2**23
#: Bytes of one copy of the states on the host: temporaries of more come from the kernel anew in
#: every sweep (see `numpy_backend`). Products of fewer rows than the least are slower.
HOST_CHUNK_BYTES = 3 * 2**20
FEWEST_HOST_ROWS = 256


def chunks(n_rows: int, n_numbers: int, network: Network) -> Iterator[slice]:
    """Slices of as many rows, of so many numbers each, as a network is to settle at once."""
    yield from host_rows(n_rows, None, _rows_at_once(n_numbers, network))


def _rows_at_once(n_numbers: int, network: Network) -> int:
    n_states = sum(network.layer_sizes)
    rows = min(CHUNK_ROWS, max(1, CHUNK_NUMBERS // max(n_numbers, n_states)))
    if network.backend.is_device:
        return rows
    of_memory = HOST_CHUNK_BYTES // (n_states * network.dtype.itemsize)
    return min(rows, max(FEWEST_HOST_ROWS, of_memory))


def _numbers_of_a_row(X: Any, network: Network) -> int:
    """Numbers that the network reads of a row, where X stays sparse on the average."""
    n_rows, n_columns = X.shape
    if not network.backend.is_device and stays_sparse(X):
        return math.ceil(X.nnz / n_rows)
    return int(n_columns)


def settle_rows(
    substrate: SimulatedNetwork | AveragingNetwork,
    X: Any,
    *,
    loss: Loss | None = None,
    target: np.ndarray | None = None,
    beta: float = 0.0,
    feed: Feed | None = None,
    outputs_only: bool = False,
    must_be_finite: bool = True,
) -> Result:
    """Equilibrium of every row, in chunks, as host arrays.

    The states of an X that lives on the backend's device stay there.

    Parameters
    ----------
    substrate : SimulatedNetwork or AveragingNetwork
        The latter has averages for equilibria, and no clamped output.
    X : ndarray, CSR matrix or array of the backend of shape (n_samples, n_features)
    loss, target : Loss, ndarray of shape (n_samples, n_outputs)
        Needed where beta is not 0.
    beta : float, default=0.0
        0 for the free equilibrium; anything else goes on from there to the nudged one, infinity
        to that with the output held at the target.
    feed : Feed or None, default=None
        The rows of X as the network faces them, where they have been made ready to be settled
        more than once; X then only tells how many there are, and where they live.
    outputs_only : bool, default=False
        Whether to keep no states but the output's, which may be a small part of all.
    must_be_finite : bool, default=True
        Whether states that are not finite are an error, or told by the residual alone.

    Returns
    -------
    Result

    Raises
    ------
    DivergenceError
        If a state is not finite, where it must be.
    """
    network = substrate.network
    on_device = not (isinstance(X, np.ndarray) or sparse.issparse(X))
    parts = []
    with np.errstate(over="ignore", invalid="ignore"):
        for rows, inputs in _chunks_of_inputs(network, X, feed):
            goal = None if target is None else target[rows]
            result = _settled_chunk(substrate, inputs, loss, goal, beta)
            if outputs_only:
                result.states = result.states[-1:]
            parts.append(_reported(network, result, states_stay=on_device))
    merged = parts[0]
    if len(parts) > 1:
        merged = Result.concatenate(parts, network.backend.xp)
    if must_be_finite and not np.isfinite(merged.residual).all():
        refuse_broken_weights(network)
        msg = (
            f"{merged.reason} The weights or the inputs are too large for these dynamics: scale "
            "the inputs, or fit with a loop_gain."
        )
        raise DivergenceError(msg)
    return merged


def _settled_chunk(
    substrate: SimulatedNetwork | AveragingNetwork,
    inputs: Array,
    loss: Loss | None,
    target: np.ndarray | None,
    beta: float,
) -> Result:
    """Equilibrium of some rows, see `settle_rows`."""
    free = substrate.settle(inputs)
    if beta == 0 or loss is None or target is None:
        return free.result
    nudge_target = substrate.network.backend.from_host(target, substrate.network.dtype)
    if math.isinf(beta):
        assert isinstance(substrate, SimulatedNetwork)  # or relax would have refused
        moved = substrate.settle_clamped(free, nudge_target)
    else:
        [moved] = substrate.settle_nudged(free, loss, nudge_target, (beta,))
    return nudged_states(free, moved)


def _chunks_of_inputs(network: Network, X: Any, feed: Feed | None) -> Iterator[tuple[slice, Array]]:
    """Rows to settle at once, and what they hold where the network computes."""
    n_numbers = _numbers_of_a_row(X, network)
    if feed is not None:
        for rows, inputs, _ in feed.minibatches(None, _rows_at_once(n_numbers, network)):
            yield rows, inputs
        return
    for rows in chunks(X.shape[0], n_numbers, network):
        yield rows, network.backend.inputs(X, rows, network.dtype)


def _reported(network: Network, result: Result, *, states_stay: bool) -> Result:
    """Result of a chunk on the host, without drives; states may stay where they are."""
    result = replace(result, drives=None)
    if not network.backend.is_device:
        return result
    told = replace(result, states=[]).map(network.backend.to_host)
    states = result.states
    return replace(told, states=states if states_stay else [*map(network.backend.to_host, states)])


def refuse_broken_weights(network: Network) -> None:
    """Refuse weights that are not finite.

    Raises
    ------
    DivergenceError
        Naming the array, and the remedy.
    """
    names = {"forward": "coefs_", "feedback": "feedback_coefs_", "bias": "intercepts_"}
    for parameter in network.parameters():
        if not np.isfinite(network.backend.to_host(parameter.array)).all():
            msg = (
                f"{names[parameter.role]} into layer {parameter.layer} hold numbers that are not "
                "finite: assign other weights, or fit again."
            )
            raise DivergenceError(msg)
