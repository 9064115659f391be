"""Nudging: how two equilibria become a displacement."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from sklearn_eqprop._backend.array_backend import Array


class Nudging(Protocol):
    """An estimator of ds^β/dβ at β = 0 from equilibria at a few values of β."""

    def strengths(self, beta: float, rng: np.random.RandomState) -> tuple[float, ...]:
        """Values of β to settle at."""
        ...

    def slope(
        self, displacements: list[Array], strengths: tuple[float, ...], weights: Any = 1.0
    ) -> Array:
        """Estimate of ds/dβ from a layer's displacements s^β - s^0; may work in them.

        Times `weights`: a number, or one a sample, of shape (n_samples, 1).
        """
        ...


class OneSided:
    """(s^β - s^0) / β, the paper's own (Eq. 19); its error is O(β)."""

    def strengths(self, beta: float, rng: np.random.RandomState) -> tuple[float, ...]:
        """See `Nudging.strengths`."""
        return (beta,)

    def slope(
        self, displacements: list[Array], strengths: tuple[float, ...], weights: Any = 1.0
    ) -> Array:
        """See `Nudging.slope`."""
        [slope] = displacements
        slope *= weights * (1 / strengths[0])
        return slope


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

    def slope(
        self, displacements: list[Array], strengths: tuple[float, ...], weights: Any = 1.0
    ) -> Array:
        """See `Nudging.slope`."""
        plus, minus = displacements
        plus -= minus
        plus *= weights * (1 / (strengths[0] - strengths[1]))
        return plus


#: Every way of nudging by the name the user chooses it by.
NUDGINGS: dict[str, Nudging] = {
    "one_sided": OneSided(),
    "random_sign": RandomSign(),
    "centered": Centered(),
}
