"""Parameters that do not go together: refused, or warned about, before training."""

import math
from typing import Any

from sklearn_eqprop._estimators.parameters.architecture import (
    named,
    own_convolutions,
    requested_wiring,
)
from sklearn_eqprop._estimators.parameters.config import Config
from sklearn_eqprop._losses import LABEL_LOSSES, NUMBER_LOSSES, Loss
from sklearn_eqprop._network import (
    ACTIVATIONS,
    Conv2D,
    Layout,
    Wiring,
    allowed_loop_product,
    reachable,
)
from sklearn_eqprop._rules import RULES
from sklearn_eqprop._sklearn_compat import InvalidParameterError
from sklearn_eqprop._warnings import warn_at_call

#: Parameters of the simulation, which mean nothing to hardware, and their defaults.
DECIDED_BY_HARDWARE = {
    "relaxation": "gauss_seidel",
    "step_size": 1.0,
    "max_relax_iter": 200,
    "max_nudge_iter": 200,
    "relax_tol": "auto",
}


def check_pairs(config: Config, *, incremental: bool) -> None:
    """Refuse parameters that do not go together, or not with ``partial_fit`` (`incremental`)."""
    if config.substrate is not None:
        _check_with_hardware(config)
    if config.averages:
        _check_trajectory(config)
    _check_coordinates(config)
    if config.n_points and config.rule.nudged:
        refuse(f"nudging={config.nudging}", _n_point_faults(config), "nudging='centered'")
    _check_output(config)
    refuse("beta=inf", _clamp_faults(config), "a finite beta")
    if incremental and config.early_stopping:
        msg = "partial_fit does not support early_stopping=True. Set it to False, or use fit."
        raise ValueError(msg)


#: What an option does not go with, why, and what to use instead.
Fault = tuple[str, str, str]

_NO_CLAMPED_AVERAGES = "averages along a trajectory are defined for finite nudges only"


def refuse(option: str, faults: list[Fault], instead: str) -> None:
    """Refuse an option, with all of its faults at once, so that one remedy is enough."""
    if faults:
        found = ". Nor does it go with ".join(f"{what}: {why}" for what, why, _ in faults)
        remedy = " with ".join(use for _, _, use in faults)
        comma = "," if len(faults) > 1 else ""
        msg = f"{option} does not go with {found}. Use {remedy}{comma} or {instead}."
        raise ValueError(msg)


def _check_with_hardware(config: Config) -> None:
    """Refuse what no hardware can do, or decides itself."""
    faults: list[Fault] = []
    for name, default in DECIDED_BY_HARDWARE.items():
        value = vars(config)[name]
        if value != default:
            why = "the hardware settles in its own way"
            faults.append((f"{name}={value!r}", why, f"{name}={default!r}"))
    if config.averages:
        why = "hardware is trained by equilibria"
        faults.append(("objective='trajectory'", why, "objective='fixed_point'"))
    if config.n_points and config.rule.nudged:
        why = "no hardware can be pushed with complex strengths"
        faults.append((f"nudging={config.nudging}", why, "nudging='centered'"))
    if config.backend == "cupy":
        why = "hardware takes and returns NumPy arrays"
        faults.append(("backend='cupy'", why, "backend='numpy'"))
    if config.average_weights:
        why = "hardware holds one set of weights"
        faults.append(("average_weights=True", why, "average_weights=False"))
    if config.checkpoint is not None:
        why = "a file cannot hold the state of hardware"
        faults.append((f"checkpoint={config.checkpoint!r}", why, "checkpoint=None"))
    refuse(f"substrate={config.substrate!r}", faults, "substrate=None")


def _check_trajectory(config: Config) -> None:
    faults: list[Fault] = []
    if not config.relaxation_type.follows_trajectory:
        why = "only Euler steps follow the trajectory of the dynamics"
        faults.append((f"relaxation={config.relaxation!r}", why, "relaxation='euler'"))
    if RULES[config.gradient].fixed_point_only:
        why = "this rule needs a network that settles"
        faults.append((f"gradient={config.gradient!r}", why, "gradient='vector_field'"))
    if config.beta == math.inf:
        faults.append(("beta=inf", _NO_CLAMPED_AVERAGES, "a finite beta"))
    for entry in pooled_by_maximum(config)[:1]:
        why = "the winners of this max pooling change along a trajectory"
        faults.append((repr(entry), why, "pooling='average'"))
    instead = ["objective='fixed_point'", *(use for _, _, use in _clamp_faults(config))]
    refuse("objective='trajectory'", faults, " with ".join(instead))


