"""The fit loop: epochs until patience or the limit, with the last good weights kept."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from sklearn_eqprop.estimators.stopping import PatienceStop
from sklearn_eqprop.exceptions import DivergenceError
from sklearn_eqprop.learning.epoch import EpochRecord, TrainingData, run_epoch
from sklearn_eqprop.learning.schedules import ADAPTIVE_FLOOR, rate_factor
from sklearn_eqprop.learning.trainer import Trainer
from sklearn_eqprop.network import Network

#: Fraction of unsettled samples in the last epoch from which a fit warns.
UNSETTLED_WARNING = 0.01

#: Columns of ``relaxation_``.
RELAXATION_RECORDS = (
    "free_steps",
    "nudged_steps",
    "free_residual",
    "nudged_residual",
    "free_unconverged",
    "nudged_unconverged",
)


class EndedBy(Enum):
    """Why training ended."""

    LIMIT = "max_iter was reached"
    PATIENCE = "no more improvement"
    INTERRUPT = "the user interrupted it"


@dataclass(frozen=True)
class FitSettings:
    """The part of the estimator's parameters that steers the fit loop."""

    max_iter: int
    schedule_length: int
    batch_size: int
    learning_rate: str
    tol: float
    n_iter_no_change: int | None
    early_stopping: bool
    shuffle: bool
    alpha: float
    beta: float
    verbose: int
    incremental: bool


@dataclass
class TrainingState:
    """All that training remembers between calls, besides the weights; NumPy and numbers only.

    Attributes
    ----------
    split_seed : int
        Of the split into training and validation rows.
    shuffle_rng, nudging_rng : RandomState
    optimizer : dict or None
        Memory of the optimiser.
    guard_vectors : list of ndarray or None
        Memory of the loop-gain safeguard.
    n_epochs, n_samples_seen, n_rate_cuts : int
    best_score, n_waiting : float, int
        Memory of `PatienceStop`.
    loss_curve, validation_scores : list of float
    relaxation : dict of str to list of float
    """

    split_seed: int
    shuffle_rng: np.random.RandomState
    nudging_rng: np.random.RandomState
    optimizer: dict[str, Any] | None = None
    guard_vectors: list[np.ndarray] | None = None
    n_epochs: int = 0
    n_samples_seen: int = 0
    n_rate_cuts: int = 0
    best_score: float = -math.inf
    n_waiting: int = 0
    loss_curve: list[float] = field(default_factory=list)
    validation_scores: list[float] = field(default_factory=list)
    relaxation: dict[str, list[float]] = field(
        default_factory=lambda: {name: [] for name in RELAXATION_RECORDS}
    )

    def record(self, epoch: EpochRecord, loss: float, n_samples: int) -> None:
        """Take in what an epoch reported."""
        self.n_epochs += 1
        self.n_samples_seen += n_samples
        self.loss_curve.append(loss)
        for name in RELAXATION_RECORDS:
            self.relaxation[name].append(getattr(epoch, name))


