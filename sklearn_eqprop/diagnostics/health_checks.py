"""The checks of the health report: what each looks at, how it judges, what it advises."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter

import numpy as np

from sklearn_eqprop.diagnostics.alignment import BlockAlignment
from sklearn_eqprop.diagnostics.health_evidence import Evidence
from sklearn_eqprop.diagnostics.readable import Readable
from sklearn_eqprop.estimators.parameters import EXACT_GRADIENTS

#: Verdicts, from best to worst.
VERDICTS = ("good", "watch", "bad")
#: Each check turns to "watch" at the first limit and to "bad" at the second.
UNSETTLED_LIMITS = (0.0, 0.05)
SATURATED_LIMITS = (0.5, 0.9)
DEAD_LIMITS = (0.1, 0.5)
ATTENUATION_LIMITS = (1e-6, 1e-12)
COSINE_LIMITS = (0.7, 0.0)
SIGNAL_LIMITS = (100.0, 1.0)
ROUND_TRIP_LIMITS = (0.8, 1.0)


@dataclass(frozen=True, repr=False)
class HealthCheck(Readable):
    """One finding of `health_report`.

    Attributes
    ----------
    name : str
        What was looked at.
    value : float
        The number judged.
    verdict : {'good', 'watch', 'bad'}
    finding : str
        The number in words.
    remedy : str
        What to do about it; '' where there is nothing to do.
    """

    name: str
    value: float
    verdict: str
    finding: str
    remedy: str

    def __str__(self) -> str:
        """See `Readable`."""
        remedy = f"\n{'':24}-> {self.remedy}" if self.remedy else ""
        return f"{self.verdict:6} {self.name:17}{self.finding}{remedy}"


def settling(evidence: Evidence) -> HealthCheck:
    """Whether the phases settle, when predicting and when training."""
    predicted = evidence.prediction
    unsettled = 1 - float(predicted.converged.mean())
    record = evidence.estimator.relaxation_
    trained = max(
        (record[name][-1] for name in ("free_unconverged", "nudged_unconverged") if record[name]),
        default=0.0,
    )
    return _check(
        "settling",
        max(unsettled, trained),
        UNSETTLED_LIMITS,
        f"{unsettled:.1%} of the samples do not settle when predicted, {trained:.1%} of the "
        f"phases did not in the last epoch; {predicted.n_steps.mean():.1f} sweeps on average",
        "raise max_relax_iter and max_nudge_iter, lower loop_gain, change step_size, or use "
        "relaxation='gauss_seidel'",
    )


def saturation(evidence: Evidence) -> HealthCheck:
    """How much of the hidden layers is where the activation is flat."""
    fractions = [float(layer.mean()) for layer in evidence.flat]
    worst = max(fractions, default=0.0)
    activation = evidence.network.activations[0]
    silent = activation.lower is not None and activation.upper is None
    where = "silent (at 0)" if silent else "at a bound" if activation.lower is not None else "flat"
    return _check(
        "saturation",
        worst,
        SATURATED_LIMITS if not silent else (SATURATED_LIMITS[1], 0.99),
        "no hidden layer"
        if not fractions
        else f"hidden units are {where} in {_percentages(fractions)} of the cases, layer by layer",
        "scale the inputs (StandardScaler), lower learning_rate_init or raise alpha; "
        "activation='relu' does not saturate",
    )


def dead_units(evidence: Evidence) -> HealthCheck:
    """Hidden units that are flat in every sample: no error signal ever reaches their weights."""
    fractions = [float((layer == 1).mean()) for layer in evidence.flat]
    return _check(
        "dead units",
        max(fractions, default=0.0),
        DEAD_LIMITS,
        "no hidden layer"
        if not fractions
        else f"{_percentages(fractions)} of the units of each hidden layer are flat in all "
        f"{evidence.n_samples} samples",
        "lower learning_rate_init, scale the inputs, or fit again from another random_state; with "
        "few samples look at more of them first",
    )


def feedback(evidence: Evidence) -> HealthCheck:
    """How much of a nudge the feedback weights bring down to the first layer."""
    carried = evidence.carried[0]
    if not evidence.gains:
        return HealthCheck("feedback gain", carried, "good", "no hidden layer, no feedback", "")
    gains = ", ".join(f"{gain:.2g}" for gain in evidence.gains)
    return _check(
        "feedback gain",
        carried,
        ATTENUATION_LIMITS,
        f"||B|| / ||F|| is {gains}, layer by layer; all loops together carry {carried:.2g} of a "
        "nudge to layer 1",
        "raise loop_gain or feedback_scale, use fewer hidden layers, or layerwise_rescale=True",
        high_is_good=True,
    )


def alignment(evidence: Evidence) -> HealthCheck:
    """Whether the update leads where the gradient leads."""
    found = evidence.alignment
    if found is None:
        return _no_signals("alignment")
    known = [
        (block.update_cosine, block)
        for block in found.blocks
        if block.role == "forward"
        and block.update_cosine is not None
        and not math.isnan(block.update_cosine)
    ]
    if math.isnan(found.update) and not math.isnan(found.overall):
        return HealthCheck(
            "alignment",
            math.nan,
            "bad",
            f"the phases of training run away at beta={evidence.estimator.beta:g}: there is no "
            "update",
            "lower beta or loop_gain, or use nudging='one_sided'",
        )
    missed = [block.name for block in found.blocks if _is_missed(block, evidence)]
    if missed:
        return HealthCheck(
            "alignment",
            0.0,
            "bad",
            f"no update arrives at {', '.join(missed)} within "
            f"max_nudge_iter={evidence.estimator.max_nudge_iter}",
            "raise max_nudge_iter, or use relaxation='gauss_seidel'",
        )
    if math.isnan(found.update) or not known:
        return HealthCheck(
            "alignment",
            math.nan,
            "watch",
            "there is no error signal to compare: the outputs are at their targets, or nothing "
            "reaches the weights",
            "look at samples the network has not learned, and at the dead units",
        )
    lowest, weakest = min(known, key=itemgetter(0))
    value = min(found.update, lowest)
    remedy = (
        "feedback_init='transpose' with feedback_learning='kolen_pollack' keeps feedback aligned; "
        "gradient='asymmetric' or 'recurrent_backprop' is exact with any feedback"
    )
    estimator = evidence.estimator
    if estimator.gradient in EXACT_GRADIENTS:
        remedy = "a tighter relax_tol, and as many sweeps or steps as it takes"
        if estimator.gradient == "asymmetric":
            remedy = f"a smaller beta, now {estimator.beta:g}, or {remedy}"
    elif weakest.cosine > COSINE_LIMITS[0]:
        remedy = (
            f"a smaller beta, now {estimator.beta:g}: as it goes to 0, the cosine for "
            f"{weakest.name} goes to {weakest.cosine:.2f}"
        )
        if estimator.nudging != "centered":
            remedy += "; nudging='centered' gets there sooner"
        remedy += "; or a tighter relax_tol"
    return _check(
        "alignment",
        value,
        COSINE_LIMITS,
        f"cosine of the update with -dJ/dθ: {found.update:.2f} overall, {lowest:.2f} for "
        f"{weakest.name}, the lowest",
        remedy,
        high_is_good=True,
    )


def _is_missed(block: BlockAlignment, evidence: Evidence) -> bool:
    """Whether a block has a gradient, and an error signal in the end, but no update so far."""
    if block.role != "forward" or block.update_cosine is None or block.gradient_norm == 0:
        return False
    signalled = evidence.estimator.gradient in EXACT_GRADIENTS or not math.isnan(block.cosine)
    return signalled and math.isnan(block.update_cosine)


def signal(evidence: Evidence) -> HealthCheck:
    """Size of the nudge's effect on each layer against the rounding of its states."""
    dtype = evidence.estimator.coefs_[0].dtype
    beta = abs(evidence.estimator.beta)
    directions = evidence.directions
    if directions is None:
        return _no_signals("nudge signal")
    ratios = [
        beta * size / (float(np.finfo(dtype).eps) * state) if state > 0 else math.inf
        for size, state in zip(directions.signal_sizes, directions.state_sizes, strict=True)
    ]
    weakest = int(np.argmin(ratios))
    # relax_tol='auto' settles displacements from a free phase that counts as settled, which lose
    # nothing to the rounding of states: a signal below it is then no more than a warning.
    tight = evidence.estimator.relax_tol != "auto"
    limits = SIGNAL_LIMITS if tight else (SIGNAL_LIMITS[1], 0.0)
    return _check(
        "nudge signal",
        ratios[weakest],
        limits,
        f"the nudge moves layer {weakest + 1} by {ratios[weakest]:.2g} times the rounding of its "
        f"{dtype.name} states, the least of all layers",
        "dtype='float64', a larger beta or loop_gain, or fewer hidden layers",
        high_is_good=True,
    )