def _check_coordinates(config: Config) -> None:
    """Refuse displacements of rates for rules that they would make wrong."""
    rule = RULES[config.gradient]
    if config.credit_coordinates == "rate" and config.rates_differ and rule.in_states_only:
        why = (
            "this rule computes the exact gradient from displacements of states, and the slopes "
            f"of activation={config.activation!r} would change its direction"
        )
        fault = (f"gradient={rule.name!r}", why, "gradient='vector_field'")
        refuse("credit_coordinates='rate'", [fault], "credit_coordinates='auto'")


def _n_point_faults(config: Config) -> list[Fault]:
    """Return what complex nudges do not go with."""
    faults: list[Fault] = []
    why = "its kinks cannot be continued to complex states"
    if not config.rho.analytic:
        faults.append((f"activation={config.activation!r}", why, "activation='tanh'"))
    if config.output_rho.bounded:
        what = f"output_activation={config.output_activation!r}"
        faults.append((what, why, "output_activation='identity'"))
    if config.rule.moves_weights:
        why = "weights would move along a complex path"
        faults.append((f"gradient={config.gradient!r}", why, "gradient='vector_field'"))
    if config.relaxation_type.extrapolates:
        why = "it would accelerate real and imaginary parts apart from each other"
        faults.append((f"relaxation={config.relaxation!r}", why, "relaxation='gauss_seidel'"))
    if config.averages:
        why = "averages along a trajectory are defined for real nudges only"
        faults.append(("objective='trajectory'", why, "objective='fixed_point'"))
    return faults


def _check_output(config: Config) -> None:
    """Refuse outputs that do not transmit their state, and bounded ones if the loss has no use."""
    name = config.output_activation
    if not config.output_rho.transmits_state:
        good = " or ".join(repr(n) for n, rho in ACTIVATIONS.items() if rho.transmits_state)
        msg = (
            f"The 'output_activation' parameter cannot be {name!r}: the loss judges the state of "
            "an output, which a smooth activation does not bound. It would only change what the "
            f"output feeds back. Use {good}."
        )
        raise InvalidParameterError(msg)
    if config.output_rho.bounded:
        losses = LABEL_LOSSES | NUMBER_LOSSES
        known = losses.get(config.loss) if isinstance(config.loss, str) else None
        if known is None or not known.bounded_outputs:
            why = "outputs with bounds need a loss that compares each of them with its target"
            faults = [(f"loss={config.loss!r}", why, "loss='squared_error'")]
            refuse(f"output_activation={name!r}", faults, "output_activation='identity'")


def _clamp_faults(config: Config) -> list[Fault]:
    """Return what an infinite β does not go with; none if the output is not clamped."""
    if not config.clamps:
        return []
    faults = _clamped_loss(config, "loss='squared_error'")
    if config.nudges.name != "one_sided":
        why = "the output cannot be held on both sides of its target"
        faults.append((f"nudging={config.nudging!r}", why, "nudging='one_sided'"))
    if not RULES[config.gradient].clampable:
        why = "this rule is defined for finite nudges only"
        faults.append((f"gradient={config.gradient!r}", why, "gradient='vector_field'"))
    if config.tied and config.credit_coordinates == "state" and config.rates_differ:
        why = "contrastive Hebbian learning is a difference of products of rates"
        what = "credit_coordinates='state' and feedback='tied'"
        faults.append((what, why, "credit_coordinates='auto'"))
    return faults


def _clamped_loss(config: Config, remedy: str) -> list[Fault]:
    if config.loss == "squared_error":
        return []
    why = (
        "it holds the output at the target, which is the limit of a strong nudge for the squared "
        "error only"
    )
    return [(f"loss={config.loss!r}", why, remedy)]


