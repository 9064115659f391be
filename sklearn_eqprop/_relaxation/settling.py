"""The contract every relaxation keeps, and the per-sample book-keeping they share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._relaxation.device_settling import MarkedSamples
from sklearn_eqprop._relaxation.field import Field
from sklearn_eqprop._relaxation.result import Result

#: Rows that have settled are carried along, idle, until they are this share of all: copying the
#: others together costs more than a few idle rows in a product.
COMPACTION_SHARE = 0.25
#: Samples that need not be frozen wait for each other where a batch has fewer numbers than this:
#: then a sweep is cheaper than the copying.
SMALL_BATCH = 2**16


class Relaxation(Protocol):
    """A way to find a fixed point of a field.

    Attributes
    ----------
    step_size : float
        Euler's ε, or damping of the updates, in (0, 1].
    """

    step_size: float

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
            Residual at which a sample counts as settled, unless `Field.enough` says so before; if
            the field freezes, it is then no longer touched.
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


def active_samples(
    field: Field, states: Sequence[Array], tolerance: Array
) -> ActiveSamples | MarkedSamples:
    """Book-keeping for a batch, where its arrays live.

    Parameters
    ----------
    field : Field
    states : list of array
    tolerance : array of shape (n_samples,)
    """
    if field.backend.is_device:
        return MarkedSamples(
            field, states, tolerance, small_batch=SMALL_BATCH, share=COMPACTION_SHARE
        )
    return ActiveSamples(field, states, tolerance)


class ActiveSamples:
    """The samples that still move; settled ones are put aside for good.

    Where the field freezes, a settled sample keeps the state it had when its residual was first
    within tolerance, so no result depends on which other samples share the batch. Its row stays in
    the batch, without effect, until enough rows are idle to close the gaps. Where the field does
    not ask for that (`Field.freezes`), samples go on until enough have settled at once.

    Parameters
    ----------
    field : Field
    states : list of array
    tolerance : array of shape (n_samples,)

    Attributes
    ----------
    field, states : as given, for the rows still in the batch
    """

    def __init__(self, field: Field, states: Sequence[Array], tolerance: Array) -> None:
        xp = field.backend.xp
        self.field = field
        self.states = list(states)
        self._freezes = field.freezes
        self._enough = field.enough
        self._keeps_drives = field.keeps_drives
        self._tolerance = tolerance
        n_samples = field.n_samples
        self._rows: Array | None = None  # sample of each row; None: every sample, in order
        self._idle: Array | None = None  # which rows are put aside already; None: none of them
        self._n_active = n_samples
        self._settled_states: list[Array] = []
        self._settled_drives: list[Array] | None = None
        self._n_steps = xp.zeros(n_samples, dtype=xp.int64)
        self._residual = xp.zeros(n_samples, dtype=tolerance.dtype)
        self._converged = xp.zeros(n_samples, dtype=bool)

    def put_aside(
        self,
        residual: Array,
        n_steps: int,
        drives: Sequence[Array] | None = None,
        *,
        everything: bool = False,
    ) -> Array | None:
        """Retire the samples that are within tolerance, far enough, or not finite.

        Parameters
        ----------
        residual : array
            Residual of each row at the current `states`. Stacked phases of a
            sample retire when all of them may.
        n_steps : int
            Steps taken so far.
        drives : sequence of array or None, default=None
            Drive of every layer at `states`, where the field keeps them.
        everything : bool, default=False
            Retire all, settled or not: the limit of steps is reached.

        Returns
        -------
        array of int or None
            Which rows are left in the batch, to cut temporaries down to; None when the rows are
            as before.
        """
        xp = self.field.backend.xp
        converged = residual <= self._tolerance
        if self._enough is not None and drives is not None:
            converged |= self._enough(self.states, drives)
        # A state that is not finite will never be so again: waiting for it is no use.
        done = xp.ones_like(converged) if everything else converged | ~xp.isfinite(residual)
        if self.field.n_phases > 1:
            of_sample = done.reshape(self.field.n_phases, -1).all(axis=0)
            done = xp.concatenate([of_sample] * self.field.n_phases)
        kept = drives if self._keeps_drives else None
        if self._rows is None and self._idle is None and done.all():
            self._record_all(residual, converged, n_steps, kept)
            return None
        if not (self._freezes or everything) and self._too_few(done):
            return None
        if self._idle is not None:
            done &= ~self._idle
        (rows,) = xp.nonzero(done)
        if not rows.shape[0]:
            return None
        self._record(rows, residual, converged, n_steps, kept)
        self._idle = done if self._idle is None else self._idle | done
        self._n_active -= rows.shape[0]
        n_rows = done.shape[0]
        if self.is_empty or self._n_active > (1 - COMPACTION_SHARE) * n_rows:
            return None
        (left,) = xp.nonzero(~self._idle)
        self._rows = left if self._rows is None else self._rows[left]
        self._idle = None
        self._tolerance = self._tolerance[left]
        self.field = self.field.take(left)
        self.states = [state[left] for state in self.states]
        return left

    def _too_few(self, done: Array) -> bool:
        """Whether to leave all samples in the batch for now."""
        n_done, n_rows = int(done.sum()), done.shape[0]
        small = n_rows * sum(self.field.network.layer_sizes) < SMALL_BATCH
        return n_done < n_rows and (small or n_done < COMPACTION_SHARE * n_rows)

    def _record_all(
        self, residual: Array, converged: Array, n_steps: int, drives: Sequence[Array] | None
    ) -> None:
        """Every sample at once, as it most often is: nothing to copy."""
        self._n_steps.fill(n_steps)
        self._residual, self._converged = residual, converged
        self._settled_states = self.states if self._enough is None else self.states[-1:]
        self._settled_drives = None if drives is None else list(drives)
        self._n_active = 0

    def _record(
        self,
        rows: Array,
        residual: Array,
        converged: Array,
        n_steps: int,
        drives: Sequence[Array] | None,
    ) -> None:
        states = self.states if self._enough is None else self.states[-1:]
        samples = rows if self._rows is None else self._rows[rows]
        self._n_steps[samples] = n_steps
        self._residual[samples] = residual[rows]
        self._converged[samples] = converged[rows]
        if not self._settled_states:
            self._settled_states = self._empty_like(states)
            self._settled_drives = None if drives is None else self._empty_like(drives)
        for settled, state in zip(self._settled_states, states, strict=True):
            settled[samples] = state[rows]
        if drives is not None and self._settled_drives is not None:
            for settled, drive in zip(self._settled_drives, drives, strict=True):
                settled[samples] = drive[rows]

    def _empty_like(self, arrays: Sequence[Array]) -> list[Array]:
        xp, n_samples = self.field.backend.xp, self._n_steps.shape[0]
        return [xp.empty((n_samples, array.shape[1]), dtype=array.dtype) for array in arrays]

    @property
    def is_empty(self) -> bool:
        """Whether every sample has been put aside."""
        return self._n_active == 0

    def result(self) -> Result:
        """Everything put aside, in the order of the samples."""
        return Result(
            states=self._settled_states,
            n_steps=self._n_steps,
            residual=self._residual,
            converged=self._converged,
            drives=self._settled_drives,
        )
