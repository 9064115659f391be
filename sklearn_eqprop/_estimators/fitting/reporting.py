"""Warnings after a fit: training that did not learn, dynamics that did not settle."""

import math
from itertools import pairwise
from statistics import fmean

import numpy as np

from sklearn_eqprop._estimators.fitting.loop import LITTLE, PATIENT_EPOCHS
from sklearn_eqprop._estimators.fitting.state import EndedBy, Outcome, TrainingState
from sklearn_eqprop._estimators.parameters import remedies as ways
from sklearn_eqprop._estimators.parameters.remedies import Remedy, Situation, advice, sentence
from sklearn_eqprop._relaxation import RUNAWAY
from sklearn_eqprop._warnings import warn_at_call
from sklearn_eqprop.exceptions import EqPropWarning

#: Fraction of unsettled samples in the last epoch from which a fit warns.
UNSETTLED_WARNING = 0.01
#: More epochs help if the last tenth brought more than this share of all progress. A tenth brings
#: 0.1 if every epoch brings the same (docs/defaults.md has measurements).
WORTHWHILE = 0.05
#: The learning rate is too large if the loss rose by this factor within one epoch, to more than
#: this many times the loss of an untrained network.
RISE, HIGH = 1.1, 2.0
#: A loss this close to that of a constant prediction, relative to it, may be at its minimum.
CLOSE = 0.01
#: The loss falls although the score does not if it ends below this share of its first value.
FALLEN = 0.9
#: Weight decay, relative to the loss of a sample, that may be the reason why nothing was learned.
STRONG_DECAY = 0.05


def warn_about_training(
    situation: Situation,
    state: TrainingState,
    outcome: Outcome,
    is_blind: bool,
    incremental: bool,
) -> None:
    """Warn about a fit that was interrupted, did not learn, did not end or did not settle.

    `is_blind`: accuracy was never better than that of predicting the most frequent label.
    `incremental`: this was ``partial_fit``.
    """
    if outcome.ended_by is EndedBy.INTERRUPT:
        warn_at_call("Training interrupted by user.", EqPropWarning)
    if not incremental:  # a later slice may be a more difficult one
        _warn_about_loss(situation, state, outcome, is_blind)
    if outcome.n_stuck:
        remedies = (ways.LOWER_RATE, ways.RAISE_BETA, ways.NUDGED, ways.LINEAR_OUTPUT)
        warn_at_call(
            f"{outcome.n_stuck} output{'s stay' if outcome.n_stuck > 1 else ' stays'} at a bound "
            "of the range for all training rows, and cannot learn there. "
            f"{sentence(situation, *remedies)} Then fit a fresh clone."
        )
    _warn_about_settling(situation, state, len(outcome.curve))
    # Weights that have grown without limit leave no room for feedback.
    if not _rate_is_too_large(state, outcome.curve):
        _warn_about_weak_feedback(situation, outcome.signal)


def _warn_about_loss(
    situation: Situation, state: TrainingState, outcome: Outcome, is_blind: bool
) -> None:
    config, tol, constant = situation.config, situation.config.tol, state.constant_loss
    curve, ended_by = outcome.curve, outcome.ended_by
    is_fresh = len(curve) == len(state.loss_curve)  # a trained network may have little to learn
    had_time = len(curve) >= PATIENT_EPOCHS or ended_by is EndedBy.PATIENCE
    is_flat = is_fresh and len(curve) > 1 and curve[0] - min(curve) <= tol < min(curve)
    loss = outcome.kept_loss
    if config.early_stopping and outcome.kept_epoch > 1 and not is_blind:
        # The score has risen, although the loss may be bad: of labels that are wrong and certain.
        loss = min(loss, min(curve) - outcome.penalty)
    if _rate_is_too_large(state, curve):
        loss += outcome.penalty  # it comes from the steps that were too large
    unlearned = constant > tol and loss >= (1 - LITTLE) * constant
    by_loss = ended_by is EndedBy.PATIENCE and not config.early_stopping
    if by_loss and 0 < constant <= tol:
        warn_at_call(
            f"Training stopped before it could learn: tol={tol:g} is too large. A constant "
            f"prediction already has a loss of no more than {constant:.4g}. Lower tol."
        )
    elif is_flat or (unlearned and had_time):
        _warn_about_learning(situation, state, outcome, is_blind)
    elif is_blind and ended_by is EndedBy.PATIENCE and curve[-1] < FALLEN * curve[0]:
        warn_at_call(
            f"The loss fell from {curve[0]:.4g} to {curve[-1]:.4g}, but the validation score did "
            f"not rise.{_about_blindness(state)} {sentence(situation, ways.SCORE_BY_LOSS)}"
        )
    elif ended_by is EndedBy.LIMIT and config.learning_rate != "cosine":  # which ends by design
        _warn_about_epochs(situation, state, outcome)


