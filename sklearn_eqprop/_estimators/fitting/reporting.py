"""What a user is told: a line an epoch, and once a fit what went wrong."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sklearn_eqprop._estimators.fitting.training_state import EndedBy, FitSettings, TrainingState
from sklearn_eqprop._relaxation import RUNAWAY
from sklearn_eqprop._training.epoch import EpochRecord
from sklearn_eqprop._warnings import warn_at_call

#: Fraction of unsettled samples in the last epoch from which a fit warns.
UNSETTLED_WARNING = 0.01
#: Epochs after which training must have done better than a constant prediction.
PATIENT_EPOCHS = 10
#: Share of the loss of a constant prediction by which less is no better.
LITTLE = 1e-3
#: Weight decay, relative to the loss of a sample, that may well be why nothing was learned.
STRONG_DECAY = 0.05


def warn_about_training(
    state: TrainingState, ended_by: EndedBy, settings: FitSettings, n_epochs: int, dtype: Any
) -> None:
    """Report, once a fit of some epochs, what went wrong.

    Training that was interrupted, did not learn or did not end; dynamics that did not
    settle; feedback too weak for the arithmetic.
    """
    if ended_by is EndedBy.INTERRUPT:
        warn_at_call("Training interrupted by user.", UserWarning)
    if not n_epochs:
        return
    if not settings.incremental:  # a later slice may just be a harder one
        _warn_about_loss(state, ended_by, settings, n_epochs)
    _warn_about_settling(state, n_epochs, averaged=settings.averaged)
    _warn_about_weak_feedback(state, settings, dtype)


def print_epoch(
    state: TrainingState,
    epoch: EpochRecord,
    settings: FitSettings,
    n_done: int,
    n_samples: int,
    seconds: float,
) -> None:
    """One line on the epoch that has just ended, one of `n_done` that took `seconds` each."""
    score = f"  validation {state.validation_scores[-1]:.4f}" if settings.early_stopping else ""
    moving = f"settled {1 - max(epoch.free_unconverged, epoch.nudged_unconverged):.1%}"
    if settings.averaged:  # nothing has to settle
        moving = f"moving {epoch.free_residual:.2g}"
    print(
        f"Epoch {state.n_epochs:3d}  loss {state.loss_curve[-1]:.5f}{score}  "
        f"sweeps {epoch.free_steps:.1f} + {epoch.nudged_steps:.1f}  {moving}  "
        f"{n_samples / seconds:,.0f} samples/s  "
        f"at most {seconds * (settings.max_iter - n_done):.0f} s left",
        flush=True,
    )


def _warn_about_loss(
    state: TrainingState, ended_by: EndedBy, settings: FitSettings, n_epochs: int
) -> None:
    curve = state.loss_curve
    first, last, best = curve[0], curve[-1], min(curve)
    # A fit may go on from slices of other data, which were easier, or from where all is learned.
    of_fit = curve[-n_epochs:]
    fell = max(first - best, of_fit[0] - min(of_fit))
    flat = len(curve) > 1 and fell <= settings.tol < best
    enough = (1 - LITTLE) * state.constant_loss
    no_better = last - state.penalty >= enough and state.constant_loss > settings.tol
    had_time = len(curve) >= PATIENT_EPOCHS
    over = had_time and last - best > settings.tol  # not just slow
    useless = no_better and (over or ended_by is EndedBy.PATIENCE)
    kept = -math.inf if state.kept_loss is None else state.kept_loss
    no_use = kept >= enough and state.constant_loss > settings.tol
    by_loss = ended_by is EndedBy.PATIENCE and not settings.early_stopping
    constant = f"predicting the same for every sample gives {state.constant_loss:.4g}"
    if by_loss and 0 < state.constant_loss <= settings.tol:
        warn_at_call(
            f"Training stopped before it could learn: tol={settings.tol:g}, and an improvement "
            "counts only if it is larger, but predicting the same for all samples has a loss of no "
            f"more than {state.constant_loss:.4g}. Lower tol."
        )
    elif flat or useless:
        warn_at_call(
            f"Training did not learn: the loss was {first:.4g} in the first epoch, {best:.4g} at "
            f"best and {last:.4g} in the last of {len(curve)}; {constant}. "
            f"{_remedy_for_decay(state)}Scale the inputs (StandardScaler), change "
            "learning_rate_init, use fewer hidden layers, or check that the targets depend on the "
            "inputs."
        )
    elif no_use and (had_time or ended_by is EndedBy.PATIENCE):
        measure = "validation score" if settings.early_stopping else "loss"
        warn_at_call(
            f"Training did not learn: the {measure} was never better than in the beginning, from "
            f"where weights are kept, with a loss of {kept:.4g} on the training rows; "
            f"{constant}. Change learning_rate_init, raise n_iter_no_change or "
            "validation_fraction, or scale the inputs (those of a validation set of your own too)."
        )
    elif ended_by is EndedBy.LIMIT and (
        # A cosine ends by design, but should have come somewhere by then.
        settings.learning_rate != "cosine" or (no_better and had_time)
    ):
        told = "validation score" if settings.early_stopping else "loss"
        warn_at_call(
            f"Training reached max_iter={settings.max_iter} epochs before the {told} stopped "
            "improving: raise max_iter, raise tol, or raise learning_rate_init."
            f"{_other_remedy_than_epochs(state, settings)}"
        )


def _other_remedy_than_epochs(state: TrainingState, settings: FitSettings) -> str:
    """What more epochs would not mend."""
    if state.decay >= STRONG_DECAY:
        return f" But {_remedy_for_decay(state).rstrip()}"
    if settings.early_stopping:
        return ""
    return (
        " Where scores of other samples have stopped improving already, as they do with noisy "
        "targets, set early_stopping=True or raise alpha instead."
    )


def _remedy_for_decay(state: TrainingState) -> str:
    """What to change first where the penalty outweighs what there is to learn."""
    if state.decay < STRONG_DECAY:
        return ""
    return (
        f"alpha, divided by the total weight of a minibatch, is {state.decay:.3g}, which may hold "
        "the weights near 0: lower it, or give sample weights of about 1. "
    )


def _warn_about_settling(state: TrainingState, n_epochs: int, *, averaged: bool) -> None:
    for phase, limit in (("free", "max_relax_iter"), ("nudged", "max_nudge_iter")):
        fractions = state.relaxation[f"{phase}_unconverged"][-n_epochs:]
        residuals = state.relaxation[f"{phase}_residual"][-n_epochs:]
        unsettled = [size for size, share in zip(residuals, fractions, strict=True) if share]
        # Of averages nothing else counts as unsettled, however small it is in units of beta.
        if unsettled and (averaged or max(unsettled) > RUNAWAY):
            nudge = "" if phase == "free" else "use a smaller |beta|, "
            place = "" if averaged else " from where they should have settled"
            warn_at_call(
                f"In the {phase} phase samples ran away{place} (up to a residual of "
                f"{max(unsettled):.2g}), and the updates with them. Use a loop_gain, or a lower "
                f"one, {nudge}change step_size, scale the inputs, and fit anew."
            )
            break  # what starts from there says nothing of its own
        if fractions[-1] > UNSETTLED_WARNING:
            more = ""
            if phase == "nudged":
                more = ", or use a smaller |beta| (with gradient='continual' learning_rate_init)"
            warn_at_call(
                f"The {phase} phase did not settle for {fractions[-1]:.1%} of the samples in the "
                f"last epoch (largest residual {residuals[-1]:.2g}). Raise {limit}, lower "
                f"loop_gain, change step_size or relaxation{more}."
            )


def _warn_about_weak_feedback(state: TrainingState, settings: FitSettings, dtype: Any) -> None:
    limits = np.finfo(dtype)
    # Averages hold the nudge as a difference of states; displacements have an accuracy of their
    # own, down to where numbers fade into zero.
    smallest = limits.eps if settings.averaged else limits.tiny / limits.eps
    if state.signal < smallest:
        warn_at_call(
            "Feedback carries a nudge to the hidden layer farthest from the output at "
            f"{state.signal:.1g} of its size, below the rounding of {np.dtype(dtype).name}: such "
            f"layers hardly learn. Use dtype='float64', fewer hidden layers, or a larger "
            "loop_gain or feedback_scale."
        )
