"""What a relaxation returns."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sklearn_eqprop.backend.array_backend import Array


@dataclass
class Result:
    """Where the network came to rest, and how.

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
    drives : list of array or None, default=None
        Drive of layers 1..L at `states`, for the phase that starts there; None where nobody
        asked for it.
    note : str or None, default=None
        What `reason` says; None: what the other attributes tell.
    """

    states: list[Array]
    n_steps: Array
    residual: Array
    converged: Array
    drives: list[Array] | None = None
    note: str | None = None

    @property
    def reason(self) -> str:
        """Why it stopped, and what to do where it did not settle, in a sentence."""
        return self.note or _describe(self.n_steps, self.residual, self.converged)


def _describe(n_steps: Array, residual: Array, converged: Array) -> str:
    n_samples = converged.shape[0]
    most_steps = int(n_steps.max()) if n_samples else 0
    n_unsettled = n_samples - int(converged.sum())
    if not n_unsettled:
        return f"All {n_samples} samples settled within {most_steps} steps."
    n_broken = n_samples - int((abs(residual) < math.inf).sum())
    if n_broken:
        return (
            f"States stopped being finite in {n_broken} of {n_samples} samples: lower step_size, "
            "loop_gain or the weights."
        )
    return (
        f"{n_unsettled} of {n_samples} samples had not settled after {most_steps} steps "
        f"(largest residual {float(residual.max()):.2g}): raise max_relax_iter or "
        "max_nudge_iter, or lower loop_gain or step_size."
    )