def run_training(
    trainer: Trainer,
    data: TrainingData,
    state: TrainingState,
    settings: FitSettings,
    validation_score: Callable[[Network], float] | None,
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

    Returns
    -------
    EndedBy
        Why training ended.

    Raises
    ------
    DivergenceError
        If numbers stop being finite; the network then holds the weights of the last
        epoch that ended well (those it came with, if there was none).
    """
    network = trainer.substrate.network
    stop = PatienceStop(settings.tol, settings.n_iter_no_change, state.best_score, state.n_waiting)
    if stop.exhausted:  # an earlier fit ended for lack of progress: a new one gets a new chance
        stop.n_waiting = 0
    best_weights = None
    last_good = _weights(network)
    n_done = 0
    ended_by = EndedBy.LIMIT
    started = time.perf_counter()
    try:
        while n_done < settings.max_iter:
            epoch = _finite_epoch(trainer, data, state, settings, last_good)
            last_good = _weights(network)
            n_done += 1
            loss = epoch.loss + _penalty(network, settings.alpha, epoch.mean_batch_weight)
            state.record(epoch, loss, data.n_samples_given)
            score = -loss
            if validation_score is not None:
                score = validation_score(network)
                state.validation_scores.append(score)
            if stop.update(score) and validation_score is not None:
                best_weights = last_good
            if settings.verbose:
                _print_epoch(state, epoch, settings, n_done, time.perf_counter() - started)
            if _out_of_patience(stop, state, settings):
                ended_by = EndedBy.PATIENCE
                break
    except KeyboardInterrupt:
        _restore(network, last_good)
        ended_by = EndedBy.INTERRUPT
    if best_weights is not None:
        _restore(network, best_weights)
    if trainer.guard is not None:
        state.guard_vectors = [network.backend.to_host(v) for v in trainer.guard.vectors]
    state.optimizer = trainer.optimizer.memory()
    state.best_score, state.n_waiting = stop.best, stop.n_waiting
    return ended_by


def warn_about_training(state: TrainingState, ended_by: EndedBy, settings: FitSettings) -> None:
    """Report, once a fit, what went wrong: no end, no learning, dynamics that did not settle."""
    if ended_by is EndedBy.INTERRUPT:
        warnings.warn("Training interrupted by user.", UserWarning, stacklevel=4)
    if not state.loss_curve:
        return
    if ended_by is EndedBy.LIMIT and not settings.incremental:
        _warn_not_converged(settings)
    curve, tol = state.loss_curve, settings.tol
    never_improved = len(curve) > 1 and curve[0] - min(curve) <= tol < min(curve)
    if never_improved and not settings.incremental:  # later slices may just be harder ones
        warnings.warn(
            f"Training never improved: the loss was {curve[0]:.4g} in the first epoch and "
            f"{min(curve):.4g} at best in {len(curve)}. Scale the inputs (StandardScaler), change "
            "learning_rate_init, or check that the targets depend on the inputs.",
            ConvergenceWarning,
            stacklevel=4,
        )
    for phase, limit in (("free", "max_relax_iter"), ("nudged", "max_nudge_iter")):
        fraction = state.relaxation[f"{phase}_unconverged"][-1]
        if fraction > UNSETTLED_WARNING:
            warnings.warn(
                f"The {phase} phase did not settle for {fraction:.1%} of the samples in the last "
                f"epoch (largest residual {state.relaxation[f'{phase}_residual'][-1]:.2g}). Raise "
                f"{limit}, lower loop_gain or step_size, or use relaxation='gauss_seidel'.",
                ConvergenceWarning,
                stacklevel=4,
            )


def _finite_epoch(
    trainer: Trainer,
    data: TrainingData,
    state: TrainingState,
    settings: FitSettings,
    last_good: list[Any],
) -> EpochRecord:
    """One epoch; numbers that stop being finite become an error, the last good weights restored."""
    network = trainer.substrate.network
    factor = rate_factor(
        settings.learning_rate, state.n_epochs, settings.schedule_length, state.n_rate_cuts
    )
    try:
        # Overflow is looked for, and reported in terms of the parameters, right here.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            epoch = run_epoch(
                trainer,
                data,
                batch_size=settings.batch_size,
                rate_factor=factor,
                shuffle_rng=state.shuffle_rng if settings.shuffle else None,
                nudging_rng=state.nudging_rng,
                beta=settings.beta,
            )
        if not _is_finite(network):
            msg = "a weight is not finite"
            raise DivergenceError(msg)
    except DivergenceError as error:
        _restore(network, last_good)
        msg = (
            f"Training diverged in epoch {state.n_epochs + 1}: {error}. Likely causes: inputs "
            "that are not scaled (put a StandardScaler in front), learning_rate_init too large, "
            "or feedback too strong (set loop_gain=0.2, lower feedback_scale). The weights of "
            "the last good epoch are kept."
        )
        raise DivergenceError(msg) from None
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


def _warn_not_converged(settings: FitSettings) -> None:
    if settings.learning_rate == "cosine":
        return  # the schedule ends there by design
    warnings.warn(
        f"Training reached max_iter={settings.max_iter} epochs while the "
        f"{'validation score' if settings.early_stopping else 'loss'} was still improving: raise "
        "max_iter, raise tol, or raise learning_rate_init.",
        ConvergenceWarning,
        stacklevel=5,
    )


def _print_epoch(
    state: TrainingState, epoch: EpochRecord, settings: FitSettings, n_done: int, seconds: float
) -> None:
    per_epoch = seconds / n_done
    rate = state.n_samples_seen / max(state.n_epochs, 1) / per_epoch
    score = f"  validation {state.validation_scores[-1]:.4f}" if settings.early_stopping else ""
    settled = 1 - max(epoch.free_unconverged, epoch.nudged_unconverged)
    print(
        f"Epoch {state.n_epochs:3d}  loss {state.loss_curve[-1]:.5f}{score}  "
        f"sweeps {epoch.free_steps:.1f} + {epoch.nudged_steps:.1f}  settled {settled:.1%}  "
        f"{rate:,.0f} samples/s  at most {per_epoch * (settings.max_iter - n_done):.0f} s left",
        flush=True,
    )


def _penalty(network: Network, alpha: float, batch_weight: float) -> float:
    """L2 term of the loss, as a minibatch of that total weight sees it."""
    if alpha == 0:
        return 0.0
    squares = sum(
        float((parameter.array**2).sum())
        for parameter in network.parameters()
        if parameter.role != "bias"
    )
    return 0.5 * alpha * squares / batch_weight


def _weights(network: Network) -> list[Any]:
    """Copies of every parameter."""
    return [parameter.array.copy() for parameter in network.parameters()]


def _restore(network: Network, weights: list[Any]) -> None:
    for parameter, saved in zip(network.parameters(), weights, strict=True):
        parameter.array[...] = saved


def _is_finite(network: Network) -> bool:
    xp = network.backend.xp
    return all(bool(xp.isfinite(parameter.array).all()) for parameter in network.parameters())
