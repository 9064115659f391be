"""Warnings after a fit: training that did not learn, dynamics that did not settle."""

import math
from typing import Any

import numpy as np

from sklearn_eqprop._estimators.fitting.loop import LITTLE
from sklearn_eqprop._estimators.fitting.state import EndedBy, TrainingState
from sklearn_eqprop._estimators.parameters.config import Config
from sklearn_eqprop._relaxation import RUNAWAY
from sklearn_eqprop._warnings import warn_at_call
from sklearn_eqprop.exceptions import EqPropWarning

#: Fraction of unsettled samples in the last epoch from which a fit warns.
UNSETTLED_WARNING = 0.01
#: Number of epochs after which training must be better than a constant prediction.
PATIENT_EPOCHS = 10
#: Weight decay, relative to the loss of a sample, that may be the reason why nothing was learned.
STRONG_DECAY = 0.05


def warn_about_training(
    config: Config,
    state: TrainingState,
    ended_by: EndedBy,
    n_epochs: int,
    dtype: Any,
    *,
    incremental: bool,
) -> None:
    """Warn about a fit that was interrupted, did not learn, did not end or did not settle.

    Parameters
    ----------
    config : Config
    state : TrainingState
    ended_by : EndedBy
    n_epochs : int
        Epochs of this call.
    dtype : dtype
        Of the weights.
    incremental : bool
        Whether this was ``partial_fit``.
    """
    if ended_by is EndedBy.INTERRUPT:
        warn_at_call("Training interrupted by user.", EqPropWarning)
    if not n_epochs:
        return
    if not incremental:  # a later slice may be a more difficult one
        _warn_about_loss(config, state, ended_by)
    _warn_about_settling(state, n_epochs, averages=config.averages)
    _warn_about_weak_feedback(state, dtype, averages=config.averages)


def _warn_about_loss(config: Config, state: TrainingState, ended_by: EndedBy) -> None:
    curve, tol = state.compared_losses, config.tol
    first, last, best = curve[0], curve[-1], min(curve)
    flat = len(curve) > 1 and first - best <= tol < best
    enough = (1 - LITTLE) * state.constant_loss
    no_better = last - state.penalty >= enough and state.constant_loss > tol
    had_time = len(curve) >= PATIENT_EPOCHS
    over = had_time and last - best > tol  # not only slow
    useless = no_better and (over or ended_by is EndedBy.PATIENCE)
    kept = -math.inf if state.kept_loss is None else state.kept_loss
    no_use = kept >= enough and state.constant_loss > tol
    by_loss = ended_by is EndedBy.PATIENCE and not config.early_stopping
    constant = f"predicting the same for every sample gives {state.constant_loss:.4g}"
    if by_loss and 0 < state.constant_loss <= tol:
        warn_at_call(
            f"Training stopped before it could learn: tol={tol:g} is too large. A constant "
            f"prediction already has a loss of no more than {state.constant_loss:.4g}. Lower tol."
        )
    elif flat or useless:
        warn_at_call(
            f"Training did not learn: the loss was {first:.4g} in the first epoch, {best:.4g} at "
            f"best and {last:.4g} in the last of {len(curve)}; {constant}. "
            f"{_remedy_for_decay(state)}{_remedy_for_ties(config, state)}Scale the inputs "
            "(StandardScaler), change learning_rate_init, use fewer hidden layers, or check that "
            "the targets depend on the inputs."
        )
    elif no_use and (had_time or ended_by is EndedBy.PATIENCE):
        measure = "validation score" if config.early_stopping else "loss"
        warn_at_call(
            f"Training did not learn: the {measure} was never better than in the beginning. The "
            f"weights from there are kept, with a loss of {kept:.4g} on the training rows; "
            f"{constant}. {_remedy_for_ties(config, state)}Change learning_rate_init, raise "
            "n_iter_no_change or validation_fraction, or scale the inputs (those of your own "
            "validation set too)."
        )
    elif ended_by is EndedBy.LIMIT and (
        # A cosine schedule ends by design, but training should be better than a constant by then.
        config.learning_rate != "cosine" or (no_better and had_time)
    ):
        measure = "validation score" if config.early_stopping else "loss"
        warn_at_call(
            f"Training reached max_iter={config.max_iter} epochs before the {measure} stopped "
            "improving: raise max_iter, raise tol, or raise learning_rate_init."
            f"{_other_remedy_than_epochs(config, state)}"
        )


def _other_remedy_than_epochs(config: Config, state: TrainingState) -> str:
    """Return what to change if more epochs would not help."""
    if state.decay >= STRONG_DECAY:
        return f" But {_remedy_for_decay(state).rstrip()}"
    if config.early_stopping:
        return ""
    return (
        " If the score of other samples no longer improves (noisy targets), set "
        "early_stopping=True or raise alpha instead."
    )


def _remedy_for_decay(state: TrainingState) -> str:
    """Return what to change first if the penalty is larger than what can be learned."""
    if state.decay < STRONG_DECAY:
        return ""
    return (
        f"alpha, divided by the total weight of a minibatch, is {state.decay:.3g}, which may hold "
        "the weights near 0: lower it, or give sample weights of about 1. "
    )


def _remedy_for_ties(config: Config, state: TrainingState) -> str:
    """Return what to change first if the validation score does not see that training progresses."""
    best = max(state.compared_scores, default=math.inf)
    if not config.early_stopping or best > state.constant_score:
        return ""
    return (
        f"The best validation score, {best:.4g}, is that of predicting the most frequent label for "
        "every sample: set scoring='loss', which sees smaller steps. "
    )


def _warn_about_settling(state: TrainingState, n_epochs: int, *, averages: bool) -> None:
    for phase, limit in (("free", "max_relax_iter"), ("nudged", "max_nudge_iter")):
        fractions = state.relaxation[f"{phase}_unconverged"][-n_epochs:]
        residuals = state.relaxation[f"{phase}_residual"][-n_epochs:]
        unsettled = [size for size, share in zip(residuals, fractions, strict=True) if share]
        # Averages count as unsettled only if they run away, however small in units of beta.
        if unsettled and (averages or max(unsettled) > RUNAWAY):
            nudge = "" if phase == "free" else "use a smaller |beta|, "
            warn_at_call(
                f"In the {phase} phase samples ran away (up to a residual of "
                f"{max(unsettled):.2g}), and the updates with them. Set loop_gain, or lower it, "
                f"{nudge}change step_size, scale the inputs, and fit anew."
            )
            break  # the later phase starts from there
        if fractions[-1] > UNSETTLED_WARNING:
            more = ""
            if phase == "nudged":
                more = ", or use a smaller |beta| (with gradient='continual' learning_rate_init)"
            warn_at_call(
                f"The {phase} phase did not settle for {fractions[-1]:.1%} of the samples in the "
                f"last epoch (largest residual {residuals[-1]:.2g}). Raise {limit}, lower "
                f"loop_gain, change step_size or relaxation{more}."
            )


def _warn_about_weak_feedback(state: TrainingState, dtype: Any, *, averages: bool) -> None:
    limits = np.finfo(dtype)
    # Averages hold the nudge as a difference of states. Displacements keep their own accuracy, down
    # to the smallest numbers.
    smallest = limits.eps if averages else limits.tiny / limits.eps
    if state.signal < smallest:
        warn_at_call(
            f"Feedback carries only {state.signal:.1g} of a nudge to the hidden layer farthest "
            f"from the output. This is below the rounding of {np.dtype(dtype).name}, so that such "
            "layers hardly learn. Use dtype='float64', fewer hidden layers, or a larger loop_gain "
            "or feedback_scale."
        )
