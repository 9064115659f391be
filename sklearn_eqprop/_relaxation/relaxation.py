"""The relaxation loop, the contract of one step, and the record of settled samples."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._relaxation.fields import Field
from sklearn_eqprop._relaxation.result import Result

if TYPE_CHECKING:
    from sklearn_eqprop._relaxation.device_samples import Pacing

#: Settled rows stay in the batch until they are this share of it. Copying the other rows together
#: costs more than a few idle rows in a product.
COMPACTION_SHARE = 0.25
#: Samples that do not freeze wait for each other in batches of fewer numbers than this: there a
#: sweep is cheaper than the copying.
SMALL_BATCH = 2**16

#: ``enough(states, drives)``: mask of the samples that may stop before they are within tolerance,
#: given every layer's state and drive.
Enough = Callable[[Sequence[Array], Sequence[Array]], Array]


def is_small(field: Field, n_rows: int) -> bool:
    """Return whether sweeps over so many rows cost less than copying rows together."""
    return n_rows * sum(field.network.layer_sizes) < SMALL_BATCH


@dataclass(frozen=True)
class SettleOptions:
    """Options of one relaxation that decide when samples stop and which numbers are kept."""

    #: True: a settled sample keeps its state, so that no result depends on which other samples are
    #: in the batch. False: it may settle further together with the others, which is cheaper.
    freezes: bool = True
    #: What the result has: the final states of all layers, with or without the drives there, or the
    #: states of the output only.
    keeps: Literal["drives", "states", "output"] = "states"
    #: Samples that may stop early, see `Enough`. A device does not ask it.
    enough: Enough | None = None
    #: Relative change of the output that feedback is expected to bring after a feedforward pass.
    #: Gauss-Seidel then starts its second sweep from there and does not measure the residual of the
    #: pass. None: it measures, and starts from the states of the pass.
    lead: float | None = None
    #: On a device: when the host checks whether all samples have settled. None: every few sweeps.
    pacing: Pacing | None = None


DEFAULT_OPTIONS = SettleOptions()


@dataclass
class Batch:
    """The samples that a relaxation still works on."""

    field: Field
    #: State of layers 1..L. `Relaxation.advance` replaces the list and leaves the old arrays
    #: unchanged.
    states: list[Array]
    #: Whether the relaxation started from zero states.
    from_rest: bool
    #: Whether the change enters at the output (nudged phase) and not at the input (free phase).
    downward: bool
    options: SettleOptions
    #: Values that the relaxation keeps from step to step: arrays with one row per sample, alone or
    #: in lists, tuples or dataclasses.
    memory: Any = None
    #: Number of steps taken so far.
    n_steps: int = 0
    #: Whether the limit of steps is reached, so that the residual must be measured now.
    is_last: bool = False
    #: Whether the number of steps is given, so that nobody reads the residual.
    is_counted: bool = False


class Relaxation(ABC):
    """A method that finds a fixed point of a field, one step after the other.

    A subclass has two methods: `measure` computes how far the batch is from a fixed point, and
    `advance` takes one step. This class has the loop, records settled samples and removes their
    rows.

    Parameters
    ----------
    step_size : float
        Euler's ε, or damping of the updates, in (0, 1].
    """

    #: Name by which users choose the relaxation.
    name: ClassVar[str]
    #: Whether a step with ``step_size=1`` solves each layer. One sweep then carries a nudge to
    #: every layer, and training may use a loose tolerance in its nudged phase.
    solves_layers: ClassVar[bool] = False
    #: Whether steps oscillate under a strong nudge, as Euler's do.
    explicit_steps: ClassVar[bool] = False
    #: Whether each row moves, or stays, by its own earlier steps. Two rows cannot then be the parts
    #: of one complex state.
    extrapolates: ClassVar[bool] = False
    #: Whether the steps follow the dynamics in time, as ``objective='trajectory'`` needs.
    follows_trajectory: ClassVar[bool] = False

    def __init__(self, step_size: float) -> None:
        self.step_size = step_size

    def begin(self, batch: Batch) -> Any:
        """First value of ``batch.memory``; None by default."""
        return None

    @abstractmethod
    def measure(self, batch: Batch) -> tuple[Array, list[Array]] | None:
        """Residual of each sample and drive of each layer at ``batch.states``.

        None, allowed unless ``batch.is_last``: not measured, no sample stops before the next step.
        """

    @abstractmethod
    def advance(self, batch: Batch) -> None:
        """Take one step: replace ``batch.states``."""

    def keep_rows(self, batch: Batch, rows: Array) -> None:
        """Keep some of the samples in the batch; `rows` are their indices."""
        batch.field = batch.field.take(rows)
        batch.states = [state[rows] for state in batch.states]
        batch.memory = _rows_of(batch.memory, rows)

    def settle(
        self,
        field: Field,
        states: Sequence[Array] | None,
        tolerance: Array,
        max_iter: int,
        *,
        downward: bool = False,
        options: SettleOptions = DEFAULT_OPTIONS,
    ) -> Result:
        """Settle every sample until its own residual is within its tolerance.

        Parameters
        ----------
        field : Field
        states : list of array or None
            Start, which stays unchanged. None: all units at zero.
        tolerance : array of shape (n_samples,)
            Largest residual of a settled sample.
        max_iter : int
            Largest number of steps or sweeps of any sample, at least 1.
        downward : bool, default=False
            Whether the change enters at the output (nudged phase) and not at the input. Methods
            that visit one layer after the other then start at the output.
        options : SettleOptions
        """
        start = field.zero_states() if states is None else list(states)
        batch = Batch(field, start, states is None, downward, options)
        record = _record_of(batch, tolerance)
        batch.memory = self.begin(batch)
        for n_steps in itertools.count():
            batch.n_steps, batch.is_last = n_steps, n_steps >= max_iter
            measured = self.measure(batch)
            if measured is not None:
                left = record.put_aside(*measured)
                if record.is_over:
                    break
                if left is not None:
                    self.keep_rows(batch, left)
            self.advance(batch)
        return record.result()

    def repeat(self, field: Field, n_steps: int, options: SettleOptions) -> Result:
        """Take a given number of steps from zero states, and measure nothing.

        The first step of a free phase, which keeps its drives, is a feedforward pass.
        """
        downward = options.keeps != "drives"
        batch = Batch(field, field.zero_states(), True, downward, options, is_counted=True)
        batch.memory = self.begin(batch)
        for batch.n_steps in range(n_steps):
            self.measure(batch)
            self.advance(batch)
        batch.n_steps, batch.is_last = n_steps, True
        measured = self.measure(batch) if options.keeps == "drives" else None
        return Result(batch.states, drives=None if measured is None else measured[1])


def _rows_of(memory: Any, rows: Array) -> Any:
    """Some rows of every array in a relaxation's memory."""
    if memory is None:
        return None
    if isinstance(memory, (list, tuple)):
        return type(memory)(_rows_of(part, rows) for part in memory)
    if is_dataclass(memory) and not isinstance(memory, type):
        parts = {field.name: getattr(memory, field.name) for field in fields(memory)}
        return replace(memory, **{name: _rows_of(part, rows) for name, part in parts.items()})
    return memory[rows]


