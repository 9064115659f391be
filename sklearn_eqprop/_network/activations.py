"""Activations: the rate ρ(s) a unit transmits, its slope ρ'(s), the range of its state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sklearn_eqprop._backend.array_backend import Array


@dataclass(frozen=True)
class Activation:
    """A unit's nonlinearity.

    Two families. For piecewise-linear ones the *state* is kept inside the
    range of ρ, s ← clip(s + ε μ, lower, upper) (Eq. 77, Scellier et al. 2018),
    so ρ(s) = s and units at a bound drop out of the linear system. For smooth ones
    the state is free (it equals its drive at the fixed point) and ρ(s) is sent on.

    Parameters
    ----------
    name : str
        Name the user chooses it by.
    rate : callable
        ``rate(xp, s)``, the transmitted ρ(s).
    slope : callable
        ``slope(xp, s)``, the derivative ρ'(s); 0 at and beyond a bound. Never above 1 in
        magnitude, which the loop-gain safeguard relies on.
    rate_change : callable
        ``rate_change(xp, s, d)``, ρ(s + d) - ρ(s) without subtracting nearly equal numbers.
    lower, upper : float or None
        Range of the state; None where it is not bounded.
    """

    name: str
    rate: Callable[[Any, Array], Array]
    slope: Callable[[Any, Array], Array]
    rate_change: Callable[[Any, Array, Array], Array]
    lower: float | None = None
    upper: float | None = None

    @property
    def transmits_state(self) -> bool:
        """Whether ρ(s) = s for every state in range, so that no rate need be computed."""
        return self.name == "identity" or self.lower is not None

    @property
    def rate_is_bounded(self) -> bool:
        """Whether ρ(s) stays within -1 and 1 whatever the state."""
        return self.name in ("hard_sigmoid", "tanh", "logistic")


def _state(xp: Any, s: Array) -> Array:
    return s


def _one(xp: Any, s: Array) -> Array:
    return xp.ones_like(s)


def _logistic(xp: Any, s: Array) -> Array:
    # tanh does not overflow for any finite s, exp(-s) does.
    return 0.5 * (1 + xp.tanh(0.5 * s))


def _logistic_slope(xp: Any, s: Array) -> Array:
    rate = _logistic(xp, s)
    return rate * (1 - rate)


def _displacement(xp: Any, s: Array, d: Array) -> Array:
    return d


def _tanh_change(xp: Any, s: Array, d: Array) -> Array:
    # tanh(s + d) = (tanh s + tanh d) / (1 + tanh s tanh d), tanh s subtracted by hand.
    at_s, change = xp.tanh(s), xp.tanh(d)
    return change * (1 - at_s * at_s) / (1 + at_s * change)


def _logistic_change(xp: Any, s: Array, d: Array) -> Array:
    return 0.5 * _tanh_change(xp, 0.5 * s, 0.5 * d)


#: Every activation by the name the user chooses it by.
ACTIVATIONS = {
    activation.name: activation
    for activation in (
        Activation(
            "hard_sigmoid",
            rate=lambda xp, s: xp.clip(s, 0, 1),
            slope=lambda xp, s: ((s > 0) & (s < 1)).astype(s.dtype),
            rate_change=_displacement,
            lower=0.0,
            upper=1.0,
        ),
        Activation(
            "relu",
            rate=lambda xp, s: xp.maximum(s, 0),
            slope=lambda xp, s: (s > 0).astype(s.dtype),
            rate_change=_displacement,
            lower=0.0,
        ),
        Activation(
            "tanh",
            rate=lambda xp, s: xp.tanh(s),
            slope=lambda xp, s: 1 - xp.tanh(s) ** 2,
            rate_change=_tanh_change,
        ),
        Activation("logistic", rate=_logistic, slope=_logistic_slope, rate_change=_logistic_change),
        Activation("identity", rate=_state, slope=_one, rate_change=_displacement),
    )
}