def check_clamped_phase(config: Config) -> None:
    """Refuse to hold the output of a fitted network, if its phases have no such limit.

    Averages along a trajectory have none, and no loss except the squared error has one.
    """
    faults = _clamped_loss(config, "an estimator fitted with loss='squared_error'")
    if config.averages:
        use = "an estimator fitted with objective='fixed_point'"
        faults.append(("objective='trajectory'", _NO_CLAMPED_AVERAGES, use))
    refuse("beta=inf", faults, "a finite beta")


def check_beta(config: Config, loss: Loss, beta: float, *, pushes_away: bool, held: bool) -> None:
    """Refuse a β that carries no signal or makes a nudged phase unstable.

    `pushes_away`: some phase moves the output away from its target. `held`: such a push keeps its
    first force if the curvature of the loss has no bound.

    It raises InvalidParameterError if β is zero, or not finite. It raises ValueError if the phase
    that is nudged away from the target would diverge.
    """
    if beta == math.inf:
        return
    if beta == 0 or not math.isfinite(beta):
        reasons = {
            0.0: "without a nudge both phases are equal and nothing can be learned",
            -math.inf: "an output can be held at its target, but not away from it",
        }
        msg = (
            f"The 'beta' parameter must be a finite number other than 0, or infinity. "
            f"Got {beta!r}: {reasons.get(beta, 'NaN is not a number')}. "
            "Values around 0.1 to 1 work well."
        )
        raise InvalidParameterError(msg)
    if not pushes_away:
        return
    away = "the nudge away from the target"
    if math.isinf(loss.curvature):
        if not held:
            msg = (
                f"beta={beta!r} is negative, and the curvature of loss={config.loss!r} has no "
                f"known bound: {away} could make the output diverge. Use a positive beta."
            )
            raise ValueError(msg)
    elif abs(beta) * loss.curvature >= 1:
        both = held and config.nudges.both_signs
        remedy = "nudging='one_sided' with a positive beta" if both else "a positive beta"
        msg = (
            f"beta={beta!r} is too large for loss={config.loss!r}: {away} can make the free "
            "equilibrium unstable, so that the nudged phase tells nothing about the gradient. "
            f"Use |beta| < {_rounded_down(1 / loss.curvature)}, or {remedy}."
        )
        raise ValueError(msg)


def pooled_by_maximum(config: Config) -> list[Conv2D]:
    """Return the layers in which winners of max pooling may change while a network settles.

    Winners among the inputs do not change.
    """
    hidden, pairs = config.hidden, requested_wiring(config).pairs
    maps = {layer for layer, entry in enumerate(hidden, 1) if isinstance(entry, Conv2D)}
    # Feedback beside a forward connection uses the convolution of that one in reverse.
    reading = {t for s, t in pairs if s in maps and t in maps and (s <= t or (t, s) not in pairs)}
    entries = [hidden[layer - 1] for layer in sorted(reading)]
    entries += own_convolutions(config).values()
    return [entry for entry in entries if isinstance(entry, Conv2D) and entry.picks_winners]


def check_same_network(
    was: Config, config: Config, old: Layout, new: Layout, loss_was: Loss, loss: Loss
) -> None:
    """Refuse to continue training if the parameters now ask for another network.

    The last fit had the parameters `was`, the layout `old` and the loss `loss_was`.
    """
    facts: list[tuple[str, Any, Any]] = [
        ("layers of {!r} units (hidden_layer_sizes)", old.sizes, new.sizes),
        ("the connections {!r}", old.wiring.pairs, new.wiring.pairs),
        ("input_shape={!r}", old.shapes[0], new.shapes[0]),
        ("feedback={!r}", was.feedback, config.feedback),
        ("activation={!r}", was.activation, config.activation),
        ("output_activation={!r}", was.output_activation, config.output_activation),
    ]
    if old != new:
        facts.append(("hidden_layer_sizes={!r}", was.hidden, config.hidden))
        facts.append(("connections={!r}", was.connections, config.connections))
    thresholds_differ = abs(loss_was.label_threshold - loss.label_threshold) > 0  # NaN: unknown
    if thresholds_differ or loss_was.predicts_log != loss.predicts_log:
        facts.append(("outputs that mean what they do with loss={!r}", was.loss, config.loss))
    for what, before, now in facts:
        if before != now:
            msg = (
                f"The network fitted so far has {what.format(before)}, but the parameters now ask "
                f"for {now!r}. Set it back, or use a fresh clone with warm_start=False."
            )
            raise ValueError(msg)