def _warn_about_learning(
    situation: Situation, state: TrainingState, outcome: Outcome, is_blind: bool
) -> None:
    """Warn that the network is no better than a constant prediction, or never improved."""
    config, curve = situation.config, outcome.curve
    constant = f"a constant prediction has a loss of {state.constant_loss:.4g}"
    rate = _change_of_rate(state, outcome, config.tol)
    remedies = [ways.SCALE_INPUTS, rate, ways.FEWER_LAYERS, ways.CHECK_TARGETS]
    what = "Training did not learn"
    if rate is ways.LOWER_RATE:
        remedies = [rate, ways.SCALE_INPUTS]
    elif outcome.ended_by is EndedBy.LIMIT and _is_falling(state, curve, config.tol):
        what = f"Training reached max_iter={config.max_iter} epochs and did not learn"
        remedies.insert(0, ways.RAISE_MAX_ITER)
    restores = config.early_stopping or config.restore_best_weights
    early = outcome.kept_epoch <= 1 < len(curve) or is_blind
    if restores and early and rate is not ways.LOWER_RATE:
        measure = "validation score" if config.early_stopping else "loss"
        text = (
            f"the {measure} was never better than in the beginning, so the weights of that time "
            f"are kept. Their loss on the training rows is {outcome.kept_loss:.4g}; {constant}."
        )
        remedies = [rate, ways.RAISE_PATIENCE, ways.SCALE_INPUTS]
        remedies += [ways.SCALE_VALIDATION, ways.RAISE_FRACTION]
    else:
        text = (
            f"the loss was {curve[0]:.4g} in the first epoch, {min(curve):.4g} at best and "
            f"{curve[-1]:.4g} in the last of {len(curve)}; {constant}."
        )
    is_constant = config.early_stopping and len({*state.compared_scores}) == 1 < len(curve)
    if is_blind:
        text += _about_blindness(state)
    elif is_constant:  # other scores, such as F1, are blind to rare classes too
        text += f" The validation score was {state.best_score:.4g} in every epoch."
    # The loss sees no more than the score does if it does not fall.
    has_fallen = rate is not ways.LOWER_RATE and curve[-1] < FALLEN * curve[0]
    if has_fallen and (is_blind or is_constant):
        remedies.insert(0, ways.SCORE_BY_LOSS)
    warn_at_call(f"{what}: {text} {_remedy_for_decay(state)}{sentence(situation, *remedies)}")


def _about_blindness(state: TrainingState) -> str:
    return (
        f" The best validation score, {state.best_score:.4g}, is no better than that of "
        "predicting the most frequent label for every sample."
    )


