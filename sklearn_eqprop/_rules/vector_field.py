"""The paper's rule: two phases of the vector field, and how they are nudged."""

import math
from typing import Any, ClassVar, Protocol

import numpy as np

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._relaxation import Result
from sklearn_eqprop._rules.base import Coordinates, Credit, CreditRule, Minibatch
from sklearn_eqprop._substrates.seam import FreePhase, Substrate


class Nudging(Protocol):
    """An estimator of ds^β/dβ at β = 0 from equilibria at a few values of β."""

    #: Value of the parameter ``nudging`` that chooses it.
    name: str
    #: Whether it uses β and -β. The output is then also pushed away from the target.
    both_signs: bool
    #: Whether it draws random numbers.
    draws: bool

    def strengths(self, beta: float, rng: np.random.RandomState) -> tuple[Any, ...]:
        """Values of β at which the network settles."""

    def slope(
        self, displacements: list[Array], strengths: tuple[float, ...], weights: Any = 1.0
    ) -> Array:
        """Estimate of ds/dβ of a layer, times the weights of the samples.

        The displacements s^β - s^0 at each strength, of shape (n_samples, n_units), may be
        overwritten.
        """


class OneSided:
    """(s^β - s^0) / β, as in the paper (Eq. 19). Its error is O(β)."""

    name = "one_sided"
    both_signs = False
    draws = False

    def strengths(self, beta: float, rng: np.random.RandomState) -> tuple[float, ...]:
        return (beta,)

    def slope(
        self, displacements: list[Array], strengths: tuple[float, ...], weights: Any = 1.0
    ) -> Array:
        [slope] = displacements
        slope *= weights * (1 / strengths[0])
        return slope


class RandomSign(OneSided):
    """One-sided, with a random sign of β per minibatch. The O(β) errors average out."""

    name = "random_sign"
    both_signs = True
    draws = True

    def strengths(self, beta: float, rng: np.random.RandomState) -> tuple[float, ...]:
        return (beta if rng.randint(2) else -beta,)


class Centered:
    """(s^β - s^-β) / 2β, both settled side by side. Its error is O(β²) (Laborieux et al. 2021)."""

    name = "centered"
    both_signs = True
    draws = False

    def strengths(self, beta: float, rng: np.random.RandomState) -> tuple[float, ...]:
        return (beta, -beta)

    def slope(
        self, displacements: list[Array], strengths: tuple[float, ...], weights: Any = 1.0
    ) -> Array:
        plus, minus = displacements
        plus -= minus
        plus *= weights * (1 / (strengths[0] - strengths[1]))
        return plus


#: Ways of nudging, by name. To add one, write a class and list an object of it here.
NUDGINGS: dict[str, Nudging] = {
    nudging.name: nudging for nudging in (OneSided(), RandomSign(), Centered())
}


class VectorFieldRule(CreditRule):
    """The paper's rule, Δθ ∝ (∂μ/∂θ(s^0))^T ds^β/dβ (Eqs. 18-19, Scellier et al. 2018).

    ds^β/dβ is estimated from a free phase and one or two nudged phases. A push away from the target
    by a loss of unbounded curvature is unstable at any β. Nudging with both signs, or with a
    negative β, then holds the force of the free equilibrium in every phase. ds^β/dβ at β = 0 is the
    same.
    """

    name = "vector_field"
    attenuated = True
    nudged = True
    fixed_point_only = False
    clampable = True
    auto_coordinates: ClassVar[Coordinates] = "rate_if_aligned"
    swept_tolerance = True

    def credit(self, substrate: Substrate, batch: Minibatch) -> Credit:
        free = substrate.settle(batch.inputs)
        if math.isinf(batch.loss.curvature) and (self.nudging.both_signs or self.beta < 0):
            batch = batch.holding_force(free)
        strengths = self.nudging.strengths(self.beta, batch.rng)
        nudged = self._settle(substrate, free, batch, strengths)
        deltas = []
        for layer in range(len(free.result.states)):
            displacements = [result.states[layer] for result in nudged]
            deltas.append(self.nudging.slope(displacements, strengths, batch.weights))
        return Credit(substrate.local_change(free, deltas), free, nudged)

    def _settle(
        self, substrate: Any, free: FreePhase, batch: Minibatch, strengths: tuple[float, ...]
    ) -> list[Result]:
        nudged: list[Result] = substrate.settle_nudged(free, batch.loss, batch.target, strengths)
        return nudged
