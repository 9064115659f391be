"""The loop over the epochs: until patience or the limit, with the last good weights kept."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

from sklearn_eqprop._estimators.fitting.state import EndedBy, Outcome, TrainingState
from sklearn_eqprop._estimators.parameters import remedies as ways
from sklearn_eqprop._estimators.parameters.config import AUTO_BATCH_SIZE, Config
from sklearn_eqprop._estimators.parameters.remedies import Remedy, Situation, sentence
from sklearn_eqprop._network import SMALLEST_GAIN, Network, attenuations, feedback_gains
from sklearn_eqprop._training import SCHEDULES, Schedule
from sklearn_eqprop._training.epoch import EpochRecord, TrainingData, mean_loss, run_epoch
from sklearn_eqprop._training.trainer import Trainer
from sklearn_eqprop.exceptions import DivergenceError

if TYPE_CHECKING:
    from sklearn_eqprop._estimators.fitting.checkpoint import Checkpoint
    from sklearn_eqprop._training.averaging import WeightAverage

DIVERGENCE_REMEDIES: tuple[Remedy, ...] = (ways.SCALE_INPUTS, ways.LOWER_RATE, *ways.WEAKER_LOOPS)
DIVERGENCE_REMEDIES += (ways.LOWER_FEEDBACK_SCALE, ways.LOWER_BETA, ways.LOWER_STEP_SIZE)
#: A loss counts as better than that of a constant prediction if it is smaller by more than this
#: share of it.
LITTLE = 1e-3
#: Libraries, besides scikit-learn and joblib, that call `fit` several times.
SEARCHING = ("dask", "distributed", "multiprocessing", "optuna", "hyperopt", "skopt", "ray")
#: Modules of scikit-learn that call `fit` once.
CALLING_ONCE = ("base", "callback", "compose", "frozen", "pipeline", "utils")
#: Number of epochs after which training must be better than a constant prediction. Fewer epochs do
#: not show a trend.
PATIENT_EPOCHS = 10


@dataclass
class Progress:
    """How far the loop over the epochs has come.

    Attributes
    ----------
    n_done : int
        Epochs of this call.
    n_to_best : int
        Epochs up to the best one.
    penalty : float
        Part of the last training loss that is the penalty on the weights.
    best_weights : list of array or None
        The weights to restore at the end.
    """

    n_done: int = 0
    n_to_best: int = 0
    penalty: float = 0.0
    best_weights: list[Any] | None = None


class Observer(Protocol):
    """Watches every epoch and may stop training."""

    def epoch_begins(self) -> None:
        """Note that an epoch is about to begin."""
        ...

    def epoch_ended(self, network: Network, state: TrainingState) -> bool:
        """Note that an epoch has ended; return whether training is to stop."""
        ...


@dataclass(frozen=True)
class Run:
    """One call of fit or partial_fit, as the loop over the epochs needs it.

    Attributes
    ----------
    config : Config
    incremental : bool
        Whether this is ``partial_fit``: one epoch.
    batch_size : int
    """

    config: Config
    incremental: bool
    batch_size: int

    @property
    def max_iter(self) -> int:
        """Most epochs."""
        return 1 if self.incremental else self.config.max_iter

    @property
    def schedule(self) -> Schedule:
        """Schedule of the learning rate."""
        return SCHEDULES[self.config.learning_rate](self.config.max_iter)

    @property
    def restores_best(self) -> bool:
        """Whether the weights of the best epoch are restored at the end."""
        return not self.incremental and (
            self.config.early_stopping or self.config.restore_best_weights
        )


def run_training(
    trainer: Trainer,
    data: TrainingData,
    state: TrainingState,
    run: Run,
    validation_score: Callable[[Network], float] | None,
    observer: Observer | None,
    average: WeightAverage | None = None,
    checkpoint: Checkpoint | None = None,
) -> Outcome:
    """Train for up to `max_iter` epochs, and return how they went.

    The network and `state` are changed in place. With early stopping, `validation_score` gives the
    score of a network on held-out rows. It and the observer get the network of the `average`, if
    there is one. The `checkpoint` is written after each epoch.

    Raises
    ------
    DivergenceError
        If numbers stop being finite. The network then holds the weights of the last good epoch (if
        there was none, those that it started with). After ``partial_fit``, whose only epoch leaves
        no others, it is of no use.
    """
    network, config = trainer.network, run.config
    patience = math.inf if config.n_iter_no_change is None else config.n_iter_no_change
    if state.n_waiting > patience:  # an earlier fit ran out of patience: count from 0 again
        state.n_waiting = 0
    # If the one epoch of partial_fit fails, its arrays are dropped: there is nothing to restore.
    shown, arrays = network, network.arrays
    if average is not None:
        shown = average.network
        arrays += shown.arrays
    last_good = None if run.incremental else _copies(arrays)
    # Weights of an earlier fit that was judged in the same way: still to be beaten.
    beatable = run.restores_best and math.isfinite(state.best_score)
    so_far = Progress(best_weights=last_good if beatable else None)
    if checkpoint is not None and checkpoint.progress.n_done:
        checkpoint.restore_memory(trainer, arrays)
        so_far = checkpoint.progress
    n_before, ended_by = so_far.n_done, EndedBy.LIMIT
    started = time.perf_counter()
    try:
        while so_far.n_done < run.max_iter:
            if observer is not None:
                observer.epoch_begins()
            situation = Situation(config, network.dtype, state.standardised)
            with _restoring_on_divergence(arrays, last_good, state.n_epochs + 1, situation):
                epoch, so_far.penalty = _finite_epoch(trainer, data, state, run, average)
                held_out = None
                if validation_score is not None:
                    held_out = validation_score(shown)
            state.record(epoch, data.n_samples_given)
            if held_out is not None:
                state.validation_scores.append(held_out)
            if not run.incremental:
                last_good = _copies(arrays)
            so_far.n_done += 1
            score = -epoch.loss if held_out is None else held_out
            if state.take_score(score, config.tol) and run.restores_best:
                so_far.best_weights, so_far.n_to_best = last_good, so_far.n_done
            if config.verbose:
                seconds = (time.perf_counter() - started) / (so_far.n_done - n_before)
                _print_epoch(state, run, so_far.n_done, data.n_samples_given, seconds)
            if observer is not None and observer.epoch_ended(shown, state):
                ended_by = EndedBy.CALLBACK
                break
            if state.n_waiting > patience and not _cuts_rate(state, run):
                ended_by = EndedBy.PATIENCE
                break
            if checkpoint is not None:
                checkpoint.write(trainer, average, state, so_far, config.alpha)
    except KeyboardInterrupt:
        # An interrupt also ends the loop that calls partial_fit, and a search.
        if so_far.n_done == 0 or last_good is None or _is_one_fit_of_many():
            raise
        _restore(arrays, last_good)
        ended_by = EndedBy.INTERRUPT
    n_done, kept_epoch, kept_loss = so_far.n_done, so_far.n_done, math.inf
    if so_far.best_weights is not None:
        _restore(arrays, so_far.best_weights)
        kept_epoch = so_far.n_to_best
    if not run.incremental:
        had_time = ended_by is EndedBy.PATIENCE or n_done >= PATIENT_EPOCHS
        kept_loss = _loss_of_kept(trainer, data, state, run, n_done - kept_epoch, had_time)
    remember(trainer, state)
    curve = state.loss_curve[-n_done:]
    signal, n_stuck = _signal(trainer, config), 0
    if config.output_rho.bounded and not run.incremental:
        n_stuck = _n_stuck_outputs(trainer, data, max(run.batch_size, AUTO_BATCH_SIZE))
    return Outcome(ended_by, curve, kept_epoch, kept_loss, so_far.penalty, signal, n_stuck)


def remember(trainer: Trainer, state: TrainingState) -> None:
    """Note the memories of the safeguard and of the optimiser in the state."""
    if trainer.guard is not None:
        to_host = trainer.network.backend.to_host
        state.guard_vectors = [to_host(vector) for vector in trainer.guard.vectors]
    state.optimizer = trainer.optimizer.memory()


def _is_one_fit_of_many() -> bool:
    """Return whether code that calls `fit` several times is waiting for this call.

    These are the searches and ensembles of scikit-learn, other libraries that do the same, and
    worker processes. A pipeline calls `fit` once, for its own caller.
    """
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        package, _, rest = module.partition(".")
        if package in SEARCHING or module.startswith("joblib.parallel"):
            return True
        if package == "sklearn" and rest.partition(".")[0] not in CALLING_ONCE:
            return True
        frame = frame.f_back
    return False


def _signal(trainer: Trainer, config: Config) -> float:
    """Return what is left of a nudge where least of it arrives, see `Outcome`."""
    if not trainer.attenuated:
        return math.inf
    wiring, gains = trainer.network.wiring, feedback_gains(trainer.network)
    if wiring.is_layered and min(gains, default=1.0) < SMALLEST_GAIN:
        return 0.0  # the rescaling cannot make up for this
    return config.nudge_strength * min(attenuations(wiring, gains))


def _n_stuck_outputs(trainer: Trainer, data: TrainingData, batch_size: int) -> int:
    """Return the number of outputs that are constant, see `Outcome`."""
    backend, extremes = trainer.network.backend, []
    for inputs, target, _ in data.minibatches(trainer, None, batch_size):
        output = trainer.substrate.settle(inputs).result.states[-1]
        extremes.append(
            [side for x in (output, target) for side in (x.min(axis=0), -x.max(axis=0))]
        )
    lowest = [backend.xp.stack(part).min(axis=0) for part in zip(*extremes, strict=True)]
    low, high, low_target, high_target = lowest
    [n_stuck] = backend.numbers([((low == -high) & (low_target < -high_target)).sum()])
    return int(n_stuck)


def _loss_of_kept(
    trainer: Trainer,
    data: TrainingData,
    state: TrainingState,
    run: Run,
    n_since: int,
    had_time: bool,
) -> float:
    """Return the loss of the weights that are kept, those of `n_since` epochs ago.

    The recorded losses of the epochs before and after are enough after a few epochs, or if they
    leave no doubt that the weights are better than a constant prediction. Otherwise all rows take a
    free phase.
    """
    n_epochs = len(state.loss_curve) - n_since
    around = min(state.loss_curve[max(n_epochs - 1, 0) : n_epochs + 1])
    if not had_time or around < (1 - LITTLE) * state.constant_loss:
        return around
    loss = mean_loss(trainer, data, run.batch_size)
    return math.inf if math.isnan(loss) else loss


@contextmanager
def _restoring_on_divergence(
    arrays: list[Any], last_good: list[Any] | None, epoch: int, situation: Situation
) -> Iterator[None]:
    """If numbers stop being finite inside, restore the last good weights and name the remedies."""
    try:
        yield
    except DivergenceError as error:
        if last_good is not None:
            _restore(arrays, last_good)
        msg = (
            f"Training diverged in epoch {epoch}: {str(error).rstrip('.')}. "
            f"{sentence(situation, *DIVERGENCE_REMEDIES)}"
        )
        if epoch > 1:
            msg += " The weights of the last good epoch are kept."
        raise DivergenceError(msg) from None


def _finite_epoch(
    trainer: Trainer,
    data: TrainingData,
    state: TrainingState,
    run: Run,
    average: WeightAverage | None,
) -> tuple[EpochRecord, float]:
    """Train for one epoch; return its record, and the penalty, which is part of its loss."""
    config, schedule = run.config, run.schedule

    def factor(done: float) -> float:
        return schedule.factor(state.n_epochs + done, state.n_rate_cuts)

    epoch = run_epoch(
        trainer,
        data,
        batch_size=run.batch_size,
        rate_factor=factor,
        shuffle_rng=state.shuffle_rng if config.shuffle else None,
        nudging_rng=state.nudging_rng,
        beta=config.nudge_strength,
        average=average,
    )
    parameters = trainer.network.parameters()
    norms = trainer.network.norms([parameter.array for parameter in parameters])
    if not _is_finite(trainer.network, norms):
        msg = "a weight is not finite"
        raise DivergenceError(msg)
    of_weights = [n for n, block in zip(norms, parameters, strict=True) if block.role != "bias"]
    state.decay = config.alpha / epoch.mean_batch_weight
    # ** would raise an error if it overflows.
    penalty = 0.5 * state.decay * sum(n * n for n in of_weights) if config.alpha else 0.0
    epoch.loss += penalty
    if not math.isfinite(epoch.loss):
        msg = "the penalty on the weights is not finite"
        raise DivergenceError(msg)
    return epoch, penalty


def _cuts_rate(state: TrainingState, run: Run) -> bool:
    """Return whether a lower learning rate answers the lack of progress ('adaptive' only)."""
    if run.schedule.may_cut(state.n_rate_cuts):
        state.n_rate_cuts += 1
        state.n_waiting = 0
        return True
    if run.config.verbose and not run.incremental:
        what = "Validation score" if run.config.early_stopping else "Training loss"
        print(
            f"{what} did not improve by more than tol={run.config.tol:g} for "
            f"{state.n_waiting} epochs. Stopping."
        )
    return False


def _print_epoch(
    state: TrainingState,
    run: Run,
    n_done: int,
    n_samples: int,
    seconds: float,
) -> None:
    """Print a line on the epoch that has just ended, one of `n_done` that took `seconds` each."""
    score = f"  validation {state.validation_scores[-1]:.4f}" if run.config.early_stopping else ""
    phases = {name: values[-1] for name, values in state.relaxation.items()}
    moving = f"settled {1 - max(phases['free_unconverged'], phases['nudged_unconverged']):.1%}"
    if run.config.averages:  # nothing has to settle
        moving = f"moving {phases['free_residual']:.2g}"
    print(
        f"Epoch {state.n_epochs:3d}  loss {state.loss_curve[-1]:.5f}{score}  "
        f"sweeps {phases['free_steps']:.1f} + {phases['nudged_steps']:.1f}  {moving}  "
        f"{n_samples / seconds:,.0f} samples/s  "
        f"at most {_duration(seconds * (run.max_iter - n_done))} left",
        flush=True,
    )


def _duration(seconds: float) -> str:
    """Return a duration in words, such as "85 s", "12 min" and "3 h 5 min"."""
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _copies(arrays: list[Any]) -> list[Any]:
    return [array.copy(order="K") for array in arrays]


def _restore(arrays: list[Any], copies: list[Any]) -> None:
    for array, saved in zip(arrays, copies, strict=True):
        array[...] = saved


def _is_finite(network: Network, norms: list[float]) -> bool:
    """Return whether all parameters are finite. Squares may overflow where numbers do not."""
    backend = network.backend
    doubtful = [
        parameter.array
        for parameter, norm in zip(network.parameters(), norms, strict=True)
        if not math.isfinite(norm)
    ]
    return all(backend.numbers([backend.xp.isfinite(array).all() for array in doubtful]))
