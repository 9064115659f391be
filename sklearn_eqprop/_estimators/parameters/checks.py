"""Parameters that do not go together: refused, or warned about, before training."""

import math

from sklearn_eqprop._estimators.parameters.architecture import named
from sklearn_eqprop._estimators.parameters.config import Config
from sklearn_eqprop._losses import Loss
from sklearn_eqprop._network import Conv2D, Wiring, allowed_loop_product, reachable
from sklearn_eqprop._rules import RULES
from sklearn_eqprop._sklearn_compat import InvalidParameterError
from sklearn_eqprop._warnings import warn_at_call


def check_pairs(config: Config, *, incremental: bool) -> None:
    """Refuse parameters that do not go together.

    Parameters
    ----------
    config : Config
    incremental : bool
        Whether this is a call of ``partial_fit``.

    Raises
    ------
    ValueError
        With the parameters, their values and the remedy.
    """
    if config.averages:
        _check_trajectory(config)
    if config.credit_coordinates == "rate" and RULES[config.gradient].in_states_only:
        msg = (
            f"credit_coordinates='rate' does not go with gradient={config.gradient!r}, whose "
            "displacements are the exact gradient already. Use credit_coordinates='auto'."
        )
        raise ValueError(msg)
    if config.clamps:
        _check_clamp(config)
    if incremental and config.early_stopping:
        msg = "partial_fit does not support early_stopping=True. Set it to False, or use fit."
        raise ValueError(msg)
    for entry in config.hidden:
        if isinstance(entry, Conv2D):
            _check_convolution(config, entry)


def _check_trajectory(config: Config) -> None:
    wrong = None
    if not config.relaxation_type.follows_trajectory:
        wrong = ("relaxation", config.relaxation, "euler", "other methods follow no trajectory")
    elif RULES[config.gradient].fixed_point_only:
        wrong = (
            "gradient",
            config.gradient,
            "vector_field",
            "the other rules need a network that settles",
        )
    if wrong is not None:
        name, value, usable, reason = wrong
        msg = (
            f"objective='trajectory' does not go with {name}={value!r}: {reason}. Use "
            f"{name}={usable!r} or objective='fixed_point'."
        )
        raise ValueError(msg)
    check_clamped_objective(config, config.beta)


def _check_clamp(config: Config) -> None:
    check_clamped_loss(config)
    wrong = None
    if config.nudging != "one_sided":
        reason = "the output cannot be held on both sides of its target"
        wrong = ("nudging", config.nudging, "one_sided", reason)
    elif not RULES[config.gradient].clampable:
        wrong = ("gradient", config.gradient, "vector_field", "a clamped output has its own rule")
    if wrong is not None:
        name, value, usable, reason = wrong
        msg = (
            f"beta=inf does not go with {name}={value!r}: {reason}. Use {name}={usable!r} or a "
            "finite beta."
        )
        raise ValueError(msg)
    if config.tied and config.credit_coordinates == "state":
        msg = (
            "beta=inf with feedback='tied' does not go with credit_coordinates='state': "
            "contrastive Hebbian learning is a difference of products of rates. Use "
            "credit_coordinates='auto'."
        )
        raise ValueError(msg)


def check_clamped_objective(config: Config, beta: float) -> None:
    """Refuse β = ∞ for averages along a trajectory.

    Raises
    ------
    ValueError
        With the remedy.
    """
    if config.averages and beta == math.inf:
        msg = (
            "objective='trajectory' does not go with beta=inf: an output that is held has no "
            "trajectory to average. Use a finite beta or objective='fixed_point'."
        )
        raise ValueError(msg)


def check_clamped_loss(config: Config) -> None:
    """Refuse β = ∞ for losses whose nudged output does not converge to the target.

    Raises
    ------
    ValueError
        For every loss except the squared error.
    """
    if config.loss != "squared_error":
        msg = (
            f"beta=inf does not go with loss={config.loss!r}: it holds the output at the target, "
            "which is the limit of a strong nudge under loss='squared_error' only. Use that loss "
            "or a finite beta."
        )
        raise ValueError(msg)


def _check_convolution(config: Config, entry: Conv2D) -> None:
    if not config.feedback_rule.works_on_kernels and not config.tied:
        msg = (
            f"feedback_learning={config.feedback_learning!r} does not go with {entry!r}: it needs "
            "synapses that have their own weight. Use feedback_learning='kolen_pollack'."
        )
        raise ValueError(msg)
    if config.averages and entry.picks_winners:
        msg = (
            f"objective='trajectory' does not go with {entry!r}: along a trajectory the winners "
            "of max pooling change. Use pooling='average' or objective='fixed_point'."
        )
        raise ValueError(msg)