class SettledSamples(ABC):
    """Record of the samples that have settled: how, when and in which states."""

    def __init__(self, batch: Batch, tolerance: Array) -> None:
        xp, n_samples = batch.field.backend.xp, batch.field.n_samples
        #: Whether every sample is known to have settled or stopped.
        self.is_over = False
        self._batch = batch
        self._tolerance = tolerance
        self._states: list[Array] = []
        self._drives: list[Array] | None = None
        self._n_steps = xp.zeros(n_samples, dtype=xp.int64)
        self._residual = xp.zeros(n_samples, dtype=tolerance.dtype)
        self._converged = xp.zeros(n_samples, dtype=bool)

    @abstractmethod
    def put_aside(self, residual: Array, drives: list[Array]) -> Array | None:
        """Record the samples that are within tolerance, far enough, or not finite.

        The residual of each row and the drive of every layer belong to the states of the batch. If
        phases are stacked, a sample stops when all of its phases may. The result are the indices of
        the rows to keep in the batch; None: all.
        """

    def _may_stop(self, converged: Array, residual: Array) -> Array:
        """Mask of the rows that need no further step."""
        field = self._batch.field
        xp = field.backend.xp
        # A state that is not finite stays so: further steps are useless.
        done = converged | ~xp.isfinite(residual)
        if field.n_phases > 1:
            of_sample = done.reshape(field.n_phases, -1).all(axis=0)
            done = xp.concatenate([of_sample] * field.n_phases)
        return done

    def _kept(self, drives: list[Array]) -> tuple[list[Array], list[Array]]:
        """States and drives that the result will have."""
        states, keeps = self._batch.states, self._batch.options.keeps
        return states[-1:] if keeps == "output" else states, drives if keeps == "drives" else []

    def result(self) -> Result:
        """Everything recorded, in the order of the samples."""
        return Result(self._states, self._n_steps, self._residual, self._converged, self._drives)


