"""Record of settled samples on a device, which the host reads only now and then."""

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._relaxation.relaxation import (
    COMPACTION_SHARE,
    SMALL_BATCH,
    Batch,
    SettledSamples,
)

#: Sweeps between two checks whether all samples have settled. A check costs a device less than the
#: useless sweeps without it.
CHECK_EVERY = 3


class Pacing:
    """Number of steps after which the host checks whether a phase is over.

    The first check comes where the last phase of the same kind ended, the others every few steps.
    Steps beyond the end have no effect, so this changes the time but not the results.
    """

    def __init__(self) -> None:
        self._first = CHECK_EVERY

    def is_due(self, n_steps: int) -> bool:
        """Whether to check after that many steps."""
        return n_steps >= self._first and (n_steps - self._first) % CHECK_EVERY == 0

    def ended(self, n_steps: int) -> None:
        """Remember how many steps a phase needed."""
        self._first = max(n_steps, 1)


class DeviceSamples(SettledSamples):
    """Record by masks on the device: no number is read in a sweep.

    All rows stay in the batch. When a sample settles, its states are copied to the record, and
    later changes of its row have no effect. The device decides who settles when, by the rules of
    `HostSamples` but without `SettleOptions.enough`.
    """

    def __init__(self, batch: Batch, tolerance: Array) -> None:
        super().__init__(batch, tolerance)
        xp, n_samples = batch.field.backend.xp, batch.field.n_samples
        self.is_over = n_samples == 0
        self._pacing = batch.options.pacing or Pacing()
        self._waiting = xp.ones(n_samples, dtype=bool)
        self._states = [xp.zeros_like(state) for state in self._kept([])[0]]

    def put_aside(self, residual: Array, drives: list[Array]) -> None:
        batch = self._batch
        xp = batch.field.backend.xp
        converged = residual <= self._tolerance
        newly = self._waiting
        if not batch.is_last:
            newly = self._may_stop(converged, residual)
            if not batch.options.freezes:
                newly = newly & self._enough_at_once(newly)
            newly &= self._waiting
        self._n_steps = xp.where(newly, batch.n_steps, self._n_steps)
        self._residual = xp.where(newly, residual, self._residual)
        self._converged = xp.where(newly, converged, self._converged)
        states, drives = self._kept(drives)
        self._copy(self._states, states, newly)
        if drives:
            if self._drives is None:
                self._drives = [xp.zeros_like(drive) for drive in drives]
            self._copy(self._drives, drives, newly)
        if batch.is_last:
            self.is_over = True
            return
        self._waiting = self._waiting & ~newly
        if self._pacing.is_due(batch.n_steps):
            self._check()

    def _enough_at_once(self, done: Array) -> Array:
        """Whether so many samples are done that they need not wait for the others."""
        n_done, n_waiting = (done & self._waiting).sum(), self._waiting.sum()
        large = n_waiting * sum(self._batch.field.network.layer_sizes) >= SMALL_BATCH
        return (n_done == n_waiting) | (large & (n_done >= COMPACTION_SHARE * n_waiting))

    def _copy(self, kept: list[Array], arrays: list[Array], rows: Array) -> None:
        for target, source in zip(kept, arrays, strict=True):
            self._batch.field.backend.copy_rows(target, source, rows)

    def _check(self) -> None:
        """Read two numbers. Nowhere else does the host wait for the device."""
        waiting, last = self._batch.field.backend.numbers(
            [self._waiting.sum(), self._n_steps.max()]
        )
        self.is_over = waiting == 0
        if self.is_over:
            self._pacing.ended(int(last))