def check_beta(config: Config, loss: Loss, beta: float, *, pushes_away: bool, held: bool) -> None:
    """Refuse a β that carries no signal or makes a nudged phase unstable.

    Parameters
    ----------
    config : Config
        For messages.
    loss : Loss
    beta : float
    pushes_away : bool
        Whether some phase moves the output away from its target.
    held : bool
        Whether a push away keeps its first force if the curvature of the loss has no bound.

    Raises
    ------
    InvalidParameterError
        If β is zero, or not finite.
    ValueError
        If the phase that is nudged away from the target would diverge.
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
    if math.isinf(loss.curvature):
        if not held:
            msg = (
                f"beta={beta!r} is negative and the curvature of loss={config.loss!r} has no known "
                "bound: outputs that are pushed away from the target could diverge. Use a positive "
                "beta."
            )
            raise ValueError(msg)
    elif abs(beta) * loss.curvature >= 1:
        remedy = "a positive beta" if beta < 0 else "nudging='one_sided' with a positive beta"
        msg = (
            f"beta={beta!r} is too large for loss={config.loss!r}: the phase that is nudged away "
            f"from the target would diverge. Use |beta| < {1 / loss.curvature:g}, or {remedy}."
        )
        raise ValueError(msg)


def pooled_by_maximum(config: Config) -> list[Conv2D]:
    """Return the layers in which winners of max pooling may change while a network settles."""
    entries = config.hidden
    if config.connections is None:
        entries = entries[1:]  # the first reads the input, which does not change
    return [entry for entry in entries if isinstance(entry, Conv2D) and entry.picks_winners]


def warn_beforehand(config: Config, loss: Loss, wiring: Wiring) -> None:
    """Warn about parameters that go together, but are unlikely to work."""
    _warn_about_tied_depth(config)
    _warn_about_winners(config)
    if config.averages:
        _warn_about_short_runs(config, wiring)
    if config.rule.nudged and not config.clamps:
        _warn_about_strong_nudge(config, loss.curvature, wiring.n_layers)


def _warn_about_tied_depth(config: Config) -> None:
    """Warn if bounding the loops leaves tied weights too small to carry a signal."""
    bound, n_hidden = config.loop_bound, len(config.hidden)
    if config.tied and bound is not None and n_hidden > 2:
        bounded = config.rho.rate_is_bounded
        remedy = "loop_gain=None" if bounded else "activation='hard_sigmoid' with loop_gain=None"
        warn_at_call(
            f"feedback='tied' has {n_hidden} hidden layers and loop_gain={bound:g}. Tied weights "
            "are their own feedback, and the bound keeps them too small to carry a signal through "
            f"several layers. Use feedback='untied', or {remedy}."
        )


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
    output this is g² / x_{L-1}, with x_1 = 1 and x_{l+1} = 1 - g² / x_l. (Tied weights may have
    stronger loops than they mostly have.) An Euler step ε overshoots for ever if ε (1 + β κ) >= 2.
    """
    beta, pull = config.beta, abs(config.beta) * curvature
    if pull == 0 or math.isinf(pull):  # inf: the force is held
        return
    nudge = f"beta={beta!r} with nudging={config.nudging!r}"
    if config.pushes_away and n_layers > 1 and not config.tied:
        bound = config.loop_bound
        left, loop = 1.0, allowed_loop_product(n_layers, bound) if bound is not None else 0.0
        for _ in range(n_layers - 2):
            left = 1 - loop / left
        limit = (1 - loop / left) / curvature
        if abs(beta) > limit:
            other = "a positive beta" if config.nudging == "one_sided" else "nudging='one_sided'"
            warn_at_call(
                f"{nudge} may be too strong for loop_gain={bound}: the phase that is nudged away "
                f"from the target is sure to settle only for |beta| <= {limit:.3g}. Use a smaller "
                f"|beta| or {other}."
            )
    explicit = config.relaxation_type.explicit_steps or config.rule.explicit_steps
    pulls = config.nudging != "one_sided" or beta > 0
    if explicit and pulls and config.step_size * (1 + pull) >= 2:
        warn_at_call(
            f"{nudge} and step_size={config.step_size:g} are too large: Euler steps would swing "
            f"around the nudged output. Use step_size < {2 / (1 + pull):.3g} or a smaller |beta|."
        )
