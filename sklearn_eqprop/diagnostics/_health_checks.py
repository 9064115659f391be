"""The checks of the health report, with their limits, findings and remedies."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from sklearn_eqprop._estimators.parameters import remedies as ways
from sklearn_eqprop._estimators.parameters.architecture import needed_for_exact
from sklearn_eqprop._estimators.parameters.remedies import changes, sentence
from sklearn_eqprop._network import Network, feedback_gains, reachable
from sklearn_eqprop.diagnostics._alignment import BlockAlignment, GradientAlignment
from sklearn_eqprop.diagnostics._directions import carried_to_layers
from sklearn_eqprop.diagnostics._health_evidence import Evidence
from sklearn_eqprop.diagnostics._health_of_fit import fit, learning_rate, overfitting
from sklearn_eqprop.diagnostics._results import HealthCheck, judged, weights_name
from sklearn_eqprop.diagnostics._subject import MAX_STEPS, Subject

#: The verdict is "watch" beyond the first limit and "bad" beyond the second.
UNSETTLED_LIMITS = (0.0, 0.05)
SATURATED_LIMITS = (0.5, 0.9)
SILENT_LIMITS = (0.9, 0.99)
DEAD_LIMITS = (0.1, 0.5)
ATTENUATION_LIMITS = (1e-6, 1e-12)
COSINE_LIMITS = (0.7, 0.0)
SIGNAL_LIMITS = (100.0, 1.0)
ROUND_TRIP_LIMITS = (0.8, 1.0)
#: Below this relative distance from the feedforward pass, a network is almost feedforward.
RECURRENT = 1e-3


def _no_equilibrium(name: str) -> HealthCheck:
    finding = "Not measured: samples diverge, so there is no equilibrium."
    return HealthCheck(name, math.nan, "watch", finding, "Fix settling first.")


def _no_signals(name: str) -> HealthCheck:
    finding = "Error signals do not settle at the equilibria: they grow without limit."
    return HealthCheck(name, math.nan, "bad", finding, "Fix loop gain and settling first.")


def settling(evidence: Evidence) -> HealthCheck:
    """Whether the phases settle in prediction and in training."""
    subject, predicted, situation = evidence.subject, evidence.predicted, evidence.subject.situation
    unsettled, n_sweeps = 1 - float(predicted.converged.mean()), float(predicted.n_steps.mean())
    record = subject.estimator.relaxation_
    trained = max(
        (record[name][-1] for name in ("free_unconverged", "nudged_unconverged") if record[name]),
        default=0.0,
    )
    finding = (
        f"{unsettled:.1%} of the samples do not settle in prediction, and {trained:.1%} of the "
        "phases did not settle in the last epoch of training. A sample takes "
        f"{n_sweeps:.1f} sweeps on average."
    )
    value = max(unsettled, trained)
    if evidence.n_diverged:
        # More sweeps would not help, so one such sample is enough.
        share = evidence.n_diverged / subject.n_samples
        finding += f" {share:.1%} of the samples diverge within {MAX_STEPS} sweeps."
        remedy = sentence(situation, *ways.WEAKER_LOOPS, ways.SCALE_INPUTS, ways.LOWER_RATE)
        remedy += " Then fit again."
        return HealthCheck("settling", max(value, share), "bad", finding, remedy)
    broken = float((~np.isfinite(predicted.residual)).mean())
    if broken and subject.dtype != np.float64:
        # More sweeps would not help here either: the equilibrium is too large for the dtype.
        finding += f" {broken:.1%} of the samples are not finite in {subject.dtype.name}."
        remedy = sentence(situation, ways.SCALE_INPUTS, ways.FLOAT64)
        return HealthCheck("settling", value, "bad", finding, remedy)
    limits = (ways.RAISE_MAX_RELAX, ways.RAISE_MAX_NUDGE)
    others = (ways.CHANGE_STEP_SIZE, ways.GAUSS_SEIDEL)
    remedy = sentence(situation, *limits, *ways.WEAKER_LOOPS, *others)
    return judged("settling", value, UNSETTLED_LIMITS, finding, remedy)


def saturation(evidence: Evidence) -> HealthCheck:
    """Fraction of the hidden units that are where the activation is flat."""
    if evidence.equilibria is None:
        return _no_equilibrium("saturation")
    fractions = [float(layer.mean()) for layer in evidence.equilibria.flat]
    if not fractions:
        return HealthCheck("saturation", 0.0, "good", "There is no hidden layer.", "")
    activation = evidence.subject.network.activations[0]
    silent = activation.lower is not None and activation.upper is None
    where = "silent (at 0)" if silent else "at a bound" if activation.lower is not None else "flat"
    remedies = (ways.SCALE_INPUTS, ways.LOWER_RATE, ways.RAISE_ALPHA, ways.RELU)
    return judged(
        "saturation",
        max(fractions),
        SILENT_LIMITS if silent else SATURATED_LIMITS,
        f"Hidden units are {where} in {_percentages(fractions)} of the cases, layer by layer.",
        sentence(evidence.subject.situation, *remedies),
    )


def dead_units(evidence: Evidence) -> HealthCheck:
    """Fraction of the hidden units that are flat in every sample."""
    if evidence.equilibria is None:
        return _no_equilibrium("dead units")
    fractions = [float((layer == 1).mean()) for layer in evidence.equilibria.flat]
    if not fractions:
        return HealthCheck("dead units", 0.0, "good", "There is no hidden layer.", "")
    return judged(
        "dead units",
        max(fractions),
        DEAD_LIMITS,
        f"{_percentages(fractions)} of the hidden units, layer by layer, are flat in all "
        f"{evidence.subject.n_samples} samples, so that they do not learn.",
        sentence(evidence.subject.situation, ways.LOWER_RATE, ways.SCALE_INPUTS, ways.OTHER_SEED)
        + " If X has few rows, pass more rows first.",
    )


def feedback(evidence: Evidence) -> HealthCheck:
    """Fraction of a nudge that feedback carries to the hidden layers."""
    network = evidence.subject.network
    gains, carried = feedback_gains(network), carried_to_layers(network)
    # Layers that no nudge reaches are left out: they need an exact gradient in any case.
    hidden = sorted(reachable(network.wiring.pairs, network.n_layers) - {network.n_layers})
    if not hidden:
        missing = "hidden layer" if network.n_layers == 1 else "feedback into the hidden layers"
        return HealthCheck("feedback gain", 1.0, "good", f"There is no {missing}.", "")
    weakest = min(hidden, key=lambda layer: carried[layer - 1])
    undone = evidence.subject.config.settles_in_units  # no nudge is too small for its type
    return judged(
        "feedback gain",
        carried[weakest - 1],
        (0.0, 0.0) if undone else ATTENUATION_LIMITS,
        f"{_gains_in_words(network, gains)} {carried[weakest - 1]:.2g} of a nudge to layer "
        f"{weakest}.",
        sentence(evidence.subject.situation, *ways.STRONGER_FEEDBACK, ways.RESCALE_LAYERS),
        high_is_good=True,
    )


def _gains_in_words(network: Network, gains: Sequence[float]) -> str:
    wiring = network.wiring
    if wiring.is_layered:
        sizes = ", ".join(f"{gain:.2g}" for gain in gains)
        return f"||B|| / ||F|| is {sizes}, layer by layer. Feedback carries"
    sizes = ", ".join(
        f"{gain:.2g} for {weights_name(wiring, 'feedback', pair)}"
        for gain, pair in zip(gains, wiring.feedback, strict=True)
    )
    return f"The feedback gain γ is {sizes}. The strongest path carries"


def alignment(evidence: Evidence) -> HealthCheck:
    """Whether the update has the direction of the gradient."""
    if evidence.equilibria is None:
        return _no_equilibrium("alignment")
    found = evidence.alignment
    if found is None:
        return _no_signals("alignment")
    trouble = _diverging_phases(found, evidence.subject) or _missed_update(found, evidence.subject)
    if trouble is not None:
        return trouble
    overall = _Cosine("overall", found.update, float(np.nan_to_num(found.limit)))
    blocks = [
        _Cosine(f"for {block.name}", now, float(np.nan_to_num(limit)))
        for block, now, limit in _trained_weights(found)
        if not math.isnan(now)
    ]
    if math.isnan(found.update) or not blocks:
        return HealthCheck(
            "alignment",
            math.nan,
            "watch",
            "There is no error signal: the outputs are at their targets, or no signal reaches the "
            "weights.",
            "Pass samples that the network has not learned, and see the check of dead units.",
        )
    lowest = min(blocks, key=attrgetter("now"))
    return judged(
        "alignment",
        min(overall.now, lowest.now),
        COSINE_LIMITS,
        f"The cosine of the update with -dJ/dθ is {found.update:.2f} overall, and "
        f"{lowest.now:.2f} {lowest.of}, the lowest block.",
        _remedy(evidence.subject, overall, blocks),
        high_is_good=True,
    )


def _diverging_phases(found: GradientAlignment, subject: Subject) -> HealthCheck | None:
    if not math.isnan(found.update) or math.isnan(found.overall):
        return None
    beta = subject.config.influence
    finding = f"The phases of training diverge at beta={beta:g}, so there is no update."
    remedy = sentence(subject.situation, ways.LOWER_BETA, *ways.WEAKER_LOOPS, ways.ONE_SIDED)
    return HealthCheck("alignment", math.nan, "bad", finding, remedy)


def _missed_update(found: GradientAlignment, subject: Subject) -> HealthCheck | None:
    missed = [
        block.name
        for block, now, limit in _trained_weights(found)
        if math.isnan(now) and not math.isnan(limit)  # with more steps it would arrive
    ]
    if not missed:
        return None
    return HealthCheck(
        "alignment",
        0.0,
        "bad",
        f"No update arrives at {', '.join(missed)} within "
        f"max_nudge_iter={subject.estimator.max_nudge_iter}.",
        sentence(subject.situation, ways.RAISE_MAX_NUDGE, ways.GAUSS_SEIDEL),
    )


def _trained_weights(
    found: GradientAlignment,
) -> Iterator[tuple[BlockAlignment, float, float]]:
    """Blocks of forward weights that the update trains: their cosines now, and in the limit."""
    for block in found.blocks:
        now, limit = block.update_cosine, block.limit_cosine
        if block.role == "forward" and now is not None and limit is not None:
            yield block, now, limit


class _Cosine(NamedTuple):
    """A cosine with -dJ/dθ, and its limit as β goes to 0. The limit of no update counts as 0."""

    of: str
    now: float
    limit: float


def _remedy(subject: Subject, overall: _Cosine, blocks: Sequence[_Cosine]) -> str:
    farthest = min([overall, *blocks], key=attrgetter("limit"))
    if farthest.limit > COSINE_LIMITS[0]:
        return _closer_to_the_limit(subject, min([overall, *blocks], key=attrgetter("now")))
    blocks_are_aligned = min(block.limit for block in blocks) > COSINE_LIMITS[0]
    options = _ways_to_another_limit(subject, blocks_are_aligned)
    return (
        f"A smaller |beta| is not enough: as it goes to 0, the cosine {farthest.of} goes to "
        f"{farthest.limit:.2f}. Options: {'; '.join(options)}."
    )


def _closer_to_the_limit(subject: Subject, lowest: _Cosine) -> str:
    """Remedy if small nudges give a good update."""
    config = subject.config
    if not config.rule.nudged:
        return "Use a tighter relax_tol, and raise max_relax_iter and max_nudge_iter if needed."
    which = "finite" if config.clamps else "smaller"
    remedy = (
        f"Use a {which} |beta| (now {abs(config.influence):g}) and a tighter relax_tol (now "
        f"{config.relax_tol!r}): as both go to 0, the cosine {lowest.of} goes to "
        f"{lowest.limit:.2f}."
    )
    if config.nudging != "centered":
        remedy += " nudging='centered' is more accurate once beta is small."
    return remedy


def _ways_to_another_limit(subject: Subject, blocks_are_aligned: bool) -> list[str]:
    """Options if even small nudges give a bad update."""
    network, config = subject.network, subject.config
    options = []
    if not network.tied and blocks_are_aligned and not config.layerwise_rescale:
        options.append("layerwise_rescale=True brings the layers into proportion")
    # A small nudge is finite, even if the estimator clamps its output (beta=inf).
    small_nudge = replace(config, beta=1.0)
    smooth = not network.activations[0].transmits_state
    if smooth and config.aligns and not small_nudge.reads_rates:
        options.append(
            "credit_coordinates='rate' is exact for feedback aligned with forward weights"
        )
    has_partners = any(partner is not None for partner in network.wiring.partners)
    stays_transposed = config.feedback_rule.follows and config.feedback_init == "transpose"
    if not network.tied and has_partners and not stays_transposed:
        turned = changes(config, feedback_init="transpose", feedback_learning="kolen_pollack")
        options.append(f"{' with '.join(turned)} keeps feedback aligned")
    needed = needed_for_exact(config)
    also = f", with {' and '.join(needed)}" if needed else ""
    small = changes(config, beta="auto") + needed_for_exact(replace(config, beta="auto"))
    with_small = f" with {' and '.join(small)}" if small else ""
    options.append(
        f"gradient='recurrent_backprop'{also}, or 'asymmetric'{with_small}, is exact with any "
        "feedback"
    )
    return options


def signal(evidence: Evidence) -> HealthCheck:
    """Effect of the nudge on each layer, compared with the rounding of its states."""
    if evidence.equilibria is None:
        return _no_equilibrium("nudge signal")
    subject, directions = evidence.subject, evidence.directions
    if directions is None:
        return _no_signals("nudge signal")
    states, signals = directions.state_squares, directions.signal_squares
    relative = np.full(len(states), math.inf)
    np.divide(signals, states, out=relative, where=states > 0)
    rounding = float(np.finfo(subject.dtype).eps)
    ratios = subject.config.nudge_strength * np.sqrt(relative) / rounding
    weakest = int(np.argmin(ratios))
    # With relax_tol='auto', phases settle displacements, which lose nothing to the rounding of
    # states. A signal below the rounding is then only a warning, if feedback has attenuated it.
    limits = SIGNAL_LIMITS
    if subject.estimator.relax_tol == "auto":
        fades = subject.config.rule.attenuated and not subject.config.settles_in_units
        limits = (SIGNAL_LIMITS[1] if fades else 0.0, 0.0)
    return judged(
        "nudge signal",
        ratios[weakest],
        limits,
        f"The nudge moves layer {weakest + 1} by {ratios[weakest]:.2g} times the rounding of its "
        f"{subject.dtype.name} states, the least of all layers.",
        sentence(subject.situation, ways.FLOAT64, ways.RAISE_BETA, *ways.STRONGER_FEEDBACK),
        high_is_good=True,
    )


def loop_gain(evidence: Evidence) -> HealthCheck:
    """How recurrent the network is, and how close to diverging."""
    found = evidence.equilibria
    if found is None:
        return _no_equilibrium("loop gain")
    finding = (
        f"A change returns from a round trip through two layers at {found.round_trip:.2g} of its "
        f"size. The equilibrium differs from the feedforward pass by {found.recurrence:.2g} of "
        "its length."
    )
    situation, loops = evidence.subject.situation, evidence.subject.network.wiring.feedback
    if loops and found.recurrence < RECURRENT and found.round_trip <= ROUND_TRIP_LIMITS[0]:
        finding += " The network is almost feedforward."
        clause = sentence(situation, ways.RAISE_LOOP_GAIN, ways.RAISE_FEEDBACK_SCALE)
        remedy = f"{clause[:-1]} if you want a recurrent network." if clause else ""
        return HealthCheck("loop gain", found.round_trip, "good", finding, remedy)
    return judged(
        "loop gain",
        found.round_trip,
        ROUND_TRIP_LIMITS,
        finding,
        sentence(situation, *ways.WEAKER_LOOPS, ways.LOWER_FEEDBACK_SCALE),
    )


#: Every check, in the order of the report.
CHECKS: tuple[Callable[[Evidence], HealthCheck | None], ...] = (
    fit,
    overfitting,
    learning_rate,
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
