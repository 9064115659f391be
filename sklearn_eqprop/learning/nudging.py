"""Nudging: a cost pushing on the output, and how two equilibria become a displacement."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from sklearn_eqprop.backend.array_backend import Array
from sklearn_eqprop.learning.costs import Cost


class Nudge:
    """The push β (-∂C/∂s_L) on the output of every sample (Eqs. 13-16, Scellier et al. 2018).

    Parameters
    ----------
    cost : Cost
    target : array of shape (n_samples, n_outputs)
    beta : float or array of shape (n_samples, 1)
        Influence parameter; one a sample where phases are stacked.
    xp : module
        Array module.
    """

    def __init__(self, cost: Cost, target: Array, beta: Any, xp: Any) -> None:
        self._cost = cost
        self._target = target
        self._beta = beta
        self._xp = xp

    def force(self, output: Array) -> Array:
        """See `relaxation.Push.force`."""
        force = self._cost.force(self._xp, output, self._target)
        force *= self._beta
        return force

    def resolve(self, drive: Array, output: Array) -> Array:
        """See `relaxation.Push.resolve`."""
        return self._cost.resolve(self._xp, drive, output, self._target, self._beta)

    def take(self, rows: Array) -> Nudge:
        """See `relaxation.Push.take`."""
        beta = self._beta[rows] if hasattr(self._beta, "shape") else self._beta
        return Nudge(self._cost, self._target[rows], beta, self._xp)


class Nudging(Protocol):
    """An estimator of ds^β/dβ at β = 0 from equilibria at a few values of β."""

    def strengths(self, beta: float, rng: np.random.RandomState) -> tuple[float, ...]:
        """Values of β to settle at."""
        ...

    def displacement(self, free: Array, nudged: list[Array], strengths: tuple[float, ...]) -> Array:
        """Estimate of ds/dβ from a layer's free state and its nudged ones."""
        ...


class OneSided:
    """(s^β - s^0) / β, the paper's own (Eq. 19); its error is O(β)."""

    def strengths(self, beta: float, rng: np.random.RandomState) -> tuple[float, ...]:
        """See `Nudging.strengths`."""
        return (beta,)

    def displacement(self, free: Array, nudged: list[Array], strengths: tuple[float, ...]) -> Array:
        """See `Nudging.displacement`."""
        return (nudged[0] - free) / strengths[0]


class RandomSign(OneSided):
    """One-sided with the sign of β drawn for every minibatch, so that O(β) errors average out."""

    def strengths(self, beta: float, rng: np.random.RandomState) -> tuple[float, ...]:
        """See `Nudging.strengths`."""
        return (beta if rng.randint(2) else -beta,)


class Centered:
    """(s^β - s^-β) / 2β, both settled side by side; its error is O(β²) (Laborieux et al. 2021)."""

    def strengths(self, beta: float, rng: np.random.RandomState) -> tuple[float, ...]:
        """See `Nudging.strengths`."""
        return (beta, -beta)

    def displacement(self, free: Array, nudged: list[Array], strengths: tuple[float, ...]) -> Array:
        """See `Nudging.displacement`."""
        return (nudged[0] - nudged[1]) / (strengths[0] - strengths[1])


#: Every way of nudging by the name the user chooses it by.
NUDGINGS: dict[str, Nudging] = {
    "one_sided": OneSided(),
    "random_sign": RandomSign(),
    "centered": Centered(),
}
