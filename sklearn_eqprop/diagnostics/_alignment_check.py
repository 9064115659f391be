"""The alignment check of the health report: whether the update leads where the gradient leads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from sklearn_eqprop._estimators.parameters.parameters import feedback_aligns, reads_rates
from sklearn_eqprop._estimators.parameters.refused_pairs import needed_for_exact
from sklearn_eqprop._network import ACTIVATIONS
from sklearn_eqprop.diagnostics._alignment import BlockAlignment, GradientAlignment
from sklearn_eqprop.diagnostics._health_evidence import Evidence
from sklearn_eqprop.diagnostics._verdicts import HealthCheck, judged, no_signals, not_looked_at

#: The check turns to "watch" at the first cosine and to "bad" at the second.
COSINE_LIMITS = (0.7, 0.0)
#: Small enough for gradient='asymmetric', see benchmarks/exactness.py.
EXACT_BETA = 0.005


def alignment(evidence: Evidence) -> HealthCheck:
    """Whether the update leads where the gradient leads."""
    if evidence.at_rest is None:
        return not_looked_at("alignment")
    found = evidence.alignment
    if found is None:
        return no_signals("alignment")
    trouble = _runaway(found, evidence) or _missed_update(found, evidence)
    if trouble is not None:
        return trouble
    overall = _Cosine("overall", found.update, found.limit)
    blocks = [
        _Cosine(f"for {block.name}", block.update_cosine, block.limit_cosine)
        for block in found.blocks
        if block.role == "forward"
        and block.update_cosine is not None
        and block.limit_cosine is not None
        and not math.isnan(block.update_cosine)
    ]
    if math.isnan(found.update) or not blocks:
        return HealthCheck(
            "alignment",
            math.nan,
            "watch",
            "there is no error signal to compare: the outputs are at their targets, or nothing "
            "reaches the weights",
            "look at samples the network has not learned, and at the dead units",
        )
    lowest = min(blocks, key=_now)
    return judged(
        "alignment",
        min(overall.now, lowest.now),
        COSINE_LIMITS,
        f"cosine of the update with -dJ/dθ: {found.update:.2f} overall, {lowest.now:.2f} "
        f"{lowest.of}, the lowest",
        _remedy(evidence, overall, blocks),
        high_is_good=True,
    )


def _runaway(found: GradientAlignment, evidence: Evidence) -> HealthCheck | None:
    if not math.isnan(found.update) or math.isnan(found.overall):
        return None
    estimator = evidence.estimator
    loops = "loop_gain" if estimator.loop_gain is not None else "set a loop_gain"
    one_sided = "" if estimator.nudging == "one_sided" else ", or use nudging='one_sided'"
    return HealthCheck(
        "alignment",
        math.nan,
        "bad",
        f"the phases of training run away at beta={estimator.beta:g}: there is no update",
        f"lower |beta| or {loops}{one_sided}",
    )


def _missed_update(found: GradientAlignment, evidence: Evidence) -> HealthCheck | None:
    missed = [block.name for block in found.blocks if _is_missed(block)]
    if not missed:
        return None
    return HealthCheck(
        "alignment",
        0.0,
        "bad",
        f"no update arrives at {', '.join(missed)} within "
        f"max_nudge_iter={evidence.estimator.max_nudge_iter}",
        "raise max_nudge_iter, or use relaxation='gauss_seidel'",
    )


def _is_missed(block: BlockAlignment) -> bool:
    """Whether a block has a gradient, and an error signal in the end, but no update so far."""
    if block.role != "forward" or block.update_cosine is None or block.limit_cosine is None:
        return False
    return math.isnan(block.update_cosine) and not math.isnan(block.limit_cosine)


class _Cosine(NamedTuple):
    """A cosine that is judged, and what it tends to as β goes to 0."""

    of: str
    now: float
    limit: float


def _now(cosine: _Cosine) -> float:
    return cosine.now


def _limit(cosine: _Cosine) -> float:
    """Its limit, 0 where no update is left there."""
    return 0.0 if math.isnan(cosine.limit) else cosine.limit


def _remedy(evidence: Evidence, overall: _Cosine, blocks: Sequence[_Cosine]) -> str:
    farthest = min([overall, *blocks], key=_limit)
    if _limit(farthest) > COSINE_LIMITS[0]:
        return _closer_to_the_limit(evidence, min([overall, *blocks], key=_now))
    ways = _ways_to_another_limit(evidence, min(map(_limit, blocks)) > COSINE_LIMITS[0])
    return (
        f"a smaller |beta| is not enough: as it goes to 0, the cosine {farthest.of} goes to "
        f"{_limit(farthest):.2f}; {'; '.join(ways)}"
    )


def _closer_to_the_limit(evidence: Evidence, lowest: _Cosine) -> str:
    """What to do where the update of small nudges is good."""
    estimator = evidence.estimator
    if estimator.gradient == "recurrent_backprop":  # it knows no nudge
        return "a tighter relax_tol, and as many sweeps or steps as it takes"
    what = "finite" if math.isinf(estimator.beta) else "smaller"
    remedy = (
        f"a {what} |beta|, now {abs(estimator.beta):g}, and a tighter relax_tol, now "
        f"{estimator.relax_tol!r}: as both go to 0, the cosine {lowest.of} goes to "
        f"{_limit(lowest):.2f}"
    )
    if estimator.nudging != "centered":
        remedy += "; nudging='centered' is closer once beta is small"
    return remedy


def _ways_to_another_limit(evidence: Evidence, blocks_are_aligned: bool) -> list[str]:
    """What to do where even small nudges leave the update astray."""
    parameters = evidence.estimator.get_params(deep=False)
    untied = parameters["feedback"] == "untied"
    follows = parameters["feedback_learning"] == "kolen_pollack"
    ways = []
    if untied and blocks_are_aligned and not parameters["layerwise_rescale"]:
        ways.append("layerwise_rescale=True brings the layers into proportion")
    smooth = not ACTIVATIONS[parameters["activation"]].transmits_state
    # The small nudge spoken of is finite even where the output is held now.
    aligns = feedback_aligns(parameters)
    if smooth and aligns and not reads_rates(parameters | {"beta": 1.0}):
        ways.append(
            "credit_coordinates='rate' is exact for feedback that mirrors the forward weights"
        )
    has_partners = any(partner is not None for partner in evidence.network.wiring.partners)
    if untied and has_partners and not (follows and parameters["feedback_init"] == "transpose"):
        ways.append(
            "feedback_init='transpose' with feedback_learning='kolen_pollack' keeps feedback "
            "aligned"
        )
    needed = needed_for_exact(parameters)
    also = f", with {' and '.join(needed)}" if needed else ""
    small = [f"beta={EXACT_BETA:g}", *needed_for_exact(parameters | {"beta": EXACT_BETA})]
    ways.append(
        f"gradient='recurrent_backprop'{also}, or 'asymmetric' with {' and '.join(small)}, is "
        "exact with any feedback"
    )
    return ways