def loop_gain(evidence: Evidence) -> HealthCheck:
    """How recurrent the network is, and how far from not settling."""
    check = _check(
        "loop gain",
        evidence.round_trip,
        ROUND_TRIP_LIMITS,
        f"a change comes back from a round trip at {evidence.round_trip:.2g} of its size; the "
        f"equilibrium is {evidence.recurrence:.2g} of its length away from the feedforward pass",
        "set or lower loop_gain, or lower feedback_scale",
    )
    if check.verdict == "good" and evidence.gains and evidence.recurrence < 1e-3:
        return HealthCheck(
            check.name,
            check.value,
            check.verdict,
            f"{check.finding}: practically a feedforward network",
            "raise loop_gain if recurrence is wanted",
        )
    return check


#: Every check, in the order of the report.
CHECKS: tuple[Callable[[Evidence], HealthCheck], ...] = (
    settling,
    saturation,
    dead_units,
    feedback,
    alignment,
    signal,
    loop_gain,
)


def _check(
    name: str,
    value: float,
    limits: tuple[float, float],
    finding: str,
    remedy: str,
    *,
    high_is_good: bool = False,
) -> HealthCheck:
    sign = -1 if high_is_good else 1
    level = sum(sign * value > sign * limit for limit in limits)
    return HealthCheck(name, float(value), VERDICTS[level], finding, remedy if level else "")


def _no_signals(name: str) -> HealthCheck:
    return HealthCheck(
        name,
        math.nan,
        "bad",
        "error signals do not settle at the states reached: they grow without end",
        "see to the loop gain and to settling first",
    )


def _percentages(fractions: list[float]) -> str:
    return ", ".join(f"{fraction:.0%}" for fraction in fractions)