def _warn_about_epochs(situation: Situation, state: TrainingState, outcome: Outcome) -> None:
    """Warn that training reached `max_iter` epochs, if more of them would help."""
    config, curve = situation.config, outcome.curve
    measure, values = "loss", curve
    start = state.constant_loss + outcome.penalty
    if config.early_stopping:
        measure, values = "validation score", [-s for s in state.validation_scores[-len(curve) :]]
        start = values[0]
    n_last = max(1, len(values) // 10)
    gain, last = _recent_gain(values)
    progress = (start if math.isfinite(start) else values[0]) - last
    told = ""
    if len(values) >= PATIENT_EPOCHS:
        if gain <= max(config.tol, WORTHWHILE * progress):
            return
        told = f" (the last {n_last} epochs brought {gain:.2g})"
    rate = ways.RAISE_RATE if curve[0] <= HIGH * state.untrained_loss else ways.CHANGE_RATE
    rate = ways.LOWER_RATE if _rate_is_too_large(state, curve) else rate
    text = (
        f"Training reached max_iter={config.max_iter} epochs before the {measure} stopped "
        f"improving{told}: {advice(situation, ways.RAISE_MAX_ITER, rate)}."
    )
    if state.decay >= STRONG_DECAY and config.alpha != "auto":
        text += f" But {_remedy_for_decay(state).rstrip()}"
    elif not config.early_stopping:
        others = advice(situation, ways.EARLY_STOPPING, ways.RAISE_ALPHA)
        text += f" If your validation score no longer improves (noisy targets), {others} instead."
    warn_at_call(text)


def _recent_gain(values: list[float]) -> tuple[float, float]:
    """Return by how much the values fell in the last tenth of the epochs, and their mean there."""
    n_last = max(1, len(values) // 10)
    last = fmean(values[-n_last:])
    before = values[-2 * n_last : -n_last]
    return (fmean(before) - last if before else math.inf), last


def _change_of_rate(state: TrainingState, outcome: Outcome, tol: float) -> Remedy:
    """Return how to change the learning rate, as far as the losses tell."""
    curve = outcome.curve
    if _rate_is_too_large(state, curve):
        return ways.LOWER_RATE
    # In slow training the loss always falls, and is still far from that of a constant prediction.
    constant = state.constant_loss
    is_elsewhere = abs(curve[-1] - outcome.penalty - constant) > CLOSE * constant
    is_elsewhere &= curve[0] <= HIGH * state.untrained_loss
    is_slow = is_elsewhere and _is_falling(state, curve, tol) and state.decay < STRONG_DECAY
    return ways.RAISE_RATE if is_slow else ways.CHANGE_RATE


def _rate_is_too_large(state: TrainingState, curve: list[float]) -> bool:
    return highest_rise(state, curve) > HIGH


def highest_rise(state: TrainingState, curve: list[float]) -> float:
    """Return the largest loss to which an epoch rose, relative to that of an untrained network.

    The first epoch of a new network counts if its inputs are standardised, because the loss of an
    untrained network is known then. It does not count if a strong penalty is part of it.
    """
    is_first = len(curve) == len(state.loss_curve) and state.decay < STRONG_DECAY
    risen = [after for now, after in pairwise(curve) if after > RISE * now]
    if state.standardised and is_first:
        risen.append(curve[0])
    return max(risen, default=0.0) / state.untrained_loss if state.untrained_loss > 0 else 0.0


def _is_falling(state: TrainingState, curve: list[float], tol: float) -> bool:
    """Return whether the loss has never been better than now, except for noise."""
    return curve[-1] <= min(curve) + max(tol, LITTLE * state.constant_loss)


def _remedy_for_decay(state: TrainingState) -> str:
    """Return what to change first if the penalty is larger than what can be learned."""
    if state.decay < STRONG_DECAY:
        return ""
    return (
        f"alpha, divided by the total weight of a minibatch, is {state.decay:.3g}, which may hold "
        "the weights near 0. Lower alpha, or use sample weights of about 1. "
    )


def _warn_about_settling(situation: Situation, state: TrainingState, n_epochs: int) -> None:
    for phase, limit in (("free", ways.RAISE_MAX_RELAX), ("nudged", ways.RAISE_MAX_NUDGE)):
        fractions = state.relaxation[f"{phase}_unconverged"][-n_epochs:]
        residuals = state.relaxation[f"{phase}_residual"][-n_epochs:]
        unsettled = [size for size, share in zip(residuals, fractions, strict=True) if share]
        nudge: tuple[Remedy, ...] = () if phase == "free" else (ways.LOWER_BETA,)
        # Averages count as unsettled only if they run away, however small in units of beta.
        if unsettled and (situation.config.averages or max(unsettled) > RUNAWAY):
            remedies = (*ways.WEAKER_LOOPS, *nudge, ways.CHANGE_STEP_SIZE, ways.SCALE_INPUTS)
            warn_at_call(
                f"In the {phase} phase samples ran away (largest residual {max(unsettled):.2g}), "
                "so that their updates are useless. "
                f"{sentence(situation, *remedies)} Then fit a fresh clone."
            )
            break  # the later phase starts from there
        if fractions[-1] > UNSETTLED_WARNING:
            if nudge and situation.config.gradient == "continual":
                nudge = (*nudge, ways.LOWER_RATE)
            remedies = (limit, *ways.WEAKER_LOOPS, ways.CHANGE_STEP_SIZE, ways.GAUSS_SEIDEL, *nudge)
            warn_at_call(
                f"The {phase} phase did not settle for {fractions[-1]:.1%} of the samples in the "
                f"last epoch (largest residual {residuals[-1]:.2g}). "
                f"{sentence(situation, *remedies)}"
            )


def _warn_about_weak_feedback(situation: Situation, signal: float) -> None:
    limits = np.finfo(situation.dtype)
    # Averages hold the nudge as a difference of states. Displacements keep their own accuracy, down
    # to the smallest numbers.
    smallest = limits.eps if situation.config.averages else limits.tiny / limits.eps
    if signal < smallest:
        warn_at_call(
            f"Feedback carries only {signal:.1g} of a nudge to the hidden layer farthest "
            f"from the output. This is below the rounding of {np.dtype(situation.dtype).name}, so "
            "that such layers hardly learn. "
            f"{sentence(situation, ways.FLOAT64, *ways.STRONGER_FEEDBACK)}"
        )
