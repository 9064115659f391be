"""What a relaxation returns."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sklearn_eqprop._backend.array_backend import Array

#: Residual of an unsettled sample that is no longer slow, or swinging, but runs away: what networks
#: learn with, states and forces, is of the order of 1.
RUNAWAY = 1e3


@dataclass
class Result:
    """Where the network came to rest, and how; or what it was like on average while it moved.

    With ``objective='trajectory'`` nothing need come to rest: `states` are then averages over the
    last `n_averaged` of `n_steps` steps, `residual` is what still moves at the end of them, and
    `converged` tells that they do not run away.

    Attributes
    ----------
    states : list of array
        State of layers 1..L, each of shape (n_samples, n_l).
    n_steps : array of int, shape (n_samples,)
        Sweeps (or Euler steps) each sample took.
    residual : array of shape (n_samples,)
        Largest ``|clip(s + μ^β(s)) - s|`` over the units of each sample, at `states`: 0 at
        a fixed point of Eq. 10 (Eq. 16 in the nudged phase). In layers of unbounded states among
        bounded rates, as far as it is beyond the rounding of large states.
    converged : array of bool, shape (n_samples,)
        Whether each sample's residual is within its tolerance, or it was asked to come no closer;
        of averages, whether it is at most `RUNAWAY`.
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
    drives: list[Array] | None = None
    n_averaged: int = 0

    @property
    def reason(self) -> str:
        """Why it stopped, and what to do where it did not settle, in a sentence."""
        if self.n_averaged:
            return self._reason_of_averages()
        return _describe(self.n_steps, self.residual, self.converged)

    def _reason_of_averages(self) -> str:
        if self.converged.all():
            return (
                f"The states are averages over the last {self.n_averaged} of "
                f"{int(self.n_steps.max())} steps (largest residual at the end "
                f"{float(self.residual.max()):.2g})."
            )
        return _of_broken(self.residual) or (
            f"{_n_unsettled(self.converged)} of {self.converged.shape[0]} samples ran away within "
            f"{int(self.n_steps.max())} steps (largest residual {float(self.residual.max()):.2g}), "
            "so that averages say nothing: use a loop_gain, or a lower one, change step_size, or "
            "scale the inputs, and fit anew."
        )


def _describe(n_steps: Array, residual: Array, converged: Array) -> str:
    n_samples = converged.shape[0]
    most_steps = int(n_steps.max()) if n_samples else 0
    n_unsettled = _n_unsettled(converged)
    if not n_unsettled:
        return f"All {n_samples} samples settled within {most_steps} steps."
    return _of_broken(residual) or (
        f"{n_unsettled} of {n_samples} samples had not settled after {most_steps} steps "
        f"(largest residual {float(residual[~converged].max()):.2g}): raise max_relax_iter or "
        "max_nudge_iter, lower loop_gain, or change step_size."
    )


def _n_unsettled(converged: Array) -> int:
    return int(converged.shape[0]) - int(converged.sum())


def _of_broken(residual: Array) -> str:
    """What is said of states that are not finite; nothing where all are."""
    n_samples = residual.shape[0]
    n_broken = n_samples - int((abs(residual) < math.inf).sum())
    if not n_broken:
        return ""
    return (
        f"States stopped being finite in {n_broken} of {n_samples} samples: lower step_size, "
        "loop_gain or the weights."
    )
