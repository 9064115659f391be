"""The contract every relaxation keeps, and the per-sample book-keeping they share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from sklearn_eqprop.backend.array_backend import Array
from sklearn_eqprop.relaxation.field import Field
from sklearn_eqprop.relaxation.result import Result


class Relaxation(Protocol):
    """A way to find a fixed point of a field."""

    def settle(
        self,
        field: Field,
        states: Sequence[Array] | None,
        tolerance: Array,
        max_iter: int,
        *,
        downward: bool = False,
    ) -> Result:
        """Settle every sample on its own.

        Parameters
        ----------
        field : Field
        states : list of array or None
            Where to start; may be changed in place. None: from rest, all units at zero.
        tolerance : array of shape (n_samples,)
            Residual at which a sample counts as settled and is no longer touched.
        max_iter : int
            Most steps (Euler, Anderson) or sweeps (Gauss-Seidel) any sample takes.
        downward : bool, default=False
            What drives the change enters at the output (nudged phase), not at the
            input: methods that go layer by layer start there.

        Returns
        -------
        Result
        """
        ...


class ActiveSamples:
    """The samples that still move, compacted; settled ones are put aside for good.

    A settled sample keeps the state it had when its residual was first within
    tolerance, so no result depends on which other samples share the batch.

    Parameters
    ----------
    field : Field
    states : list of array
    tolerance : array of shape (n_samples,)

    Attributes
    ----------
    field, states : as given, for the samples still active only
    """

    def __init__(self, field: Field, states: Sequence[Array], tolerance: Array) -> None:
        xp = field.backend.xp
        self.field = field
        self.states = list(states)
        self._tolerance = tolerance
        self._rows: Array | None = None  # None: all of them, nothing put aside yet
        self._settled_states: list[Array] = []
        n_samples = field.n_samples
        self._n_steps = xp.zeros(n_samples, dtype=xp.int64)
        self._residual = xp.zeros(n_samples, dtype=tolerance.dtype)
        self._converged = xp.zeros(n_samples, dtype=bool)

    def put_aside(self, residual: Array, n_steps: int, *, everything: bool = False) -> Array | None:
        """Retire the samples that are within tolerance (or not finite).

        Parameters
        ----------
        residual : array
            Residual of each active sample at the current `states`. Stacked phases of a
            sample retire when all of them may.
        n_steps : int
            Steps taken so far.
        everything : bool, default=False
            Retire all, settled or not: the limit of steps is reached.

        Returns
        -------
        array of bool or None
            Which of the active samples are left, to compact temporaries with; None
            when all of them are.
        """
        xp = self.field.backend.xp
        converged = residual <= self._tolerance
        # A state that is not finite will never be so again: waiting for it is no use.
        done = xp.ones_like(converged) if everything else converged | ~xp.isfinite(residual)
        if self.field.n_phases > 1:
            of_sample = done.reshape(self.field.n_phases, -1).all(axis=0)
            done = xp.concatenate([of_sample] * self.field.n_phases)
        if not done.any():
            return None
        rows = done if self._rows is None else self._rows[done]
        self._n_steps[rows] = n_steps
        self._residual[rows] = residual[done]
        self._converged[rows] = converged[done]
        if done.all() and self._rows is None:
            self._settled_states = self.states
            self._rows = xp.zeros(0, dtype=xp.int64)
            return ~done
        if self._rows is None:
            self._rows = xp.arange(self.field.n_samples)
            self._settled_states = [xp.empty_like(state) for state in self.states]
        for settled, state in zip(self._settled_states, self.states, strict=True):
            settled[rows] = state[done]
        keep = ~done
        self._rows = self._rows[keep]
        self._tolerance = self._tolerance[keep]
        self.field = self.field.take(keep)
        self.states = [state[keep] for state in self.states]
        return keep

    @property
    def is_empty(self) -> bool:
        """Whether every sample has been put aside."""
        return self._rows is not None and self._rows.shape[0] == 0

    def result(self) -> Result:
        """Everything put aside, in the order of the samples."""
        xp = self.field.backend.xp
        return Result(
            states=self._settled_states,
            n_steps=self._n_steps,
            residual=self._residual,
            converged=self._converged,
            reason=describe(xp, self._n_steps, self._residual, self._converged),
        )


def describe(xp: Any, n_steps: Array, residual: Array, converged: Array) -> str:
    """Why a relaxation stopped, in a sentence."""
    n_samples = converged.shape[0]
    most_steps = int(n_steps.max()) if n_samples else 0
    n_unsettled = n_samples - int(converged.sum())
    if not n_unsettled:
        return f"All {n_samples} samples settled within {most_steps} steps."
    n_broken = n_samples - int(xp.isfinite(residual).sum())
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
