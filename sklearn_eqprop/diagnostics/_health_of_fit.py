"""Checks of the health report on what was learned: the fit, overfitting, the learning rate."""

import math

from sklearn_eqprop._estimators.fitting.reporting import HIGH, highest_rise
from sklearn_eqprop._estimators.parameters import remedies as ways
from sklearn_eqprop._estimators.parameters.remedies import sentence
from sklearn_eqprop.diagnostics._health_evidence import Evidence
from sklearn_eqprop.diagnostics._results import VERDICTS, HealthCheck, judged

#: The verdict is "watch" beyond the first limit and "bad" beyond the second.
FIT_LIMITS = (0.1, 0.001)
OVERFIT_LIMITS = (0.25, 0.5)


def fit(evidence: Evidence) -> HealthCheck:
    """Whether the network predicts better than a constant."""
    found, situation = evidence.quality, evidence.subject.situation
    finding = (
        f"The {found.measure} on these rows is {found.score:.4g}, and {found.constant_score:.4g} "
        f"for a constant prediction. The loss is {found.loss:.4g}"
    )
    gained = found.skill
    if math.isfinite(found.constant_loss):
        finding += f", and {found.constant_loss:.4g} for a constant prediction"
        gained = 1 - found.loss / found.constant_loss if found.constant_loss > 0 else math.nan
    finding += "."
    if math.isnan(found.skill) and math.isfinite(found.loss):
        finding += " All targets are equal, so that a constant is perfect."
        return HealthCheck("fit", math.nan, "watch", finding, "Pass rows with other targets.")
    remedies = [ways.SCALE_INPUTS, ways.LOWER_RATE]
    training = evidence.subject.training
    if highest_rise(training, training.loss_curve) <= HIGH:
        took_all = evidence.subject.estimator.n_iter_ >= situation.config.max_iter
        more = [ways.RAISE_MAX_ITER] if took_all else []
        remedies = [ways.SCALE_INPUTS, *more, ways.CHANGE_RATE, ways.CHECK_TARGETS]
    remedy = sentence(situation, *remedies)
    worst = min(gained, found.skill)  # labels may be right although probabilities are wrong
    level = 2 if max(gained, found.skill) <= FIT_LIMITS[1] or math.isnan(worst) else 1
    level = 0 if worst > FIT_LIMITS[0] else level
    return HealthCheck("fit", float(gained), VERDICTS[level], finding, remedy if level else "")


def overfitting(evidence: Evidence) -> HealthCheck | None:
    """How much of the fit is lost on other rows; None if there are no other rows."""
    here, there = evidence.quality, evidence.held_out
    if there is None:
        return None
    finding = f"The {here.measure} is {here.score:.4g} on X and {there.score:.4g} on X_test."
    if not here.skill > FIT_LIMITS[1] or math.isnan(there.skill):
        finding += " Not measured: a constant prediction is as good on X, or perfect on X_test."
        return HealthCheck("overfitting", math.nan, "watch", finding, "See the check 'fit' first.")
    lost = 1 - there.skill / here.skill
    finding += f" Compared with a constant prediction, {lost:.0%} of the fit is lost."
    remedy = sentence(
        evidence.subject.situation, ways.EARLY_STOPPING, ways.RAISE_ALPHA, ways.FEWER_UNITS
    )
    return judged("overfitting", lost, OVERFIT_LIMITS, finding, remedy)


def learning_rate(evidence: Evidence) -> HealthCheck:
    """Whether the loss of training rose by so much that the steps must be too large."""
    state = evidence.subject.training
    rise = highest_rise(state, state.loss_curve)
    if rise <= HIGH:
        finding = f"The loss never rose above {HIGH:g} times that of an untrained network."
        return HealthCheck("learning rate", rise, "good", finding, "")
    last = state.loss_curve[-1]
    finding = (
        f"In training the loss rose to {rise * state.untrained_loss:.4g}, and was {last:.4g} in "
        f"the last epoch. A constant prediction has {state.constant_loss:.4g}."
    )
    verdict = "watch" if last < state.constant_loss else "bad"
    remedy = sentence(evidence.subject.situation, ways.LOWER_RATE)
    return HealthCheck("learning rate", rise, verdict, finding, remedy)
