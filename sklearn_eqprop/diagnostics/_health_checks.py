"""The checks of the health report: what each looks at, how it judges, what it advises."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from sklearn_eqprop._network import reachable
from sklearn_eqprop.diagnostics._alignment_check import alignment
from sklearn_eqprop.diagnostics._blocks import weights_name
from sklearn_eqprop.diagnostics._health_evidence import Evidence
from sklearn_eqprop.diagnostics._subject import MAX_STEPS
from sklearn_eqprop.diagnostics._verdicts import HealthCheck, judged, no_signals, not_looked_at

#: Each check turns to "watch" at the first limit and to "bad" at the second.
UNSETTLED_LIMITS = (0.0, 0.05)
SATURATED_LIMITS = (0.5, 0.9)
DEAD_LIMITS = (0.1, 0.5)
ATTENUATION_LIMITS = (1e-6, 1e-12)
SIGNAL_LIMITS = (100.0, 1.0)
ROUND_TRIP_LIMITS = (0.8, 1.0)


def settling(evidence: Evidence) -> HealthCheck:
    """Whether the phases settle, when predicting and when training."""
    unsettled = evidence.unsettled
    record = evidence.estimator.relaxation_
    trained = max(
        (record[name][-1] for name in ("free_unconverged", "nudged_unconverged") if record[name]),
        default=0.0,
    )
    runaway = evidence.n_runaway / evidence.n_samples
    finding = (
        f"{unsettled:.1%} of the samples do not settle when predicted, {trained:.1%} of the "
        f"phases did not in the last epoch; {evidence.n_sweeps:.1f} sweeps on average"
    )
    if runaway:
        # However few: no limit of steps is enough for them.
        return HealthCheck(
            "settling",
            max(unsettled, trained, runaway),
            "bad",
            f"{finding}; given {MAX_STEPS} of them, {runaway:.1%} of the samples run away",
            "use a loop_gain, or a lower one, scale the inputs, lower learning_rate_init, and fit "
            "anew",
        )
    dtype = evidence.estimator.coefs_[0].dtype
    if evidence.n_broken and dtype != np.float64:
        # Nor is it for these: they have an equilibrium, but no numbers for it.
        return HealthCheck(
            "settling",
            max(unsettled, trained),
            "bad",
            f"{finding}; {evidence.n_broken / evidence.n_samples:.1%} of the samples stop being "
            f"finite in {dtype.name}",
            "scale the inputs, or use dtype='float64'",
        )
    return judged(
        "settling",
        max(unsettled, trained),
        UNSETTLED_LIMITS,
        finding,
        "raise max_relax_iter and max_nudge_iter, lower loop_gain, change step_size, or use "
        "relaxation='gauss_seidel'",
    )


def saturation(evidence: Evidence) -> HealthCheck:
    """How much of the hidden layers is where the activation is flat."""
    if evidence.at_rest is None:
        return not_looked_at("saturation")
    fractions = [float(layer.mean()) for layer in evidence.at_rest.flat]
    worst = max(fractions, default=0.0)
    activation = evidence.network.activations[0]
    silent = activation.lower is not None and activation.upper is None
    where = "silent (at 0)" if silent else "at a bound" if activation.lower is not None else "flat"
    return judged(
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
    if evidence.at_rest is None:
        return not_looked_at("dead units")
    fractions = [float((layer == 1).mean()) for layer in evidence.at_rest.flat]
    return judged(
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
    """How much of a nudge the feedback weights bring down to the hidden layers."""
    network, carried = evidence.network, evidence.carried
    # Layers that no nudge reaches are trained by exact gradients, which do without.
    hidden = sorted(reachable(network.wiring.pairs, network.n_layers) - {network.n_layers})
    if not hidden:
        what = "hidden layer" if network.n_layers == 1 else "feedback into the hidden layers"
        return HealthCheck("feedback gain", 1.0, "good", f"there is no {what}", "")
    weakest = min(hidden, key=lambda layer: carried[layer - 1])
    return judged(
        "feedback gain",
        carried[weakest - 1],
        ATTENUATION_LIMITS,
        f"{_gains_in_words(evidence)} {carried[weakest - 1]:.2g} of a nudge to layer {weakest}",
        "raise loop_gain or feedback_scale, use fewer hidden layers, or layerwise_rescale=True",
        high_is_good=True,
    )


def _gains_in_words(evidence: Evidence) -> str:
    wiring = evidence.network.wiring
    if wiring.is_layered:
        gains = ", ".join(f"{gain:.2g}" for gain in evidence.gains)
        return f"||B|| / ||F|| is {gains}, layer by layer; all loops together carry"
    names = [weights_name(wiring, "feedback", pair) for pair in wiring.feedback]
    named = zip(evidence.gains, names, strict=True)
    gains = ", ".join(f"{gain:.2g} for {name}" for gain, name in named)
    return f"the strength γ of feedback is {gains}; the strongest path carries"


def signal(evidence: Evidence) -> HealthCheck:
    """Size of the nudge's effect on each layer against the rounding of its states."""
    if evidence.at_rest is None:
        return not_looked_at("nudge signal")
    dtype = evidence.estimator.coefs_[0].dtype
    beta = abs(evidence.estimator.beta)
    directions = evidence.directions
    if directions is None:
        return no_signals("nudge signal")
    ratios = [
        beta * size / (float(np.finfo(dtype).eps) * state) if state > 0 else math.inf
        for size, state in zip(directions.signal_sizes, directions.state_sizes, strict=True)
    ]
    weakest = int(np.argmin(ratios))
    # relax_tol='auto' settles displacements from a free phase that counts as settled, which lose
    # nothing to the rounding of states: a signal below it is then no more than a warning.
    tight = evidence.estimator.relax_tol != "auto"
    limits = SIGNAL_LIMITS if tight else (SIGNAL_LIMITS[1], 0.0)
    return judged(
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
    at_rest = evidence.at_rest
    if at_rest is None:
        return not_looked_at("loop gain")
    check = judged(
        "loop gain",
        at_rest.round_trip,
        ROUND_TRIP_LIMITS,
        f"a change comes back from a round trip at {at_rest.round_trip:.2g} of its size; the "
        f"equilibrium is {at_rest.recurrence:.2g} of its length away from the feedforward pass",
        "set or lower loop_gain, or lower feedback_scale",
    )
    if check.verdict == "good" and evidence.gains and at_rest.recurrence < 1e-3:
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


def _percentages(fractions: list[float]) -> str:
    return ", ".join(f"{fraction:.0%}" for fraction in fractions)
