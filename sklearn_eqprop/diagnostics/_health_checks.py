"""The checks of the health report, with their limits, findings and remedies."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from sklearn_eqprop._network import Network, feedback_gains, reachable
from sklearn_eqprop.diagnostics._alignment import BlockAlignment, GradientAlignment
from sklearn_eqprop.diagnostics._directions import carried_to_layers
from sklearn_eqprop.diagnostics._health_evidence import Evidence
from sklearn_eqprop.diagnostics._results import Readable, weights_name
from sklearn_eqprop.diagnostics._subject import MAX_STEPS, Subject

#: Verdicts, from best to worst.
VERDICTS = ("good", "watch", "bad")
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
#: A β that is small enough for gradient='asymmetric', see benchmarks/exactness.py.
EXACT_BETA = 0.005


@dataclass(frozen=True, repr=False)
class HealthCheck(Readable):
    """One check of `health_report`.

    Attributes
    ----------
    name : str
        For example 'loop gain'.
    value : float
        The number that the verdict depends on. NaN if it could not be measured.
    verdict : {'good', 'watch', 'bad'}
    finding : str
        The number in words.
    remedy : str
        What to do about it. Empty if there is nothing to do.
    """

    name: str
    value: float
    verdict: str
    finding: str
    remedy: str

    def __str__(self) -> str:
        """Return verdict, name and finding in one line, and the remedy in the next."""
        remedy = f"\n{'':24}-> {self.remedy}" if self.remedy else ""
        return f"{self.verdict:6} {self.name:17}{self.finding}{remedy}"


def _judged(
    name: str,
    value: float,
    limits: tuple[float, float],
    finding: str,
    remedy: str,
    *,
    high_is_good: bool = False,
) -> HealthCheck:
    """A check with the verdict that the limits give. If it is good, the remedy is left out.

    The value is beyond a limit if it is above it or, if `high_is_good`, below it.
    """
    sign = -1 if high_is_good else 1
    level = sum(sign * value > sign * limit for limit in limits)
    return HealthCheck(name, float(value), VERDICTS[level], finding, remedy if level else "")


def _no_equilibrium(name: str) -> HealthCheck:
    finding = "Not measured: samples diverge, so there is no equilibrium."
    return HealthCheck(name, math.nan, "watch", finding, "Fix settling first.")


def _no_signals(name: str) -> HealthCheck:
    finding = "Error signals do not settle at the equilibria: they grow without limit."
    return HealthCheck(name, math.nan, "bad", finding, "Fix loop gain and settling first.")


def settling(evidence: Evidence) -> HealthCheck:
    """Whether the phases settle in prediction and in training."""
    subject, unsettled = evidence.subject, evidence.unsettled
    record = subject.estimator.relaxation_
    trained = max(
        (record[name][-1] for name in ("free_unconverged", "nudged_unconverged") if record[name]),
        default=0.0,
    )
    finding = (
        f"{unsettled:.1%} of the samples do not settle in prediction, and {trained:.1%} of the "
        "phases did not settle in the last epoch of training. A sample takes "
        f"{evidence.n_sweeps:.1f} sweeps on average."
    )
    if evidence.n_diverged:
        # More sweeps would not help, so one such sample is enough.
        share = evidence.n_diverged / subject.n_samples
        return HealthCheck(
            "settling",
            max(unsettled, trained, share),
            "bad",
            f"{finding} {share:.1%} of the samples diverge within {MAX_STEPS} sweeps.",
            "Set or lower loop_gain, scale the inputs, lower learning_rate_init, and fit again.",
        )
    if evidence.n_broken and subject.dtype != np.float64:
        # More sweeps would not help here either: the equilibrium is too large for the dtype.
        share = evidence.n_broken / subject.n_samples
        return HealthCheck(
            "settling",
            max(unsettled, trained),
            "bad",
            f"{finding} {share:.1%} of the samples are not finite in {subject.dtype.name}.",
            "Scale the inputs, or use dtype='float64'.",
        )
    return _judged(
        "settling",
        max(unsettled, trained),
        UNSETTLED_LIMITS,
        finding,
        "Raise max_relax_iter and max_nudge_iter, lower loop_gain, change step_size, or use "
        "relaxation='gauss_seidel'.",
    )


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
    return _judged(
        "saturation",
        max(fractions),
        SILENT_LIMITS if silent else SATURATED_LIMITS,
        f"Hidden units are {where} in {_percentages(fractions)} of the cases, layer by layer.",
        "Scale the inputs (StandardScaler), lower learning_rate_init, or raise alpha. "
        "activation='relu' does not saturate.",
    )


def dead_units(evidence: Evidence) -> HealthCheck:
    """Fraction of the hidden units that are flat in every sample."""
    if evidence.equilibria is None:
        return _no_equilibrium("dead units")
    fractions = [float((layer == 1).mean()) for layer in evidence.equilibria.flat]
    if not fractions:
        return HealthCheck("dead units", 0.0, "good", "There is no hidden layer.", "")
    return _judged(
        "dead units",
        max(fractions),
        DEAD_LIMITS,
        f"{_percentages(fractions)} of the hidden units, layer by layer, are flat in all "
        f"{evidence.subject.n_samples} samples, so that they do not learn.",
        "Lower learning_rate_init, scale the inputs, or fit with another random_state. If X has "
        "few rows, pass more rows first.",
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
    return _judged(
        "feedback gain",
        carried[weakest - 1],
        ATTENUATION_LIMITS,
        f"{_gains_in_words(network, gains)} {carried[weakest - 1]:.2g} of a nudge to layer "
        f"{weakest}.",
        "Raise loop_gain or feedback_scale, use fewer hidden layers, or set "
        "layerwise_rescale=True.",
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
    return _judged(
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
    estimator = subject.estimator
    loops = "set loop_gain" if estimator.loop_gain is None else "lower loop_gain"
    ways = f"Lower |beta| or {loops}"
    if estimator.nudging != "one_sided":
        ways = f"Lower |beta|, {loops}, or use nudging='one_sided'"
    finding = f"The phases of training diverge at beta={estimator.beta:g}, so there is no update."
    return HealthCheck("alignment", math.nan, "bad", finding, f"{ways}.")


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
        "Raise max_nudge_iter, or use relaxation='gauss_seidel'.",
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
    ways = _ways_to_another_limit(subject, blocks_are_aligned)
    return (
        f"A smaller |beta| is not enough: as it goes to 0, the cosine {farthest.of} goes to "
        f"{farthest.limit:.2f}. Options: {'; '.join(ways)}."
    )


def _closer_to_the_limit(subject: Subject, lowest: _Cosine) -> str:
    """Remedy if small nudges give a good update."""
    estimator = subject.estimator
    if not subject.config.rule.nudged:
        return "Use a tighter relax_tol, and raise max_relax_iter and max_nudge_iter if needed."
    which = "finite" if math.isinf(estimator.beta) else "smaller"
    remedy = (
        f"Use a {which} |beta| (now {abs(estimator.beta):g}) and a tighter relax_tol (now "
        f"{estimator.relax_tol!r}): as both go to 0, the cosine {lowest.of} goes to "
        f"{lowest.limit:.2f}."
    )
    if estimator.nudging != "centered":
        remedy += " nudging='centered' is more accurate once beta is small."
    return remedy


def _ways_to_another_limit(subject: Subject, blocks_are_aligned: bool) -> list[str]:
    """Options if even small nudges give a bad update."""
    network = subject.network
    ways = []
    if not network.tied and blocks_are_aligned and not subject.estimator.layerwise_rescale:
        ways.append("layerwise_rescale=True brings the layers into proportion")
    if subject.rates_would_be_exact():
        ways.append("credit_coordinates='rate' is exact for feedback aligned with forward weights")
    has_partners = any(partner is not None for partner in network.wiring.partners)
    if not network.tied and has_partners and not subject.keeps_feedback_transposed():
        ways.append(
            "feedback_init='transpose' with feedback_learning='kolen_pollack' keeps feedback "
            "aligned"
        )
    needed = subject.needed_for_exact_gradient()
    also = f", with {' and '.join(needed)}" if needed else ""
    small = [f"beta={EXACT_BETA:g}", *subject.needed_for_exact_gradient(beta=EXACT_BETA)]
    ways.append(
        f"gradient='recurrent_backprop'{also}, or 'asymmetric' with {' and '.join(small)}, is "
        "exact with any feedback"
    )
    return ways


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
    ratios = abs(subject.estimator.beta) * np.sqrt(relative) / rounding
    weakest = int(np.argmin(ratios))
    # With relax_tol='auto', phases settle displacements, which lose nothing to the rounding of
    # states. A signal below the rounding is then only a warning.
    limits = (SIGNAL_LIMITS[1], 0.0) if subject.estimator.relax_tol == "auto" else SIGNAL_LIMITS
    return _judged(
        "nudge signal",
        ratios[weakest],
        limits,
        f"The nudge moves layer {weakest + 1} by {ratios[weakest]:.2g} times the rounding of its "
        f"{subject.dtype.name} states, the least of all layers.",
        "Use dtype='float64', a larger beta or loop_gain, or fewer hidden layers.",
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
    loops = evidence.subject.network.wiring.feedback
    if loops and found.recurrence < RECURRENT and found.round_trip <= ROUND_TRIP_LIMITS[0]:
        finding += " The network is almost feedforward."
        remedy = "Raise loop_gain if you want a recurrent network."
        return HealthCheck("loop gain", found.round_trip, "good", finding, remedy)
    return _judged(
        "loop gain",
        found.round_trip,
        ROUND_TRIP_LIMITS,
        finding,
        "Set or lower loop_gain, or lower feedback_scale.",
    )


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