class HostSamples(SettledSamples):
    """Record on the host, which looks at every residual and removes settled rows.

    If samples freeze, a settled one keeps the state at which its residual was first within
    tolerance. Its row stays in the batch, without effect, until enough rows are idle. If they do
    not freeze (`SettleOptions.freezes`), all take further steps until enough have settled at once.
    """

    def __init__(self, batch: Batch, tolerance: Array) -> None:
        super().__init__(batch, tolerance)
        self._rows: Array | None = None  # sample of each row; None: every sample, in order
        self._idle: Array | None = None  # mask of the rows recorded already; None: none of them
        self._n_active: int = batch.field.n_samples

    def put_aside(self, residual: Array, drives: list[Array]) -> Array | None:
        batch, options = self._batch, self._batch.options
        xp = batch.field.backend.xp
        converged = residual <= self._tolerance
        if options.enough is not None:
            converged |= options.enough(batch.states, drives)
        done = xp.ones_like(converged) if batch.is_last else self._may_stop(converged, residual)
        if self._rows is None and self._idle is None and done.all():
            self._record_all(residual, converged, drives)
            return None
        if not (options.freezes or batch.is_last) and self._too_few(done):
            return None
        if self._idle is not None:
            done &= ~self._idle
        (rows,) = xp.nonzero(done)
        if not rows.shape[0]:
            return None
        self._record(rows, residual, converged, drives)
        self._idle = done if self._idle is None else self._idle | done
        self._n_active -= rows.shape[0]
        self.is_over = self._n_active == 0
        if self.is_over or self._n_active > (1 - COMPACTION_SHARE) * done.shape[0]:
            return None
        (left,) = xp.nonzero(~self._idle)
        self._rows = left if self._rows is None else self._rows[left]
        self._idle = None
        self._tolerance = self._tolerance[left]
        return left

    def _too_few(self, done: Array) -> bool:
        """Whether to leave all samples in the batch for now."""
        n_done, n_rows = int(done.sum()), done.shape[0]
        small = is_small(self._batch.field, n_rows)
        return n_done < n_rows and (small or n_done < COMPACTION_SHARE * n_rows)

    def _record_all(self, residual: Array, converged: Array, drives: list[Array]) -> None:
        """Record every sample at once, which is the usual case: nothing is copied."""
        self._n_steps.fill(self._batch.n_steps)
        self._residual, self._converged = residual, converged
        self._states, kept = self._kept(drives)
        self._drives = kept or None
        self.is_over = True

    def _record(self, rows: Array, residual: Array, converged: Array, drives: list[Array]) -> None:
        samples = rows if self._rows is None else self._rows[rows]
        self._n_steps[samples] = self._batch.n_steps
        self._residual[samples] = residual[rows]
        self._converged[samples] = converged[rows]
        states, kept = self._kept(drives)
        if not self._states:
            self._states = self._empty_like(states)
            self._drives = self._empty_like(kept) or None
        for settled, now in zip(
            [*self._states, *(self._drives or [])], [*states, *kept], strict=True
        ):
            settled[samples] = now[rows]

    def _empty_like(self, arrays: Sequence[Array]) -> list[Array]:
        xp, n_samples = self._batch.field.backend.xp, self._n_steps.shape[0]
        return [xp.empty((n_samples, array.shape[1]), dtype=array.dtype) for array in arrays]


def _record_of(batch: Batch, tolerance: Array) -> SettledSamples:
    """Record that suits the place where the arrays live."""
    if batch.field.backend.is_device:
        # Imported here, because it is built on the classes above.
        from sklearn_eqprop._relaxation.device_samples import DeviceSamples

        return DeviceSamples(batch, tolerance)
    return HostSamples(batch, tolerance)
