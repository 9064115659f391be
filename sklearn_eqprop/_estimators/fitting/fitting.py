"""The fit loop: epochs until patience or the limit, with the last good weights kept."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sklearn_eqprop._estimators.fitting.epoch_callbacks import EpochCallbacks
from sklearn_eqprop._estimators.fitting.reporting import LITTLE, print_epoch
from sklearn_eqprop._estimators.fitting.stopping import PatienceStop
from sklearn_eqprop._estimators.fitting.training_state import EndedBy, FitSettings, TrainingState
from sklearn_eqprop._network import SMALLEST_GAIN, Network, attenuations, feedback_gains
from sklearn_eqprop._training.epoch import EpochRecord, TrainingData, mean_loss, run_epoch
from sklearn_eqprop._training.optimizers import moved_memory
from sklearn_eqprop._training.schedules import ADAPTIVE_FLOOR, rate_factor
from sklearn_eqprop._training.trainer import Trainer
from sklearn_eqprop.exceptions import DivergenceError


def run_training(
    trainer: Trainer,
    data: TrainingData,
    state: TrainingState,
    settings: FitSettings,
    validation_score: Callable[[Network], float] | None,
    callbacks: EpochCallbacks,
) -> EndedBy:
    """Train for up to `max_iter` epochs; the network and `state` are changed in place.

    Parameters
    ----------
    trainer : Trainer
    data : TrainingData
    state : TrainingState
    settings : FitSettings
    validation_score : callable or None
        Score of a network on held-out rows; with early stopping only.
    callbacks : EpochCallbacks

    Returns
    -------
    EndedBy
        Why training ended.

    Raises
    ------
    DivergenceError
        If numbers stop being finite; the network then holds the weights of the last
        epoch that ended well (those it came with, if there was none), but is of no use any
        more after `partial_fit`, whose one epoch leaves no others.
    """
    network = trainer.network
    stop = PatienceStop(settings.tol, settings.n_iter_no_change, state.best_score, state.n_waiting)
    if stop.exhausted:  # an earlier fit ended for lack of progress: a new one gets a new chance
        stop.n_waiting = 0
    # One epoch that fails takes its arrays with it: there is nothing to restore.
    last_good = None if settings.incremental else _weights(network)
    # An earlier fit that was judged likewise has left its best weights: still to be beaten.
    beatable = settings.restore_best and math.isfinite(state.best_score)
    best_weights = last_good if beatable else None
    n_done = n_to_best = 0
    ended_by = EndedBy.LIMIT
    started = time.perf_counter()
    try:
        while n_done < settings.max_iter:
            callbacks.epoch_begins()
            with _restoring_on_divergence(network, last_good, state.n_epochs + 1):
                epoch = _finite_epoch(trainer, data, state, settings)
                held_out = None if validation_score is None else validation_score(network)
            if not settings.incremental:
                last_good = _weights(network)
            n_done += 1
            state.record(epoch, data.n_samples_given)
            if held_out is not None:
                state.validation_scores.append(held_out)
            is_best = stop.update(-epoch.loss if held_out is None else held_out)
            if is_best and settings.restore_best:
                best_weights, n_to_best = last_good, n_done
            if settings.verbose:
                seconds = (time.perf_counter() - started) / n_done
                print_epoch(state, epoch, settings, n_done, data.n_samples_given, seconds)
            if callbacks.epoch_ended(network, state):
                ended_by = EndedBy.CALLBACK
                break
            if _out_of_patience(stop, state, settings):
                ended_by = EndedBy.PATIENCE
                break
    except KeyboardInterrupt:
        if last_good is None:  # partial_fit: the caller's loop over slices is what is to end
            raise
        _restore(network, last_good)
        ended_by = EndedBy.INTERRUPT
    state.kept_loss = None
    if best_weights is not None:
        _restore(network, best_weights)
        if n_to_best <= 1 < n_done:  # training has led nowhere better
            state.kept_loss = _if_in_doubt(trainer, data, state, settings, n_done - n_to_best)
    if trainer.guard is not None:
        state.guard_vectors = [network.backend.to_host(v) for v in trainer.guard.vectors]
    state.optimizer = moved_memory(trainer.optimizer.memory(), network.backend.to_host)
    if trainer.attenuated:
        gains = feedback_gains(network)
        carried = min(attenuations(network.wiring, gains))
        if network.wiring.is_layered and min(gains, default=1.0) < SMALLEST_GAIN:
            carried = 0.0  # not even made up for by the rescaling
        state.signal = abs(settings.beta) * carried
    state.best_score, state.n_waiting = stop.best, stop.n_waiting
    return ended_by


def _if_in_doubt(
    trainer: Trainer, data: TrainingData, state: TrainingState, settings: FitSettings, n_since: int
) -> float | None:
    """Loss of weights of `n_since` epochs ago, where they may be no better than a constant.

    That takes a free phase of all rows, so only where losses recorded around that epoch say so.
    """
    n_epochs = len(state.loss_curve) - n_since
    around = state.loss_curve[max(n_epochs - 1, 0) : n_epochs + 1]
    in_doubt = min(around) >= (1 - LITTLE) * state.constant_loss
    return mean_loss(trainer, data, settings.batch_size) if in_doubt else None


@contextmanager
def _restoring_on_divergence(
    network: Network, last_good: list[Any] | None, epoch: int
) -> Iterator[None]:
    """Numbers that stop being finite: restore the last good weights, say what to change."""
    try:
        yield
    except DivergenceError as error:
        if last_good is not None:
            _restore(network, last_good)
        msg = (
            f"Training diverged in epoch {epoch}: {str(error).rstrip('.')}. Likely causes: inputs "
            "that are not scaled (put a StandardScaler in front), learning_rate_init too large, "
            "feedback too strong (set or lower loop_gain, lower feedback_scale), or a nudge too "
            "strong for its steps (lower |beta| or step_size)."
        )
        if epoch > 1:
            msg += " The weights of the last good epoch are kept."
        raise DivergenceError(msg) from None


def _finite_epoch(
    trainer: Trainer, data: TrainingData, state: TrainingState, settings: FitSettings
) -> EpochRecord:
    """One epoch.

    Raises
    ------
    DivergenceError
        If a loss or a weight stops being finite.
    """
    schedule, length = settings.learning_rate, settings.schedule_length

    def factor(done: float) -> float:
        return rate_factor(schedule, state.n_epochs + done, length, state.n_rate_cuts)

    epoch = run_epoch(
        trainer,
        data,
        batch_size=settings.batch_size,
        rate_factor=factor,
        shuffle_rng=state.shuffle_rng if settings.shuffle else None,
        nudging_rng=state.nudging_rng,
        beta=settings.beta,
    )
    parameters = trainer.network.parameters()
    norms = trainer.network.norms([parameter.array for parameter in parameters])
    if not _is_finite(trainer.network, norms):
        msg = "a weight is not finite"
        raise DivergenceError(msg)
    of_weights = [n for n, block in zip(norms, parameters, strict=True) if block.role != "bias"]
    state.decay = settings.alpha / epoch.mean_batch_weight
    state.penalty = _penalty(of_weights, settings.alpha, epoch.mean_batch_weight)
    epoch.loss += state.penalty
    if not math.isfinite(epoch.loss):
        msg = "the penalty on the weights is not finite"
        raise DivergenceError(msg)
    return epoch


def _out_of_patience(stop: PatienceStop, state: TrainingState, settings: FitSettings) -> bool:
    """Whether to stop; 'adaptive' answers the first few times with a lower rate instead."""
    if not stop.exhausted:
        return False
    if settings.learning_rate == "adaptive":
        next_factor = rate_factor("adaptive", 0, 0, state.n_rate_cuts + 1)
        if next_factor >= ADAPTIVE_FLOOR:
            state.n_rate_cuts += 1
            stop.n_waiting = 0
            return False
    if settings.verbose:
        what = "Validation score" if settings.early_stopping else "Training loss"
        print(
            f"{what} did not improve by more than tol={settings.tol:g} for "
            f"{stop.n_waiting} epochs. Stopping."
        )
    return True


def _penalty(norms: list[float], alpha: float, batch_weight: float) -> float:
    """L2 term of the loss, as a minibatch of that total weight sees it; norms of the weights."""
    if alpha == 0:
        return 0.0
    squares = sum(norm * norm for norm in norms)  # ** raises where it overflows
    return 0.5 * alpha * squares / batch_weight


def _weights(network: Network) -> list[Any]:
    """Copies of every parameter."""
    return [parameter.array.copy(order="K") for parameter in network.parameters()]


def _restore(network: Network, weights: list[Any]) -> None:
    for parameter, saved in zip(network.parameters(), weights, strict=True):
        parameter.array[...] = saved


def _is_finite(network: Network, norms: list[float]) -> bool:
    """Whether all parameters are; a finite norm settles it, but squares may overflow."""
    backend = network.backend
    doubtful = [
        parameter.array
        for parameter, norm in zip(network.parameters(), norms, strict=True)
        if not math.isfinite(norm)
    ]
    return all(backend.numbers([backend.xp.isfinite(array).all() for array in doubtful]))