def warn_beforehand(config: Config, loss: Loss, wiring: Wiring) -> None:
    """Warn about parameters that go together, but are unlikely to work."""
    _warn_about_winners(config)
    if config.averages:
        _warn_about_short_runs(config, wiring)
    if config.rule.nudged and not config.clamps:
        _warn_about_strong_nudge(config, loss.curvature, wiring.n_layers)


def _warn_about_winners(config: Config) -> None:
    """Warn if winners of max pooling may change for ever.

    They settle for certain if rates are not negative and feedback is γ F^T: settling then lowers
    an energy (docs/design.md).
    """
    names, others = [], []
    if config.rho.rate_is_signed:
        names.append(f"activation={config.activation!r}")
        others.append("activation='relu'")
    if not config.tied and config.feedback_init == "independent":
        names.append(f"feedback_init={config.feedback_init!r}")
        others.append("feedback_init='transpose'")
    pooled = pooled_by_maximum(config)
    if pooled and names:
        warn_at_call(
            f"{pooled[0]!r} pools by the maximum. With {' and '.join(names)} its winners may "
            "change for ever in some samples, which then never settle. Use pooling='average', or "
            f"{' with '.join(others)}."
        )


def _warn_about_short_runs(config: Config, wiring: Wiring) -> None:
    """Warn if averages are taken before the nudge has arrived everywhere."""
    n_layers, n_steps = wiring.n_layers, config.max_nudge_iter
    untouched = reachable(wiring.pairs, n_layers) - reachable(wiring.pairs, n_layers, n_steps - 1)
    if untouched:
        warn_at_call(
            f"max_nudge_iter={n_steps} is too small for objective='trajectory' with {n_layers} "
            "layers: a nudge moves one layer per step. It does not arrive in "
            f"{named(untouched)}, where nothing is learned. Use a max_nudge_iter of several times "
            "the number of layers."
        )


def _warn_about_strong_nudge(config: Config, curvature: float, n_layers: int) -> None:
    """Warn if a nudge may be too strong for the nudged phase to settle.

    Away from the target the stability of the output itself is 1 - |β| κ, where κ is the largest
    curvature of the loss. It must exceed what the loops feed back. With loops of gain g² below the
    output this is g² / x_{L-1}, with x_1 = 1 and x_{l+1} = 1 - g² / x_l. An Euler step ε overshoots
    for ever if ε (1 + β κ) >= 2.
    """
    beta, pull = config.influence, abs(config.influence) * curvature
    if pull == 0 or math.isinf(pull):  # inf: the force is held
        return
    nudge = f"beta={beta!r} with nudging={config.nudging!r}"
    if config.pushes_away and n_layers > 1:
        bound = config.loop_bound
        left, loop = 1.0, allowed_loop_product(n_layers, bound) if bound is not None else 0.0
        for _ in range(n_layers - 2):
            left = 1 - loop / left
        limit = (1 - loop / left) / curvature
        if abs(beta) > limit:
            both = "nudging='one_sided'" if config.nudges.both_signs else ""
            remedy = " with ".join(filter(None, [both, "a positive beta" if beta < 0 else ""]))
            warn_at_call(
                f"{nudge} may be too strong for loop_gain={bound}: the phase that is nudged away "
                f"from the target is sure to settle only for |beta| <= {_rounded_down(limit)}. Use "
                f"a smaller |beta| or {remedy}."
            )
    explicit = config.relaxation_type.explicit_steps or config.rule.explicit_steps
    pulls = config.nudges.name != "one_sided" or beta > 0
    if explicit and pulls and config.step_size * (1 + pull) >= 2:
        warn_at_call(
            f"{nudge} and step_size={config.step_size:g} are too large: Euler steps would swing "
            f"around the nudged output. Use step_size < {_rounded_down(2 / (1 + pull))} or a "
            "smaller |beta|."
        )


def _rounded_down(limit: float) -> str:
    """Return a positive number with about three digits, not above `limit`, which it replaces."""
    digits = 2 - math.floor(math.log10(limit))
    return f"{math.floor(limit * 10.0**digits) / 10.0**digits:g}"
