"""The contract of an activation."""

from abc import ABC, abstractmethod
from typing import Any

from sklearn_eqprop._backend.array_backend import Array


class Activation(ABC):
    """A unit's nonlinearity ρ, and facts about it.

    There are two families.

    * *Piecewise linear*: the state is kept in the range of ρ, s ← clip(s + ε μ, lower, upper)
      (Eq. 77, Scellier et al. 2018). So ρ(s) = s, and units at a bound leave the linear system.
    * *Smooth*: the state is free. At the fixed point it equals its drive, and ρ(s) is transmitted.

    All methods take the array module ``xp`` and arrays of one shape and type, and return an array
    of that shape and type.
    """

    #: Name the user chooses it by.
    name: str
    #: Range of the state; None if that side is open.
    lower: float | None = None
    upper: float | None = None
    #: Whether ρ(s) = s for every state in the range, so that no rate need be computed.
    transmits_state: bool = False
    #: Whether ρ(s) is between -1 and 1 for every state.
    rate_is_bounded: bool = False
    #: Whether `rate_change` also takes a complex d, for N-point nudging.
    analytic: bool = False
    #: Whether ρ(s) can be negative. Max pooling may then have no equilibrium.
    rate_is_signed: bool = False
    #: Whether the range ends on one side or on both.
    bounded: bool = False

    def __init_subclass__(cls) -> None:
        """Set `bounded`."""
        cls.bounded = cls.lower is not None or cls.upper is not None

    @abstractmethod
    def rate(self, xp: Any, s: Array) -> Array:
        """The transmitted rate ρ(s)."""

    @abstractmethod
    def slope(self, xp: Any, s: Array) -> Array:
        """The derivative ρ'(s), a fresh array; 0 at and beyond a bound.

        Its magnitude must not exceed 1: the loop-gain safeguard relies on that.
        """

    @abstractmethod
    def rate_change(self, xp: Any, s: Array, d: Array) -> Array:
        """ρ(s + d) - ρ(s), with the relative accuracy of d also if d is tiny.

        The difference of two rates is not that accurate: both are rounded to their own size.
        """

    def potential(self, xp: Any, s: Array) -> Array | None:
        """∫ u ρ'(u) du from 0 to s, for the energy of tied networks. None: not known."""
        return None
