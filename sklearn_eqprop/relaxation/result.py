"""What a relaxation returns."""

from __future__ import annotations

from dataclasses import dataclass

from sklearn_eqprop.backend.array_backend import Array


@dataclass
class Result:
    """Where the network came to rest, and how; or what it was like on average while it moved.

    With ``objective='trajectory'`` nothing need come to rest: `states` are then averages over the
    last `n_averaged` of `n_steps` steps, `residual` is what still moves at the end of them, and
    `converged` tells that they are finite.

    Attributes
    ----------
    states : list of array
        State of layers 1..L, each of shape (n_samples, n_l).
    n_steps : array of int, shape (n_samples,)
        Sweeps (or Euler steps) each sample took.
    residual : array of shape (n_samples,)
        Largest ``|clip(s + μ^β(s)) - s|`` over the units of each sample, at `states`: 0 at
        a fixed point of Eq. 10 (Eq. 16 in the nudged phase).
    converged : array of bool, shape (n_samples,)
        Whether each sample's residual is within its tolerance.
    reason : str
        Why it stopped, and what to do where it did not settle.
    drives : list of array or None, default=None
        Drive of layers 1..L at `states`, for the phase that starts there; None where nobody
        asked for it.
    n_averaged : int, default=0
        Steps that `states` are averages over; 0: they are states of one moment, not averages.
    """

    states: list[Array]
    n_steps: Array
    residual: Array
    converged: Array
    reason: str
    drives: list[Array] | None = None
    n_averaged: int = 0
