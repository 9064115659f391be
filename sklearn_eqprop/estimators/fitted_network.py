"""The fitted arrays: the network is these, and nothing else."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sklearn_eqprop.exceptions import DivergenceError
from sklearn_eqprop.learning.costs import Cost
from sklearn_eqprop.learning.substrate import SimulatedNetwork
from sklearn_eqprop.network import Network
from sklearn_eqprop.relaxation import Result, describe

#: Most rows settled at once by predict, transform and relax: bounds their memory.
CHUNK_ROWS = 1024


@dataclass
class FittedArrays:
    """Weights and biases as the estimators expose them.

    Attributes
    ----------
    coefs, intercepts : lists of ndarray
        Of shapes (n_l, n_{l+1}) and (n_{l+1},), l = 0..L-1.
    feedback_coefs : list of ndarray or None
        Of shapes (n_{l+2}, n_{l+1}), l = 0..L-2; None where feedback is tied to `coefs`.
    """

    coefs: list[np.ndarray]
    intercepts: list[np.ndarray]
    feedback_coefs: list[np.ndarray] | None

    @property
    def sizes(self) -> tuple[int, ...]:
        """Units in layers 0..L."""
        return (*(coef.shape[0] for coef in self.coefs), self.intercepts[-1].shape[0])

    def copy(self, dtype: Any = None) -> FittedArrays:
        """Arrays that training may change: contiguous, writable, of one type."""
        dtype = self.coefs[0].dtype if dtype is None else np.dtype(dtype)

        def fresh(arrays: list[np.ndarray]) -> list[np.ndarray]:
            return [np.array(array, dtype=dtype, order="C") for array in arrays]

        feedback = None if self.feedback_coefs is None else fresh(self.feedback_coefs)
        return FittedArrays(fresh(self.coefs), fresh(self.intercepts), feedback)


def checked_arrays(
    coefs: Any, intercepts: Any, feedback_coefs: Any, *, n_inputs: int, n_outputs: int
) -> FittedArrays:
    """Arrays as they stand on an estimator, which a user may have replaced.

    Raises
    ------
    ValueError
        If their number or shapes do not make a network from `n_inputs` to `n_outputs` units;
        naming the attribute.
    """
    coefs = [np.asarray(coef) for coef in coefs]
    dtype = coefs[0].dtype if coefs and coefs[0].dtype == np.float32 else np.dtype(np.float64)
    coefs = [coef.astype(dtype, copy=False) for coef in coefs]
    intercepts = [np.asarray(intercept, dtype=dtype) for intercept in intercepts]
    hidden = [coef.shape[-1] if coef.ndim else 0 for coef in coefs[:-1]]
    sizes = [n_inputs, *hidden, n_outputs]
    _check_shapes("coefs_", coefs, list(itertools.pairwise(sizes)))
    _check_shapes("intercepts_", intercepts, [(size,) for size in sizes[1:]])
    if feedback_coefs is not None:
        feedback_coefs = [np.asarray(coef, dtype=dtype) for coef in feedback_coefs]
        shapes = list(zip(sizes[2:], sizes[1:-1], strict=True))
        _check_shapes("feedback_coefs_", feedback_coefs, shapes)
    return FittedArrays(coefs, intercepts, feedback_coefs)


def _check_shapes(name: str, arrays: Sequence[np.ndarray], shapes: Sequence[Any]) -> None:
    found = [array.shape for array in arrays]
    if found != list(shapes):
        msg = f"{name} has shapes {found}, which do not fit the network: expected {list(shapes)}."
        raise ValueError(msg)


def check_same_network(arrays: FittedArrays, sizes: Sequence[int], *, tied: bool) -> None:
    """Refuse to go on training a network of another shape.

    Raises
    ------
    ValueError
        If the layer sizes or the kind of feedback have changed since the first fit.
    """
    if arrays.sizes != tuple(sizes):
        msg = (
            f"The network fitted so far has layers of {arrays.sizes} units, but hidden_layer_sizes "
            f"and the data now ask for {tuple(sizes)}. Set warm_start=False, or use a fresh "
            "clone, to train a network of the new sizes."
        )
        raise ValueError(msg)
    if tied != (arrays.feedback_coefs is None):
        was, now = ("untied", "tied") if tied else ("tied", "untied")
        msg = (
            f"The network fitted so far has feedback={was!r}, now it is {now!r}. Set it back, or "
            "use a fresh clone with warm_start=False."
        )
        raise ValueError(msg)


def chunks(n_rows: int) -> Iterator[slice]:
    """Slices of at most `CHUNK_ROWS` rows."""
    for start in range(0, n_rows, CHUNK_ROWS):
        yield slice(start, min(start + CHUNK_ROWS, n_rows))


def settle_rows(
    substrate: SimulatedNetwork,
    X: np.ndarray,
    *,
    cost: Cost | None = None,
    target: np.ndarray | None = None,
    beta: float = 0.0,
) -> Result:
    """Equilibrium of every row, in chunks, as host arrays.

    Parameters
    ----------
    substrate : SimulatedNetwork
    X : ndarray of shape (n_samples, n_features)
    cost, target : Cost, ndarray of shape (n_samples, n_outputs)
        Needed where beta is not 0.
    beta : float, default=0.0
        0 for the free equilibrium; anything else goes on from there to the nudged one.

    Returns
    -------
    Result

    Raises
    ------
    DivergenceError
        If a state is not finite.
    """
    network = substrate.network
    parts = []
    with np.errstate(over="ignore", invalid="ignore"):
        for rows in chunks(X.shape[0]):
            free = substrate.settle(network.backend.from_host(X[rows], network.dtype))
            result = free.result
            if beta != 0 and cost is not None and target is not None:
                nudge_target = network.backend.from_host(target[rows], network.dtype)
                result = substrate.settle_nudged(free, cost, nudge_target, (beta,))[0]
            parts.append(_on_host(network, result))
    merged = _concatenated(parts)
    if not np.isfinite(merged.residual).all():
        msg = (
            f"{merged.reason} The weights or the inputs are too large for these dynamics: scale "
            "the inputs, or fit with a loop_gain."
        )
        raise DivergenceError(msg)
    return merged


def _on_host(network: Network, result: Result) -> Result:
    to_host = network.backend.to_host
    return Result(
        states=[to_host(state) for state in result.states],
        n_steps=to_host(result.n_steps),
        residual=to_host(result.residual),
        converged=to_host(result.converged),
        reason=result.reason,
    )


def _concatenated(parts: list[Result]) -> Result:
    if len(parts) == 1:
        return parts[0]
    n_steps = np.concatenate([part.n_steps for part in parts])
    residual = np.concatenate([part.residual for part in parts])
    converged = np.concatenate([part.converged for part in parts])
    return Result(
        states=[np.concatenate(states) for states in zip(*(p.states for p in parts), strict=True)],
        n_steps=n_steps,
        residual=residual,
        converged=converged,
        reason=describe(np, n_steps, residual, converged),
    )
