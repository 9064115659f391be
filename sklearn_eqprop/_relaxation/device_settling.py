"""Per-sample book-keeping on a device: marked by masks there, looked at from the host rarely."""

from __future__ import annotations

from collections.abc import Sequence

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._relaxation.field import Field
from sklearn_eqprop._relaxation.pacing import Pacing
from sklearn_eqprop._relaxation.result import Result


class MarkedSamples:
    """As `ActiveSamples`, without a number read: samples that have settled are marked.

    All rows stay in the batch. When a sample settles, its states are copied to where they are kept,
    and what the sweeps make of its row from then on is of no account. Who settles when is
    decided as by `ActiveSamples`, but on the device, and without asking `Field.enough`.

    Parameters
    ----------
    field : Field
    states : list of array
    tolerance : array of shape (n_samples,)
    small_batch : int
        Samples that need not be frozen wait for all others where a batch has fewer numbers.
    share : float
        Share of the samples that must have settled at once in larger batches.

    Attributes
    ----------
    field, states : as given
    """

    def __init__(
        self,
        field: Field,
        states: Sequence[Array],
        tolerance: Array,
        *,
        small_batch: int,
        share: float,
    ) -> None:
        xp, n_samples = field.backend.xp, field.n_samples
        self.field = field
        self.states = list(states)
        self._tolerance = tolerance
        self._small_batch = small_batch
        self._share = share
        self._pacing = field.pacing or Pacing()
        self._over = n_samples == 0
        self._waiting = xp.ones(n_samples, dtype=bool)
        self._settled_states = [xp.zeros_like(state) for state in states]
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
    ) -> None:
        """Mark the samples that are within tolerance (or not finite); see `ActiveSamples`."""
        xp = self.field.backend.xp
        converged = residual <= self._tolerance
        if everything:
            newly = self._waiting
        else:
            newly = self._done(converged, residual)
            newly &= self._waiting
        self._n_steps = xp.where(newly, n_steps, self._n_steps)
        self._residual = xp.where(newly, residual, self._residual)
        self._converged = xp.where(newly, converged, self._converged)
        self._keep(self._settled_states, self.states, newly)
        if drives is not None and self.field.keeps_drives:
            if self._settled_drives is None:
                self._settled_drives = [xp.zeros_like(drive) for drive in drives]
            self._keep(self._settled_drives, drives, newly)
        if everything:
            self._over = True
            return
        self._waiting = self._waiting & ~newly
        if self._pacing.is_due(n_steps):
            self._look()

    def _done(self, converged: Array, residual: Array) -> Array:
        xp, field = self.field.backend.xp, self.field
        done = converged | ~xp.isfinite(residual)
        if field.n_phases > 1:
            of_sample = done.reshape(field.n_phases, -1).all(axis=0)
            done = xp.concatenate([of_sample] * field.n_phases)
        return done if field.freezes else done & self._enough_at_once(done)

    def _enough_at_once(self, done: Array) -> Array:
        """Whether so many samples are done that they need not wait for the others."""
        n_done, n_waiting = (done & self._waiting).sum(), self._waiting.sum()
        large = n_waiting * sum(self.field.network.layer_sizes) >= self._small_batch
        return (n_done == n_waiting) | (large & (n_done >= self._share * n_waiting))

    def _keep(self, kept: Sequence[Array], arrays: Sequence[Array], newly: Array) -> None:
        for target, source in zip(kept, arrays, strict=True):
            self.field.backend.copy_rows(target, source, newly)

    def _look(self) -> None:
        """The one place where the host waits: two numbers are read."""
        waiting, last = self.field.backend.numbers([self._waiting.sum(), self._n_steps.max()])
        self._over = waiting == 0
        if self._over:
            self._pacing.ended(int(last))

    @property
    def is_empty(self) -> bool:
        """Whether every sample is known to have been put aside."""
        return self._over

    def result(self) -> Result:
        """Everything put aside, in the order of the samples."""
        return Result(
            states=self._settled_states,
            n_steps=self._n_steps,
            residual=self._residual,
            converged=self._converged,
            drives=self._settled_drives,
        )
