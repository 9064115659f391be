"""The result of a relaxation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sklearn_eqprop._backend.array_backend import Array

#: Largest residual of a sample that is only slow or oscillates. Above it the sample runs away:
#: states and forces of networks that learn are of the order of 1.
RUNAWAY = 1e3


@dataclass
class Result:
    """States that the samples settled at, or their averages along a trajectory.

    With ``objective='trajectory'`` no state has to settle. Then `states` are averages over the
    last `n_averaged` of `n_steps` steps, `residual` is measured at the end of them, and
    `converged` tells whether the sample did not run away.

    Attributes
    ----------
    states : list of array
        State of layers 1..L, each of shape (n_samples, n_l).
    n_steps : array of int, shape (n_samples,)
        Number of sweeps (Gauss-Seidel) or steps (Euler, Anderson) of each sample. This and the next
        two are None if the phase was not measured, see `Habit`.
    residual : array of shape (n_samples,)
        Largest ``|clip(s + μ^β(s)) - s|`` over the units of each sample, at `states`. It is 0 at
        a fixed point of Eq. 10 (Eq. 16 in the nudged phase). If rates are bounded and the states
        of a layer are not, the part of its residual that rounding explains is left out.
    converged : array of bool, shape (n_samples,)
        Whether each sample's residual is within its tolerance, or the sample was allowed to stop
        earlier. For averages: whether the residual is at most `RUNAWAY`.
    drives : list of array or None, default=None
        Drive of layers 1..L at `states`, for a phase that starts there. None: not recorded.
    n_averaged : int, default=0
        Number of steps that `states` are averages over. 0: `states` are no averages.
    """

    states: list[Array]
    n_steps: Array = None
    residual: Array = None
    converged: Array = None
    drives: list[Array] | None = None
    n_averaged: int = 0

    def map(self, change: Callable[[Array], Array]) -> Result:
        """A result with every array changed by the same function."""

        def changed(array: Array) -> Array:
            return None if array is None else change(array)

        return Result(
            [change(state) for state in self.states],
            changed(self.n_steps),
            changed(self.residual),
            changed(self.converged),
            None if self.drives is None else [change(drive) for drive in self.drives],
            self.n_averaged,
        )

    def take(self, rows: Any) -> Result:
        """The result of some of the samples, chosen by a slice, a mask or indices."""
        return self.map(lambda array: array[rows])

    def phases(self, n_samples: int) -> list[Result]:
        """The results of phases of the same samples, whose rows follow each other here."""
        starts = range(0, self.states[0].shape[0], n_samples)
        return [self.take(slice(start, start + n_samples)) for start in starts]

    @staticmethod
    def concatenate(parts: Sequence[Result], xp: Any) -> Result:
        """One result for the samples of all parts, in order. Drives are dropped.

        `xp` is the module of the arrays that are not on the host.
        """

        def joined(arrays: Sequence[Array]) -> Array:
            return (np if isinstance(arrays[0], np.ndarray) else xp).concatenate(arrays)

        return Result(
            [joined(states) for states in zip(*(part.states for part in parts), strict=True)],
            joined([part.n_steps for part in parts]),
            joined([part.residual for part in parts]),
            joined([part.converged for part in parts]),
            n_averaged=parts[0].n_averaged,
        )

    @property
    def finding(self) -> str:
        """Why it stopped, in a sentence."""
        n_samples, n_unsettled = int(self.converged.shape[0]), self._n_unsettled
        most_steps = int(self.n_steps.max()) if n_samples else 0
        largest = float(self.residual.max()) if n_samples else 0.0
        if n_unsettled and self._n_broken:
            return f"States stopped being finite in {self._n_broken} of {n_samples} samples."
        if self.n_averaged and n_unsettled:
            return (
                f"{n_unsettled} of {n_samples} samples ran away within {most_steps} steps (largest "
                f"residual {largest:.2g}), so that their averages are useless."
            )
        if self.n_averaged:
            return (
                f"The states are averages over the last {self.n_averaged} of {most_steps} steps "
                f"(largest residual at the end {largest:.2g})."
            )
        if n_unsettled:
            largest = float(self.residual[~self.converged].max())
            return (
                f"{n_unsettled} of {n_samples} samples had not settled after {most_steps} steps "
                f"(largest residual {largest:.2g})."
            )
        return f"All {n_samples} samples settled within {most_steps} steps."

    @property
    def reason(self) -> str:
        """Why it stopped and, if it did not settle, how to change that."""
        if not self._n_unsettled:
            return self.finding
        if self._n_broken:
            return f"{self.finding} Lower step_size, loop_gain or the weights."
        if self.n_averaged:
            remedy = "Set a loop_gain or lower it, change step_size, or scale the inputs; then fit"
            return f"{self.finding} {remedy} again."
        remedy = "Raise max_relax_iter or max_nudge_iter, lower loop_gain, or change step_size."
        return f"{self.finding} {remedy}"

    @property
    def _n_unsettled(self) -> int:
        return int(self.converged.shape[0]) - int(self.converged.sum())

    @property
    def _n_broken(self) -> int:
        """Number of samples whose states are not finite."""
        return int(self.residual.shape[0]) - int((abs(self.residual) < math.inf).sum())
